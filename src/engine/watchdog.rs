//! The watchdog: looks at the system calls under way of all partitions and tells those that do not come back. It does no I/O and waits
//! for nobody, so one is enough for all disks, however they hang.
//!
//! Only partitions that had a call lately are looked at; one of an engine without any sleeps.

use crate::io::{Calls, CALLS_MAX};
use crate::partition::{Limit, Partition, PartitionLimits};
use crate::sync::{Condvar, Mutex};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(50);
/// A partition without calls in this many looks is not looked at any more until its next call.
const IDLE_LOOKS: u32 = 20;

#[derive(Default)]
pub struct Watchdog {
    watched: Mutex<Watched>,
    wake: Condvar,
}

#[derive(Default)]
struct Watched {
    partitions: Vec<Entry>,
    stop: bool,
}

struct Entry {
    partition: Weak<Partition>,
    calls: Arc<Calls>,
    limits: Arc<PartitionLimits>,
    /// By place: a call, and when it was first seen.
    seen: [Option<Seen>; CALLS_MAX],
    last_look: [u64; CALLS_MAX],
    idle_looks: u32,
    /// Slow calls up to then are one episode.
    slow_until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Seen {
    place: u64,
    since: Instant,
    slow_told: bool,
    stall_told: bool,
}

/// What a look has found out about a call.
struct Finding {
    entry: usize,
    at: usize,
    partition: Weak<Partition>,
    /// What its place held.
    call: u64,
    stalled: bool,
    first: bool,
}

impl Watchdog {
    /// From now on the partition is looked at.
    pub fn add(&self, partition: &Arc<Partition>) {
        let mut watched = self.watched.lock();
        if watched.stop {
            return;
        }
        watched.partitions.push(Entry {
            partition: Arc::downgrade(partition),
            calls: partition.calls().clone(),
            limits: partition.limits_in_force().clone(),
            seen: [None; CALLS_MAX],
            last_look: [0; CALLS_MAX],
            idle_looks: 0,
            slow_until: None,
        });
        if watched.partitions.len() == 1 {
            self.wake.notify_one();
        }
    }

    /// The watchdog's thread.
    pub fn run(&self) {
        let mut next = Some(Instant::now());
        loop {
            {
                let mut watched = self.watched.lock();
                while !watched.stop && watched.partitions.is_empty() {
                    self.wake.wait(&mut watched);
                    next = Some(Instant::now());
                }
                while let Some(at) = next.filter(|at| !watched.stop && Instant::now() < *at) {
                    self.wake.wait_until(&mut watched, at);
                }
                if watched.stop {
                    return;
                }
            }
            next = self.look(Instant::now());
        }
    }

    pub fn stop(&self) {
        let partitions = {
            let mut watched = self.watched.lock();
            watched.stop = true;
            std::mem::take(&mut watched.partitions)
        };
        self.wake.notify_all();
        drop(partitions);
    }

    /// Looks at all partitions that had calls lately. Returns when to look again, `None` if there is nothing to look at.
    pub fn look(&self, now: Instant) -> Option<Instant> {
        let mut next = now + LOOK;
        let mut found = Vec::new();
        {
            let mut watched = self.watched.lock();
            watched.partitions.retain_mut(|entry| entry.stays());
            if watched.partitions.is_empty() {
                return None;
            }
            for (i, entry) in watched.partitions.iter_mut().enumerate() {
                look_at(entry, i, now, &mut next, &mut found);
            }
        }
        for finding in found {
            // A panic costs the finding, not the thread that looks after all others.
            let told = catch_unwind(AssertUnwindSafe(|| finding.tell())).unwrap_or(true);
            if !told {
                self.take_back(&finding);
            }
        }
        Some(next)
    }

    /// The partition's lock was taken: the next look tries again.
    fn take_back(&self, finding: &Finding) {
        let mut watched = self.watched.lock();
        let entry = watched.partitions.get_mut(finding.entry).filter(|e| e.partition.ptr_eq(&finding.partition));
        if let Some(seen) = entry.and_then(|e| e.seen.get_mut(finding.at)).and_then(Option::as_mut) {
            if finding.stalled {
                seen.stall_told = false;
            } else {
                seen.slow_told = false;
            }
        }
    }
}

fn look_at(entry: &mut Entry, number: usize, now: Instant, next: &mut Instant, found: &mut Vec<Finding>) {
    // A call that takes longer is slow, zero for never; one that takes longer hangs.
    let (slow, stall) = (entry.limits.time(Limit::SlowDiskMs), entry.limits.time(Limit::StallLimitMs));
    for (i, (seen, place)) in entry.seen.iter_mut().zip(entry.last_look).enumerate() {
        if Calls::code(place).is_none() {
            *seen = None;
            continue;
        }
        let seen = match seen {
            Some(seen) if seen.place == place => seen,
            _ => seen.insert(Seen { place, since: now, slow_told: false, stall_told: false }),
        };
        let age = now - seen.since;
        let mut tell = |stalled, first| {
            let partition = entry.partition.clone();
            found.push(Finding { entry: number, at: i, partition, call: place, stalled, first });
        };
        if !slow.is_zero() {
            if age >= slow {
                if !std::mem::replace(&mut seen.slow_told, true) {
                    tell(false, entry.slow_until.map_or(true, |until| until < now));
                }
                // Twice the limit without a slow call ends an episode.
                entry.slow_until = Some(now + 2 * slow);
            } else {
                *next = (*next).min(seen.since + slow);
            }
        }
        if age < stall {
            *next = (*next).min(seen.since + stall);
        } else if !std::mem::replace(&mut seen.stall_told, true) {
            tell(true, true);
        }
    }
}

impl Entry {
    /// Notes what is under way. False if this partition need not be looked at any more.
    fn stays(&mut self) -> bool {
        if self.partition.strong_count() == 0 {
            return false;
        }
        let places = self.calls.look();
        let unwatched = self.idle_looks == IDLE_LOOKS;
        let idle = places == self.last_look && places.iter().all(|place| Calls::code(*place).is_none());
        self.last_look = places;
        self.idle_looks = if idle { self.idle_looks + 1 } else { 0 };
        if unwatched {
            // A call that began while `unwatch` ran is seen now; one that began later has made an entry of its own.
            return !idle && self.calls.watch();
        }
        if self.idle_looks == IDLE_LOOKS {
            self.calls.unwatch();
        }
        true
    }
}

impl Finding {
    fn tell(&self) -> bool {
        let Some(partition) = self.partition.upgrade() else { return true };
        let told = if self.stalled {
            partition.call_hangs(self.at, self.call)
        } else {
            partition.call_is_slow(self.call, self.first)
        };
        drop_elsewhere(partition);
        told
    }
}

/// Lets go of a partition on a thread that must not do I/O: the last to let go closes it. If the system has no thread to give it is closed here.
pub fn drop_elsewhere(partition: Arc<Partition>) {
    if let Some(last) = Arc::into_inner(partition) {
        let closing = crate::sync::thread::Builder::new().name("bulkhead-close".into()).spawn(move || drop(last));
        drop(closing);
    }
}
