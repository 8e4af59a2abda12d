//! What owners and others do with directories and engines: opened twice, renamed, made anew, copied, put back; an engine that is closed whole.

use std::panic::{catch_unwind, AssertUnwindSafe};

use bulkhead::{Engine, Error, Op, State, Status};

use super::action::Place;
use super::world::{Part, Verdict, World};
use crate::support::driver::is_fault;
use crate::support::judge::After;
use crate::support::{append, config, entries, partition_config};

impl World {
    pub fn place(&self, n: usize, place: Place) -> Verdict {
        if let Place::OpenTwice = place {
            return self.open_twice(n);
        }
        let after = self.close(n)?;
        let (path, tainted) = (self.parts[n].borrow().path.clone(), self.parts[n].borrow().tainted);
        let whole = !tainted && !self.disk().is_dead() && self.disk().exists(&path);
        let clean = whole && after == After::Close && self.parts[n].borrow().since <= After::Close;
        match place {
            Place::Move if whole => self.move_dir(n),
            Place::Anew if whole => self.clear(n)?,
            Place::Copy if clean && self.is_calm() => return self.open_a_copy(n),
            Place::Keep if clean => self.keep(n),
            Place::PutBack if whole && self.parts[n].borrow().aside.is_some() => {
                self.put_back(n, after);
                return self.open(n, After::Close).map(drop);
            }
            _ => return self.open(n, after).map(drop),
        }
        self.saw("directory", name(place));
        self.open(n, after).map(drop)
    }

    /// Refused, whoever asks.
    fn open_twice(&self, n: usize) -> Verdict {
        let config_of = |part: &Part| partition_config(&part.path, part.id, part.model.mode);
        let calm = self.calm();
        let (engine, again) = (self.engine(), config_of(&self.parts[n].borrow()));
        let own = self.among_others(n, || engine.open_partition(again.clone()));
        let other = Engine::stepped(config(), &self.disk(), self.seed_of("twice")).expect("an engine");
        let others = self.among_others(n, || other.open_partition(again.clone()));
        for (result, wanted) in [(own, Status::AlreadyOpen), (others, Status::Locked)] {
            match result {
                Err(e) if e.status == wanted => {}
                // What the path leads to could not be asked.
                Err(e) if (is_fault(&e) || e.status == Status::Locked) && !self.stayed_calm(calm) => {}
                Err(e) => return Err(format!("{:?} is opened twice, and it says {e}", again.path)),
                Ok(_) => return Err(format!("{:?} is open twice", again.path)),
            }
        }
        self.saw("directory", name(Place::OpenTwice));
        self.settle(n)
    }

    fn move_dir(&self, n: usize) {
        let old = self.parts[n].borrow().path.clone();
        let new = old.strip_suffix("-moved").map_or_else(|| format!("{old}-moved"), String::from);
        // So that nothing of the old name is still on its way to the medium.
        self.disk().sync_all();
        self.disk().rename(&old, &new);
        self.parts[n].borrow_mut().path = new;
    }

    /// A copy is a partition of its own, although its files say that they are the same.
    fn open_a_copy(&self, n: usize) -> Verdict {
        let (path, id, mut model) = {
            let part = self.parts[n].borrow();
            (part.path.clone(), part.id, part.model.clone())
        };
        let copy = format!("{path}-copy");
        self.disk().copy_dir(&path, &copy);
        let (calm, troubles) = (self.calm(), self.troubles.get());
        let opened = self.open(n, After::Close)?;
        // Something came in the way meanwhile, or into a file.
        if !self.stayed_calm(calm) || self.troubles.get() > troubles {
            self.disk().remove(&copy);
            return Ok(());
        }
        if !opened {
            return Err(format!("{path} is not whole after a close and a copy"));
        }
        self.saw("directory", name(Place::Copy));
        self.drain_events()?;
        let opened = self.engine().open_partition(partition_config(&copy, id, model.mode));
        let judged = opened.map_err(|e| e.to_string()).and_then(|p| {
            model.judge(&p, After::Close)?;
            let term = model.last_term().max(model.hard().term).max(1);
            append(&p, &entries(model.last() + 1, model.last() + 3, term, 700)).map_err(|e| e.to_string())?;
            p.close().map_err(|e| e.to_string())
        });
        // The copy's have the partition's number.
        self.drain_events_but(Some(id));
        self.disk().remove(&copy);
        judged.map_err(|e| format!("a copy of {path}: {e}"))?;
        self.check(n)
    }

    fn keep(&self, n: usize) {
        let mut part = self.parts[n].borrow_mut();
        let aside = format!("{}-aside-{}", part.path, self.disk().ops());
        self.disk().copy_dir(&part.path, &aside);
        let model = part.model.clone();
        if let Some((old, _)) = part.aside.replace((aside, model)) {
            self.disk().remove(&old);
        }
    }

    fn put_back(&self, n: usize, after: After) {
        let mut part = self.parts[n].borrow_mut();
        let Some((aside, model)) = part.aside.take() else { return };
        self.saw("directory", name(Place::PutBack));
        self.disk().sync_all();
        self.disk().remove(&part.path);
        self.disk().rename(&aside, &part.path);
        let mode = part.model.next_mode();
        let before = std::mem::replace(&mut part.model, model);
        part.before = Some(before).filter(|_| after != After::Close);
        part.model.opened_in = Some(mode);
        part.since = After::Close;
        part.converted = false;
    }

    /// Closes the engine with everything in it, and opens another one in this process.
    pub fn restart_engine(&self) -> Verdict {
        let mut whole = Vec::new();
        for n in 0..self.parts.len() {
            self.settle(n)?;
            let part = self.parts[n].borrow();
            let healthy = part.handle.as_ref().is_some_and(|p| p.status().state == State::ReadWrite);
            whole.push(healthy && part.fault.is_none());
        }
        let engine = self.engine();
        let closed = catch_unwind(AssertUnwindSafe(|| engine.close()))
            .unwrap_or_else(|_| Err(Error::new(Status::Panic, Op::Close, "a panic was caught")));
        self.tell(|| format!("      {:?}", closed.as_ref().map_err(|e| e.to_string())));
        self.saw("engine closed", if closed.is_ok() { "well" } else { "with an error" });
        for part in &self.parts {
            // The last reference closes what a panic has left open.
            let handle = part.borrow_mut().handle.take();
            drop(handle);
        }
        self.drain_events()?;
        self.drain_completions()?;
        for (part, whole) in self.parts.iter().zip(&mut whole) {
            let mut part = part.borrow_mut();
            if !part.model.pending.is_empty() {
                return Err(format!("{} is closed and completions {:?} never came", part.path, part.model.pending));
            }
            // One that failed while others were closed was told, and closed as it was.
            *whole &= !matches!(part.told, State::Unavailable | State::ReadOnly);
            part.model.rolled_back();
            part.model.may_report_loss |= closed.is_err() && part.model.mode != bulkhead::Mode::Sync;
            part.fault = None;
        }
        drop(engine);
        self.start_engine();
        for (n, whole) in whole.into_iter().enumerate() {
            self.open(n, if whole && closed.is_ok() { After::Close } else { After::Process })?;
        }
        Ok(())
    }
}

fn name(place: Place) -> &'static str {
    match place {
        Place::OpenTwice => "opened twice",
        Place::Move => "renamed",
        Place::Anew => "made anew",
        Place::Copy => "copied",
        Place::Keep => "kept aside",
        Place::PutBack => "put back",
    }
}
