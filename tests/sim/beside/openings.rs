//! What an opening leaves, and what the next one makes of it.

use super::*;

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
