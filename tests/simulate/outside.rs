//! What the operator does beside the owner: looks at a directory that is open, and takes partitions out of service.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;

use bulkhead::io::sim::OpKind;
use bulkhead::{Cause, Entry, Error, Mode, Op, State, Status, Survey};

use super::world::{Verdict, World};
use crate::support::driver::is_fault;

impl World {
    /// Reads a log as another process does while it is open: one of the logs that were there meanwhile, and nothing is changed.
    pub fn survey(&self, n: usize) -> Verdict {
        let path = self.parts[n].borrow().path.clone();
        let calm = self.calm().filter(|_| self.handle(n).status().damaged.2 == 0 && self.is_sound(n));
        *self.moments.borrow_mut() = Some((n, Vec::new()));
        self.note_moment();
        let quiet = self.quiet.replace(false);
        let looked = catch_unwind(AssertUnwindSafe(|| Survey::of(&self.disk(), Path::new(&path))));
        self.quiet.set(true);
        self.note_moment();
        let moments = self.moments.borrow_mut().take().map_or(Vec::new(), |m| m.1);
        let looked = looked.unwrap_or_else(|_| Err(Error::new(Status::Panic, Op::Status, "a panic was caught")));
        self.tell(|| format!("      {:?}", looked.as_ref().map(|s| (s.bounds(), s.hard_state(), s.fault().cloned()))));
        let calm = self.stayed_calm(calm) && self.is_sound(n);
        let judged = match &looked {
            Err(e) if !calm && (is_fault(e) || e.status == Status::NotFound) => Ok(()),
            Err(e) => Err(format!("{path}: who looks at it is told {e}")),
            Ok(_) if !calm => Ok(()),
            Ok(found) => self.judge_survey(n, found, &moments),
        };
        self.quiet.set(quiet);
        judged?;
        self.settle(n)
    }

    fn is_sound(&self, n: usize) -> bool {
        let part = self.parts[n].borrow();
        let healthy = part.handle.as_ref().is_some_and(|p| p.status().state == State::ReadWrite);
        healthy && !part.tainted && part.fault.is_none()
    }

    fn judge_survey(&self, n: usize, found: &Survey, moments: &[crate::support::model::Model]) -> Verdict {
        let path = &self.parts[n].borrow().path;
        if found.fault().is_some() || found.damaged().2 > 0 {
            return Err(format!("{path}: who looks at it sees {:?}, {:?}", found.fault(), found.damaged()));
        }
        // What changes behind the look is not there any more where it was.
        if moments.len() > 2 {
            return Ok(());
        }
        self.saw("directory", "looked at while it is open");
        let changes = || OpKind::ALL.iter().filter(|k| k.is_change()).map(|k| self.disk().count(*k)).sum::<u64>();
        let before = changes();
        let (first, last) = found.bounds();
        let mut entries = Vec::new();
        let read = found.read(first, last, &mut |index, term, kind, data| {
            entries.push(Entry { index, term, kind, data: data.to_vec() });
            true
        });
        if changes() != before || !read.as_ref().is_ok_and(|bad| bad.is_empty()) {
            return Err(format!("{path}: who reads it from outside finds {read:?}"));
        }
        let whole = self.parts[n].borrow().model.mode != Mode::Interval;
        if !moments.iter().any(|m| m.allows_copy(first - 1, &entries, found.hard_state(), whole)) {
            let what = (found.bounds(), found.hard_state(), entries.len());
            return Err(format!("{path}: who looks at it sees {what:?}, none of the logs that were there"));
        }
        Ok(())
    }

    /// Takes a partition out of service, or gives it back.
    pub fn fence(&self, n: usize, to: Option<State>) -> Verdict {
        let calm = self.calm();
        let result = match to {
            Some(state) => self.call(n, |p| p.fence(state, "for the test")),
            None => self.call(n, |p| p.release()),
        };
        self.tell(|| format!("      {:?}", result.as_ref().map_err(|e| e.to_string())));
        self.drain_events()?;
        self.drain_completions()?;
        // Closed while an operation of it hung.
        let Some(handle) = self.parts[n].borrow().handle.clone() else { return Ok(()) };
        let (state, fault) =
            (handle.status().state, handle.last_fault().filter(|_| handle.status().state != State::ReadWrite));
        match (&result, to) {
            (Err(e), _) if is_fault(e) && (!self.stayed_calm(calm) || self.parts[n].borrow().fault.is_some()) => {}
            (Err(e), Some(State::ReadOnly)) if e.status == Status::Fenced => {}
            // What keeps it from coming back is not its first fault.
            (Err(e), None) if e.status == Status::Fenced && !self.stayed_calm(calm) => {}
            (Err(e), _) => return Err(format!("{}: a fence to {to:?} says {e}", self.parts[n].borrow().path)),
            (Ok(()), Some(_)) => {
                if state == State::ReadWrite {
                    return Err(format!("{} is fenced, and ReadWrite", self.parts[n].borrow().path));
                }
                self.saw("fence", "set");
                let calm = self.stayed_calm(calm);
                let mut part = self.parts[n].borrow_mut();
                if part.fault.is_none() && fault.as_ref().is_some_and(|f| f.cause() == Cause::Fenced) {
                    // Made durable before, unless a fault came between.
                    if calm {
                        part.model.synced();
                    } else {
                        part.model.rolled_back();
                    }
                    part.unwell = false;
                    part.fault = fault;
                }
            }
            (Ok(()), None) => {
                self.saw("fence", "released");
                if self.parts[n].borrow().fault.is_some() && state == State::ReadWrite {
                    self.parts[n].borrow_mut().fault = None;
                    return self.judge(n).map(drop);
                }
            }
        }
        self.settle(n)
    }
}
