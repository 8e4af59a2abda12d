//! A disk's space reserve: a few written files without a name (O_TMPFILE), so that a vote, a compaction and a recovery work on a full
//! disk. The files are held open, no directory shows them, and they go with the process.

use crate::format::ROOT_BYTES;
use crate::io::{retry_interrupted, write_durable_at, Access, AlignedBuf, Dir, File};
use crate::partition::{Partition, Reserved};
use crate::sync::Mutex;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// Files of each kind.
const FILES: usize = 4;

#[derive(Default)]
pub struct Reserve {
    segments: Mutex<Vec<Arc<dyn File>>>,
    roots: Mutex<Vec<Arc<dyn File>>>,
}

impl Reserve {
    fn files(&self, what: Reserved) -> &Mutex<Vec<Arc<dyn File>>> {
        match what {
            Reserved::Segment => &self.segments,
            Reserved::Root => &self.roots,
        }
    }

    pub fn take(&self, what: Reserved) -> Option<Arc<dyn File>> {
        self.files(what).lock().pop()
    }

    pub fn clear(&self) {
        self.segments.lock().clear();
        self.roots.lock().clear();
    }

    /// Fills it up in the directory of one of these partitions.
    pub fn top_up(&self, open: &[Arc<Partition>], segment_bytes: u32) {
        if !self.is_full() {
            let _ = open.iter().any(|p| self.top_up_in(p, segment_bytes));
        }
    }

    /// Fills it up in the directory of this partition. A panic costs the reserve a file, not the disk its housekeeper.
    pub fn top_up_in(&self, partition: &Partition, segment_bytes: u32) -> bool {
        let fill = || partition.lend_dir(|dir| self.fill(dir, segment_bytes));
        catch_unwind(AssertUnwindSafe(fill)).unwrap_or(false)
    }

    pub fn is_full(&self) -> bool {
        self.segments.lock().len() >= FILES && self.roots.lock().len() >= FILES
    }

    /// Makes what is missing, on the filesystem of `dir`. A disk that has no space or no such files goes without.
    fn fill(&self, dir: &dyn Dir, segment_bytes: u32) {
        for (what, bytes) in [(Reserved::Root, ROOT_BYTES), (Reserved::Segment, segment_bytes as usize)] {
            while self.files(what).lock().len() < FILES {
                match written(dir, bytes.next_multiple_of(dir.device().block_bytes as usize)) {
                    Ok(file) => self.files(what).lock().push(file),
                    Err(_) => return,
                }
            }
        }
    }
}

fn written(dir: &dyn Dir, bytes: usize) -> io::Result<Arc<dyn File>> {
    let file = dir.create_unnamed(Access::Durable)?;
    match retry_interrupted(|| file.allocate(bytes as u64)) {
        Err(e) if e.raw_os_error() != Some(libc::EOPNOTSUPP) => return Err(e),
        _ => {}
    }
    write_durable_at(&*file, &AlignedBuf::zeroed(bytes), 0)?;
    Ok(file)
}
