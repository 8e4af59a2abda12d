//! A partition seen from outside: read as an open would read it, without its lock and without changing anything. The directory may be open in
//! this process or another, and its owner notices nothing.

use super::directory::{read_root, StoredRoot};
use super::load::live_parts;
use super::open::path_error;
use super::parts::Live;
use super::recovery::{Found, Recovery};
use super::root::ROOT_NAME;
use super::types::{HardState, Mode};
use super::verify::read_part;
use crate::error::{Error, Op, Result, Status};
use crate::format::{Id, Root};
use crate::io::{Access, Dir, Storage};
use crate::segment::{Segment, Take};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A log that is written to is read again when it changes under the reader, this often at most.
const TRIES: usize = 5;

/// What a partition directory holds at one moment.
pub struct Survey {
    dir: Arc<dyn Dir>,
    root: Root,
    parts: Vec<Live>,
    found: Found,
}

/// A segment that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyedSegment {
    pub name: String,
    pub file_bytes: u64,
    /// Where its last record that counts ends.
    pub end: u64,
    /// The entries that count.
    pub first_index: u64,
    pub last_index: u64,
}

impl Survey {
    /// Reads what an open would read. Damage is in `fault`.
    ///
    /// Errors: `NotFound` (no directory, or no log in it), `NotADirectory`, `Symlink`, `PermissionDenied`, `Foreign`, `NeedsImport`,
    /// `VersionTooNew`, `Damaged` (no root that can be used), `IoError`.
    pub fn of(storage: &dyn Storage, path: &Path) -> Result<Survey> {
        let dir = storage.open_dir(path).map_err(|e| path_error(path, &e))?;
        let at = |e: Error| if e.path.as_os_str().is_empty() { e.at(path) } else { e };
        let mut before = None;
        for _ in 1..TRIES {
            let survey = Survey::once(&dir, Access::Read).map_err(at)?;
            let wrong = survey.wrong();
            if wrong.is_none() || (wrong == before && survey.is_current().map_err(at)?) {
                return Ok(survey);
            }
            before = wrong;
        }
        Survey::once(&dir, Access::Read).map_err(at)
    }

    /// Past the page cache, of a log that nobody writes to: what an open after a power cut would find.
    pub(crate) fn of_medium(storage: &dyn Storage, path: &Path) -> Result<Survey> {
        let dir = storage.open_dir(path).map_err(|e| path_error(path, &e))?;
        // The root is read through the page cache.
        match dir.open(ROOT_NAME, Access::Read) {
            Ok(file) => file.drop_cache(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(Op::Status, &e, "opening the root")),
        }
        let survey = Survey::once(&dir, Access::ReadDirect)?;
        match &survey.found.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(survey),
        }
    }

    /// What looks damaged. A flush that came behind the reader, and one after it that came before it, look so as well, once.
    fn wrong(&self) -> Option<(String, (u64, u64, u64))> {
        let fault = self.found.fault.as_ref().map(|f| f.message.clone());
        let damaged = self.found.damaged.sum();
        (fault.is_some() || damaged.2 > 0).then(|| (fault.unwrap_or_default(), damaged))
    }

    fn once(dir: &Arc<dyn Dir>, access: Access) -> Result<Survey> {
        let Some(StoredRoot { root, .. }) = read_root(&**dir)? else {
            return Err(Error::new(Status::NotFound, Op::Status, "the directory holds no log"));
        };
        // Usually through the page cache: what a direct read asks for is first written back, and this disturbs nobody.
        let found = Recovery { dir: &**dir, root: &root, access, begins: access, known_index: 0 }.run();
        Ok(Survey { dir: dir.clone(), root, parts: live_parts(&found), found })
    }

    /// The root is still the one that was read.
    pub fn is_current(&self) -> Result<bool> {
        Ok(read_root(&*self.dir)?.map_or(0, |r| r.root.generation) == self.root.generation)
    }

    /// Some of the entries that it found are not live any more where they were, or not at all: replaced by a leader's, and the segments given
    /// back. Compacted ones do not count.
    pub(crate) fn is_replaced(&self) -> Result<bool> {
        let now = Survey::once(&self.dir, Access::Read)?;
        let kept = now.root.compaction_index;
        let there = |part: &Live| {
            let name = part.segment.name();
            now.parts
                .iter()
                .any(|p| p.segment.name() == name && p.first <= part.first.max(kept + 1) && p.last >= part.last)
        };
        Ok(self.parts.iter().any(|part| part.last > kept && !there(part)))
    }

    pub fn partition_id(&self) -> u64 {
        self.root.partition_id
    }

    /// The mode of the opening that wrote to it last.
    pub fn mode(&self) -> Mode {
        Mode::from_u32(self.root.mode)
    }

    /// Closed since it was written to last. If not, it is open, or was when its process or its machine ended.
    pub fn is_clean(&self) -> bool {
        self.root.clean
    }

    pub fn hard_state(&self) -> HardState {
        HardState { term: self.root.term, vote: self.root.vote, commit: self.found.commit }
    }

    /// First index (the compaction point plus one) and last index.
    pub fn bounds(&self) -> (u64, u64) {
        (self.root.compaction_index + 1, self.found.last.0)
    }

    pub fn last_term(&self) -> u64 {
        self.found.last.1
    }

    /// The number of the last record that counts.
    pub fn last_lsn(&self) -> u64 {
        self.found.end.last_lsn
    }

    pub fn compaction(&self) -> (u64, u64) {
        (self.root.compaction_index, self.root.compaction_term)
    }

    /// What would keep the partition from being written.
    pub fn fault(&self) -> Option<&Error> {
        self.found.fault.as_ref()
    }

    /// Entries that cannot be read although entries after them can: first, last, how many.
    pub fn damaged(&self) -> (u64, u64, u64) {
        self.found.damaged.sum()
    }

    /// Entries of a last flush that never finished; they may have been acknowledged.
    pub fn maybe_acknowledged(&self) -> (u64, u64) {
        self.found.maybe_acknowledged
    }

    pub fn incarnation(&self) -> Id {
        self.root.incarnation
    }

    /// The segments that count, oldest first.
    pub fn segments(&self) -> Vec<SurveyedSegment> {
        let bytes = |segment: &Segment| self.dir.open(&segment.name(), Access::Read).and_then(|f| f.len()).unwrap_or(0);
        let surveyed = |part: &Live| SurveyedSegment {
            name: part.segment.name(),
            file_bytes: bytes(&part.segment),
            end: part.end,
            first_index: part.first,
            last_index: part.last,
        };
        self.parts.iter().map(surveyed).collect()
    }

    /// Bytes of the segments up to where they end: what `verify` reads.
    pub fn log_bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.end).sum()
    }

    /// Reads and checks entries `lo ..= hi` and hands them to `take` until that returns false: index, term, kind, data. Returns what does not read
    /// back: first and last of each range. In a log that is written to meanwhile, what is compacted and removed is not looked for.
    pub fn read(&self, lo: u64, hi: u64, take: &mut Take<'_>) -> Result<Vec<(u64, u64)>> {
        let mut bad = Vec::new();
        let mut on = true;
        for part in &self.parts {
            let part = Live { last: part.last.min(hi), ..part.clone() };
            let first = part.first.max(lo).max(self.root.compaction_index + 1);
            if first > part.last || !on {
                continue;
            }
            let name = part.segment.name();
            let file = match self.dir.open(&name, self.access()) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && self.is_compacted(part.last)? => continue,
                file => file.map_err(|e| Error::io(Op::Verify, &e, &format!("opening segment {name}")))?,
            };
            bad.extend(read_part(&*file, &part, first, &mut |index, term, kind, data| {
                on = take(index, term, kind, data);
                on
            }));
        }
        if !bad.is_empty() && !self.root.clean {
            let compacted = read_root(&*self.dir)?.map_or(0, |r| r.root.compaction_index);
            bad.retain(|(_, last)| *last > compacted);
        }
        Ok(bad)
    }

    /// From the medium, unless a direct read would make the kernel write back what its owner has not synced.
    fn access(&self) -> Access {
        if self.root.clean || self.mode() != Mode::None {
            Access::ReadDirect
        } else {
            Access::Read
        }
    }

    fn is_compacted(&self, index: u64) -> Result<bool> {
        Ok(read_root(&*self.dir)?.is_some_and(|r| r.root.compaction_index >= index))
    }
}
