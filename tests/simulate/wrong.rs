//! Calls that an owner must not make.

use std::sync::Arc;

use bulkhead::{Entry, Error, HardState, Partition, State, Status};

use super::world::{Verdict, World};
use crate::support::driver::is_fault;
use crate::support::refs;

impl World {
    /// What an owner must not ask for is refused, each with its reason, and changes nothing.
    pub fn wrong_calls(&self, n: usize) -> Verdict {
        use Status::{CommitOutOfRange, Compacted, Gap, NoEntries, OutOfOrder, OutOfRange, TermRegression};
        let handle = self.handle(n);
        if handle.status().state != State::ReadWrite || !self.parts[n].borrow().model.pending.is_empty() {
            return Ok(());
        }
        let (last, last_term, point) = {
            let model = &self.parts[n].borrow().model;
            (model.last(), model.last_term(), model.compaction().0)
        };
        let Ok(hard) = handle.hard_state() else { return Ok(()) };
        let own = hard.term.max(last_term);
        let entry = |index, term| Entry { index, term, kind: 0, data: vec![7; 40] };
        let append = |p: &Partition, entries: &[Entry]| p.append(&refs(entries));
        type Call<'a> = Box<dyn Fn(&Partition) -> Result<(), Error> + 'a>;
        let calls: [(bool, &[Status], Call<'_>); 10] = [
            (true, &[Gap], Box::new(|p| append(p, &[entry(last + 2, own)]))),
            (true, &[OutOfOrder, Gap], Box::new(|p| append(p, &[entry(last + 1, own), entry(last + 3, own)]))),
            (true, &[NoEntries], Box::new(|p| append(p, &[]))),
            (last_term > 0, &[TermRegression], Box::new(|p| append(p, &[entry(last + 1, last_term - 1)]))),
            (point > 0, &[Compacted], Box::new(|p| append(p, &[entry(point, own)]))),
            (own > 0, &[TermRegression], Box::new(|p| p.set_hard_state(HardState { term: own - 1, ..hard }))),
            (
                true,
                &[CommitOutOfRange],
                Box::new(|p| p.set_hard_state(HardState { term: own, commit: last + 1, ..hard })),
            ),
            (
                hard.commit > 0,
                &[CommitOutOfRange],
                Box::new(|p| p.set_hard_state(HardState { term: own, commit: hard.commit - 1, ..hard })),
            ),
            (true, &[OutOfRange], Box::new(|p| p.compact(last + 1))),
            (point > 0, &[Compacted], Box::new(|p| p.reset(point - 1, own))),
        ];
        let calm = self.calm();
        for (number, (asked, wanted, call)) in calls.iter().enumerate().filter(|(_, c)| c.0) {
            let result = self.call(n, call);
            let is_closed = self.parts[n].borrow().handle.as_ref().map_or(true, |now| !Arc::ptr_eq(now, &handle));
            match result {
                // Closed while an operation that it waited for hung.
                Err(e) if e.status == Status::Closed && is_closed => return Ok(()),
                Err(e) if wanted.contains(&e.status) => {}
                // Also one that a bad sector has latched meanwhile: whether it had to be is asked elsewhere.
                Err(e) if is_fault(&e) && (!self.stayed_calm(calm) || handle.status().state != State::ReadWrite) => {
                    return self.settle(n)
                }
                other => {
                    return Err(format!("wrong call {number} ({asked}) is answered with {other:?}, not {wanted:?}"))
                }
            }
        }
        self.saw("wrong calls", "all refused");
        self.check(n)
    }
}
