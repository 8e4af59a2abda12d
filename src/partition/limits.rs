//! Limits that can be changed while it runs. What the engine was opened with, what was set for the engine, for a disk, for a partition: of
//! these the last one that says something about a limit is in force. It is worked out when something is set, so that looking at it costs a
//! call no more than a load.

use super::limit_changes::{changed, LimitChanged};
use super::types::EngineConfig;
use crate::error::{Error, Op, Result, Status};
use crate::format::MAX_DATA_BYTES;
use crate::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Every limit, by its name in `EngineConfig`. The numbers are part of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Limit {
    MaxEntryBytes = 1,
    SegmentMinBytes = 2,
    SegmentMaxBytes = 3,
    IntervalMs = 4,
    StallLimitMs = 5,
    SlowDiskMs = 6,
    FlushThreadsPerDisk = 7,
    HealLimitMs = 8,
    SpaceWaitMs = 9,
    ProbeMs = 10,
    ReadCacheBytes = 11,
    IdleCheckMs = 12,
}

/// What a limit is set for, from the widest to the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LimitScope {
    /// What the engine was opened with.
    Open = 1,
    Engine = 2,
    Disk = 3,
    Partition = 4,
}

/// A row of `LIMITS`.
#[derive(Clone, Copy, Debug)]
pub struct LimitInfo {
    pub limit: Limit,
    pub name: &'static str,
    pub low: u64,
    pub high: u64,
    /// It can be set for this and for what is wider.
    pub narrowest: LimitScope,
    /// 0 means never.
    pub never: bool,
}

const fn row(
    limit: Limit,
    name: &'static str,
    (low, high): (u64, u64),
    narrowest: LimitScope,
    never: bool,
) -> LimitInfo {
    LimitInfo { limit, name, low, high, narrowest, never }
}

/// All limits, by number.
pub const LIMITS: [LimitInfo; 12] = [
    row(Limit::MaxEntryBytes, "max_entry_bytes", (1, MAX_DATA_BYTES as u64), LimitScope::Partition, false),
    row(Limit::SegmentMinBytes, "segment_min_bytes", (64 << 10, 1 << 30), LimitScope::Partition, false),
    row(Limit::SegmentMaxBytes, "segment_max_bytes", (64 << 10, 1 << 30), LimitScope::Partition, false),
    row(Limit::IntervalMs, "interval_ms", (1, 60_000), LimitScope::Partition, false),
    row(Limit::StallLimitMs, "stall_limit_ms", (100, 600_000), LimitScope::Partition, false),
    row(Limit::SlowDiskMs, "slow_disk_ms", (0, 600_000), LimitScope::Partition, true),
    row(Limit::FlushThreadsPerDisk, "flush_threads_per_disk", (1, 64), LimitScope::Disk, false),
    row(Limit::HealLimitMs, "heal_limit_ms", (0, 60_000), LimitScope::Partition, true),
    row(Limit::SpaceWaitMs, "space_wait_ms", (0, 60_000), LimitScope::Partition, true),
    row(Limit::ProbeMs, "probe_ms", (0, 60_000), LimitScope::Partition, true),
    row(Limit::ReadCacheBytes, "read_cache_bytes", (0, u64::MAX), LimitScope::Engine, false),
    row(Limit::IdleCheckMs, "idle_check_ms", (0, 60_000), LimitScope::Disk, true),
];

const COUNT: usize = LIMITS.len();

impl Limit {
    const fn place(self) -> usize {
        self as usize - 1
    }

    pub fn info(self) -> &'static LimitInfo {
        &LIMITS[self.place()]
    }

    /// By its number in the C ABI.
    pub fn of_number(number: u32) -> Option<Limit> {
        LIMITS.iter().map(|row| row.limit).find(|limit| *limit as u32 == number)
    }

    pub fn of_name(name: &str) -> Option<Limit> {
        LIMITS.iter().find(|row| row.name == name).map(|row| row.limit)
    }
}

/// A new value of a limit; `None` takes back what was set there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitChange {
    pub limit: Limit,
    pub value: Option<u64>,
}

/// What is in force somewhere, and what it was set for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    values: [u64; COUNT],
    set_for: [LimitScope; COUNT],
}

impl Limits {
    pub(crate) fn opened_with(config: &EngineConfig) -> Limits {
        Limits { values: config.values(), set_for: [LimitScope::Open; COUNT] }
    }

    /// 0 means never, where that may be.
    pub fn get(&self, limit: Limit) -> u64 {
        self.values[limit.place()]
    }

    pub fn set_for(&self, limit: Limit) -> LimitScope {
        self.set_for[limit.place()]
    }

    /// A limit of at most 32 bits.
    pub(crate) fn get_u32(&self, limit: Limit) -> u32 {
        u32::try_from(self.get(limit)).unwrap_or(u32::MAX)
    }

    pub(crate) fn time(&self, limit: Limit) -> Duration {
        Duration::from_millis(self.get(limit))
    }

    /// What is in force for something narrower, with what was set for that.
    pub(crate) fn with(&self, own: &OwnLimits) -> Limits {
        let mut out = self.clone();
        for (limit, value) in &own.set {
            out.values[limit.place()] = *value;
            out.set_for[limit.place()] = own.scope;
        }
        out
    }
}

/// What was set for one engine, disk or partition.
#[derive(Clone)]
pub(crate) struct OwnLimits {
    scope: LimitScope,
    set: Vec<(Limit, u64)>,
}

impl OwnLimits {
    pub fn none(scope: LimitScope) -> OwnLimits {
        OwnLimits { scope, set: Vec::new() }
    }

    /// With these changes made, all of them or none. `above` is what holds for what they leave out.
    pub fn changed(&self, changes: &[LimitChange], above: &Limits) -> Result<OwnLimits> {
        if changes.is_empty() {
            return Err(Error::new(Status::InvalidArgument, Op::SetLimits, "no limit is given; name at least one"));
        }
        let mut out = self.clone();
        for (i, change) in changes.iter().enumerate() {
            let info = change.limit.info();
            if changes.iter().take(i).any(|c| c.limit == change.limit) {
                let message = format!("{} is given twice; give it once", info.name);
                return Err(Error::new(Status::InvalidArgument, Op::SetLimits, message));
            }
            if self.scope > info.narrowest {
                return Err(self.too_narrow(info));
            }
            out.set.retain(|(limit, _)| *limit != change.limit);
            if let Some(value) = change.value {
                check(info, value)?;
                out.set.push((change.limit, value));
            }
        }
        // Others are not refused for what was set elsewhere.
        if changes.iter().any(|c| matches!(c.limit, Limit::SegmentMinBytes | Limit::SegmentMaxBytes)) {
            check_segments(&above.with(&out))?;
        }
        Ok(out)
    }

    fn too_narrow(&self, info: &LimitInfo) -> Error {
        let (of, may) = match info.narrowest {
            LimitScope::Disk => ("a disk's", "for the engine or a disk"),
            _ => ("the engine's", "for the engine"),
        };
        Error::new(Status::InvalidArgument, Op::SetLimits, format!("{} is {of}; set it {may}", info.name))
    }
}

/// Out of range: says so and what would be in it.
pub(super) fn check(info: &LimitInfo, value: u64) -> Result<()> {
    if (info.low..=info.high).contains(&value) {
        return Ok(());
    }
    let (low, or) = if info.never { (1, ", or never") } else { (info.low, "") };
    let message = format!("{} is {value}; it must be between {low} and {}{or}", info.name, info.high);
    Err(Error::new(Status::InvalidConfig, Op::SetLimits, message))
}

/// Where they are set together. Set in different places they may contradict each other: then the larger one counts for both.
pub(super) fn check_segments(limits: &Limits) -> Result<()> {
    let (low, high) = (limits.get(Limit::SegmentMinBytes), limits.get(Limit::SegmentMaxBytes));
    if low <= high {
        return Ok(());
    }
    let message = format!(
        "segment_max_bytes would be {high} and segment_min_bytes {low}; segment_max_bytes must be between \
         segment_min_bytes and {}",
        Limit::SegmentMaxBytes.info().high
    );
    Err(Error::new(Status::InvalidConfig, Op::SetLimits, message))
}

/// A partition's limits.
pub(crate) struct PartitionLimits {
    in_force: [AtomicU64; COUNT],
    origin: Mutex<Origin>,
}

struct Origin {
    /// Of its disk.
    above: Arc<Limits>,
    own: OwnLimits,
}

impl PartitionLimits {
    pub fn new(above: Arc<Limits>) -> PartitionLimits {
        PartitionLimits {
            in_force: above.values.map(AtomicU64::new),
            origin: Mutex::new(Origin { above, own: OwnLimits::none(LimitScope::Partition) }),
        }
    }

    #[inline]
    pub fn get(&self, limit: Limit) -> u64 {
        self.in_force[limit.place()].load(Ordering::Relaxed)
    }

    pub fn time(&self, limit: Limit) -> Duration {
        Duration::from_millis(self.get(limit))
    }

    pub fn all(&self) -> Limits {
        let origin = self.origin.lock();
        origin.above.with(&origin.own)
    }

    /// The disk's have changed.
    pub fn inherit(&self, above: Arc<Limits>) {
        let mut origin = self.origin.lock();
        origin.above = above;
        self.put_in_force(&origin);
    }

    pub fn change(&self, changes: &[LimitChange]) -> Result<Vec<LimitChanged>> {
        let mut origin = self.origin.lock();
        let before = origin.above.with(&origin.own);
        origin.own = origin.own.changed(changes, &origin.above)?;
        self.put_in_force(&origin);
        Ok(changed(changes, LimitScope::Partition, 0, &before, &origin.above.with(&origin.own)))
    }

    fn put_in_force(&self, origin: &Origin) {
        for (place, value) in self.in_force.iter().zip(origin.above.with(&origin.own).values) {
            place.store(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbered_and_named_as_in_the_configuration() {
        assert!(LIMITS
            .iter()
            .enumerate()
            .all(|(i, row)| row.limit.place() == i && Limit::of_name(row.name) == Some(row.limit)));
        let config = format!("{:?}", EngineConfig::default());
        assert!(LIMITS.iter().all(|row| config.contains(&format!(" {}: ", row.name))), "{config}");
        assert_eq!(Limit::of_number(0).or(Limit::of_number(COUNT as u32 + 1)), None);
    }
}
