//! The journal's file, open for writing.

use super::{name_of, Piece, PIECE_MAX_BYTES};
use crate::format::{Id, JournalHeader, JournalSalt, PieceHeader, JOURNAL_HEADER_BYTES};
use crate::io::{retry_interrupted, write_all_at, write_durable_in_one, Access, AlignedBuf, Dir, File};
use crate::sync::{Condvar, Mutex};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

const REGIONS: usize = 2;
const REGION_BYTES: u64 = 8 << 20;
/// The header takes this much, or a block of the device if that is larger.
const HEADER_BYTES: u32 = 4096;
/// One write while the file is filled with zeros.
const ZERO_CHUNK_BYTES: u64 = 1 << 20;

/// As long as one lives, the region that it is of is not written over. Clones are for the same region.
#[derive(Clone, Debug)]
pub struct Ticket(Arc<u64>);

impl Ticket {
    /// `Journal::turn` when its region came into use.
    pub fn turn(&self) -> u64 {
        *self.0
    }
}

/// The file, open for writing. Thread-safe; one write at a time.
pub struct Journal {
    id: Id,
    salt: JournalSalt,
    file: Arc<dyn File>,
    header_bytes: u64,
    region_bytes: u64,
    /// A write begins at a multiple of this.
    block: u64,
    /// None while somebody writes.
    place: Mutex<Option<Place>>,
    given_back: Condvar,
    retired: AtomicBool,
    turn: AtomicU64,
    /// A sync of the file came after its first name: before that, a filesystem may make nothing of it durable (btrfs does so).
    synced_with_name: AtomicBool,
}

/// Where the next write goes.
struct Place {
    region: usize,
    /// Bytes of the region that are written.
    used: u64,
    /// What the tickets for each region are clones of.
    regions: [Arc<u64>; REGIONS],
    buf: AlignedBuf,
}

impl Journal {
    /// Makes the file, without a name, in the filesystem of `dir`: header and zeros, durable. `Unsupported` where writes past the page
    /// cache are not durable when they return.
    pub fn create(dir: &dyn Dir, id: Id) -> io::Result<Journal> {
        Journal::create_sized(dir, id, REGION_BYTES)
    }

    /// The same with regions of this size.
    pub fn create_sized(dir: &dyn Dir, id: Id, region_bytes: u64) -> io::Result<Journal> {
        let file = dir.create_unnamed(Access::Durable)?;
        if !file.writes_are_durable() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a journal needs O_DIRECT, which is missing here"));
        }
        let block_bytes = dir.device().block_bytes;
        let header_bytes = HEADER_BYTES.max(block_bytes);
        let header = JournalHeader { id, header_bytes, region_bytes, regions: REGIONS as u32 };
        fill(&*file, &header)?;
        let place = Place { region: 0, used: 0, regions: [Arc::new(0), Arc::new(0)], buf: AlignedBuf::new() };
        Ok(Journal {
            salt: JournalSalt::new(&id),
            id,
            file,
            header_bytes: u64::from(header_bytes),
            region_bytes,
            block: u64::from(block_bytes.max(HEADER_BYTES)),
            place: Mutex::new(Some(place)),
            given_back: Condvar::new(),
            retired: AtomicBool::new(false),
            turn: AtomicU64::new(0),
            synced_with_name: AtomicBool::new(false),
        })
    }

    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Gives it a name in a partition's directory, durable. One that is there already is made durable all the same. EXDEV on another
    /// filesystem; ENOENT once it has lost all its names: then it can have none any more.
    pub fn link_into(&self, dir: &dyn Dir) -> io::Result<()> {
        match dir.link(&*self.file, &name_of(&self.id)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        if !self.synced_with_name.load(Ordering::Acquire) {
            // EINTR is not retried: a second sync may report success for what the first one lost.
            dir.adopt(self.file.clone()).sync().inspect_err(|_| self.retire())?;
            self.synced_with_name.store(true, Ordering::Release);
        }
        dir.sync()
    }

    /// One durable write with all pieces, in their order. `None`: it has no room for them now (the region is full and the other one is
    /// still needed, or they are more than a region holds), or it is retired, also if that happens meanwhile. A write that fails or comes
    /// up short retires it; so does `InvalidInput` not, for a piece that is out of bounds.
    pub fn write(&self, pieces: &[Piece<'_>]) -> io::Result<Option<Ticket>> {
        let bytes = self.checked_bytes(pieces)?;
        let Some(mut turn) = self.take_place() else { return Ok(None) };
        let Some(place) = turn.place.as_mut() else { return Ok(None) };
        if bytes > self.region_bytes || !self.make_room(place, bytes) {
            turn.is_over = true;
            return Ok(None);
        }
        let at = self.header_bytes + place.region as u64 * self.region_bytes + place.used;
        self.encode(pieces, at, &mut place.buf);
        write_durable_in_one(&*self.file, &place.buf, at)?;
        place.used += place.buf.len() as u64;
        let ticket = place.regions.get(place.region).map(|region| Ticket(region.clone()));
        turn.is_over = true;
        Ok(ticket.filter(|_| !self.is_retired()))
    }

    /// It is never written again; a write that is under way is not waited for, and says `None`.
    pub fn retire(&self) {
        let place = self.place.lock();
        self.retired.store(true, Ordering::Release);
        drop(place);
        self.given_back.notify_all();
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Counts the changes of region. When it changes, who holds tickets of an earlier turn is to settle, so that their region is free
    /// when this one is full.
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// Bytes of a write, padded to the block.
    fn checked_bytes(&self, pieces: &[Piece<'_>]) -> io::Result<u64> {
        let mut bytes = 0u64;
        for piece in pieces {
            let header = header_of(piece, 0, 0);
            if piece.data.len() > PIECE_MAX_BYTES || !header.is_within_bounds() {
                let (offset, len) = (piece.offset, piece.data.len());
                let text =
                    format!("no piece of a journal: {len} bytes at offset {offset} of segment {}", piece.segment);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            bytes = bytes.saturating_add(header.total_bytes());
        }
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "nothing to write to the journal"));
        }
        Ok(bytes.checked_next_multiple_of(self.block).unwrap_or(u64::MAX))
    }

    /// Waits until nobody writes. None once it is retired.
    fn take_place(&self) -> Option<Turn<'_>> {
        let mut place = self.place.lock();
        self.given_back.wait_while(&mut place, |place| place.is_none() && !self.is_retired());
        if self.is_retired() {
            return None;
        }
        place.take().map(|place| Turn { journal: self, place: Some(place), is_over: false })
    }

    /// Goes to the other region if this one is full. False if that one is still needed.
    fn make_room(&self, place: &mut Place, bytes: u64) -> bool {
        if place.used.saturating_add(bytes) <= self.region_bytes {
            return true;
        }
        let other = (place.region + 1) % REGIONS;
        let Some(region) = place.regions.get_mut(other) else { return false };
        // Only a ticket makes it shared, and only a write makes tickets.
        let Some(turn) = Arc::get_mut(region) else { return false };
        *turn = self.turn.fetch_add(1, Ordering::AcqRel) + 1;
        (place.region, place.used) = (other, 0);
        true
    }

    fn encode(&self, pieces: &[Piece<'_>], at: u64, buf: &mut AlignedBuf) {
        buf.clear();
        for piece in pieces {
            let header = header_of(piece, at + buf.len() as u64, crc32fast::hash(piece.data));
            buf.extend_from_slice(&header.encode(&self.salt));
            buf.extend_from_slice(piece.data);
            buf.resize(buf.len().next_multiple_of(8));
        }
        buf.resize(buf.len().next_multiple_of(self.block as usize));
    }
}

fn header_of(piece: &Piece<'_>, position: u64, data_crc: u32) -> PieceHeader {
    PieceHeader {
        incarnation: piece.incarnation,
        salt: piece.salt,
        segment: piece.segment,
        offset: piece.offset,
        position,
        length: u32::try_from(piece.data.len()).unwrap_or(u32::MAX),
        data_crc,
    }
}

/// One writer's turn. It gives the place back when it ends, and retires the journal if that is early: by an error, or a panic.
struct Turn<'a> {
    journal: &'a Journal,
    place: Option<Place>,
    is_over: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.journal.place.lock() = self.place.take();
        if !self.is_over {
            self.journal.retire();
        }
        self.journal.given_back.notify_one();
    }
}

/// Header and zeros: overwriting written blocks costs half of what growing a file does per write.
fn fill(file: &dyn File, header: &JournalHeader) -> io::Result<()> {
    match retry_interrupted(|| file.allocate(header.end())) {
        Err(e) if e.raw_os_error() != Some(libc::EOPNOTSUPP) => return Err(e),
        _ => {}
    }
    let mut block = AlignedBuf::zeroed(header.header_bytes as usize);
    if let Some(bytes) = block.get_mut(..JOURNAL_HEADER_BYTES) {
        bytes.copy_from_slice(&header.encode());
    }
    // First, so that a disk that takes nothing costs one small write.
    write_all_at(file, &[&block], 0)?;
    let zeros = AlignedBuf::zeroed(ZERO_CHUNK_BYTES.min(header.region_bytes) as usize);
    let mut at = u64::from(header.header_bytes);
    while at < header.end() {
        let n = (header.end() - at).min(zeros.len() as u64) as usize;
        write_all_at(file, &[zeros.get(..n).unwrap_or_default()], at)?;
        at += n as u64;
    }
    Ok(())
}
