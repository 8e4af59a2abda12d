//! Others beside appends that never pause.

use super::*;

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

/// A partition on a disk that takes 2 ms for a flush, whose limit for all of them is 1 s.
fn busy_partition(disk: &SimDisk) -> (Engine, Arc<Partition>) {
    let engine =
        Engine::with_storage(EngineConfig { stall_limit_ms: 1_000, ..config() }, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    disk.inject(delay(2).on(OpKind::Write).path("/p1/seg-"));
    (engine, p)
}

/// Calls `call` while another thread submits entries without a pause. Returns what the call said, and what ended the other thread.
fn beside_appends(
    p: &Partition,
    call: impl FnOnce(&Partition) -> Result<(), Error>,
) -> (Result<(), Error>, Option<Error>) {
    let (stop, end) = (AtomicBool::new(false), Instant::now() + Duration::from_secs(10));
    std::thread::scope(|scope| {
        let appends = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(Instant::now() < end, "the call waits for a pause");
                let next = p.bounds().unwrap().1 + 1;
                if let Err(e) = p.submit(&refs(&entries(next, next + 3, 1, 400)), 1) {
                    return Some(e);
                }
            }
            None
        });
        while p.bounds().unwrap().1 < 200 {
            std::thread::yield_now();
        }
        let said = call(p);
        stop.store(state(p) == State::ReadWrite, Ordering::Relaxed);
        (said, appends.join().unwrap())
    })
}

/// There was never a moment without a flush for these calls to wait for, and the limit of their wait took a healthy partition for stalled.
#[test]
fn a_verify_of_a_log_whose_appends_never_pause_does_not_take_it_for_stalled() {
    for _ in 0..3 {
        let (_engine, p) = busy_partition(&SimDisk::new(1));
        let (verified, ended) = beside_appends(&p, |p| p.verify().map(|report| assert_eq!(report.bad_records, 0)));
        assert_eq!((verified, ended), (Ok(()), None));
        assert_eq!(state(&p), State::ReadWrite, "{:?}", p.last_fault());
    }
}

#[test]
fn a_fence_of_a_log_whose_appends_never_pause_does_not_take_it_for_stalled() {
    for _ in 0..3 {
        let (_engine, p) = busy_partition(&SimDisk::new(1));
        let (fenced, ended) = beside_appends(&p, |p| p.fence(State::ReadOnly, "for a test"));
        assert_eq!(fenced, Ok(()));
        assert_eq!(ended.map(|e| e.status), Some(Status::Fenced), "appends end at the fence");
        assert_eq!(p.status().cause, Cause::Fenced);
        assert_eq!(p.status().durable_index, p.bounds().unwrap().1, "what was accepted is durable");
    }
}

#[test]
fn a_reset_of_a_log_whose_appends_never_pause_does_not_take_it_for_stalled() {
    for _ in 0..3 {
        let (_engine, p) = busy_partition(&SimDisk::new(1));
        let (reset, ended) = beside_appends(&p, |p| p.reset(1_000_000, 1));
        assert_eq!(reset, Ok(()));
        // One that comes behind the reset continues the log that it left.
        let expected = [None, Some(Status::Busy), Some(Status::Compacted)];
        assert!(expected.contains(&ended.as_ref().map(|e| e.status)), "{ended:?}");
        assert_eq!(state(&p), State::ReadWrite, "{:?}", p.last_fault());
        assert!(p.bounds().unwrap().0 == 1_000_001, "{:?}", p.bounds());
    }
}

/// The wait for room was bounded from its begin on: what was in front took longer than that, and the disk was called stalled.
#[test]
fn an_append_that_waits_for_room_does_not_take_a_disk_that_gets_on_for_stalled() {
    let disk = SimDisk::new(1);
    let engine =
        Engine::with_storage(EngineConfig { stall_limit_ms: 1_000, ..config() }, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 5, 1, 300);
    p.sync().unwrap();
    // Segments of 256 KiB, which is a flush each.
    disk.inject(delay(60).on(OpKind::Write).path("/p1/seg-"));
    append_each(&p, 6, 39, 1, 240 << 10);
    append(&p, &entries(40, 43, 1, 1 << 20)).unwrap();
    let begun = Instant::now();
    append(&p, &entries(44, 44, 1, 300)).unwrap_or_else(|e| panic!("after {:?}: {e}", begun.elapsed()));
    assert!(begun.elapsed() > Duration::from_millis(1_200), "{:?}: the test does not test", begun.elapsed());
    disk.clear_faults();
    p.sync().unwrap();
    assert_eq!((state(&p), p.status().durable_index), (State::ReadWrite, 44), "{:?}", p.last_fault());
}
