//! Lines that repeat: at most so many of a kind in a time. What a partition came to last is said all the same, when that time is over.

use crate::error::{Cause, Op};
use crate::partition::{Event, State};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

/// Lines of one kind in a window.
const BURST: u32 = 3;
/// After which there may be as many again.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Kinds remembered at a time.
const KINDS_MAX: usize = 1 << 16;
/// Partitions of which an event is held back at a time: more than most processes have, and some 5 MB if all of them are.
pub const HELD_MAX: usize = 1 << 14;

/// A partition: its id and directory, hashed. One directory's lines are not another's repetitions.
type Who = u64;
/// What lines that repeat have in common: partition, the state it comes to, cause and operation.
type Kind = (Who, State, Cause, Op);

#[derive(Default)]
pub struct Limit {
    hasher: RandomState,
    kinds: HashMap<Kind, Window>,
    /// By partition: the last event that had no line, until its kind may have one again and there is room.
    held: HashMap<Who, Held>,
    /// When those are due.
    due: BTreeSet<(Instant, Who)>,
    /// Events that found no room since the last line was taken.
    crowded: u64,
    /// All that had no line and will have none.
    left_out: u64,
}

struct Window {
    since: Instant,
    given: u32,
}

struct Held {
    event: Event,
    due: Instant,
    /// Of the partition, since its last line.
    left_out: u64,
}

fn kind(who: Who, event: &Event) -> Kind {
    (who, event.to, event.cause, event.op)
}

fn changes_state(event: &Event) -> bool {
    event.from != event.to
}

/// Whether an event says nothing that is still so once a later one is told.
fn is_made_old(earlier: &Event, later: &Event) -> bool {
    // What was met, and its end. That a disk is slow or a limit was set says nothing of either.
    let of_the_same = later.op != Op::SetLimits && later.cause != Cause::Stalled && !changes_state(earlier);
    changes_state(later) || of_the_same
}

impl Limit {
    /// Whether an event may have a line now, and then how many of its partition had none since the last one. Without `room` none has; what a
    /// partition came to then waits for it. Each setting of limits is another: they are not counted as repetitions.
    pub fn admit(&mut self, event: &Event, room: bool, now: Instant) -> Option<u64> {
        let who = self.who(event);
        if !room && !changes_state(event) {
            self.find_no_room();
            return None;
        }
        if event.op == Op::SetLimits {
            return Some(self.told(who, event));
        }
        let window = self.window(kind(who, event), now);
        let full = window.given >= BURST;
        let due = if full { window.since + WINDOW } else { now };
        if full || !room {
            self.hold(who, event, due);
            return None;
        }
        window.given += 1;
        Some(self.told(who, event))
    }

    /// The next event that was held back long enough, or `at_once` whatever its time, and how many of its partition had no line before it.
    pub fn take_due(&mut self, now: Instant, at_once: bool) -> Option<(Event, u64)> {
        let (due, who) = *self.due.first()?;
        if due > now && !at_once {
            return None;
        }
        self.due.remove(&(due, who));
        let held = self.held.remove(&who)?;
        self.window(kind(who, &held.event), now).given += 1;
        Some((held.event, held.left_out))
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// How many found no room: the line that is taken next tells of them.
    pub fn take_crowded(&mut self) -> u64 {
        std::mem::take(&mut self.crowded)
    }

    /// How many there ever were that had no line, those that are held back left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// For the next hook: begins anew, only what is counted stays.
    pub fn begin(&mut self) {
        *self = Limit { left_out: self.left_out, ..Limit::default() };
    }

    fn who(&self, event: &Event) -> Who {
        self.hasher.hash_one((event.partition_id, &event.path))
    }

    fn find_no_room(&mut self) {
        self.crowded += 1;
        self.left_out += 1;
    }

    /// The event has a line, and may make the one that is held back old.
    fn told(&mut self, who: Who, event: &Event) -> u64 {
        let Some(held) = self.held.get_mut(&who) else { return 0 };
        if !is_made_old(&held.event, event) {
            return std::mem::take(&mut held.left_out);
        }
        let left_out = held.left_out + 1;
        self.due.remove(&(held.due, who));
        self.held.remove(&who);
        self.left_out += 1;
        left_out
    }

    /// The event has no line yet, and takes the place of the one before it; but what a partition has met does not hide what it came to.
    fn hold(&mut self, who: Who, event: &Event, due: Instant) {
        let Some(held) = self.held.get_mut(&who) else {
            if self.held.len() >= HELD_MAX {
                return self.find_no_room();
            }
            self.held.insert(who, Held { event: event.clone(), due, left_out: 0 });
            self.due.insert((due, who));
            return;
        };
        held.left_out += 1;
        self.left_out += 1;
        if changes_state(event) || !changes_state(&held.event) {
            self.due.remove(&(held.due, who));
            self.due.insert((due, who));
            (held.event, held.due) = (event.clone(), due);
        }
    }

    /// Of a kind at this time: a new one if the last one is over.
    fn window(&mut self, kind: Kind, now: Instant) -> &mut Window {
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            self.forget(now);
        }
        let window = self.kinds.entry(kind).or_insert(Window { since: now, given: 0 });
        if now.saturating_duration_since(window.since) >= WINDOW {
            *window = Window { since: now, given: 0 };
        }
        window
    }

    /// Drops the kinds whose window is over; all of them if that is none.
    fn forget(&mut self, now: Instant) {
        self.kinds.retain(|_, window| now.saturating_duration_since(window.since) < WINDOW);
        if self.kinds.len() >= KINDS_MAX {
            self.kinds.clear();
        }
    }
}

#[cfg(test)]
#[path = "limit_test.rs"]
mod tests;
