//! Conversions from and to CubeFS's format, in any order, cut short anywhere: the log stays what it was.

use bulkhead::cubefs::{self, Shape};
use bulkhead::{Entry, Error, Limit, LimitChange, LimitScope, Mode, Status};

use super::action::Conversion;
use super::world::{Verdict, World};
use crate::cubefs_support;
use crate::support::driver::is_fault;
use crate::support::judge::After;

impl World {
    /// Closes a partition, converts its directory to and fro, and opens it again: as Bulkhead's.
    pub fn convert(&self, n: usize, calls: &[Conversion]) -> Verdict {
        let after = self.close(n)?;
        // What a disk that lies has of the log nobody knows.
        if !self.parts[n].borrow().tainted {
            for call in calls {
                self.convert_once(n, *call, after)?;
            }
        }
        self.open(n, after).map(drop)
    }

    fn convert_once(&self, n: usize, call: Conversion, after: After) -> Verdict {
        if self.disk().is_dead() {
            return Ok(());
        }
        let calm = self.calm();
        let path = self.parts[n].borrow().path.clone();
        self.parts[n].borrow_mut().converted = true;
        let result = self.conversion(n, |c| match call {
            Conversion::Inspect => c.inspect().map(drop),
            Conversion::Import => c.import().map(drop),
            Conversion::Undo => c.undo_import(),
            Conversion::Export => c.export_in_place().map(drop),
            Conversion::Discard => c.discard_original(),
        });
        self.tell(|| format!("      {call:?}: {:?}", result.as_ref().map_err(|e| e.to_string())));
        let done = match (call, result) {
            (_, Ok(())) => "done",
            (_, Err(e)) if is_fault(&e) && !self.stayed_calm(calm) => "failed",
            (_, Err(e)) if is_fault(&e) && self.may_be_lost(n, &e) => "failed",
            (Conversion::Undo, Err(e)) if e.status == Status::OutOfOrder => "refused",
            (Conversion::Export, Err(e)) if e.status == Status::AlreadyExists => "refused",
            (_, Err(e)) if e.status == Status::NotFound => "refused",
            (_, Err(e)) if e.status == Status::EntryTooLarge && self.has_too_large(n) => "refused",
            // Its files were changed meanwhile.
            (_, Err(_)) if self.parts[n].borrow().tainted => "failed",
            (_, Err(e)) => return Err(format!("{path}: {call:?} says {e}")),
        };
        self.saw("conversion", done);
        let exported = matches!(call, Conversion::Export) && done == "done";
        if exported && !self.disk().is_dead() && !self.parts[n].borrow().tainted {
            self.saw("conversion", "an export, judged");
            return self.judge_export(n, after);
        }
        Ok(())
    }

    fn conversion<T>(&self, n: usize, f: impl FnOnce(&cubefs::Conversion<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let (engine, path, id) = (self.engine(), self.parts[n].borrow().path.clone(), self.parts[n].borrow().id);
        self.among_others(n, || f(&cubefs::Conversion::new(&engine, path, id)))
    }

    /// What a good disk can have lost: what was acknowledged before is gone, and it says so.
    fn may_be_lost(&self, n: usize, e: &Error) -> bool {
        e.status == Status::LostEntries && self.parts[n].borrow().model.may_lose(e.range)
    }

    /// Entries that were accepted before a limit was lowered are not imported under it.
    fn has_too_large(&self, n: usize) -> bool {
        let most = self.disk_limit(Limit::MaxEntryBytes);
        self.parts[n].borrow().model.log().values().any(|e| e.data.len() as u64 > most)
    }

    /// What CubeFS's own reader finds is one of the logs that an open could have found.
    fn judge_export(&self, n: usize, after: After) -> Verdict {
        let part = self.parts[n].borrow();
        let log = cubefs_support::read(&self.disk(), &part.path);
        let entry = |(index, term, kind, data)| Entry { index, term, kind, data };
        let entries: Vec<Entry> = log.entries.into_iter().map(entry).collect();
        let promised = part.since.max(after);
        let whole = match promised {
            After::Recover | After::Close => true,
            After::Process => part.model.mode != Mode::Interval && !part.model.may_report_loss,
            After::Power => false,
        };
        if part.model.allows_copy(log.compaction.0, &entries, log.hard_state, whole) {
            return Ok(());
        }
        let bounds = (log.compaction, entries.last().map(|e| (e.index, e.term)));
        Err(format!("{}: CubeFS reads {bounds:?}, {:?}, none of the logs that there were", part.path, log.hard_state))
    }

    /// Makes a directory Bulkhead's again, whatever conversions have left. False if a fault is in the way.
    pub fn bring_back(&self, n: usize) -> Verdict<bool> {
        let calm = self.calm();
        let mut found = self.conversion(n, |c| c.import());
        if found.as_ref().is_err_and(|e| e.status == Status::EntryTooLarge) && self.has_too_large(n) {
            let default = [LimitChange { limit: Limit::MaxEntryBytes, value: None }];
            self.set_limits(n, LimitScope::Engine, &default)?;
            self.set_limits(n, LimitScope::Disk, &default)?;
            found = self.conversion(n, |c| c.import());
        }
        self.tell(|| format!("      import at the open: {:?}", found.as_ref().map(|f| f.shape)));
        match found {
            Ok(found) if found.shape == Shape::Bulkhead => {}
            // No root was ever written here.
            Err(e) if e.status == Status::NotFound => {}
            Err(e) if is_fault(&e) && !self.stayed_calm(calm) => return Ok(false),
            _ if self.parts[n].borrow().tainted => return Ok(true),
            other => return Err(format!("{} is not brought back: {other:?}", self.parts[n].borrow().path)),
        }
        self.parts[n].borrow_mut().converted = false;
        Ok(true)
    }
}
