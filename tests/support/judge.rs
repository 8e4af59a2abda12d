//! The judge: what a model allows a restart or a recovery to find.

use bulkhead::{Cause, Entry, HardState, Mode, Partition, State};
use std::sync::Arc;

use super::model::{apply, cut, is_same, same, Log, Model};
use super::read_all;

/// What came before a judgement, and with it what must still be there; the later in the list, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum After {
    /// `recover` in the same process, with the memory it has.
    Recover,
    /// A close that returned OK, and an open.
    Close,
    /// The end of the process (or a close that failed), and an open.
    Process,
    /// A power cut, and an open.
    Power,
}

/// How a judgement came out, where no rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Good,
    /// Entries are gone, and the partition says so and stays Unavailable. Only after a failed flush of what was acknowledged before.
    ReportedLoss,
}

impl Model {
    /// Judges what a restart or a recovery finds, and takes it over as the new truth.
    pub fn judge(&mut self, partition: &Partition, after: After) -> Result<Finding, String> {
        let status = partition.status();
        if self.may_report_loss
            && status.state == State::Unavailable
            && status.cause == Cause::LostEntries
            && status.lost.0 != 0
        {
            return Ok(Finding::ReportedLoss);
        }
        if status.state != State::ReadWrite {
            return Err(format!(
                "not ReadWrite after {after:?}: {:?} {:?}, {:?}",
                status.state,
                status.cause,
                partition.last_fault()
            ));
        }
        self.judge_shown(partition, after)
    }

    /// The same of one that can be read, whatever its state.
    pub fn judge_shown(&mut self, partition: &Partition, after: After) -> Result<Finding, String> {
        let status = partition.status();
        if (status.damaged.2 != 0 && !self.reads_failed) || status.lost != (0, 0) {
            return Err(format!("damage {:?}, loss {:?} where there is none", status.damaged, status.lost));
        }
        let found = read_all(partition).map_err(|e| format!("cannot be read after a restart: {e}"))?;
        let (first, last) = partition.bounds().map_err(|e| e.to_string())?;
        let point = first - 1;
        if last != found.last().map_or(point, |e| e.index) {
            return Err(format!("bounds say {first} to {last}, {} entries are there", found.len()));
        }
        self.judge_log(point, &found, after)?;
        if point > 0 {
            let term = partition.term(point).map_err(|e| format!("term of the compaction point: {e}"))?;
            let known = [Some(self.compaction), self.maybe_compaction, self.maybe_reset];
            if !known.contains(&Some((point, term))) {
                return Err(format!("compaction point {point} of term {term}, known are {known:?}"));
            }
            self.compaction = (point, term);
        }
        let hard = partition.hard_state().map_err(|e| format!("hard state: {e}"))?;
        self.judge_hard_state(hard, point, last, after)?;
        self.judge_committed(hard.commit, &found)?;
        self.adopt(found, hard, after);
        Ok(Finding::Good)
    }

    fn judge_log(&self, point: u64, found: &[Entry], after: After) -> Result<(), String> {
        let reset_happened = self.maybe_reset.is_some_and(|r| r.0 == point) && found.is_empty();
        let allowed = [Some(self.compaction), self.maybe_compaction].iter().flatten().any(|c| c.0 == point);
        if !allowed && !reset_happened {
            return Err(format!(
                "compaction point {point}, acknowledged {:?}, tried {:?}",
                self.compaction, self.maybe_compaction
            ));
        }
        if reset_happened {
            return Ok(());
        }
        let promised = match (after, self.mode) {
            (After::Recover | After::Close, _) | (After::Process, Mode::None | Mode::Sync) => self.acknowledged,
            (After::Process, Mode::Interval) | (After::Power, _) => self.durable,
        };
        let Some(first) = self.other_log(point, found, promised) else { return Ok(()) };
        let first = first.range(point + 1..).map(|(i, e)| (*i, e.clone())).collect();
        let first_difference = same(found, &first).err().unwrap_or_default();
        let (a, n) = (self.acknowledged, self.steps.len());
        Err(format!("none of the logs that {after:?} may leave (promised {promised}, acknowledged {a}, written {n}): {first_difference}"))
    }

    /// None if this is one of the logs that there were from step `promised` on; else the first of them.
    fn other_log(&self, point: u64, found: &[Entry], promised: usize) -> Option<Log> {
        let mut log = self.base.clone();
        self.steps[..promised].iter().for_each(|e| apply(&mut log, e));
        let first = log.clone();
        for step in promised..=self.steps.len() {
            if is_same(found, &log, point) {
                return None;
            }
            // A replacement may have cut the old suffix before its first entry arrived.
            if let Some(next) = self.steps.get(step) {
                cut(&mut log, next.index);
                if is_same(found, &log, point) {
                    return None;
                }
                apply(&mut log, next);
            }
        }
        Some(first)
    }

    /// True if a copy that is made now may hold this; with everything that was acknowledged if `whole`.
    pub fn allows_copy(&self, point: u64, found: &[Entry], hard: HardState, whole: bool) -> bool {
        let points = [Some(self.compaction), self.maybe_compaction, self.maybe_reset];
        let is_point = points.iter().flatten().any(|c| c.0 == point);
        let was_reset = self.maybe_reset.is_some_and(|r| r.0 == point) && found.is_empty();
        let promised = if whole { self.acknowledged } else { self.durable };
        let last = found.last().map_or(point, |e| e.index);
        let commits = point..=last.min(self.highest_commit().max(point));
        self.judge_vote(hard).is_ok()
            && commits.contains(&hard.commit)
            && is_point
            && (was_reset || self.other_log(point, found, promised).is_none())
    }

    pub fn judge_vote(&self, found: HardState) -> Result<(), String> {
        let votes: Vec<_> =
            self.maybe_hard.iter().chain(&self.storing).chain([&self.hard]).map(|h| (h.term, h.vote)).collect();
        if !votes.contains(&(found.term, found.vote)) {
            return Err(format!("term {} and vote {} were never the newest: {votes:?}", found.term, found.vote));
        }
        Ok(())
    }

    fn highest_commit(&self) -> u64 {
        self.storing.iter().map(|h| h.commit).fold(self.highest_commit, u64::max)
    }

    /// What an opening shows that cannot be written yet: the owner relies on it.
    pub fn hard_state_found(&mut self, found: HardState) -> Result<(), String> {
        self.judge_vote(found)?;
        self.hard = found;
        self.maybe_hard.clear();
        Ok(())
    }

    fn judge_hard_state(&self, found: HardState, point: u64, last: u64, after: After) -> Result<(), String> {
        self.judge_vote(found)?;
        let bounds = point..=last.min(self.highest_commit().max(point));
        if !bounds.contains(&found.commit) {
            return Err(format!(
                "commit {} is outside {bounds:?} (last entry {last}, compaction point {point})",
                found.commit
            ));
        }
        let stays = after <= After::Close && self.maybe_hard.is_empty() && self.maybe_reset.is_none();
        if stays && found.commit < self.hard.commit {
            return Err(format!("commit {} was stored, {} is there after {after:?}", self.hard.commit, found.commit));
        }
        Ok(())
    }

    /// A stored commit is never about another version of an entry than the one that was committed.
    fn judge_committed(&self, commit: u64, found: &[Entry]) -> Result<(), String> {
        if !self.maybe_hard.is_empty() || self.maybe_reset.is_some() {
            return Ok(());
        }
        let other = |e: &&Entry| e.index <= commit && self.current.get(&e.index).is_some_and(|c| **c != **e);
        match found.iter().find(other) {
            Some(e) => Err(format!("commit is {commit}, and entry {} of term {} was never committed", e.index, e.term)),
            None => Ok(()),
        }
    }

    /// What was found is what the owner now relies on. In mode sync an open makes it durable; in the others what was not synced still may go.
    fn adopt(&mut self, found: Vec<Entry>, hard: HardState, after: After) {
        let in_memory = matches!(after, After::Recover | After::Process);
        let other_mode = self.opened_in.take().map(|mode| self.mode = mode).is_some();
        let point = self.compaction.0;
        // Where nothing but what was acknowledged is there, what may come back of it after a power cut is as it was before.
        let goes_on = in_memory && self.maybe_reset.is_none() && is_same(&found, &self.current, point);
        if !goes_on {
            self.take_over(found, in_memory);
        } else if self.pending.is_empty() {
            // What failed before is superseded.
            self.steps.truncate(self.acknowledged);
        }
        if other_mode && self.mode == Mode::Sync {
            self.durable = self.acknowledged;
        }
        self.maybe_compaction = None;
        self.maybe_reset = None;
        self.maybe_hard.clear();
        self.hard = hard;
        self.may_report_loss = false;
        if goes_on && !self.pending.is_empty() {
            // The log as accepted, with what is submitted and not acknowledged yet: a call that failed alone takes none of that back.
            self.current = self.current.split_off(&(point + 1));
        } else {
            self.renew();
        }
    }

    fn take_over(&mut self, found: Vec<Entry>, in_memory: bool) {
        let keeps_steps = self.mode != Mode::Sync && in_memory && self.maybe_reset.is_none();
        let mut durable = self.base.clone();
        self.steps[..self.durable].iter().for_each(|e| apply(&mut durable, e));
        let found = found.into_iter().map(Arc::new);
        let (base, steps): (Vec<_>, _) = found.partition(|e| !keeps_steps || durable.get(&e.index) == Some(e));
        self.base = base.into_iter().map(|e| (e.index, e)).collect();
        self.steps = steps;
        self.pending.clear();
        self.durable = 0;
        self.acknowledged = self.steps.len();
    }
}
