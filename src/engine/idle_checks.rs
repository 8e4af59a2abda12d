//! Finds out that a disk has died while nobody writes to it: where nothing was flushed for a while, one idle partition after the other looks
//! whether its log could still be written. A file of any partition that fails has two others look at theirs at once. So a disk that is gone
//! is known to all its partitions within a few rounds of doubling, and one bad block costs two writes. Nothing is concluded from another's file.

use super::watchdog::drop_elsewhere;
use crate::error::Op;
use crate::partition::{DiskCounts, Partition};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Who look at their files for each that has failed.
pub const ASKED_BY_ERROR: usize = 2;
/// Partitions taken from the disk's list at a time.
const CHUNK: usize = 64;
/// How often it is seen whether there are such looks by now, if there are to be none.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Has a partition look. A panic latches it, nothing else.
pub fn check_idle(partition: &Partition) -> bool {
    catch_unwind(AssertUnwindSafe(|| partition.check_idle())).unwrap_or_else(|_| {
        partition.latch_panic(Op::Append);
        false
    })
}

/// The timer's thread has it.
#[derive(Default)]
pub struct IdleChecks {
    due: Option<Instant>,
    /// What had been flushed when it was last due.
    flushed_bytes: u64,
    /// Place in the disk's list of who is next.
    next: usize,
    /// Whose turn it was last.
    last: Weak<Partition>,
    /// Nobody was left to ask: a disk that has died with thousands of partitions has as many errors.
    none_left: bool,
}

impl IdleChecks {
    /// Something may be to do.
    pub fn wakes(&self, asked: usize) -> bool {
        asked > 0 || self.due.map_or(true, |due| Instant::now() >= due)
    }

    /// When one is due by time.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// How many partitions are to look, with those that `asked` for it. `every` is zero if nobody does by time.
    pub fn wanted(&mut self, asked: usize, every: Duration, counts: &DiskCounts) -> usize {
        let now = Instant::now();
        if self.due.is_some_and(|due| now < due) {
            return if every.is_zero() || self.none_left { 0 } else { asked };
        }
        self.none_left = false;
        self.due = Some(now + if every.is_zero() { LOOK_AGAIN } else { every });
        let flushed = counts.flush_bytes.load(Ordering::Relaxed);
        let quiet = std::mem::replace(&mut self.flushed_bytes, flushed) == flushed;
        match (every.is_zero(), quiet && !self.waits()) {
            (true, _) => 0,
            (false, quiet) => asked + usize::from(quiet),
        }
    }

    /// One that hangs is enough, until its partition counts as stalled.
    fn waits(&self) -> bool {
        let Some(last) = self.last.upgrade() else { return false };
        let waits = last.is_checking();
        drop_elsewhere(last);
        waits
    }

    /// Has this many idle partitions look, or as many as there are. `list` gives what is from a place on, at most so many.
    pub fn look(&mut self, mut wanted: usize, list: impl Fn(usize, usize) -> Vec<Weak<Partition>>) {
        let begin = self.next;
        let mut wrapped = false;
        while wanted > 0 {
            let most = if wrapped { CHUNK.min(begin.saturating_sub(self.next)) } else { CHUNK };
            let some = list(self.next, most);
            if some.is_empty() {
                if wrapped {
                    self.none_left = true;
                    return;
                }
                (wrapped, self.next) = (true, 0);
            }
            for partition in some {
                self.next += 1;
                let Some(partition) = partition.upgrade() else { continue };
                if check_idle(&partition) {
                    self.last = Arc::downgrade(&partition);
                    wanted -= 1;
                }
                drop_elsewhere(partition);
                if wanted == 0 {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Its partitions have thousands of errors, each of which asks two others, and soon there are none.
    #[test]
    fn f05_where_nobody_is_left_to_ask_the_disk_is_gone_through_once_a_round() {
        let (mut checks, counts, every) = (IdleChecks::default(), DiskCounts::default(), Duration::from_secs(60));
        let seen = Cell::new(0);
        let list = |from: usize, most: usize| {
            let some: Vec<_> = (from..1000).take(most).map(|_| Weak::new()).collect();
            seen.set(seen.get() + some.len());
            some
        };
        for round in 1..3 {
            assert_eq!(checks.wanted(2, every, &counts), 3, "one by time");
            checks.look(3, list);
            assert_eq!(seen.get(), round * 1000);
            assert_eq!(checks.wanted(2, every, &counts), 0);
            checks.due = Some(Instant::now());
        }
        checks.wanted(0, every, &counts);
        assert_eq!(checks.wanted(2, every, &counts), 2, "nobody has been asked yet");
        assert_eq!(checks.wanted(2, Duration::ZERO, &counts), 0, "never");
    }
}
