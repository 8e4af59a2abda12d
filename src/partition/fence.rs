//! Fencing by hand: the operator takes a partition out of service, whatever its disk does, and gives it back.

use super::disk_counts::HealedBy;
use super::log::Log;
use super::types::{Mode, State};
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::sync::MutexGuard;

/// Until it is released the partition is in this state, or in a graver one.
#[derive(Clone)]
pub(super) struct Fence {
    pub error: Error,
    pub state: State,
}

impl Partition {
    /// Takes the partition out of service by hand: to `ReadOnly` (appends are refused, votes and compaction work) or `Unavailable`, until
    /// `release`. What was accepted before is made durable first; what a fault keeps from the disk (modes interval and none) stays in memory
    /// until that is healed, or until `release` where a fence as `Unavailable` has ended the wait for space: `durable_index` in the status
    /// says how far it is. Calls that it refuses get `Fenced` with `reason`; neither a probe nor `recover` brings it back. A partition that
    /// has a fault already keeps it, and is fenced when that is healed. A close ends the fence.
    ///
    /// Errors: `InvalidArgument` for another state, `Closed`, `Busy` while an operation hangs in the kernel, `Fenced` if it is fenced
    /// gravely already (release it first).
    pub fn fence(&self, state: State, reason: &str) -> Result<()> {
        let refuse =
            |status, message: &str| Err(Error::new(status, Op::Fence, message).partition(self.id).at(&self.path));
        if !matches!(state, State::ReadOnly | State::Unavailable) {
            return refuse(Status::InvalidArgument, "a fence is ReadOnly or Unavailable; use one of the two");
        }
        let _operation = self.lock_for(&self.operation, Op::Fence)?;
        let mut log = self.log.lock();
        if log.state == State::Closed {
            return Err(self.fault_error(&log, Op::Fence));
        }
        if log.fence.as_ref().is_some_and(|f| f.state == State::Unavailable && state == State::ReadOnly) {
            return refuse(Status::Fenced, "the partition is fenced as Unavailable; release it first");
        }
        let message = format!("fenced by hand: {reason}; release the partition to use it again");
        let error = Error::new(Status::Fenced, Op::Fence, message).partition(self.id).at(&self.path);
        // From here on appends are refused: they could go on for ever while this waits for those before.
        let before = log.fence.replace(Fence { error, state });
        self.wait_idle(&mut log, Op::Fence);
        self.wait_written(&mut log, Op::Fence).inspect_err(|_| log.fence.clone_from(&before))?;
        if self.mode == Mode::None && log.state == State::ReadWrite {
            // A failure has latched the partition, and the fence comes behind it.
            let _ = MutexGuard::unlocked(&mut log, || self.sync_all(Op::Fence));
        }
        if log.state == State::Closed {
            return Err(self.fault_error(&log, Op::Fence));
        }
        if !before.is_some_and(|f| f.state == state) {
            self.apply_fence(&mut log);
        }
        Ok(())
    }

    /// Ends a fence: the partition is ReadWrite again, unless it has a fault, which heals like any other. One that is not fenced stays as it
    /// is. Errors: as `recover`; the partition stays fenced then.
    pub fn release(&self) -> Result<()> {
        let _operation = self.lock_for(&self.operation, Op::Recover)?;
        let Some(fence) = self.log.lock().fence.take() else { return Ok(()) };
        if !self.is_held(&self.log.lock()) {
            return Ok(());
        }
        let released = self.attempt(HealedBy::Owner);
        let mut log = self.log.lock();
        if released.is_err() && self.is_held(&log) {
            log.fence = Some(fence);
        }
        released
    }

    /// True if nothing but the fence keeps the partition from being ReadWrite.
    pub(super) fn is_held(&self, log: &Log) -> bool {
        log.fault.as_ref().is_some_and(|f| f.cause() == Cause::Fenced)
    }

    /// Puts the partition where its fence wants it, if it is fenced and not there yet.
    pub(super) fn apply_fence(&self, log: &mut Log) {
        let Some(fence) = log.fence.clone() else { return };
        if log.state == State::ReadWrite || log.state == State::ReadOnly && fence.state == State::Unavailable {
            self.latch(log, fence.error, fence.state);
        } else {
            self.tell(log, Cause::Fenced, &fence.error);
        }
    }
}
