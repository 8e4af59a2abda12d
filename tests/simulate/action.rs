//! What a step of a history can be.

use std::fmt;
use std::time::Duration;

use bulkhead::io::sim::{Crash, Rule};
use bulkhead::{LimitChange, LimitScope, Mode, State};

use crate::support::Payload;

/// Entries to append.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// How many of the last entries are replaced, as far as they are not committed.
    pub replaces: u64,
    pub term_up: bool,
    pub count: u64,
    pub len: usize,
    pub payload: Payload,
}

#[derive(Clone, Debug)]
pub enum Action {
    Append(Batch),
    Submit(Batch),
    /// `commit` in percent of the entries above the stored commit.
    HardState {
        term_up: u64,
        vote: u64,
        commit: u64,
    },
    /// In percent of the entries.
    Compact(u64),
    /// This far behind the last entry.
    Reset(u64),
    Sync,
    Read,
    Verify,
    /// Some of them are refused.
    Limits(LimitScope, Vec<LimitChange>),
    Reopen,
    Recover,
    Backup,
    /// Closes it, flips a bit perhaps, asks what a repair would do, and does it where there is damage.
    Repair(Option<u64>),
    /// This many pieces of the work that waits for threads.
    Work(u64),
    Time(Duration),
    Inject(Rule),
    /// As `Inject`, of a disk that lies: the partition's files are not trusted any more.
    Lie(Rule),
    FlipBit(u64),
    Unreadable(u64),
    Unwritable(u64),
    DropCaches,
    /// Leaves this many bytes free.
    Full(u64),
    SpaceBack,
    ClearFaults,
    /// All faults end, space is back, and time passes: what heals by itself has to be well again.
    Mend,
    /// The power goes this many operations later.
    PowerCutAt(u64),
    /// Ends the run; the next step finds what the crash left.
    Crash(Crash),
    /// Goes wrong at the next restart, while the partitions are opened.
    AtStart(Trouble),
    /// An operation hangs this long, and the next steps are taken meanwhile, this many of them.
    Hang(Duration, u64),
    /// Calls of the owner that are wrong.
    Wrong,
    /// Looked at from outside while it is open.
    Survey,
    /// Taken out of service, or given back.
    Fence(Option<State>),
    /// Closed, and opened in this mode.
    Mode(Mode),
    /// A snapshot in the place of a part of the log, in percent of the entries above the commit.
    Snapshot(u64),
    /// The engine is closed with all partitions in it, and another one is opened in the same process.
    Restart,
    Place(Place),
    /// Conversions from and to CubeFS's format, of a log that is closed.
    Convert(Vec<Conversion>),
}

#[derive(Clone, Debug)]
pub enum Trouble {
    Fault(Rule),
    /// The power goes at this operation.
    PowerCut(u64),
    /// This many bytes are free.
    Full(u64),
    /// All partitions are opened in this mode from then on.
    Mode(Mode),
}

/// What an owner, or somebody else, does with a directory.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Opened once more, by the same engine and by another.
    OpenTwice,
    /// Closed, renamed, opened under its new name.
    Move,
    /// Closed, removed, made anew under the same name.
    Anew,
    /// Closed and copied; both are opened.
    Copy,
    /// Closed and copied aside.
    Keep,
    /// Closed, removed, and the copy from aside takes its place.
    PutBack,
}

#[derive(Clone, Copy, Debug)]
pub enum Conversion {
    Inspect,
    Import,
    Undo,
    Export,
    Discard,
}

impl Action {
    /// For the count of what histories had.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Append(batch) | Action::Submit(batch) if batch.replaces > 0 => "append that replaces",
            Action::Append(_) => "append",
            Action::Submit(_) => "submit",
            Action::HardState { .. } => "hard state",
            Action::Compact(_) => "compact",
            Action::Reset(_) => "reset",
            Action::Sync => "sync",
            Action::Read => "read",
            Action::Verify => "verify",
            Action::Limits(..) => "limits",
            Action::Reopen => "reopen",
            Action::Recover => "recover",
            Action::Backup => "backup",
            Action::Repair(_) => "repair",
            Action::Work(_) | Action::Time(_) => "background work",
            Action::Inject(_) => "fault",
            Action::Lie(_) => "lie",
            Action::FlipBit(_) => "flipped bit",
            Action::Unreadable(_) => "unreadable sector",
            Action::Unwritable(_) => "unwritable sector",
            Action::DropCaches => "page cache dropped",
            Action::Full(_) => "full disk",
            Action::SpaceBack | Action::ClearFaults | Action::Mend => "end of faults",
            Action::PowerCutAt(_) => "power cut to come",
            Action::Crash(_) => "crash",
            Action::AtStart(_) => "trouble at a restart to come",
            Action::Hang(..) => "hang to come",
            Action::Wrong => "wrong calls",
            Action::Survey => "look from outside",
            Action::Fence(_) => "fence",
            Action::Mode(_) => "another mode",
            Action::Snapshot(_) => "snapshot inside",
            Action::Restart => "engine closed",
            Action::Place(_) => "directory",
            Action::Convert(_) => "conversion",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Step {
    /// Index of the partition it is about.
    pub part: usize,
    pub action: Action,
    /// Taken in the middle of the disk operation that is this many operations ahead, if the partition can be called then.
    pub during: Option<u64>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ahead) = self.during {
            write!(f, "in the middle of the {ahead}. operation from here: ")?;
        }
        match &self.action {
            Action::PowerCutAt(n) => write!(f, "the power will go at the {n}. operation from here"),
            Action::Crash(how) => write!(f, "crash: {how:?}"),
            Action::AtStart(Trouble::Fault(rule)) => write!(f, "at the next restart: {rule}"),
            Action::AtStart(trouble) => write!(f, "at the next restart: {trouble:?}"),
            Action::Hang(time, steps) => {
                write!(f, "the operation hangs for {time:?}; the next {steps} steps are taken meanwhile")
            }
            Action::Restart => write!(f, "the engine is closed, and another one opened"),
            Action::Inject(rule) => write!(f, "fault: {rule}"),
            Action::Lie(rule) => write!(f, "lie: {rule}"),
            Action::Full(free) => write!(f, "the disk fills up, {free} bytes are free"),
            Action::SpaceBack => write!(f, "space comes back"),
            Action::ClearFaults => write!(f, "the faults end"),
            Action::Mend => write!(f, "all faults end, and two minutes pass"),
            Action::DropCaches => write!(f, "the page cache drops what is clean"),
            Action::Time(time) => write!(f, "{time:?} pass"),
            Action::Work(n) => write!(f, "{n} pieces of background work"),
            action => write!(f, "/p{}: {action:?}", self.part + 1),
        }
    }
}
