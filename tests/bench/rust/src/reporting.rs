//! Rows F7 and F10: how long the owner waits for what it has to know. F7 takes the time from a failing system call's return to the event
//! descriptor being readable, F10 from free space to the event that says ReadWrite.

use crate::failing::FailingStorage;
use crate::payload::Pool;
use bulkhead::{Cause, Engine, EngineConfig, EntryRef, Event, HardState, Mode, Partition, PartitionConfig, State};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

const PARTITIONS: u64 = 64;
const ENTRY_BYTES: usize = 4096;
const SEGMENT_MAX_BYTES: u32 = 1 << 20;
const FAULTS: usize = 200;
const ROUNDS: usize = 20;
/// Partitions that wait for space at the same time.
const WAITING: u64 = 8;
/// Longer than any event may take.
const LIMIT: Duration = Duration::from_secs(10);

struct Log {
    partition: Arc<Partition>,
    last: u64,
}

impl Log {
    fn open(engine: &Engine, dir: &Path, id: u64, mode: Mode) -> Result<Log, String> {
        let mut config = PartitionConfig::new(dir.join(format!("p{id}")), id);
        config.mode = mode;
        let partition = engine.open_partition(config).map_err(|e| format!("open: {e}"))?;
        let last = partition.bounds().map_err(|e| format!("bounds: {e}"))?.1;
        Ok(Log { partition, last })
    }

    fn append(&mut self, data: &[u8]) -> bool {
        let entry = EntryRef { index: self.last + 1, term: 1, kind: 0, data };
        let appended = self.partition.append(&[entry]).is_ok();
        self.last += u64::from(appended);
        if appended && self.last % 512 == 0 {
            let _ = self.partition.compact(self.last - 256); // a faulted one refuses it
        }
        appended
    }
}

/// Measures one workload and prints its line.
pub fn run(workload: &str, dir: &Path) -> Result<(), String> {
    let arms = match workload {
        "F7/sync-flush" => to_the_owner(dir, Mode::Sync, "seg-")?,
        "F7/interval-flush" => to_the_owner(dir, Mode::Interval, "seg-")?,
        "F7/none-write" => to_the_owner(dir, Mode::None, "seg-")?,
        "F7/root" => to_the_owner(dir, Mode::Sync, "root")?,
        _ if workload.starts_with("F10/") => vec![("bulkhead", space_back(dir)?)],
        _ => return Err(format!("there is no workload {workload}")),
    };
    arms.into_iter().for_each(|(arm, times)| print(arm, workload, times));
    Ok(())
}

fn print(arm: &str, workload: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let us = |q: f64| times[((times.len() - 1) as f64 * q).ceil() as usize].as_nanos() as f64 / 1000.0;
    println!(
        r#"{{"workload":"{workload}","arm":"{arm}","unit":"us","value":{:.1},"p50_us":{:.1},"p99_us":{:.1},"count":{}}}"#,
        us(1.0),
        us(0.5),
        us(0.99),
        times.len()
    );
}

/// An arm's name, and its times.
type Times = (&'static str, Vec<Duration>);

/// One write of the first partition fails, again and again, while the others append: until its owner is awake, and the part of it until the
/// event is queued, which is the library's. The control: how long it takes under the same load, in turn, from one thread's write to a
/// descriptor to another's return from `poll`, without the library.
fn to_the_owner(dir: &Path, mode: Mode, prefix: &'static str) -> Result<Vec<Times>, String> {
    let config = EngineConfig { segment_max_bytes: SEGMENT_MAX_BYTES, ..EngineConfig::default() };
    let storage = FailingStorage::new("p1");
    let engine = Engine::with_storage(config, Arc::new(storage.clone())).map_err(|e| format!("engine: {e}"))?;
    let mut logs = (1..=PARTITIONS).map(|id| Log::open(&engine, dir, id, mode)).collect::<Result<Vec<_>, _>>()?;
    let payload = Pool::new().next(ENTRY_BYTES);
    let stop = AtomicBool::new(false);
    let (first, others) = logs.split_first_mut().ok_or("no partitions")?;
    let mut term = first.partition.hard_state().map_err(|e| format!("hard state: {e}"))?.term;
    thread::scope(|scope| {
        for log in others {
            let stop = &stop;
            scope.spawn(move || while !stop.load(Ordering::Relaxed) && log.append(payload) {});
        }
        let (mut times, mut queued, mut control) = (Vec::new(), Vec::new(), Vec::new());
        let measured = (0..FAULTS).try_for_each(|_| {
            control.push(bare_wake_up()?);
            engine.events(usize::MAX);
            storage.arm(prefix);
            let told = thread::scope(|trial| {
                trial.spawn(|| {
                    if prefix == "root" {
                        term += 1;
                        let _ = first.partition.set_hard_state(HardState { term, vote: 1, commit: 0 });
                    } else {
                        first.append(payload);
                    }
                });
                wait_for(&engine, |event| event.partition_id == 1 && event.cause != Cause::None)
            });
            let (told, event) = told?;
            let (failed, failed_at) = storage.failed().ok_or("an event without a fault")?;
            times.push(told.saturating_duration_since(failed));
            let queued_at = UNIX_EPOCH + Duration::from_nanos(event.time_unix_ns);
            queued.push(queued_at.duration_since(failed_at).unwrap_or_default());
            wait_for(&engine, |event| event.partition_id == 1 && event.cause == Cause::None).map(drop)
        });
        stop.store(true, Ordering::Relaxed);
        measured.map(|()| vec![("bulkhead", times), ("queued", queued), ("control", control)])
    })
}

/// A thread that has just begun writes to a descriptor that another waits for.
fn bare_wake_up() -> Result<Duration, String> {
    // SAFETY: no pointers involved.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(format!("eventfd: {}", io::Error::last_os_error()));
    }
    // SAFETY: the call returned a descriptor that nobody else owns.
    let mut owned = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let begun = thread::spawn(move || {
        let begun = Instant::now();
        owned.write_all(&1u64.to_ne_bytes()).map(|()| (begun, owned))
    });
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which lives through the call; the thread's result keeps the descriptor open.
    unsafe { libc::poll(&mut poll, 1, LIMIT.as_millis() as i32) };
    let woken = Instant::now();
    let (begun, _owned) = begun.join().map_err(|_| "a panic")?.map_err(|e| format!("eventfd: {e}"))?;
    Ok(woken.saturating_duration_since(begun))
}

/// Fills the filesystem, waits until all partitions are ReadOnly, and gives the space back, again and again.
fn space_back(dir: &Path) -> Result<Vec<Duration>, String> {
    let engine =
        Engine::open(EngineConfig { space_wait_ms: 0, ..EngineConfig::default() }).map_err(|e| e.to_string())?;
    let mut logs = (1..=WAITING).map(|id| Log::open(&engine, dir, id, Mode::Sync)).collect::<Result<Vec<_>, _>>()?;
    let payload = Pool::new().next(ENTRY_BYTES);
    let filler = dir.join("filler");
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        fill(&filler).map_err(|e| format!("{}: {e}", filler.display()))?;
        let end = Instant::now() + LIMIT;
        // One that is ReadOnly may find what another one's compaction has freed: all of them at the same moment.
        loop {
            for log in &mut logs {
                while log.partition.status().state != State::ReadOnly {
                    log.append(payload);
                    if Instant::now() > end {
                        return Err("a full disk makes nobody ReadOnly".into());
                    }
                }
            }
            engine.events(usize::MAX);
            if logs.iter().all(|log| log.partition.status().state == State::ReadOnly) {
                break;
            }
        }
        // At another moment of the time between two probes each time.
        thread::sleep(Duration::from_millis(13 * round as u64));
        std::fs::remove_file(&filler).and_then(|()| File::open(dir)?.sync_all()).map_err(|e| format!("filler: {e}"))?;
        let free = Instant::now();
        for _ in &logs {
            let told = wait_for(&engine, |event| event.to == State::ReadWrite)
                .map_err(|e| format!("round {round}: {e}; {}", states(&logs)))?;
            times.push(told.0.saturating_duration_since(free));
        }
    }
    Ok(times)
}

fn states(logs: &[Log]) -> String {
    let state = |log: &Log| format!("{:?} {:?}", log.partition.status(), log.partition.last_fault());
    logs.iter().map(state).collect::<Vec<_>>().join("; ")
}

/// Takes all space there is.
fn fill(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    let (mut end, mut step) = (0i64, 16i64 << 20);
    while step >= 4096 {
        // SAFETY: the descriptor is open.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, end, step) } == 0 {
            end += step;
        } else if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSPC) {
            step /= 2;
        } else {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Waits for an event as an owner does, by `poll`; returns when the descriptor was readable, and the event.
fn wait_for(engine: &Engine, wanted: impl Fn(&Event) -> bool) -> Result<(Instant, Event), String> {
    let end = Instant::now() + LIMIT;
    let mut fd = libc::pollfd { fd: engine.event_fd(), events: libc::POLLIN, revents: 0 };
    while Instant::now() < end {
        // SAFETY: one pollfd, which lives through the call.
        let readable = unsafe { libc::poll(&mut fd, 1, LIMIT.as_millis() as i32) } > 0;
        let at = Instant::now();
        // One at a time: what comes after it is for the next wait.
        if let Some(event) = engine.events(usize::from(readable)).into_iter().find(&wanted) {
            return Ok((at, event));
        }
    }
    Err(format!("no event within {LIMIT:?}"))
}
