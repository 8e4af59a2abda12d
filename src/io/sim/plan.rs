//! What goes wrong, and when: fault rules, matched against every operation.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The kinds of operation: one for each method of the storage traits, but that an exchange counts as a rename and the removal of a
/// directory as an unlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpKind {
    OpenDir,
    CreateDir,
    Create,
    Open,
    Rename,
    Link,
    Unlink,
    Mkdir,
    Subdir,
    List,
    SyncDir,
    Lock,
    Read,
    Write,
    Sync,
    Allocate,
    Len,
}

impl OpKind {
    pub const ALL: [OpKind; 17] = [
        OpKind::OpenDir,
        OpKind::CreateDir,
        OpKind::Create,
        OpKind::Open,
        OpKind::Rename,
        OpKind::Link,
        OpKind::Unlink,
        OpKind::Mkdir,
        OpKind::Subdir,
        OpKind::List,
        OpKind::SyncDir,
        OpKind::Lock,
        OpKind::Read,
        OpKind::Write,
        OpKind::Sync,
        OpKind::Allocate,
        OpKind::Len,
    ];

    pub fn name(self) -> &'static str {
        const NAMES: [&str; 17] = [
            "open_dir",
            "create_dir",
            "create",
            "open",
            "rename",
            "link",
            "unlink",
            "mkdir",
            "subdir",
            "list",
            "sync_dir",
            "lock",
            "read",
            "write",
            "sync",
            "allocate",
            "len",
        ];
        NAMES[self as usize]
    }

    /// True for operations that change the disk.
    pub fn is_change(self) -> bool {
        use OpKind::*;
        matches!(self, CreateDir | Create | Rename | Link | Unlink | Mkdir | SyncDir | Write | Sync | Allocate)
    }
}

/// What happens instead of, or around, an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Fails with this errno. A durable write may have reached the medium in part; a sync marks what it did not write clean; others did nothing.
    Errno(i32),
    /// Takes effect in full and then fails with this errno.
    ErrnoAfter(i32),
    /// Reads or writes transfer this many bytes at most (0 too); other kinds go through.
    Short(usize),
    /// Panics in the caller's thread.
    Panic,
    /// Blocks until `SimDisk::release`, then goes through late; EIO after a crash.
    Hang,
    /// Goes through after this time.
    Delay(Duration),
    /// Reports success and loses the write; a sync reports success and makes nothing durable.
    Lost,
    /// Reports success and writes this many bytes further on (or back) in the same file.
    Misplaced(i64),
    /// Reports success and writes into another file, given by its path, at this offset.
    Misdirected(String, u64),
}

/// A fault and the operations that it hits. Without conditions it hits every operation.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) fault: Fault,
    kinds: Vec<OpKind>,
    path: String,
    skip: u64,
    times: u64,
    from_op: u64,
    pub(super) fired: u64,
}

impl Rule {
    pub fn new(fault: Fault) -> Rule {
        Rule { fault, kinds: Vec::new(), path: String::new(), skip: 0, times: u64::MAX, from_op: 0, fired: 0 }
    }

    pub fn errno(errno: i32) -> Rule {
        Rule::new(Fault::Errno(errno))
    }

    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Only this kind; call again for more kinds.
    pub fn on(mut self, kind: OpKind) -> Rule {
        self.kinds.push(kind);
        self
    }

    /// Only operations that change the disk.
    pub fn on_changes(mut self) -> Rule {
        self.kinds.extend(OpKind::ALL.iter().filter(|k| k.is_change()));
        self
    }

    /// Only where the path of the file or directory contains this.
    pub fn path(mut self, part: &str) -> Rule {
        self.path = part.to_string();
        self
    }

    /// Lets this many matching operations through first.
    pub fn skip(mut self, count: u64) -> Rule {
        self.skip = count;
        self
    }

    /// Hits this many operations, then never again.
    pub fn times(mut self, count: u64) -> Rule {
        self.times = count;
        self
    }

    pub fn once(self) -> Rule {
        self.times(1)
    }

    /// Only from the operation with this number on (`SimDisk::ops` counts them).
    pub fn from_op(mut self, number: u64) -> Rule {
        self.from_op = number;
        self
    }

    pub(super) fn how_often(&self) -> &'static str {
        match self.times {
            1 => "once",
            u64::MAX => "for good",
            _ => "a few times",
        }
    }

    /// True if the rule hits this operation; counts it.
    pub(super) fn matches(&mut self, number: u64, kind: OpKind, path: &str) -> bool {
        let hit = number >= self.from_op
            && self.fired < self.times
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
            && path.contains(self.path.as_str());
        if !hit {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.fired += 1;
        true
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on ", self.fault)?;
        match self.kinds.as_slice() {
            [] => write!(f, "any operation")?,
            kinds if kinds.len() > 3 => write!(f, "any change")?,
            kinds => write!(f, "{kinds:?}")?,
        }
        write!(f, " of {}", if self.path.is_empty() { "anything" } else { &self.path })?;
        match (self.skip, self.times) {
            (0, u64::MAX) => write!(f, ", always"),
            (skip, u64::MAX) => write!(f, ", from the {}. on", skip + 1),
            (skip, 1) => write!(f, ", the {}.", skip + 1),
            (skip, times) => write!(f, ", the {}. to {}.", skip + 1, skip + times),
        }
    }
}

/// What went wrong so far, each once: what, and how or where. Of a random history it tells what was tried.
pub type Seen = BTreeSet<(&'static str, &'static str)>;

impl Fault {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Fault::Errno(errno) => errno_name(*errno),
            Fault::ErrnoAfter(_) => "error after the effect",
            Fault::Short(_) => "short transfer",
            Fault::Panic => "panic",
            Fault::Hang => "hang",
            Fault::Delay(_) => "delay",
            Fault::Lost => "lost write",
            Fault::Misplaced(_) => "misplaced write",
            Fault::Misdirected(..) => "misdirected write",
        }
    }

    /// True for what reports a success that is none.
    pub(super) fn is_lie(&self) -> bool {
        matches!(self, Fault::Lost | Fault::Misplaced(_) | Fault::Misdirected(..))
    }
}

fn errno_name(errno: i32) -> &'static str {
    match errno {
        libc::EIO => "EIO",
        libc::ENOSPC => "ENOSPC",
        libc::EDQUOT => "EDQUOT",
        libc::EROFS => "EROFS",
        libc::EINTR => "EINTR",
        libc::ENOMEM => "ENOMEM",
        libc::EMFILE => "EMFILE",
        _ => "another errno",
    }
}

/// One operation, for people who read what led to a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpRecord {
    pub number: u64,
    pub kind: OpKind,
    pub path: String,
    pub offset: u64,
    pub len: u64,
    /// What was injected, empty if nothing.
    pub injected: String,
}

/// A 64-bit mix of its arguments. Every choice of the simulation is such a hash of the seed and of what is chosen for, not the next number
/// of a shared stream: threads that run in another order then still get the same choices.
pub fn mix(parts: &[u64]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15u64;
    for part in parts {
        hash = (hash ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
    }
    hash
}

/// A hash of a name, to `mix` with.
pub fn hash_name(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x0100_0000_01b3))
}
