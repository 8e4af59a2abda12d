//! Repair of a directory that an open refuses or opens as damaged. Nothing of the log is written anew: a repair is a new root over the segments
//! that are there, put in place by one rename, so that whatever stops it leaves the old directory or the repaired one. What no longer counts is
//! in `kept/` before.
//!
//! | file | content |
//! |---|---|
//! | base | the root to begin from: the one that is there, or one made of what is left |
//! | newest | where that log ends, told by the segments alone |
//! | pieces | which entries can be read, in pieces without a hole |
//! | ways | what can be made of them, and what each costs |
//! | apply | does one of them |

mod apply;
mod base;
mod newest;
mod pieces;
mod ways;

use super::load::live_parts;
use super::open::path_error;
use super::recovery::{Found, Recovery};
use super::verify::read_part;
use crate::error::{Error, Op, Result, Status};
use crate::format::Root;
use crate::io::{Access, Dir, Storage};
use base::Base;
use pieces::Pieces;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// What the owner of a damaged partition knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairFacts {
    /// Its state machine holds, durably, what entries up to here did. 0: not known.
    pub applied: u64,
    /// The highest term that any member of the group has seen; asked for where the root is lost. 0: not known.
    pub term: u64,
}

/// What can be made of a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairWay {
    /// All entries stay; only the root is made anew.
    Keep,
    /// The entries before the damage stay.
    Cut,
    /// The entries behind the damage stay; the compaction point moves to it.
    Compact,
}

/// Entries that a repair takes out of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairLoss {
    pub first: u64,
    /// `u64::MAX` if nobody knows how many there were.
    pub last: u64,
    /// The terms of the first and the last of them; `(0, 0)` if they cannot be read.
    pub terms: (u64, u64),
    /// They can be read; `kept/` has them.
    pub readable: bool,
    /// Known to have been acknowledged or committed. If not they may have been.
    pub acknowledged: bool,
}

/// One way, and what it comes to.
#[derive(Clone, Debug)]
pub struct RepairOffer {
    pub way: RepairWay,
    /// The log as it will be; empty if first > last.
    pub first_index: u64,
    pub last_index: u64,
    pub last_term: u64,
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
    pub losses: Vec<RepairLoss>,
    /// Why `apply` would refuse it with the facts that were given.
    pub refusal: Option<String>,
    root: Root,
}

/// A damaged directory, locked, and what can be made of it. Nothing is changed before `apply`.
pub struct Repair {
    dir: Arc<dyn Dir>,
    path: PathBuf,
    base: Base,
    pieces: Pieces,
    damage: Vec<Error>,
    offers: Vec<RepairOffer>,
    /// An offer was begun to be made true.
    begun: AtomicBool,
}

impl Repair {
    /// Locks the directory and reads all of it.
    ///
    /// Errors: `Locked` (a process has it open), `NotFound` (no directory, or no log in it), `NotADirectory`, `Symlink`, `PermissionDenied`,
    /// `Foreign`, `NeedsImport`, `VersionTooNew`, `Damaged` (nothing is left that tells whose log it is), `IoError`.
    pub fn plan(storage: &dyn Storage, path: &Path, facts: RepairFacts) -> Result<Repair> {
        let at = |e: Error| if e.path.as_os_str().is_empty() { e.at(path) } else { e };
        let dir = storage.open_dir(path).map_err(|e| path_error(path, &e).with_op(Op::Recover))?;
        dir.lock().map_err(|e| match e.raw_os_error() {
            Some(libc::EWOULDBLOCK) => {
                let message = "another process or engine has this directory open; close it there first";
                Error::new(Status::Locked, Op::Recover, message).at(path)
            }
            _ => Error::io(Op::Recover, &e, "locking the directory").at(path),
        })?;
        let mut base = Base::of(&*dir).map_err(at)?;
        let mut found =
            Recovery { dir: &*dir, root: &base.root, access: Access::ReadDirect, begins: Access::Read, known_index: 0 }
                .run();
        if let (Some(_), (first @ 1.., last)) = (&base.lost, found.maybe_acknowledged) {
            // Whether that was a last flush, or whether the log had been closed behind it, only the root knew.
            let message = format!(
                "records behind entry {} are damaged, and without the root nobody knows whether they counted",
                first - 1
            );
            found.fault.get_or_insert(Error::new(Status::Damaged, Op::Recover, message).range(first, last));
            found.chain.clear();
        }
        let in_doubt = base.doubt(&mut found);
        if let Some(fault) = found.fault.iter().find(|f| f.status == Status::VersionTooNew) {
            return Err(at(fault.clone().with_op(Op::Recover)));
        }
        let mut pieces = Pieces::read(&*dir, &base.root, &found, &base.newest.stale);
        pieces.open_end |= in_doubt;
        let base = base.with_compaction_of(&pieces);
        let damage = damage(&base, &found, &pieces);
        let begun = AtomicBool::new(false);
        let mut repair = Repair { dir, path: path.to_path_buf(), base, pieces, damage, offers: Vec::new(), begun };
        if !repair.damage.is_empty() {
            repair.offers = ways::offers(&*repair.dir, &repair.base, &repair.pieces, facts);
        }
        Ok(repair)
    }

    pub fn partition_id(&self) -> u64 {
        self.base.root.partition_id
    }

    /// What is wrong; nothing if the log is sound.
    pub fn damage(&self) -> &[Error] {
        &self.damage
    }

    /// What can be made of it, the one that keeps most first.
    pub fn offers(&self) -> &[RepairOffer] {
        &self.offers
    }
}

fn damage(base: &Base, found: &Found, pieces: &Pieces) -> Vec<Error> {
    let mut damage: Vec<Error> = base.lost.iter().cloned().collect();
    damage.extend(found.fault.clone().map(|fault| fault.with_op(Op::Recover)));
    let missing = pieces.missing(base.root.compaction_index);
    // A block that cannot be read is no damage where nobody needs it.
    damage.extend(pieces.unreadable.clone().filter(|_| !missing.is_empty() || found.fault.is_some()));
    damage.extend(missing.into_iter().map(|(first, last)| {
        let message = match last {
            u64::MAX => format!("entries from {first} on are gone, nobody knows how many"),
            last if last == first => format!("entry {first} does not read back"),
            _ => format!("entries {first} to {last} do not read back"),
        };
        Error::new(Status::Damaged, Op::Recover, message).range(first, last)
    }));
    damage
}

/// What an open would find under a root, or why it would not serve it: every entry is read.
fn check(dir: &dyn Dir, root: &Root) -> Result<Found> {
    let mut found = Recovery { dir, root, access: Access::ReadDirect, begins: Access::Read, known_index: 0 }.run();
    if let Some(fault) = found.fault.take() {
        return Err(fault);
    }
    for part in live_parts(&found) {
        let name = part.segment.name();
        let opened = dir.open(&name, Access::ReadDirect);
        let file = opened.map_err(|e| Error::io(Op::Recover, &e, &format!("opening segment {name}")))?;
        let first = part.first.max(root.compaction_index + 1);
        if let Some((a, b)) = read_part(&*file, &part, first, &mut |_, _, _, _| true).first() {
            let message = format!("{name}: entries {a} to {b} do not read back");
            return Err(Error::new(Status::Damaged, Op::Recover, message).range(*a, *b));
        }
    }
    Ok(found)
}
