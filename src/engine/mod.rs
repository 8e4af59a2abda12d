//! The engine: one per process. It owns the disks, their threads, and the queues that tell the owner what happened.

mod disk;
mod healer;
mod orphans;
mod queue;
mod reserve;
mod shared;

pub use crate::partition::{Completion, EngineConfig, Event};

use crate::error::{Error, Op, Result, Status};
use crate::io::real::RealStorage;
use crate::io::{DeviceInfo, Storage};
use crate::partition::{open_dir, Partition, PartitionConfig};
use crate::sync::Mutex;
use disk::{Disk, DiskHost};
use orphans::Orphans;
use queue::{CompletionQueue, EventQueue};
use shared::Shared;
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

/// Thread-safe. Dropping it closes it.
pub struct Engine {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    state: Mutex<EngineState>,
}

#[derive(Default)]
struct EngineState {
    disks: HashMap<u64, Arc<Disk>>,
    /// Open directories by device and inode.
    open: HashMap<(u64, u64), Weak<Partition>>,
    closed: bool,
}

impl Engine {
    /// Starts an engine on the machine's filesystems. Error: `InvalidConfig`, naming the value.
    pub fn open(config: EngineConfig) -> Result<Engine> {
        Engine::with_storage(config, Arc::new(RealStorage))
    }

    /// Starts an engine on another storage, such as the simulated disk.
    pub fn with_storage(config: EngineConfig, storage: Arc<dyn Storage>) -> Result<Engine> {
        config.validate()?;
        let fail = |e: std::io::Error| Error::io(Op::Open, &e, "creating the event descriptors");
        let shared = Shared {
            config,
            events: EventQueue::new().map_err(fail)?,
            completions: CompletionQueue::new().map_err(fail)?,
            cached_bytes: AtomicUsize::new(0),
            orphans: Orphans::default(),
        };
        Ok(Engine { shared: Arc::new(shared), storage, state: Mutex::default() })
    }

    /// Opens a partition. Damage and I/O errors leave it Unavailable with its cause, and never touch another partition. An error means
    /// that there is no partition: bad configuration, a path that cannot be used, a directory that is open, foreign, or too new.
    pub fn open_partition(&self, config: PartitionConfig) -> Result<Arc<Partition>> {
        if config.path.as_os_str().is_empty() {
            return Err(
                Error::new(Status::InvalidArgument, Op::Open, "the path is empty").partition(config.partition_id)
            );
        }
        self.check_not_open(&config)?;
        let (dir, created) = open_dir(&*self.storage, &config)?;
        let device = dir.device();
        let disk = self.disk(&device)?;
        let partition = Partition::open(dir, &config, &self.shared.config, Arc::new(DiskHost(disk.clone())), created)?;
        disk.add(&partition);
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            let _ = partition.close();
            return Err(closed());
        }
        state.open.retain(|_, p| p.strong_count() > 0);
        state.open.insert((device.id, device.inode), Arc::downgrade(&partition));
        drop(state);
        partition.announce();
        Ok(partition)
    }

    /// A directory that this engine has open is told apart from one that another process has.
    fn check_not_open(&self, config: &PartitionConfig) -> Result<()> {
        let Ok(dir) = self.storage.open_dir(&config.path) else { return Ok(()) };
        let device = dir.device();
        let holder = self.state.lock().open.get(&(device.id, device.inode)).and_then(Weak::upgrade);
        match holder {
            Some(p) if !p.is_closed() => {
                let message = "this engine has the directory open already; close that partition first";
                Err(Error::new(Status::AlreadyOpen, Op::Open, message).partition(config.partition_id).at(&config.path))
            }
            _ => Ok(()),
        }
    }

    fn disk(&self, device: &DeviceInfo) -> Result<Arc<Disk>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(closed());
        }
        if let Some(disk) = state.disks.get(&device.id) {
            return Ok(disk.clone());
        }
        let disk =
            Disk::start(self.shared.clone()).map_err(|e| Error::io(Op::Open, &e, "starting a disk's threads"))?;
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

    /// Closes all partitions and ends all threads. The first error is returned, everything is closed in any case.
    pub fn close(&self) -> Result<()> {
        let (disks, partitions) = {
            let mut state = self.state.lock();
            if state.closed {
                return Ok(());
            }
            state.closed = true;
            let disks: Vec<_> = state.disks.drain().map(|(_, d)| d).collect();
            let partitions: Vec<_> = state.open.drain().filter_map(|(_, p)| p.upgrade()).collect();
            (disks, partitions)
        };
        let mut result = Ok(());
        for partition in partitions {
            result = result.and(partition.close());
        }
        for disk in disks {
            disk.stop();
        }
        result
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

fn closed() -> Error {
    Error::new(Status::Closed, Op::Open, "the engine is closed")
}
