//! What owners do, step by step, and what they must hear.

use std::sync::Arc;

use bulkhead::io::sim::{Fault, Rule};
use bulkhead::{Entry, Error, HardState, Limit, Mode, Op, Partition, State, Status};

use super::action::{Action, Batch, Step};
use super::world::{Verdict, World};
use crate::support::driver::is_fault;
use crate::support::judge::After;
use crate::support::refs;

impl World {
    pub fn take(&self, step: &Step) -> Verdict {
        self.tell(|| step.to_string());
        let n = step.part;
        self.saw("step", step.action.name());
        match &step.action {
            Action::Work(pieces) => self.work(*pieces),
            Action::Time(time) => self.pass_time(*time),
            Action::Inject(rule) => self.disk().inject(rule.clone()),
            Action::Lie(rule) => self.lie(n, rule),
            Action::FlipBit(_) | Action::Unreadable(_) | Action::Unwritable(_) => self.tamper(n, &step.action),
            Action::DropCaches => self.disk().drop_caches(),
            Action::Full(free) => {
                self.trouble();
                self.disk().set_free(*free);
            }
            Action::SpaceBack => self.disk().set_capacity(u64::MAX),
            Action::ClearFaults => {
                self.disk().clear_faults();
            }
            Action::Mend => return self.mend(),
            Action::Limits(scope, changes) => return self.set_limits(n, *scope, changes),
            Action::PowerCutAt(ahead) => self.disk().crash_at(self.disk().ops() + ahead),
            Action::Crash(how) => return self.crash(*how),
            Action::AtStart(trouble) => self.plan_start(trouble),
            Action::Hang(time, steps) => return self.hang(*time, *steps),
            Action::Restart => return self.restart_engine(),
            call => return self.owner_calls(n, call),
        }
        Ok(())
    }

    fn owner_calls(&self, n: usize, action: &Action) -> Verdict {
        if self.parts[n].borrow().handle.is_none() && !self.open(n, After::Process)? {
            return Ok(());
        }
        self.settle(n)?;
        let (known, open) = {
            let part = self.parts[n].borrow();
            (part.since == After::Recover, part.handle.is_some())
        };
        if !open || self.disk().is_dead() {
            return Ok(());
        }
        match action {
            Action::Reopen => {
                let after = self.close(n)?;
                self.open(n, after).map(drop)
            }
            Action::Recover => self.recover(n),
            Action::Repair(damage) => self.repair(n, *damage),
            Action::Mode(mode) => {
                let after = self.close(n)?;
                self.parts[n].borrow_mut().model.opened_in = Some(*mode);
                self.open(n, after).map(drop)
            }
            Action::Fence(to) => self.fence(n, *to),
            Action::Place(place) => self.place(n, *place),
            Action::Convert(calls) => self.convert(n, calls),
            // An open that failed leaves a log that the model does not know yet.
            _ if !known => Ok(()),
            Action::Append(batch) => self.append(n, batch, false),
            Action::Submit(batch) => self.append(n, batch, true),
            Action::HardState { term_up, vote, commit } => self.hard_state(n, *term_up, *vote, *commit),
            Action::Compact(percent) => self.compact(n, *percent),
            Action::Reset(ahead) => self.reset(n, *ahead),
            Action::Snapshot(percent) => self.snapshot(n, *percent),
            Action::Wrong => self.wrong_calls(n),
            Action::Survey => self.survey(n),
            Action::Sync => self.sync(n),
            Action::Verify => self.verify(n),
            Action::Backup => self.backup(n),
            _ => self.check(n),
        }
    }

    fn batch(&self, n: usize, batch: &Batch) -> Vec<Entry> {
        let model = &self.parts[n].borrow().model;
        // What is committed is never replaced.
        let (last, floor) = (model.last(), model.compaction().0.max(model.hard().commit));
        let replaces = batch.replaces.min(last.saturating_sub(floor));
        let first = last + 1 - replaces;
        let up = u64::from(batch.term_up || replaces > 0);
        let term = model.last_term().max(model.hard().term) + up;
        let entry = |index| {
            let len = batch.len + (index % 7) as usize;
            Entry { index, term, kind: (index % 251) as u8, data: batch.payload.bytes(index, term, len) }
        };
        (first..first + batch.count).map(entry).collect()
    }

    fn append(&self, n: usize, batch: &Batch, submit: bool) -> Verdict {
        let entries = self.batch(n, batch);
        let (term, hard) = (entries[0].term, self.parts[n].borrow().model.hard());
        if term > hard.term && !self.set_hard_state(n, HardState { term, vote: entries[0].index % 4, ..hard })? {
            return Ok(());
        }
        if self.parts[n].borrow().handle.is_none() {
            return Ok(());
        }
        let largest = entries.iter().map(|e| e.data.len() as u64).max().unwrap_or(0);
        let too_large = largest > self.limit(n, Limit::MaxEntryBytes);
        let reaches = self.reaches_disk(n);
        let waits = submit && self.parts[n].borrow().model.mode == Mode::Sync;
        let token = self.tokens.get() << 8 | n as u64;
        self.tokens.set(self.tokens.get() + 1);
        self.appending.set(Some(n));
        let result =
            self.call(n, |p| if submit { p.submit(&refs(&entries), token) } else { p.append(&refs(&entries)) });
        self.appending.set(None);
        self.tell(|| {
            format!(
                "      entries {} to {}: {}",
                entries[0].index,
                entries.len() as u64 + entries[0].index - 1,
                said(&result)
            )
        });
        if too_large {
            self.saw("limits", "an entry that is too large");
            return match result {
                Err(e) if e.status == Status::EntryTooLarge => self.settle(n),
                other => Err(format!("an entry of {largest} bytes is above the limit, and it says {other:?}")),
            };
        }
        if waits {
            if result.is_ok() {
                self.parts[n].borrow_mut().model.submitted(&entries, token);
            }
        } else {
            let mut part = self.parts[n].borrow_mut();
            if reaches || result.is_ok() {
                part.model.appended(&entries, result.is_ok());
            }
            if submit && result.is_ok() && part.model.mode != Mode::Sync {
                part.model.pending.push_back((token, 0));
            }
        }
        let durable = !submit && self.parts[n].borrow().model.mode == Mode::Sync;
        self.note_flush(n, result.is_ok(), result.is_ok() && durable);
        self.heard(n, result, false)
    }

    fn hard_state(&self, n: usize, term_up: u64, vote: u64, commit: u64) -> Verdict {
        let hard = {
            let model = &self.parts[n].borrow().model;
            let (old, floor) = (model.hard(), model.hard().commit.max(model.compaction().0));
            let above = if model.pending.is_empty() && self.appending.get() != Some(n) {
                model.last().saturating_sub(floor)
            } else {
                0
            };
            let term = old.term.max(model.last_term()) + term_up;
            let vote = if term > old.term { vote } else { old.vote };
            HardState { term, vote, commit: floor + above * commit / 100 }
        };
        self.set_hard_state(n, hard).map(drop)
    }

    fn set_hard_state(&self, n: usize, hard: HardState) -> Verdict<bool> {
        let reaches = self.reaches_disk(n);
        self.parts[n].borrow_mut().model.storing_hard_state(hard);
        let opened = Arc::as_ptr(&self.handle(n));
        let result = self.call(n, |p| p.set_hard_state(hard));
        self.parts[n].borrow_mut().model.hard_state_returned();
        self.tell(|| format!("      {hard:?}: {}", said(&result)));
        let done = result.is_ok();
        let same = self.parts[n].borrow().handle.as_ref().map_or(true, |p| std::ptr::eq(Arc::as_ptr(p), opened));
        if done && !same {
            // Opened anew while it hung: that opening may have lost entries, and the commit with them.
            let model = &mut self.parts[n].borrow_mut().model;
            model.hard_state_set(hard, false);
            let commit = model.hard().commit.min(hard.commit);
            model.hard_state_set(HardState { commit, ..hard }, true);
        } else if reaches || done {
            self.parts[n].borrow_mut().model.hard_state_set(hard, done);
        }
        self.heard(n, result, true)?;
        Ok(done)
    }

    fn compact(&self, n: usize, percent: u64) -> Verdict {
        let index = {
            let model = &self.parts[n].borrow().model;
            let point = model.compaction().0;
            if !model.pending.is_empty() {
                return Ok(());
            }
            point + (model.last() - point) * percent / 100
        };
        let reaches = self.reaches_disk(n);
        let result = self.call(n, |p| p.compact(index));
        self.tell(|| format!("      up to {index}: {}", said(&result)));
        if self.parts[n].borrow().tainted && result.as_ref().is_err_and(|e| e.op == bulkhead::Op::Read) {
            return Ok(()); // the term of the compaction point cannot be read
        }
        if reaches || result.is_ok() {
            self.parts[n].borrow_mut().model.compacted(index, result.is_ok());
        }
        self.heard(n, result, true)
    }

    fn reset(&self, n: usize, ahead: u64) -> Verdict {
        let (index, term) = {
            let model = &self.parts[n].borrow().model;
            (model.last() + ahead, model.last_term().max(model.hard().term).max(1))
        };
        self.reset_to(n, index, term)
    }

    /// A snapshot of what a part of the log says, or of all of it.
    fn snapshot(&self, n: usize, percent: u64) -> Verdict {
        let (index, term) = {
            let model = &self.parts[n].borrow().model;
            let floor = model.compaction().0.max(model.hard().commit);
            let index = floor + model.last().saturating_sub(floor) * percent / 100;
            (index, model.log().get(&index).map_or(model.compaction().1, |e| e.term))
        };
        if index == 0 || !self.parts[n].borrow().model.pending.is_empty() {
            return Ok(());
        }
        self.reset_to(n, index, term)
    }

    fn reset_to(&self, n: usize, index: u64, term: u64) -> Verdict {
        let reaches = self.reaches_disk(n);
        let result = self.call(n, |p| p.reset(index, term));
        self.tell(|| format!("      to {index} of term {term}: {}", said(&result)));
        if reaches || result.is_ok() {
            self.drain_completions()?;
            self.parts[n].borrow_mut().model.was_reset(index, term, result.is_ok());
        }
        self.heard(n, result, true)
    }

    fn sync(&self, n: usize) -> Verdict {
        let result = self.call(n, Partition::sync);
        self.tell(|| format!("      {}", said(&result)));
        if result.is_ok() {
            self.drain_completions()?;
            self.parts[n].borrow_mut().model.synced();
        }
        self.note_flush(n, false, result.is_ok());
        self.heard(n, result, false)
    }

    fn verify(&self, n: usize) -> Verdict {
        let (before, own) = (self.faults(), self.handle(n));
        let result = self.call(n, Partition::verify);
        self.tell(|| format!("      {result:?}"));
        let disturbed = self.disk().is_dead() || self.faults() > before;
        let healthy = self.parts[n].borrow().handle.as_ref().is_some_and(|p| p.status().state == State::ReadWrite);
        match result {
            Ok(report) if report.bad_records > 0 && healthy && !disturbed && !self.parts[n].borrow().tainted => {
                Err(format!("verify finds {report:?} where nothing is bad"))
            }
            // Closed while an operation of it hung, and open again by now perhaps.
            Err(_) if self.parts[n].borrow().handle.is_none() => Ok(()),
            Err(e) if e.status == Status::Closed && !Arc::ptr_eq(&own, &self.handle(n)) => Ok(()),
            // A panic in it: what latched the partition first stays what it says.
            Err(e) if e.status == Status::Fenced && disturbed => self.settle(n),
            Err(e) if !is_fault(&e) => Err(format!("verify says {e}")),
            _ => self.settle(n),
        }
    }

    fn recover(&self, n: usize) -> Verdict {
        let calm = self.calm();
        let result = self.call(n, Partition::recover);
        // A fault may have been put in its way in the middle of it.
        let calm = self.stayed_calm(calm);
        self.tell(|| format!("      {}", said(&result)));
        self.drain_events()?;
        self.drain_completions()?;
        // Closed while an operation of it hung.
        let Some(handle) = self.parts[n].borrow().handle.clone() else { return Ok(()) };
        match result {
            // Only a release helps.
            Err(e) if e.status == Status::Fenced && self.parts[n].borrow().fault.is_some() => self.settle(n),
            Err(e) if !is_fault(&e) => Err(format!("recover says {e}")),
            Err(e) if calm && !self.is_excused(n, &e) => Err(format!("recover fails on a good disk: {e}")),
            Err(_) => {
                let mut part = self.parts[n].borrow_mut();
                part.fault = handle.last_fault();
                part.model.may_report_loss |= part.model.mode != Mode::Sync;
                Ok(())
            }
            Ok(()) => {
                let was_well = self.parts[n].borrow().fault.is_none();
                self.parts[n].borrow_mut().fault = None;
                if was_well {
                    return Ok(());
                }
                self.judge(n).map(drop)
            }
        }
    }

    /// A failed recovery that a good disk can lead to: what was acknowledged before is gone, and it says so.
    fn is_excused(&self, n: usize, e: &Error) -> bool {
        let part = self.parts[n].borrow();
        part.tainted || e.status == Status::LostEntries && part.model.may_lose(e.range)
    }

    /// True if a change can reach the disk: a partition that is Unavailable refuses it before.
    fn reaches_disk(&self, n: usize) -> bool {
        self.parts[n].borrow().fault.is_none()
            || matches!(self.handle(n).status().state, State::ReadWrite | State::ReadOnly)
    }

    fn lie(&self, n: usize, rule: &Rule) {
        self.trouble();
        self.parts[n].borrow_mut().not_trusted();
        if let Fault::Misdirected(path, _) = rule.fault() {
            let victim = self.parts.iter().find(|p| path.starts_with(&format!("{}/", p.borrow().path)));
            if let Some(victim) = victim {
                victim.borrow_mut().not_trusted();
            }
        }
        self.disk().inject(rule.clone());
    }

    /// Changes a file behind the log's back.
    fn tamper(&self, n: usize, action: &Action) {
        let of_log = |f: &String| f.contains("/seg-") || f.ends_with("/root");
        let files: Vec<String> = self.disk().files(&self.parts[n].borrow().path).into_iter().filter(of_log).collect();
        let (Action::FlipBit(roll) | Action::Unreadable(roll) | Action::Unwritable(roll)) = *action else { return };
        if files.is_empty() {
            return;
        }
        let file = &files[roll as usize % files.len()];
        // Most of what is written is at the beginning.
        let at = (roll >> 16) % 12_288;
        let mut part = self.parts[n].borrow_mut();
        part.tainted = true;
        part.lied |= matches!(action, Action::FlipBit(_));
        part.solid = 0;
        self.trouble();
        self.tell(|| format!("      {file} at {at}"));
        match action {
            Action::FlipBit(_) => self.disk().flip_bit(file, at, (roll >> 8) as u8 % 8),
            Action::Unreadable(_) => self.disk().make_unreadable(file, at, 512),
            _ => self.disk().make_unwritable(file, at, 512),
        }
    }

    /// Counts acknowledged flushes since the last lie: those that wrote something, and with it what is known to be durable.
    fn note_flush(&self, n: usize, accepted: bool, flushed: bool) {
        let lies = self.disk().lies();
        let mut part = self.parts[n].borrow_mut();
        part.unflushed |= accepted;
        let wrote = flushed && part.unflushed;
        part.unflushed &= !flushed;
        part.solid = if part.lies_seen == lies { part.solid + u64::from(wrote) } else { 0 };
        part.lies_seen = lies;
    }

    /// What a call on a partition said: a fault that is told again must be the first one; a call that is allowed must not be refused.
    fn heard(&self, n: usize, result: Result<(), Error>, works_read_only: bool) -> Verdict {
        self.drain_completions()?;
        // Closed while an operation of it hung.
        let Some(handle) = self.parts[n].borrow().handle.clone() else { return Ok(()) };
        let (state, now) = (handle.status().state, handle.last_fault());
        let (fault, called_in) = (self.parts[n].borrow().fault.clone(), self.parts[n].borrow().called_in);
        match (result, fault) {
            (Err(e), fault) if !(is_fault(&e) || e.status == Status::Fenced && fault.is_some()) => {
                Err(format!("{} refused what is allowed: {e}", self.parts[n].borrow().path))
            }
            // One that was done while the partition was ReadOnly counts, whatever came before it returned.
            (Ok(()), Some(first)) if state == State::Unavailable && called_in == State::Unavailable => {
                Err(format!("{} accepted a change after {first}", self.parts[n].borrow().path))
            }
            (Ok(()), Some(first)) if state == State::ReadOnly && !works_read_only => {
                Err(format!("{} accepted an append after {first}", self.parts[n].borrow().path))
            }
            (Err(e), Some(first)) => {
                let same = |f: &Error| f.status == e.status && f.errno == e.errno;
                // A ReadOnly partition compacts, and reads for it: a read that fails is told as what it is.
                let own_read = works_read_only && state == State::ReadOnly && e.op == Op::Read;
                // Whoever waits for what hangs is told that it does, and a call that hung itself what it met.
                let waits = e.status == Status::Busy && self.hanging.get();
                if own_read || waits || self.parts[n].borrow().hung || same(&first) || now.as_ref().is_some_and(same) {
                    return self.settle(n);
                }
                Err(format!("{} answers {e}, the first error was {first}", self.parts[n].borrow().path))
            }
            (Err(_), None) if state == State::ReadWrite => {
                self.saw("found", "healed within the call");
                // Healed within the call: what had failed is there or not, what was acknowledged is.
                self.settle(n)?;
                self.judge(n).map(drop)
            }
            _ => self.settle(n),
        }
    }
}

fn said(result: &Result<(), Error>) -> String {
    match result {
        Ok(()) => "ok".into(),
        Err(e) => format!("{:?} (errno {}): {}", e.status, e.errno, e.message),
    }
}
