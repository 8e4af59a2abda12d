//! Healing, by itself and in a call, beside calls.

use super::*;

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
