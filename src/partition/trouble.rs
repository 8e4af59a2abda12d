//! Healing inside the call: a flush that failed is made good on a new segment while its callers wait, within the time budget.
//! No thread sleeps for it; the next try is a timer, and other partitions have the workers meanwhile.

use super::disk_counts::HealedBy;
use super::limits::Limit;
use super::log::Log;
use super::parts::Group;
use super::types::{Mode, State};
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::sync::MutexGuard;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time to the second try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// A flush that failed and may still become a success.
pub(super) struct Trouble {
    pub error: Error,
    /// The failed write may have been meant for blocks that hold something: not the milder case.
    at_stake: bool,
    since: Instant,
    next_try: Instant,
    timer: bool,
    tries: u32,
}

impl Partition {
    /// How long a fault of this kind may be worked on before the caller hears of it.
    pub(super) fn patience(&self, cause: Cause, at_stake: bool) -> Duration {
        match cause {
            Cause::NoSpace if !at_stake => self.limits.time(Limit::SpaceWaitMs),
            Cause::NoSpace | Cause::IoError | Cause::Resource => self.limits.time(Limit::HealLimitMs),
            _ => Duration::ZERO,
        }
    }

    /// A flush failed. The entries are in memory: another segment may take them.
    pub(super) fn meet_trouble(&self, log: &mut Log, group: Arc<Group>, error: Error) {
        let at_stake = group.segment.file().is_some();
        if self.patience(error.cause(), at_stake).is_zero() {
            let tokens = group.tokens.clone();
            if self.mode == Mode::Interval {
                log.put_back(group);
            }
            self.latch_io(log, error, at_stake);
            self.complete(&tokens, log.fault.as_ref());
            return;
        }
        self.count_error(&error);
        group.segment.abandon();
        if let Some(tail) = log.tail.take() {
            tail.segment.abandon();
        }
        log.put_back(group);
        self.tell(log, error.cause(), &error);
        let now = self.host.now();
        log.trouble = Some(Trouble { error, at_stake, since: now, next_try: now, timer: false, tries: 0 });
    }

    /// One try, if it is time for one. False if there is nothing to do for the worker until then.
    pub(super) fn heal_in_call(&self, log: &mut MutexGuard<'_, Log>) -> bool {
        let now = self.host.now();
        let Some(trouble) = log.trouble.as_mut() else { return true };
        if now < trouble.next_try {
            if !std::mem::replace(&mut trouble.timer, true) {
                self.timer_in(trouble.next_try - now);
            }
            return false;
        }
        let faults = log.fault_count;
        let at_stake = log.trouble.as_ref().is_some_and(|t| t.at_stake);
        let result = MutexGuard::unlocked(log, || self.heal(at_stake, faults));
        let log = &mut **log;
        if log.fault_count != faults || log.state != State::ReadWrite {
            return true;
        }
        if let Err(error) = result {
            self.try_again(log, &error);
        }
        true
    }

    pub(super) fn latch_trouble(&self, log: &mut Log, trouble: Trouble) {
        self.latch_io(log, trouble.error, trouble.at_stake);
    }

    fn try_again(&self, log: &mut Log, error: &Error) {
        let Some(mut trouble) = log.trouble.take() else { return };
        self.count_error(error);
        self.disk_counts.note_heal(HealedBy::Call, false);
        let now = self.host.now();
        let end = trouble.since + self.patience(trouble.error.cause(), trouble.at_stake);
        if now >= end {
            return self.latch_trouble(log, trouble);
        }
        trouble.next_try = end.min(now + FIRST_PAUSE * (1 << trouble.tries.min(8)));
        trouble.timer = false;
        trouble.tries += 1;
        log.trouble = Some(trouble);
    }

    /// Mode none does its work on the caller's thread, and heals there as well: a call that met a fault recovers the partition and
    /// is made again. One that found the partition faulted is refused at once: it failed with `first`, and says in `faults` how many had
    /// been counted when it first held the lock.
    #[cold]
    pub(super) fn healed_on_this_thread(
        &self,
        first: Error,
        mut faults: u64,
        call: &mut dyn FnMut(&mut u64) -> Result<()>,
    ) -> Result<()> {
        if self.log.lock().fault_count == faults {
            return Err(first);
        }
        let patience = self.patience(first.cause(), false);
        let end = self.host.now() + patience;
        let mut pause = FIRST_PAUSE;
        while !patience.is_zero() {
            let healed = self.operation.try_lock().is_some_and(|_operation| self.attempt(HealedBy::Call).is_ok());
            if healed {
                match call(&mut faults) {
                    Err(_) if self.log.lock().fault_count != faults => {}
                    result => return result,
                }
            }
            let now = self.host.now();
            if now >= end {
                break;
            }
            self.host.pause(pause.min(end - now));
            pause *= 2;
        }
        self.plan_probe(&mut self.log.lock());
        Err(first)
    }

    fn timer_in(&self, delay: Duration) {
        if let Some(me) = self.me.upgrade() {
            self.host.flush_later(me, delay);
        }
    }

    /// A fault that another file may make good: the owner hears of it before that is tried, which takes as long as the disk does. Says
    /// nothing where the owner knows already that there is something wrong. True if `tell_end_of_trouble` is to follow a success.
    pub(super) fn tell_before_retry(&self, error: &Error) -> bool {
        let log = self.log.lock();
        self.count_error(error);
        let known = log.trouble.is_some() || log.put_off.is_some();
        let news = matches!(log.state, State::ReadWrite | State::ReadOnly) && !known;
        if news {
            self.tell(&log, error.cause(), error);
        }
        news
    }

    pub(super) fn tell_end_of_trouble(&self, log: &Log) {
        self.count_heal(HealedBy::Call);
        let healed = Error::new(Status::Ok, Op::Recover, "");
        self.tell(log, Cause::None, &healed);
    }
}
