//! A disk: one failure domain with its own threads. Workers flush partitions, others prepare and tidy up, a timer tells them when.

use super::healer::Healer;
use super::idle_checks::{IdleChecks, ASKED_BY_ERROR};
use super::lane::Lane;
use super::metrics::{DiskLevels, DiskMetrics};
use super::pool::{Pool, Work};
use super::reserve::Reserve;
use super::shared::{run_chore, Shared};
use super::sweep::Sweep;
use super::timer::Timer;
use super::watchdog::drop_elsewhere;
use crate::error::Op;
use crate::format::Root;
use crate::io::{File, Storage};
use crate::partition::{Completion, DiskCounts, Event, Host, Limit, Limits, Orphan, Partition, Place, Reserved, State};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::Mutex;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(1);
/// Chores are done one after the other, as long as none takes longer than this: they are not to take the disk from the flushes.
const CHORE_PATIENCE: Duration = Duration::from_millis(100);
const CHORE_THREADS: usize = 2;
/// Ticks between two looks at partitions that were closed with a fault.
const LOOK_EVERY: u64 = 60;

#[derive(Default)]
struct Partitions {
    list: Vec<Weak<Partition>>,
    sweep: Sweep,
}

pub struct Disk {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    device: u64,
    flushes: Arc<Pool>,
    lane: Arc<Lane>,
    chores: Arc<Pool>,
    timer: Timer,
    partitions: Mutex<Partitions>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub healer: Healer,
    reserve: Arc<Reserve>,
    metrics: DiskMetrics,
    /// Partitions that have not let go of their directory.
    open: AtomicUsize,
    /// The next chore fills the reserve as well.
    fill_reserve: AtomicBool,
    filling: Mutex<()>,
}

impl Disk {
    pub fn start(
        shared: Arc<Shared>,
        storage: Arc<dyn Storage>,
        device: u64,
        mount: &Path,
        in_force: &Limits,
    ) -> std::io::Result<Arc<Disk>> {
        let (metrics, reserve) = (DiskMetrics::new(mount, device), Arc::<Reserve>::default());
        let flushes =
            Pool::new("bulkhead-flush", Duration::ZERO, Box::new(Partition::work), Partition::worker_panicked);
        let disk = Arc::new_cyclic(|me: &Weak<Disk>| Disk {
            lane: Arc::new(Lane::new(shared.clone(), flushes.clone(), metrics.counts.clone(), reserve.clone())),
            flushes,
            chores: Pool::new("bulkhead-keep", CHORE_PATIENCE, chore(me.clone()), chore_panicked),
            shared,
            storage,
            timer: Timer::default(),
            partitions: Mutex::default(),
            threads: Mutex::default(),
            healer: Healer::default(),
            reserve,
            device,
            metrics,
            open: AtomicUsize::new(0),
            fill_reserve: AtomicBool::new(false),
            filling: Mutex::default(),
        });
        disk.take_limits(in_force);
        // One that a flush can count on: partitions that wait for a thread which the system does not give would be taken for stalled.
        disk.flushes.start_first()?;
        let timer = disk.clone();
        let thread = thread::Builder::new().name("bulkhead-timer".into()).spawn(move || timer.keep_time());
        disk.threads.lock().push(thread.inspect_err(|_| drop(disk.flushes.stop()))?);
        Ok(disk)
    }

    pub fn device(&self) -> u64 {
        self.device
    }

    pub fn mount(&self) -> &str {
        &self.metrics.mount
    }

    /// They have changed, or it starts with them.
    pub fn take_limits(&self, limits: &Limits) {
        let stall = limits.time(Limit::StallLimitMs);
        self.flushes.set_limits(limits.get_u32(Limit::FlushThreadsPerDisk) as usize, stall);
        self.chores.set_limits(CHORE_THREADS, stall);
    }

    fn limits(&self) -> Arc<Limits> {
        self.shared.limits.of_disk(self.device)
    }

    /// Starts a thread that `stop` waits for; false if the system has none to give.
    pub fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> bool {
        let thread = thread::Builder::new().name(name.into()).spawn(run);
        thread.map(|t| self.threads.lock().push(t)).is_ok()
    }

    pub fn add(&self, partition: &Arc<Partition>, path: &Path) {
        self.metrics.add(partition.counts(), path);
        self.open.fetch_add(1, Ordering::Relaxed);
        let partitions = &mut *self.partitions.lock();
        if partitions.sweep.is_due(partitions.list.len()) {
            partitions.list.retain(|p| p.strong_count() > 0);
            partitions.sweep.done(partitions.list.len());
        }
        partitions.list.push(Arc::downgrade(partition));
    }

    /// A directory is opened, on this disk or another one.
    pub fn opened(&self, path: &Path) {
        self.metrics.opened(path);
    }

    pub fn metrics(&self) -> (&DiskMetrics, DiskLevels) {
        let (reserve_bytes, reserve_target_bytes) = self.reserve.bytes(self.limits().get_u32(Limit::SegmentMinBytes));
        let (flush, keep) = (self.flushes.levels(), self.chores.levels());
        (&self.metrics, DiskLevels { flush, keep, reserve_bytes, reserve_target_bytes })
    }

    /// Ends the threads. One that hangs in the kernel is left behind: it ends when the kernel lets go.
    pub fn stop(&self) {
        let later = self.timer.stop();
        self.healer.stop();
        self.reserve.clear();
        drop(later);
        let mut threads = self.flushes.stop();
        threads.extend(self.lane.stop());
        threads.extend(self.chores.stop());
        threads.append(&mut self.threads.lock());
        let deadline = Instant::now() + self.limits().time(Limit::StallLimitMs);
        for thread in threads {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_micros(200));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }

    /// The timer's thread.
    fn keep_time(self: &Arc<Disk>) {
        let mut next_tick = Instant::now() + TICK;
        let mut ticks = 0u64;
        let mut look_again: Option<Instant> = None;
        let mut idle_checks = IdleChecks::default();
        while let Some(due) = self.timer.wait(&[Some(next_tick), look_again, idle_checks.wake()]) {
            for partition in due.elapsed {
                run_chore(&partition, Op::Allocate, Partition::timer);
                drop_elsewhere(partition);
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                ticks += 1;
                // A panic costs the rest of this tick, not the thread.
                let _ = catch_unwind(AssertUnwindSafe(|| self.tick(ticks)));
            }
            if idle_checks.wakes(due.checks) {
                let _ = catch_unwind(AssertUnwindSafe(|| self.check_idle(&mut idle_checks, due.checks)));
            }
            look_again = catch_unwind(AssertUnwindSafe(|| self.chores.tend())).unwrap_or(None);
        }
    }

    fn tick(self: &Arc<Disk>, ticks: u64) {
        if ticks % LOOK_EVERY == 0 && self.metrics.has_left() {
            self.healer.look(self);
        }
        self.healer.tend(self);
        self.flushes.tend();
        self.lane.tend();
        let partitions = self.partitions.lock().list.clone();
        let scarce = self.shared.cache_is_scarce();
        for partition in partitions.iter().filter_map(Weak::upgrade) {
            let lends = !self.reserve.is_full() && partition.status().state == State::ReadWrite;
            if lends && !self.fill_reserve.swap(true, Ordering::Relaxed) {
                self.chores.push(partition.clone(), true);
            }
            run_chore(&partition, Op::Allocate, Partition::tick);
            if scarce {
                run_chore(&partition, Op::Allocate, Partition::drop_old_cache);
            }
            drop_elsewhere(partition);
        }
    }

    /// Idle partitions look at their files: as many as were asked to, and one if the disk has been quiet.
    fn check_idle(&self, checks: &mut IdleChecks, asked: usize) {
        let limits = self.limits();
        let most = (limits.get_u32(Limit::FlushThreadsPerDisk) as usize / 2).max(1);
        let wanted = checks.wanted(asked, limits.time(Limit::IdleCheckMs), most, &self.metrics.counts);
        // Who waits for a thread does not wait for those who only look.
        let wanted = if self.flushes.levels().waiting > 0 { 0 } else { wanted };
        checks.look(wanted, |from, most| self.partitions.lock().list.iter().skip(from).take(most).cloned().collect());
    }

    /// Forgets partitions that were closed with a fault and whose directories have been gone for a while.
    pub fn look_for_left(&self) {
        let missing =
            |path: &Path| self.storage.open_dir(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        self.metrics.look_for_left(missing);
    }

    /// Files for the space reserve, made with the directory of a partition that nothing is wrong with. One thread at a time.
    fn fill_reserve(&self, partition: &Partition) {
        let Some(_alone) = self.filling.try_lock() else { return };
        if self.fill_reserve.swap(false, Ordering::Relaxed) {
            self.reserve.top_up_in(partition, self.limits().get_u32(Limit::SegmentMinBytes));
        }
    }
}

fn chore(disk: Weak<Disk>) -> Work {
    Box::new(move |partition| {
        partition.maintain();
        if let Some(disk) = disk.upgrade() {
            disk.fill_reserve(partition);
        }
    })
}

fn chore_panicked(partition: &Partition) {
    partition.latch_panic(Op::Allocate);
}

/// What a partition sees of its disk and engine.
pub struct DiskHost(pub Arc<Disk>);

impl Host for DiskHost {
    fn flush_soon(&self, partition: Arc<Partition>, may_share: bool) {
        if may_share {
            self.0.lane.flush(partition);
        } else {
            self.0.flushes.push(partition, false);
        }
    }

    fn flush_later(&self, partition: Arc<Partition>, delay: Duration) {
        self.0.timer.add(Instant::now() + delay, partition);
    }

    fn probe_later(&self, partition: Weak<Partition>, delay: Duration) {
        self.0.healer.add(&self.0, partition, Instant::now() + delay);
    }

    fn disk_erred(&self) {
        self.0.timer.ask_checks(ASKED_BY_ERROR);
    }

    fn maintain_soon(&self, partition: Arc<Partition>) {
        if self.0.chores.push(partition, true) {
            // No thread takes it at once: the timer looks after that.
            self.0.timer.wake();
        }
    }

    fn closed(&self) {
        // The filesystem is to be unmounted, perhaps: nothing of it stays open.
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.reserve.clear();
        }
    }

    fn reserved(&self, what: Reserved, bytes: u64) -> Option<Arc<dyn File>> {
        self.0.reserve.take(what, bytes)
    }

    fn keep_orphan(&self, orphan: Orphan) {
        self.0.shared.keep_orphan(orphan);
    }

    fn orphan(&self, root: &Root, place: Place) -> Option<Orphan> {
        self.0.shared.orphans.take(root, place)
    }

    fn orphan_first(&self, root: &Root, place: Place, known: u64) -> Option<u64> {
        self.0.shared.orphans.first(root, place, known)
    }

    fn counts(&self) -> Arc<DiskCounts> {
        self.0.metrics.counts.clone()
    }

    fn watch(&self, partition: &Arc<Partition>) {
        self.0.shared.watchdog.add(partition);
    }

    fn emit(&self, event: Event, tag: &Arc<AtomicU64>) {
        self.0.shared.events.push(event, tag.clone());
    }

    fn complete(&self, completions: &[Completion]) {
        self.0.shared.completions.push(completions);
    }

    fn cache_taken(&self, bytes: usize) -> bool {
        self.0.shared.cache_taken(bytes)
    }

    fn cache_released(&self, bytes: usize) -> bool {
        self.0.shared.cache_released(bytes)
    }
}
