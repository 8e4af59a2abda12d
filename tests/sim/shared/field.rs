//! Partitions of one disk that flush beside each other.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{Engine, EngineConfig, Event, Mode, Partition, State, Status};

pub const PARTITIONS: usize = 12;
/// As many as flush by themselves at a time.
const ALONE: usize = 3;
/// What housekeeping makes for flushes of the disk, beside the reserve's files, which are never synced.
pub const FLUSH_FILE: &str = "(unnamed)";
/// One that shares flushes while those before it hold the threads.
pub const SICK: usize = PARTITIONS - 1;
const ENTRY_BYTES: usize = 700;

pub fn path(at: usize) -> String {
    format!("/p{at:02}")
}

/// Writes of the segment that all begin with, and that no test fills.
pub fn writes_of(fault: Fault, at: usize) -> Rule {
    Rule::new(fault).on(OpKind::Write).path(&format!("{}/seg-0000000000000001", path(at)))
}

pub fn flush_of_the_disk(fault: Fault) -> Rule {
    Rule::new(fault).on(OpKind::Sync).path(FLUSH_FILE)
}

pub struct Field {
    pub disk: SimDisk,
    pub engine: Arc<Engine>,
    pub all: Vec<Arc<Partition>>,
    /// The last entry of each that was acknowledged, and the last that was offered.
    pub acked: Vec<u64>,
    pub offered: Vec<u64>,
    /// Outcomes that nobody has asked for.
    back: Vec<(usize, (Status, i32))>,
}

impl Field {
    /// Partitions that have shared a flush already: the disk has its file for that.
    pub fn new(config: EngineConfig) -> Field {
        let mut field = Field::on(SimDisk::new(5), config, &[Mode::Sync; PARTITIONS]);
        field.until_shared();
        field
    }

    pub fn until_shared(&mut self) {
        wait_for("a flush of the disk", Duration::from_secs(20), || {
            self.crowd(&[]);
            self.all_succeed();
            std::thread::sleep(Duration::from_millis(100));
            self.shared() > 0
        });
        wait_for_quiet(&self.disk);
        assert!(self.events().is_empty());
    }

    pub fn on(disk: SimDisk, config: EngineConfig, modes: &[Mode]) -> Field {
        // What holds the threads is slow, and no event of a test's.
        let slow_disk_ms = config.stall_limit_ms;
        let config = EngineConfig { segment_min_bytes: 1 << 20, segment_max_bytes: 1 << 20, slow_disk_ms, ..config };
        let engine = Arc::new(Engine::with_storage(config, Arc::new(disk.clone())).unwrap());
        let open = |(at, mode): (usize, &Mode)| open(&engine, &path(at), at as u64 + 1, *mode);
        let all: Vec<_> = modes.iter().enumerate().map(open).collect();
        let none = vec![0; modes.len()];
        Field { disk, engine, all, acked: none.clone(), offered: none, back: Vec::new() }
    }

    pub fn submit(&mut self, at: usize, bytes: usize) {
        self.offered[at] += 1;
        let index = self.offered[at];
        self.all[at].submit(&refs(&entries(index, index, 1, bytes)), at as u64).unwrap();
    }

    /// An entry for each: the first few hold the threads that flush for one partition alone until the others have been handed over, so that
    /// those share flushes. `rules` are in force for them.
    pub fn crowd(&mut self, rules: &[Rule]) {
        self.hold_the_threads();
        rules.iter().for_each(|rule| self.disk.inject(rule.clone()));
        (ALONE..self.all.len()).for_each(|at| self.submit(at, ENTRY_BYTES));
    }

    pub fn hold_the_threads(&mut self) {
        self.disk.clear_faults();
        // Those that come right after a flush of many would share the next.
        std::thread::sleep(Duration::from_millis(50));
        (0..ALONE).for_each(|at| self.disk.inject(writes_of(Fault::Hang, at).once()));
        (0..ALONE).for_each(|at| self.submit(at, ENTRY_BYTES));
        assert!(self.disk.wait_hung(ALONE as u64, Duration::from_secs(10)), "they flush by themselves");
        self.disk.clear_faults();
    }

    /// The outcomes of these, those left out that come within the time of none.
    pub fn outcomes(&mut self, of: Range<usize>, limit: Duration) -> BTreeMap<usize, (Status, i32)> {
        let end = Instant::now() + limit;
        let mut found = BTreeMap::new();
        loop {
            for completion in self.engine.completions(1000) {
                let at = completion.token as usize;
                self.acked[at] += u64::from(completion.status == Status::Ok);
                self.back.push((at, (completion.status, completion.errno)));
            }
            let (asked, back) = std::mem::take(&mut self.back).into_iter().partition(|(at, _)| of.contains(at));
            self.back = back;
            found.extend::<Vec<_>>(asked);
            if found.len() == of.len() || Instant::now() > end {
                return found;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Lets go of what holds the threads; everything that waits is acknowledged.
    pub fn all_succeed(&mut self) {
        self.sharers_succeed(ALONE..self.all.len());
        self.release();
    }

    pub fn sharers_succeed(&mut self, of: Range<usize>) {
        let found = self.outcomes(of.clone(), Duration::from_secs(20));
        assert_eq!(found.len(), of.len(), "somebody waits for ever: {found:?}");
        assert!(found.values().all(|o| *o == (Status::Ok, 0)), "{found:?}");
    }

    pub fn release(&mut self) {
        self.disk.clear_faults();
        self.disk.release();
        self.sharers_succeed(0..ALONE);
    }

    /// Groups that flushes of the disk have made durable.
    pub fn shared(&self) -> u64 {
        shared_flush_groups(&self.engine)
    }

    /// They are counted after they are acknowledged.
    pub fn assert_shares(&self, before: u64, what: &str) {
        wait_for(what, Duration::from_secs(10), || self.shared() > before);
    }

    /// Flushes of the disk so far.
    pub fn flushes(&self) -> usize {
        self.disk.log().iter().filter(|r| r.kind == OpKind::Sync && r.path.ends_with(FLUSH_FILE)).count()
    }

    pub fn events(&self) -> Vec<Event> {
        self.engine.events(1000)
    }

    pub fn index(&self, at: usize) -> u64 {
        self.offered[at]
    }

    /// Whatever a power cut leaves has all that was acknowledged, and what was not at the end if at all.
    pub fn assert_survives(&self, what: &str) {
        for crash in [Crash::PowerNothing, Crash::PowerRandom, Crash::PowerEverything] {
            assert_there(&self.disk.fork().crash(crash), &self.acked, &self.offered, &format!("{what}, {crash:?}"));
        }
    }
}

pub fn assert_there(disk: &SimDisk, acked: &[u64], offered: &[u64], what: &str) {
    let engine = engine(disk);
    for (at, (acked, offered)) in acked.iter().zip(offered).enumerate() {
        if *offered == 0 {
            continue;
        }
        let p = open(&engine, &path(at), at as u64 + 1, Mode::Sync);
        assert_eq!(state(&p), State::ReadWrite, "{what}, {at}: {:?}", p.last_fault());
        let found = read_all(&p).unwrap();
        let n = found.len() as u64;
        assert!(
            (*acked..=*offered).contains(&n),
            "{what}, {at}: {n} entries of {acked} acknowledged, {offered} offered"
        );
        assert_same(&found, &entries(1, n, 1, ENTRY_BYTES), &format!("{what}, {at}"));
    }
    engine.close().unwrap();
}
