//! What all partitions of a disk count together: times and sizes as histograms, faults, heals, errors.

use super::types::Mode;
use crate::error::{Cause, Op};
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Numbers by powers of two: place i counts what is at most 2^i units and more than half of that. The last place takes all that is more.
pub struct Histogram<const PLACES: usize> {
    places: [AtomicU64; PLACES],
    sum: AtomicU64,
}

impl<const PLACES: usize> Default for Histogram<PLACES> {
    fn default() -> Self {
        Histogram { places: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

impl<const PLACES: usize> Histogram<PLACES> {
    fn note(&self, units: u64, sum: u64) {
        let place = if units <= 1 { 0 } else { units.ilog2() as usize + usize::from(!units.is_power_of_two()) };
        self.places[place.min(PLACES - 1)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(sum, Ordering::Relaxed);
    }

    /// How many of each place, and the sum of all.
    pub fn read(&self) -> (Vec<u64>, u64) {
        (self.places.iter().map(|p| p.load(Ordering::Relaxed)).collect(), self.sum.load(Ordering::Relaxed))
    }
}

/// Places of a histogram of times: 1 us to 2^23 us (8.4 s), and more.
pub const TIME_PLACES: usize = 25;
/// Places of a histogram of sizes: 1 to 2^14, and more.
pub const SIZE_PLACES: usize = 16;

/// Times, by powers of two of a microsecond; the sum is in nanoseconds.
pub type Times = Histogram<TIME_PLACES>;
pub type Sizes = Histogram<SIZE_PLACES>;

impl Times {
    pub fn note_time(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.note(nanos.div_ceil(1000), nanos);
    }
}

impl Sizes {
    pub fn note_size(&self, size: u64) {
        self.note(size, size);
    }
}

/// Who healed a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealedBy {
    /// The call that met the fault.
    Call,
    Probe,
    /// The owner, by `recover`.
    Owner,
}

pub const HEALERS: usize = HealedBy::Owner as usize + 1;

/// How a segment's file was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentFrom {
    NewFile,
    Recycled,
    Reserve,
}

pub const SEGMENT_SOURCES: usize = SegmentFrom::Reserve as usize + 1;

/// Most different errors that are told apart; the rest count with errno 0.
const ERRORS_MAX: usize = 256;

/// What all partitions of a disk count together: what is rare, or takes so long that a shared counter does not matter.
#[derive(Default)]
pub struct DiskCounts {
    /// By mode, 1 to 3.
    append_times: [Times; 3],
    pub flush_times: Times,
    pub flush_waits: Times,
    pub flush_entries: Sizes,
    pub open_times: Times,
    pub flush_bytes: AtomicU64,
    /// Groups that one flush of the disk made durable together.
    pub shared_flush_groups: Sizes,
    /// Syncs and durable writes of partitions by themselves that failed: shared flushes look at it.
    pub failed_flushes: Arc<AtomicU64>,
    pub checks_failed: AtomicU64,
    /// Looks at idle logs that found nothing wrong.
    pub idle_checks_passed: AtomicU64,
    faults: [AtomicU64; Cause::ALL.len()],
    heals: [[AtomicU64; 2]; HEALERS],
    segments: [AtomicU64; SEGMENT_SOURCES],
    errors: Mutex<BTreeMap<(u32, u32, i32), u64>>,
}

impl DiskCounts {
    pub fn note_shared_flush(&self, groups: usize) {
        if groups > 0 {
            self.shared_flush_groups.note_size(groups as u64);
        }
    }

    pub fn append_times(&self, mode: Mode) -> &Times {
        &self.append_times[mode as usize - 1]
    }

    pub fn faults(&self, cause: Cause) -> u64 {
        self.faults[cause as usize].load(Ordering::Relaxed)
    }

    pub fn heals(&self, by: HealedBy, healed: bool) -> u64 {
        self.heals[by as usize][usize::from(healed)].load(Ordering::Relaxed)
    }

    pub fn segments(&self, from: SegmentFrom) -> u64 {
        self.segments[from as usize].load(Ordering::Relaxed)
    }

    /// Operation, cause, errno, and how many.
    pub fn errors(&self) -> Vec<(Op, Cause, i32, u64)> {
        let op = |n: u32| Op::ALL.into_iter().find(|o| *o as u32 == n).unwrap_or(Op::None);
        let cause = |n: u32| Cause::ALL.into_iter().find(|c| *c as u32 == n).unwrap_or(Cause::None);
        self.errors.lock().iter().map(|(key, n)| (op(key.0), cause(key.1), key.2, *n)).collect()
    }

    pub(super) fn note_heal(&self, by: HealedBy, healed: bool) {
        self.heals[by as usize][usize::from(healed)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_segment(&self, from: SegmentFrom) {
        self.segments[from as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_fault(&self, cause: Cause) {
        self.faults[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_error(&self, op: Op, cause: Cause, errno: i32) {
        let mut errors = self.errors.lock();
        let key = (op as u32, cause as u32, errno);
        let known = errors.len() < ERRORS_MAX || errors.contains_key(&key);
        *errors.entry(if known { key } else { (key.0, key.1, 0) }).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_a_histogram_takes_what_is_at_most_its_power_of_two() {
        let sizes = Sizes::default();
        [0, 1, 2, 3, 4, 5, 16384, 16385, u64::MAX >> 1].into_iter().for_each(|n| sizes.note_size(n));
        let (places, _) = sizes.read();
        assert_eq!(places[..4], [2, 1, 2, 1], "0 and 1; 2; 3 and 4; 5");
        assert_eq!(places[14..], [1, 2], "16384; more");
        let times = Times::default();
        times.note_time(Duration::from_nanos(1_000));
        times.note_time(Duration::from_nanos(1_001));
        times.note_time(Duration::from_secs(60));
        let (places, sum) = times.read();
        assert_eq!((places[0], places[1], places[TIME_PLACES - 1]), (1, 1, 1));
        assert_eq!(sum, 60_000_002_001);
    }

    #[test]
    fn errors_of_a_kind_are_bounded() {
        let counts = DiskCounts::default();
        for errno in 1..1000 {
            counts.note_error(Op::Append, Cause::IoError, errno);
        }
        let errors = counts.errors();
        assert!(errors.len() <= ERRORS_MAX + 1);
        assert_eq!(errors.iter().map(|e| e.3).sum::<u64>(), 999, "and none is lost");
    }
}
