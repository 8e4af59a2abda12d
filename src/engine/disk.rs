//! A disk: one failure domain with its own threads. Workers flush partitions, a housekeeper prepares and tidies up.

use super::healer::Healer;
use super::reserve::Reserve;
use super::shared::{run_chore, run_flush, Shared};
use crate::error::Op;
use crate::format::Id;
use crate::io::real::block_file_size_signal;
use crate::io::File;
use crate::partition::{Completion, Event, Host, Orphan, Partition, Reserved};
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Work {
    ready: VecDeque<Arc<Partition>>,
    idle_workers: usize,
    workers: usize,
    stop: bool,
}

#[derive(Default)]
struct Chores {
    maintain: VecDeque<Arc<Partition>>,
    later: VecDeque<(Instant, Arc<Partition>)>,
    stop: bool,
}

pub struct Disk {
    shared: Arc<Shared>,
    work: Mutex<Work>,
    work_waits: Condvar,
    chores: Mutex<Chores>,
    chores_wait: Condvar,
    partitions: Mutex<Vec<Weak<Partition>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub healer: Healer,
    reserve: Reserve,
}

impl Disk {
    pub fn start(shared: Arc<Shared>) -> std::io::Result<Arc<Disk>> {
        let disk = Arc::new(Disk {
            shared,
            work: Mutex::default(),
            work_waits: Condvar::new(),
            chores: Mutex::default(),
            chores_wait: Condvar::new(),
            partitions: Mutex::default(),
            threads: Mutex::default(),
            healer: Healer::default(),
            reserve: Reserve::default(),
        });
        let housekeeper = disk.clone();
        let thread =
            std::thread::Builder::new().name("bulkhead-keep".into()).spawn(move || housekeeper.keep_house())?;
        disk.threads.lock().push(thread);
        Ok(disk)
    }

    /// Starts a thread that `stop` waits for; false if the system has none to give.
    pub fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> bool {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        thread.map(|t| self.threads.lock().push(t)).is_ok()
    }

    pub fn add(&self, partition: &Arc<Partition>) {
        let mut partitions = self.partitions.lock();
        if partitions.len() == partitions.capacity() {
            partitions.retain(|p| p.strong_count() > 0);
        }
        partitions.push(Arc::downgrade(partition));
    }

    pub fn open_partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends the threads. One that hangs in the kernel is left behind: it ends when the kernel lets go.
    pub fn stop(&self) {
        // The queues hold partitions, and those hold this disk.
        let work = {
            let mut work = self.work.lock();
            work.stop = true;
            std::mem::take(&mut work.ready)
        };
        self.work_waits.notify_all();
        let chores = {
            let mut chores = self.chores.lock();
            chores.stop = true;
            (std::mem::take(&mut chores.maintain), std::mem::take(&mut chores.later))
        };
        self.chores_wait.notify_all();
        self.healer.stop();
        self.reserve.clear();
        drop((work, chores));
        let threads = std::mem::take(&mut *self.threads.lock());
        let deadline = Instant::now() + Duration::from_millis(u64::from(self.shared.config.stall_limit_ms));
        for thread in threads {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_micros(200));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }

    /// The least number of workers that keeps waiting partitions moving; they are started when first needed.
    fn start_worker_if_needed(self: &Arc<Self>, work: &mut Work) {
        let limit = self.shared.config.flush_threads_per_disk as usize;
        if work.idle_workers >= work.ready.len() || work.workers >= limit {
            return;
        }
        let disk = self.clone();
        if self.spawn("bulkhead-flush", move || disk.flush_partitions()) {
            work.workers += 1;
        }
    }

    fn flush_partitions(&self) {
        block_file_size_signal();
        loop {
            let partition = {
                let mut work = self.work.lock();
                loop {
                    if let Some(partition) = work.ready.pop_front() {
                        break partition;
                    }
                    if work.stop {
                        return;
                    }
                    work.idle_workers += 1;
                    self.work_waits.wait(&mut work);
                    work.idle_workers -= 1;
                }
            };
            run_flush(&partition);
        }
    }

    fn keep_house(&self) {
        block_file_size_signal();
        let mut next_tick = Instant::now() + TICK;
        loop {
            let (maintain, elapsed) = {
                let mut chores = self.chores.lock();
                let now = Instant::now();
                if chores.stop {
                    return;
                }
                let due = chores.later.front().is_some_and(|(at, _)| *at <= now);
                if chores.maintain.is_empty() && !due && now < next_tick {
                    let until = chores.later.front().map_or(next_tick, |(at, _)| next_tick.min(*at));
                    self.chores_wait.wait_until(&mut chores, until);
                    continue;
                }
                let mut elapsed = Vec::new();
                while chores.later.front().is_some_and(|(at, _)| *at <= now) {
                    elapsed.extend(chores.later.pop_front().map(|(_, p)| p));
                }
                // One at a time, so that a long chore does not hold up the intervals.
                (chores.maintain.pop_front(), elapsed)
            };
            for partition in elapsed {
                run_chore(&partition, Op::Allocate, Partition::timer);
            }
            if let Some(partition) = maintain {
                run_chore(&partition, Op::Allocate, Partition::maintain);
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                let open = self.open_partitions();
                open.iter().for_each(|p| run_chore(p, Op::Allocate, Partition::tick));
                self.reserve.top_up(&open, self.shared.config.segment_min_bytes);
            }
        }
    }
}

/// What a partition sees of its disk and engine.
pub struct DiskHost(pub Arc<Disk>);

impl Host for DiskHost {
    fn flush_soon(&self, partition: Arc<Partition>) {
        let mut work = self.0.work.lock();
        work.ready.push_back(partition);
        self.0.start_worker_if_needed(&mut work);
        drop(work);
        self.0.work_waits.notify_one();
    }

    fn flush_later(&self, partition: Arc<Partition>, delay: Duration) {
        let at = Instant::now() + delay;
        let mut chores = self.0.chores.lock();
        let place = chores.later.iter().rposition(|(t, _)| *t <= at).map_or(0, |i| i + 1);
        chores.later.insert(place, (at, partition));
        drop(chores);
        self.0.chores_wait.notify_one();
    }

    fn probe_later(&self, partition: Weak<Partition>, delay: Duration) {
        self.0.healer.add(&self.0, partition, Instant::now() + delay);
    }

    fn maintain_soon(&self, partition: Arc<Partition>) {
        let mut chores = self.0.chores.lock();
        if !chores.maintain.iter().any(|p| Arc::ptr_eq(p, &partition)) {
            chores.maintain.push_back(partition);
            self.0.chores_wait.notify_one();
        }
    }

    fn closed(&self) {
        // The filesystem is to be unmounted, perhaps: nothing of it stays open.
        if self.0.open_partitions().iter().all(|p| p.is_closed()) {
            self.0.reserve.clear();
        }
    }

    fn reserved(&self, what: Reserved) -> Option<Arc<dyn File>> {
        self.0.reserve.take(what)
    }

    fn keep_orphan(&self, orphan: Orphan) {
        self.0.shared.orphans.keep(orphan);
    }

    fn orphan(&self, incarnation: &Id) -> Option<Orphan> {
        self.0.shared.orphans.take(incarnation)
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
