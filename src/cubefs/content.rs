//! Whether the disk has what a conversion wrote, or a log that is to stay.

use super::source::Source;
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::io::{read_full_at, Access, AlignedBuf, Dir, File};
use std::io;

/// Read or written at a time.
pub const PIECE_BYTES: usize = 1 << 20;
/// What goes past the page cache begins and ends at multiples of this.
pub const BLOCK_BYTES: usize = 4096;

/// The file has these bytes, by length and CRC-32C, and no others.
pub fn holds(file: &dyn File, bytes: u64, sum: u32) -> io::Result<bool> {
    let mut buf = AlignedBuf::huge();
    let (mut at, mut found) = (0, 0);
    while at < bytes {
        // Whole blocks, as O_DIRECT asks for.
        let want = (bytes - at).min(PIECE_BYTES as u64) as usize;
        buf.resize(want.next_multiple_of(BLOCK_BYTES));
        let read = read_full_at(file, &mut buf, at)?.min(want);
        found = crc32c::crc32c_append(found, buf.get(..read).unwrap_or(&[]));
        at += read as u64;
        if read < want {
            break;
        }
    }
    Ok((at, found) == (bytes, sum) && file.len()? == bytes)
}

/// A file that was written has on the medium what `check` wants.
pub fn read_back(op: Op, dir: &dyn Dir, name: &str, check: impl Fn(&dyn File) -> io::Result<bool>) -> Result<()> {
    let fail = |e: io::Error| Error::io(op, &e, &format!("reading {name} back"));
    let file = dir.open(name, Access::ReadDirect).map_err(fail)?;
    if check(&*file).map_err(fail)? {
        return Ok(());
    }
    Err(lost(op, &format!("{name} is not what was written")))
}

/// Makes a CubeFS log durable, which syncs little of it itself. If they are to be `dropped` from the cache, what is read next is the disk's.
pub fn sync_files(dir: &dyn Dir, dropped: bool) -> Result<()> {
    let mut names: Vec<String> = Source::list(dir)?.files.iter().map(|name| name.to_string()).collect();
    names.push(META_NAME.into());
    names.iter().try_for_each(|name| match dir.open(name, Access::Read) {
        Ok(file) => {
            file.sync().map_err(|e| Error::io(Op::Import, &e, &format!("syncing {name}")))?;
            if dropped {
                file.drop_cache();
            }
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
