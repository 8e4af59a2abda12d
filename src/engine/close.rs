//! Close: each disk by itself, so that one that hangs holds up none of the others, and its partitions beside each other.

use super::disk::Disk;
use super::Engine;
use crate::error::{Error, Op, Result, Status};
use crate::io::block_file_size_signal;
use crate::partition::{Limit, Partition};
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Threads that close partitions of one disk: at first, so that a few that hang leave flush threads to the others, and at most.
const CLOSERS: usize = 4;
const CLOSERS_MAX: usize = 1024;
/// Of the stall limit: closers that have closed less than one each in this time are not enough.
const LOOK_AFTER: u32 = 8;

/// What is open on one disk. In a simulation no disk has threads to end.
#[derive(Default)]
struct OnDisk {
    partitions: Vec<Arc<Partition>>,
    disk: Option<Arc<Disk>>,
    stall_limit: Duration,
    /// The first that nobody closes yet.
    next: AtomicUsize,
    closed: Mutex<Closed>,
    changed: Condvar,
}

struct Closed {
    count: usize,
    /// The first error.
    result: Result<()>,
}

impl Default for Closed {
    fn default() -> Closed {
        Closed { count: 0, result: Ok(()) }
    }
}

impl OnDisk {
    /// Everything is closed in any case; the first error.
    fn close(self: &Arc<OnDisk>, threads: bool) -> Result<()> {
        if threads && self.partitions.len() > 1 {
            self.close_by_threads();
        } else {
            self.close_rest();
        }
        if let Some(disk) = &self.disk {
            disk.stop();
        }
        self.closed.lock().result.clone()
    }

    /// By a few threads, so that a disk which works hears of few at once; by twice as many, again and again, while they hardly get on.
    fn close_by_threads(self: &Arc<OnDisk>) {
        let count = self.partitions.len();
        let (mut closers, mut wanted) = (Vec::new(), CLOSERS);
        let mut closed = 0;
        while closed < count {
            while closers.len() < wanted.min(count) {
                let Some(closer) = spawn(self, |disk| disk.close_rest()) else { break };
                closers.push(closer);
            }
            if closers.is_empty() {
                return self.close_rest();
            }
            let until = Instant::now() + self.stall_limit / LOOK_AFTER;
            let before = std::mem::replace(&mut closed, self.wait_closed(until));
            if closed - before < closers.len() {
                wanted = (2 * closers.len()).min(CLOSERS_MAX);
            }
        }
        closers.into_iter().for_each(|closer| drop(closer.join()));
    }

    /// How many are closed when that is all, or then.
    fn wait_closed(&self, until: Instant) -> usize {
        let mut closed = self.closed.lock();
        while closed.count < self.partitions.len() && !self.changed.wait_until(&mut closed, until).timed_out() {}
        closed.count
    }

    /// Closes those that nobody else does.
    fn close_rest(&self) {
        while let Some(partition) = self.partitions.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let result = catch_unwind(AssertUnwindSafe(|| partition.close())).unwrap_or_else(|_| {
                let message = "a panic while a partition was closed; this is a bug of the library";
                Err(Error::new(Status::Panic, Op::Close, message))
            });
            let mut closed = self.closed.lock();
            closed.count += 1;
            if closed.result.is_ok() {
                closed.result = result;
            }
            self.changed.notify_all();
        }
    }
}

impl Engine {
    /// Closes all partitions, beside each other, and ends all threads. The first error is returned, everything is closed in any case. A disk
    /// that hangs takes about `stall_limit_ms` for its partitions, and as long for its threads; in mode none until it comes back. Other disks do
    /// not wait for it, unless the system has no thread to give.
    pub fn close(&self) -> Result<()> {
        let (mut disks, watchdog) = {
            let mut state = self.state.lock();
            if state.closed {
                return Ok(());
            }
            state.closed = true;
            let mut disks: BTreeMap<u64, OnDisk> = BTreeMap::new();
            for ((device, _), partition) in std::mem::take(&mut state.open) {
                disks.entry(device).or_default().partitions.extend(partition.upgrade());
            }
            for (device, disk) in std::mem::take(&mut state.disks) {
                disks.entry(device).or_default().disk = Some(disk);
            }
            (disks, state.watchdog.take())
        };
        // Without the lock of the state: an opening takes that one second.
        for (device, on_disk) in &mut disks {
            on_disk.stall_limit = self.shared.limits.of_disk(*device).time(Limit::StallLimitMs);
        }
        let disks = disks.into_values().map(Arc::new).collect();
        let result = close_disks(disks, self.has_threads());
        if let Some(stepped) = &self.stepped {
            stepped.stop();
        }
        self.shared.watchdog.stop();
        if let Some(thread) = watchdog {
            let _ = thread.join();
        }
        self.end_log();
        result
    }
}

/// The last one on this thread, the others on one each.
fn close_disks(mut disks: Vec<Arc<OnDisk>>, threads: bool) -> Result<()> {
    let last = disks.pop();
    let closing: Vec<_> = disks.iter().map(|disk| threads.then(|| close_beside(disk)).flatten()).collect();
    let last = last.map_or(Ok(()), |disk| disk.close(threads));
    let ended = |(disk, thread): (&Arc<OnDisk>, Option<JoinHandle<Result<()>>>)| match thread.map(JoinHandle::join) {
        Some(Ok(closed)) => closed,
        // No thread was to be had.
        _ => disk.close(threads),
    };
    disks.iter().zip(closing).map(ended).fold(Ok(()), Result::and).and(last)
}

fn close_beside(disk: &Arc<OnDisk>) -> Option<JoinHandle<Result<()>>> {
    spawn(disk, |disk| disk.close(true))
}

fn spawn<T: Send + 'static>(disk: &Arc<OnDisk>, close: fn(&Arc<OnDisk>) -> T) -> Option<JoinHandle<T>> {
    let disk = disk.clone();
    let run = move || {
        block_file_size_signal();
        close(&disk)
    };
    Builder::new().name("bulkhead-close".into()).spawn(run).ok()
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.is_handle {
            let _ = self.close();
        }
    }
}
