//! Bytes that belong into segments.

use super::PIECE_MAX_BYTES;
use crate::format::Id;
use std::collections::BTreeMap;

pub struct Patch {
    /// Of the segment that it is for.
    pub salt: Id,
    pub offset: u64,
    pub data: Box<[u8]>,
}

impl Patch {
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.data.len() as u64)
    }
}

/// All that a journal holds for one partition, by the segments' sequences.
#[derive(Default)]
pub struct Patches(BTreeMap<u64, Vec<Patch>>);

impl Patches {
    pub fn add(&mut self, segment: u64, patch: Patch) {
        self.0.entry(segment).or_default().push(patch);
    }

    /// After the last `add`.
    pub fn sort(&mut self) {
        self.0.values_mut().for_each(|patches| patches.sort_by_key(|p| p.offset));
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn segments(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.keys().copied()
    }

    pub fn has(&self, segment: u64) -> bool {
        self.0.contains_key(&segment)
    }

    /// Those for the segment with this salt.
    pub fn of(&self, segment: u64, salt: &Id) -> Laid<'_> {
        Laid { patches: self.0.get(&segment).map_or(&[], Vec::as_slice), salt: *salt }
    }
}

/// Patches of one segment, in order of their offsets.
#[derive(Clone, Copy)]
pub struct Laid<'a> {
    patches: &'a [Patch],
    salt: Id,
}

impl<'a> Laid<'a> {
    /// Those that end behind `offset`.
    pub fn from(&self, offset: u64) -> impl Iterator<Item = &'a Patch> {
        let salt = self.salt;
        let first = self.patches.partition_point(|p| p.offset.saturating_add(PIECE_MAX_BYTES as u64) <= offset);
        let rest = self.patches.get(first..).unwrap_or_default();
        rest.iter().filter(move |p| p.salt == salt && p.end() > offset)
    }

    /// Lays them over the bytes that were read at `offset`.
    pub fn lay_over(&self, bytes: &mut [u8], offset: u64) {
        let end = offset.saturating_add(bytes.len() as u64);
        for patch in self.from(offset).take_while(|p| p.offset < end) {
            let (from, to) = (patch.offset.max(offset), patch.end().min(end));
            let into = bytes.get_mut((from - offset) as usize..(to - offset) as usize);
            let data = patch.data.get((from - patch.offset) as usize..(to - patch.offset) as usize);
            if let (Some(into), Some(data)) = (into, data) {
                into.copy_from_slice(data);
            }
        }
    }

    /// True if they hold every byte of these.
    pub fn cover(&self, offset: u64, len: usize) -> bool {
        let end = offset.saturating_add(len as u64);
        let mut at = offset;
        for patch in self.from(offset).take_while(|p| p.offset < end) {
            if patch.offset > at {
                return false;
            }
            at = at.max(patch.end());
        }
        at >= end
    }

    /// The first byte at or behind `offset` that one holds.
    pub fn next(&self, offset: u64) -> Option<u64> {
        self.from(offset).next().map(|p| p.offset.max(offset))
    }
}
