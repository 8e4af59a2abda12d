//! One flush of a disk for many partitions: a group of each is written, all beside each other, and then the disk is told to make durable what
//! it has. That takes a fraction of what a flush of each partition's own costs, the more of them wait, the smaller.

use super::watchdog::drop_elsewhere;
use crate::io::{Batch, File};
use crate::partition::{Lent, Partition};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most groups under way at a time.
pub const GROUPS_MAX: usize = 128;
/// How long those that have come back wait for those that have not.
const STRAGGLERS: Duration = Duration::from_millis(5);

/// A group under way, and whose it is.
type Part = (Arc<Partition>, Lent);

pub struct SharedFlush {
    batch: Batch,
    /// By the batch's places.
    parts: Vec<Option<Part>>,
}

/// What a turn has done.
#[derive(Default)]
pub struct Turn {
    /// Groups that were made durable together.
    pub groups: usize,
    pub flush_failed: bool,
}

impl Default for SharedFlush {
    fn default() -> SharedFlush {
        SharedFlush { batch: Batch::new(GROUPS_MAX), parts: (0..GROUPS_MAX).map(|_| None).collect() }
    }
}

impl SharedFlush {
    pub fn room(&self) -> usize {
        GROUPS_MAX - self.under_way()
    }

    /// Groups that an earlier turn did not wait for.
    pub fn under_way(&self) -> usize {
        self.batch.under_way()
    }

    /// Writes a group of each, at most as many as there is `room` for, and makes durable what has come back, of earlier turns as well. `disk`
    /// is a file that nobody writes to: its flush is the disk's. `alone` has those at once that need a worker of their own.
    pub fn turn(&mut self, partitions: Vec<Arc<Partition>>, disk: &dyn File, alone: impl Fn(Arc<Partition>)) -> Turn {
        let mut turn = Turn::default();
        let begun: Vec<usize> = partitions.into_iter().filter_map(|p| self.begin(p, &alone)).collect();
        self.batch.submit();
        let back = self.wait(&begun);
        let (written, failed): (Vec<_>, Vec<_>) = back.into_iter().partition(|(_, _, result)| result.is_ok());
        if !written.is_empty() {
            match catch_unwind(AssertUnwindSafe(|| disk.sync())) {
                Ok(flushed) => {
                    turn.flush_failed = flushed.is_err();
                    turn.groups = written.len();
                    let errno = flushed.err().map(|e| e.raw_os_error().unwrap_or(libc::EIO));
                    let result = || errno.map_or(Ok(()), |e| Err(io::Error::from_raw_os_error(e)));
                    written.into_iter().for_each(|(p, lent, _)| give_back(p, lent, result()));
                }
                Err(_) => written.into_iter().for_each(|(p, lent, _)| panicked(p, lent)),
            }
        }
        failed.into_iter().for_each(|(p, lent, result)| give_back(p, lent, result));
        turn
    }

    /// Begins the write of a partition's group; the place it has.
    fn begin(&mut self, partition: Arc<Partition>, alone: impl Fn(Arc<Partition>)) -> Option<usize> {
        let lend = || {
            let lent = partition.lend()?;
            let place = self.batch.write(lent.file().clone(), lent.bytes(), lent.offset());
            Some((lent, place))
        };
        match catch_unwind(AssertUnwindSafe(lend)) {
            Ok(Some((lent, Some(at)))) => {
                *self.parts.get_mut(at)? = Some((partition, lent));
                Some(at)
            }
            Ok(Some((lent, None))) => {
                let written = lent.write_alone(0);
                give_back(partition, lent, written);
                None
            }
            Ok(None) => {
                alone(partition);
                None
            }
            Err(_) => {
                partition.worker_panicked();
                drop_elsewhere(partition);
                None
            }
        }
    }

    /// What comes back while those that have just begun are waited for.
    fn wait(&mut self, begun: &[usize]) -> Vec<(Arc<Partition>, Lent, io::Result<()>)> {
        let end = Instant::now() + STRAGGLERS;
        let mut results = Vec::new();
        loop {
            let missing = begun.iter().filter(|at| self.parts.get(**at).is_some_and(Option::is_some)).count();
            let left = end.saturating_duration_since(Instant::now());
            let back = self.batch.wait(missing.max(usize::from(begun.is_empty())), left);
            if back.is_empty() {
                return results;
            }
            for (at, result) in back {
                let Some((partition, lent)) = self.parts.get_mut(at).and_then(Option::take) else { continue };
                let whole = match result {
                    Ok(n) if n == lent.len() => Ok(()),
                    Ok(n) => lent.write_alone(n),
                    // The kernel has no room for it now.
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => lent.write_alone(0),
                    Err(e) => Err(e),
                };
                results.push((partition, lent, whole));
            }
        }
    }
}

fn give_back(partition: Arc<Partition>, lent: Lent, result: io::Result<()>) {
    if catch_unwind(AssertUnwindSafe(|| partition.give_back(lent, result))).is_err() {
        partition.worker_panicked();
    }
    drop_elsewhere(partition);
}

fn panicked(partition: Arc<Partition>, lent: Lent) {
    drop(lent);
    partition.worker_panicked();
    drop_elsewhere(partition);
}
