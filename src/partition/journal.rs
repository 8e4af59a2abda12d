//! The disk's journal, as a partition uses it: with many busy partitions one write there makes the waiting groups of all of them durable. They
//! stay in memory, and go to their segments several at a time, with the next flush there.

use super::limits::Limit;
use super::log::Log;
use super::parts::{Group, Unsettled};
use super::types::{Completion, Mode, State};
use super::Partition;
use crate::error::{Error, Op, Status};
use crate::format::{Id, Root};
use crate::io::Dir;
use crate::journal::{name_of, Journal, Journaled, Piece, Ticket};
use crate::segment::remove_if_there;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A larger group goes to its segment: a write of its own is no waste.
const GROUP_MAX_BYTES: usize = 64 << 10;
/// What one partition leaves in the journal before it goes to its segment.
const UNSETTLED_MAX_BYTES: usize = 512 << 10;
const UNSETTLED_MAX: usize = 64;
/// Where the owner waits for less, a journal that hangs would not be given up in time.
const STALL_LEAST: Duration = Duration::from_secs(4);
const LOCK_PATIENCE: Duration = Duration::from_millis(10);

/// A group on its way to the journal.
#[derive(Clone)]
pub struct Journalled {
    partition: Arc<Partition>,
    journal: Arc<Journal>,
    group: Arc<Group>,
    incarnation: Id,
}

impl Journalled {
    pub(crate) fn piece(&self) -> Piece<'_> {
        let header = &self.group.segment.header;
        Piece {
            incarnation: self.incarnation,
            salt: header.salt,
            segment: header.sequence,
            offset: self.group.offset,
            data: self.group.records(),
        }
    }

    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// What became of it: durable in the journal as long as the ticket is kept, or to be flushed to its segment. Returns the completions that
    /// its partition's owner is to get.
    pub(crate) fn done(self, ticket: Option<&Ticket>, began: Instant) -> Vec<Completion> {
        let Journalled { partition, group, journal, .. } = self;
        partition.count_flush(&group, began, ticket.is_some());
        partition.journalled(group, journal, ticket)
    }
}

/// What a partition says of a journal without its lock.
pub(super) fn key_of(id: &Id) -> u64 {
    crate::format::get_u64(id, 0)
}

impl Partition {
    /// True if the root names this journal for this opening.
    pub(crate) fn uses(&self, journal: &Journal) -> bool {
        self.journal_key.load(Ordering::Relaxed) == key_of(journal.id())
    }

    /// The next housekeeping is to let the partition use the disk's journal. True if that is news.
    pub(crate) fn want_journal(&self) -> bool {
        let patient = self.limits.time(Limit::StallLimitMs) >= STALL_LEAST;
        self.mode == Mode::Sync && patient && !self.journal_wanted.swap(true, Ordering::Relaxed)
    }

    /// The oldest group, if it may go to this journal: nothing else of the partition waits for its worker.
    pub(crate) fn take_for(self: &Arc<Self>, journal: &Arc<Journal>) -> Option<Journalled> {
        let mut log = self.log.lock();
        let root_waits = log.root.wanted > log.root.done;
        let impatient = self.limits.time(Limit::StallLimitMs) < STALL_LEAST;
        let waits = impatient || log.state != State::ReadWrite || log.trouble.is_some() || root_waits || log.settle;
        let full = log.unsettled.len() >= UNSETTLED_MAX || log.unsettled_bytes >= UNSETTLED_MAX_BYTES;
        let other = !log.journal.as_ref().is_some_and(|own| Arc::ptr_eq(own, journal));
        if waits || full || other || !log.undo.is_empty() || log.in_flight.is_some() {
            return None;
        }
        let fits = |g: &Group| g.buf.len() <= GROUP_MAX_BYTES && g.segment.file().is_some();
        if !log.groups.front().is_some_and(fits) {
            return None;
        }
        let incarnation = log.stored.incarnation;
        let group = self.take_group(&mut log)?;
        log.in_lane = true;
        Some(Journalled { partition: self.clone(), journal: journal.clone(), group, incarnation })
    }

    fn journalled(&self, group: Arc<Group>, journal: Arc<Journal>, ticket: Option<&Ticket>) -> Vec<Completion> {
        let mut log = self.log.lock();
        let ours = log.in_flight.as_ref().is_some_and(|g| Arc::ptr_eq(g, &group));
        if ours {
            log.in_flight = None;
            log.in_lane = false;
        }
        let mut completions = Vec::new();
        match ticket {
            _ if !ours || log.state != State::ReadWrite => drop(self.changed.notify_all()),
            None => log.take_back(group),
            Some(ticket) => {
                let before = log.durable.end;
                self.became_durable(&mut log, &group);
                completions = self.completions(&group.tokens, None);
                log.unsettled_bytes += group.buf.len();
                log.unsettled.push_back(Unsettled { group, before, ticket: ticket.clone(), journal });
            }
        }
        let root_waits = log.root.wanted > log.root.done;
        if log.state == State::ReadWrite && log.busy() || root_waits {
            if let Some(me) = self.me.upgrade() {
                self.host.flush_soon(me);
                return completions;
            }
        }
        log.scheduled = false;
        completions
    }

    /// A panic while its group was on its way to the journal, or on its way back.
    pub(crate) fn journal_panicked(&self) {
        self.worker_panicked();
    }

    /// What a journal has of it from a turn before this one goes to its segments now.
    pub(crate) fn settle_before(&self, turn: u64) {
        // One whose lock is not to be had settles later; the journal does without its region until then.
        let Some(mut log) = self.log.try_lock_for(LOCK_PATIENCE) else { return };
        if log.unsettled.front().is_some_and(|u| u.ticket.turn() < turn) {
            self.settle_soon(&mut log);
        }
    }

    pub(super) fn settle_soon(&self, log: &mut Log) {
        if log.state == State::ReadWrite && !log.unsettled.is_empty() {
            log.settle = true;
            self.schedule(log);
        }
    }

    /// Housekeeping: lets the partition use the disk's journal. It gets a name for it in its own directory, and the root says so, before
    /// anything relies on it.
    pub(super) fn join_journal(&self) {
        if !self.journal_wanted.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(journal) = self.host.journal().filter(|j| !j.is_retired()) else { return };
        let before = {
            let mut log = self.log.lock();
            let serves = log.state == State::ReadWrite && !log.exclusive && !log.closing && log.tail.is_some();
            if log.journal_refused {
                // Nobody need ask again.
                self.journal_wanted.store(true, Ordering::Relaxed);
                return;
            }
            if !serves || log.journal.as_ref().is_some_and(|own| Arc::ptr_eq(own, &journal)) {
                return;
            }
            // From here on nothing goes to the one before it.
            self.journal_key.store(0, Ordering::Relaxed);
            log.journal = None;
            if log.in_lane || !log.unsettled.is_empty() {
                // The root names one journal: what the one before it has goes to its segments first. Asked again with the next flush.
                self.settle_soon(&mut log);
                return;
            }
            // An earlier opening may have left this very name behind.
            let name = name_of(journal.id());
            log.trash.retain(|n| *n != name);
            log.stored.journal
        };
        // As with a segment that is made: a close waits, and its clean root comes after this one.
        let Some(_alone) = self.allocation.try_lock_until(self.lock_until(self.stall_deadline())) else { return };
        let Ok(dir) = self.dir(Op::Allocate) else { return };
        if let Err(e) = journal.link_into(&*dir) {
            // Another device, too many links, no space: it does without. Once all its names are gone it can have none: another one is made.
            let mut log = self.log.lock();
            match e.kind() {
                io::ErrorKind::NotFound => journal.retire(),
                _ => log.journal_refused = true,
            }
            if log.stored.journal != *journal.id() {
                log.trash.push(name_of(journal.id()));
            }
            self.count_error(&self.io_error(Op::Allocate, &e, "naming the journal", &name_of(journal.id())));
            return;
        }
        let wish = {
            let mut log = self.log.lock();
            if log.state != State::ReadWrite || log.closing {
                log.trash.push(name_of(journal.id()));
                return;
            }
            self.want_root(&mut log, |root| root.journal = *journal.id())
        };
        if self.write_root(wish).is_err() {
            return;
        }
        let mut log = self.log.lock();
        if log.stored.journal != *journal.id() {
            return;
        }
        if before != Id::default() && before != *journal.id() {
            log.trash.push(name_of(&before));
        }
        self.journal_key.store(key_of(journal.id()), Ordering::Relaxed);
        log.journal = Some(journal);
    }

    /// A close: the root that is clean names no journal, and the file is freed with its last name.
    pub(super) fn leave_journal(&self, named: &Id) {
        if *named != Id::default() {
            if let Ok(dir) = self.dir(Op::Close) {
                // One that stays costs space until the next opening's housekeeping.
                let _ = remove_if_there(&*dir, &name_of(named));
            }
        }
    }
}

/// A partition is closed with entries that only a journal has: nobody writes that file any more.
pub(super) fn leave_unsettled(log: &mut Log) {
    log.unsettled.iter().for_each(|u| u.journal.retire());
    log.forget_unsettled();
    log.journal = None;
}

/// What the last opening's journal has for this directory, laid over its segments; and what is wrong with it. Neither after a clean close.
pub(super) fn lay_journal(dir: &Arc<dyn Dir>, root: &Root) -> (Option<Arc<Journaled>>, Option<Error>) {
    if root.clean || root.journal == Id::default() {
        return (None, None);
    }
    let name = name_of(&root.journal);
    match Journaled::open(dir.clone(), &root.journal, &root.incarnation) {
        Ok(laid) => {
            let fault = laid.unreadable().map(|e| Error::io(Op::Open, e, &format!("reading {name}")));
            (Some(Arc::new(laid)), fault)
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            let message =
                format!("{name}, the journal that the root names, is missing or damaged: entries may be in it alone");
            (None, Some(Error::new(Status::Damaged, Op::Open, message)))
        }
        Err(e) => (None, Some(Error::io(Op::Open, &e, &format!("opening {name}")))),
    }
}
