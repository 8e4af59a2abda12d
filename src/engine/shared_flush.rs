//! One flush of a disk for many partitions: a group of each is written, all beside each other, and then the disk is told to make durable what
//! it has. That takes a fraction of what a flush of each partition's own costs, the more of them wait, the smaller.

use super::shared::Shared;
use super::watchdog::drop_elsewhere;
use crate::io::{Batch, File};
use crate::partition::{Lent, Partition};
use crate::sync::{Condvar, Mutex};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most groups under way at a time.
pub const GROUPS_MAX: usize = 128;
/// How long those that have come back wait for those that have not.
const STRAGGLERS: Duration = Duration::from_millis(5);
/// A group that is written this often is not written with others again.
const TRIES: u32 = 3;

/// A group under way, and whose it is.
struct Part {
    partition: Arc<Partition>,
    lent: Lent,
    /// Shared flushes that had failed when its write began.
    failures: u64,
    /// Other flushes of the disk that had failed by then.
    others: u64,
    tries: u32,
}

pub struct SharedFlush {
    shared: Arc<Shared>,
    batch: Batch,
    /// By the batch's places.
    parts: Vec<Option<Part>>,
    flushes: Arc<DiskFlushes>,
}

/// The shared flushes of a disk. One that fails fails for all whose writes it may have been to make durable: what the drive held is lost, and
/// it says so once, to one of them.
#[derive(Default)]
pub struct DiskFlushes {
    state: Mutex<FlushState>,
    ended: Condvar,
    /// Failed flushes, and durable writes, of partitions by themselves. One may be a bad block of its file, which is nobody else's trouble; or
    /// the drive has given up what it held for others, too, and says so to this one only.
    others: Arc<AtomicU64>,
}

#[derive(Default)]
struct FlushState {
    under_way: Vec<u64>,
    begun: u64,
    failed: u64,
}

impl DiskFlushes {
    pub fn new(others: Arc<AtomicU64>) -> DiskFlushes {
        DiskFlushes { others, ..DiskFlushes::default() }
    }

    fn others(&self) -> u64 {
        self.others.load(Ordering::Acquire)
    }

    /// How many have failed.
    fn failed(&self) -> u64 {
        self.state.lock().failed
    }

    /// Flushes the disk. Also how many have failed by then, those counted that were under way beside it. A panic is passed on.
    fn flush(&self, disk: &dyn File) -> (std::thread::Result<io::Result<()>>, u64) {
        let number = {
            let mut state = self.state.lock();
            state.begun += 1;
            let number = state.begun;
            state.under_way.push(number);
            number
        };
        let flushed = catch_unwind(AssertUnwindSafe(|| disk.sync_disk()));
        let mut state = self.state.lock();
        state.under_way.retain(|n| *n != number);
        if matches!(flushed, Ok(Ok(()))) {
            let beside = state.begun;
            while state.under_way.iter().any(|n| *n <= beside) {
                self.ended.wait(&mut state);
            }
        } else {
            state.failed += 1;
        }
        self.ended.notify_all();
        (flushed, state.failed)
    }
}

/// What a turn has done.
#[derive(Default)]
pub struct Turn {
    /// Groups that were made durable together.
    pub groups: usize,
    pub flush_failed: bool,
    /// The kernel had no room for a write, and it was made alone, one after the other.
    pub no_room: bool,
}

impl SharedFlush {
    /// `flushes` are one for all that share flushes of a disk.
    pub fn new(shared: Arc<Shared>, flushes: Arc<DiskFlushes>) -> SharedFlush {
        let parts = (0..GROUPS_MAX).map(|_| None).collect();
        SharedFlush { shared, batch: Batch::new(GROUPS_MAX), parts, flushes }
    }

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
        let mut begun: Vec<usize> = partitions.into_iter().filter_map(|p| self.begin(p, &alone)).collect();
        loop {
            self.batch.submit();
            let again = self.flush(&begun, disk, &mut turn);
            if again.is_empty() {
                return turn;
            }
            begun = again.into_iter().filter_map(|part| self.write_again(part)).collect();
        }
    }

    /// Makes durable what has come back. Returns what has to be written again.
    fn flush(&mut self, begun: &[usize], disk: &dyn File, turn: &mut Turn) -> Vec<Part> {
        let (back, no_room) = self.wait(begun);
        turn.no_room |= no_room;
        let written = back.iter().any(|(_, result)| result.is_ok());
        let (flushed, failures) = if written { self.flushes.flush(disk) } else { (Ok(Ok(())), self.flushes.failed()) };
        let Ok(flushed) = flushed else {
            back.into_iter().for_each(|(part, _)| panicked(part));
            return Vec::new();
        };
        turn.flush_failed |= flushed.is_err();
        let errno = flushed.as_ref().err().map_or(libc::EIO, |e| e.raw_os_error().unwrap_or(libc::EIO));
        let (others, mut again) = (self.flushes.others(), Vec::new());
        self.shared.completions.hold(|| {
            for (part, result) in back {
                // Also if another's flush failed meanwhile: it may have lost this one's, and this one's flush heard nothing of it.
                let lost = part.failures != failures;
                let durable = if lost { Err(io::Error::from_raw_os_error(errno)) } else { Ok(()) };
                let durable = result.and(durable);
                if durable.is_ok() && part.others != others {
                    again.push(part);
                    continue;
                }
                turn.groups += usize::from(durable.is_ok());
                give_back(part.partition, part.lent, durable);
            }
        });
        again
    }

    /// Somebody's own flush has failed while this group was under way: the drive may have lost it, and is given it once more. The place it has.
    fn write_again(&mut self, part: Part) -> Option<usize> {
        let (lent, tries) = (&part.lent, part.tries + 1);
        let (failures, others) = (self.flushes.failed(), self.flushes.others());
        let write =
            || if tries < TRIES { self.batch.write(lent.file().clone(), lent.bytes(), lent.offset()) } else { None };
        match catch_unwind(AssertUnwindSafe(write)) {
            Ok(Some(at)) => {
                *self.parts.get_mut(at)? = Some(Part { failures, others, tries, ..part });
                return Some(at);
            }
            Ok(None) => write_alone(part),
            Err(_) => panicked(part),
        }
        None
    }

    /// A turn has panicked: nobody knows what has become of those under way.
    pub fn give_up(&mut self) -> Turn {
        self.parts.iter_mut().filter_map(Option::take).for_each(panicked);
        Turn::default()
    }

    /// Begins the write of a partition's group; the place it has.
    fn begin(&mut self, partition: Arc<Partition>, alone: impl Fn(Arc<Partition>)) -> Option<usize> {
        let lend = || {
            let lent = partition.lend()?;
            let place = self.batch.write(lent.file().clone(), lent.bytes(), lent.offset());
            Some((lent, place))
        };
        let (failures, others) = (self.flushes.failed(), self.flushes.others());
        match catch_unwind(AssertUnwindSafe(lend)) {
            Ok(Some((lent, place))) => {
                let part = Part { partition, lent, failures, others, tries: 1 };
                let Some(at) = place else {
                    write_alone(part);
                    return None;
                };
                *self.parts.get_mut(at)? = Some(part);
                Some(at)
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

    /// What comes back while those that have just begun are waited for; if there are none, what is back. True if the kernel had no room for one.
    fn wait(&mut self, begun: &[usize]) -> (Vec<(Part, io::Result<()>)>, bool) {
        // Nobody waits for those that may hang: others would wait for this turn's end.
        let end = Instant::now() + if begun.is_empty() { Duration::ZERO } else { STRAGGLERS };
        let (mut results, mut no_room) = (Vec::new(), false);
        loop {
            let missing = begun.iter().filter(|at| self.parts.get(**at).is_some_and(Option::is_some)).count();
            let left = end.saturating_duration_since(Instant::now());
            let back = self.batch.wait(missing.max(usize::from(begun.is_empty())), left);
            if back.is_empty() {
                return (results, no_room);
            }
            for (at, result) in back {
                let Some(part) = self.parts.get_mut(at).and_then(Option::take) else { continue };
                let lent = &part.lent;
                let whole = || match result {
                    Ok(n) if n == lent.len() => Ok(()),
                    Ok(n) => lent.write_alone(n),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        no_room = true;
                        lent.write_alone(0)
                    }
                    Err(e) => Err(e),
                };
                match catch_unwind(AssertUnwindSafe(whole)) {
                    Ok(whole) => results.push((part, whole)),
                    Err(_) => panicked(part),
                }
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

/// There is no room for it among the others, or it was there too often.
fn write_alone(part: Part) {
    match catch_unwind(AssertUnwindSafe(|| part.lent.write_alone(0))) {
        Ok(written) => give_back(part.partition, part.lent, written),
        Err(_) => panicked(part),
    }
}

fn panicked(part: Part) {
    drop(part.lent);
    part.partition.worker_panicked();
    drop_elsewhere(part.partition);
}

#[cfg(test)]
#[path = "shared_flush_test.rs"]
mod tests;
