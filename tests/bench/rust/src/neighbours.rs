//! Row B9: many partitions of one engine under load, each with one entry in flight. The first is the one that a fault is made for;
//! the others are what is measured.

use crate::failing::FailingStorage;
use crate::histogram::Histogram;
use crate::payload::Pool;
use bulkhead::{Engine, EngineConfig, EntryRef, Mode, Partition, PartitionConfig, State};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const PARTITIONS: u64 = 64;
const ENTRY_BYTES: usize = 4096;
/// Segments do not grow beyond this, so that 64 logs fit the image; each log is compacted down to half of `COMPACT_ENTRIES`.
const SEGMENT_MAX_BYTES: u32 = 2 << 20;
const COMPACT_ENTRIES: u64 = 800;
/// Entries that bring every log to its steady state before anything is measured.
const FILL_ENTRIES: u64 = 2 * COMPACT_ENTRIES;
/// The owner of a faulted partition tries again after this.
const RETRY: Duration = Duration::from_millis(1);
/// Larger entries for using up space.
const EXHAUST_BYTES: usize = 64 << 10;
/// The stall limit of row B9: below the length of a slot, so that a slot sees a hang before and after the partition is latched.
const STALL_LIMIT_MS: u32 = 500;
const SYNC_EVERY: Duration = Duration::from_millis(50);
const FILL_LIMIT: Duration = Duration::from_secs(60);
/// The time a partition has for coming back when its fault has gone.
const BACK_LIMIT: Duration = Duration::from_secs(20);

struct Load {
    partition: Arc<Partition>,
    payload: &'static [u8],
    last: u64,
    compacted: u64,
}

struct Outcome {
    latency: Histogram,
    appends: u64,
    refused: u64,
}

impl Load {
    fn append(&mut self, data: &[u8]) -> bool {
        let entry = EntryRef { index: self.last + 1, term: 1, kind: 0, data };
        let appended = self.partition.append(&[entry]).is_ok();
        self.last += u64::from(appended);
        appended
    }

    fn compact(&mut self) {
        let index = self.last.saturating_sub(COMPACT_ENTRIES / 2);
        if index > self.compacted && self.partition.compact(index).is_ok() {
            self.compacted = index;
        }
    }

    /// Appends until the time is over, or until there are this many entries. The first partition syncs instead of compacting: in mode none
    /// its bad blocks are met by that only, and what was released would take the place of what is to fail.
    fn run(&mut self, end: Instant, most: u64, is_first: bool) -> Outcome {
        let mut synced = Instant::now();
        let mut outcome = Outcome { latency: Histogram::new(), appends: 0, refused: 0 };
        while Instant::now() < end && self.last < most {
            let start = Instant::now();
            if !self.append(self.payload) {
                outcome.refused += 1;
                thread::sleep(RETRY);
                continue;
            }
            // One that ends after the slot took its time all the same.
            outcome.latency.record(start.elapsed().as_nanos() as u64);
            outcome.appends += u64::from(Instant::now() < end);
            if is_first && synced.elapsed() > SYNC_EVERY {
                outcome.refused += u64::from(self.partition.sync().is_err());
                synced = Instant::now();
            }
            if !is_first && self.last >= self.compacted + COMPACT_ENTRIES {
                self.compact();
            }
        }
        outcome
    }

    /// Appends until it is refused: on a full disk what was made ahead is used up first.
    fn exhaust(&mut self) -> Result<(), String> {
        let large = vec![0x5a; EXHAUST_BYTES];
        let end = Instant::now() + BACK_LIMIT;
        while self.append(&large) {
            if Instant::now() > end {
                return Err("the first partition is never refused".into());
            }
        }
        Ok(())
    }

    fn wait_until_whole(&mut self) -> Result<(), String> {
        let end = Instant::now() + BACK_LIMIT;
        while self.partition.status().state != State::ReadWrite {
            if Instant::now() > end {
                let status = self.partition.status();
                return Err(format!(
                    "partition {} is {:?} {BACK_LIMIT:?} after the fault",
                    status.partition_id, status.state
                ));
            }
            let _ = self.partition.recover();
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// `ready`, then one line for each line of input: `slot WORKLOAD SECONDS`; `exhaust`, which fills up what the first partition has made
/// ahead; `quota`, which lets its directory take no more space before that; `whole`, which ends that and waits until all work again.
pub fn serve(mode: Mode, dir: &Path) -> Result<(), String> {
    let config = EngineConfig {
        segment_max_bytes: SEGMENT_MAX_BYTES,
        stall_limit_ms: STALL_LIMIT_MS,
        ..EngineConfig::default()
    };
    let storage = FailingStorage::new("p1");
    let engine = Engine::with_storage(config, Arc::new(storage.clone())).map_err(|e| format!("engine: {e}"))?;
    let mut pool = Pool::new();
    let mut loads = Vec::new();
    for id in 1..=PARTITIONS {
        let mut config = PartitionConfig::new(dir.join(format!("p{id}")), id);
        config.mode = mode;
        let partition = engine.open_partition(config).map_err(|e| format!("open: {e}"))?;
        loads.push(Load { partition, payload: pool.next(ENTRY_BYTES), last: 0, compacted: 0 });
    }
    let (first, others) = loads.split_first_mut().ok_or("no partitions")?;
    run_all(first, others, Instant::now() + FILL_LIMIT, FILL_ENTRIES, |_| Ok(()))?;
    first.compact();
    answer("ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["quota"] => {
                storage.fill(true);
                first.exhaust().and_then(|()| answer("ready"))?;
            }
            ["whole"] => {
                storage.fill(false);
                first.wait_until_whole()?;
                first.compact();
                others.iter_mut().try_for_each(Load::wait_until_whole).and_then(|()| answer("ready"))?;
            }
            ["exhaust"] => first.exhaust().and_then(|()| answer("ready"))?,
            ["slot", workload, seconds] => {
                let seconds = seconds.parse().map_err(|_| format!("not a number of seconds: {line}"))?;
                let end = Instant::now() + Duration::from_secs_f64(seconds);
                run_all(first, others, end, u64::MAX, |outcomes| answer(&report(outcomes, workload, seconds)))?;
                engine.events(usize::MAX);
            }
            _ => return Err(format!("not a command here: {line}")),
        }
    }
    Ok(())
}

/// Runs all of them. `tell` gets what the others did, as soon as they are done: the first may still be in a call that hangs.
fn run_all(
    first: &mut Load,
    others: &mut [Load],
    end: Instant,
    most: u64,
    tell: impl FnOnce(&[Outcome]) -> Result<(), String>,
) -> Result<(), String> {
    thread::scope(|scope| {
        scope.spawn(move || first.run(end, most, true));
        let threads: Vec<_> = others.iter_mut().map(|load| scope.spawn(move || load.run(end, most, false))).collect();
        let outcomes: Vec<Outcome> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
        tell(&outcomes)
    })
}

fn answer(line: &str) -> Result<(), String> {
    println!("{line}");
    std::io::stdout().flush().map_err(|e| e.to_string())
}

fn report(outcomes: &[Outcome], workload: &str, seconds: f64) -> String {
    let mut latency = Histogram::new();
    outcomes.iter().for_each(|o| latency.add(&o.latency));
    let appends: u64 = outcomes.iter().map(|o| o.appends).sum();
    let refused: u64 = outcomes.iter().map(|o| o.refused).sum();
    format!(
        r#"{{"workload":"{workload}","arm":"bulkhead","unit":"entries/s","value":{:.1},"p50_us":{:.2},"p99_us":{:.2},"refused":{refused},"histogram":{}}}"#,
        appends as f64 / seconds,
        latency.quantile_us(0.50),
        latency.quantile_us(0.99),
        latency.to_json(),
    )
}
