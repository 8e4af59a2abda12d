//! One segment file: create it, find records in it, read entries from it.

mod cursor;
mod index;
mod read;
mod scan;

pub use cursor::Cursor;
pub use index::SegmentIndex;
pub use read::{read_around, read_records, ReadError, Take};
pub use scan::{scan, Run, Scan};

use crate::format::{SegmentHeader, SegmentHeaderError, SegmentSalt, SEGMENT_HEADER_BYTES};
use crate::io::{read_full_at, write_durable_at, Access, AlignedBuf, Dir, File, SECTOR_BYTES};
use crate::sync::Mutex;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// One write while a new segment is filled with zeros.
const ZERO_CHUNK_BYTES: usize = 1 << 20;

/// A segment: planned (no file yet), open for writing, or sealed.
pub struct Segment {
    pub header: SegmentHeader,
    pub salt: SegmentSalt,
    /// Most bytes the file may take. In mode sync they are written in advance.
    pub capacity: u64,
    file: Mutex<Option<Arc<dyn File>>>,
    abandoned: AtomicBool,
    written: AtomicBool,
    pub index: Mutex<SegmentIndex>,
}

/// A segment's file that nothing needs any more.
pub struct Recycled {
    pub name: String,
    pub bytes: u64,
    /// See `Segment::is_written`.
    pub written: bool,
}

impl Segment {
    pub fn new(header: SegmentHeader, capacity: u64) -> Segment {
        Segment {
            salt: SegmentSalt::new(header.salt),
            header,
            capacity,
            file: Mutex::new(None),
            abandoned: AtomicBool::new(false),
            written: AtomicBool::new(false),
            index: Mutex::default(),
        }
    }

    pub fn name_of(sequence: u64) -> String {
        format!("seg-{sequence:016x}")
    }

    /// The sequence of a segment's file name.
    pub fn parse_name(name: &str) -> Option<u64> {
        let hex = name.strip_prefix("seg-")?;
        let lower = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (hex.len() == 16 && lower).then(|| u64::from_str_radix(hex, 16).ok()).flatten()
    }

    pub fn sequence(&self) -> u64 {
        self.header.sequence
    }

    pub fn name(&self) -> String {
        Segment::name_of(self.sequence())
    }

    /// The file open for writing: none before the root names the segment, and after it was sealed.
    pub fn file(&self) -> Option<Arc<dyn File>> {
        self.file.lock().clone()
    }

    /// A write to it failed or did not end: nothing is written to it again, and its file is never used again.
    pub fn abandon(&self) {
        self.use_up();
        self.seal();
    }

    /// Its file is never used again for another segment.
    pub fn use_up(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// True if this process has written every byte of its file in advance, durably: a write to it changes nothing else. Of a file from before
    /// it cannot be told; a copy of it may have holes.
    pub fn is_written(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }

    /// Closes the file once nobody writes to it any more.
    pub fn seal(&self) {
        *self.file.lock() = None;
    }

    /// Creates the file, durable with its directory entry; or takes one that is not needed any more and has at least `capacity` bytes.
    ///
    /// A file of this name can only be a leftover of a creation that failed: the root never named it. It is removed, not written to.
    pub fn create(&self, dir: &dyn Dir, access: Access, recycled: Option<&Recycled>) -> io::Result<Arc<dyn File>> {
        let name = self.name();
        let file = match recycled {
            Some(old) => {
                dir.rename(&old.name, &name)?;
                dir.open(&name, access)?
            }
            None => {
                remove_if_there(dir, &name)?;
                dir.create(&name, access)?
            }
        };
        if access == Access::Durable {
            self.fill(&*file, recycled.is_some())?;
            self.written.store(recycled.map_or(true, |old| old.written), Ordering::Relaxed);
        } else {
            write_durable_at(&*file, &self.header_block(recycled.is_none()), 0)?;
        }
        dir.sync()?;
        Ok(file)
    }

    /// The same in a file that has no name yet and is full of zeros already.
    pub fn create_in(&self, dir: &dyn Dir, unnamed: &dyn File, access: Access) -> io::Result<Arc<dyn File>> {
        let name = self.name();
        write_durable_at(unnamed, &self.header_block(true), 0)?;
        self.written.store(access == Access::Durable, Ordering::Relaxed);
        remove_if_there(dir, &name)?;
        dir.link(unnamed, &name)?;
        dir.sync()?;
        dir.open(&name, access)
    }

    /// From now on the segment is written to: the root names it.
    pub fn publish(&self, file: Arc<dyn File>) {
        *self.file.lock() = Some(file);
    }

    /// Writes header and zeros: overwriting written blocks costs half of what growing a file does per flush.
    fn fill(&self, file: &dyn File, written: bool) -> io::Result<()> {
        let header = self.header_block(!written);
        if written {
            return write_durable_at(file, &header, 0);
        }
        match crate::io::retry_interrupted(|| file.allocate(self.capacity)) {
            Err(e) if e.raw_os_error() != Some(libc::EOPNOTSUPP) => return Err(e),
            _ => {}
        }
        // First, so that a disk that takes nothing costs one small write.
        crate::io::write_all_at(file, &[&header], 0)?;
        let zeros = zeros();
        let mut at = header.len() as u64;
        while at < self.capacity {
            let n = (self.capacity - at).min(zeros.len() as u64) as usize;
            crate::io::write_all_at(file, &[zeros.get(..n).unwrap_or_default()], at)?;
            at += n as u64;
        }
        // One flush makes all of it durable where writes alone do not.
        if file.writes_are_durable() {
            return Ok(());
        }
        file.sync()
    }

    fn header_block(&self, zeroed: bool) -> AlignedBuf {
        let mut block = AlignedBuf::zeroed(self.header.header_bytes as usize);
        block[..SEGMENT_HEADER_BYTES].copy_from_slice(&SegmentHeader { zeroed, ..self.header }.encode());
        block
    }
}

/// What new segments are filled with, once for all: memory of one's own would take longer to get than to write.
fn zeros() -> &'static [u8] {
    static ZEROS: OnceLock<AlignedBuf> = OnceLock::new();
    ZEROS.get_or_init(|| {
        let mut zeros = AlignedBuf::huge();
        zeros.resize(ZERO_CHUNK_BYTES);
        zeros
    })
}

/// Reads a segment's header: its first sector alone, where another sector of its block cannot be read.
pub fn read_header(file: &dyn File) -> io::Result<Result<SegmentHeader, SegmentHeaderError>> {
    let mut block = AlignedBuf::zeroed(4096);
    let n = read_full_at(file, &mut block, 0)
        .or_else(|e| read_full_at(file, &mut block[..SECTOR_BYTES], 0).map_err(|_| e))?;
    Ok(SegmentHeader::decode(block.get(..n.min(SEGMENT_HEADER_BYTES)).unwrap_or(&[])))
}

pub fn remove_if_there(dir: &dyn Dir, name: &str) -> io::Result<()> {
    match dir.unlink(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_those_of_a_cubefs_log() {
        assert_eq!(Segment::name_of(31), "seg-000000000000001f");
        assert_eq!(Segment::parse_name("seg-000000000000001f"), Some(31));
        for bad in [
            "seg-1f",
            "seg-000000000000001F",
            "seg-000000000000001f.log",
            "0000000000000001-0000000000000001.log",
            "seg-+00000000000001f",
        ] {
            assert_eq!(Segment::parse_name(bad), None, "{bad}");
        }
    }
}
