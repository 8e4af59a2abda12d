//! A disk's journal lane: when many partitions wait for a flush, one write to the journal that they share makes the groups of all of them
//! durable. The journal is an accelerator, never a dependency: what it cannot take, or does not bring to an end in time, goes to the
//! partitions' own segments.

use super::watchdog::drop_elsewhere;
use crate::journal::{Journal, Ticket};
use crate::partition::{Completion, DiskCounts, Journalled, Partition};
use crate::sync::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Most groups of one write.
const BATCH_MAX: usize = 64;
/// So many partitions wait or are flushed at a time: their flushes are the limit.
pub const CROWD: usize = 4;
/// A crowd is over if there was no write for so many within this time.
const CROWD_LASTS: Duration = Duration::from_millis(5);
/// So often a crowd was seen before a journal is made: a short one is not worth its space.
pub const CROWDS_BEFORE_MAKING: u32 = 64;
/// A write that takes longer is not waited for, nor a region that somebody keeps for longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Before another journal is made; doubled with each one that failed, this often at most.
const PAUSE: Duration = Duration::from_secs(1);
const DOUBLINGS_MAX: u32 = 6;

pub struct Lane {
    state: Mutex<State>,
    wake: Condvar,
    crowds_before_making: u32,
}

#[derive(Default)]
struct State {
    journal: Option<Arc<Journal>>,
    waiting: VecDeque<Arc<Partition>>,
    under_way: Option<UnderWay>,
    writes: u64,
    /// Partitions that have something in the turn that is written now.
    users: HashMap<usize, Weak<Partition>>,
    turn: u64,
    /// The last write was for many: as long as that is not long ago, more of them are to be expected.
    crowd_until: Option<Instant>,
    /// Since when there has been no room.
    full: Option<Instant>,
    crowds: u32,
    making: bool,
    failures: u32,
    not_before: Option<Instant>,
    stop: bool,
}

struct UnderWay {
    write: u64,
    since: Instant,
    batch: Vec<Journalled>,
}

/// What a lane needs of its disk.
pub trait Rest {
    /// A worker is to flush this partition to its own segment.
    fn flush(&self, partition: Arc<Partition>);
    /// Housekeeping is to look after this one.
    fn maintain(&self, partition: Arc<Partition>);
    fn complete(&self, completions: &[Completion]);
    fn counts(&self) -> Arc<DiskCounts>;
    fn now(&self) -> Instant;
}

impl Lane {
    pub fn new(crowds_before_making: u32) -> Lane {
        Lane { state: Mutex::default(), wake: Condvar::new(), crowds_before_making }
    }

    /// Takes a partition whose group waits, unless it is better off by itself. `crowded` if others wait as well.
    pub fn push(&self, partition: &Arc<Partition>, crowded: bool, rest: &dyn Rest) -> bool {
        let mut state = self.state.lock();
        let Some(journal) = state.journal.as_ref().filter(|j| !j.is_retired()) else {
            state.crowds = (state.crowds + u32::from(crowded)).min(self.crowds_before_making);
            return false;
        };
        let busy = state.under_way.is_some() || !state.waiting.is_empty();
        let goes_on = || state.crowd_until.is_some_and(|until| rest.now() < until);
        if state.stop || !(crowded || busy || goes_on()) {
            return false;
        }
        if !partition.uses(journal) {
            drop(state);
            if partition.want_journal() {
                rest.maintain(partition.clone());
            }
            return false;
        }
        state.waiting.push_back(partition.clone());
        drop(state);
        self.wake.notify_one();
        true
    }

    pub fn journal(&self) -> Option<Arc<Journal>> {
        self.state.lock().journal.clone()
    }

    /// True if somebody is to make a journal.
    pub fn lacks_journal(&self, now: Instant) -> bool {
        self.state.lock().lacks_journal(now, self.crowds_before_making)
    }

    /// The same for the one who makes it, and then says `made`.
    pub fn make(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let lacks = state.lacks_journal(now, self.crowds_before_making);
        state.making |= lacks;
        lacks
    }

    /// The end of a try to make one. True if it is in use from now on.
    pub fn made(&self, journal: Option<Journal>, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.making = false;
        state.crowds = 0;
        state.put_off(now, journal.is_none());
        if state.stop {
            return false;
        }
        state.journal = journal.map(Arc::new);
        (state.turn, state.full) = (state.journal.as_ref().map_or(0, |j| j.turn()), None);
        state.journal.is_some()
    }

    /// True if `step` has something to do, and all that wait are ready for it.
    pub fn has_work(&self, ready: fn(&Partition) -> bool) -> bool {
        let state = self.state.lock();
        state.under_way.is_none() && !state.waiting.is_empty() && state.waiting.iter().all(|p| ready(p))
    }

    /// Waits for something to do. False when the lane ends: it is stopped, or its journal is not used any more.
    pub fn wait(&self, own: &Arc<Journal>) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.stop || !state.journal.as_ref().is_some_and(|j| Arc::ptr_eq(j, own)) {
                return false;
            }
            if !state.waiting.is_empty() {
                return true;
            }
            self.wake.wait(&mut state);
        }
    }

    /// One write for all that wait. Called by one thread at a time for each journal.
    pub fn step(&self, rest: &dyn Rest) {
        let (journal, waiting) = {
            let mut state = self.state.lock();
            let count = state.waiting.len().min(BATCH_MAX);
            (state.journal.clone(), state.waiting.drain(..count).collect::<Vec<_>>())
        };
        let mut batch = Vec::with_capacity(waiting.len());
        for partition in waiting {
            match journal.as_ref().and_then(|journal| partition.take_for(journal)) {
                Some(group) => batch.push(group),
                None => rest.flush(partition),
            }
        }
        let Some(journal) = journal.filter(|_| !batch.is_empty()) else { return };
        let began = rest.now();
        let write = {
            let mut state = self.state.lock();
            state.writes += 1;
            let write = state.writes;
            state.under_way = Some(UnderWay { write, since: began, batch: batch.clone() });
            write
        };
        let pieces: Vec<_> = batch.iter().map(Journalled::piece).collect();
        let written = catch_unwind(AssertUnwindSafe(|| journal.write(&pieces)));
        drop(pieces);
        drop(batch);
        let batch = {
            let mut state = self.state.lock();
            match state.under_way.take_if(|u| u.write == write) {
                Some(under_way) => under_way.batch,
                // It took too long: its groups went another way.
                None => return,
            }
        };
        let ticket = written.unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())).unwrap_or_else(|_| {
            journal.retire();
            None
        });
        let users = self.note(&batch, ticket.as_ref(), rest.now());
        deliver(batch, ticket.as_ref(), began, rest);
        // So that the region before is free when this one is full.
        let turn = journal.turn();
        for partition in users.iter().filter_map(Weak::upgrade) {
            partition.settle_before(turn);
            drop_elsewhere(partition);
        }
        self.drop_retired(rest);
    }

    /// Notes who has something in which region. Returns those who have it in the one before, once another one is written.
    fn note(&self, batch: &[Journalled], ticket: Option<&Ticket>, now: Instant) -> Vec<Weak<Partition>> {
        let mut state = self.state.lock();
        let Some(ticket) = ticket else {
            state.full.get_or_insert(now);
            return Vec::new();
        };
        state.full = None;
        if batch.len() >= CROWD {
            state.crowd_until = Some(now + CROWD_LASTS);
        }
        let before = if state.turn == ticket.turn() { HashMap::new() } else { std::mem::take(&mut state.users) };
        state.turn = ticket.turn();
        for partition in batch.iter().map(Journalled::partition) {
            state.users.entry(Arc::as_ptr(partition) as usize).or_insert_with(|| Arc::downgrade(partition));
        }
        before.into_values().collect()
    }

    /// Called about once a second.
    pub fn tend(&self, rest: &dyn Rest) {
        let now = rest.now();
        let late = {
            let mut state = self.state.lock();
            let late = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
            let hangs = state.under_way.as_ref().is_some_and(|u| late(u.since));
            if hangs || state.full.is_some_and(late) {
                state.journal.iter().for_each(|j| j.retire());
            }
            if hangs {
                state.under_way.take()
            } else {
                None
            }
        };
        if let Some(under_way) = late {
            deliver(under_way.batch, None, now, rest);
        }
        self.drop_retired(rest);
    }

    /// There is no thread for it.
    pub fn give_up(&self, rest: &dyn Rest) {
        self.state.lock().journal.iter().for_each(|j| j.retire());
        self.drop_retired(rest);
    }

    /// A journal that is not written any more is let go: another one is made when there is a crowd again.
    fn drop_retired(&self, rest: &dyn Rest) {
        let waiting = {
            let mut state = self.state.lock();
            if !state.journal.as_ref().is_some_and(|j| j.is_retired()) {
                return;
            }
            state.journal = None;
            rest.counts().journals_given_up.fetch_add(1, Ordering::Relaxed);
            state.put_off(rest.now(), true);
            std::mem::take(&mut state.waiting)
        };
        self.wake.notify_all();
        waiting.into_iter().for_each(|partition| rest.flush(partition));
    }

    /// No further work. What waited is let go.
    pub fn stop(&self) {
        let (waiting, under_way, journal) = {
            let mut state = self.state.lock();
            state.stop = true;
            (std::mem::take(&mut state.waiting), state.under_way.take(), state.journal.take())
        };
        self.wake.notify_all();
        waiting.into_iter().for_each(drop_elsewhere);
        drop((under_way, journal));
    }
}

impl State {
    fn lacks_journal(&self, now: Instant, crowds: u32) -> bool {
        let crowded = self.journal.is_none() && self.crowds >= crowds;
        crowded && !self.making && !self.stop && !self.not_before.is_some_and(|at| now < at)
    }

    /// Another journal is made a while from now: later each time if it is for one that failed.
    fn put_off(&mut self, now: Instant, failed: bool) {
        self.failures = if failed { self.failures + 1 } else { 0 };
        self.not_before = Some(now + PAUSE * (1 << self.failures.min(DOUBLINGS_MAX)));
    }
}

/// Tells each partition what became of its group, and their owners by one message.
fn deliver(batch: Vec<Journalled>, ticket: Option<&Ticket>, began: Instant, rest: &dyn Rest) {
    if ticket.is_some() {
        let counts = rest.counts();
        counts.journal_writes.fetch_add(1, Ordering::Relaxed);
        counts.journal_groups.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }
    let mut completions = Vec::new();
    for group in batch {
        let partition = group.partition().clone();
        match catch_unwind(AssertUnwindSafe(|| group.done(ticket, began))) {
            Ok(done) => completions.extend(done),
            Err(_) => partition.journal_panicked(),
        }
        drop_elsewhere(partition);
    }
    if !completions.is_empty() {
        rest.complete(&completions);
    }
}
