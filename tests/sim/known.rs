//! What the owner knows of is not missing where the page cache, or what a closed partition left in memory, has it (F3, F11).

use std::sync::Arc;

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Disposition, Engine, EngineConfig, Mode, Partition, PartitionConfig, State};

fn reopen_with(engine: &Engine, mode: Mode, known_index: u64) -> Arc<Partition> {
    let disposition = Disposition::OpenExisting;
    let config = PartitionConfig { disposition, known_index, ..partition_config("/p1", 1, mode) };
    engine.open_partition(config).expect("an open")
}

fn assert_whole(p: &Partition, last: u64, what: &str) {
    let status = p.status();
    assert_eq!((status.state, status.damaged), (State::ReadWrite, (0, 0, 0)), "{what}: {:?}", p.last_fault());
    assert_same(&read_all(p).unwrap(), &entries(1, last, 1, 3000), what);
}

/// Entries 1 to 3 are durable; of 4 to 9 the medium has what a sync that failed left there, and the page cache all.
fn cached_only(seed: u64) -> (SimDisk, Engine) {
    let disk = SimDisk::new(seed);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::None);
    append_each(&p, 1, 3, 1, 3000);
    p.sync().unwrap();
    wait_for_quiet(&disk);
    append_each(&p, 4, 9, 1, 3000);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/p1/seg-").once());
    p.sync().unwrap_err();
    p.close().unwrap();
    (disk, engine)
}

#[test]
fn f03_what_is_known_and_only_the_page_cache_holds_is_no_damage() {
    for (seed, known) in (1..12).flat_map(|seed| [0, 3, 5, 8, 9].map(|known| (seed, known))) {
        for same in [true, false] {
            let (disk, first) = cached_only(seed);
            let second = if same { first } else { engine(&disk) };
            let what = format!("seed {seed}, known {known}, same engine: {same}");
            assert_whole(&reopen_with(&second, Mode::None, known), 9, &what);
            let third = engine(&disk.crash(Crash::PowerNothing));
            assert_whole(&reopen_with(&third, Mode::None, known), 9, &format!("{what}, after a power cut"));
        }
    }
}

/// What is neither on the medium nor in the page cache is damage as before, and what lies around it is there.
#[test]
fn f11_what_is_known_and_a_power_cut_took_is_damage() {
    for seed in 1..12 {
        let (disk, _) = cached_only(seed);
        let second = engine(&disk.crash(Crash::PowerNothing));
        let p = reopen_with(&second, Mode::None, 9);
        let (status, found) = (p.status(), read_each(&p));
        let bad = found.iter().filter(|e| e.1.is_err()).count() as u64;
        assert_eq!(status.damaged.2, bad, "seed {seed}");
        if p.bounds().unwrap().1 < 9 {
            assert_eq!((status.state, status.cause), (State::Unavailable, Cause::Damage), "seed {seed}");
        } else {
            assert_eq!(status.state, State::ReadWrite, "seed {seed}: {:?}", p.last_fault());
        }
        let sound: Vec<_> = found.into_iter().filter_map(|e| e.1.ok()).collect();
        assert!(sound.iter().all(|e| *e == entries(e.index, e.index, 1, 3000)[0]) && sound.len() >= 3, "seed {seed}");
    }
}

/// The page cache cannot be looked into at the first try: that is no damage either, and the log is not served without what may be there.
#[test]
fn f03_what_is_known_waits_for_a_look_into_the_page_cache() {
    let (disk, _) = cached_only(1);
    for n in 0.. {
        let disk = disk.fork();
        disk.inject(Rule::errno(libc::EMFILE).on(OpKind::Open).path("/seg-").skip(n).once());
        let second = engine(&disk);
        let p = reopen_with(&second, Mode::None, 9);
        let fired = disk.faults_fired() > 0;
        if state(&p) == State::ReadWrite {
            assert_whole(&p, 9, &format!("open {n}"));
        }
        disk.clear_faults();
        p.recover().unwrap_or_else(|e| panic!("open {n}: {e}"));
        assert_whole(&p, 9, &format!("open {n}, recovered"));
        if !fired {
            assert!(n >= 6, "{n} opens");
            return;
        }
    }
}

fn interval_engine(disk: &SimDisk) -> Engine {
    let config = EngineConfig { interval_ms: 60_000, ..config() };
    Engine::with_storage(config, Arc::new(disk.clone())).expect("an engine")
}

/// Mode interval: a flush of entries 4 to 9 failed in the middle, or never began, behind a clean open. The partition was closed.
fn in_memory(seed: u64, begun: bool) -> (SimDisk, Engine) {
    let disk = SimDisk::new(seed);
    let engine = interval_engine(&disk);
    let mut p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 3, 1, 3000);
    p.sync().unwrap();
    wait_for_quiet(&disk);
    if !begun {
        p.close().unwrap();
        p = reopen_with(&engine, Mode::Interval, 3);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Create).path("/p1/seg-"));
    }
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/seg-").once());
    append_each(&p, 4, 9, 1, 3000);
    p.sync().unwrap_err();
    p.close().expect_err("entries 4 to 9 are in memory only");
    disk.clear_faults();
    (disk, engine)
}

#[test]
fn f03_what_is_known_and_was_left_in_memory_is_no_damage() {
    for (seed, known) in (1..12).flat_map(|seed| [0, 3, 4, 8, 9].map(|known| (seed, known))) {
        for begun in [true, false] {
            let (disk, first) = in_memory(seed, begun);
            let what = format!("seed {seed}, known {known}, begun: {begun}");
            assert_whole(&reopen_with(&first, Mode::Interval, known), 9, &what);
            let second = engine(&disk.crash(Crash::PowerNothing));
            assert_whole(&reopen_with(&second, Mode::Interval, known), 9, &format!("{what}, after a power cut"));
        }
    }
}

/// What the disk lost below what was left in memory, or what nobody has above it, is damage.
#[test]
fn f11_what_is_known_and_was_not_left_in_memory_is_damage() {
    let (_, engine) = in_memory(1, true);
    let p = reopen_with(&engine, Mode::Interval, 10);
    assert_eq!((state(&p), p.status().cause), (State::Unavailable, Cause::Damage));
    p.close().unwrap();
    assert_whole(&reopen_with(&engine, Mode::Interval, 9), 9, "the refusal changed nothing");
    let disk = SimDisk::new(1);
    let engine = interval_engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Interval);
    disk.inject(Rule::new(Fault::Lost).on(OpKind::Write).path("/p1/seg-0000000000000001").skip(2).once());
    append_each(&p, 1, 3, 1, 3000);
    p.sync().unwrap();
    wait_for_quiet(&disk);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/seg-"));
    append_each(&p, 4, 9, 1, 3000);
    p.sync().unwrap_err();
    p.close().unwrap_err();
    disk.clear_faults();
    let p = reopen_with(&engine, Mode::Interval, 9);
    assert_eq!(state(&p), State::Unavailable, "entries 1 to 3 were acknowledged as durable, and are gone");
}
