//! Creates a segment's file: another one if writing it fails, one of the disk's reserve if there is no space.

use super::disk_counts::SegmentFrom;
use super::limits::Limit;
use super::log::Log;
use super::types::Mode;
use super::{Partition, Reserved};
use crate::error::{Cause, Error, Op, Result};
use crate::io::{Access, Dir, File};
use crate::segment::{remove_if_there, Recycled, Segment};
use std::sync::Arc;

/// Files tried for one segment: on a bad block the next file gets other blocks. Once that many have failed in a row it is more than a bad
/// block: each further try makes one file.
const FILES_MAX: u32 = 3;
/// Files with bad blocks that are kept until the next open, so that nothing else gets their blocks meanwhile.
const BAD_FILES_MAX: u64 = 8;
/// How their names begin.
pub(crate) const BAD_FILE_PREFIX: &str = "bad-";

impl Partition {
    /// Where writing a file fails, another is tried at once: nothing is at stake yet, and a new file lies on other blocks as long as the
    /// failed one keeps its own.
    pub(super) fn create_file(&self, segment: &Segment, recycled: Option<&Recycled>, op: Op) -> Result<Arc<dyn File>> {
        let dir = self.dir(op)?;
        let files = if self.log.lock().bad_files_in_row >= FILES_MAX { 1 } else { FILES_MAX };
        let mut attempt = 1;
        let mut first: Option<Error> = None;
        let mut told = false;
        loop {
            let error = match segment.create(&*dir, self.segment_access(), recycled.filter(|_| attempt == 1)) {
                Ok(file) => {
                    let reused = recycled.is_some() && attempt == 1;
                    self.disk_counts.note_segment(if reused { SegmentFrom::Recycled } else { SegmentFrom::NewFile });
                    let mut log = self.log.lock();
                    log.bad_files_in_row = 0;
                    if told {
                        self.tell_end_of_trouble(&log);
                    }
                    return Ok(file);
                }
                Err(e) => self.io_error(op, &e, "creating a segment", &segment.name()),
            };
            if error.cause() == Cause::NoSpace {
                // It would keep what others wait for: ext4's fallocate takes the space that there is, and fails.
                let _ = remove_if_there(&*dir, &segment.name());
            }
            if !self.tries_other_files(error.cause()) {
                return Err(first.unwrap_or(error));
            }
            if first.is_none() {
                told = self.tell_before_retry(&error);
            }
            // The last one, too: the next try is to get other blocks.
            self.set_bad_file_aside(&*dir, segment);
            let error = first.take().unwrap_or(error);
            if attempt >= files {
                return Err(error);
            }
            first = Some(error);
            attempt += 1;
        }
    }

    /// True if the owner has heard of an error of this kind when `create_file` gives up.
    pub(super) fn tries_other_files(&self, cause: Cause) -> bool {
        self.limits.get(Limit::HealLimitMs) != 0 && matches!(cause, Cause::IoError | Cause::Resource)
    }

    /// The segment in a file of the reserve, if there is one that has room for records of `need` bytes. It has that file's capacity.
    pub(super) fn create_from_reserve(&self, planned: &Segment, need: u64) -> Option<(Arc<Segment>, Arc<dyn File>)> {
        let header = &planned.header;
        let bytes = u64::from(header.header_bytes) + need.next_multiple_of(u64::from(header.block_bytes));
        let dir = self.dir(Op::Recover).ok()?;
        let reserved = dir.adopt(self.host.reserved(Reserved::Segment, bytes)?);
        let segment = Segment::new(planned.header, reserved.len().ok()?);
        segment.index.lock().mark_complete();
        let file = segment.create_in(&*dir, &*reserved, self.segment_access()).ok()?;
        self.disk_counts.note_segment(SegmentFrom::Reserve);
        Some((Arc::new(segment), file))
    }

    fn segment_access(&self) -> Access {
        if self.mode == Mode::None {
            Access::Buffered
        } else {
            Access::Durable
        }
    }

    /// How large a segment made by healing is, if what it has to hold needs no more. Neighbours wait for what a try writes, and it may be for
    /// nothing, so it begins small. Each file that fails takes twice the blocks of the one before out of use, so that the tries get past a
    /// larger bad place.
    pub(super) fn heal_bytes(&self, log: &Log) -> u64 {
        let least = self.limits.get(Limit::SegmentMinBytes) << log.bad_files_in_row.min(BAD_FILES_MAX as u32);
        least.min(log.segment_bytes)
    }

    fn set_bad_file_aside(&self, dir: &dyn Dir, segment: &Segment) {
        let number = {
            let mut log = self.log.lock();
            log.bad_files += 1;
            log.bad_files_in_row = log.bad_files_in_row.saturating_add(1);
            log.bad_files
        };
        if number <= BAD_FILES_MAX {
            // If it cannot be renamed the next attempt removes it.
            let _ = dir.rename(&segment.name(), &format!("{BAD_FILE_PREFIX}{:016x}-{number}", segment.sequence()));
        }
    }
}
