//! Calls, faults and healing beside each other: what each must not do to the others. One test for each defect that was found.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, State, Status, Survey};

fn delay(ms: u64) -> Rule {
    Rule::new(Fault::Delay(Duration::from_millis(ms)))
}

/// The file that the next append goes to: the newest that holds a record behind its header.
fn tail_of(disk: &SimDisk) -> String {
    let mut files: Vec<_> = disk.files("/p1").into_iter().filter(|f| f.contains("seg-")).collect();
    files.retain(|f| disk.cached_bytes(f).get(4096..4160).is_some_and(|b| b.iter().any(|x| *x != 0)));
    files.sort();
    files.pop().expect("a tail")
}

#[test]
fn a_commit_of_what_was_rolled_back_is_not_kept() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    p.set_hard_state(hard(1, 0, 0)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let tail = tail_of(&disk);
    disk.make_unwritable(&tail, 0, 1 << 20);
    disk.inject(delay(200).on(OpKind::Write).path("/seg-").once());
    p.submit(&refs(&entries(11, 12, 1, 400)), 1).unwrap();
    p.set_hard_state(hard(1, 0, 12)).unwrap();
    wait_for("the fault", Duration::from_secs(2), || state(&p) == State::Unavailable);
    p.recover().unwrap();
    let last = p.bounds().unwrap().1;
    assert_eq!(last, 10);
    println!("commit {} last {last}", p.hard_state().unwrap().commit);
    append(&p, &entries(11, 12, 1, 400)).expect("the caller tries again");
}

#[test]
fn a_commit_is_not_stored_before_the_entries_that_replace_a_suffix() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    p.set_hard_state(hard(2, 1, 0)).unwrap();
    wait_for("the spare", Duration::from_secs(2), || disk.exists("/p1/seg-0000000000000002"));
    std::thread::sleep(Duration::from_millis(100));
    // The flush of what replaces 5 to 10 takes its time; housekeeping names the next spare meanwhile.
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-0000000000000002"));
    disk.inject(delay(50).on(OpKind::Create).once());
    p.submit(&refs(&entries(5, 6, 2, 400)), 2).unwrap();
    p.set_hard_state(hard(2, 1, 6)).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let next = disk.fork().crash(Crash::PowerNothing);
    next.clear_faults();
    disk.clear_faults();
    disk.release();
    let engine = crate::support::engine(&next);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    let commit = p.hard_state().unwrap().commit;
    let terms: Vec<_> = read_all(&p).unwrap().iter().map(|e| (e.index, e.term)).collect();
    println!("commit {commit} {terms:?} {:?}", state(&p));
    assert!(commit < 5 || terms[4].1 == 2, "commit {commit} of {terms:?}: an entry that nobody committed");
}

#[test]
fn what_a_reset_removed_does_not_come_back_with_the_space() {
    let disk = SimDisk::new(1);
    let engine = healing_engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 10, 1, 2000);
    p.sync().unwrap();
    disk.set_free(0);
    let mut last = 10;
    while append(&p, &entries(last + 1, last + 1, 1, 2000)).is_ok() {
        last += 1;
        assert!(last < 5_000);
    }
    wait_for("ReadOnly", Duration::from_secs(3), || state(&p) == State::ReadOnly);
    let last = p.bounds().unwrap().1;
    println!("last {last} durable {}", p.status().durable_index);
    p.reset(last - 1, 7).unwrap();
    assert_eq!(p.bounds().unwrap(), (last, last - 1));
    disk.set_free(20 << 20);
    wait_for("ReadWrite", Duration::from_secs(3), || state(&p) == State::ReadWrite);
    assert_eq!(p.bounds().unwrap(), (last, last - 1), "{:?}", read_all(&p).map(|v| v.len()));
}

#[test]
fn an_append_accepted_while_a_flush_is_made_good_is_not_lost() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append_each(&p, 1, 200, 1, 2000);
        p.close().unwrap();
    }
    let engine = healing_engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    append(&p, &entries(201, 201, 1, 400)).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let tail = tail_of(&disk);
    println!("tail {tail}");
    disk.make_unwritable(&tail, 0, 1 << 20);
    disk.inject(delay(300).on(OpKind::Write).path("/seg-").once());
    disk.inject(delay(500).on(OpKind::Read).path("/seg-0000000000000001").once());
    disk.inject(delay(900).on(OpKind::SyncDir).once());
    p.submit(&refs(&entries(202, 202, 1, 400)), 1).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let done = append(&p, &entries(5, 7, 2, 400));
    println!("{done:?} {:?}", p.status());
    if done.is_ok() {
        assert_eq!(p.bounds().unwrap().1, 7, "acknowledged and not there");
        assert_eq!(p.read(5, 6, 1 << 20).unwrap()[0].term, 2);
        let next = disk.fork().crash(Crash::PowerNothing);
        next.clear_faults();
        let engine = crate::support::engine(&next);
        let p = reopen(&engine, "/p1", 1, Mode::Sync);
        assert_eq!((state(&p), p.bounds().unwrap().1), (State::ReadWrite, 7), "{:?}", p.last_fault());
    }
}

#[test]
fn healing_does_not_read_under_the_lock() {
    let disk = SimDisk::new(1);
    {
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append_each(&p, 1, 10, 1, 2000);
        p.close().unwrap();
    }
    let engine = healing_engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    // The first flush of this opening fails, and reads of what is there hang.
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/seg-0000000000000002").skip(2).once());
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Read).path("/seg-0000000000000001"));
    let own = p.clone();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = append(&own, &entries(11, 11, 1, 400));
        let _ = tell.send(());
    });
    let came_back = told.recv_timeout(Duration::from_secs(6)).is_ok();
    let own = p.clone();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = tell.send(own.status().state);
    });
    let status = told.recv_timeout(Duration::from_secs(1));
    let log: Vec<_> = disk.log().into_iter().filter(|r| !r.injected.is_empty()).collect();
    disk.clear_faults();
    disk.release();
    println!("{came_back} {log:?}");
    assert!(came_back, "append hangs (stall limit 2 s); status: {status:?} {log:?}");
}

#[test]
fn a_probe_beside_a_quiet_try_is_not_the_last() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { probe_ms: 20, ..healing_config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::None);
    append_each(&p, 1, 10, 1, 400);
    std::thread::sleep(Duration::from_millis(50));
    disk.inject(delay(80).on(OpKind::Unlink).on(OpKind::Open).on(OpKind::SyncDir));
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).path("/seg-"));
    append(&p, &entries(11, 11, 1, 400)).expect_err("the disk fails for good");
    disk.clear_faults();
    wait_for("ReadWrite", Duration::from_secs(6), || state(&p) == State::ReadWrite);
}

#[test]
fn a_replacement_that_is_gone_is_missed() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::None);
        append_each(&p, 1, 20, 1, 400);
        p.sync().unwrap();
        append(&p, &entries(15, 16, 2, 400)).unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-"));
        p.sync().unwrap_err();
        let _ = p.close();
        disk.clear_faults();
        disk.drop_caches();
        let p = reopen(&engine, "/p1", 1, Mode::None);
        let found: Vec<_> = read_all(&p).unwrap().iter().map(|e| (e.index, e.term)).collect();
        println!("{:?} {:?} {found:?}", state(&p), p.last_fault());
        let whole = p.bounds().unwrap().1 == 16 && found[15].1 == 2;
        assert!(whole || p.status().cause == Cause::LostEntries, "{:?} {found:?}", state(&p));
    }
}

#[test]
fn lost_entries_are_not_forgotten_by_the_next_try() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::None);
        append_each(&p, 1, 10, 1, 400);
        p.sync().unwrap();
        append_each(&p, 11, 20, 1, 400);
        let tail = tail_of(&disk);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-"));
        p.sync().unwrap_err();
        let _ = p.close();
        disk.clear_faults();
        // Of the pages that were never written some are gone: the last entries.
        disk.overwrite(&tail, 4096 + 17 * 464, &vec![0u8; 4096]);
        let p = reopen(&engine, "/p1", 1, Mode::None);
        println!("{:?} {:?} {:?}", state(&p), p.last_fault().map(|f| f.status), p.bounds());
        if state(&p) == State::ReadWrite {
            continue;
        }
        assert_eq!(p.status().cause, Cause::LostEntries);
        for _ in 0..3 {
            let _ = p.recover();
            assert_eq!(p.status().cause, Cause::LostEntries, "{seed} {:?} last {:?}", state(&p), p.bounds());
        }
    }
}

#[test]
fn an_orphan_has_what_was_in_flight() {
    for released_first in [true, false] {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Interval);
        append_each(&p, 1, 10, 1, 400);
        p.sync().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let tail = tail_of(&disk);
        disk.make_unwritable(&tail, 0, 1 << 20);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-").once());
        append(&p, &entries(11, 15, 1, 400)).unwrap();
        assert!(disk.wait_hung(1, Duration::from_secs(2)));
        append(&p, &entries(16, 20, 1, 400)).unwrap();
        wait_for("stalled", Duration::from_secs(4), || state(&p) == State::Unavailable);
        if released_first {
            disk.release();
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("{:?}", p.close().map_err(|e| e.status));
        disk.release();
        drop(p);
        let mut opened = None;
        wait_for("open", Duration::from_secs(5), || {
            opened = try_open(&engine, "/p1", 1, Mode::Interval).ok();
            opened.is_some()
        });
        let p = opened.unwrap();
        assert_eq!((state(&p), p.bounds().unwrap().1), (State::ReadWrite, 20), "{released_first} {:?}", p.last_fault());
    }
}

#[test]
fn an_orphan_of_an_opening_whose_first_root_write_failed_late() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 10, 1, 400);
    p.close().unwrap();
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    disk.inject(Rule::new(Fault::ErrnoAfter(libc::EIO)).on(OpKind::Write).path("/p1/root").once());
    append(&p, &entries(11, 15, 1, 400)).unwrap();
    wait_for("the fault", Duration::from_secs(2), || state(&p) == State::Unavailable);
    println!("{:?}", p.close().map_err(|e| e.status));
    drop(p);
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert_eq!((state(&p), p.bounds().unwrap().1), (State::ReadWrite, 15), "{:?}", p.last_fault());
    let _ = (Status::Ok, SimConfig::default(), Instant::now());
}

#[test]
fn compaction_never_reaches_what_may_be_rolled_back() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    wait_for("the spare", Duration::from_secs(2), || disk.exists("/p1/seg-0000000000000002"));
    std::thread::sleep(Duration::from_millis(100));
    disk.make_unwritable("/p1/seg-0000000000000002", 0, 1 << 20);
    disk.inject(delay(400).on(OpKind::Write).path("/seg-0000000000000002").once());
    p.submit(&refs(&entries(5, 6, 2, 400)), 2).unwrap();
    let own = p.clone();
    let compacted = std::thread::spawn(move || own.compact(6));
    println!("{:?}", compacted.join().unwrap().map_err(|e| e.status));
    wait_for("the fault", Duration::from_secs(2), || !matches!(state(&p), State::ReadWrite));
    p.recover().unwrap();
    let s = p.status();
    println!("compaction {:?} last {:?}", (s.compaction_index, s.compaction_term), (s.last_index, s.last_term));
    assert!(s.compaction_term <= s.last_term, "terms go back behind the compaction point");
    assert!(read_all(&p).is_ok(), "{:?}", read_all(&p).err());
}

#[test]
fn a_compaction_keeps_the_file_of_what_may_be_rolled_back() {
    let disk = SimDisk::new(1);
    let engine = healing_engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    wait_for("the spare", Duration::from_secs(2), || disk.exists("/p1/seg-0000000000000002"));
    wait_for_quiet(&disk);
    // What replaces 8 to 10 is not written, and not healed in time.
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Allocate).path("/seg-"));
    p.submit(&refs(&entries(8, 8, 2, 400)), 1).unwrap();
    p.compact(7).unwrap();
    wait_for("the fault", Duration::from_secs(2), || state(&p) == State::Unavailable);
    disk.clear_faults();
    wait_for("ReadWrite", Duration::from_secs(6), || state(&p) == State::ReadWrite);
    wait_for_quiet(&disk);
    p.close().unwrap();
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (8, 10)), "{:?}", p.last_fault());
    assert_same(&read_all(&p).unwrap(), &entries(8, 10, 1, 400), "acknowledged, and not replaced");
}

#[test]
fn a_slow_quiet_try_does_not_tell_a_state_that_is_not_there() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { probe_ms: 20, heal_limit_ms: 0, slow_disk_ms: 50, ..healing_config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    std::thread::sleep(Duration::from_millis(50));
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/seg-"));
    disk.inject(delay(200).on(OpKind::Create).once());
    append(&p, &entries(11, 11, 1, 400)).unwrap_err();
    std::thread::sleep(Duration::from_millis(600));
    let told = engine.events(100);
    wait_for("the end of a try", Duration::from_secs(2), || state(&p) == State::Unavailable);
    assert_eq!(told.last().map(|e| e.to), Some(State::Unavailable), "{told:?}");
}

#[test]
fn an_open_on_a_full_disk_still_knows_what_was_acknowledged() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::None);
        append_each(&p, 1, 10, 1, 400);
        p.sync().unwrap();
        append_each(&p, 11, 20, 1, 400);
        let tail = tail_of(&disk);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-"));
        p.sync().unwrap_err();
        let _ = p.close();
        disk.clear_faults();
        disk.overwrite(&tail, 4096 + 17 * 464, &vec![0u8; 4096]);
        disk.set_free(0);
        let p = reopen(&engine, "/p1", 1, Mode::None);
        println!("{seed} {:?} {:?}", state(&p), p.last_fault().map(|f| f.status));
        if state(&p) != State::ReadOnly {
            continue;
        }
        disk.set_free(20 << 20);
        let _ = p.recover();
        assert_eq!(p.status().cause, Cause::LostEntries, "{seed}: {:?}, last {:?}", state(&p), p.bounds());
    }
}

#[test]
fn a_commit_survives_a_second_recovery() {
    // A Drop with a flush that waits for its next try must not write a clean end over entries that are not there.
    let disk = SimDisk::new(1);
    let engine = healing_engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 10, 1, 400);
    p.sync().unwrap();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/seg-"));
    append(&p, &entries(11, 15, 1, 400)).unwrap();
    let closing = engine.close();
    println!("{:?} {:?}", closing.map_err(|e| e.status), state(&p));
    drop(p);
    drop(engine);
    disk.clear_faults();
    let engine = crate::support::engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert!(state(&p) == State::ReadWrite && read_all(&p).is_ok(), "{:?}", p.last_fault());
}

#[test]
fn a_close_that_left_something_hanging_lets_the_reserve_go_in_the_end() {
    let disk = SimDisk::new(1);
    let engine = healing_engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    std::thread::sleep(Duration::from_millis(1500));
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-").once());
    p.submit(&refs(&entries(11, 11, 1, 400)), 1).unwrap();
    assert!(disk.wait_hung(1, Duration::from_secs(2)));
    println!("{:?}", p.close().map_err(|e| e.status));
    disk.release();
    drop(p);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(disk.open_handles(), 0, "files are held open");
}

#[test]
fn a_refused_open_does_not_count_as_a_close() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    p.close().unwrap();
    drop(p);
    assert_eq!(try_open(&engine, "/p1", 2, Mode::Sync).map(drop).map_err(|e| e.status), Err(Status::WrongPartition));
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    wait_for("the reserve", Duration::from_secs(5), || disk.open_handles() >= 9);
    p.close().unwrap();
    wait_for("the filesystem to be free for an unmount", Duration::from_secs(2), || disk.open_handles() == 0);
}

/// A worker stayed with a partition for as long as anything of it waited: as many of them as there are workers stalled all others.
#[test]
fn f05_a_partition_whose_producers_never_pause_leaves_the_worker_to_others() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { flush_threads_per_disk: 1, stall_limit_ms: 1_000, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let (greedy, other) = (open(&engine, "/p1", 1, Mode::Interval), open(&engine, "/p2", 2, Mode::Sync));
    append_each(&other, 1, 1, 1, 100);
    disk.inject(delay(5).on(OpKind::Write).path("/p1/seg-"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for index in (1..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                append(&greedy, &entries(index, index, 1, 100)).unwrap();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        std::thread::sleep(Duration::from_millis(200));
        let appended = append(&other, &entries(2, 2, 1, 100));
        stop.store(true, Ordering::Relaxed);
        appended.unwrap();
    });
    greedy.sync().unwrap();
    assert_eq!(greedy.status().durable_index, greedy.status().last_index);
}

/// Votes that never pause kept the worker for good, and the entries of their own partition from it: both were latched as stalled.
#[test]
fn f05_votes_that_never_pause_leave_the_worker_to_others_and_to_entries() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { flush_threads_per_disk: 1, stall_limit_ms: 1_000, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let (greedy, other) = (open(&engine, "/p1", 1, Mode::Sync), open(&engine, "/p2", 2, Mode::Sync));
    append_each(&greedy, 1, 1, 1, 100);
    append_each(&other, 1, 1, 1, 100);
    wait_for("spares", Duration::from_secs(5), || disk.exists("/p1/seg-0000000000000002"));
    disk.inject(delay(2).on(OpKind::Write).path("/p1/root"));
    let (stop, vote, votes) = (AtomicBool::new(false), AtomicU64::new(1), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // As one is written the others wait for the next.
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    greedy.set_hard_state(hard(1, vote.fetch_add(1, Ordering::Relaxed), 0)).unwrap();
                    votes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_for("votes", Duration::from_secs(5), || votes.load(Ordering::Relaxed) > 20);
        let roots = || disk.log().iter().filter(|r| r.kind == OpKind::Write && r.path == "/p1/root").count();
        let (before, mut results) = (roots(), Vec::new());
        for index in 2..=11 {
            results.push(append(&other, &entries(index, index, 1, 100)));
            results.push(append(&greedy, &entries(index, index, 1, 100)));
        }
        let waited = roots() - before;
        stop.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
        // A turn of eight for each append of the other one, two votes for each of its own.
        assert!(waited <= 10 * (8 + 2), "{waited} votes were written while ten appends of either waited");
    });
    assert_eq!((state(&greedy), state(&other)), (State::ReadWrite, State::ReadWrite));
}

/// A reader that had passed the place of one flush when that came, and then met the next flush, took the first one for damaged.
#[test]
fn a_survey_beside_appends_finds_no_damage() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { segment_min_bytes: 1 << 20, segment_max_bytes: 1 << 20, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    // A block each: what a scan reads first ends one block behind the last.
    append_each(&p, 1, 31, 1, 3000);
    wait_for("a spare", Duration::from_secs(2), || disk.exists("/p1/seg-0000000000000002"));
    // The header twice, and that.
    disk.inject(delay(400).on(OpKind::Read).path("/p1/seg-0000000000000001").skip(3).times(1));
    std::thread::scope(|scope| {
        let survey = scope.spawn(|| Survey::of(&disk, Path::new("/p1")).unwrap());
        wait_for("the reader to be on its way", Duration::from_secs(5), || disk.faults_fired() == 1);
        append_each(&p, 32, 35, 1, 3000);
        let survey = survey.join().unwrap();
        assert_eq!((survey.fault().map(|f| f.message.clone()), survey.damaged()), (None, (0, 0, 0)));
    });
}

/// Modes interval and none never bring back what was replaced: a compaction must not keep it.
#[test]
fn f19_a_compaction_into_a_replacement_of_mode_interval_keeps_nothing_of_what_was_replaced() {
    let disk = SimDisk::new(1);
    let engine =
        Engine::with_storage(EngineConfig { interval_ms: 20_000, ..config() }, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 10, 1, 400);
    p.sync().unwrap();
    p.set_hard_state(hard(2, 1, 5)).unwrap();
    wait_for("the spare", Duration::from_secs(2), || disk.exists("/p1/seg-0000000000000002"));
    append(&p, &entries(8, 9, 2, 400)).unwrap();
    p.set_hard_state(hard(2, 1, 9)).unwrap();
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/seg-0000000000000002"));
    p.compact(9).unwrap();
    let next = disk.fork().crash(Crash::PowerNothing);
    next.clear_faults();
    disk.clear_faults();
    disk.release();
    let engine = crate::support::engine(&next);
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert_eq!(p.bounds().unwrap(), (10, 9), "entry 10 of term 1 was replaced, and is behind one of term 2");
}
