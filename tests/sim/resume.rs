//! F9, F10, and healing after the call: a partition comes back by itself, with everything it had, or says what is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, Partition, State, Status};

const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];

fn assert_after_power_cut(disk: &SimDisk, mode: Mode, last: u64, what: &str) {
    let next = disk.fork().crash(Crash::PowerNothing);
    let engine = engine(&next);
    let p = reopen(&engine, "/p1", 1, mode);
    assert_eq!(state(&p), State::ReadWrite, "{what}: {:?}", p.last_fault());
    assert_same(&read_all(&p).unwrap(), &entries(1, last, 1, 2000), what);
}

/// Appends until the disk is full and the partition says so.
fn fill(p: &Partition, disk: &SimDisk) -> u64 {
    append_each(p, 1, 10, 1, 2000);
    disk.set_free(100 << 10);
    let mut last = 10;
    while append(p, &entries(last + 1, last + 1, 1, 2000)).is_ok() {
        last += 1;
        assert!(last < 5_000, "the disk never gets full");
    }
    wait_for("ReadOnly", Duration::from_secs(2), || state(p) == State::ReadOnly);
    last
}

#[test]
fn f10_when_space_returns_the_partition_resumes_by_itself_within_a_second() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine = healing_engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        let last = fill(&p, &disk).max(p.bounds().unwrap().1);
        p.set_hard_state(hard(5, 2, 3)).unwrap_or_else(|e| panic!("{mode:?}: a vote on a full disk: {e}"));
        p.compact(2).unwrap_or_else(|e| panic!("{mode:?}: a compaction on a full disk: {e}"));
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(state(&p), State::ReadOnly, "{mode:?}: still full");
        engine.events(1000);
        disk.set_free(20 << 20);
        let began = Instant::now();
        wait_for("ReadWrite", Duration::from_secs(1), || state(&p) == State::ReadWrite);
        println!("{mode:?}: ReadWrite {:?} after space came back", began.elapsed());
        let told = engine.events(1000);
        assert_eq!(told.last().map(|e| (e.from, e.to)), Some((State::ReadOnly, State::ReadWrite)), "{told:?}");
        append(&p, &entries(last + 1, last + 1, 5, 2000)).unwrap();
        assert_eq!(p.hard_state().unwrap().vote, 2);
    }
}

/// A probe that finds no space while a vote is on its way to the root must not take that for a root in doubt.
#[test]
fn f09_votes_beside_probes_on_a_full_disk() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine =
            Engine::with_storage(EngineConfig { probe_ms: 1, ..healing_config() }, Arc::new(disk.clone())).unwrap();
        let p = open(&engine, "/p1", 1, mode);
        fill(&p, &disk);
        for term in 2..3_000 {
            p.set_hard_state(hard(term, 1, 0)).unwrap_or_else(|e| panic!("{mode:?}: vote {term} on a full disk: {e}"));
            assert_eq!(state(&p), State::ReadOnly, "{mode:?}");
        }
    }
}

#[test]
fn f10_an_append_waits_for_space_that_comes_soon() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine = healing_engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 2000);
        disk.set_free(8 << 10);
        let own = disk.clone();
        let helper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            own.set_free(20 << 20);
        });
        for index in 11..=120 {
            append(&p, &entries(index, index, 1, 2000)).unwrap_or_else(|e| panic!("{mode:?}, entry {index}: {e}"));
        }
        helper.join().unwrap();
        p.sync().unwrap();
        assert_after_power_cut(&disk, mode, 120, "appends that waited for space");
    }
}

#[test]
fn f09_an_unavailable_partition_recovers_on_a_full_disk_from_the_reserve() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let config = EngineConfig { probe_ms: 0, ..healing_config() };
        let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 2000);
        p.sync().unwrap();
        // The reserve is made by the first tick.
        std::thread::sleep(Duration::from_millis(1_300));
        disk.set_free(0);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/root").once());
        p.set_hard_state(hard(7, 1, 0)).unwrap_or_else(|e| panic!("{mode:?}: a vote whose root must be replaced: {e}"));
        disk.inject(Rule::errno(libc::EROFS).on(OpKind::Write).on(OpKind::Sync).path("/seg-").once());
        let failed = append(&p, &entries(11, 11, 7, 2000)).and_then(|()| p.sync());
        assert_eq!(failed.map_err(|e| e.status), Err(Status::ReadOnlyFilesystem), "{mode:?}");
        p.recover().unwrap_or_else(|e| panic!("{mode:?}: recovery on a full disk: {e}"));
        assert_eq!(p.hard_state().unwrap().term, 7);
        append(&p, &entries(p.bounds().unwrap().1 + 1, p.bounds().unwrap().1 + 1, 7, 2000)).unwrap();
    }
}

#[test]
fn a_fault_that_outlasts_the_call_is_healed_by_a_probe() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let config = EngineConfig { heal_limit_ms: 20, probe_ms: 20, ..healing_config() };
        let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 2000);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).path("/seg-"));
        let failed =
            append(&p, &entries(11, 11, 1, 2000)).and_then(|()| p.sync()).expect_err("the disk fails for good");
        assert_eq!(failed.cause(), Cause::IoError, "{mode:?}: {failed}");
        assert_eq!(state(&p), State::Unavailable);
        let refused = append(&p, &entries(12, 12, 1, 2000)).expect_err("latched");
        assert_eq!(
            (refused.status, refused.errno),
            (failed.status, failed.errno),
            "{mode:?}: the same error every time"
        );
        // Probes that fail are quiet.
        engine.events(1000);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(engine.events(1000), [], "{mode:?}");
        disk.clear_faults();
        wait_for("ReadWrite", Duration::from_secs(5), || state(&p) == State::ReadWrite);
        let last = p.bounds().unwrap().1;
        assert!(last == 10 || mode != Mode::Sync, "{mode:?}: a refused entry is there");
        append(&p, &entries(last + 1, last + 1, 1, 2000)).unwrap();
        p.sync().unwrap();
        assert_after_power_cut(&disk, mode, last + 1, "after a probe healed it");
    }
}

#[test]
fn probes_of_a_disk_that_stays_bad_become_rare() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { heal_limit_ms: 0, probe_ms: 10, ..healing_config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Create));
    append(&p, &entries(11, 11, 1, 400)).expect_err("the disk fails for good");
    std::thread::sleep(Duration::from_millis(700));
    // At 10, 30, 70, 150, 310, 630 ms.
    let tries = disk.count(OpKind::Create);
    let first = disk.log().iter().position(|r| !r.injected.is_empty()).unwrap();
    let probes = disk.log()[first..].iter().filter(|r| r.kind == OpKind::Create).count();
    assert!((3..=7).contains(&probes), "{probes} probes, {tries} files in all");
    p.close().ok();
}

#[test]
fn a_partition_closed_with_a_fault_loses_nothing_in_this_process() {
    // raft closes its storage at the first error and opens it again.
    for (mode, full) in MODES.into_iter().flat_map(|m| [false, true].map(|f| (m, f))) {
        let disk = SimDisk::with_config(1, SimConfig { full_errno: libc::ENOSPC, ..SimConfig::default() });
        let config = EngineConfig { interval_ms: 60_000, ..config() };
        let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 2000);
        p.sync().unwrap();
        append_each(&p, 11, 20, 1, 2000);
        let errno = if full { libc::EDQUOT } else { libc::EIO };
        disk.inject(Rule::errno(errno).on(OpKind::Write).on(OpKind::Sync).path("/seg-"));
        let failed = append(&p, &entries(21, 21, 1, 2000)).and_then(|()| p.sync());
        assert!(failed.is_err(), "{mode:?}");
        let acknowledged = p.bounds().unwrap().1;
        assert!(acknowledged >= 20);
        let _ = p.close();
        disk.clear_faults();
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!(state(&p), State::ReadWrite, "{mode:?}: {:?}", p.last_fault());
        assert_eq!(p.bounds().unwrap().1, acknowledged, "{mode:?}");
        append(&p, &entries(acknowledged + 1, acknowledged + 1, 1, 2000)).unwrap();
        p.sync().unwrap();
        assert_after_power_cut(&disk, mode, acknowledged + 1, "taken in by the next open");
    }
}

#[test]
fn f09_what_memory_alone_has_waits_for_space_across_close_and_open() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { interval_ms: 60_000, probe_ms: 20, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 10, 1, 2000);
    p.sync().unwrap();
    append_each(&p, 11, 20, 1, 2000);
    // A spare that is being made now would be removed for want of space, and leave some.
    wait_for_quiet(&disk);
    disk.set_free(0);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/seg-").once());
    p.sync().expect_err("the flush fails");
    let _ = p.close();
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert_eq!((state(&p), p.status().cause), (State::ReadOnly, Cause::NoSpace), "{:?}", p.last_fault());
    assert_same(&read_all(&p).unwrap(), &entries(1, 20, 1, 2000), "readable meanwhile");
    p.set_hard_state(hard(9, 2, 0)).unwrap();
    disk.set_free(20 << 20);
    wait_for("ReadWrite", Duration::from_secs(1), || state(&p) == State::ReadWrite);
    assert_after_power_cut(&disk, Mode::Interval, 20, "once space was back");
}

#[test]
fn an_open_that_finds_less_than_was_acknowledged_says_which_entries_are_lost() {
    // What a failed sync leaves on the medium is the seed's choice.
    let seeds_with_loss = (1..20).filter(|seed| loses(*seed)).count();
    assert!(seeds_with_loss > 3, "the test does not test: {seeds_with_loss}");
}

fn loses(seed: u64) -> bool {
    let disk = SimDisk::new(seed);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::None);
    append_each(&p, 1, 10, 1, 400);
    p.sync().unwrap();
    append_each(&p, 11, 20, 1, 400);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-"));
    p.sync().expect_err("the disk fails");
    let _ = p.close();
    disk.clear_faults();
    // The kernel drops what it calls clean: now nobody has it any more.
    disk.drop_caches();
    let p = reopen(&engine, "/p1", 1, Mode::None);
    let (status, last) = (p.status(), p.bounds().unwrap().1);
    if last == 20 {
        return false;
    }
    assert_eq!((status.state, status.cause, status.lost), (State::Unavailable, Cause::LostEntries, (last + 1, 20)));
    // It stays so until the owner decides, in this open and the next.
    assert_eq!(p.recover().map_err(|e| e.status), Err(Status::LostEntries));
    let _ = p.close();
    let p = reopen(&engine, "/p1", 1, Mode::None);
    assert_eq!((p.status().cause, p.status().lost), (Cause::LostEntries, (last + 1, 20)));
    true
}
