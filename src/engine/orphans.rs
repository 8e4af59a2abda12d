//! What faulted partitions left behind when they were closed, until their directories are opened again.

use super::queue::Tag;
use crate::format::Root;
use crate::partition::{Event, Orphan, Place};
use crate::sync::Mutex;

/// Most memory that orphans' entries may hold; beyond that the oldest are left with what says which are lost.
const BYTES_MAX: usize = 256 << 20;
/// Most orphans, about 150 bytes each without entries.
const ORPHANS_MAX: usize = 1 << 16;

#[derive(Default)]
pub struct Orphans(Mutex<Vec<Orphan>>);

impl Orphans {
    /// Returns events for the owners whose entries had to go.
    pub fn keep(&self, orphan: Orphan) -> Vec<(Event, Tag)> {
        let mut orphans = self.0.lock();
        orphans.retain(|o| !o.is_replaced_by(&orphan));
        orphans.push(orphan);
        let mut gone = Vec::new();
        let mut held: usize = orphans.iter().map(Orphan::bytes).sum();
        let mut older = orphans.len() - 1;
        for orphan in orphans.iter_mut() {
            if held <= BYTES_MAX || older == 0 {
                break;
            }
            older -= 1;
            let bytes = orphan.bytes();
            if bytes > 0 {
                held -= bytes;
                gone.push(orphan.forget_entries());
            }
        }
        if orphans.len() > ORPHANS_MAX {
            gone.push(orphans.remove(0).forget_entries());
        }
        gone
    }

    pub fn bytes(&self) -> u64 {
        self.0.lock().iter().map(Orphan::bytes).sum::<usize>() as u64
    }

    /// The first entry of that orphan, if its entries come to `known`.
    pub fn first(&self, root: &Root, place: Place, known: u64) -> Option<u64> {
        let orphans = self.0.lock();
        orphans.get(find(&orphans, root, place)?)?.first_with(known)
    }

    /// That of this directory goes from here; one of a directory that this is a copy of stays.
    pub fn take(&self, root: &Root, place: Place) -> Option<Orphan> {
        let mut orphans = self.0.lock();
        // Another process has opened the directory since.
        orphans.retain(|o| !o.was_left_in(place) || !o.is_of_log(root) || o.is_of(root));
        let at = find(&orphans, root, place)?;
        if orphans.get(at)?.was_left_in(place) {
            return Some(orphans.remove(at));
        }
        orphans.get(at).cloned()
    }
}

/// That of this directory, else one of another that this is a copy of.
fn find(orphans: &[Orphan], root: &Root, place: Place) -> Option<usize> {
    let own = orphans.iter().position(|o| o.is_of(root) && o.was_left_in(place));
    own.or_else(|| orphans.iter().position(|o| o.is_of(root)))
}
