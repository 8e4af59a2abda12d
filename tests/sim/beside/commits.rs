//! Commits, compactions and resets beside what may be rolled back or replaced.

use super::*;

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

/// A flush of entries 6 to 12 that takes its time, behind five that are durable.
fn slow_flush(disk: &SimDisk) -> (Engine, Arc<Partition>) {
    let engine = engine(disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 5, 1, 300);
    p.set_hard_state(hard(1, 1, 3)).unwrap();
    wait_for_quiet(disk);
    disk.inject(delay(800).on(OpKind::Write).path("/p1/seg-").once());
    p.submit(&refs(&entries(6, 12, 1, 300)), 1).unwrap();
    wait_for("the flush", Duration::from_secs(2), || disk.faults_fired() == 1);
    (engine, p)
}

/// It waited for the flush first, and kept appends away meanwhile.
#[test]
fn a_reset_that_is_refused_refuses_no_append() {
    let disk = SimDisk::new(1);
    let (_engine, p) = slow_flush(&disk);
    std::thread::scope(|scope| {
        let reset = scope.spawn(|| p.reset(2, 1));
        std::thread::sleep(Duration::from_millis(200));
        assert_ne!(p.status().durable_index, 12, "the test does not test");
        p.submit(&refs(&entries(13, 13, 1, 300)), 2).expect("nothing is wrong with it");
        assert_eq!(reset.join().unwrap().map_err(|e| e.status), Err(Status::CommitOutOfRange));
    });
    append(&p, &entries(14, 14, 1, 300)).unwrap();
    assert_same(&read_all(&p).unwrap(), &entries(1, 14, 1, 300), "nothing is changed");
}

/// What it waits for may commit what it would undo.
#[test]
fn a_reset_is_refused_for_a_commit_that_comes_while_it_waits() {
    let disk = SimDisk::new(1);
    let (_engine, p) = slow_flush(&disk);
    std::thread::scope(|scope| {
        let reset = scope.spawn(|| p.reset(8, 1));
        wait_for("the reset to keep appends away", Duration::from_secs(2), || {
            p.submit(&refs(&entries(14, 14, 1, 300)), 2).map_err(|e| e.status) == Err(Status::Busy)
        });
        p.set_hard_state(hard(1, 1, 10)).unwrap();
        assert_ne!(p.status().durable_index, 12, "the test does not test");
        assert_eq!(reset.join().unwrap().map_err(|e| e.status), Err(Status::CommitOutOfRange));
    });
    append(&p, &entries(13, 13, 1, 300)).unwrap();
    assert_same(&read_all(&p).unwrap(), &entries(1, 13, 1, 300), "nothing is changed");
}
