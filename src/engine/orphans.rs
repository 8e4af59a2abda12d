//! What faulted partitions left behind when they were closed, until their directories are opened again.

use crate::format::Id;
use crate::partition::Orphan;
use crate::sync::Mutex;

/// Most memory that orphans may hold; the oldest go first.
const BYTES_MAX: usize = 256 << 20;

#[derive(Default)]
pub struct Orphans(Mutex<Vec<Orphan>>);

impl Orphans {
    pub fn keep(&self, orphan: Orphan) {
        let mut orphans = self.0.lock();
        orphans.retain(|o| o.incarnation != orphan.incarnation);
        orphans.push(orphan);
        let mut held: usize = orphans.iter().map(Orphan::bytes).sum();
        while held > BYTES_MAX && orphans.len() > 1 {
            held -= orphans.remove(0).bytes();
        }
    }

    pub fn take(&self, incarnation: &Id) -> Option<Orphan> {
        let mut orphans = self.0.lock();
        let at = orphans.iter().position(|o| o.incarnation == *incarnation)?;
        Some(orphans.remove(at))
    }
}
