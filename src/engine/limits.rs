//! The limits of an engine and of its disks, and how a change gets to the partitions.

use super::watchdog::drop_elsewhere;
use super::{Engine, Shared};
use crate::error::{Cause, Error, Op, Result, Status};
use crate::partition::{
    changed, in_words, Event, Limit, LimitChange, LimitChanged, LimitScope, Limits, OwnLimits, Partition, State,
};
use crate::sync::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// A disk of an engine: a device with partitions on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskInfo {
    /// `st_dev` of what is on it.
    pub device: u64,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Open ones.
    pub partitions: usize,
}

pub struct EngineLimits {
    opened: Limits,
    levels: Mutex<Levels>,
    /// `read_cache_bytes`, for those who look at it often.
    pub read_cache_bytes: AtomicU64,
    /// Of events that concern no partition.
    tag: Arc<AtomicU64>,
}

/// Held while a change is made and spread, so that changes come one after the other.
pub struct Levels {
    engine: Level,
    /// Those that something was set for, by device.
    disks: BTreeMap<u64, Level>,
}

struct Level {
    own: OwnLimits,
    in_force: Arc<Limits>,
}

impl Level {
    fn none(scope: LimitScope, above: Arc<Limits>) -> Level {
        Level { own: OwnLimits::none(scope), in_force: above }
    }
}

impl EngineLimits {
    pub fn new(opened: Limits) -> EngineLimits {
        let engine = Level::none(LimitScope::Engine, Arc::new(opened.clone()));
        EngineLimits {
            read_cache_bytes: AtomicU64::new(opened.get(Limit::ReadCacheBytes)),
            opened,
            levels: Mutex::new(Levels { engine, disks: BTreeMap::new() }),
            tag: Arc::default(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock()
    }

    pub fn of_engine(&self) -> Arc<Limits> {
        self.lock().engine.in_force.clone()
    }

    pub fn of_disk(&self, device: u64) -> Arc<Limits> {
        self.lock().of_disk(device)
    }

    fn change_engine(&self, levels: &mut Levels, changes: &[LimitChange]) -> Result<Vec<LimitChanged>> {
        let before = levels.engine.in_force.clone();
        levels.engine.own = levels.engine.own.changed(changes, &self.opened)?;
        let engine = Arc::new(self.opened.with(&levels.engine.own));
        levels.engine.in_force = engine.clone();
        levels.disks.values_mut().for_each(|disk| disk.in_force = Arc::new(engine.with(&disk.own)));
        self.read_cache_bytes.store(engine.get(Limit::ReadCacheBytes), Ordering::Relaxed);
        Ok(changed(changes, LimitScope::Engine, 0, &before, &engine))
    }
}

impl Levels {
    pub fn of_disk(&self, device: u64) -> Arc<Limits> {
        self.disks.get(&device).map_or(&self.engine, |disk| disk).in_force.clone()
    }

    fn change_disk(&mut self, device: u64, changes: &[LimitChange]) -> Result<Vec<LimitChanged>> {
        let above = self.engine.in_force.clone();
        let none = Level::none(LimitScope::Disk, above.clone());
        let known = self.disks.get(&device).unwrap_or(&none);
        let own = known.own.changed(changes, &above)?;
        let in_force = Arc::new(above.with(&own));
        let changed = changed(changes, LimitScope::Disk, device, &known.in_force, &in_force);
        self.disks.insert(device, Level { own, in_force });
        Ok(changed)
    }
}

impl Engine {
    /// What is in force for all that has nothing of its own.
    pub fn limits(&self) -> Limits {
        (*self.shared.limits.of_engine()).clone()
    }

    /// Sets limits for the engine, or takes back what was set since it was opened; all of them or none. They hold from the next look at
    /// each on, also for what is open; what was set for a disk or a partition stays as it is. An event says what was set.
    ///
    /// Errors, nothing is changed then: `InvalidConfig` (the message names the value and its range), `InvalidArgument` (none, or one twice),
    /// `Closed`.
    pub fn set_limits(&self, changes: &[LimitChange]) -> Result<()> {
        self.change(changes, None)
    }

    /// What a partition on this disk gets that has nothing of its own. `device` is `st_dev` of any file on it.
    pub fn disk_limits(&self, device: u64) -> Limits {
        (*self.shared.limits.of_disk(device)).clone()
    }

    /// The same as `set_limits` for a disk. It need not have partitions yet; those that are opened on it later get its limits, until the engine
    /// is closed. `InvalidArgument` also for a limit that only the engine has.
    pub fn set_disk_limits(&self, device: u64, changes: &[LimitChange]) -> Result<()> {
        self.change(changes, Some(device))
    }

    fn change(&self, changes: &[LimitChange], device: Option<u64>) -> Result<()> {
        let told = {
            let mut levels = self.shared.limits.lock();
            if self.state.lock().closed {
                return Err(Error::new(Status::Closed, Op::SetLimits, "the engine is closed"));
            }
            let changed = match device {
                None => self.shared.limits.change_engine(&mut levels, changes)?,
                Some(device) => levels.change_disk(device, changes)?,
            };
            let told = self.spread(&levels, device);
            self.shared.limits_set(changed);
            told
        };
        // Whoever held one may have let go: its close is not to be under the limits' lock.
        told.into_iter().for_each(drop_elsewhere);
        Ok(())
    }

    /// Tells the disks and partitions that are concerned. The partitions are the caller's to let go of.
    fn spread(&self, levels: &Levels, device: Option<u64>) -> Vec<Arc<Partition>> {
        let concerned = |other: &u64| device.map_or(true, |device| device == *other);
        let (disks, partitions) = {
            let state = self.state.lock();
            let disks: Vec<_> =
                state.disks.iter().filter(|(d, _)| concerned(d)).map(|(_, disk)| disk.clone()).collect();
            let open = state.open.iter().filter(|((d, _), _)| concerned(d));
            (disks, open.filter_map(|((d, _), p)| Some((*d, p.upgrade()?))).collect::<Vec<_>>())
        };
        for disk in disks {
            disk.take_limits(&levels.of_disk(disk.device()));
        }
        let tell = |(device, partition): (u64, Arc<Partition>)| {
            partition.inherit_limits(levels.of_disk(device));
            if self.shared.cache_is_over() {
                partition.drop_cache();
            }
            partition
        };
        partitions.into_iter().map(tell).collect()
    }

    /// For one that was opened while a change was made, which may not have found it.
    pub(super) fn inherit(&self, partition: &Partition, device: u64) {
        let levels = self.shared.limits.lock(); // no other change comes in between
        partition.inherit_limits(levels.of_disk(device));
    }

    /// The disks that this engine has or had partitions on.
    pub fn disks(&self) -> Vec<DiskInfo> {
        let (mut disks, partitions) = {
            let state = self.state.lock();
            let known = state.disks.iter();
            let disks: Vec<_> = known
                .map(|(d, disk)| DiskInfo { device: *d, mount: PathBuf::from(disk.mount()), partitions: 0 })
                .collect();
            let open = state.open.iter();
            (disks, open.filter_map(|((d, _), p)| Some((*d, p.upgrade()?))).collect::<Vec<_>>())
        };
        for (device, partition) in partitions {
            if let Some(disk) = disks.iter_mut().find(|d| d.device == device && !partition.is_closed()) {
                disk.partitions += 1;
            }
            // Whoever held it may have let go: its close is not to be under the engine's lock.
            drop_elsewhere(partition);
        }
        disks
    }
}

impl Shared {
    fn limits_set(&self, changed: Vec<LimitChanged>) {
        let event = Event {
            sequence: 0,
            partition_id: 0,
            time_unix_ns: 0,
            from: State::ReadWrite,
            to: State::ReadWrite,
            cause: Cause::None,
            op: Op::SetLimits,
            errno: 0,
            merged: 0,
            range: (0, 0),
            tag: 0,
            path: PathBuf::new(),
            note: in_words(&changed),
            limits: changed,
        };
        self.events.push(event, self.limits.tag.clone());
    }
}
