//! Shared by the tests of bugs that other projects had (`field_*.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead::io::sim::{Crash, SimConfig, SimDisk};
use bulkhead::{Engine, EngineConfig, Entry, Error, Mode, Partition, State};

use super::*;

pub const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];
/// Every way a run can end.
pub const CRASHES: [Crash; 4] = [Crash::Process, Crash::PowerNothing, Crash::PowerRandom, Crash::PowerEverything];
/// The segment that `start` has begun: others are made ahead in the background.
pub const TAIL: &str = "/p1/seg-0000000000000001";

/// Every mode, with direct I/O and through the page cache.
pub fn modes_and_paths() -> impl Iterator<Item = (Mode, bool)> {
    MODES.into_iter().flat_map(|mode| [(mode, true), (mode, false)])
}

pub fn disk_of(seed: u64, direct_io: bool) -> SimDisk {
    SimDisk::with_config(seed, SimConfig { direct_io, ..SimConfig::default() })
}

/// A partition with a vote and entries 1 to 5 of 300 bytes, all durable.
pub fn start(disk: &SimDisk, mode: Mode) -> (Engine, Arc<Partition>) {
    let engine = engine(disk);
    let partition = open(&engine, "/p1", 1, mode);
    partition.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&partition, 1, 5, 1, 300);
    partition.sync().unwrap();
    (engine, partition)
}

/// An engine whose calls give up on the disk after this time.
pub fn engine_with_stall_limit(disk: &SimDisk, stall_limit_ms: u32) -> Engine {
    let limits = EngineConfig { stall_limit_ms, ..config() };
    Engine::with_storage(limits, Arc::new(disk.clone())).expect("an engine opens without touching a disk")
}

/// Appends, and waits until it is durable: what a mode acknowledges early is asked for by `sync`.
pub fn append_durably(p: &Partition, entries: &[Entry]) -> Result<(), Error> {
    append(p, entries).and_then(|()| p.sync())
}

/// The disk works again: the partition resumes by itself or by call.
pub fn resume(p: &Partition) {
    let end = Instant::now() + Duration::from_millis(100);
    while state(p) != State::ReadWrite && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
    if state(p) != State::ReadWrite {
        p.recover().unwrap_or_else(|e| panic!("the disk works again, recover says: {e}"));
    }
}

/// Opens what is left of a disk, and demands exactly this log of it, sound and writable.
pub fn assert_opens_with(disk: &SimDisk, mode: Mode, wanted: &[Entry], what: &str) -> (Engine, Arc<Partition>) {
    let engine = engine(disk);
    let p = reopen(&engine, "/p1", 1, mode);
    let status = p.status();
    let verdict = (status.state, status.damaged, status.lost);
    assert_eq!(verdict, (State::ReadWrite, (0, 0, 0), (0, 0)), "{what}: {:?}", p.last_fault());
    assert_same(&read_all(&p).unwrap_or_else(|e| panic!("{what}: {e}")), wanted, what);
    (engine, p)
}

/// What is durable is there after every kind of crash, and the log goes on from there. The disk itself runs on.
pub fn assert_survives(disk: &SimDisk, mode: Mode, wanted: &[Entry], what: &str) {
    for how in CRASHES {
        let after = disk.fork().crash(how);
        let what = format!("{what}, {mode:?}, after {how:?}");
        let (engine, p) = assert_opens_with(&after, mode, wanted, &what);
        let next = wanted.last().map_or(1, |e| e.index + 1);
        let more = entries(next, next + 1, wanted.last().map_or(1, |e| e.term), 50);
        append_durably(&p, &more).unwrap_or_else(|e| panic!("{what}: the log does not go on: {e}"));
        drop((p, engine));
        assert_opens_with(&after.crash(Crash::PowerNothing), mode, &[wanted, &more[..]].concat(), &what);
    }
}

/// Where an entry's data lies on the medium: the test's own search, so that it needs to know nothing of the format.
pub fn find_data(disk: &SimDisk, dir: &str, data: &[u8]) -> (String, u64) {
    let mut hits = disk.files(dir).into_iter().filter_map(|path| {
        let bytes = disk.durable_bytes(&path);
        let at = bytes.windows(data.len()).rposition(|w| w == data)?;
        Some((path, at as u64))
    });
    hits.next().expect("the entry's data is on the medium")
}

/// Runs a call that must come back in time, whatever the disk does.
pub fn returns_within<T: Send + 'static>(limit: Duration, what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(call()));
    receive.recv_timeout(limit).unwrap_or_else(|_| panic!("{what}: did not come back within {limit:?}"))
}
