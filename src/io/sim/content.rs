//! One simulated file: what the page cache shows, what the medium holds, and what lies between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const SECTOR: usize = crate::io::SECTOR_BYTES;
pub type Sector = [u8; SECTOR];

/// Versions of one unsynced sector that are remembered: any of them may be what a power cut leaves.
const MAX_VERSIONS: usize = 4;

/// Bytes are kept in pieces of this size, which copies of a disk share until one of them writes.
const PIECE: usize = 4096;

const ZEROS: [u8; PIECE] = [0; PIECE];

/// Bytes with a length of their own; what was never written, or with zeros, takes no memory.
#[derive(Clone, Default)]
pub struct Bytes {
    pieces: Vec<Option<Arc<[u8; PIECE]>>>,
    pub len: u64,
}

impl Bytes {
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let n = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        self.copy(offset, &mut buf[..n]);
        n
    }

    /// Fills the buffer, whatever the length.
    fn copy(&self, offset: u64, buf: &mut [u8]) {
        for (at, from, part) in parts(offset, buf.len()) {
            let to = &mut buf[part];
            match self.pieces.get(at).and_then(Option::as_ref) {
                Some(piece) => to.copy_from_slice(&piece[from..from + to.len()]),
                None => to.fill(0),
            }
        }
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (at, from, part) in parts(offset, bytes.len()) {
            let part = &bytes[part];
            if at >= self.pieces.len() {
                self.pieces.resize(at + 1, None);
            }
            let piece = &mut self.pieces[at];
            let zeros = *part == ZEROS[..part.len()];
            if zeros && (piece.is_none() || part.len() == PIECE) {
                *piece = None;
            } else {
                let piece = piece.get_or_insert_with(|| Arc::new([0; PIECE]));
                Arc::make_mut(piece)[from..from + part.len()].copy_from_slice(part);
            }
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Takes a range over from another file's bytes; whole pieces are shared.
    fn take_over(&mut self, other: &Bytes, offset: u64, len: usize) {
        for (at, from, part) in parts(offset, len) {
            if part.len() == PIECE {
                if at >= self.pieces.len() {
                    self.pieces.resize(at + 1, None);
                }
                self.pieces[at] = other.pieces.get(at).cloned().flatten();
            } else {
                let mut bytes = [0; PIECE];
                let place = (at * PIECE + from) as u64;
                other.copy(place, &mut bytes[..part.len()]);
                self.write(place, &bytes[..part.len()]);
            }
        }
        self.len = self.len.max(offset + len as u64);
    }

    pub fn sector(&self, number: u64) -> Sector {
        let mut sector = [0; SECTOR];
        self.copy(number * SECTOR as u64, &mut sector);
        sector
    }

    /// Changes a sector and leaves the length alone.
    pub fn put_sector(&mut self, number: u64, sector: &Sector) {
        let len = self.len;
        self.write(number * SECTOR as u64, sector);
        self.len = len;
    }

    /// Sets the length; what lies beyond is forgotten, so that it reads as zeros should the file grow again.
    pub fn cut(&mut self, len: u64) {
        self.len = len;
        self.pieces.truncate((len as usize).div_ceil(PIECE));
        let rest = len as usize % PIECE;
        if let Some(Some(last)) = self.pieces.get_mut(len as usize / PIECE) {
            Arc::make_mut(last)[rest..].fill(0);
        }
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; self.len as usize];
        self.read(0, &mut all);
        all
    }
}

/// The pieces that `len` bytes at `offset` lie in: number, offset in it, and which of the bytes.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset as usize + done;
        let n = (PIECE - at % PIECE).min(len - done);
        let part = done..done + n;
        done += n;
        (n > 0).then_some((at / PIECE, at % PIECE, part))
    })
}

/// What happened to a sector since it was last durable.
#[derive(Clone, Default)]
pub struct Dirty {
    /// Earlier unsynced contents, oldest first.
    versions: Vec<Sector>,
    /// What a write-back without a flush put into the device's volatile cache: direct reads see it, a power cut may lose it.
    device: Option<Box<Sector>>,
}

#[derive(Clone, Default)]
pub struct Content {
    pub cached: Bytes,
    pub durable: Bytes,
    dirty: BTreeMap<u64, Dirty>,
    pub unreadable: BTreeSet<u64>,
    pub unwritable: BTreeSet<u64>,
}

/// The sectors that `len` bytes at `offset` touch.
pub fn sectors(offset: u64, len: usize) -> std::ops::Range<u64> {
    let size = SECTOR as u64;
    offset / size..(offset + len as u64).div_ceil(size)
}

impl Content {
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || self.cached.len != self.durable.len
    }

    pub fn write_cached(&mut self, offset: u64, bytes: &[u8]) {
        for number in sectors(offset, bytes.len()) {
            match self.dirty.get_mut(&number) {
                Some(dirty) if dirty.versions.len() < MAX_VERSIONS => dirty.versions.push(self.cached.sector(number)),
                Some(_) => {}
                None => {
                    self.dirty.insert(number, Dirty::default());
                }
            }
        }
        // A write gives a bad sector a new place on the medium, unless that fails as well.
        self.heal_sectors(offset, bytes.len());
        self.cached.write(offset, bytes);
    }

    /// A direct write: `lands` says which sectors reach the medium. The page cache never differs from it afterwards.
    pub fn write_direct(&mut self, offset: u64, bytes: &[u8], lands: impl Fn(u64) -> bool) {
        if sectors(offset, bytes.len()).all(&lands) {
            self.cached.write(offset, bytes);
            self.durable.take_over(&self.cached, offset, bytes.len());
            if !self.dirty.is_empty() {
                sectors(offset, bytes.len()).for_each(|n| _ = self.dirty.remove(&n));
            }
            self.heal_sectors(offset, bytes.len());
            self.durable.len = self.durable.len.max(self.cached.len);
            return;
        }
        for number in sectors(offset, bytes.len()).filter(|n| lands(*n)) {
            let at = (number * SECTOR as u64 - offset) as usize;
            let part = &bytes[at..at + SECTOR];
            self.durable.write(number * SECTOR as u64, part);
            self.cached.write(number * SECTOR as u64, part);
            self.dirty.remove(&number);
            self.unreadable.remove(&number);
        }
        self.durable.len = self.durable.len.max(self.cached.len);
    }

    /// A direct write that the device holds in its volatile cache.
    pub fn write_device(&mut self, offset: u64, bytes: &[u8]) {
        self.write_cached(offset, bytes);
        self.write_back(offset, bytes.len());
    }

    fn heal_sectors(&mut self, offset: u64, len: usize) {
        if !self.unreadable.is_empty() {
            sectors(offset, len).for_each(|n| _ = self.unreadable.remove(&n));
        }
    }

    /// A write that the page cache shows and the medium never gets.
    pub fn write_lost(&mut self, offset: u64, bytes: &[u8]) {
        self.cached.write(offset, bytes);
        for number in sectors(offset, bytes.len()) {
            self.dirty.remove(&number);
        }
    }

    /// A write that reaches the medium behind the page cache's back.
    pub fn write_medium(&mut self, offset: u64, bytes: &[u8]) {
        let len = self.durable.len;
        self.durable.write(offset, bytes);
        self.durable.cut(len.min(self.durable.len));
    }

    /// The page cache's length; the medium's follows with a flush.
    pub fn cut(&mut self, len: u64) {
        self.cached.cut(len);
        self.dirty.retain(|number, _| number * (SECTOR as u64) < len);
    }

    /// Everything unsynced becomes durable.
    pub fn flush(&mut self) {
        for number in std::mem::take(&mut self.dirty).into_keys() {
            let sector = self.cached.sector(number);
            self.durable.put_sector(number, &sector);
        }
        self.durable.len = self.cached.len;
    }

    /// A failed flush as on Linux: what did not reach the medium is marked clean, so that the next flush has nothing to say about it.
    pub fn flush_failed(&mut self, lands: impl Fn(u64) -> bool) {
        for number in std::mem::take(&mut self.dirty).into_keys() {
            if lands(number) && !self.unwritable.contains(&number) {
                let sector = self.cached.sector(number);
                self.durable.put_sector(number, &sector);
            }
        }
        self.durable.len = self.cached.len;
    }

    /// A sector on the way to the medium that cannot be written, if there is one.
    pub fn flush_meets_bad_sector(&self) -> bool {
        !self.unwritable.is_empty() && self.dirty.keys().any(|n| self.unwritable.contains(n))
    }

    pub fn write_meets_bad_sector(&self, offset: u64, len: usize) -> bool {
        !self.unwritable.is_empty() && sectors(offset, len).any(|n| self.unwritable.contains(&n))
    }

    /// The bytes from `offset` that can be read before the first bad sector; dirty ones come from memory.
    pub fn readable(&self, offset: u64, len: usize) -> usize {
        if self.unreadable.is_empty() {
            return len;
        }
        let bad = sectors(offset, len).find(|n| self.unreadable.contains(n) && !self.dirty.contains_key(n));
        bad.map_or(len, |n| (n * SECTOR as u64).saturating_sub(offset) as usize)
    }

    /// What a direct read writes back first: it is in the device afterwards, but no flush made it durable.
    pub fn write_back(&mut self, offset: u64, len: usize) {
        for (number, dirty) in self.dirty.range_mut(sectors(offset, len)) {
            dirty.device = Some(Box::new(self.cached.sector(*number)));
        }
    }

    /// The device empties its volatile cache, whoever asked for it: what was written back before is durable now.
    pub fn device_flush(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        self.device_flush_failed(|_| true);
        let (cached, durable) = (&self.cached, &self.durable);
        self.dirty.retain(|number, _| cached.sector(*number) != durable.sector(*number));
    }

    /// The device could not empty its volatile cache: of what it held, some has become durable, and the rest is gone.
    pub fn device_flush_failed(&mut self, lands: impl Fn(u64) -> bool) {
        for (number, dirty) in &mut self.dirty {
            if let Some(sector) = dirty.device.take().filter(|_| lands(*number)) {
                self.durable.put_sector(*number, &sector);
                let end = ((number + 1) * SECTOR as u64).min(self.cached.len);
                self.durable.len = self.durable.len.max(end);
            }
        }
    }

    pub fn read_direct(&self, offset: u64, buf: &mut [u8]) -> usize {
        let n = self.cached.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        buf[..n].fill(0);
        self.durable.read(offset, &mut buf[..n]);
        for (number, dirty) in self.dirty.range(sectors(offset, n)) {
            let Some(sector) = dirty.device.as_deref() else { continue };
            let start = number * SECTOR as u64;
            let from = start.max(offset);
            let to = (start + SECTOR as u64).min(offset + n as u64);
            let (a, b) = ((from - start) as usize, (to - start) as usize);
            buf[(from - offset) as usize..(to - offset) as usize].copy_from_slice(&sector[a..b]);
        }
        n
    }

    /// Forgets clean pages, as memory pressure does, or posix_fadvise(DONTNEED): reads see the medium again.
    pub fn drop_caches(&mut self) {
        let mut fresh = self.durable.clone();
        for number in self.dirty.keys() {
            fresh.put_sector(*number, &self.cached.sector(*number));
        }
        fresh.len = self.cached.len;
        self.cached = fresh;
    }

    /// What a power cut leaves. `pick(sector, choices)` chooses among that many contents, 0 being the durable one and the last the newest.
    pub fn power_cut(&mut self, mut pick: impl FnMut(u64, usize) -> usize) {
        for (number, dirty) in std::mem::take(&mut self.dirty) {
            let mut choices = dirty.versions;
            choices.extend(dirty.device.as_deref());
            choices.push(self.cached.sector(number));
            if let Some(chosen) = pick(number, choices.len() + 1).checked_sub(1) {
                self.durable.put_sector(number, &choices[chosen]);
            }
        }
        if self.cached.len != self.durable.len {
            let (old, new) = (self.durable.len, self.cached.len);
            let len = match pick(u64::MAX, 3) {
                0 => old,
                1 => ((old + new) / 2 / SECTOR as u64 * SECTOR as u64).max(old),
                _ => new,
            };
            self.durable.cut(len);
        }
        self.cached = self.durable.clone();
    }
}
