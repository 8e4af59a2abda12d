//! A partition on a simulated disk, threads that use it, and what they were told.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulkhead::io::sim::{Crash, SimDisk};
use bulkhead::{Engine, EngineConfig, EntryRef, Error, HardState, Mode, Partition, PartitionConfig, Status};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Mutex;
use shuttle::thread::{self, JoinHandle};

/// Plays a scenario through many schedules: `BULKHEAD_SCHEDULES`, half of them at random, half with few switches at the worst
/// places. `BULKHEAD_SEED` chooses them; a failure prints it.
pub fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
    };
    let schedules = number("BULKHEAD_SCHEDULES").unwrap_or(200) as usize;
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let seed = number("BULKHEAD_SEED").unwrap_or(clock % 1_000_000_000);
    // Shown only if the test fails.
    println!("to play these schedules again: BULKHEAD_SEED={seed} BULKHEAD_SCHEDULES={schedules}");
    let mut config = shuttle::Config::new();
    config.stack_size = 512 << 10;
    config.max_steps = shuttle::MaxSteps::FailAfter(500_000);
    config.silence_warnings = true;
    let scenario = Arc::new(scenario);
    let again = Arc::clone(&scenario);
    shuttle::Runner::new(RandomScheduler::new_from_seed(seed, schedules.div_ceil(2)), config.clone())
        .run(move || scenario());
    shuttle::Runner::new(PctScheduler::new_from_seed(seed, 3, schedules / 2), config).run(move || again());
}

pub struct Scenario {
    pub disk: SimDisk,
    pub engine: Engine,
    pub partition: Arc<Partition>,
    mode: Mode,
    told: Mutex<Told>,
}

/// What the callers know.
#[derive(Default)]
struct Told {
    /// The last index that a caller took for its entry.
    taken: u64,
    /// An entry failed: those behind it have nothing to follow.
    failed: bool,
    acknowledged: BTreeSet<u64>,
    /// The highest term whose vote is stored, as far as anybody was told.
    voted: u64,
}

/// One entry, whose payload says which it is.
pub fn entry(index: u64, term: u64) -> [EntryRef<'static>; 1] {
    const DATA: [u8; 64] = *b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-";
    static PAYLOAD: [u8; 64] = DATA;
    [EntryRef { index, term, kind: 0, data: &PAYLOAD[index as usize % 64..] }]
}

fn config(heal: bool) -> EngineConfig {
    EngineConfig {
        // Further tries are timers, and time stands still: the first try heals, or a fault latches at once.
        heal_limit_ms: if heal { 1_000 } else { 0 },
        space_wait_ms: 0,
        probe_ms: 0,
        // Nor do threads wait for a time that does not come.
        idle_check_ms: 0,
        segment_min_bytes: 64 << 10,
        segment_max_bytes: 64 << 10,
        flush_threads_per_disk: 2,
        // Time stands still for waits, not for those who compare it.
        stall_limit_ms: 600_000,
        ..EngineConfig::default()
    }
}

fn open(engine: &Engine, path: &str, id: u64, mode: Mode) -> Arc<Partition> {
    engine.open_partition(PartitionConfig { mode, ..PartitionConfig::new(path, id) }).expect("the disk is sound")
}

impl Scenario {
    /// A fault latches at once.
    pub fn new(mode: Mode) -> Arc<Scenario> {
        Scenario::with(mode, config(false))
    }

    /// A fault is healed inside the call, if the first try heals it.
    pub fn healing(mode: Mode) -> Arc<Scenario> {
        Scenario::with(mode, config(true))
    }

    fn with(mode: Mode, config: EngineConfig) -> Arc<Scenario> {
        let disk = SimDisk::new(1);
        let engine = Engine::with_storage(config, Arc::new(disk.clone())).expect("an engine");
        let partition = open(&engine, "/p1", 1, mode);
        Arc::new(Scenario { disk, engine, partition, mode, told: Mutex::default() })
    }

    pub fn neighbour(&self, mode: Mode) -> Arc<Partition> {
        open(&self.engine, "/p2", 2, mode)
    }

    pub fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Scenario) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let scenario = Arc::clone(self);
        thread::spawn(move || work(&scenario))
    }

    /// Appends the entry that follows those that were taken.
    pub fn append_next(&self) -> Result<(), Error> {
        self.next(|index| self.partition.append(&entry(index, 1)), true)
    }

    /// The token is the entry's index.
    pub fn submit_next(&self) -> Result<(), Error> {
        self.next(|index| self.partition.submit(&entry(index, 1), index), false)
    }

    /// Callers take indexes in order, and call in any: an entry that comes before its turn is refused with `Gap`.
    fn next(&self, append: impl Fn(u64) -> Result<(), Error>, durable: bool) -> Result<(), Error> {
        let index = {
            let mut told = self.told.lock().unwrap();
            told.taken += 1;
            told.taken
        };
        let mut patience = 5_000;
        loop {
            let result = append(index);
            patience -= 1;
            assert!(
                patience > 0,
                "entry {index} is still to come, says the log: {result:?}, {:?}",
                self.partition.status()
            );
            let mut told = self.told.lock().unwrap();
            match result {
                Err(e) if e.status == Status::Gap && !told.failed => {
                    drop(told);
                    thread::yield_now();
                }
                Err(e) => {
                    told.failed = true;
                    return Err(e);
                }
                Ok(()) => {
                    assert!(!durable || told.acknowledged.insert(index), "entry {index} acknowledged twice");
                    return Ok(());
                }
            }
        }
    }

    /// After failures, with no other caller about: the next entry follows what the log has.
    pub fn start_over(&self) {
        let mut told = self.told.lock().unwrap();
        told.taken = self.partition.bounds().expect("it can be read").1;
        told.failed = false;
    }

    pub fn vote(&self, term: u64, commit: u64) -> Result<(), Error> {
        self.partition.set_hard_state(HardState { term, vote: 1, commit })?;
        let mut told = self.told.lock().unwrap();
        told.voted = told.voted.max(term);
        Ok(())
    }

    /// Takes the completions that there are; those that succeeded acknowledge their entries.
    pub fn completions(&self) -> usize {
        let all = self.engine.completions(usize::MAX);
        let mut told = self.told.lock().unwrap();
        for done in &all {
            assert!(done.token <= told.taken, "a completion that nobody asked for: {done:?}");
            if done.status == Status::Ok {
                assert!(told.acknowledged.insert(done.token), "entry {} acknowledged twice", done.token);
            }
        }
        all.len()
    }

    pub fn acknowledged(&self) -> BTreeSet<u64> {
        self.told.lock().unwrap().acknowledged.clone()
    }

    /// The power goes: entries and votes that were acknowledged are there.
    pub fn finish(&self) {
        self.completions();
        let disk = self.disk.crash(Crash::PowerNothing);
        let _ = self.engine.close();
        let engine = Engine::with_storage(config(false), Arc::new(disk)).expect("an engine");
        let partition = open(&engine, "/p1", 1, self.mode);
        let (first, last) = partition.bounds().expect("it can be read");
        for index in self.acknowledged().into_iter().filter(|i| *i >= first) {
            assert!(index <= last, "entry {index} was acknowledged, the log ends at {last}");
            let read = partition.read(index, index + 1, u64::MAX).expect("it can be read");
            assert_eq!(read[0].data, entry(index, 1)[0].data, "entry {index}");
        }
        let (voted, stored) = (self.told.lock().unwrap().voted, partition.hard_state().expect("it can be read"));
        assert!(stored.term >= voted, "the vote of term {voted} was stored, there is {stored:?}");
        engine.close().expect("a sound disk");
    }
}
