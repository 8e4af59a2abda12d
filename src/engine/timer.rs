//! What a disk's timer has to do, and when. Its thread does no I/O and holds no partition while it waits, so nothing that hangs takes it away
//! from the others.

use crate::partition::Partition;
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

#[derive(Default)]
pub struct Timer {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// By time.
    later: VecDeque<(Instant, Arc<Partition>)>,
    checks: usize,
    stop: bool,
}

/// What is due now.
pub struct Due {
    /// Partitions whose time is over.
    pub elapsed: Vec<Arc<Partition>>,
    /// Idle partitions that are asked to look at their files.
    pub checks: usize,
}

impl Timer {
    pub fn add(&self, at: Instant, partition: Arc<Partition>) {
        let mut state = self.state.lock();
        let place = state.later.iter().rposition(|(t, _)| *t <= at).map_or(0, |i| i + 1);
        state.later.insert(place, (at, partition));
        drop(state);
        self.wake();
    }

    pub fn ask_checks(&self, count: usize) {
        let mut state = self.state.lock();
        state.checks = state.checks.saturating_add(count);
        drop(state);
        self.wake();
    }

    /// Has the thread look around before its time.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until something is due, one of `others` it may be; `None` once it is stopped.
    pub fn wait(&self, others: &[Option<Instant>]) -> Option<Due> {
        let mut state = self.state.lock();
        let due = state.later.front().map(|(at, _)| *at).into_iter().chain(others.iter().copied().flatten()).min();
        if let Some(until) = due.filter(|until| Instant::now() < *until) {
            if !state.stop && state.checks == 0 {
                self.wake.wait_until(&mut state, until);
            }
        }
        if state.stop {
            return None;
        }
        let now = Instant::now();
        let due = state.later.iter().take_while(|(at, _)| *at <= now).count();
        let elapsed = state.later.drain(..due).map(|(_, p)| p).collect();
        Some(Due { elapsed, checks: std::mem::take(&mut state.checks) })
    }

    /// Ends the waits; what was to come.
    pub fn stop(&self) -> VecDeque<(Instant, Arc<Partition>)> {
        let mut state = self.state.lock();
        state.stop = true;
        let later = std::mem::take(&mut state.later);
        drop(state);
        self.wake.notify_all();
        later
    }
}
