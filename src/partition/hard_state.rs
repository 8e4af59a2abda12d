//! Hard state: term and vote durable before the call returns, in every mode; a commit alone rides with the next write.

use super::parts::Wish;
use super::types::HardState;
use super::Partition;
use crate::error::{Error, Op, Result, Status};

impl Partition {
    /// Stores raft's hard state. A changed term or vote is durable when the call returns, in every mode. A changed commit alone is
    /// written with the next records. Works in ReadOnly, too.
    ///
    /// Errors: `TermRegression` for a term lower than the stored one or the last entry's; `CommitOutOfRange` for a commit beyond the
    /// last entry or below the stored one; `Closed` once a close has begun; otherwise the fault that latched the partition.
    pub fn set_hard_state(&self, state: HardState) -> Result<()> {
        let (version, commit) = {
            let mut log = self.log.lock();
            // It may replace what would be committed, and raise the term.
            self.wait_written(&mut log, Op::HardState)?;
            self.check_root_changeable(&log, Op::HardState)?;
            let refuse = |status, message: String| {
                Err(Error::new(status, Op::HardState, message).partition(self.id).at(&self.path))
            };
            let own = log.desired.term.max(log.last.1);
            if state.term < own {
                return refuse(
                    Status::TermRegression,
                    format!("term {} is lower than {own}, which is stored; terms never go back", state.term),
                );
            }
            if state.commit > log.last.0 {
                return refuse(
                    Status::CommitOutOfRange,
                    format!("commit {} is beyond the last entry {}", state.commit, log.last.0),
                );
            }
            if state.commit < log.commit {
                return refuse(
                    Status::CommitOutOfRange,
                    format!("commit {} is below the stored commit {}; it never goes back", state.commit, log.commit),
                );
            }
            let commit = std::mem::replace(&mut log.commit, state.commit);
            if state.term == log.desired.term && state.vote == log.desired.vote {
                if log.root.done >= log.root.wanted {
                    return Ok(());
                }
                (Wish { version: log.root.wanted, faults: log.fault_count }, commit)
            } else {
                let version = self.want_root(&mut log, |root| {
                    root.term = state.term;
                    root.vote = state.vote;
                });
                (version, commit)
            }
        };
        let stored = self.store_root(version, Op::HardState);
        if stored.is_err() {
            // Refused as a whole: the commit as well.
            let mut log = self.log.lock();
            log.commit = if log.commit == state.commit { commit } else { log.commit };
        }
        stored
    }

    /// The hard state as stored. Readable in every state in which the log is known, unless the open could not make sure of it: a vote
    /// that a power cut can take back is not shown, or its owner would answer for it.
    pub fn hard_state(&self) -> Result<HardState> {
        let log = self.log.lock();
        self.check_readable(&log, Op::HardState)?;
        log.hard_state().ok_or_else(|| self.fault_error(&log, Op::HardState))
    }
}
