//! Backup and repair, as another process does them: what a copy holds, and what a repair leaves.

use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;

use bulkhead::io::sim::{hash_name, mix, Crash, OpKind, SimDisk};
use bulkhead::{
    Backup, Disposition, Engine, Entry, Error, HardState, Mode, Op, PartitionConfig, Repair, RepairFacts, RepairOffer,
    State, Status,
};

use super::world::{Verdict, World};
use crate::support::driver::is_fault;
use crate::support::judge::After;
use crate::support::model::Model;
use crate::support::{config, partition_config, read_all, read_each};

/// What an open finds.
struct Found {
    bounds: (u64, u64),
    /// Of the compaction point.
    term: u64,
    hard: HardState,
    entries: Vec<Entry>,
}

impl World {
    /// Copies a partition while it is open. A copy is one of the logs that were there between the call and its return.
    pub fn backup(&self, n: usize) -> Verdict {
        let (source, mode, healthy) = {
            let part = self.parts[n].borrow();
            let healthy = part.handle.as_ref().is_some_and(|p| p.status().state == State::ReadWrite);
            (part.path.clone(), part.model.mode, healthy && !part.tainted)
        };
        let target = format!("/copy{}", self.disk().ops());
        let troubles = self.troubles.get();
        let calm = self.calm().filter(|_| healthy && self.handle(n).status().damaged.2 == 0);
        let other = Engine::stepped(config(), &self.disk(), self.seed_of(&target)).expect("an engine");
        *self.moments.borrow_mut() = Some((n, Vec::new()));
        self.note_moment();
        let quiet = self.quiet.replace(false);
        let copied =
            catch_unwind(AssertUnwindSafe(|| other.backup(Path::new(&source), Path::new(&target), &|_, _| {})));
        self.quiet.set(quiet);
        let _ = catch_unwind(AssertUnwindSafe(|| other.close()));
        let copied = copied.unwrap_or_else(|_| Err(Error::new(Status::Panic, Op::Export, "a panic was caught")));
        self.note_moment();
        let moments = self.moments.borrow_mut().take().map_or(Vec::new(), |m| m.1);
        self.tell(|| format!("      to {target}: {copied:?}"));
        let calm = self.stayed_calm(calm) && !self.parts[n].borrow().tainted;
        let judged = match copied {
            Ok(backup) => {
                self.saw("copy", "a backup");
                self.judge_copy(n, &target, mode, &backup, &moments)
            }
            // Its owner has given it up meanwhile.
            Err(e) if e.status == Status::NotFound && self.troubles.get() > troubles => Ok(()),
            Err(e) if !is_fault(&e) => Err(format!("a backup says {e}")),
            Err(e) if calm && e.status != Status::Busy => Err(format!("a backup fails on a good disk: {e}")),
            Err(_) => {
                self.saw("copy", "a backup that failed");
                Ok(())
            }
        };
        if self.disk().exists(&target) {
            self.disk().remove(&target);
        }
        judged?;
        self.settle(n)
    }

    /// Remembers what the partition that is being copied holds now.
    pub fn note_moment(&self) {
        if let Some((n, models)) = self.moments.borrow_mut().as_mut() {
            models.push(self.parts[*n].borrow().model.clone());
        }
    }

    fn judge_copy(&self, n: usize, target: &str, mode: Mode, backup: &Backup, moments: &[Model]) -> Verdict {
        let tainted = self.parts[n].borrow().tainted;
        // A copy may be made of what the source's medium does not have.
        let sound = mode != Mode::Interval && self.parts[n].borrow().fault.is_none();
        for how in [Crash::Process, Crash::PowerNothing] {
            let found = match self.opened(target, n, mode, how) {
                Ok(found) => found,
                Err(_) if tainted => return Ok(()),
                Err(e) => return Err(format!("a copy that was made cannot be opened after {how:?}: {e}")),
            };
            let told = ((backup.first_index, backup.last_index), backup.hard_state, backup.entries);
            if told != (found.bounds, found.hard, found.entries.len() as u64) {
                return Err(format!("a copy of {told:?} holds {:?}, {:?}", found.bounds, found.hard));
            }
            let point = found.bounds.0 - 1;
            if !tainted && !moments.iter().any(|m| m.allows_copy(point, &found.entries, found.hard, sound)) {
                let (term, entries) = (found.entries.last().map_or(0, |e| e.term), found.entries.len());
                return Err(format!(
                    "a copy is none of the {} logs that were there: {:?}, {entries} entries, the last of term {term}, {:?}",
                    moments.len(),
                    found.bounds,
                    found.hard
                ));
            }
        }
        Ok(())
    }

    /// What an open of a copy of the disk finds in a directory, after a crash.
    fn opened(&self, path: &str, n: usize, mode: Mode, how: Crash) -> Result<Found, String> {
        let fork = self.fork(how);
        let engine = Engine::stepped(config(), &fork, self.seed_of(path)).map_err(|e| e.to_string())?;
        let id = self.parts[n].borrow().id;
        let config = PartitionConfig { disposition: Disposition::OpenExisting, ..partition_config(path, id, mode) };
        let p = engine.open_partition(config).map_err(|e| e.to_string())?;
        if p.status().state != State::ReadWrite || p.status().damaged.2 > 0 {
            return Err(format!("{:?}, damaged {:?}", p.last_fault(), p.status().damaged));
        }
        let told = |e: Error| e.to_string();
        let bounds = p.bounds().map_err(told)?;
        let found = Found {
            bounds,
            term: p.term(bounds.0 - 1).map_err(told)?,
            hard: p.hard_state().map_err(told)?,
            entries: read_all(&p).map_err(told)?,
        };
        Ok(found)
    }

    /// The disk as a crash would leave it now, without the faults that are still to come.
    fn fork(&self, how: Crash) -> SimDisk {
        let fork = self.disk().fork();
        fork.set_hook(None);
        fork.clear_faults();
        fork.crash_at(u64::MAX);
        let left = fork.crash(how);
        left.set_capacity(u64::MAX);
        left.clear_faults();
        left
    }

    pub fn seed_of(&self, what: &str) -> u64 {
        mix(&[self.history.seed, self.disk().ops(), hash_name(what)])
    }

    /// Closes a partition, damages it if that is asked for, asks what a repair would do, does it if there is damage, and opens the partition again.
    pub fn repair(&self, n: usize, damage: Option<u64>) -> Verdict {
        let after = self.close(n)?;
        // What a disk that lies has of the log nobody knows, the page cache least.
        let lied = self.parts[n].borrow().lied;
        if let Some(roll) = damage {
            // Who repairs a log has seen to its disk before.
            self.disk().clear_faults();
            self.disk().set_capacity(u64::MAX);
            self.damage(n, roll);
        }
        let path = self.parts[n].borrow().path.clone();
        let facts = {
            let model = &self.parts[n].borrow().model;
            let applied = if damage.is_some_and(|roll| roll % 3 > 0) { 0 } else { model.hard().commit };
            RepairFacts { applied, term: model.highest_term() }
        };
        let changes = || OpKind::ALL.iter().filter(|k| k.is_change()).map(|k| self.disk().count(*k)).sum::<u64>();
        let (calm, before) = (self.disk().is_calm(), changes());
        let quiet = self.quiet.replace(true);
        let plan = catch_unwind(AssertUnwindSafe(|| Repair::plan(&self.disk(), Path::new(&path), facts)));
        self.quiet.set(quiet);
        let plan = plan.unwrap_or_else(|_| Err(Error::new(Status::Panic, Op::Recover, "a panic was caught")));
        self.tell(|| format!("      {:?}", plan.as_ref().map(|p| (p.damage().to_vec(), p.offers().to_vec()))));
        if changes() != before {
            return Err(format!("{path}: to ask what a repair would do has changed something"));
        }
        if self.disk().is_dead() {
            return Ok(());
        }
        let (tainted, may_lose) = {
            let part = self.parts[n].borrow();
            (part.tainted, part.model.may_report_loss)
        };
        let repaired = match &plan {
            Err(e) if !(is_fault(e) || tainted || e.status == Status::NotFound) => {
                return Err(format!("a repair says {e}"))
            }
            Ok(plan) if !plan.damage().is_empty() && calm && !tainted && !may_lose => {
                return Err(format!("{path}: a repair finds damage where there is none: {:?}", plan.damage()));
            }
            // What a close left in memory comes back at the next open, and the disk does not have it.
            Ok(plan) if calm && tainted && !lied && after == After::Close => {
                match plan.offers().iter().find(|o| o.refusal.is_none()) {
                    Some(offer) => self.apply(n, plan, offer)?,
                    None => false,
                }
            }
            _ => false,
        };
        // It holds the directory's lock.
        drop(plan);
        self.open(n, if repaired { After::Close } else { after }).map(drop)
    }

    /// Flips a bit in an entry.
    fn damage(&self, n: usize, roll: u64) {
        let (path, data) = {
            let part = self.parts[n].borrow();
            let log = part.model.log();
            let entry = log.values().nth((roll % log.len().max(1) as u64) as usize);
            (part.path.clone(), entry.map_or(Vec::new(), |e| e.data.clone()))
        };
        // A short one, or one of zeros, may be anywhere.
        if data.len() < 30 || data.iter().all(|byte| *byte == 0) {
            return;
        }
        let place = |(file, bytes): (String, Vec<u8>)| Some((file, bytes.windows(data.len()).position(|w| w == data)?));
        let Some((file, at)) = self.content(&path).into_iter().find_map(place) else { return };
        self.disk().flip_bit(&file, (at + data.len() / 2) as u64, roll as u8 % 8);
        self.tell(|| format!("      a bit of {file} at {at} is flipped"));
        self.trouble();
        let mut part = self.parts[n].borrow_mut();
        part.not_trusted();
        part.solid = 0;
    }

    /// What could be read before can be read, or is named as what goes, and kept.
    fn apply(&self, n: usize, plan: &Repair, offer: &RepairOffer) -> Verdict<bool> {
        let (path, mode) = (self.parts[n].borrow().path.clone(), self.parts[n].borrow().model.mode);
        let readable = self.readable(n);
        let quiet = self.quiet.replace(true);
        let done = plan.apply(offer.way);
        self.quiet.set(quiet);
        self.tell(|| format!("      {:?}: {done:?}", offer.way));
        match done {
            Ok(_) => self.saw("copy", "a repair"),
            Err(e) if is_fault(&e) => return Ok(false),
            Err(e) => return Err(format!("a repair says {e}")),
        }
        let found = self.opened(&path, n, mode, Crash::PowerNothing);
        let found = found.map_err(|e| self.lied(n, format!("the repaired log does not open: {e}")))?;
        let wanted = ((offer.first_index, offer.last_index), (offer.term, offer.vote, offer.commit));
        if wanted != (found.bounds, (found.hard.term, found.hard.vote, found.hard.commit)) {
            let what = format!("a repair offered {wanted:?}, and made {:?}, {:?}", found.bounds, found.hard);
            return Err(self.lied(n, what));
        }
        let kept: Vec<Vec<u8>> = self
            .content(&path)
            .into_iter()
            .filter(|(name, _)| name.contains("/kept/"))
            .map(|(_, bytes)| bytes)
            .collect();
        for entry in &readable {
            let there = found.entries.iter().any(|e| e == entry);
            let is_kept = || {
                let data = &entry.data;
                data.is_empty() || kept.iter().any(|bytes| bytes.windows(data.len()).any(|w| w == *data))
            };
            if !(there || is_named(offer, entry.index) && is_kept()) {
                let what = format!("entry {} could be read before a repair, which lost it: {offer:?}", entry.index);
                return Err(self.lied(n, what));
            }
        }
        let mut part = self.parts[n].borrow_mut();
        if let Some(e) = found.entries.iter().find(|e| !part.model.ever_written(e)) {
            let what = format!("entry {} of term {} is there after a repair and was never written", e.index, e.term);
            drop(part);
            return Err(self.lied(n, what));
        }
        part.model.was_repaired((found.bounds.0 - 1, found.term), found.entries, found.hard);
        Ok(true)
    }

    /// Acknowledged entries that an open would read from the medium: what the page cache has besides, of a disk that lies, is none to count on.
    fn readable(&self, n: usize) -> Vec<Entry> {
        let (path, id) = (self.parts[n].borrow().path.clone(), self.parts[n].borrow().id);
        let mode = self.parts[n].borrow().model.mode;
        let fork = self.fork(Crash::PowerNothing);
        let Ok(engine) = Engine::stepped(config(), &fork, self.seed_of(&path)) else { return Vec::new() };
        let Ok(p) = engine.open_partition(partition_config(&path, id, mode)) else {
            return Vec::new();
        };
        let part = self.parts[n].borrow();
        let good = read_each(&p).into_iter().filter_map(|(_, e)| e.ok());
        good.filter(|e| part.model.log().get(&e.index).is_some_and(|own| **own == *e)).collect()
    }

    fn content(&self, path: &str) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk();
        disk.files(path).into_iter().map(|f| (f.clone(), disk.cached_bytes(&f))).collect()
    }
}

fn is_named(offer: &RepairOffer, index: u64) -> bool {
    offer.losses.iter().any(|l| l.readable && (l.first..=l.last).contains(&index))
}
