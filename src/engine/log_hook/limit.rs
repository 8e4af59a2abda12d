//! Lines that repeat: at most so many of a kind in a time.

use crate::error::{Cause, Op};
use crate::partition::{Event, State};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Lines of one kind in a window.
const BURST: u32 = 3;
/// After which there may be as many again.
const WINDOW: Duration = Duration::from_secs(10);
/// Kinds remembered at a time.
const KINDS_MAX: usize = 1 << 16;

/// What lines that repeat have in common: partition, the state it comes to, cause and operation.
type Kind = (u64, State, Cause, Op);

#[derive(Default)]
pub struct Limit {
    kinds: HashMap<Kind, Count>,
    /// Events that found no room since the last line was taken.
    crowded: u64,
}

struct Count {
    since: Instant,
    given: u32,
    left_out: u64,
}

impl Limit {
    /// Whether an event may have a line, and then how many of its kind had none since the last one. Without `room` none has. Each setting
    /// of limits is another: they are not counted as repetitions.
    pub fn admit(&mut self, event: &Event, room: bool, now: Instant) -> Option<u64> {
        if !room {
            self.crowded += 1;
            return None;
        }
        if event.op == Op::SetLimits {
            return Some(0);
        }
        let kind = (event.partition_id, event.to, event.cause, event.op);
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            self.forget(now);
        }
        let count = self.kinds.entry(kind).or_insert(Count { since: now, given: 0, left_out: 0 });
        if now.saturating_duration_since(count.since) >= WINDOW {
            (count.since, count.given) = (now, 0);
        }
        if count.given >= BURST {
            count.left_out += 1;
            return None;
        }
        count.given += 1;
        Some(std::mem::take(&mut count.left_out))
    }

    /// How many found no room: the line that is taken next tells of them.
    pub fn take_crowded(&mut self) -> u64 {
        std::mem::take(&mut self.crowded)
    }

    /// Drops the kinds whose window is over; all of them if that is none.
    fn forget(&mut self, now: Instant) {
        self.kinds.retain(|_, count| now.saturating_duration_since(count.since) < WINDOW);
        if self.kinds.len() >= KINDS_MAX {
            self.kinds.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;

    /// A partition that flaps must not fill the owner's log, and what is left out is counted.
    #[test]
    fn repeated_lines_are_bounded() {
        let (mut limit, now) = (Limit::default(), Instant::now());
        let given = (0..1000).filter(|_| limit.admit(&event(1), true, now).is_some()).count();
        assert_eq!(given, BURST as usize);
        assert_eq!(limit.admit(&event(2), true, now), Some(0), "another partition is no repetition");
        assert_eq!(limit.admit(&event(1), true, now + WINDOW), Some(1000 - u64::from(BURST)));
        assert_eq!(limit.admit(&event(3), false, now), None);
        assert_eq!(limit.take_crowded(), 1, "what found no room is counted, whatever it was");
        assert_eq!(limit.admit(&event(3), true, now), Some(0));
        let set = crate::partition::Event { op: Op::SetLimits, ..event(0) };
        assert!((0..100).all(|_| limit.admit(&set, true, now) == Some(0)), "no two settings of limits are the same");
        for id in 0..3 * KINDS_MAX as u64 {
            limit.admit(&event(id), true, now);
        }
        assert!(limit.kinds.len() <= KINDS_MAX, "{} kinds in memory", limit.kinds.len());
    }
}
