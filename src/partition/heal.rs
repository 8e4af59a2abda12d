//! Healing: what failed is abandoned, new segments take over, and they are read back from the medium before anything relies on them.
//! The failed file is never written or synced again.

use super::accept::extent;
use super::parts::Tail;
use super::rescue::Rescue;
use super::rewrite::Rewritten;
use super::Partition;
use crate::error::{Error, Op, Result, Status};

impl Partition {
    /// `faults` is the count at which it was decided to heal: after the next fault whoever heals that one may be quicker, and then entries
    /// are accepted that this rescue does not have.
    pub(super) fn heal(&self, use_reserve: bool, faults: u64) -> Result<()> {
        self.heal_since(faults, &self.rescue(), use_reserve)
    }

    pub(super) fn heal_with(&self, rescue: &Rescue, use_reserve: bool) -> Result<()> {
        let faults = self.log.lock().fault_count;
        self.heal_since(faults, rescue, use_reserve)
    }

    /// New segments with what has to be rescued take over from what failed. The disk's space reserve is for those that are Unavailable:
    /// one that waits for space would only use it up.
    fn heal_since(&self, faults: u64, rescue: &Rescue, use_reserve: bool) -> Result<()> {
        let Some(_one_at_a_time) = self.allocation.try_lock_until(self.lock_until(self.stall_deadline())) else {
            let message = "a segment is being made and has not come back from the kernel; try again when it has";
            return Err(Error::new(Status::Busy, Op::Recover, message).partition(self.id).at(&self.path));
        };
        let before = rescue.first.saturating_sub(1);
        let last = (before, self.term_to_continue(before)?);
        let mut made = self.rewrite(rescue, last, faults, use_reserve)?;
        // Named only now: a segment that a crash left half written must not supersede what it was to replace.
        let Some(newest) = made.pop() else { return Ok(()) };
        // All of it has just been read back: a root without that mark would take a new segment whose begin is lost for one never begun.
        self.name_segment(&newest.segment, newest.end.last_lsn)?;
        self.take_over(rescue, made, newest, faults)
    }

    /// 0 if it cannot be read. One that hangs does not keep a thread of the disk.
    fn term_to_continue(&self, before: u64) -> Result<u64> {
        let mut log = self.log.lock();
        match self.know_term(&mut log, before, Op::Recover, |_, _, _| Ok(())) {
            Err(error) if error.status == Status::Stalled => Err(error),
            _ => Ok(self.term_in_memory(&log, before).unwrap_or(0)),
        }
    }

    /// From here on the newest of the new segments is the tail, and everything accepted is durable. Unless a fault has come between.
    fn take_over(&self, rescue: &Rescue, sealed: Vec<Rewritten>, tail: Rewritten, faults: u64) -> Result<()> {
        let mut log = self.log.lock();
        if log.fault_count != faults || log.groups.len() != rescue.groups {
            tail.segment.abandon();
            return Err(self.fault_error(&log, Op::Recover));
        }
        let log = &mut *log;
        log.lost = (0, 0);
        log.found_mode = None;
        if log.trouble.take().is_some() {
            self.tell_end_of_trouble(log);
        }
        let tokens: Vec<_> = log.groups.drain(..).flat_map(|g| g.tokens).collect();
        log.undo.clear();
        log.sealed.clear();
        log.put_off = None;
        log.cut_live(rescue.first);
        for part in sealed.iter().chain([&tail]) {
            if let Some(live) = part.live() {
                log.live.push(live);
                log.last = part.last;
            }
        }
        log.end = tail.end;
        log.newest_begun = tail.segment.sequence();
        log.spares.retain(|s| s.sequence() > tail.segment.sequence());
        tail.segment.publish(tail.file);
        log.tail = Some(Tail { segment: tail.segment, offset: tail.offset, since: self.host.now(), healed: true });
        let extent = extent(log);
        log.acked = extent;
        log.durable = extent;
        self.changed.notify_all();
        self.complete(&tokens, None);
        Ok(())
    }
}
