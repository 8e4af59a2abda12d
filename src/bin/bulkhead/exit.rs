//! Exit codes. They are part of the command's interface; `bulkhead --help` lists them.

use bulkhead::cubefs::{Finding, FindingKind};
use bulkhead::{Error, Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Fine = 0,
    Damage = 1,
    System = 3,
    InUse = 4,
    Unfit = 5,
    Interrupted = 130,
}

impl Exit {
    pub fn of(error: &Error) -> Exit {
        match error.status {
            Status::Ok => Exit::Fine,
            Status::Damaged | Status::LostEntries => Exit::Damage,
            Status::Locked | Status::AlreadyOpen | Status::Busy => Exit::InUse,
            Status::NotFound
            | Status::NotADirectory
            | Status::Symlink
            | Status::AlreadyExists
            | Status::Foreign
            | Status::WrongPartition
            | Status::VersionTooNew
            | Status::NeedsImport
            | Status::OutOfOrder
            | Status::EntryTooLarge
            | Status::InvalidArgument => Exit::Unfit,
            _ => Exit::System,
        }
    }

    /// Of a CubeFS log: what there is no room for in Bulkhead's format is no damage.
    pub fn of_findings(findings: &[Finding]) -> Exit {
        let one = |f: &Finding| if f.kind == FindingKind::TooLarge { Exit::Unfit } else { Exit::Damage };
        findings.iter().filter(|f| f.damage).fold(Exit::Fine, |exit, f| exit.and(one(f)))
    }

    /// Of several: the one that most needs somebody to look.
    pub fn and(self, other: Exit) -> Exit {
        const ORDER: [Exit; 6] = [Exit::Fine, Exit::Unfit, Exit::InUse, Exit::Interrupted, Exit::Damage, Exit::System];
        let rank = |e: Exit| ORDER.iter().position(|x| *x == e);
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }
}
