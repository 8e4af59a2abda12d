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
