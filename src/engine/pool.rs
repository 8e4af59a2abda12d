//! Threads that work for the partitions of a disk, each for one partition at a time. They are started when first needed, or the first ahead of
//! that where a partition must not depend on whether the system has a thread to give. One that hangs
//! in the kernel, or that the others overtake, is replaced, within a bound, and ends when it is done.

use crate::io::block_file_size_signal;
use crate::partition::Partition;
use crate::sync::thread::JoinHandle;
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::metrics::PoolLevels;
use super::watchdog::drop_elsewhere;

/// A thread that is busy with one partition while this many times the usual number of threads had work for others is stuck on its own
/// account: it is not the disk that is slow. The others need not be one fewer until the stall limit is over.
const OVERTAKEN: u64 = 8;

/// What a thread does for a partition.
pub type Work = Box<dyn Fn(&Partition) + Send + Sync>;

pub struct Pool {
    name: &'static str,
    /// A thread beside others is started once they have all been busy with one partition for this long.
    patience: Duration,
    work: Work,
    panicked: fn(&Partition),
    state: Mutex<State>,
    wake: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    /// Threads that are not known to hang. In all there are at most twice as many.
    usual: usize,
    /// A thread that is busy with one partition for longer may hang.
    stall: Duration,
    ready: VecDeque<Arc<Partition>>,
    busy: Vec<Busy>,
    idle: usize,
    threads: usize,
    next_job: u64,
    stop: bool,
}

struct Busy {
    job: u64,
    partition: Weak<Partition>,
    since: Instant,
    /// Another thread may have its place.
    replaced: bool,
}

impl State {
    /// The next partition that no other thread works for: one that hangs must not take two threads.
    fn take(&mut self) -> Option<Arc<Partition>> {
        let taken = |p: &Arc<Partition>| self.busy.iter().any(|b| b.partition.as_ptr() == Arc::as_ptr(p));
        let next = self.ready.iter().position(|p| !taken(p))?;
        self.ready.remove(next)
    }

    fn replaced(&self) -> usize {
        self.busy.iter().filter(|b| b.replaced).count()
    }

    /// There are more than there should be: one that hung has come back, or the limit was lowered.
    fn too_many(&self) -> bool {
        self.threads - self.replaced() > self.usual
    }

    /// Finds threads that the others overtake.
    fn look_behind(&mut self) {
        let oldest = self.next_job.saturating_sub(OVERTAKEN * self.usual as u64);
        self.busy.iter_mut().filter(|b| b.job < oldest).for_each(|b| b.replaced = true);
    }
}

impl Pool {
    /// Without threads until it has its limits.
    pub fn new(name: &'static str, patience: Duration, work: Work, panicked: fn(&Partition)) -> Arc<Pool> {
        let (state, wake, threads) = (Mutex::default(), Condvar::new(), Mutex::default());
        Arc::new(Pool { name, patience, work, panicked, state, wake, threads })
    }

    /// From now on: threads that are too many end when they are done, others are started when they are needed.
    pub fn set_limits(self: &Arc<Self>, usual: usize, stall: Duration) {
        let mut state = self.state.lock();
        (state.usual, state.stall) = (usual, stall);
        self.start_if_needed(&mut state);
        drop(state);
        self.wake.notify_all();
    }

    /// Hands a partition to a thread. With `once` not if it waits for one already.
    /// True if all threads are busy.
    pub fn push(self: &Arc<Self>, partition: Arc<Partition>, once: bool) -> bool {
        let mut state = self.state.lock();
        if state.stop || once && state.ready.iter().any(|p| Arc::ptr_eq(p, &partition)) {
            drop(state);
            drop_elsewhere(partition);
            return false;
        }
        state.ready.push_back(partition);
        self.start_if_needed(&mut state);
        let all_busy = state.idle == 0;
        drop(state);
        self.wake.notify_one();
        all_busy
    }

    /// The same where fewer than `most` partitions have a thread or wait for one; others get theirs back.
    pub fn push_unless_busy(self: &Arc<Self>, partition: Arc<Partition>, most: usize) -> Result<(), Arc<Partition>> {
        let crowded = {
            let state = self.state.lock();
            state.ready.len() + state.busy.len() - state.replaced() >= most
        };
        if crowded {
            return Err(partition);
        }
        self.push(partition, false);
        Ok(())
    }

    /// The least number of threads that keeps waiting partitions moving.
    fn start_if_needed(self: &Arc<Self>, state: &mut State) {
        state.look_behind();
        let counted_on = state.threads - state.replaced();
        let patience = self.patience;
        let all_busy = state.idle == 0 && state.busy.iter().all(|b| b.replaced || b.since.elapsed() >= patience);
        let wanted = state.idle < state.ready.len() && (counted_on == 0 || patience.is_zero() || all_busy);
        if state.stop || !wanted || counted_on >= state.usual || state.threads >= 2 * state.usual {
            return;
        }
        // Without one the timer tries again, and those that are there go on.
        let _ = self.start_thread(state);
    }

    /// The first thread, ahead of any work.
    pub fn start_first(self: &Arc<Self>) -> std::io::Result<()> {
        self.start_thread(&mut self.state.lock())
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let pool = self.clone();
        let thread = crate::sync::thread::Builder::new().name(self.name.into()).spawn(move || pool.run())?;
        state.threads += 1;
        let mut threads = self.threads.lock();
        threads.retain(|t| !t.is_finished());
        threads.push(thread);
        Ok(())
    }

    fn run(self: Arc<Self>) {
        block_file_size_signal();
        let mut done = None;
        while let Some((job, partition)) = self.next(done) {
            if catch_unwind(AssertUnwindSafe(|| (self.work)(&partition))).is_err() {
                (self.panicked)(&partition);
            }
            done = Some(job);
        }
    }

    /// Ends a job and waits for the next one; `None` if this thread is to end.
    fn next(self: &Arc<Self>, done: Option<u64>) -> Option<(u64, Arc<Partition>)> {
        let mut state = self.state.lock();
        if let Some(at) = done.and_then(|job| state.busy.iter().position(|b| b.job == job)) {
            // One that hung stays if nobody was there to take its place.
            state.busy.swap_remove(at);
        }
        loop {
            if state.too_many() {
                state.threads -= 1;
                self.start_if_needed(&mut state);
                self.wake.notify_one();
                return None;
            }
            if let Some(partition) = state.take() {
                state.next_job += 1;
                let job = state.next_job;
                let busy = Busy { job, partition: Arc::downgrade(&partition), since: Instant::now(), replaced: false };
                state.busy.push(busy);
                return Some((job, partition));
            }
            if state.stop {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            self.wake.wait(&mut state);
            state.idle -= 1;
        }
    }

    /// Called by the timer: finds threads that hang, starts what is needed. Returns when to call again at the latest, if there is a need.
    pub fn tend(self: &Arc<Self>) -> Option<Instant> {
        let suspects: Vec<(u64, Weak<Partition>)> = {
            let state = self.state.lock();
            let old = |b: &&Busy| !b.replaced && b.since.elapsed() >= state.stall;
            state.busy.iter().filter(old).map(|b| (b.job, b.partition.clone())).collect()
        };
        let mut hanging = Vec::new();
        for (job, partition) in suspects {
            if let Some(partition) = partition.upgrade() {
                if partition.hangs() {
                    hanging.push(job);
                }
                drop_elsewhere(partition);
            }
        }
        let mut state = self.state.lock();
        for busy in state.busy.iter_mut().filter(|b| hanging.contains(&b.job)) {
            busy.replaced = true;
        }
        self.start_if_needed(&mut state);
        let waits = state.idle < state.ready.len() && state.threads - state.replaced() < state.usual;
        waits.then(|| Instant::now() + self.patience.max(Duration::from_millis(10)))
    }

    pub fn levels(&self) -> PoolLevels {
        let state = self.state.lock();
        let replaced = state.replaced();
        PoolLevels { waiting: state.ready.len(), idle: state.idle, busy: state.busy.len() - replaced, replaced }
    }

    /// No further work; the threads end. What waited is let go.
    pub fn stop(&self) -> Vec<JoinHandle<()>> {
        // The queue holds partitions, and those hold this pool.
        let ready = {
            let mut state = self.state.lock();
            state.stop = true;
            std::mem::take(&mut state.ready)
        };
        self.wake.notify_all();
        drop(ready);
        std::mem::take(&mut *self.threads.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A partition that hangs would cost the others one of their flushes until the stall limit is over.
    #[test]
    fn f05_a_thread_that_others_overtake_is_replaced() {
        let busy = |job| Busy { job, partition: Weak::new(), since: Instant::now(), replaced: false };
        let mut state = State { usual: 2, busy: vec![busy(1), busy(15)], threads: 2, next_job: 17, ..State::default() };
        state.look_behind();
        assert_eq!(state.replaced(), 0, "16 jobs since: as many as may be under way or waiting on a slow disk");
        state.next_job = 18;
        state.look_behind();
        assert_eq!((state.replaced(), state.busy[0].replaced), (1, true));
    }
}
