//! Drives partitions on a simulated disk, with a model of each beside it. Every method checks what it gets back.

use std::sync::Arc;

use bulkhead::io::sim::{Crash, SimDisk};
use bulkhead::{Cause, Engine, Entry, Error, HardState, Mode, Op, Partition, State, Status};

use super::judge::{After, Finding};
use super::model::Model;
use super::{append, engine, try_open};

pub struct Driven {
    pub path: String,
    pub id: u64,
    pub model: Model,
    pub handle: Option<Arc<Partition>>,
    /// The first error, once there was one: every later change must be refused with the same.
    pub fault: Option<Error>,
    /// The last close said that an operation still runs: the directory may stay locked for a moment.
    busy: bool,
    /// What happened since the log was last looked at whole: opens that failed leave it for the next one.
    since: After,
}

pub struct Driver {
    pub disk: SimDisk,
    pub engine: Engine,
    pub parts: Vec<Driven>,
    calls: std::cell::RefCell<Vec<String>>,
}

/// Statuses that say the disk or the process failed, not the caller.
pub fn is_fault(e: &Error) -> bool {
    use Status::*;
    matches!(
        e.status,
        NoSpace | IoError | ReadOnlyFilesystem | Stalled | Panic | ResourceExhausted | Damaged | LostEntries | Busy
    )
}

impl Driver {
    /// Partitions `/p1`, `/p2` and so on, one for each mode given, not open yet.
    pub fn new(disk: SimDisk, modes: &[Mode]) -> Driver {
        let part = |(i, mode): (usize, &Mode)| Driven {
            path: format!("/p{}", i + 1),
            id: i as u64 + 1,
            model: Model::new(*mode),
            handle: None,
            fault: None,
            busy: false,
            since: After::Recover,
        };
        Driver {
            engine: engine(&disk),
            disk,
            parts: modes.iter().enumerate().map(part).collect(),
            calls: Default::default(),
        }
    }

    fn note(&self, n: usize, call: &str) {
        let op = self.disk.ops() + 1;
        self.calls.borrow_mut().push(format!("{op:6} {} {call}\n", self.parts[n].path));
    }

    /// The last calls and what they did on the disk, for the message of a failure.
    pub fn story(&self) -> String {
        let calls = self.calls.borrow();
        let tail: String = calls[calls.len().saturating_sub(super::story_lines())..].concat();
        format!(
            "calls, with the number of their first operation:\n{tail}operations:\n{}",
            super::tail_of_log(&self.disk)
        )
    }

    /// Opens a partition; `Ok(false)` if a fault kept it from opening or it opened as not ReadWrite.
    pub fn open(&mut self, n: usize, after: After) -> Result<bool, String> {
        self.note(n, &format!("open after {after:?}"));
        let part = &mut self.parts[n];
        // A failed flush has told the owner that what was not durable may be gone.
        let after = if part.model.may_report_loss && after == After::Process { After::Power } else { after };
        part.since = part.since.max(after);
        let mut opened = try_open(&self.engine, &part.path, part.id, part.model.mode);
        for _ in 0..2_000 {
            if !part.busy || !opened.as_ref().is_err_and(|e| e.status == Status::Locked) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
            opened = try_open(&self.engine, &part.path, part.id, part.model.mode);
        }
        part.busy &= opened.is_err();
        match opened {
            Err(e) if is_fault(&e) => Ok(false),
            Err(e) => Err(format!("{} cannot be opened: {e}", part.path)),
            Ok(handle) => {
                part.handle = Some(handle.clone());
                part.fault = None;
                let status = handle.status();
                let no_space = status.cause == Cause::NoSpace;
                if status.state != State::ReadWrite && (no_space || disk_failed(&self.disk)) {
                    part.fault = handle.last_fault();
                    self.judge_read_only(n)?;
                    return Ok(false);
                }
                self.judge(n)
            }
        }
    }

    /// Judges an open partition. False if it is lost, as it reported: it is then removed, to start anew.
    fn judge(&mut self, n: usize) -> Result<bool, String> {
        self.judge_by(n, Model::judge)
    }

    /// What a partition shows that waits for space its owner relies on: it can be read, vote and compact.
    fn judge_read_only(&mut self, n: usize) -> Result<(), String> {
        let part = &mut self.parts[n];
        let Some(handle) = part.handle.clone().filter(|h| h.status().state == State::ReadOnly) else { return Ok(()) };
        if part.model.mode == Mode::Sync && part.since != After::Recover {
            self.judge_by(n, Model::judge_shown)?;
        } else if let Ok(hard) = handle.hard_state() {
            // Of its entries nobody knows yet which are durable, and what failed may come back.
            part.model.hard_state_found(hard).map_err(|e| format!("{}: {e}", part.path))?;
        }
        Ok(())
    }

    fn judge_by(
        &mut self,
        n: usize,
        judge: fn(&mut Model, &Partition, After) -> Result<Finding, String>,
    ) -> Result<bool, String> {
        let part = &mut self.parts[n];
        let Some(handle) = part.handle.clone() else { return Ok(false) };
        if self.disk.is_dead() {
            return Ok(false);
        }
        self.disk.pause_faults(true);
        let judged = judge(&mut part.model, &handle, part.since);
        self.disk.pause_faults(false);
        match judged.map_err(|e| format!("{} in mode {:?}: {e}", part.path, part.model.mode))? {
            Finding::Good => {
                part.since = After::Recover;
                Ok(true)
            }
            Finding::ReportedLoss => {
                part.handle = None;
                let _ = handle.close();
                self.disk.remove(&part.path);
                part.model = Model::new(part.model.mode);
                part.since = After::Recover;
                Ok(false)
            }
        }
    }

    /// Notes how a change came out. The first fault latches; later ones must repeat it.
    fn outcome(&mut self, n: usize, result: &Result<(), Error>) -> Result<bool, String> {
        if let Err(e) = result {
            self.calls.borrow_mut().push(format!("         -> {:?} {}\n", e.status, e.errno));
        }
        let part = &mut self.parts[n];
        let works = part.handle.as_ref().is_some_and(|h| h.status().state != State::Unavailable);
        match (result, &part.fault) {
            (Ok(()), None) => Ok(true),
            // A change reads the term before it; a read that fails fails alone.
            (Err(e), _) if e.op == Op::Read && works => Ok(false),
            // Space came back, or was not needed: the one fault that ends by itself.
            (Ok(()), Some(first)) if first.status == Status::NoSpace => {
                part.fault = None;
                Ok(true)
            }
            (Err(e), Some(first)) if first.status == Status::NoSpace && is_fault(e) => {
                part.fault = Some(e.clone());
                Ok(false)
            }
            (Ok(()), Some(first)) => Err(format!("{} accepted a change after {first}", part.path)),
            (Err(e), None) if is_fault(e) => {
                part.model.may_report_loss |= part.model.mode != Mode::Sync;
                part.fault = Some(e.clone());
                Ok(false)
            }
            (Err(e), None) => Err(format!("{} refused what is allowed: {e}", part.path)),
            (Err(e), Some(first)) if e.status == first.status && e.errno == first.errno => Ok(false),
            // Healing got as far as the disk has space: a milder state, with a cause of its own.
            (Err(e), Some(_)) if e.status == Status::NoSpace && was_healed_to_read_only(&part.handle) => {
                part.fault = Some(e.clone());
                Ok(false)
            }
            (Err(e), Some(first)) => Err(format!("{} answers {e}, the first error was {first}", part.path)),
        }
    }

    /// True if a change cannot reach the disk any more. Without space (ReadOnly) it may be tried again.
    fn is_latched(&self, n: usize) -> bool {
        self.parts[n].fault.is_some() && self.handle(n).status().state == State::Unavailable
    }

    fn handle(&self, n: usize) -> Arc<Partition> {
        self.parts[n].handle.clone().unwrap_or_else(|| panic!("{} is not open", self.parts[n].path))
    }

    pub fn append(&mut self, n: usize, entries: &[Entry]) -> Result<bool, String> {
        let ends = (entries[0].index, entries[entries.len() - 1].index, entries[0].term);
        self.note(n, &format!("append {ends:?} = first, last, term"));
        let latched = self.is_latched(n);
        let result = append(&self.handle(n), entries);
        let done = self.outcome(n, &result)?;
        if !latched || done {
            self.parts[n].model.appended(entries, done);
        }
        Ok(done)
    }

    pub fn set_hard_state(&mut self, n: usize, hard: HardState) -> Result<bool, String> {
        self.note(n, &format!("set {hard:?}"));
        let latched = self.is_latched(n);
        let result = self.handle(n).set_hard_state(hard);
        let done = self.outcome(n, &result)?;
        if !latched || done {
            self.parts[n].model.hard_state_set(hard, done);
        }
        Ok(done)
    }

    pub fn compact(&mut self, n: usize, index: u64) -> Result<bool, String> {
        if self.parts[n].since != After::Recover {
            return Ok(false); // an open that failed has not been judged yet: the model may have another entry there
        }
        self.note(n, &format!("compact {index}"));
        let latched = self.is_latched(n);
        let result = self.handle(n).compact(index);
        let done = self.outcome(n, &result)?;
        if !latched || done {
            self.parts[n].model.compacted(index, done);
        }
        Ok(done)
    }

    pub fn reset(&mut self, n: usize, index: u64, term: u64) -> Result<bool, String> {
        self.note(n, &format!("reset {index} {term}"));
        let latched = self.is_latched(n);
        let result = self.handle(n).reset(index, term);
        let done = self.outcome(n, &result)?;
        if !latched || done {
            self.parts[n].model.was_reset(index, term, done);
        }
        Ok(done)
    }

    pub fn sync(&mut self, n: usize) -> Result<bool, String> {
        self.note(n, "sync");
        let result = self.handle(n).sync();
        let done = self.outcome(n, &result)?;
        if done {
            self.parts[n].model.synced();
        }
        Ok(done)
    }

    pub fn check(&self, n: usize) -> Result<(), String> {
        let part = &self.parts[n];
        if part.since != After::Recover {
            return Ok(()); // an open that failed has not been judged yet
        }
        let before = self.disk.faults_fired();
        match part.model.check_running(&self.handle(n)) {
            Err(_) if self.disk.is_dead() || self.disk.faults_fired() > before => Ok(()),
            other => other.map_err(|e| format!("{} in mode {:?}: {e}", part.path, part.model.mode)),
        }
    }

    /// Recovers a faulted partition on a disk that works again.
    pub fn recover(&mut self, n: usize) -> Result<bool, String> {
        self.note(n, "recover");
        let handle = self.handle(n);
        let result = handle.recover();
        if result.is_err_and(|e| disk_failed(&self.disk) || e.status == Status::NoSpace) {
            // What stands in the way now is what the owner hears from here on.
            self.parts[n].fault = handle.last_fault();
            self.judge_read_only(n)?;
            return Ok(false);
        }
        self.parts[n].fault = None;
        self.judge(n)
    }

    /// Closes a partition; returns what the next open may find.
    pub fn close(&mut self, n: usize) -> After {
        self.note(n, "close");
        let part = &mut self.parts[n];
        let Some(handle) = part.handle.take() else { return After::Process };
        // Without space what was acknowledged in mode interval may never have been flushed.
        let whole = handle.status().state == State::ReadWrite;
        let closed = handle.close();
        part.busy = closed.as_ref().is_err_and(|e| e.status == Status::Busy);
        part.model.may_report_loss |= closed.is_err() && part.model.mode != Mode::Sync;
        let clean = whole && closed.is_ok() && part.fault.is_none();
        part.fault = None;
        if clean {
            After::Close
        } else {
            After::Process
        }
    }

    /// Ends the run as `how` says and starts the next one on what is left.
    pub fn crash(&mut self, how: Crash) -> After {
        self.note(0, &format!("(all) crash {how:?}"));
        let next = self.disk.crash(how);
        for part in &mut self.parts {
            part.handle = None;
            part.fault = None;
        }
        let fresh = engine(&next);
        let _ = std::mem::replace(&mut self.engine, fresh).close();
        self.disk = next;
        if how == Crash::Process {
            After::Process
        } else {
            After::Power
        }
    }
}

fn was_healed_to_read_only(handle: &Option<Arc<Partition>>) -> bool {
    handle.as_ref().is_some_and(|h| h.status().state == State::ReadOnly)
}

fn disk_failed(disk: &SimDisk) -> bool {
    disk.is_dead() || disk.faults_fired() > 0
}
