//! What happens in the middle of a disk operation: calls by other threads; and where the operation hangs the watchdog tells, others go on, and the
//! owner calls the partition again, or closes it, before the operation comes back late.

use std::rc::Rc;
use std::time::Duration;

use bulkhead::State;

use super::action::{Action, Step};
use super::world::{Verdict, World};
use crate::support::judge::After;

impl World {
    /// Before an operation of the disk: a step that was put there is taken, as another thread would.
    pub fn in_operation(self: &Rc<Self>) {
        if self.quiet.get() || self.nested.get() || self.ahead.borrow().is_empty() {
            return;
        }
        let next = self.disk().ops() + 1;
        let due = self.ahead.borrow().iter().position(|(at, _)| *at <= next);
        let Some((_, i)) = due.map(|d| self.ahead.borrow_mut().remove(d)) else { return };
        let step = &self.history.steps[i];
        if !self.fits_in(step) {
            return;
        }
        self.saw("step", "in the middle of an operation");
        self.nested.set(true);
        let result = self.take(step);
        self.note_moment();
        self.nested.set(false);
        if let Err(e) = result {
            self.violation.borrow_mut().get_or_insert(e);
        }
    }

    fn fits_in(&self, step: &Step) -> bool {
        use Action::*;
        match step.action {
            Reopen | Recover | Backup | Repair(_) | Crash(_) | Work(_) | Reset(_) | Mend => false,
            Wrong | Survey | Fence(_) | Mode(_) | Snapshot(_) | Restart | Place(_) | Convert(_) => false,
            // Each partition is told.
            Limits(..) => self.parts.iter().all(|p| {
                p.try_borrow().is_ok_and(|p| p.handle.as_ref().map_or(true, |p| self.engine().can_be_called(p)))
            }),
            Append(_) | Submit(_) | HardState { .. } | Compact(_) | Sync | Read | Verify => {
                let votes = matches!(step.action, HardState { .. }) && self.history.wide;
                // An append waits, and somebody else of this owner votes meanwhile.
                let beside = votes && self.appending.get() == Some(step.part);
                let busy = !beside && self.calls.borrow().contains(&step.part);
                let part = self.parts[step.part].borrow();
                let free = part.handle.as_ref().is_some_and(|p| self.engine().can_be_called(p));
                !busy && free && part.since == After::Recover
            }
            _ => true,
        }
    }

    /// In the middle of an operation: it hangs this long, and the next steps are taken meanwhile.
    pub fn hang(&self, time: Duration, steps: u64) -> Verdict {
        let engine = self.engine();
        self.saw("hang", if self.calls.borrow().is_empty() { "of background work" } else { "of a call" });
        self.trouble();
        self.hangs.set(self.hangs.get() + 1);
        engine.watch();
        self.disk().clock().pass(time);
        engine.watch();
        self.hanging.set(true);
        let taken = self.meanwhile(steps);
        self.hanging.set(false);
        taken
    }

    fn meanwhile(&self, steps: u64) -> Verdict {
        for _ in 0..steps {
            let i = self.next.get();
            let Some(step) = self.history.steps.get(i).filter(|s| self.fits_in_hang(s)) else { break };
            self.next.set(i + 1);
            match step.during {
                Some(ahead) => self.ahead.borrow_mut().push((self.disk().ops() + ahead, i)),
                None => {
                    let closes = matches!(step.action, Action::Reopen);
                    self.saw("hang", if closes { "closed meanwhile" } else { "a step meanwhile" });
                    self.take(step)?;
                }
            }
            self.note_moment();
            if self.disk().is_dead() {
                break;
            }
            self.engine().watch();
        }
        Ok(())
    }

    /// Whoever calls a partition that waits for the operation, and is not latched yet, would wait with it.
    fn fits_in_hang(&self, step: &Step) -> bool {
        use Action::*;
        let latched = || {
            let part = self.parts[step.part].borrow();
            part.handle.as_ref().is_some_and(|p| p.status().state == State::Unavailable)
        };
        match step.action {
            Crash(_) | Mend | Backup | Repair(_) | Wrong | Survey | Fence(_) | Snapshot(_) | Restart | Place(_)
            | Mode(_) | Convert(_) | Hang(..) | AtStart(_) => false,
            Recover | Reset(_) => latched(),
            Reopen => self.moments.borrow().is_none() && latched(),
            Work(_) => true,
            _ => self.fits_in(step) || is_call(&step.action) && latched(),
        }
    }
}

fn is_call(action: &Action) -> bool {
    use Action::*;
    matches!(action, Append(_) | Submit(_) | HardState { .. } | Compact(_) | Sync | Read | Verify)
}
