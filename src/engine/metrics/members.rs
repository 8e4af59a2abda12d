//! The partitions of a disk as its metrics see them: those that are open, those that were closed with a fault, and what those that are
//! gone have counted. No counter goes back when a partition is closed.

use crate::engine::sweep::Sweep;
use crate::error::Cause;
use crate::partition::{DiskCounts, Health, PartitionCounts, State, COUNTS, LEVELS};
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Series of single partitions, per disk.
const FAULTED_MAX: usize = 64;

/// A partition that was closed with a fault is out of service until it is opened again, or given up: its directory was missing at so many
/// looks.
const GONE_AFTER: u32 = 5;
/// Most of these that are remembered.
const LEFT_MAX: usize = 1 << 16;

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
    /// By directory: an opening finds those before it without a look at the others.
    open: BTreeMap<PathBuf, Vec<Member>>,
    /// How many that is.
    count: usize,
    sweep: Sweep,
    left: BTreeMap<PathBuf, Left>,
    gone: Totals,
}

struct Member {
    counts: Arc<PartitionCounts>,
    /// Its directory was opened anew after it was closed.
    replaced: bool,
}

/// A partition that was closed with a fault, and whose counts are taken over.
struct Left {
    faulted: Faulted,
    missing: u32,
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

#[derive(Clone, Copy)]
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

    pub fn add(&self, counts: &Arc<PartitionCounts>, path: &Path) {
        let members = &mut *self.members.lock();
        if members.sweep.is_due(members.count) {
            members.fold();
        }
        members.count += 1;
        let there = members.open.entry(path.to_path_buf()).or_default();
        there.push(Member { counts: counts.clone(), replaced: false });
    }

    /// A directory is opened: what was closed there, perhaps when another disk was mounted, is not out of service any more.
    pub fn opened(&self, path: &Path) {
        let mut members = self.members.lock();
        let before = members.open.get_mut(path).into_iter().flatten();
        before.filter(|m| m.counts.health().state == State::Closed).for_each(|m| m.replaced = true);
        members.left.remove(path);
    }

    /// Looks whether the directories of those that were closed with a fault are still there.
    pub fn look_for_left(&self, is_missing: impl Fn(&Path) -> bool) {
        let left: Vec<PathBuf> = {
            let mut members = self.members.lock();
            members.fold();
            members.left.keys().cloned().collect()
        };
        for path in left {
            let missing = is_missing(&path); // without the lock: a disk may hang
            let mut members = self.members.lock();
            let Some(left) = members.left.get_mut(&path) else { continue };
            left.missing = if missing { left.missing + 1 } else { 0 };
            if left.missing >= GONE_AFTER {
                members.left.remove(&path);
            }
        }
    }

    /// Whether there is anything to look for.
    pub fn has_left(&self) -> bool {
        let mut members = self.members.lock();
        members.fold();
        !members.left.is_empty()
    }

    pub fn read(&self) -> Summary {
        let mut members = self.members.lock();
        members.fold();
        let mut summary = Summary { totals: members.gone, ..Summary::default() };
        for member in members.open.values().flatten() {
            summary.take(member);
        }
        for left in members.left.values() {
            summary.take_faulted(left.faulted);
        }
        summary
    }
}

impl Members {
    /// Takes over what partitions have counted that are gone: nobody else has their counts then.
    fn fold(&mut self) {
        let (gone, left) = (&mut self.gone, &mut self.left);
        self.open.retain(|path, members| {
            members.retain_mut(|member| {
                let held = Arc::strong_count(&member.counts) > 1 || Arc::get_mut(&mut member.counts).is_none();
                if !held {
                    add(gone, &member.counts);
                    left.extend(member.left().map(|left| (path.clone(), left)));
                }
                held
            });
            !members.is_empty()
        });
        self.count = self.open.values().map(Vec::len).sum();
        self.sweep.done(self.count);
        while left.len() > LEFT_MAX {
            left.pop_first();
        }
    }
}

impl Member {
    /// What it left behind, if it was closed with a fault.
    fn left(&self) -> Option<Left> {
        let faulted = self.faulted(self.counts.health())?;
        Some(Left { faulted, missing: 0 })
    }

    fn faulted(&self, health: Health) -> Option<Faulted> {
        let out_of_service = match health.state {
            State::ReadWrite => false,
            State::Closed => health.cause != Cause::None && !self.replaced,
            _ => true,
        };
        let (partition_id, since_unix_ms) = (self.counts.partition_id, self.counts.faulted_at_unix_ms());
        out_of_service.then_some(Faulted { partition_id, health, since_unix_ms })
    }
}

impl Summary {
    fn take(&mut self, member: &Member) {
        add(&mut self.totals, &member.counts);
        let health = member.counts.health();
        if health.state != State::Closed {
            for (sum, n) in self.levels.iter_mut().zip(member.counts.levels()) {
                *sum += n;
            }
        }
        if health.state == State::ReadWrite {
            self.note(State::ReadWrite, Cause::None);
        }
        if let Some(faulted) = member.faulted(health) {
            self.take_faulted(faulted);
        }
    }

    fn note(&mut self, state: State, cause: Cause) {
        *self.partitions.entry((state as u32, cause as u32)).or_default() += 1;
    }

    fn take_faulted(&mut self, faulted: Faulted) {
        self.note(faulted.health.state, faulted.health.cause);
        // Two with one id would be two samples of one series.
        if self.faulted.len() == FAULTED_MAX || self.faulted.iter().any(|f| f.partition_id == faulted.partition_id) {
            self.omitted += 1;
            return;
        }
        self.faulted.push(faulted);
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
    use crate::error::Op;
    use crate::partition::{Count, Mode};
    use std::time::Duration;

    fn appends(summary: &Summary) -> u64 {
        summary.totals[Mode::Sync as usize - 1][Count::Appends as usize]
    }

    #[test]
    fn a_closed_one_is_given_up_when_its_directory_stays_away() {
        let disk = DiskMetrics::new(Path::new("/data"), libc::makedev(8, 17));
        for (id, path) in [(1, "/data/wal_1"), (2, "/data/wal_2")] {
            let counts = Arc::new(PartitionCounts::new(id, Mode::Sync));
            disk.add(&counts, Path::new(path));
            counts.set_health(Health { state: State::Closed, cause: Cause::IoError, op: Op::Append, errno: libc::EIO });
        }
        let left = || disk.read().faulted.iter().map(|f| f.partition_id).collect::<Vec<_>>();
        assert!(disk.has_left());
        let first = |path: &Path| path.ends_with("wal_1");
        for _ in 1..GONE_AFTER {
            disk.look_for_left(first);
        }
        disk.look_for_left(|_| false); // mounted again
        for _ in 1..GONE_AFTER {
            disk.look_for_left(first);
        }
        assert_eq!(left(), [1, 2]);
        disk.look_for_left(first);
        assert_eq!(left(), [2]);
        disk.opened(Path::new("/data/wal_2"));
        assert!(left().is_empty() && !disk.has_left());
    }

    #[test]
    fn what_a_partition_counted_stays_when_it_is_gone() {
        let disk = DiskMetrics::new(Path::new("/data"), libc::makedev(8, 17));
        assert_eq!(disk.device, "8:17");
        for id in 0..100 {
            let counts = Arc::new(PartitionCounts::new(id, Mode::Sync));
            disk.add(&counts, Path::new("/data/wal"));
            counts.add_append(&[]);
            assert_eq!(appends(&disk.read()), id + 1);
        }
        assert_eq!(appends(&disk.read()), 100);
        assert_eq!(appends(&disk.read()), 100, "and is taken over once");
        assert!(disk.members.lock().open.is_empty(), "what is gone takes no memory");
    }

    /// Of this thread: what others do on the machine is not in it.
    fn processor_time() -> Duration {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts it");
        let nanoseconds = stat.split(' ').next().and_then(|n| n.parse().ok());
        Duration::from_nanos(nanoseconds.expect("nanoseconds come first"))
    }

    /// Looking at each took 18.7 s of processor time for 10,000 openings.
    #[test]
    fn an_opening_does_not_look_at_every_other_one() {
        let disk = DiskMetrics::new(Path::new("/data"), libc::makedev(8, 17));
        let mut held = Vec::new();
        let mut costs = Vec::new();
        for thousand in 0..12 {
            let began = processor_time();
            for n in 0..1_000 {
                let id = thousand * 1_000 + n;
                let path = PathBuf::from(format!("/data/datapartition_{id}_128849018880/wal"));
                let counts = Arc::new(PartitionCounts::new(id, Mode::Sync));
                disk.opened(&path);
                disk.add(&counts, &path);
                held.push(counts);
            }
            costs.push(processor_time() - began);
        }
        let few = costs.iter().take(2).max().copied().unwrap_or_default();
        let many = costs.iter().skip(9).min().copied().unwrap_or_default();
        // The kernel counts in steps of some milliseconds.
        assert!(many < few * 4 + Duration::from_millis(100), "a thousand openings took {costs:?}");
    }
}
