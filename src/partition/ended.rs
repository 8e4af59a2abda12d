//! How a wait ends that a fault has ended: a waiter may wake up late, when the partition has recovered.

use super::log::Log;
use crate::error::{Error, Result};

/// What was true when a fault ended what calls were waiting for. A waiter that wakes up late, after a recovery even, is answered from here:
/// what was rolled back stays failed, although later numbers are durable by then.
pub(super) struct Ended {
    faults: u64,
    pub lsn: u64,
    pub root: u64,
    error: Error,
}

/// Faults remembered for late waiters; one that is later still is told that its call failed.
const ENDED_MAX: usize = 16;

impl Log {
    /// A fault ends what calls wait for.
    pub fn end_waits(&mut self, error: Error) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        let (faults, lsn, root) = (self.fault_count, self.durable.lsn, self.root.done);
        self.ended.push_back(Ended { faults, lsn, root, error });
        self.fault_count += 1;
    }

    /// How a wait came out that began when `faults` were counted: nothing if no fault has ended it, success if what it waits for was
    /// `reached` by then.
    pub fn ended_wait(&self, faults: u64, reached: impl Fn(&Ended) -> bool) -> Option<Result<()>> {
        if self.fault_count == faults {
            return None;
        }
        let own = self.ended.iter().find(|e| e.faults == faults);
        if own.is_some_and(reached) {
            return Some(Ok(()));
        }
        // One that is not remembered any more counts as failed.
        own.or(self.ended.front()).map(|e| Err(e.error.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Op, Status};

    #[test]
    fn a_waiter_later_than_all_faults_that_are_remembered_hears_that_it_failed() {
        let mut log = Log::new();
        let faults = ENDED_MAX as u64 + 4;
        for n in 0..faults {
            log.durable.lsn = 10 * n;
            log.end_waits(Error::new(Status::IoError, Op::Append, n.to_string()));
        }
        assert_eq!(log.ended.len(), ENDED_MAX, "memory is bounded");
        let reached = |waited_since: u64, lsn: u64| log.ended_wait(waited_since, |e| e.lsn >= lsn);
        assert!(reached(faults, 1000).is_none(), "no fault has ended it");
        assert_eq!(reached(10, 100), Some(Ok(())), "durable when the fault came");
        assert_eq!(reached(10, 101).map(|r| r.map_err(|e| e.message)), Some(Err("10".into())));
        // Whether its own lsn was durable by then is not known any more.
        assert_eq!(reached(0, 0).map(|r| r.map_err(|e| e.message)), Some(Err("4".into())));
    }
}
