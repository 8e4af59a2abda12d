//! A plain model of one partition: what was written, what was acknowledged, what is durable. `judge` compares a restart with it.
//!
//! The model keeps what the log held when it was last known whole, the entries written since in their order, and how far of these were
//! acknowledged and how far they are durable. Entries reach the log in order, so what a restart may find is the log after some number of
//! them: at least those that the mode and the kind of crash promise. Vote, compaction and reset are durable in every mode when their
//! calls return; one that failed may or may not have happened.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bulkhead::{Entry, HardState, Mode, Partition, State};

use super::read_all;

pub type Log = BTreeMap<u64, Arc<Entry>>;

#[derive(Clone)]
pub struct Model {
    pub mode: Mode,
    /// The openings since the log was last looked at are in this mode.
    pub opened_in: Option<Mode>,
    pub(super) base: Log,
    /// Entries written since `base`, each replacing what stands at and behind its index.
    pub(super) steps: Vec<Arc<Entry>>,
    pub(super) acknowledged: usize,
    pub(super) durable: usize,
    pub(super) compaction: (u64, u64),
    pub(super) maybe_compaction: Option<(u64, u64)>,
    pub(super) maybe_reset: Option<(u64, u64)>,
    pub(super) hard: HardState,
    pub(super) maybe_hard: Vec<HardState>,
    /// Calls that have not returned are storing these.
    pub(super) storing: Vec<HardState>,
    pub(super) highest_commit: u64,
    /// A flush of acknowledged entries failed: the medium may never have got them.
    pub may_report_loss: bool,
    /// Reads were made to fail since it was opened: the open may call damaged what it could not read then. All of it must be readable
    /// once they do not.
    pub reads_failed: bool,
    /// The log as accepted: what was acknowledged, and what was submitted and may still fail.
    pub(super) current: Log,
    /// Submitted batches whose completion is not here yet: token, and how many steps there are with it.
    pub pending: VecDeque<(u64, usize)>,
    /// Everything that was ever written, for disks that lie: what is read must at least be one of these.
    ever: HashMap<u64, Vec<Arc<Entry>>>,
    pub keeps_all: bool,
}

impl Model {
    pub fn new(mode: Mode) -> Model {
        Model {
            mode,
            opened_in: None,
            base: Log::new(),
            steps: Vec::new(),
            acknowledged: 0,
            durable: 0,
            compaction: (0, 0),
            maybe_compaction: None,
            maybe_reset: None,
            hard: HardState { term: 0, vote: 0, commit: 0 },
            maybe_hard: Vec::new(),
            storing: Vec::new(),
            highest_commit: 0,
            may_report_loss: false,
            reads_failed: false,
            current: Log::new(),
            pending: VecDeque::new(),
            ever: HashMap::new(),
            keeps_all: false,
        }
    }

    /// Of an opening that comes next.
    pub fn next_mode(&self) -> Mode {
        self.opened_in.unwrap_or(self.mode)
    }

    /// The log as accepted.
    pub fn log(&self) -> &Log {
        &self.current
    }

    /// Makes `current` what was acknowledged.
    pub(super) fn renew(&mut self) {
        let mut log = self.base.clone();
        self.steps[..self.acknowledged].iter().for_each(|e| apply(&mut log, e));
        self.current = log.split_off(&(self.compaction.0 + 1));
    }

    pub fn last(&self) -> u64 {
        self.current.keys().next_back().copied().unwrap_or(0).max(self.compaction.0)
    }

    pub fn compaction(&self) -> (u64, u64) {
        self.compaction
    }

    pub fn hard(&self) -> HardState {
        self.hard
    }

    pub fn last_term(&self) -> u64 {
        self.current.values().next_back().map_or(self.compaction.1, |e| e.term)
    }

    /// An append was called and came back.
    pub fn appended(&mut self, entries: &[Entry], acknowledged: bool) {
        if acknowledged {
            self.drop_failed(entries);
        }
        self.write(entries, acknowledged);
        if acknowledged {
            self.acknowledged = self.steps.len();
            if self.mode == Mode::Sync {
                self.durable = self.acknowledged;
            }
        }
        if self.steps.len() > 64 && self.durable == self.steps.len() && self.pending.is_empty() {
            self.base = self.current.clone();
            self.steps.clear();
            (self.acknowledged, self.durable) = (0, 0);
        }
    }

    /// Mode sync: a batch was accepted, its completion will say how it came out.
    pub fn submitted(&mut self, entries: &[Entry], token: u64) {
        self.drop_failed(entries);
        self.write(entries, true);
        self.pending.push_back((token, self.steps.len()));
    }

    /// A completion of `submit`. Batches succeed in their order, each completes once.
    pub fn completed(&mut self, token: u64, acknowledged: bool) -> Result<(), String> {
        let place = self.pending.iter().position(|(t, _)| *t == token);
        let Some((_, end)) = place.filter(|i| *i == 0 || !acknowledged).and_then(|i| self.pending.remove(i)) else {
            return Err(format!("completion of {token}, waiting for {:?}", self.pending));
        };
        if acknowledged && self.mode == Mode::Sync {
            self.acknowledged = self.acknowledged.max(end);
            self.durable = self.durable.max(self.acknowledged);
        }
        Ok(())
    }

    /// A fault: in mode sync what was accepted and not acknowledged is gone, or may come back after a restart.
    pub fn rolled_back(&mut self) {
        if self.mode == Mode::Sync {
            self.renew();
        }
    }

    /// The log goes on without what failed before, if that would have replaced something.
    fn drop_failed(&mut self, entries: &[Entry]) {
        let failed = self.steps[self.acknowledged..].iter().map(|e| e.index).min();
        let goes_on = failed.is_some_and(|index| entries.first().is_some_and(|e| e.index > index));
        if goes_on && self.pending.is_empty() {
            self.steps.truncate(self.acknowledged);
        }
    }

    fn write(&mut self, entries: &[Entry], accepted: bool) {
        for entry in entries {
            let entry = Arc::new(entry.clone());
            if accepted {
                apply(&mut self.current, &entry);
            }
            if self.keeps_all {
                self.ever.entry(entry.index).or_default().push(entry.clone());
            }
            self.steps.push(entry);
        }
    }

    /// A partition may report entries of this range as lost: in mode sync those of a flush that failed. A next open may have shown them from the
    /// page cache, found no space to write them anew, and then the kernel dropped them.
    pub fn may_lose(&self, range: (u64, u64)) -> bool {
        self.may_report_loss || !self.surely_there().any(|e| (range.0..=range.1).contains(&e.index))
    }

    /// Entries that were acknowledged and that nothing which was tried since may have replaced.
    pub fn surely_there(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let tried = self.steps[self.acknowledged..].iter().map(|e| e.index).min().unwrap_or(u64::MAX);
        let (log, none) = if self.maybe_reset.is_some() { (&self.base, 0) } else { (&self.current, tried) };
        log.range(..none).map(|(_, e)| e)
    }

    /// Entries that were durable and that nothing which was tried since may have replaced.
    pub fn surely_durable(&self) -> Vec<Arc<Entry>> {
        if self.maybe_reset.is_some() {
            return Vec::new();
        }
        let mut log = self.base.clone();
        self.steps[..self.durable].iter().for_each(|e| apply(&mut log, e));
        let tried = self.steps[self.durable..].iter().map(|e| e.index).min().unwrap_or(u64::MAX);
        log.range(..tried).map(|(_, e)| e.clone()).collect()
    }

    /// True if an entry like this was ever written here.
    pub fn ever_written(&self, entry: &Entry) -> bool {
        self.ever.get(&entry.index).is_some_and(|all| all.iter().any(|e| **e == *entry))
    }

    pub fn synced(&mut self) {
        self.durable = self.acknowledged;
    }

    pub fn compacted(&mut self, index: u64, acknowledged: bool) {
        if index <= self.compaction.0 {
            return;
        }
        let term = self.current.get(&index).map_or(0, |e| e.term);
        if acknowledged {
            self.compaction = (index, term);
            self.current = self.current.split_off(&(index + 1));
            self.hard.commit = self.hard.commit.max(index);
        } else {
            self.maybe_compaction = Some((index, term));
        }
        self.highest_commit = self.highest_commit.max(index);
    }

    pub fn was_reset(&mut self, index: u64, term: u64, acknowledged: bool) {
        self.highest_commit = self.highest_commit.max(index);
        if !acknowledged {
            self.maybe_reset = Some((index, term));
            return;
        }
        self.base.clear();
        self.current.clear();
        self.steps.clear();
        (self.acknowledged, self.durable) = (0, 0);
        self.compaction = (index, term);
        self.hard.commit = index;
    }

    /// The highest term that anybody has seen here.
    pub fn highest_term(&self) -> u64 {
        let hard = self.maybe_hard.iter().chain([&self.hard]).map(|h| h.term);
        let entries = self.steps.iter().map(|e| e.term).chain(self.base.values().map(|e| e.term));
        hard.chain(entries).chain([self.compaction.1]).max().unwrap_or(0)
    }

    /// What a repair has made of a damaged log is the log from now on.
    pub fn was_repaired(&mut self, compaction: (u64, u64), found: Vec<Entry>, hard: HardState) {
        self.base = found.into_iter().map(|e| (e.index, Arc::new(e))).collect();
        self.steps.clear();
        (self.acknowledged, self.durable) = (0, 0);
        (self.compaction, self.maybe_compaction, self.maybe_reset) = (compaction, None, None);
        self.hard = hard;
        self.maybe_hard.clear();
        self.may_report_loss = false;
        self.renew();
    }

    /// A call begins: who looks at the partition before it returns may see this.
    pub fn storing_hard_state(&mut self, state: HardState) {
        self.storing.push(state);
    }

    /// The newest of these calls has returned.
    pub fn hard_state_returned(&mut self) {
        self.storing.pop();
    }

    pub fn hard_state_set(&mut self, state: HardState, acknowledged: bool) {
        self.highest_commit = self.highest_commit.max(state.commit);
        if acknowledged {
            self.hard = state;
            self.maybe_hard.clear();
        } else {
            self.maybe_hard.push(state);
        }
    }

    /// Checks a running partition: reads give what was acknowledged, or an error if it is not ReadWrite.
    pub fn check_running(&self, partition: &Partition) -> Result<(), String> {
        let healthy = partition.status().state == State::ReadWrite;
        let log = self.log();
        match read_all(partition) {
            Err(e) if healthy => Err(format!("a healthy partition cannot be read: {e}")),
            Err(_) => Ok(()),
            // An open that failed half-way knows a part of the log; a failed compaction or reset may be seen or not.
            Ok(found) if !healthy => match found.iter().find(|e| log.get(&e.index).is_some_and(|l| **l != **e)) {
                Some(e) => Err(format!("entry {} of term {} was never acknowledged", e.index, e.term)),
                None => Ok(()),
            },
            Ok(found) => same(&found, log).map_err(|e| format!("running: {e}")),
        }
    }
}

pub(super) fn apply(log: &mut Log, entry: &Arc<Entry>) {
    cut(log, entry.index);
    log.insert(entry.index, entry.clone());
}

/// Removes entries from `index` on.
pub(super) fn cut(log: &mut Log, index: u64) {
    while log.last_key_value().is_some_and(|(last, _)| *last >= index) {
        log.pop_last();
    }
}

/// Like `same`, for the part of a log behind `point`, and without words.
pub(super) fn is_same(found: &[Entry], wanted: &Log, point: u64) -> bool {
    let last = wanted.last_key_value().map(|(_, e)| (e.index, e.term)).filter(|e| e.0 > point);
    if found.last().map(|e| (e.index, e.term)) != last {
        return false;
    }
    let mut rest = wanted.range(point + 1..).map(|(_, e)| e);
    found.iter().all(|f| rest.next().is_some_and(|w| **w == *f)) && rest.next().is_none()
}

pub(super) fn same(found: &[Entry], wanted: &Log) -> Result<(), String> {
    let range = |first: Option<u64>, last: Option<u64>| format!("{} to {}", first.unwrap_or(0), last.unwrap_or(0));
    if found.len() != wanted.len() {
        let f = range(found.first().map(|e| e.index), found.last().map(|e| e.index));
        let w = range(wanted.keys().next().copied(), wanted.keys().last().copied());
        return Err(format!("entries {f} are there, not {w}"));
    }
    for (f, w) in found.iter().zip(wanted.values()) {
        if (f.index, f.term, f.kind) != (w.index, w.term, w.kind) || f.data != w.data {
            return Err(format!("entry {} of term {} is there, not {} of term {}", f.index, f.term, w.index, w.term));
        }
    }
    Ok(())
}
