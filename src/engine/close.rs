//! Close: each disk by itself, so that one that hangs holds up none of the others.

use super::disk::Disk;
use super::Engine;
use crate::error::{Error, Op, Result, Status};
use crate::io::block_file_size_signal;
use crate::partition::Partition;
use crate::sync::thread::{Builder, JoinHandle};
use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// What is open on one disk. In a simulation no disk has threads to end.
#[derive(Default)]
struct OnDisk {
    partitions: Vec<Arc<Partition>>,
    disk: Option<Arc<Disk>>,
}

impl OnDisk {
    /// Everything is closed in any case; the first error.
    fn close(&self) -> Result<()> {
        let close = |p: &Arc<Partition>| {
            catch_unwind(AssertUnwindSafe(|| p.close())).unwrap_or_else(|_| {
                let message = "a panic while a partition was closed; this is a bug of the library";
                Err(Error::new(Status::Panic, Op::Close, message))
            })
        };
        let closed = self.partitions.iter().map(close).fold(Ok(()), Result::and);
        if let Some(disk) = &self.disk {
            disk.stop();
        }
        closed
    }
}

impl Engine {
    /// Closes all partitions, those of one disk one after the other and the disks beside each other, and ends all threads. The first error is
    /// returned, everything is closed in any case. On a disk that hangs each partition may take `stall_limit_ms`; those of other disks do not
    /// wait for it, unless the system has no thread to give.
    pub fn close(&self) -> Result<()> {
        let (disks, watchdog) = {
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
            (disks.into_values().map(Arc::new).collect(), state.watchdog.take())
        };
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
    let last = last.map_or(Ok(()), |disk| disk.close());
    let ended = |(disk, thread): (&Arc<OnDisk>, Option<JoinHandle<Result<()>>>)| match thread.map(JoinHandle::join) {
        Some(Ok(closed)) => closed,
        // No thread was to be had.
        _ => disk.close(),
    };
    disks.iter().zip(closing).map(ended).fold(Ok(()), Result::and).and(last)
}

fn close_beside(disk: &Arc<OnDisk>) -> Option<JoinHandle<Result<()>>> {
    let disk = disk.clone();
    let close = move || {
        block_file_size_signal();
        disk.close()
    };
    Builder::new().name("bulkhead-close".into()).spawn(close).ok()
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.is_handle {
            let _ = self.close();
        }
    }
}
