//! An engine without threads, for simulation: what the threads of a disk would do is done by whoever waits for it, and between calls when
//! the simulation asks. Which of the pieces that are ready comes next, and every random id, follows from a seed; time is the simulated
//! disk's. The same calls on the same seed are the same operations on the disk, byte for byte.

use super::idle_checks::{check_idle, ASKED_BY_ERROR};
use super::metrics::{DiskLevels, DiskMetrics, PoolLevels};
use super::reserve::Reserve;
use super::shared::{run_chore, run_flush, Shared};
use super::shared_flush::{DiskFlushes, SharedFlush};
use crate::error::Op;
use crate::format::{Id, Root};
use crate::io::sim::{mix, SimClock};
use crate::io::File;
use crate::partition::{Completion, DiskCounts, Event, Host, Limit, Orphan, Partition, Place, Reserved};
use crate::sync::Mutex;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(1);
/// Time that a piece of work takes: who asks again and again for work that has to wait gets there, too.
const PIECE: Duration = Duration::from_micros(200);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Chore {
    Flush,
    /// By itself, not with others.
    FlushAlone,
    Maintain,
    Timer,
    Probe,
    IdleCheck,
}

struct Piece {
    chore: Chore,
    partition: Arc<Partition>,
}

impl Piece {
    fn can_be_done(&self) -> bool {
        match self.chore {
            Chore::Flush | Chore::FlushAlone => self.partition.is_free_for_work(),
            _ => self.partition.is_free(),
        }
    }
}

#[derive(Default)]
struct Queues {
    ready: Vec<Piece>,
    /// Due at the time given, in no order.
    later: Vec<(Instant, Piece)>,
    probes: Vec<(Instant, Weak<Partition>)>,
    next_tick: Option<Instant>,
    partitions: Vec<Weak<Partition>>,
    choices: u64,
    stopped: bool,
}

pub struct Stepped {
    shared: Arc<Shared>,
    clock: Arc<SimClock>,
    seed: u64,
    queues: Mutex<Queues>,
    ids: Mutex<u64>,
    reserve: Reserve,
    shared_flush: Mutex<SharedFlush>,
    metrics: DiskMetrics,
}

impl Stepped {
    pub fn new(shared: Arc<Shared>, clock: Arc<SimClock>, seed: u64) -> Stepped {
        let metrics = DiskMetrics::new(Path::new("/simulated"), 0);
        let flushes = Arc::new(DiskFlushes::new(metrics.counts.failed_flushes.clone()));
        let shared_flush = Mutex::new(SharedFlush::new(shared.clone(), flushes));
        let queues = Queues { next_tick: Some(clock.now() + TICK), ..Queues::default() };
        Stepped {
            shared,
            clock,
            seed,
            queues: Mutex::new(queues),
            ids: Mutex::new(0),
            reserve: Reserve::default(),
            shared_flush,
            metrics,
        }
    }

    pub fn add(&self, partition: &Arc<Partition>, path: &Path) {
        self.metrics.add(partition.counts(), path);
        let mut queues = self.queues.lock();
        queues.partitions.retain(|p| p.strong_count() > 0);
        queues.partitions.push(Arc::downgrade(partition));
    }

    pub fn metrics(&self) -> (&DiskMetrics, DiskLevels) {
        let waiting =
            self.queues.lock().ready.iter().filter(|p| matches!(p.chore, Chore::Flush | Chore::FlushAlone)).count();
        let (reserve_bytes, reserve_target_bytes) =
            self.reserve.bytes(self.shared.limits.of_engine().get_u32(Limit::SegmentMinBytes));
        let flush = PoolLevels { waiting, ..PoolLevels::default() };
        (&self.metrics, DiskLevels { flush, keep: PoolLevels::default(), reserve_bytes, reserve_target_bytes })
    }

    /// The queues hold partitions, and those hold this host.
    pub fn stop(&self) {
        let queues = std::mem::replace(&mut *self.queues.lock(), Queues { stopped: true, ..Queues::default() });
        drop(queues);
        self.reserve.clear();
    }

    /// Does one piece that is ready now; false if there is none.
    pub fn do_ready(&self) -> bool {
        let now = self.clock.now();
        let (piece, tick) = {
            let mut queues = self.queues.lock();
            queues.collect_due(now);
            let tick = queues.next_tick.is_some_and(|at| at <= now);
            queues.choices += 1;
            let choice = mix(&[self.seed, queues.choices]) as usize;
            // Whoever holds the partition's locks is further up on this stack: its piece waits until that is done.
            let free: Vec<usize> =
                (0..queues.ready.len()).filter(|i| queues.ready.get(*i).is_some_and(Piece::can_be_done)).collect();
            let count = free.len() + usize::from(tick);
            match (count > 0).then(|| choice % count.max(1)).map(|i| free.get(i).copied()) {
                None => return false,
                Some(Some(i)) => (Some(queues.ready.remove(i)), Vec::new()),
                Some(None) => {
                    queues.next_tick = Some(now + TICK);
                    (None, queues.partitions.iter().filter_map(Weak::upgrade).collect::<Vec<_>>())
                }
            }
        };
        self.clock.pass(PIECE);
        if let Some(Piece { chore, partition }) = piece {
            match chore {
                Chore::Flush => self.flush(partition),
                Chore::FlushAlone => run_flush(&partition),
                Chore::Maintain => run_chore(&partition, Op::Allocate, Partition::maintain),
                Chore::Timer => run_chore(&partition, Op::Allocate, Partition::timer),
                Chore::Probe => run_chore(&partition, Op::Recover, Partition::probe),
                Chore::IdleCheck => drop(check_idle(&partition)),
            }
        }
        if !tick.is_empty() {
            self.check_idle(1);
            let free: Vec<_> = tick.into_iter().filter(|p| p.is_free()).collect();
            free.iter().for_each(|p| run_chore(p, Op::Allocate, Partition::tick));
            self.reserve.top_up(&free, self.shared.limits.of_engine().get_u32(Limit::SegmentMinBytes));
        }
        true
    }

    /// Flushes a partition, by itself or with others that wait.
    fn flush(&self, partition: Arc<Partition>) {
        let mut partitions = vec![partition];
        let alone = {
            let mut queues = self.queues.lock();
            let choice = mix(&[self.seed, queues.choices, 1]);
            let mut at = 0;
            while at < queues.ready.len() && choice % 4 > 0 {
                let flush = queues.ready.get(at).is_some_and(|p| p.chore == Chore::Flush && p.can_be_done());
                if flush && mix(&[choice, at as u64]) % 4 > 0 {
                    partitions.push(queues.ready.remove(at).partition);
                } else {
                    at += 1;
                }
            }
            choice % 4 < 2
        };
        if alone && partitions.len() == 1 || !self.flush_together(&partitions) {
            partitions.iter().for_each(run_flush);
        }
    }

    /// False if there is no shared flush now.
    fn flush_together(&self, partitions: &[Arc<Partition>]) -> bool {
        // One that is under way is further up on this stack.
        let Some(mut shared) = self.shared_flush.try_lock() else { return false };
        if self.reserve.flush_file().is_none() {
            // The reserve is filled seldom here.
            partitions.iter().any(|p| self.reserve.make_flush_file_in(p));
        }
        let Some(file) = self.reserve.flush_file() else { return false };
        let turn = shared.turn(partitions.to_vec(), &*file, |p| self.queue(Chore::FlushAlone, p));
        self.metrics.counts.note_shared_flush(turn.groups);
        true
    }

    /// The watchdog looks at the calls under way.
    pub fn watch(&self) {
        self.shared.watchdog.look(self.clock.now());
    }

    /// Does all work of this much time.
    pub fn pass(&self, time: Duration) {
        let end = self.clock.now() + time;
        while self.step_until(end) {}
    }

    /// Does a piece; if none is ready the clock goes on to the next that is due, or to `deadline`: then false.
    fn step_until(&self, deadline: Instant) -> bool {
        loop {
            if self.clock.now() <= deadline && self.do_ready() {
                return true;
            }
            let due = {
                let queues = self.queues.lock();
                let probes = queues.probes.iter().map(|(at, _)| *at);
                let times = queues.later.iter().map(|(at, _)| *at).chain(probes).chain(queues.next_tick);
                times.filter(|at| *at > self.clock.now()).min().filter(|at| *at < deadline)
            };
            match due {
                Some(at) => self.clock.pass_until(at),
                None => {
                    self.clock.pass_until(deadline);
                    return false;
                }
            }
        }
    }

    /// Some are to look whether their logs could still be written.
    fn check_idle(&self, wanted: usize) {
        let mut queues = self.queues.lock();
        if queues.stopped || self.shared.limits.of_engine().get(Limit::IdleCheckMs) == 0 {
            return;
        }
        for n in 0..wanted {
            let chosen = mix(&[self.seed, queues.choices, 2, n as u64]) as usize % queues.partitions.len().max(1);
            let partition = queues.partitions.get(chosen).and_then(Weak::upgrade);
            queues.ready.extend(partition.map(|partition| Piece { chore: Chore::IdleCheck, partition }));
        }
    }

    fn queue(&self, chore: Chore, partition: Arc<Partition>) {
        let mut queues = self.queues.lock();
        let again = |p: &Piece| p.chore == chore && Arc::ptr_eq(&p.partition, &partition);
        let planned = chore == Chore::Maintain && queues.ready.iter().any(again);
        if !queues.stopped && !planned {
            queues.ready.push(Piece { chore, partition });
        }
    }
}

impl Queues {
    fn collect_due(&mut self, now: Instant) {
        while let Some(i) = self.later.iter().position(|(at, _)| *at <= now) {
            let piece = self.later.remove(i).1;
            self.ready.push(piece);
        }
        while let Some(i) = self.probes.iter().position(|(at, _)| *at <= now) {
            let partition = self.probes.remove(i).1.upgrade();
            self.ready.extend(partition.map(|partition| Piece { chore: Chore::Probe, partition }));
        }
    }
}

/// What a partition sees of it.
pub struct SteppedHost(pub Arc<Stepped>);

impl Host for SteppedHost {
    fn flush_soon(&self, partition: Arc<Partition>, may_share: bool) {
        self.0.queue(if may_share { Chore::Flush } else { Chore::FlushAlone }, partition);
    }

    fn flush_later(&self, partition: Arc<Partition>, delay: Duration) {
        let at = self.0.clock.now() + delay;
        let mut queues = self.0.queues.lock();
        if !queues.stopped {
            queues.later.push((at, Piece { chore: Chore::Timer, partition }));
        }
    }

    fn probe_later(&self, partition: Weak<Partition>, delay: Duration) {
        let at = self.0.clock.now() + delay;
        let mut queues = self.0.queues.lock();
        if !queues.stopped {
            queues.probes.push((at, partition));
        }
    }

    fn counts(&self) -> Arc<DiskCounts> {
        self.0.metrics.counts.clone()
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

    /// Nothing else is done meanwhile: the caller may hold locks.
    fn pause(&self, time: Duration) {
        self.0.clock.pass(time);
    }

    fn disk_erred(&self) {
        self.0.check_idle(ASKED_BY_ERROR);
    }

    fn maintain_soon(&self, partition: Arc<Partition>) {
        self.0.queue(Chore::Maintain, partition);
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

    fn watch(&self, partition: &Arc<Partition>) {
        self.0.shared.watchdog.add(partition);
    }

    fn now(&self) -> Instant {
        self.0.clock.now()
    }

    fn random_id(&self) -> Id {
        let mut ids = self.0.ids.lock();
        *ids += 1;
        let mut id = Id::default();
        for (half, n) in id.chunks_mut(8).zip(0u64..) {
            half.copy_from_slice(&mix(&[self.0.seed, *ids, n]).to_le_bytes());
        }
        id
    }

    fn has_threads(&self) -> bool {
        false
    }

    fn step(&self, deadline: Instant) -> bool {
        self.0.step_until(deadline)
    }
}
