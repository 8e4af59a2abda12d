//! What is found in a CubeFS log, and what it means.

use crate::HardState;

/// One thing that a log of CubeFS's shows and that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    /// Damage: the log is not imported. Without it: a note.
    pub damage: bool,
    /// The file, without the directory.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The entries concerned, first and last; `(0, 0)` for none.
    pub range: (u64, u64),
    /// The term of the last sound entry before.
    pub term: u64,
    /// What was found.
    pub message: String,
    /// What CubeFS's own WAL does with it.
    pub cubefs: &'static str,
}

/// The numbers are part of the C ABI and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FindingKind {
    /// A last write that never finished, or has rotted since: nothing valid is behind it.
    TornTail = 1,
    /// Bytes that are no record, with valid records behind them.
    BadRecord = 2,
    /// Entries that should be there are in no file.
    MissingEntries = 3,
    /// The sequence of the files has a gap.
    MissingFile = 4,
    /// An entry with an index or a term that cannot follow the one before it.
    OutOfOrder = 5,
    /// Index record or footer of a sealed file; its entries are found without them.
    BadIndex = 6,
    /// META says that more is committed than the log has.
    MetaAhead = 7,
    /// META's term is behind the log's.
    MetaBehind = 8,
    /// META is empty, zero or missing although the log has entries: term and vote are lost.
    VoteLost = 9,
    /// META has a size that no META has.
    BadMeta = 10,
    /// META's commit is behind its compaction point.
    CommitBehind = 11,
    /// The log does not continue the snapshot that META names.
    SnapshotConflict = 12,
    /// A file that CubeFS takes for one of the log's, and that is none.
    StrangeFile = 13,
    /// A number beyond what Bulkhead's format has room for, or an entry over the engine's `max_entry_bytes`.
    TooLarge = 14,
    /// The log ends below an index that the owner knows to have been in it.
    BelowKnown = 15,
}

/// A CubeFS log, read from its first to its last byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Log files and their bytes.
    pub files: u64,
    pub file_bytes: u64,
    /// Entries above the compaction point, with the bytes of their payloads.
    pub entries: u64,
    pub bytes: u64,
    /// The first one; compaction index + 1 if there is none.
    pub first_index: u64,
    pub first_term: u64,
    /// The last one, or the compaction point.
    pub last_index: u64,
    pub last_term: u64,
    /// As a partition that continues this log has them.
    pub hard_state: HardState,
    pub compaction_index: u64,
    pub compaction_term: u64,
    /// Bytes behind the last entry that are no record.
    pub torn_bytes: u64,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn damage(&self) -> Option<&Finding> {
        self.findings.iter().find(|f| f.damage)
    }
}

/// How far a long operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done_bytes: u64,
    pub total_bytes: u64,
}
