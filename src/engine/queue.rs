//! Events and completions: queues that the caller's side drains, each with a descriptor to poll.

use super::log_hook::HookedLog;
use crate::io::EventFd;
use crate::partition::{in_words, joined, Completion, Event, LimitScope};
use crate::sync::Mutex;
use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Events kept for a slow reader; beyond that, changes of one partition are merged into its latest, settings of limits into the latest of those.
const EVENTS_MAX: usize = 1024;

pub struct EventQueue {
    queue: Mutex<(VecDeque<(Event, Tag)>, u64)>,
    pub fd: EventFd,
    /// Has every event, merged or not.
    pub log: HookedLog,
}

/// A partition's tag as it is when its event is drained: an event of its opening comes before the owner could set one.
pub type Tag = Arc<AtomicU64>;

impl EventQueue {
    pub fn new() -> std::io::Result<EventQueue> {
        Ok(EventQueue { queue: Mutex::new((VecDeque::new(), 0)), fd: EventFd::new()?, log: HookedLog::default() })
    }

    pub fn push(&self, mut event: Event, tag: Tag) {
        let mut guard = self.queue.lock();
        let (queue, sequence) = &mut *guard;
        *sequence += 1;
        event.sequence = *sequence;
        event.time_unix_ns =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        self.log.offer(&event);
        if queue.len() >= EVENTS_MAX {
            let same = queue.iter().position(|(e, _)| owner_of(e) == owner_of(&event));
            if let Some((older, _)) = same.and_then(|i| queue.remove(i)) {
                merge(&older, &mut event);
            }
        }
        queue.push_back((event, tag));
        self.fd.signal();
    }

    /// How many there ever were, and how many wait.
    pub fn levels(&self) -> (u64, u64) {
        let queue = self.queue.lock();
        (queue.1, queue.0.len() as u64)
    }

    pub fn drain(&self, max: usize) -> Vec<Event> {
        let mut guard = self.queue.lock();
        let n = max.min(guard.0.len());
        let events =
            guard.0.drain(..n).map(|(event, tag)| Event { tag: tag.load(Ordering::Relaxed), ..event }).collect();
        if guard.0.is_empty() {
            self.fd.clear();
        }
        events
    }
}

/// What an event is about: a partition, whichever opening of it, or whose limits.
fn owner_of(event: &Event) -> (u64, &Path, Option<(LimitScope, u64)>) {
    (event.partition_id, &event.path, limits_of(event))
}

/// Whose limits an event sets; none if it is about something else.
fn limits_of(event: &Event) -> Option<(LimitScope, u64)> {
    event.limits.first().map(|limit| (limit.changed_for, limit.device))
}

/// Makes one event of two: from what was before the first to what is after the second.
fn merge(older: &Event, event: &mut Event) {
    event.from = older.from;
    event.merged = older.merged.saturating_add(1);
    if !event.limits.is_empty() {
        event.limits = joined(&older.limits, &event.limits);
        event.note = in_words(&event.limits);
    }
}

pub struct CompletionQueue {
    queue: Mutex<VecDeque<Completion>>,
    pub fd: EventFd,
}

impl CompletionQueue {
    pub fn new() -> std::io::Result<CompletionQueue> {
        Ok(CompletionQueue { queue: Mutex::new(VecDeque::new()), fd: EventFd::new()? })
    }

    pub fn push(&self, completions: &[Completion]) {
        let mut queue = self.queue.lock();
        let was_empty = queue.is_empty();
        queue.extend(completions);
        if was_empty && !HELD.get() {
            self.fd.signal();
        }
    }

    /// What `work` completes on this thread wakes who waits once, at the end.
    pub fn hold<T>(&self, work: impl FnOnce() -> T) -> T {
        HELD.set(true);
        let done = work();
        HELD.set(false);
        if !self.queue.lock().is_empty() {
            self.fd.signal();
        }
        done
    }

    pub fn drain(&self, max: usize) -> Vec<Completion> {
        let mut queue = self.queue.lock();
        let n = max.min(queue.len());
        let completions: Vec<Completion> = queue.drain(..n).collect();
        if queue.is_empty() {
            self.fd.clear();
        }
        completions
    }
}

thread_local! {
    static HELD: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, Op};
    use crate::partition::{Limit, LimitChanged, State};
    use std::path::PathBuf;

    fn event(partition_id: u64) -> Event {
        Event {
            sequence: 0,
            partition_id,
            time_unix_ns: 0,
            from: State::ReadWrite,
            to: State::Unavailable,
            cause: Cause::IoError,
            op: Op::Append,
            errno: 5,
            merged: 0,
            range: (0, 0),
            tag: 0,
            path: PathBuf::new(),
            note: String::new(),
            limits: Vec::new(),
        }
    }

    #[test]
    fn a_slow_reader_sees_the_latest_state_of_every_partition() {
        let queue = EventQueue::new().unwrap();
        let tags: Vec<Tag> = (0..EVENTS_MAX as u64).map(|id| Arc::new(AtomicU64::new(id))).collect();
        for _ in 0..3 {
            for (id, tag) in tags.iter().enumerate() {
                queue.push(event(id as u64), tag.clone());
            }
        }
        let events = queue.drain(usize::MAX);
        assert_eq!(events.len(), EVENTS_MAX, "memory is bounded by partitions, and none is missing");
        assert!(events.iter().all(|e| e.merged == 2 && e.tag == e.partition_id), "what was merged is counted");
        assert!(queue.drain(1).is_empty());
    }

    /// An owner that opens a broken partition again and again must not fill the memory of the process with its events.
    #[test]
    fn events_of_all_openings_of_a_partition_are_merged() {
        let queue = EventQueue::new().unwrap();
        let opening = |path: &str| Event { path: PathBuf::from(path), ..event(1) };
        (0..3 * EVENTS_MAX as u64).for_each(|n| queue.push(opening("/p1"), Arc::new(AtomicU64::new(n))));
        queue.push(opening("/elsewhere"), Arc::default());
        let events = queue.drain(usize::MAX);
        assert_eq!(events.len(), EVENTS_MAX + 1, "those of another directory are its own");
        assert_eq!(events[EVENTS_MAX - 1].tag, 3 * EVENTS_MAX as u64 - 1, "the last opening's");
    }

    fn limits(limit: Limit, (before, after): (u64, u64), changed_for: LimitScope) -> Event {
        let one = LimitChanged { limit, changed_for, device: 0, before, after, set_for: changed_for };
        Event { from: State::Unavailable, cause: Cause::None, op: Op::SetLimits, limits: vec![one], ..event(1) }
    }

    /// An audit of limits must not miss one that another followed, and a fault must not become a setting of limits.
    #[test]
    fn settings_of_limits_are_merged_from_the_first_to_the_last() {
        let queue = EventQueue::new().unwrap();
        (0..EVENTS_MAX as u64).for_each(|id| queue.push(event(100 + id), Arc::default()));
        let (partition, engine): (Tag, Tag) = (Arc::default(), Arc::default());
        let of = LimitScope::Partition;
        queue.push(event(1), partition.clone());
        queue.push(limits(Limit::ProbeMs, (250, 70), of), partition.clone());
        queue.push(limits(Limit::HealLimitMs, (300, 0), of), partition.clone());
        queue.push(limits(Limit::ProbeMs, (70, 90), of), partition.clone());
        for (before, after) in [(250, 60), (60, 50)] {
            queue.push(limits(Limit::ProbeMs, (before, after), LimitScope::Engine), engine.clone());
            queue.push(limits(Limit::ProbeMs, (before, after), LimitScope::Disk), engine.clone());
        }
        let events = queue.drain(usize::MAX).split_off(EVENTS_MAX);
        assert_eq!(events.len(), 4, "the fault, and limits of partition, engine and disk: {events:?}");
        assert_eq!((events[0].cause, events[0].merged), (Cause::IoError, 0));
        assert_eq!((events[1].op, events[1].merged), (Op::SetLimits, 2));
        let told: Vec<_> = events[1].limits.iter().map(|l| (l.limit, l.before, l.after)).collect();
        assert_eq!(told, [(Limit::ProbeMs, 250, 90), (Limit::HealLimitMs, 300, 0)]);
        assert_eq!(events[1].note, "probe_ms 250 to 90, heal_limit_ms 300 to never");
        assert_eq!(events[2].note, "the engine: probe_ms 250 to 50");
        assert_eq!(events[3].note, "disk 0:0: probe_ms 250 to 50");
    }
}
