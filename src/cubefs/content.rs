//! What a log or a file holds, as a number: a conversion compares what it wrote with what the disk gives back.

use super::source::Source;
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::io::{read_full_at, Access, AlignedBuf, Dir};
use std::io;

/// Entries with their indexes, in any order.
#[derive(Default, PartialEq, Eq)]
pub struct Content {
    sum: u64,
    entries: u64,
}

impl Content {
    pub fn add(&mut self, index: u64, term: u64, kind: u8, data: &[u8]) {
        let mut head = [kind; 17];
        head[..8].copy_from_slice(&index.to_le_bytes());
        head[8..16].copy_from_slice(&term.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), data);
        self.sum = self.sum.wrapping_add(u64::from(crc));
        self.entries += 1;
    }

    pub fn add_all(&mut self, other: &Content) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.entries += other.entries;
    }
}

/// Read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The file that was written has these bytes on the medium, by length and CRC-32C.
pub fn read_back_file(dir: &dyn Dir, name: &str, bytes: u64, sum: u32) -> Result<()> {
    let fail = |e: io::Error| Error::io(Op::Export, &e, &format!("reading {name} back"));
    let file = dir.open(name, Access::ReadDirect).map_err(fail)?;
    let mut buf = AlignedBuf::zeroed(PIECE_BYTES);
    let (mut at, mut found) = (0, 0);
    while at < bytes {
        let read = read_full_at(&*file, &mut buf, at).map_err(fail)?;
        found = crc32c::crc32c_append(found, buf.get(..read).unwrap_or(&[]));
        at += read as u64;
        if read < PIECE_BYTES {
            break;
        }
    }
    if (at, found) == (bytes, sum) {
        return Ok(());
    }
    Err(lost(Op::Export, &format!("{name} is not what was written")))
}

/// What is read next of a CubeFS log comes from the disk.
pub fn drop_caches(dir: &dyn Dir) -> Result<()> {
    let mut names: Vec<String> = Source::list(dir)?.files.iter().map(|name| name.to_string()).collect();
    names.push(META_NAME.into());
    names.iter().try_for_each(|name| match dir.open(name, Access::Read) {
        Ok(file) => {
            file.drop_cache();
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(Op::Import, &e, &format!("opening {name}"))),
    })
}

pub fn lost(op: Op, what: &str) -> Error {
    let message = format!("what was written does not read back from the disk ({what}); the log is as it was");
    Error::new(Status::Damaged, op, message)
}
