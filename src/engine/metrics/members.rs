//! The partitions of a disk as its metrics see them: those that are open, and what those that are gone have counted. No counter goes back
//! when a partition is closed.

use crate::error::Cause;
use crate::partition::{DiskCounts, Health, PartitionCounts, State, COUNTS, LEVELS};
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Series of single partitions, per disk.
const FAULTED_MAX: usize = 64;

/// Counts by mode, 1 to 3.
pub type Totals = [[u64; COUNTS]; 3];

pub struct DiskMetrics {
    /// Where the disk is mounted, and its device number, which tells it from another disk mounted there later.
    pub mount: String,
    pub device: String,
    pub counts: Arc<DiskCounts>,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    open: Vec<Arc<PartitionCounts>>,
    gone: Totals,
}

/// What the partitions of a disk come to.
#[derive(Default)]
pub struct Summary {
    pub totals: Totals,
    pub levels: [u64; LEVELS],
    /// By state and cause.
    pub partitions: BTreeMap<(u32, u32), u64>,
    pub faulted: Vec<Faulted>,
    pub omitted: u64,
}

pub struct Faulted {
    pub partition_id: u64,
    pub health: Health,
    pub since_unix_ms: u64,
}

impl DiskMetrics {
    pub fn new(mount: &Path, device: u64) -> DiskMetrics {
        DiskMetrics {
            mount: mount.to_string_lossy().into_owned(),
            device: format!("{}:{}", libc::major(device), libc::minor(device)),
            counts: Arc::default(),
            members: Mutex::default(),
        }
    }

    pub fn add(&self, counts: &Arc<PartitionCounts>) {
        let mut members = self.members.lock();
        if members.open.len() == members.open.capacity() {
            members.fold();
        }
        members.open.push(counts.clone());
    }

    pub fn read(&self) -> Summary {
        let mut members = self.members.lock();
        members.fold();
        let mut summary = Summary { totals: members.gone, ..Summary::default() };
        for member in &members.open {
            summary.take(member);
        }
        summary
    }
}

impl Members {
    /// Takes over what partitions have counted that are gone: nobody else has their counts then.
    fn fold(&mut self) {
        let gone = &mut self.gone;
        self.open.retain_mut(|member| {
            let held = Arc::strong_count(member) > 1 || Arc::get_mut(member).is_none();
            if !held {
                add(gone, member);
            }
            held
        });
    }
}

impl Summary {
    fn take(&mut self, member: &PartitionCounts) {
        add(&mut self.totals, member);
        let health = member.health();
        if health.state == State::Closed {
            return;
        }
        for (sum, n) in self.levels.iter_mut().zip(member.levels()) {
            *sum += n;
        }
        let cause = if health.state == State::ReadWrite { Cause::None } else { health.cause };
        *self.partitions.entry((health.state as u32, cause as u32)).or_default() += 1;
        if health.state == State::ReadWrite {
            return;
        }
        // Two with one id would be two samples of one series.
        if self.faulted.len() == FAULTED_MAX || self.faulted.iter().any(|f| f.partition_id == member.partition_id) {
            self.omitted += 1;
            return;
        }
        let since_unix_ms = member.faulted_at_unix_ms();
        self.faulted.push(Faulted { partition_id: member.partition_id, health, since_unix_ms });
    }
}

fn add(totals: &mut Totals, member: &PartitionCounts) {
    let Some(of_mode) = totals.get_mut(member.mode as usize - 1) else { return };
    for (sum, n) in of_mode.iter_mut().zip(member.counts()) {
        *sum = sum.wrapping_add(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{Count, Mode};

    fn appends(summary: &Summary) -> u64 {
        summary.totals[Mode::Sync as usize - 1][Count::Appends as usize]
    }

    #[test]
    fn what_a_partition_counted_stays_when_it_is_gone() {
        let disk = DiskMetrics::new(Path::new("/data"), libc::makedev(8, 17));
        assert_eq!(disk.device, "8:17");
        for id in 0..100 {
            let counts = Arc::new(PartitionCounts::new(id, Mode::Sync));
            disk.add(&counts);
            counts.add_append(&[]);
            assert_eq!(appends(&disk.read()), id + 1);
        }
        assert_eq!(appends(&disk.read()), 100);
        assert_eq!(appends(&disk.read()), 100, "and is taken over once");
        assert!(disk.members.lock().open.is_empty(), "what is gone takes no memory");
    }
}
