//! What a partition's log consists of in memory.

use crate::format::{BeginData, RecordHeader, SegmentSalt};
use crate::io::AlignedBuf;
use crate::segment::Segment;
use std::sync::Arc;
use std::time::Instant;

/// The part of a segment that counts: entries `first ..= last`, none if `first > last`.
#[derive(Clone)]
pub(super) struct Live {
    pub segment: Arc<Segment>,
    pub first: u64,
    pub last: u64,
    /// Where its records end in the file.
    pub end: u64,
}

/// The segment that appends go to.
pub(super) struct Tail {
    pub segment: Arc<Segment>,
    /// Where the next record goes.
    pub offset: u64,
    pub since: Instant,
    /// Healing made it, small: how soon it is full says nothing of the rate.
    pub healed: bool,
}

/// A batch whose outcome its caller fetches.
#[derive(Clone, Copy)]
pub(super) struct Submitted {
    pub token: u64,
    pub at: Instant,
}

/// Records that one flush makes durable.
pub(super) struct Group {
    pub segment: Arc<Segment>,
    pub offset: u64,
    pub buf: AlignedBuf,
    pub first: RecordHeader,
    /// After this group: last record, last entry.
    pub last_lsn: u64,
    pub last: (u64, u64),
    /// Entries in it; none if `entries.0 > entries.1`.
    pub entries: (u64, u64),
    pub end: BeginData,
    pub tokens: Vec<Submitted>,
    /// When its first entry was accepted.
    pub since: Option<Instant>,
}

impl Clone for Group {
    fn clone(&self) -> Group {
        let mut buf = AlignedBuf::new();
        buf.extend_from_slice(&self.buf);
        Group { segment: self.segment.clone(), buf, tokens: self.tokens.clone(), ..*self }
    }
}

impl AsRef<[u8]> for Group {
    fn as_ref(&self) -> &[u8] {
        &self.buf
    }
}

impl Group {
    /// Writes the first record's header again with what is durable by now.
    pub fn set_mark(&mut self, mark: u64) {
        self.first.mark = mark;
        let header = self.first.encode(&self.segment.salt, self.offset);
        if let Some(place) = self.buf.get_mut(..header.len()) {
            place.copy_from_slice(&header);
        }
    }
}

/// What to go back to if a suffix replacement is not made durable.
pub(super) struct Undo {
    pub lsn: u64,
    pub live: Vec<Live>,
}

/// How much of the log is acknowledged or durable.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    pub lsn: u64,
    pub index: u64,
    pub term: u64,
    /// The position behind the last record, as a begin record names it.
    pub end: BeginData,
}

/// A segment that mode none has filled and housekeeping is to sync.
pub(super) struct Sealed {
    pub segment: Arc<Segment>,
    pub extent: Extent,
}

/// A root write that somebody waits for: its version, and the faults counted when it was wished for.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub version: u64,
    pub faults: u64,
}

/// Making a segment ahead of time has failed. Nothing relies on it as long as the tail has room, so it is tried again later.
#[derive(Clone, Copy)]
pub(super) struct PutOff {
    pub tries: u32,
    pub until: Instant,
}

/// A change that the next root write makes.
#[derive(Clone, Copy, Default)]
pub(super) struct RootVersions {
    pub wanted: u64,
    pub done: u64,
}

/// Appends one record to a buffer that will lie at `base` in the file.
pub(super) fn encode_record(
    buf: &mut AlignedBuf,
    base: u64,
    salt: &SegmentSalt,
    header: &RecordHeader,
    data: &[u8],
) -> u64 {
    let offset = base + buf.len() as u64;
    buf.reserve(header.total_bytes() as usize);
    buf.extend_from_slice(&header.encode(salt, offset));
    buf.extend_from_slice(data);
    buf.resize((buf.len() + 7) & !7);
    offset
}
