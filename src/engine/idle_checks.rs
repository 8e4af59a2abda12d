//! Finds out that a disk has died while nobody writes to it: where nothing was flushed for a while, one idle partition after the other looks
//! whether its log could still be written. An I/O error of any partition has two others look at theirs at once, until a flush or a look says
//! that the disk lives. So a disk that is gone is known to all its partitions soon, and one bad block costs a few writes. Nothing is concluded
//! from another's file. Few look at a time: one that hangs takes a thread.

use super::watchdog::drop_elsewhere;
use crate::error::Op;
use crate::partition::{DiskCounts, Partition};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Who look at their files for each error.
pub const ASKED_BY_ERROR: usize = 2;
/// Partitions taken from the disk's list at a time.
const CHUNK: usize = 64;
/// How often it is seen whether the limit is another by now.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long nobody is looked for after nobody was found who could look.
const NONE_LEFT: Duration = Duration::from_millis(250);

/// Has a partition look. A panic latches it, nothing else.
pub fn check_idle(partition: &Partition) -> bool {
    catch_unwind(AssertUnwindSafe(|| partition.check_idle())).unwrap_or_else(|_| {
        partition.latch_panic(Op::Append);
        false
    })
}

/// Bytes that were flushed, and looks that found nothing: if they have changed, the disk lives.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Signs(u64, u64);

/// The timer's thread has it.
#[derive(Default)]
pub struct IdleChecks {
    wake: Option<Instant>,
    /// When it was last seen whether the disk is quiet, twice as often as one looks, and the signs at that time.
    since: Option<Instant>,
    signs_since: Signs,
    /// When one looked by time last.
    looked: Option<Instant>,
    /// The last that were seen.
    signs: Signs,
    /// Looks that are to come.
    owed: usize,
    under_way: Vec<Weak<Partition>>,
    /// Place in the disk's list of who is next.
    next: usize,
    /// A disk that has died with thousands of partitions has as many errors: they are not gone through for each.
    none_until: Option<Instant>,
}

impl IdleChecks {
    /// When to look around at the latest.
    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Something may be to do.
    pub fn wakes(&self, asked: usize) -> bool {
        asked > 0 || self.wake.map_or(true, |wake| Instant::now() >= wake)
    }

    /// How many partitions are to look now, of at most so many at a time. `every` is zero if nobody looks.
    pub fn wanted(&mut self, asked: usize, every: Duration, most: usize, counts: &DiskCounts) -> usize {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let half = every / 2;
        self.wake = Some(now + LOOK_AGAIN.min(half.saturating_sub(now - since)));
        let signs =
            Signs(counts.flush_bytes.load(Ordering::Relaxed), counts.idle_checks_passed.load(Ordering::Relaxed));
        let lives = std::mem::replace(&mut self.signs, signs) != signs;
        self.owed = if lives || every.is_zero() { 0 } else { self.owed.saturating_add(asked) };
        self.under_way.retain(|partition| partition.upgrade().is_some_and(still_checks));
        if every.is_zero() {
            self.wake = Some(now + LOOK_AGAIN);
        } else if now - since >= half {
            (self.since, self.wake) = (Some(now), Some(now + half.min(LOOK_AGAIN)));
            let flushed = std::mem::replace(&mut self.signs_since, signs).0 != signs.0;
            let lately = self.looked.is_some_and(|at| now - at + half / 2 < every);
            // Not beside one that hangs, perhaps.
            if !flushed && !lately && self.under_way.is_empty() {
                self.looked = Some(now);
                self.owed = self.owed.max(1);
            }
        }
        let room = most.saturating_sub(self.under_way.len());
        if self.none_until.is_some_and(|until| now < until) {
            0
        } else {
            self.owed.min(room)
        }
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
                    (self.none_until, self.owed) = (Some(Instant::now() + NONE_LEFT), 0);
                    return;
                }
                (wrapped, self.next) = (true, 0);
            }
            for partition in some {
                self.next += 1;
                let Some(partition) = partition.upgrade() else { continue };
                if check_idle(&partition) {
                    self.under_way.push(Arc::downgrade(&partition));
                    self.owed = self.owed.saturating_sub(1);
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

fn still_checks(partition: Arc<Partition>) -> bool {
    let checks = partition.is_checking();
    drop_elsewhere(partition);
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const EVERY: Duration = Duration::from_secs(60);

    /// Its partitions have thousands of errors, each of which asks two others, and soon there are none.
    #[test]
    fn f05_where_nobody_is_left_to_ask_the_disk_is_gone_through_now_and_then() {
        let (mut checks, counts) = (IdleChecks::default(), DiskCounts::default());
        let seen = Cell::new(0);
        let list = |from: usize, most: usize| {
            let some: Vec<_> = (from..1000).take(most).map(|_| Weak::new()).collect();
            seen.set(seen.get() + some.len());
            some
        };
        for round in 1..3 {
            assert_eq!(checks.wanted(2, EVERY, 4, &counts), 2);
            checks.look(2, list);
            assert_eq!(seen.get(), round * 1000);
            assert_eq!(checks.wanted(2, EVERY, 4, &counts), 0);
            checks.none_until = Some(Instant::now());
            checks.owed = 0;
        }
    }

    /// Errors of one partition, thousands perhaps, are not to keep the disk busy.
    #[test]
    fn f05_who_is_asked_by_errors_looks_only_where_nothing_says_that_the_disk_lives() {
        let (mut checks, counts) = (IdleChecks::default(), DiskCounts::default());
        assert_eq!(checks.wanted(1000, EVERY, 4, &counts), 4, "few at a time");
        counts.idle_checks_passed.fetch_add(1, Ordering::Relaxed);
        assert_eq!(checks.wanted(1000, EVERY, 4, &counts), 0, "one has looked");
        counts.flush_bytes.fetch_add(1, Ordering::Relaxed);
        assert_eq!(checks.wanted(1000, EVERY, 4, &counts), 0, "somebody has flushed");
        assert_eq!(checks.wanted(2, EVERY, 4, &counts), 2, "and not since");
        assert_eq!(checks.wanted(2, Duration::ZERO, 4, &counts), 0, "never");
    }

    #[test]
    fn a_limit_that_is_lowered_holds_within_a_second() {
        let (mut checks, counts) = (IdleChecks::default(), DiskCounts::default());
        assert_eq!(checks.wanted(0, EVERY, 4, &counts), 0);
        let in_a_second = |checks: &IdleChecks| checks.wake().is_some_and(|wake| wake <= Instant::now() + LOOK_AGAIN);
        assert!(in_a_second(&checks));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(checks.wanted(0, Duration::from_millis(1), 4, &counts), 1, "by time");
        assert!(in_a_second(&checks));
    }
}
