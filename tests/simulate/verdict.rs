//! The judgement of a world: what a partition says against what its model knows.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use bulkhead::{Cause, Entry, Error, Limit, Mode, Op, State, Status};

use super::world::{Verdict, World};
use crate::support::judge::{After, Finding};
use crate::support::read_each;

impl World {
    /// Takes note of what happened to a partition since it was last called.
    pub fn settle(&self, n: usize) -> Verdict {
        self.drain_events()?;
        self.drain_completions()?;
        let Some(handle) = self.parts[n].borrow().handle.clone() else { return Ok(()) };
        let status = handle.status();
        let well = status.state == State::ReadWrite;
        let healed = {
            let mut part = self.parts[n].borrow_mut();
            // A probe is quiet about its tries, but for what it meets on the way.
            if part.told != status.state && status.state != State::Recovering && part.told != State::Recovering {
                return Err(format!("{} is {:?}, the last event said {:?}", part.path, status.state, part.told));
            }
            let unwell = std::mem::take(&mut part.unwell);
            match (&part.fault, well) {
                (None, _) if unwell || !well => {
                    part.fault = handle.last_fault().filter(|_| !well);
                    part.model.may_report_loss |= part.model.mode != Mode::Sync;
                    part.model.rolled_back();
                    well
                }
                (Some(_), true) => {
                    part.fault = None;
                    true
                }
                _ => false,
            }
        };
        if healed {
            self.saw("found", "healed");
            self.tell(|| format!("      {} is ReadWrite again", self.parts[n].borrow().path));
            self.judge(n)?;
        }
        Ok(())
    }

    /// Judges an open partition after a restart or a recovery. False if it is lost, as it reported: it is then removed, to start anew.
    pub fn judge(&self, n: usize) -> Verdict<bool> {
        let Some(handle) = self.parts[n].borrow().handle.clone() else { return Ok(false) };
        if self.disk().is_dead() {
            return Ok(false);
        }
        self.drain_completions()?;
        let quiet = self.quiet.replace(true);
        self.disk().pause_faults(true);
        let tainted = self.parts[n].borrow().tainted;
        let finding = if tainted { self.judge_tainted(n) } else { Ok(Finding::Good) };
        let finding = match finding {
            Ok(Finding::Good) => {
                let mut part = self.parts[n].borrow_mut();
                let since = part.since;
                part.model.reads_failed = self.disk().failed_reads() > part.failed_reads;
                let before = part.before.take();
                let judged = part.model.judge(&handle, since);
                let as_before = before.filter(|_| judged.is_err()).and_then(|mut model| {
                    let finding = model.judge(&handle, After::Process).ok()?;
                    part.model = model;
                    Some(finding)
                });
                as_before.map_or(judged, Ok).map_err(|e| format!("{} in mode {:?}: {e}", part.path, part.model.mode))
            }
            other => other,
        };
        self.disk().pause_faults(false);
        self.quiet.set(quiet);
        match finding {
            Ok(Finding::Good) => {
                self.parts[n].borrow_mut().since = After::Recover;
                Ok(true)
            }
            Ok(Finding::ReportedLoss) => {
                drop(handle);
                self.tell(|| format!("      {} is given up", self.parts[n].borrow().path));
                self.start_anew(n)?;
                Ok(false)
            }
            // Tampered files may leave an older log without a trace if what told otherwise is gone, too.
            Err(_) if tainted => {
                drop(handle);
                self.start_anew(n)?;
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// After lies or damage: what is served was written, and what is missing is reported. `Good` if nothing is missing.
    fn judge_tainted(&self, n: usize) -> Verdict<Finding> {
        let handle = self.handle(n);
        let part = self.parts[n].borrow();
        // What memory has besides a copy that was put back.
        let before = part.before.as_ref();
        let written = |e: &Entry| part.model.ever_written(e) || before.is_some_and(|model| model.ever_written(e));
        let mut failed: Option<Error> = None;
        let mut found = Vec::new();
        for (index, entry) in read_each(&handle) {
            match entry {
                Ok(e) if written(&e) => found.push(e),
                Ok(e) => return Err(self.lied(n, format!("entry {index} of term {} was never written", e.term))),
                Err(e) => failed = Some(e),
            }
        }
        let status = handle.status();
        let damage =
            failed.is_some() || status.state != State::ReadWrite || status.damaged.2 > 0 || status.lost != (0, 0);
        if damage {
            self.saw("found", "damage that is reported");
        }
        let told = damage || [status.maybe_acknowledged, status.unsynced].iter().any(|r| *r != (0, 0));
        let there = |e: &&Arc<Entry>| e.index <= status.compaction_index || found.iter().any(|f| *f == ***e);
        // A lie that no flush has followed yet may have taken what would tell of it.
        let vouched = part.solid > 2 && part.lies_seen == self.disk().lies();
        if let Some(e) = part.model.surely_durable().iter().find(|e| !there(e)).filter(|_| vouched && !damage) {
            let what = format!("entry {} is gone, {} flushes followed the last lie", e.index, part.solid);
            return Err(self.lied(n, format!("{what}, and it is not called damage: {status:?}")));
        }
        if let Some(e) = part.model.surely_durable().iter().find(|e| !there(e)).filter(|_| !part.lied && !told) {
            return Err(
                self.lied(n, format!("entry {} is gone, for a bad sector, without a word: {status:?}", e.index))
            );
        }
        if let Ok(hard) = handle.hard_state() {
            let known = part.model.judge_vote(hard);
            let known = known.or_else(|e| before.map_or(Err(e), |model| model.judge_vote(hard)));
            known.map_err(|e| self.lied(n, e))?;
        }
        let missing = part.model.surely_there().any(|e| !there(&e));
        Ok(if missing || told { Finding::ReportedLoss } else { Finding::Good })
    }

    /// A violation that no lie excuses.
    pub fn lied(&self, n: usize, what: String) -> String {
        let text = format!("{} on a disk that lies: {what}", self.parts[n].borrow().path);
        self.convict(text.clone());
        text
    }

    /// All faults end. Partitions that heal by themselves must be well after some time, with everything that was acknowledged.
    pub fn mend(&self) -> Verdict {
        self.disk().clear_faults();
        self.disk().set_capacity(u64::MAX);
        let well =
            |n: usize| self.parts[n].borrow().handle.as_ref().map_or(true, |h| h.status().state == State::ReadWrite);
        // A call in the middle of an operation can take all of it, if its stall limit is minutes.
        // A hang in it as well.
        for _ in 0..4 {
            self.pass_time(Duration::from_secs(120));
            if (0..self.parts.len()).all(well) {
                break;
            }
        }
        for n in 0..self.parts.len() {
            self.settle(n)?;
            let probes = self.limit(n, Limit::ProbeMs) != 0;
            let part = self.parts[n].borrow();
            let Some(handle) = &part.handle else { continue };
            let status = handle.status();
            let excused = part.tainted
                || !probes
                || !self.disk().is_calm()
                || status.cause == Cause::Fenced
                // Read as damage at an open under faults; nothing probes damage, the next open looks again.
                || status.cause == Cause::Damage
                || matches!(status.cause, Cause::LostEntries) && part.model.may_lose(status.lost);
            if status.state != State::ReadWrite && !excused {
                return Err(format!("{} does not come back on a good disk: {:?}", part.path, handle.last_fault()));
            }
        }
        Ok(())
    }

    /// Compares a running partition with its model.
    pub fn check(&self, n: usize) -> Verdict {
        let before = self.faults();
        let handle = self.handle(n);
        let quiet = self.quiet.replace(true);
        let (path, mode) = (self.parts[n].borrow().path.clone(), self.parts[n].borrow().model.mode);
        let look = || {
            let part = self.parts[n].borrow();
            if part.tainted {
                self.check_tainted(n)
            } else if self.appending.get() == Some(n) {
                // It may have been flushed, and the fault have come before its call could return.
                Ok(())
            } else {
                part.model.check_running(&handle)
            }
        };
        let result = catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| {
            handle.latch_panic(Op::Read);
            Err("a panic while reading".into())
        });
        self.quiet.set(quiet);
        match result {
            Err(_) if self.disk().is_dead() || self.faults() > before => self.settle(n),
            Err(e) => Err(format!("{path} in mode {mode:?}: {e}")),
            Ok(()) => self.settle(n),
        }
    }

    /// In a running process a lie never shows: an entry is right or cannot be read.
    fn check_tainted(&self, n: usize) -> Verdict {
        let part = self.parts[n].borrow();
        for (index, entry) in read_each(&self.handle(n)) {
            if let Ok(entry) = entry {
                let right = part.model.log().get(&index).is_some_and(|e| **e == entry) || part.fault.is_some();
                if !right && !part.model.ever_written(&entry) {
                    return Err(format!("entry {index} of term {} is served and was never written", entry.term));
                }
                if !right {
                    return Err(format!("an old entry {index} of term {} is served", entry.term));
                }
            }
        }
        Ok(())
    }

    pub fn drain_events(&self) -> Verdict {
        self.drain_events_but(None);
        Ok(())
    }

    /// All but those of one number.
    pub fn drain_events_but(&self, id: Option<u64>) {
        for event in self.engine().events(usize::MAX).into_iter().filter(|e| Some(e.partition_id) != id) {
            if let Some(part) = self.parts.get((event.partition_id as usize).wrapping_sub(1)) {
                let mut part = part.borrow_mut();
                part.told = event.to;
                part.unwell |= event.to != State::ReadWrite;
            }
        }
    }

    /// Every accepted batch completes exactly once.
    pub fn drain_completions(&self) -> Verdict {
        for c in self.engine().completions(usize::MAX) {
            let part = self.parts.get((c.token & 0xff) as usize);
            let Some(mut part) = part.map(|p| p.borrow_mut()) else {
                return Err(format!("a completion of nobody: {c:?}"));
            };
            part.model.completed(c.token, c.status == Status::Ok)?;
        }
        Ok(())
    }

    /// After the last restart, on a good disk: every partition takes entries and votes, and has them after another restart.
    pub fn everything_works(&self) -> Verdict {
        use super::action::{Action, Batch, Step};
        let batch = Batch { replaces: 2, term_up: true, count: 3, len: 500, payload: crate::support::Payload::Random };
        for part in 0..self.parts.len() {
            for action in [
                Action::Append(batch),
                Action::HardState { term_up: 1, vote: 2, commit: 100 },
                Action::Sync,
                Action::Read,
                Action::Reopen,
            ] {
                self.take(&Step { part, action, during: None })?;
                let part = self.parts[part].borrow();
                if let (Some(fault), false) = (&part.fault, part.tainted) {
                    return Err(format!("{} fails on a good disk: {fault}", part.path));
                }
            }
        }
        Ok(())
    }
}
