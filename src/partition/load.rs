//! Load: what recovery found becomes the partition's memory, and what may not be durable is made so first.

use super::directory::{read_root, StoredRoot};
use super::limits::Limit;
use super::look::{check_room, unsure, Seen, Unsynced};
use super::open::unsupported;
use super::parts::{Extent, Live};
use super::recovery::Found;
use super::rescue::rescue_unsynced;
use super::root::ROOT_NAME;
use super::types::State;
use super::Partition;
use crate::error::{errno_of, Cause, Error, Op, Result, Status};
use crate::format::{BeginData, LogEnd, Root};
use crate::io::{Access, Dir};
use crate::segment::Segment;
use std::io;

impl Partition {
    /// Reads the directory into memory. Also the first half of a recovery when an earlier load failed.
    pub(super) fn load(&self) -> Result<()> {
        let dir = self.dir(Op::Open)?;
        let StoredRoot { mut root, twice } = match read_root(&*dir)? {
            Some(stored) => stored,
            None if self.must_exist => {
                let message = "the directory holds no log; create it with another disposition if a new one is meant";
                return Err(Error::new(Status::NotFound, Op::Open, message));
            }
            None => StoredRoot { root: self.initialise(&*dir)?, twice: true },
        };
        if root.partition_id != self.id {
            let message = format!(
                "the directory belongs to partition {}, not {}; give that id or another path",
                root.partition_id, self.id
            );
            return Err(Error::new(Status::WrongPartition, Op::Open, message));
        }
        let segments = root.first_segment.max(root.last_segment);
        check_room(&[root.generation, segments, root.lsn_limit, root.mark, root.end.lsn])?;
        let direct = self.has_direct_io(&*dir);
        let Seen { mut found, cached } = self.look(&*dir, &root, direct == Ok(true));
        // Where the log is damaged an opening's root stays as it is.
        let renews = !twice || (!root.clean && found.fault.is_none());
        let renewed = if renews { self.renew_root(&*dir, &mut root) } else { Ok(()) };
        let durable = renewed.is_ok() && (renews || root.clean);
        // On a disk that takes no writes what is there can be read, but for the hard state if that may be in the page cache alone.
        let fault = renewed.err().or(found.fault.take());
        let (direct, cached) = match fault.map_or(Ok(()), Err).and_then(|()| Ok((direct?, cached?))) {
            Ok(sound) => sound,
            Err(fault) => {
                self.adopt(&*dir, root, found, false)?;
                self.log.lock().root_durable = durable;
                return Err(fault);
            }
        };
        self.load_sound(&*dir, root, found, cached, direct)
    }

    /// What is durable is served as it is, the rest made durable first.
    fn load_sound(
        &self,
        dir: &dyn Dir,
        root: Root,
        mut found: Found,
        cached: Option<Unsynced>,
        direct: bool,
    ) -> Result<()> {
        if root.clean {
            self.adopt(dir, root, found, true)?;
            return self.take_orphan_in(&root);
        }
        let unsynced = if direct { cached } else { unsure(&mut found) };
        let Some((cached, durable, end)) = unsynced else {
            self.sync_found(dir, &found)?;
            self.adopt(dir, root, found, true)?;
            return self.take_orphan_in(&root);
        };
        self.sync_found(dir, if direct { &found } else { &cached })?;
        if let Err(error) = self.load_from_cache(dir, root, cached, durable, end) {
            if let Some(orphan) = self.host.orphan(&root, self.place()) {
                // It has to be looked at before the log is served: the next try begins at the beginning.
                self.host.keep_orphan(orphan);
                self.log.lock().sound = false;
            }
            return Err(error);
        }
        self.take_orphan_in(&root)
    }

    /// Makes a fresh directory a partition. A crash on the way leaves one that is fresh still.
    fn initialise(&self, dir: &dyn Dir) -> Result<Root> {
        // CubeFS's own WAL opens a file META in its directory; a directory of that name makes it refuse ours.
        match dir.mkdir("META") {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(Op::Open, &e, "creating META")),
            _ => {}
        }
        let mut root = Root {
            partition_id: self.id,
            incarnation: self.host.random_id(),
            epoch: self.host.random_id(),
            first_segment: 1,
            lsn_limit: 1,
            mode: self.mode as u32,
            clean: true,
            ..Root::default()
        };
        let created = self.root.lock().replace(dir, &mut root, None);
        created.map_err(|e| unsupported(Error::io(Op::Open, &e, "creating the root")))?;
        Ok(root)
    }

    fn has_direct_io(&self, dir: &dyn Dir) -> Result<bool> {
        let file = dir.open(ROOT_NAME, Access::Durable).map_err(|e| Error::io(Op::Open, &e, "opening the root"))?;
        Ok(file.writes_are_durable())
    }

    /// The entries that may not be durable are checked like all others, so they are good; they are written anew, into a new segment.
    fn load_from_cache(&self, dir: &dyn Dir, root: Root, cached: Found, durable: u64, end: BeginData) -> Result<()> {
        self.adopt(dir, root, cached, true)?;
        let rescue = {
            let mut log = self.log.lock();
            // Until this is done a recovery has to begin at the beginning.
            log.sound = false;
            rescue_unsynced(&log, durable.max(log.compaction.0) + 1, end)
        };
        let healed = self.heal_with(&rescue, true);
        let mut log = self.log.lock();
        if log.state != State::Recovering {
            return Err(self.fault_error(&log, Op::Recover));
        }
        match healed {
            Ok(()) => {}
            // It can be read and vote as it is; what is to be written anew waits for space.
            Err(e) if e.cause() == Cause::NoSpace => {
                log.durable = Extent { lsn: end.last_lsn, index: durable, end, ..log.durable };
                // Until then a root says what the one before it did: where the log ends is not on the medium.
                log.opened_end = root.end;
                log.desired = Root { clean: false, ..root };
                log.found_mode = Some(root.mode);
                log.sound = true;
                return Err(e);
            }
            Err(e) => return Err(e),
        }
        log.sound = true;
        Ok(())
    }

    /// Writes a root anew that one more fault would take: one whose write was cut short after one of its two slots, and one of an opening
    /// that was not closed: it, or its name, may be in the page cache only, and after a sync that failed the next one says yes and
    /// writes nothing.
    fn renew_root(&self, dir: &dyn Dir, root: &mut Root) -> Result<()> {
        let mut writer = self.root.lock();
        let before = root.generation;
        writer.generation = before;
        let renewed = match writer.replace(dir, root, Some(&*self.host)) {
            // Behind the rename it was a sync that failed: another one that says yes would prove nothing.
            Err(e) if !writer.renamed && Cause::of_errno(errno_of(&e)) == Cause::NoSpace => {
                // The pair that holds the newest root comes last.
                writer.generation = before;
                writer.overwrite(dir, root, &*self.host)
            }
            other => other,
        };
        renewed.map_err(|e| self.io_error(Op::Open, &e, "writing the root anew", ROOT_NAME))
    }

    /// What an unclean open finds may be in the page cache only. It is synced before anyone, this log's marks included, relies on it.
    fn sync_found(&self, dir: &dyn Dir, found: &Found) -> Result<()> {
        let segments = found.to_sync.iter().rev().map(|sequence| Segment::name_of(*sequence));
        for name in segments.chain([ROOT_NAME.to_string()]) {
            let synced = dir.open(&name, Access::Buffered).and_then(|file| file.sync());
            synced.map_err(|e| self.io_error(Op::Open, &e, "syncing what the last opening left", &name))?;
        }
        // The root may have been put in place by a rename that nobody has synced.
        dir.sync().map_err(|e| self.io_error(Op::Open, &e, "syncing the directory", ""))
    }

    /// Takes what was found into memory. Of a log that is not `sound` it can be read what is there.
    fn adopt(&self, dir: &dyn Dir, root: Root, found: Found, sound: bool) -> Result<()> {
        let kept_bytes = if sound { self.keep_cut(dir, &found)? } else { 0 };
        let device = dir.device();
        self.root.lock().generation = root.generation;
        let mut log = self.log.lock();
        let log = &mut *log;
        if log.state != State::Recovering {
            // It took too long, or the partition was closed meanwhile.
            return Err(self.fault_error(log, Op::Recover));
        }
        let end = LogEnd {
            segment: found.end.segment,
            offset: found.end.end_offset,
            lsn: found.end.last_lsn,
            index: found.last.0,
            term: found.last.1,
        };
        log.opened_end = end;
        log.stored = root;
        log.desired = Root { epoch: self.host.random_id(), clean: false, end, mark: 0, ..root };
        log.compaction = (root.compaction_index, root.compaction_term);
        log.last = found.last;
        log.commit = found.commit;
        log.end = found.end;
        // Above everything that was ever used: a record that a crash left behind can never be taken for a new one.
        log.next_lsn = found.max_lsn.max(found.end.last_lsn + 1).max(1);
        let extent = Extent { lsn: found.end.last_lsn, index: found.last.0, term: found.last.1, end: found.end };
        log.acked = extent;
        log.durable = extent;
        log.logged_mark = extent.lsn;
        log.logged_commit = found.commit;
        log.live = live_parts(&found);
        // A reset may have moved the first number beyond the last that was named.
        log.newest_begun = root.last_segment.max(root.first_segment.saturating_sub(1));
        log.next_sequence = log.newest_begun + 1;
        log.segment_bytes = self.limits.get(Limit::SegmentMinBytes);
        log.block_bytes = device.block_bytes;
        log.damaged = found.damaged.clone();
        log.maybe_acknowledged = found.maybe_acknowledged;
        log.unsynced = found.unsynced;
        log.kept_bytes = kept_bytes;
        log.released = root.first_segment;
        log.sweep_below = root.first_segment;
        log.loaded = true;
        log.sound = sound;
        log.root_durable = sound;
        log.fault = None;
        // Whoever asked for it says when the log is served.
        log.state = State::Recovering;
        Ok(())
    }
}

/// The chain as the view of the log: every part ends before the next newer one begins.
pub(super) fn live_parts(found: &Found) -> Vec<Live> {
    let mut parts: Vec<Live> = Vec::new();
    let mut upper = found.last.0;
    for link in found.chain.iter().rev() {
        let last = upper.min(link.last);
        if link.first <= last {
            parts.push(Live { segment: link.segment.clone(), first: link.first, last, end: link.end });
        }
        upper = upper.min(link.first.saturating_sub(1));
    }
    parts.reverse();
    parts
}
