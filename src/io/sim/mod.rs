//! A disk in memory that fails on demand.
//!
//! It models what a log must survive, and no more than Linux allows. A file has two faces: what the page cache shows and what the medium
//! holds, in sectors of 512 bytes. A directory has two as well; its changes become durable when the directory is synced, not when a file
//! is. Every method of the storage traits is one numbered operation, and a fault plan (`Rule`) says which of them fail, come up short,
//! hang, panic or lie. A crash (`SimDisk::crash`) ends the run and gives the disk that the next start finds: what was durable and, of the
//! rest, whatever mix of sectors and directory changes the seed chooses.
//!
//! Everything random is a hash of the seed and of what is chosen for, so that a run replays from its seed as long as each file sees the
//! same operations in the same order, however the threads of different files are scheduled.

mod clock;
mod content;
mod crash;
mod dir;
mod file;
mod gate;
mod inspect;
mod plan;
mod state;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_faults;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::sync::{Condvar, Mutex};

use super::{Dir, Filesystem, Storage};
pub use clock::SimClock;
pub use content::SECTOR;
pub use crash::Crash;
use gate::Shared;
pub use plan::{hash_name, mix, Fault, OpKind, OpRecord, Rule, Seen};
use state::{State, ROOT};

/// What kind of disk it is. The default is ext4 as Linux has it.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Bytes: alignment that durable writes and direct reads need (offset, length and memory), EINVAL otherwise.
    pub block_bytes: u32,
    pub filesystem: Filesystem,
    /// False: no O_DIRECT, `Access::Durable` goes through the page cache and needs a sync.
    pub direct_io: bool,
    /// A direct read at the end of a file, or behind it, is EINVAL where it is not aligned, as on ext4 of Linux 3.14 to 5.4; 0 since.
    pub checks_alignment_at_end: bool,
    /// A direct read first writes the dirty pages of its range to the device (without making them durable), as Linux does.
    pub direct_reads_write_back: bool,
    /// A failed sync marks what it could not write as clean: the next sync succeeds, cache and medium differ. False: they stay dirty.
    pub failed_syncs_forget: bool,
    /// A failed sync of a directory loses what it was to make durable: no later sync covers it. Linux's journals do not behave so: they
    /// abort, or the next commit covers everything before it.
    pub failed_dir_syncs_forget: bool,
    /// Directory changes become durable in their order, as in one journal. False: each directory for itself, and a crash keeps any subset.
    pub journalled: bool,
    /// False: `allocate` gives EOPNOTSUPP.
    pub can_allocate: bool,
    /// What a full disk says: ENOSPC, or EDQUOT for a quota.
    pub full_errno: i32,
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig {
            block_bytes: 4096,
            filesystem: Filesystem::Ext4,
            direct_io: true,
            checks_alignment_at_end: false,
            direct_reads_write_back: true,
            failed_syncs_forget: true,
            failed_dir_syncs_forget: false,
            journalled: true,
            can_allocate: true,
            full_errno: libc::ENOSPC,
        }
    }
}

/// Blocks of a disk whose size was never limited.
const FULL_SIZE: u64 = u64::MAX / state::BLOCK;

/// The simulated disk. Clones are the same disk. Thread-safe.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::with_config(seed, SimConfig::default())
    }

    pub fn with_config(seed: u64, config: SimConfig) -> SimDisk {
        SimDisk { shared: Arc::new(Shared { state: Mutex::new(State::new(seed, config)), wake: Condvar::new() }) }
    }

    /// The clock of a simulation without threads. From now on delays of operations pass on it and take no real time.
    pub fn clock(&self) -> Arc<SimClock> {
        let mut state = self.shared.state.lock();
        state.delays_are_real = false;
        state.clock.clone()
    }

    /// Called before every operation, without a lock: a simulation without threads does there what other threads would do meanwhile.
    pub fn set_hook(&self, hook: Option<fn()>) {
        self.shared.state.lock().hook = hook;
    }

    /// True if nothing stands in the way of an operation: no rule, no lack of space, no crash to come.
    pub fn is_calm(&self) -> bool {
        let state = self.shared.state.lock();
        !state.dead && state.rules.is_empty() && state.crash_at.is_none() && state.capacity_blocks >= FULL_SIZE
    }

    /// Adds a fault to the plan. The first rule that matches an operation decides.
    pub fn inject(&self, rule: Rule) {
        self.shared.state.lock().rules.push(rule);
    }

    /// Forgets all rules; operations that hang go on hanging.
    pub fn clear_faults(&self) {
        let mut state = self.shared.state.lock();
        state.fired_before += state.rules.drain(..).map(|r| r.fired).sum::<u64>();
    }

    /// While true no rule applies and no planned crash happens: for looking at the log through its own calls.
    pub fn pause_faults(&self, pause: bool) {
        self.shared.state.lock().paused = pause;
    }

    /// How often rules have hit so far, those that are forgotten included.
    pub fn faults_fired(&self) -> u64 {
        let state = self.shared.state.lock();
        state.fired_before + state.rules.iter().map(|r| r.fired).sum::<u64>()
    }

    /// Lets the operations that hang now go through.
    pub fn release(&self) {
        self.shared.state.lock().releases += 1;
        self.shared.wake.notify_all();
    }

    /// Waits until this many operations hang, or the time is over; says which.
    pub fn wait_hung(&self, count: u64, limit: std::time::Duration) -> bool {
        let mut state = self.shared.state.lock();
        let end = std::time::Instant::now() + limit;
        while state.hung < count {
            if self.shared.wake.wait_until(&mut state, end).timed_out() {
                return state.hung >= count;
            }
        }
        true
    }

    /// The power goes at the operation with this number: it takes place in part, all later ones fail with EIO and change nothing.
    /// `crash` then gives what is left.
    pub fn crash_at(&self, op: u64) {
        self.shared.state.lock().crash_at = Some(op);
    }

    /// True once the planned crash has happened (or `crash` was called).
    pub fn is_dead(&self) -> bool {
        self.shared.state.lock().dead
    }

    /// Limits the disk to this many bytes, counted in blocks of 4096; one more block for each file and directory.
    pub fn set_capacity(&self, bytes: u64) {
        self.shared.state.lock().capacity_blocks = bytes / state::BLOCK;
    }

    /// Leaves this many bytes free.
    pub fn set_free(&self, bytes: u64) {
        let mut state = self.shared.state.lock();
        state.capacity_blocks = state.used_blocks + bytes / state::BLOCK;
    }

    pub fn used_bytes(&self) -> u64 {
        self.shared.state.lock().used_blocks * state::BLOCK
    }
}

/// A path as the simulation keeps it: from the root, without a trailing slash.
fn name_of(path: &Path) -> io::Result<String> {
    let text = path.to_str().ok_or_else(|| gate::os(libc::EINVAL))?;
    Ok(format!("/{}", text.trim_matches('/')))
}

impl Storage for SimDisk {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let path = name_of(path)?;
        dir::open_dir(&self.shared, ROOT, &path, path.clone(), OpKind::OpenDir)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        dir::create_dir(&self.shared, &name_of(path)?)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        dir::remove_dir(&self.shared, ROOT, &name_of(path)?, &name_of(path)?)
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        dir::sync_parent(&self.shared, &name_of(path)?)
    }
}
