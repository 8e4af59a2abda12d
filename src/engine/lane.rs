//! The line of partitions whose flushes are shared, and its threads. Few busy partitions have flushes of their own, on the disk's flush
//! threads. Where there are more, those that come while a shared flush is under way are the next one's: no timer, and the busier the disk,
//! the more of them share one. It is an accelerator: where it hangs, or a flush of the disk fails, partitions have their own again.

use super::pool::Pool;
use super::reserve::Reserve;
use super::shared::Shared;
use super::shared_flush::{DiskFlushes, SharedFlush};
use super::watchdog::drop_elsewhere;
use crate::io::block_file_size_signal;
use crate::partition::{DiskCounts, Partition};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Partitions that flush by themselves at a time before others share.
const ALONE_MAX: usize = 3;
/// A shared flush of this many groups says that more are coming: who comes within this time of its end shares the next, too.
const CROWD_MIN: usize = 4;
const CROWD_STAYS: Duration = Duration::from_millis(2);
/// Shared flushes under way at a time: while one waits for the disk the next is made ready.
const TURNS: usize = 2;
/// Fewer partitions wait for the end of the turn before theirs.
const BESIDE_MIN: usize = 16;
/// Nobody waits longer for it: a turn that takes longer hangs, and others flush without it.
const PATIENCE: Duration = Duration::from_millis(100);
/// After a flush of the disk that failed, or where the kernel has no room for asynchronous writes, nothing is shared for this long.
const PAUSE: Duration = Duration::from_secs(60);
/// How often what an earlier turn did not wait for is looked at while nothing else is to do.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<Partition>>,
    /// By thread: when its turn began.
    turns: [Option<Instant>; TURNS],
    threads: Vec<JoinHandle<()>>,
    /// So long nobody flushes by itself.
    crowd_until: Option<Instant>,
    off_until: Option<Instant>,
    stop: bool,
}

impl State {
    fn is_off(&self) -> bool {
        self.stop || self.off_until.is_some_and(|until| Instant::now() < until)
    }

    /// Turns under way that do not hang, and those that do.
    fn under_way(&self) -> (usize, usize) {
        let hang = |since: &&Instant| since.elapsed() > PATIENCE;
        let hanging = self.turns.iter().flatten().filter(hang).count();
        (self.turns.iter().flatten().count() - hanging, hanging)
    }

    /// Somebody waits, and not for a turn that will have them soon.
    fn next_is_due(&self) -> bool {
        self.ready.len() >= BESIDE_MIN || !self.ready.is_empty() && self.under_way().0 == 0
    }
}

pub struct Lane {
    shared: Arc<Shared>,
    alone: Arc<Pool>,
    counts: Arc<DiskCounts>,
    state: Mutex<State>,
    wake: Condvar,
    /// Has the file for flushes of the disk.
    reserve: Arc<Reserve>,
    flushes: Arc<DiskFlushes>,
}

impl Lane {
    pub fn new(shared: Arc<Shared>, alone: Arc<Pool>, counts: Arc<DiskCounts>, reserve: Arc<Reserve>) -> Lane {
        let flushes = Arc::new(DiskFlushes::new(counts.failed_flushes.clone()));
        let (state, wake) = (Mutex::default(), Condvar::new());
        Lane { shared, alone, counts, state, wake, reserve, flushes }
    }

    /// A partition has something to flush: by itself, or with others.
    pub fn flush(self: &Arc<Lane>, partition: Arc<Partition>) {
        let mut state = self.state.lock();
        let (runs, hangs) = state.under_way();
        if state.is_off() || hangs == TURNS {
            let ready = std::mem::take(&mut state.ready);
            drop(state);
            return ready.into_iter().chain([partition]).for_each(|p| self.flush_alone(p));
        }
        let crowd = state.crowd_until.is_some_and(|until| Instant::now() < until);
        let crowded = if runs == 0 && state.ready.is_empty() && !crowd {
            self.alone.push_unless_busy(partition, ALONE_MAX)
        } else {
            Err(partition)
        };
        let Err(partition) = crowded else { return };
        if runs == 0 && self.reserve.flush_file().is_none() {
            return self.flush_alone(partition);
        }
        state.ready.push_back(partition);
        if state.next_is_due() && runs + hangs < TURNS {
            self.wake(state);
        }
    }

    fn flush_alone(&self, partition: Arc<Partition>) {
        self.alone.push(partition, false);
    }

    /// Makes a thread see to the next turn. They are started when first needed, all of them: one that waits sees that another hangs.
    fn wake(self: &Arc<Lane>, mut state: MutexGuard<'_, State>) {
        while state.threads.len() < TURNS {
            let (lane, number) = (self.clone(), state.threads.len());
            let thread = thread::Builder::new().name("bulkhead-share".into()).spawn(move || lane.run(number));
            let Ok(thread) = thread else { break };
            state.threads.push(thread);
        }
        if state.threads.is_empty() {
            let ready = std::mem::take(&mut state.ready);
            drop(state);
            return ready.into_iter().for_each(|p| self.flush_alone(p));
        }
        drop(state);
        self.wake.notify_all();
    }

    fn run(&self, number: usize) {
        block_file_size_signal();
        let mut shared = SharedFlush::new(self.shared.clone(), self.flushes.clone());
        let mut held = None;
        while let Some(partitions) = self.next(number, &shared) {
            let Some(file) = held.take().or_else(|| self.reserve.flush_file()) else {
                partitions.into_iter().for_each(|p| self.flush_alone(p));
                continue;
            };
            let turn = catch_unwind(AssertUnwindSafe(|| shared.turn(partitions, &*file, |p| self.flush_alone(p))));
            let turn = turn.unwrap_or_else(|_| shared.give_up());
            self.counts.note_shared_flush(turn.groups);
            let mut state = self.state.lock();
            if turn.flush_failed || turn.no_room {
                state.off_until = Some(Instant::now() + PAUSE);
            }
            if turn.groups >= CROWD_MIN {
                state.crowd_until = Some(Instant::now() + CROWD_STAYS);
            }
            drop(state);
            held = (shared.under_way() > 0).then_some(file);
        }
    }

    /// Ends a turn and waits for the next: those who wait by then, none if only stragglers are to be looked at. `None` if the thread is to end.
    fn next(&self, number: usize, shared: &SharedFlush) -> Option<Vec<Arc<Partition>>> {
        let mut state = self.state.lock();
        let place = |state: &mut State, at| state.turns.get_mut(number).map(|turn| *turn = at);
        place(&mut state, None);
        while !state.next_is_due() && !state.stop {
            let pause = if shared.under_way() > 0 {
                LOOK_AGAIN
            } else if state.turns.iter().any(Option::is_some) {
                PATIENCE
            } else {
                self.wake.wait(&mut state);
                continue;
            };
            if self.wake.wait_until(&mut state, Instant::now() + pause).timed_out() && shared.under_way() > 0 {
                break;
            }
        }
        if state.stop {
            if shared.under_way() == 0 {
                return None;
            }
            self.wake.wait_until(&mut state, Instant::now() + LOOK_AGAIN);
        }
        let room = shared.room();
        if room == 0 || state.is_off() {
            // All that it can have under way hangs, or nothing is shared now.
            state.ready.drain(..).for_each(|p| self.flush_alone(p));
        }
        let n = if state.next_is_due() { state.ready.len().min(room) } else { 0 };
        place(&mut state, Some(Instant::now()));
        Some(state.ready.drain(..n).collect())
    }

    /// Called by the timer: those who wait behind turns that hang flush by themselves. One that hangs is enough: the other thread may not be
    /// there, or may sleep, if that turn was to look at stragglers alone.
    pub fn tend(&self) {
        let ready = {
            let mut state = self.state.lock();
            if state.under_way().0 > 0 {
                return;
            }
            std::mem::take(&mut state.ready)
        };
        ready.into_iter().for_each(|p| self.flush_alone(p));
    }

    /// No further turn; the threads end when nothing is under way any more. What waited is let go.
    pub fn stop(&self) -> Vec<JoinHandle<()>> {
        let (ready, threads) = {
            let mut state = self.state.lock();
            state.stop = true;
            (std::mem::take(&mut state.ready), std::mem::take(&mut state.threads))
        };
        self.wake.notify_all();
        ready.into_iter().for_each(drop_elsewhere);
        threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::io::sim::{Fault, OpKind, Rule, SimDisk};
    use crate::io::{Access, Storage};
    use crate::partition::test_host::TestHost;
    use crate::partition::{EntryRef, Mode};
    use crate::EngineConfig;

    /// The other thread sleeps, or the system had none to give, and nobody else flushes: the stall limit would be over first.
    #[test]
    fn f05_who_waits_behind_one_turn_that_hangs_is_found() {
        let disk = SimDisk::new(1);
        let engine = Engine::with_storage(EngineConfig::default(), Arc::new(disk.clone())).unwrap();
        let alone = Pool::new("nobody", Duration::ZERO, Box::new(|_| ()), |_| ());
        let lane = Lane::new(engine.shared.clone(), alone.clone(), Arc::default(), Arc::default());
        lane.state.lock().ready.push_back(Arc::new(TestHost::default()).open(&disk, "/p", 1, Mode::Sync));
        let began = |ago| lane.state.lock().turns = [Some(Instant::now() - ago), None];
        began(Duration::ZERO);
        lane.tend();
        assert_eq!(alone.levels().waiting, 0, "that turn ends soon");
        began(2 * PATIENCE);
        lane.tend();
        assert_eq!(alone.levels().waiting, 1);
    }

    /// It asks again and again whether the kernel has let go.
    #[test]
    fn a_thread_that_waits_for_a_straggler_of_a_closed_engine_takes_no_processor() {
        let disk = SimDisk::new(1);
        let engine = Engine::with_storage(EngineConfig::default(), Arc::new(disk.clone())).unwrap();
        let p = Arc::new(TestHost::default()).open(&disk, "/p", 1, Mode::Sync);
        let submit = |index| p.submit(&[EntryRef { index, term: 1, kind: 0, data: b"data" }], index).unwrap();
        submit(1);
        p.work();
        submit(2);
        let file = disk.open_dir("/p".as_ref()).unwrap().create_unnamed(Access::Durable).unwrap();
        let alone = Pool::new("nobody", Duration::ZERO, Box::new(|_| ()), |_| ());
        let lane = Lane::new(engine.shared.clone(), alone, Arc::default(), Arc::default());
        let mut shared = SharedFlush::new(engine.shared.clone(), Arc::default());
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/p/seg").once());
        shared.turn(vec![p.clone()], &*file, |_| ());
        assert_eq!(shared.under_way(), 1);
        lane.state.lock().stop = true;
        let began = Instant::now();
        (0..20).for_each(|_| assert!(lane.next(0, &shared).is_some_and(|partitions| partitions.is_empty())));
        disk.release();
        assert!(began.elapsed() >= 20 * LOOK_AGAIN, "{:?}", began.elapsed());
    }
}
