//! Verify: reads every live entry from the medium and checks it.

use super::parts::Live;
use super::types::{State, VerifyReport};
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::io::{Access, File};
use crate::segment::{read_around, Take};
use std::sync::atomic::Ordering;

impl Partition {
    /// Reads all entries past the page cache and checks them. Damage is reported, latches nothing, and shows in `status`.
    /// Appends go on meanwhile; entries that come later are not covered, nor what is replaced or compacted meanwhile, nor, in a faulted
    /// partition, those not known durable. A close ends it with `Closed`.
    pub fn verify(&self) -> Result<VerifyReport> {
        let (mut parts, compaction, faults) = {
            let mut log = self.log.lock();
            self.check_readable(&log, Op::Verify)?;
            self.wait_accepted(&mut log, Op::Verify);
            self.check_readable(&log, Op::Verify)?;
            let mut parts = log.live.clone();
            if log.state != State::ReadWrite || log.busy() {
                // What a fault has kept from the medium is not damage: recovery has it. Nor is what came since.
                let durable = log.durable.index;
                parts.iter_mut().for_each(|p| p.last = p.last.min(durable));
                parts.retain(|p| p.first <= p.last);
            }
            (parts, log.compaction.0, log.fault_count)
        };
        let mut report = VerifyReport::default();
        parts.retain(|p| p.last > compaction);
        for part in &parts {
            let name = part.segment.name();
            // Held no longer than that: a close lets go of the directory, and with it of its lock.
            let file = match self.dir(Op::Verify)?.open(&name, Access::ReadDirect) {
                Ok(file) => file,
                Err(_) if self.log.lock().part_of(&part.segment).is_none() => continue,
                Err(e) => return Err(self.io_error(Op::Verify, &e, "opening a segment", &name)),
            };
            report.segments += 1;
            let bad = read_part(&*file, part, part.first.max(compaction + 1), &mut |_, _, _, data| {
                report.entries += 1;
                report.bytes += data.len() as u64;
                true
            });
            bad.into_iter().for_each(|bad| self.note_bad(&mut report, part, bad, faults));
        }
        // A close meanwhile took what says which of the bad ones count.
        self.dir(Op::Verify)?;
        Ok(report)
    }

    fn note_bad(&self, report: &mut VerifyReport, part: &Live, bad: (u64, u64), faults: u64) {
        let mut log = self.log.lock();
        // Entries that were compacted or replaced while they were read are not bad: their file may have been used again.
        let Some(live) = log.part_of(&part.segment) else { return };
        // A fault that has come meanwhile may have kept them from the medium: recovery has them.
        let last = if log.fault_count == faults { live.last } else { live.last.min(log.durable.index) };
        let bad = (bad.0.max(live.first).max(log.compaction.0 + 1), bad.1.min(last));
        if bad.0 > bad.1 {
            return;
        }
        report.bad_records += bad.1 - bad.0 + 1;
        self.disk_counts.checks_failed.fetch_add(bad.1 - bad.0 + 1, Ordering::Relaxed);
        report.bad = (if report.bad.0 == 0 { bad.0 } else { report.bad.0 }, bad.1);
        log.damaged.add(bad.0, bad.1);
        self.tell(&log, Cause::Damage, &Error::new(Status::Damaged, Op::Verify, "").range(bad.0, bad.1));
    }
}

/// Hands the entries of one part of the log from `first` on to `take`, until it returns false. Returns what does not read back: first and last
/// of each range.
pub(super) fn read_part(file: &dyn File, part: &Live, first: u64, take: &mut Take<'_>) -> Vec<(u64, u64)> {
    let mut bad = Vec::new();
    let mut cursor = part.segment.cursor(file, part.end);
    cursor.read_on();
    let start = u64::from(part.segment.header.header_bytes);
    let from = part.segment.index.lock().place(first).map_or(start, |p| p.1);
    read_around(&mut cursor, from, first, part.last, take, &mut |range| {
        bad.push((range.first, range.last));
        true
    });
    bad
}
