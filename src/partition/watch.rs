//! What of a partition is watched while the kernel has it, and what becomes of an operation that does not come back.

use super::counts::Count;
use super::limits::Limit;
use super::log::Log;
use super::types::State;
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::io::{Call, Calls};
use crate::sync::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the watchdog waits for a partition's lock: it has others to look after, and comes again.
const WATCHDOG_PATIENCE: Duration = Duration::from_millis(10);
/// How often a wait for calls of others looks whether they have come back.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What a call under way is made for.
pub(super) fn classify(call: Call, name: &str) -> u8 {
    let op = match call {
        _ if name.starts_with(super::root::ROOT_NAME) => Op::HardState,
        Call::Read => Op::Recover,
        Call::Prepare => Op::Allocate,
        Call::Remove => Op::Compact,
        Call::Write => Op::Append,
        Call::Sync => Op::Sync,
    };
    op as u8
}

/// What the call is made for that a place of the table holds.
fn op_of(call: u64) -> Op {
    let code = Calls::code(call).unwrap_or(0);
    [Op::HardState, Op::Recover, Op::Allocate, Op::Compact, Op::Append, Op::Sync]
        .into_iter()
        .find(|op| *op as u8 == code)
        .unwrap_or(Op::None)
}

impl Partition {
    /// The calls under way, for the watchdog.
    pub fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// What a call under way is made for, the first of them.
    pub fn under_way(&self) -> Option<Op> {
        self.calls.look().into_iter().find(|call| Calls::code(*call).is_some()).map(op_of)
    }

    /// A call has been in the kernel for longer than `slow_disk_ms`. The state stays; `first` of an episode is told as an event.
    /// False if the partition's lock was not to be had.
    pub fn call_is_slow(&self, call: u64, first: bool) -> bool {
        let Some(log) = self.log.try_lock_for(WATCHDOG_PATIENCE) else { return false };
        self.counts.add(Count::SlowOperations, 1);
        if first && log.state != State::Closed {
            self.tell(&log, Cause::Stalled, &Error::new(Status::Stalled, op_of(call), ""));
        }
        true
    }

    /// The call that was seen in a place of the table has been in the kernel for longer than `stall_limit_ms`: nobody waits for it any longer.
    /// If it has come back since it was seen, whoever called goes on with it, or the partition has recovered: nothing hangs.
    /// False if the partition's lock was not to be had.
    pub fn call_hangs(&self, at: usize, call: u64) -> bool {
        let Some(mut log) = self.log.try_lock_for(WATCHDOG_PATIENCE) else { return false };
        if self.calls.look().get(at) != Some(&call) {
            return true;
        }
        let recovering = log.state == State::Recovering;
        self.latch_stalled(&mut log, op_of(call));
        if recovering {
            // The first fault stays what it was; the try is over, whatever becomes of it.
            self.set_state(&mut log, State::Unavailable, Cause::Stalled, Op::Recover, 0, (0, 0));
            self.plan_probe(&mut log);
        }
        true
    }

    /// True if the partition is latched and the kernel still has a call of it: a thread in there is not to be counted on.
    pub fn hangs(&self) -> bool {
        let log = self.log.try_lock_for(WATCHDOG_PATIENCE);
        !self.calls.is_quiet() && log.is_some_and(|log| matches!(log.state, State::Unavailable | State::Closed))
    }

    /// For compact and reset: alone among the operations on the whole log. A partition that does not serve them says so at once.
    pub(super) fn lock_operation(&self, op: Op) -> Result<MutexGuard<'_, ()>> {
        self.check_root_writable(&self.log.lock(), op)?;
        let locked = self.lock_for(&self.operation, op);
        self.check_root_writable(&self.log.lock(), op)?;
        locked
    }

    /// Takes a lock that is held across I/O; who holds it for longer than the stall limit may hang.
    pub(super) fn lock_for<'a>(&self, lock: &'a Mutex<()>, op: Op) -> Result<MutexGuard<'a, ()>> {
        if let Some(guard) = lock.try_lock_until(self.lock_until(self.stall_deadline())) {
            return Ok(guard);
        }
        let message = format!(
            "another operation of this partition has not come back within {} ms; try again when it has",
            self.limits.get(Limit::StallLimitMs)
        );
        Err(Error::new(Status::Busy, op, message).partition(self.id).at(&self.path))
    }

    /// Takes a lock that somebody else gives back within this time.
    pub(super) fn lock_within<'a>(&self, lock: &'a Mutex<()>, time: Duration) -> Option<MutexGuard<'a, ()>> {
        lock.try_lock_until(self.lock_until(Instant::now() + time))
    }

    /// The limit of a wait for a lock. Without threads nobody else could give it back: whoever holds it is further up on this stack.
    pub(super) fn lock_until(&self, deadline: Instant) -> Instant {
        if self.host.has_threads() {
            deadline
        } else {
            Instant::now()
        }
    }

    /// Mode none: waits until nobody writes the log.
    pub(super) fn wait_written(&self, log: &mut MutexGuard<'_, Log>, op: Op) -> Result<()> {
        if !log.writing {
            return Ok(());
        }
        let deadline = self.stall_deadline();
        while log.writing {
            if !matches!(log.state, State::ReadWrite | State::ReadOnly) {
                return Err(self.fault_error(log, op));
            }
            let faults = log.fault_count;
            if self.wait(log, deadline) && log.writing && log.fault_count == faults {
                self.latch_stalled(log, op);
            }
        }
        Ok(())
    }

    /// Waits for the flushes in front. The disk is stalled if it gets on with none of them for the limit's time; how long this takes says
    /// nothing, where others may come in between.
    pub(super) fn wait_in_line(&self, log: &mut MutexGuard<'_, Log>, op: Op, waits: impl Fn(&Log) -> bool) {
        // Nearly always: an append that has room does not look at the clock for it.
        if !waits(log) {
            return;
        }
        let seen = |log: &Log| (log.fault_count, log.durable.lsn, log.checked_segment());
        let (mut deadline, mut before) = (self.stall_deadline(), seen(log));
        while waits(log) {
            self.schedule(log);
            let timed_out = self.wait(log, deadline);
            let now = seen(log);
            if now != before {
                (deadline, before) = (self.stall_deadline(), now);
            } else if timed_out && waits(log) {
                return self.latch_stalled(log, op);
            }
        }
    }

    /// Waits until no operation of this partition is in the kernel: there is never a second attempt beside the first.
    pub(super) fn wait_for_kernel(&self, log: &mut MutexGuard<'_, Log>, deadline: Instant) -> Result<()> {
        while log.is_being_written() || !self.calls.is_quiet() {
            let now = self.host.now();
            if now >= deadline {
                return Err(self.hanging());
            }
            self.wait(log, deadline.min(now + LOOK_AGAIN));
        }
        // Between two calls of one operation there is none; the operation holds a lock then.
        let until = self.lock_until(deadline);
        let free = MutexGuard::unlocked(log, || {
            [&self.allocation, &self.maintenance].iter().all(|lock| lock.try_lock_until(until).is_some())
                && self.root.try_lock_until(until).is_some()
        });
        if free && !log.is_being_written() && self.calls.is_quiet() {
            return Ok(());
        }
        Err(self.hanging())
    }
}
