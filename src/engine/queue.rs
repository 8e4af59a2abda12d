//! Events and completions: queues that the caller's side drains, each with a descriptor to poll.

use super::log_hook::HookedLog;
use crate::io::EventFd;
use crate::partition::{Completion, Event};
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Events kept for a slow reader; beyond that, changes of one partition are merged into its latest.
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
            let same = queue.iter().position(|(_, t)| Arc::ptr_eq(t, &tag));
            if let Some((older, _)) = same.and_then(|i| queue.remove(i)) {
                event.from = older.from;
                event.merged = older.merged.saturating_add(1);
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
        if was_empty {
            self.fd.signal();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, Op};
    use crate::partition::State;
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
}
