//! What memory knows of a partition's log. Changed only under the partition's lock; no I/O here.

use super::damaged::DamagedEntries;
use super::ended::Ended;
use super::fence::Fence;
use super::idle_check::Check;
use super::parts::{Extent, Group, Live, PutOff, RootVersions, Sealed, Tail, Undo};
use super::terms::Indexing;
use super::trouble::Trouble;
use super::types::State;
use crate::error::Error;
use crate::format::{BeginData, LogEnd, RecordHeader, RecordType, Root};
use crate::io::AlignedBuf;
use crate::segment::{Recycled, Segment};
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) struct Log {
    pub state: State,
    /// While a probe is at work: the state that the owner knows, and that stays if the probe fails.
    pub probed: Option<State>,
    pub fault: Option<Error>,
    pub fence: Option<Fence>,
    /// Counts faults, so that a waiter or a late operation knows that its world has ended.
    pub fault_count: u64,
    pub ended: VecDeque<Ended>,
    /// False if open could not read the directory: nothing below is known then.
    pub loaded: bool,
    /// False if open found damage that keeps the log from being written: recovery reads the directory anew then.
    pub sound: bool,
    /// False if the root that was read may be in the page cache alone, or in one slot: the vote that it holds is not shown.
    pub root_durable: bool,
    /// A reset or recovery is changing the log as a whole: appends wait for its end.
    pub exclusive: bool,
    /// A close has begun: the root takes no changes but its own.
    pub closing: bool,

    pub compaction: (u64, u64),
    /// Last accepted entry (index, term); the compaction point if the log is empty.
    pub last: (u64, u64),
    /// Acknowledged in mode sync; what a fault rolls back to.
    pub acked: Extent,
    /// Known durable.
    pub durable: Extent,
    pub commit: u64,
    pub next_lsn: u64,
    /// Position behind the last accepted record.
    pub end: BeginData,
    /// What the last record written says, and the lsn of the last record that is not a mark: for the mark of an idle log.
    pub logged_mark: u64,
    pub logged_commit: u64,
    pub last_entry_lsn: u64,
    /// `last_entry_lsn` at the last tick, and at the one before if it was the same: nothing was appended for a tick's time.
    pub ticked_lsn: u64,
    pub idle_lsn: Option<u64>,
    /// `last_entry_lsn` at the tick before the last one, 0 if there was none.
    pub old_lsn: u64,

    /// Mode none: a caller writes behind the tail, without the lock. Nobody else appends, or changes the log as a whole, until it is done.
    pub writing: bool,
    /// Ascending, by index and by sequence.
    pub live: Vec<Live>,
    pub tail: Option<Tail>,
    pub undo: Vec<Undo>,
    pub groups: VecDeque<Group>,
    pub in_flight: Option<Arc<Group>>,
    /// Flushed groups kept for reading, oldest first, and their memory.
    pub cache: VecDeque<Arc<Group>>,
    pub cache_bytes: usize,
    /// Memory of a group that is not needed any more.
    pub spare_buffer: Option<AlignedBuf>,
    /// A flush failed and is being made good; appends wait.
    pub trouble: Option<Trouble>,
    /// Failed tries to come back since the fault, and whether the next is planned.
    pub probes: u32,
    pub probe_planned: bool,
    /// Files set aside because writing them failed, and how many in a row since one was made.
    pub bad_files: u64,
    pub bad_files_in_row: u32,
    /// A worker has this partition or will get it.
    pub scheduled: bool,
    pub check: Check,
    /// Mode interval: a flush comes when the interval is over.
    pub flush_planned: bool,

    /// As the newest root on disk says.
    pub stored: Root,
    /// As the next root write will say; the mark is what it vouches for besides `durable`.
    pub desired: Root,
    pub root: RootVersions,
    /// Where the log ended when it was opened, or at the last reset.
    pub opened_end: LogEnd,
    /// The mode of an earlier opening, while what that may have left in the page cache alone waits for space.
    pub found_mode: Option<u32>,
    /// Segments created and named, not begun.
    pub spares: VecDeque<Arc<Segment>>,
    /// Segments with a number and no file yet, in order.
    pub unbacked: VecDeque<Arc<Segment>>,
    pub next_sequence: u64,
    /// The highest number that a root write tried to name: a write that failed may have reached the disk, so it is not used again.
    pub tried_sequence: u64,
    /// The highest number that a begin record was written for.
    pub newest_begun: u64,
    pub put_off: Option<PutOff>,
    /// Bytes of the next segment.
    pub segment_bytes: u64,
    /// How many spares the rate asks for.
    pub spare_target: usize,
    pub sealed: Vec<Sealed>,
    /// Files that nothing needs any more: to be used again, and names to remove.
    pub recyclable: Vec<Recycled>,
    pub trash: Vec<String>,
    /// Segments below this were handed to `recyclable` or `trash`.
    pub released: u64,
    /// Segment files below this are leftovers of earlier openings, still to be removed; 0 once they were.
    pub sweep_below: u64,
    pub block_bytes: u32,
    /// A segment that is being read for a call which waits for a term.
    pub indexing: Option<Arc<Indexing>>,

    pub damaged: DamagedEntries,
    pub lost: (u64, u64),
    pub maybe_acknowledged: (u64, u64),
    pub unsynced: (u64, u64),
    pub kept_bytes: u64,
}

impl Log {
    pub fn new() -> Log {
        Log {
            state: State::Recovering,
            probed: None,
            fault: None,
            fence: None,
            fault_count: 0,
            ended: VecDeque::new(),
            loaded: false,
            sound: false,
            root_durable: false,
            exclusive: false,
            closing: false,
            released: 0,
            sweep_below: 0,
            compaction: (0, 0),
            last: (0, 0),
            acked: Extent::default(),
            durable: Extent::default(),
            commit: 0,
            next_lsn: 1,
            end: BeginData::default(),
            logged_mark: 0,
            logged_commit: 0,
            last_entry_lsn: 0,
            ticked_lsn: u64::MAX,
            idle_lsn: None,
            old_lsn: 0,
            writing: false,
            live: Vec::new(),
            tail: None,
            undo: Vec::new(),
            groups: VecDeque::new(),
            in_flight: None,
            cache: VecDeque::new(),
            cache_bytes: 0,
            spare_buffer: None,
            trouble: None,
            probes: 0,
            probe_planned: false,
            bad_files: 0,
            bad_files_in_row: 0,
            scheduled: false,
            check: Check::None,
            flush_planned: false,
            stored: Root::default(),
            desired: Root::default(),
            root: RootVersions::default(),
            opened_end: LogEnd::default(),
            found_mode: None,
            spares: VecDeque::new(),
            unbacked: VecDeque::new(),
            next_sequence: 1,
            tried_sequence: 0,
            newest_begun: 0,
            put_off: None,
            segment_bytes: 0,
            spare_target: 1,
            sealed: Vec::new(),
            recyclable: Vec::new(),
            trash: Vec::new(),
            block_bytes: 4096,
            indexing: None,
            damaged: DamagedEntries::default(),
            lost: (0, 0),
            maybe_acknowledged: (0, 0),
            unsynced: (0, 0),
            kept_bytes: 0,
        }
    }

    /// The state as the owner sees it.
    pub fn shown_state(&self) -> State {
        match self.state {
            State::Recovering => self.probed.unwrap_or(State::Recovering),
            state => state,
        }
    }

    /// The next record's header; takes an lsn.
    pub fn record(
        &mut self,
        record_type: RecordType,
        kind: u8,
        index: u64,
        term: u64,
        length: u32,
        data_crc: u32,
    ) -> RecordHeader {
        let lsn = self.next_lsn;
        self.next_lsn += 1;
        self.logged_mark = self.durable.lsn;
        self.logged_commit = self.commit;
        if record_type != RecordType::Mark {
            self.last_entry_lsn = lsn;
        }
        RecordHeader {
            record_type,
            kind,
            length,
            data_crc,
            lsn,
            index,
            term,
            mark: self.durable.lsn,
            commit: self.commit,
        }
    }

    /// About once a second. A log that two ticks find alike is idle; that costs an append no look at the clock.
    pub fn note_tick(&mut self) {
        let seen = std::mem::replace(&mut self.ticked_lsn, self.last_entry_lsn);
        self.idle_lsn = Some(seen).filter(|lsn| *lsn == self.last_entry_lsn);
        if seen != u64::MAX {
            self.old_lsn = seen;
        }
    }

    /// Forgets entries from `index` on. What is on disk stays until a later segment begins there.
    pub fn cut_live(&mut self, index: u64) {
        for live in &mut self.live {
            live.last = live.last.min(index.saturating_sub(1));
        }
        self.live.retain(|l| l.first <= l.last);
    }

    /// The live part that holds `index`.
    pub fn locate(&self, index: u64) -> Option<&Live> {
        let after = self.live.partition_point(|l| l.first <= index);
        after.checked_sub(1).and_then(|i| self.live.get(i)).filter(|l| index <= l.last)
    }

    /// What counts of this segment.
    pub fn part_of(&self, segment: &Arc<Segment>) -> Option<&Live> {
        self.live.iter().find(|l| Arc::ptr_eq(&l.segment, segment))
    }

    /// Extends the newest live part by one entry, starting a part for a segment that has none.
    pub fn push_entry(&mut self, segment: &Arc<Segment>, index: u64, term: u64, end: u64) {
        match self.live.last_mut() {
            Some(live) if Arc::ptr_eq(&live.segment, segment) => {
                live.last = index;
                live.end = end;
            }
            _ => self.live.push(Live { segment: segment.clone(), first: index, last: index, end }),
        }
        self.last = (index, term);
    }

    /// The group that further records of `tail` may join.
    pub fn open_group(&mut self) -> Option<&mut Group> {
        let tail = self.tail.as_ref()?;
        self.groups.back_mut().filter(|g| Arc::ptr_eq(&g.segment, &tail.segment))
    }

    /// Root writes that somebody waits for do not happen: the waiters hear `error`.
    pub fn void_wishes(&mut self, error: &Error) {
        if self.root.wanted > self.root.done {
            self.end_waits(error.clone());
            self.root.done = self.root.wanted;
        }
        self.forget_wishes();
    }

    /// The next root says what is stored, no change that failed; it is still this opening's.
    pub fn forget_wishes(&mut self) {
        // What failed may have begun a segment: it must not supersede what still counts, and what the next root vouches for.
        let last_segment = self.stored.last_segment.min(self.acked.end.segment);
        let epoch = self.desired.epoch;
        self.desired = Root { epoch, end: self.opened_end, clean: false, last_segment, mark: 0, ..self.stored };
    }

    /// Records of this segment wait for a flush, or are in one.
    pub fn is_flushing(&self, segment: &Arc<Segment>) -> bool {
        let flushing = |g: &Group| Arc::ptr_eq(&g.segment, segment);
        self.groups.iter().any(flushing) || self.in_flight.as_ref().is_some_and(|g| flushing(g))
    }

    /// A group that could not be flushed is first in line again.
    pub fn put_back(&mut self, group: Arc<Group>) {
        // A reader may hold it at this moment.
        self.groups.push_front(Arc::try_unwrap(group).unwrap_or_else(|group| (*group).clone()));
    }

    /// Accepted records and bytes that are not durable yet and wait in memory.
    pub fn pending_bytes(&self) -> usize {
        self.groups.iter().map(|g| g.buf.len()).sum::<usize>() + self.in_flight.as_ref().map_or(0, |g| g.buf.len())
    }

    /// The first entry that is accepted and not durable in the version that counts; `u64::MAX` if there is none.
    pub fn first_pending(&self) -> u64 {
        let pending = self.in_flight.iter().map(|g| &**g).chain(&self.groups);
        pending.filter(|g| g.entries.0 <= g.entries.1).map(|g| g.entries.0).min().unwrap_or(u64::MAX)
    }

    /// Somebody writes to the log, or is about to.
    pub fn busy(&self) -> bool {
        self.has_unflushed() || self.checked_segment().is_some()
    }

    /// The segment that a look under way writes to.
    pub fn checked_segment(&self) -> Option<u64> {
        match self.check {
            Check::UnderWay(sequence) => Some(sequence),
            _ => None,
        }
    }

    /// A worker, or in mode none a caller, writes to a segment, or is between two calls of that.
    pub fn is_being_written(&self) -> bool {
        self.in_flight.is_some() || self.writing || self.checked_segment().is_some()
    }

    /// Entries wait, or are on their way, that the log has accepted.
    pub fn has_pending_entries(&self) -> bool {
        self.first_pending() != u64::MAX
    }

    /// Records are accepted and not durable yet.
    pub fn has_unflushed(&self) -> bool {
        !self.groups.is_empty() || self.in_flight.is_some()
    }

    /// Hard state as the caller stored it last; none if a power cut may bring an older one back.
    pub fn hard_state(&self) -> Option<super::HardState> {
        let stored = super::HardState { term: self.stored.term, vote: self.stored.vote, commit: self.commit };
        self.root_durable.then_some(stored)
    }
}
