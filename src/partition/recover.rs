//! Coming back from a fault: by call (`recover`), or by itself (`probe`).

use super::disk_counts::HealedBy;
use super::limits::Limit;
use super::log::Log;
use super::types::State;
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use std::time::Duration;

/// The time between two probes of an Unavailable partition doubles this often at most.
const DOUBLINGS_MAX: u32 = 8;

impl Partition {
    /// Makes a ReadOnly or Unavailable partition ReadWrite again, if the disk allows it. A partition that is ReadWrite stays so.
    ///
    /// Errors: `Busy` while an operation hangs in the kernel; `LostEntries` if acknowledged entries are gone (status says which; the
    /// partition stays Unavailable: the owner decides whether to rejoin as an empty replica); `Fenced` if only `release` helps; otherwise what
    /// failed this time.
    pub fn recover(&self) -> Result<()> {
        let Some(_operation) = self.operation.try_lock_until(self.lock_until(self.stall_deadline())) else {
            return Err(self.hanging());
        };
        {
            let log = self.log.lock();
            if self.is_held(&log) {
                return Err(self.fault_error(&log, Op::Recover));
            }
        }
        self.attempt(HealedBy::Owner)
    }

    /// The healer's own try. Failures are quiet: the owner knows the state, and it has not changed.
    pub fn probe(&self) {
        {
            let mut log = self.log.lock();
            log.probe_planned = false;
            if !probes(&log) {
                return;
            }
        }
        // Somebody else is at it: the next one.
        let _ = self.operation.try_lock().map(|_operation| self.attempt(HealedBy::Probe));
        let mut log = self.log.lock();
        log.probes = log.probes.saturating_add(1);
        self.plan_probe(&mut log);
    }

    /// Plans the next probe if this fault is one that may pass.
    pub(super) fn plan_probe(&self, log: &mut Log) {
        let probe_ms = self.limits.get(Limit::ProbeMs);
        if probe_ms == 0 || log.probe_planned || !probes(log) {
            return;
        }
        let doublings = if log.shown_state() == State::ReadOnly { 0 } else { log.probes.min(DOUBLINGS_MAX) };
        log.probe_planned = true;
        self.host.probe_later(self.me.clone(), Duration::from_millis(probe_ms << doublings));
    }

    /// One try to heal. An owner who asked for it hears of every step.
    pub(super) fn attempt(&self, by: HealedBy) -> Result<()> {
        let loud = by == HealedBy::Owner;
        let (state, sound, faults) = {
            let mut log = self.log.lock();
            match log.state {
                State::ReadOnly | State::Unavailable => {}
                State::Closed => return Err(self.fault_error(&log, Op::Recover)),
                State::ReadWrite | State::Recovering => return Ok(()),
            }
            let state = log.state;
            // A try by itself does not wait: there are others to look after.
            let deadline = if loud { self.stall_deadline() } else { self.host.now() };
            self.wait_for_kernel(&mut log, deadline)?;
            if log.state != state {
                return self.check_writable(&log, Op::Recover);
            }
            // A ReadOnly partition stays so meanwhile: votes and compaction go on.
            if state == State::Unavailable {
                if let Some(fault) = log.fault.clone() {
                    log.void_wishes(&fault);
                }
                if loud {
                    self.set_state(&mut log, State::Recovering, Cause::None, Op::Recover, 0, (0, 0));
                } else {
                    log.probed = Some(state);
                    log.state = State::Recovering;
                }
            }
            (state, log.sound, log.fault_count)
        };
        let result = if sound {
            self.heal(state == State::Unavailable, faults)
        } else {
            self.load().map_err(|e| e.partition(self.id))
        };
        let mut log = self.log.lock();
        if matches!(log.state, State::Unavailable | State::Closed) {
            // It took too long, or the partition was closed: its owner has been told, and what was done counts for nothing.
            return Err(self.fault_error(&log, Op::Recover));
        }
        match result {
            Ok(()) => {
                log.fault = None;
                log.probes = 0;
                self.count_heal(by);
                // A reset that a panic ended has not taken it back.
                log.exclusive = false;
                self.set_state(&mut log, State::ReadWrite, Cause::None, Op::Recover, 0, (0, 0));
                log.probed = None;
                if log.fence.is_none() {
                    return Ok(());
                }
                self.apply_fence(&mut log);
                Err(self.fault_error(&log, Op::Recover))
            }
            Err(error) => {
                self.disk_counts.note_heal(by, false);
                Err(self.not_healed(&mut log, error, state, loud))
            }
        }
    }

    fn not_healed(&self, log: &mut Log, error: Error, before: State, loud: bool) -> Error {
        self.count_error(&error);
        let lost = error.status == Status::LostEntries;
        let mut state = State::Unavailable;
        if error.status == Status::Busy {
            state = before;
        } else if error.cause() == Cause::NoSpace && log.sound && self.root_is_known(before) {
            // Nothing is at stake any more but space: what is not durable is in memory, and the vote on disk is the one in memory.
            state = State::ReadOnly;
        }
        if log.state == State::Closed {
            return error;
        }
        let changed = state != before || lost;
        if changed {
            // Tries while it waited for space say nothing of how long this fault lasts.
            log.probes = 0;
        }
        // What a try by itself finds lost is in the status and the event; calls get the first error until their owner asks for more.
        if (changed && (loud || !lost)) || log.fault.is_none() {
            log.fault = Some(error.clone());
        }
        if loud || changed {
            self.set_state(log, state, error.cause(), Op::Recover, error.errno, error.range);
        }
        if state == State::Unavailable {
            log.void_wishes(&error);
        }
        log.state = state;
        log.probed = None;
        self.changed.notify_all();
        if loud {
            self.plan_probe(log);
        }
        error
    }

    /// False if a root write failed or is under way: what is on disk may be newer than what was acknowledged. One that is under way in
    /// a ReadOnly partition is a vote or a compaction, which latches by itself if it fails.
    fn root_is_known(&self, before: State) -> bool {
        self.root.try_lock().map_or(before == State::ReadOnly, |writer| !writer.broken)
    }

    pub(super) fn hanging(&self) -> Error {
        let message = "an operation of this partition has not come back from the kernel; try again when it has";
        Error::new(Status::Busy, Op::Recover, message).partition(self.id).at(&self.path)
    }
}

/// True for a fault that may pass by itself. Damage and lost entries do not.
fn probes(log: &Log) -> bool {
    let cause = log.fault.as_ref().map_or(Cause::None, Error::cause);
    // While another quiet try is at work the fault is still there.
    matches!(log.shown_state(), State::ReadOnly | State::Unavailable)
        && !matches!(cause, Cause::None | Cause::Damage | Cause::LostEntries | Cause::Fenced)
        && log.lost == (0, 0)
}
