//! A partition's directory with what its journal holds for it laid over its segments.

use super::name_of;
use super::patches::{Laid, Patches};
use super::read::{read_header, read_pieces};
use crate::format::Id;
use crate::io::{Access, DeviceInfo, Dir, File};
use crate::segment::{self, Segment};
use std::io::{self, IoSlice};
use std::sync::Arc;

/// Reads of `seg-*` show the journal's bytes; all else is the directory's own.
pub struct Journaled {
    pub(super) inner: Arc<dyn Dir>,
    pub(super) patches: Arc<Patches>,
    unreadable: Option<io::Error>,
}

impl Journaled {
    /// Reads the journal that the root names. `NotFound` if it is missing, `InvalidData` (it says what is wrong) if its header is not
    /// that of this id; else the disk's error.
    pub fn open(dir: Arc<dyn Dir>, id: &Id, incarnation: &Id) -> io::Result<Journaled> {
        let file = dir.open(&name_of(id), Access::ReadDirect)?;
        let found = read_pieces(&*file, &read_header(&*file, id)?, incarnation)?;
        Ok(Journaled { inner: dir, patches: Arc::new(found.patches), unreadable: found.unreadable })
    }

    /// True if no piece is for this directory.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }

    /// The first read of the journal that failed: pieces may be missing, and a log that ends early may do so for it.
    pub fn unreadable(&self) -> Option<&io::Error> {
        self.unreadable.as_ref()
    }

    /// The file with its patches, if there are any for it.
    fn laid_over(&self, name: &str, file: Arc<dyn File>) -> io::Result<Arc<dyn File>> {
        let Some(segment) = Segment::parse_name(name).filter(|s| self.patches.has(*s)) else {
            return Ok(file);
        };
        // Of a segment whose header is damaged nothing counts.
        let Ok(header) = segment::read_header(&*file)? else { return Ok(file) };
        Ok(Arc::new(JournaledFile { inner: file, patches: self.patches.clone(), segment, salt: header.salt }))
    }
}

impl Dir for Journaled {
    fn create(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.inner.create(name, access)
    }

    fn create_unnamed(&self, access: Access) -> io::Result<Arc<dyn File>> {
        self.inner.create_unnamed(access)
    }

    fn link(&self, file: &dyn File, name: &str) -> io::Result<()> {
        self.inner.link(file, name)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let file = self.inner.open(name, access)?;
        match access {
            Access::Read | Access::ReadDirect => self.laid_over(name, file),
            Access::Buffered | Access::Direct | Access::Durable => Ok(file),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.inner.exchange(a, b)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.inner.unlink(name)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.inner.remove_dir(name)
    }

    fn mkdir(&self, name: &str) -> io::Result<()> {
        self.inner.mkdir(name)
    }

    fn subdir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        self.inner.subdir(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn lock(&self) -> io::Result<()> {
        self.inner.lock()
    }

    fn device(&self) -> DeviceInfo {
        self.inner.device()
    }

    fn adopt(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        self.inner.adopt(file)
    }
}

/// A segment's file, open for reading.
struct JournaledFile {
    inner: Arc<dyn File>,
    patches: Arc<Patches>,
    segment: u64,
    salt: Id,
}

impl JournaledFile {
    fn laid(&self) -> Laid<'_> {
        self.patches.of(self.segment, &self.salt)
    }
}

impl File for JournaledFile {
    /// What the file has of these bytes, patched. Pieces do not make it longer: a segment has all its space before its first record.
    /// What cannot be read and is patched all over need not be read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = match self.inner.read_at(buf, offset) {
            Err(_) if self.laid().cover(offset, buf.len()) => buf.len(),
            other => other?,
        };
        self.laid().lay_over(buf.get_mut(..n).unwrap_or_default(), offset);
        Ok(n)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.inner.write_at(bufs, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner.allocate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        let next = self.inner.next_data(offset)?;
        Ok(self.laid().next(offset).map_or(next, |patch| patch.min(next)))
    }

    fn writes_are_durable(&self) -> bool {
        self.inner.writes_are_durable()
    }

    fn drop_cache(&self) {
        self.inner.drop_cache();
    }

    fn id(&self) -> u64 {
        self.inner.id()
    }
}
