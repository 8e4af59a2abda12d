//! The engine: one per process. It owns the disks, their threads, and the queues that tell the owner what happened.

mod backup;
mod close;
mod disk;
mod handle;
mod healer;
mod idle_checks;
mod lane;
mod limits;
mod log_hook;
mod metrics;
mod orphans;
mod pool;
mod queue;
mod reserve;
mod shared;
mod shared_flush;
mod stepped;
mod sweep;
#[cfg(test)]
mod threads_test;
mod timer;
mod watchdog;

pub use crate::partition::{Completion, EngineConfig, Event, Limits};
pub use backup::Backup;
pub use limits::DiskInfo;
pub use log_hook::{LogHook, LogLevel, LogLine};
pub use metrics::{MetricFamily, MetricInfo, MetricKind, MetricSample, MetricValue, METRICS};

use crate::error::{Error, Op, Result, Status};
use crate::format::Id;
use crate::io::real::RealStorage;
use crate::io::sim::SimDisk;
use crate::io::{DeviceInfo, Dir, Filesystem, Storage};
use crate::partition::{open_dir, random_id, Host, Partition, PartitionConfig};
use crate::sync::thread::JoinHandle;
use crate::sync::Mutex;
use disk::{Disk, DiskHost};
use limits::EngineLimits;
use orphans::Orphans;
use queue::{CompletionQueue, EventQueue};
use shared::Shared;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;
use stepped::{Stepped, SteppedHost};
use sweep::Sweep;
use watchdog::Watchdog;

/// Thread-safe. Dropping it closes it.
pub struct Engine {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    /// Where directories are opened: the same, but in a `handle`.
    dirs: Arc<dyn Storage>,
    state: Arc<Mutex<EngineState>>,
    /// In a simulation: does what the disks' threads do otherwise.
    stepped: Option<Arc<Stepped>>,
    is_handle: bool,
}

#[derive(Default)]
struct EngineState {
    disks: BTreeMap<u64, Arc<Disk>>,
    /// Open directories by device and inode.
    open: BTreeMap<(u64, u64), Weak<Partition>>,
    /// Directories in which a call was given up that has not come back.
    hanging: BTreeSet<PathBuf>,
    sweep: Sweep,
    /// Devices whose filesystem was looked at: the owner is warned once.
    looked_at: BTreeSet<u64>,
    /// Started with the first disk.
    watchdog: Option<JoinHandle<()>>,
    closed: bool,
}

impl EngineState {
    fn remember(&mut self, place: (u64, u64), partition: &Arc<Partition>) {
        if self.sweep.is_due(self.open.len()) {
            self.open.retain(|_, p| p.strong_count() > 0);
            self.sweep.done(self.open.len());
        }
        self.open.insert(place, Arc::downgrade(partition));
    }
}

impl Engine {
    /// Starts an engine on the machine's filesystems. Error: `InvalidConfig`, naming the value.
    pub fn open(config: EngineConfig) -> Result<Engine> {
        Engine::with_storage(config, Arc::new(RealStorage))
    }

    /// Starts an engine on another storage, such as the simulated disk.
    pub fn with_storage(config: EngineConfig, storage: Arc<dyn Storage>) -> Result<Engine> {
        let shared = Engine::shared(config)?;
        Ok(Engine::new(shared, storage, None))
    }

    /// For simulation: an engine without threads on a simulated disk. The work that threads would do is done inside the calls that wait
    /// for it, in `step` and in `pass_time`, in an order that follows from the seed, and time is the disk's clock. Calls must come from one
    /// thread. Engines that follow each other on one disk need different seeds: random ids come from it, too.
    pub fn stepped(config: EngineConfig, disk: &SimDisk, seed: u64) -> Result<Engine> {
        let shared = Engine::shared(config)?;
        let stepped = Arc::new(Stepped::new(shared.clone(), disk.clock(), seed));
        Ok(Engine::new(shared, Arc::new(disk.clone()), Some(stepped)))
    }

    fn new(shared: Arc<Shared>, storage: Arc<dyn Storage>, stepped: Option<Arc<Stepped>>) -> Engine {
        Engine { shared, dirs: storage.clone(), storage, state: Arc::default(), stepped, is_handle: false }
    }

    /// For simulation: does one piece of the work that is ready; false if there is none, or if the engine has threads.
    pub fn step(&self) -> bool {
        self.stepped.as_ref().is_some_and(|s| s.do_ready())
    }

    /// For simulation: does all work that comes up in this much simulated time. Does nothing if the engine has threads.
    pub fn pass_time(&self, time: Duration) {
        if let Some(stepped) = &self.stepped {
            stepped.pass(time);
        }
    }

    /// For simulation: the watchdog looks once. What it sees under way now and saw before has taken the time in between. Does nothing if the
    /// engine has threads.
    pub fn watch(&self) {
        if let Some(stepped) = &self.stepped {
            stepped.watch();
        }
    }

    /// For simulation: true if a call on this partition can be made in the middle of a disk operation, that is, if it would not wait for a
    /// lock that is held further up on the stack.
    pub fn can_be_called(&self, partition: &Partition) -> bool {
        partition.is_free_for_calls()
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.dirs
    }

    /// False in a simulation, where the order of operations must follow from the seed.
    pub(crate) fn has_threads(&self) -> bool {
        self.stepped.is_none()
    }

    pub(crate) fn random_id(&self) -> Id {
        self.stepped.as_ref().map_or_else(random_id, |stepped| SteppedHost(stepped.clone()).random_id())
    }

    fn shared(config: EngineConfig) -> Result<Arc<Shared>> {
        config.validate()?;
        let fail = |e: std::io::Error| Error::io(Op::Open, &e, "creating the event descriptors");
        let shared = Shared {
            watchdog: Watchdog::default(),
            limits: EngineLimits::new(Limits::opened_with(&config)),
            events: EventQueue::new().map_err(fail)?,
            completions: CompletionQueue::new().map_err(fail)?,
            cached_bytes: AtomicUsize::new(0),
            orphans: Orphans::default(),
        };
        Ok(Arc::new(shared))
    }

    /// Opens a partition. Damage and I/O errors leave it Unavailable with its cause, and never touch another partition. An error means
    /// that there is no partition: bad configuration, a path that cannot be used, a directory that is open, foreign, or too new.
    pub fn open_partition(&self, config: PartitionConfig) -> Result<Arc<Partition>> {
        if config.path.as_os_str().is_empty() {
            return Err(
                Error::new(Status::InvalidArgument, Op::Open, "the path is empty").partition(config.partition_id)
            );
        }
        self.check_not_open(&config.path, config.partition_id)?;
        let dir = match open_dir(&*self.dirs, &config) {
            // By an opening of this engine, perhaps: the look for that is one that can fail.
            Err(e) if e.status == Status::Locked => {
                self.check_not_open(&config.path, config.partition_id)?;
                return Err(e);
            }
            opened => opened?,
        };
        let device = dir.device();
        let partition = self.run_partition(dir, &device, &config)?;
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            let _ = partition.close();
            return Err(closed());
        }
        state.remember((device.id, device.inode), &partition);
        let first = state.looked_at.insert(device.id);
        drop(state);
        if first {
            let journal = device.filesystem != Filesystem::Ext4 || self.dirs.has_journal(device.id);
            partition.warn_of(device.filesystem, journal);
        }
        self.inherit(&partition, device.id);
        partition.announce();
        Ok(partition)
    }

    /// Opens it on its disk's threads, or without any.
    fn run_partition(
        &self,
        dir: Arc<dyn Dir>,
        device: &DeviceInfo,
        config: &PartitionConfig,
    ) -> Result<Arc<Partition>> {
        let open = |host: Arc<dyn Host>| Partition::open(dir, config, self.shared.limits.of_disk(device.id), host);
        if let Some(stepped) = &self.stepped {
            let partition = open(Arc::new(SteppedHost(stepped.clone())))?;
            stepped.metrics().0.opened(&config.path);
            stepped.add(&partition, &config.path);
            return Ok(partition);
        }
        let disk = self.disk(device, &config.path)?;
        let partition = open(Arc::new(DiskHost(disk.clone())))?;
        // It may have been on another disk when it was closed.
        let disks: Vec<_> = self.state.lock().disks.values().cloned().collect();
        disks.iter().for_each(|d| d.opened(&config.path));
        disk.add(&partition, &config.path);
        Ok(partition)
    }

    /// A directory that this engine has open is told apart from one that another process has.
    pub(crate) fn check_not_open(&self, path: &Path, id: u64) -> Result<()> {
        self.check_not_hanging(path).map_err(|e| e.partition(id))?;
        let Ok(dir) = self.dirs.open_dir(path) else { return Ok(()) };
        let device = dir.device();
        let holder = self.state.lock().open.get(&(device.id, device.inode)).and_then(Weak::upgrade);
        match holder {
            Some(p) if !p.is_closed() => {
                let message = "this engine has the directory open already; close that partition first";
                Err(Error::new(Status::AlreadyOpen, Op::Open, message).partition(id).at(path))
            }
            Some(p) if !p.let_go() => {
                let what = p.under_way().map_or_else(String::new, |op| format!(" ({op:?})"));
                let message = format!(
                    "an operation of its last opening{what} has not come back from the kernel; try again when it has"
                );
                Err(Error::new(Status::Busy, Op::Open, message).partition(id).at(path))
            }
            _ => Ok(()),
        }
    }

    fn disk(&self, device: &DeviceInfo, path: &Path) -> Result<Arc<Disk>> {
        let known = self.state.lock().disks.contains_key(&device.id);
        let mount = if known { PathBuf::new() } else { self.dirs.mount_point(path) };
        // Under this lock no change is made that would miss the new disk.
        let levels = self.shared.limits.lock();
        let mut state = self.state.lock();
        if state.closed {
            return Err(closed());
        }
        if let Some(disk) = state.disks.get(&device.id) {
            return Ok(disk.clone());
        }
        let fail = |e: std::io::Error| Error::io(Op::Open, &e, "starting a disk's threads");
        if state.watchdog.is_none() {
            let shared = self.shared.clone();
            let watchdog = crate::sync::thread::Builder::new().name("bulkhead-watch".into());
            state.watchdog = Some(watchdog.spawn(move || shared.watchdog.run()).map_err(fail)?);
        }
        let disk =
            Disk::start(self.shared.clone(), self.storage.clone(), device.id, &mount, &levels.of_disk(device.id))
                .map_err(fail)?;
        state.disks.insert(device.id, disk.clone());
        Ok(disk)
    }

    /// Readable while events wait. Owned by the engine.
    pub fn event_fd(&self) -> RawFd {
        self.shared.events.fd.fd()
    }

    /// Takes up to `max` events, oldest first. Never waits.
    pub fn events(&self, max: usize) -> Vec<Event> {
        self.shared.events.drain(max)
    }

    /// Readable while completions of `Partition::submit` wait. Owned by the engine.
    pub fn completion_fd(&self) -> RawFd {
        self.shared.completions.fd.fd()
    }

    pub fn completions(&self, max: usize) -> Vec<Completion> {
        self.shared.completions.drain(max)
    }

    /// All metrics as they are now, `METRICS` in its order. Waits for no disk and no call; nothing once the engine is closed.
    pub fn metrics(&self) -> Vec<MetricFamily> {
        let (closed, disks) = {
            let state = self.state.lock();
            (state.closed, state.disks.values().cloned().collect::<Vec<_>>())
        };
        if closed {
            return Vec::new();
        }
        let stepped = self.stepped.iter().map(|s| s.metrics());
        let disks: Vec<_> = disks.iter().map(|d| d.metrics()).chain(stepped).collect();
        metrics::snapshot(&self.shared.levels(), &disks)
    }

    /// The same in Prometheus's text format, version 0.0.4.
    pub fn metrics_text(&self) -> String {
        metrics::text(&self.metrics())
    }
}

fn closed() -> Error {
    Error::new(Status::Closed, Op::Open, "the engine is closed")
}
