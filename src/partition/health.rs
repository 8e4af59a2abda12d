//! Health: what latches a partition, what it answers then, what its owner hears.

use super::limits::Limit;
use super::log::Log;
use super::parts::Submitted;
use super::types::{Event, State};
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::io::WatchedDir;
use crate::sync::MutexGuard;
use std::io;
use std::sync::Arc;
use std::time::Instant;

impl Partition {
    /// The error of a failed system call on a file of this partition.
    pub(super) fn io_error(&self, op: Op, error: &io::Error, what: &str, name: &str) -> Error {
        Error::io(op, error, what).partition(self.id).at(&self.path.join(name))
    }

    /// Refuses an append or a change of the view with what latched the partition.
    pub(super) fn check_writable(&self, log: &Log, op: Op) -> Result<()> {
        match log.state {
            // Also if what held it for itself before has ended meanwhile: the end that the clean root says is taken.
            State::ReadWrite if log.closing => Err(self.closed_error(op)),
            State::ReadWrite if !log.exclusive => log.fence.as_ref().map_or(Ok(()), |fence| Err(fence.error.clone())),
            _ => Err(self.fault_error(log, op)),
        }
    }

    /// Votes and compaction also work without space: they overwrite blocks that are there.
    pub(super) fn check_root_writable(&self, log: &Log, op: Op) -> Result<()> {
        match log.state {
            State::ReadWrite | State::ReadOnly => Ok(()),
            _ => Err(self.fault_error(log, op)),
        }
    }

    /// Refuses a change of the root that somebody asks for, also once a close has begun.
    pub(super) fn check_root_changeable(&self, log: &Log, op: Op) -> Result<()> {
        self.check_root_writable(log, op)?;
        match log.closing {
            true => Err(self.closed_error(op)),
            false => Ok(()),
        }
    }

    /// Reads work in every state in which the log is known.
    pub(super) fn check_readable(&self, log: &Log, op: Op) -> Result<()> {
        if log.loaded && log.state != State::Closed {
            Ok(())
        } else {
            Err(self.fault_error(log, op))
        }
    }

    /// What a call gets from a partition that does not serve it: the first fault, the same one every time.
    pub(super) fn fault_error(&self, log: &Log, op: Op) -> Error {
        if log.state == State::Closed {
            return self.closed_error(op);
        }
        match &log.fault {
            Some(fault) => fault.clone(),
            None => Error::new(Status::Busy, op, "the partition is recovering; wait for its event or call again")
                .partition(self.id)
                .at(&self.path),
        }
    }

    fn closed_error(&self, op: Op) -> Error {
        Error::new(Status::Closed, op, "the partition is closed; open it again").partition(self.id).at(&self.path)
    }

    /// The first fault decides; a graver one (Unavailable after ReadOnly) replaces it.
    pub(super) fn latch(&self, log: &mut Log, mut error: Error, state: State) {
        if error.status != Status::Fenced {
            self.count_error(&error);
        }
        if matches!(log.state, State::Closed | State::Unavailable)
            || (log.state == State::ReadOnly && state == State::ReadOnly)
        {
            return;
        }
        let panicked = error.status == Status::Panic;
        if let (State::Recovering, Some(first), false) = (log.state, log.fault.clone(), panicked) {
            // A try to come back failed: the first fault stays, and the try itself says what the state is now. A panic ends it before that.
            log.end_waits(first);
            self.roll_back(log);
            return;
        }
        let advice = match error.cause() {
            Cause::NoSpace => "; free space: the partition then resumes by itself, or by recover",
            Cause::IoError | Cause::ReadOnlyFilesystem | Cause::Resource => {
                "; no writes until the partition has recovered, by itself or by call, or was opened again"
            }
            _ => "",
        };
        error.message.push_str(advice);
        let (op, errno, range, cause) = (error.op, error.errno, error.range, error.cause());
        self.disk_counts.note_fault(cause);
        log.end_waits(error.clone());
        log.fault = Some(error);
        self.roll_back(log);
        self.set_state(log, state, cause, op, errno, range);
        log.probes = 0;
        self.plan_probe(log);
    }

    /// A failed operation on the append path or on the root. No space is the milder case only where nothing was at stake yet.
    pub(super) fn latch_io(&self, log: &mut Log, error: Error, at_stake: bool) {
        let mild = error.cause() == Cause::NoSpace && !at_stake;
        self.latch(log, error, if mild { State::ReadOnly } else { State::Unavailable });
    }

    pub(super) fn latch_stalled(&self, log: &mut Log, op: Op) {
        // The disk has answered: it has no space, say, and longer than this is waited for some.
        if let Some(trouble) = log.trouble.take().filter(|_| self.calls.is_quiet()) {
            return self.latch_trouble(log, trouble);
        }
        let error = self.stalled_error(log, op);
        self.latch(log, error, State::Unavailable);
    }

    pub(super) fn stalled_error(&self, log: &Log, op: Op) -> Error {
        let message = format!(
            "the disk did not answer within {} ms; recover the partition when it answers again",
            self.limits.get(Limit::StallLimitMs)
        );
        Error::new(Status::Stalled, op, message)
            .partition(self.id)
            .at(&self.path)
            .range(log.acked.index + 1, log.last.0)
    }

    /// For the boundary after a panic inside a call on this partition: nothing that the call left half done is trusted.
    pub fn latch_panic(&self, op: Op) {
        self.latch_panicked(&mut self.log.lock(), op);
    }

    pub(super) fn latch_panicked(&self, log: &mut Log, op: Op) {
        let error = Error::new(
            Status::Panic,
            op,
            "a panic inside the library was caught; recover the partition and report the bug",
        );
        self.latch(log, error.partition(self.id).at(&self.path), State::Unavailable);
    }

    /// Mode sync: what was accepted and not acknowledged is gone, its callers hear so. Mode interval: it stays in memory for recovery.
    fn roll_back(&self, log: &mut Log) {
        if let Some(tail) = log.tail.take() {
            tail.segment.abandon();
        }
        for group in log.groups.iter().map(|g| &g.segment).chain(log.in_flight.iter().map(|g| &g.segment)) {
            group.abandon();
        }
        log.trouble = None;
        log.put_off = None;
        log.forget_wishes();
        // Versions are never used twice: whoever waits for one of these finds it in what the fault ended.
        log.root.done = log.root.wanted;
        if self.mode == super::Mode::None {
            // One of these may be what failed, or what the kernel has lost with it.
            log.sealed.iter().for_each(|s| s.segment.abandon());
            // A panic in the middle of an append: the suffix it was to replace is there again.
            if let Some(undo) = log.undo.drain(..).next() {
                log.live = undo.live;
                log.last =
                    if log.acked.index > log.compaction.0 { (log.acked.index, log.acked.term) } else { log.compaction };
                log.end = log.acked.end;
            }
        }
        if self.mode != super::Mode::Sync {
            return;
        }
        let mut tokens: Vec<Submitted> = log.in_flight.as_ref().map(|g| g.tokens.clone()).unwrap_or_default();
        tokens.extend(log.groups.drain(..).flat_map(|g| g.tokens));
        let durable = log.durable.lsn;
        let undo = log.undo.drain(..).find(|u| u.lsn > durable);
        if let Some(undo) = undo {
            log.live = undo.live;
            // What was to replace durable entries is gone: they count again.
            log.durable.index = log.acked.index;
        }
        let acked = log.acked;
        log.cut_live(acked.index + 1);
        log.last = if acked.index > log.compaction.0 { (acked.index, acked.term) } else { log.compaction };
        log.end = acked.end;
        // A commit of entries that are gone with it.
        log.commit = log.commit.min(log.last.0).max(log.stored.commit);
        self.complete(&tokens, log.fault.as_ref());
    }

    pub(super) fn set_state(&self, log: &mut Log, to: State, cause: Cause, op: Op, errno: i32, range: (u64, u64)) {
        let from = log.shown_state();
        log.probed = None;
        log.state = to;
        self.show_health(log);
        self.changed.notify_all();
        let mut event = self.event(from, to, cause, op, errno, range);
        if let Some(fault) = log.fault.as_ref().filter(|_| matches!(to, State::ReadOnly | State::Unavailable)) {
            event.note.clone_from(&fault.message);
        }
        self.host.emit(event, &self.tag);
    }

    /// An event that changes no state: something the operator should know.
    pub(super) fn tell(&self, log: &Log, cause: Cause, error: &Error) {
        let state = log.shown_state();
        let mut event = self.event(state, state, cause, error.op, error.errno, error.range);
        event.note.clone_from(&error.message);
        self.host.emit(event, &self.tag);
    }

    pub(super) fn event(&self, from: State, to: State, cause: Cause, op: Op, errno: i32, range: (u64, u64)) -> Event {
        Event {
            sequence: 0,
            partition_id: self.id,
            time_unix_ns: 0,
            from,
            to,
            cause,
            op,
            errno,
            merged: 0,
            range,
            tag: 0,
            path: self.path.clone(),
            note: String::new(),
            limits: Vec::new(),
        }
    }

    /// Waits for a change of the log; true if there was none before `deadline`. The log is free meanwhile.
    pub(super) fn wait(&self, log: &mut MutexGuard<'_, Log>, deadline: Instant) -> bool {
        if self.host.has_threads() {
            return self.changed.wait_until(log, deadline).timed_out();
        }
        !MutexGuard::unlocked(log, || self.host.step(deadline))
    }

    pub(super) fn stall_deadline(&self) -> Instant {
        self.host.now() + self.limits.time(Limit::StallLimitMs)
    }

    pub(super) fn complete(&self, tokens: &[Submitted], fault: Option<&Error>) {
        if tokens.is_empty() {
            return;
        }
        let (status, errno) = fault.map_or((Status::Ok, 0), |e| (e.status, e.errno));
        let tag = self.tag();
        let done: Vec<_> = tokens.iter().map(|t| super::Completion { token: t.token, status, errno, tag }).collect();
        if fault.is_none() {
            let (now, times) = (self.host.now(), self.disk_counts.append_times(self.mode));
            tokens.iter().for_each(|t| times.note_time(now.saturating_duration_since(t.at)));
        }
        self.host.complete(&done);
    }

    /// Gives the partition to a worker, unless one has it already.
    pub(super) fn schedule(&self, log: &mut Log) {
        if !log.scheduled {
            if let Some(me) = self.me.upgrade() {
                log.scheduled = true;
                self.host.flush_soon(me, self.may_share(log));
            }
        }
    }

    /// Mode interval: a worker gets the partition when the interval is over.
    pub(super) fn schedule_later(&self, log: &mut Log) {
        if log.pending_bytes() > super::FLUSH_EARLY_BYTES {
            return self.schedule(log);
        }
        if !log.scheduled && !log.flush_planned {
            if let Some(me) = self.me.upgrade() {
                log.flush_planned = true;
                self.host.flush_later(me, self.limits.time(Limit::IntervalMs));
            }
        }
    }

    /// The time that `flush_later` was told is over.
    pub fn timer(&self) {
        let mut log = self.log.lock();
        log.flush_planned = false;
        if log.busy() {
            self.schedule(&mut log);
        }
    }

    pub(super) fn maintain_soon(&self) {
        if let Some(me) = self.me.upgrade() {
            self.host.maintain_soon(me);
        }
    }

    pub(super) fn dir(&self, op: Op) -> Result<Arc<dyn crate::io::Dir>> {
        let Some(inner) = self.dir.lock().clone() else {
            let error = Error::new(Status::Closed, op, "the partition is closed; open it again");
            return Err(error.partition(self.id).at(&self.path));
        };
        // Reads on the caller's thread take as long as the disk does; a recovery must not.
        let reads = matches!(op, Op::Recover | Op::Open);
        Ok(Arc::new(WatchedDir::new(inner, self.calls.clone(), reads)))
    }
}
