//! F23, F28: an operation that hangs holds up nobody for longer than the stall limit, no other disk at all, and completes late without
//! touching what has taken its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::field::*;
use crate::support::*;
use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Engine, Entry, Limit, LimitChange, Mode, Partition, State, Status};

/// While something hangs; else a machine that pauses would be taken for a disk that does.
const STALL_MS: u32 = 150;
const LONG_MS: u32 = 5_000;
/// What a call may take beyond the limit: other threads of a busy machine, and a call that waits for two things.
const MARGIN: Duration = Duration::from_millis(850);
const WAITING: [Mode; 2] = [Mode::Sync, Mode::Interval];

fn limit_stalls(p: &Partition, ms: u32) {
    p.set_limits(&[LimitChange { limit: Limit::StallLimitMs, value: Some(ms.into()) }]).unwrap();
}

fn start_on(disk: &SimDisk, mode: Mode) -> (Engine, Arc<Partition>) {
    let engine = engine_with_stall_limit(disk, LONG_MS);
    let p = open(&engine, "/p1", 1, mode);
    p.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&p, 1, 5, 1, 300);
    p.sync().unwrap();
    limit_stalls(&p, STALL_MS);
    (engine, p)
}

/// After the hung operation has come back: recovery, and entries and a vote in the place of what hung. They are what stays.
fn replace_and_check(disk: &SimDisk, p: &Partition, mode: Mode, kept: &[Entry], what: &str) {
    limit_stalls(p, LONG_MS);
    wait_for("recovery", Duration::from_secs(5), || p.recover().is_ok());
    let last = p.bounds().unwrap().1;
    assert_same(&read_all(p).unwrap(), &kept[..last as usize], what);
    let new = entries(last + 1, last + 3, 4, 700);
    append_durably(p, &new).unwrap_or_else(|e| panic!("{what}: {e}"));
    p.set_hard_state(hard(5, 9, 0)).unwrap_or_else(|e| panic!("{what}: {e}"));
    let wanted = [&kept[..last as usize], &new[..]].concat();
    assert_survives(disk, mode, &wanted, what);
    for how in CRASHES {
        let after = disk.fork().crash(how);
        let (_engine, p) = assert_opens_with(&after, mode, &wanted, what);
        let hard = p.hard_state().unwrap();
        assert_eq!((hard.term, hard.vote), (5, 9), "{what}, {how:?}: the late vote is back");
    }
}

#[test]
fn f23_a_late_flush_does_not_touch_what_replaced_it() {
    for (mode, direct_io) in WAITING.into_iter().flat_map(|m| [(m, true), (m, false)]) {
        for (kind, seed) in [OpKind::Write, OpKind::Sync].into_iter().flat_map(|k| (0..3).map(move |s| (k, s))) {
            if kind == OpKind::Sync && direct_io {
                continue; // direct writes are durable without a sync
            }
            let what = format!("{mode:?}, direct {direct_io}, {kind:?}");
            let disk = disk_of(seed, direct_io);
            let (_engine, p) = start_on(&disk, mode);
            disk.inject(Rule::new(Fault::Hang).on(kind).path(TAIL).once());
            let late = append_durably(&p, &entries(6, 9, 1, 2000)).expect_err("the flush hangs");
            assert_eq!((late.status, state(&p)), (Status::Stalled, State::Unavailable), "{what}");
            assert_eq!(p.recover().map_err(|e| e.status), Err(Status::Busy), "{what}");
            disk.release();
            let kept = [entries(1, 5, 1, 300), entries(6, 9, 1, 2000)].concat();
            replace_and_check(&disk, &p, mode, &kept, &what);
        }
    }
}

#[test]
fn f23_a_late_vote_or_compaction_does_not_touch_what_replaced_it() {
    for (mode, direct_io) in WAITING.into_iter().flat_map(|m| [(m, true), (m, false)]) {
        for (compacts, kind) in
            [OpKind::Open, OpKind::Write, OpKind::Sync].into_iter().flat_map(|k| [(true, k), (false, k)])
        {
            if kind == OpKind::Sync && direct_io {
                continue;
            }
            let what = format!("{mode:?}, direct {direct_io}, {kind:?}, compaction {compacts}");
            let disk = disk_of(1, direct_io);
            let (_engine, p) = start_on(&disk, mode);
            // The spare is made, and nothing else writes the root.
            wait_for("housekeeping", Duration::from_secs(5), || disk.exists("/p1/seg-0000000000000002"));
            std::thread::sleep(Duration::from_millis(20));
            disk.inject(Rule::new(Fault::Hang).on(kind).path("/p1/root").once());
            let late = if compacts { p.compact(3) } else { p.set_hard_state(hard(3, 3, 0)) };
            assert_eq!(late.map_err(|e| e.status), Err(Status::Stalled), "{what}");
            disk.release();
            limit_stalls(&p, LONG_MS);
            wait_for("recovery", Duration::from_secs(5), || p.recover().is_ok());
            let first = p.bounds().unwrap().0;
            assert_eq!(first, 1, "{what}: a compaction that was refused");
            replace_and_check(&disk, &p, mode, &entries(1, 5, 1, 300), &what);
        }
    }
}

#[test]
fn f23_a_late_segment_does_not_touch_what_replaced_it() {
    let kinds = [OpKind::Create, OpKind::Allocate, OpKind::Write, OpKind::Sync, OpKind::SyncDir];
    for ((mode, direct_io), kind) in
        WAITING.into_iter().flat_map(|m| [(m, true), (m, false)]).flat_map(|m| kinds.map(|k| (m, k)))
    {
        let what = format!("{mode:?}, direct {direct_io}, {kind:?}");
        if kind == OpKind::Sync && direct_io {
            continue;
        }
        let disk = disk_of(1, direct_io);
        let (_engine, p) = start_on(&disk, mode);
        let path = if kind == OpKind::SyncDir { "/p1" } else { "/p1/seg-0000000000000003" };
        disk.inject(Rule::new(Fault::Hang).on(kind).path(path).once());
        let mut kept = entries(1, 5, 1, 300);
        loop {
            let next = kept.len() as u64 + 1;
            assert!(next < 1000, "{what}: nothing hangs");
            let batch = entries(next, next + 2, 1, 3000);
            let done = append_durably(&p, &batch);
            kept.extend(batch);
            if let Err(e) = done {
                assert_eq!(e.status, Status::Stalled, "{what}: {e}");
                break;
            }
        }
        disk.release();
        replace_and_check(&disk, &p, mode, &kept, &what);
    }
}

#[test]
fn f23_a_late_operation_of_a_closed_partition_does_not_touch_the_next_opening() {
    for (mode, path) in WAITING.into_iter().flat_map(|m| [(m, TAIL), (m, "/p1/root")]) {
        for seed in 0..4 {
            let what = format!("{mode:?}, {path}, seed {seed}");
            let disk = disk_of(seed, true);
            let (engine, p) = start_on(&disk, mode);
            disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(path).once());
            let late = append_durably(&p, &entries(6, 9, 1, 2000)).and_then(|()| p.set_hard_state(hard(3, 3, 0)));
            assert_eq!(late.map_err(|e| e.status), Err(Status::Stalled), "{what}");
            assert_eq!(p.close().map_err(|e| e.status), Err(Status::Busy), "{what}: close must tell of what hangs");
            let next = engine_with_stall_limit(&disk, 2_000);
            // Either the directory stays locked for as long as something may still touch it, or the next opening is out of its reach.
            let again = try_open(&next, "/p1", 1, mode);
            let q = match again {
                Ok(q) => q,
                Err(e) => {
                    assert_eq!(e.status, Status::Locked, "{what}: {e}");
                    disk.release();
                    drop((p, engine));
                    let mut opened = None;
                    wait_for("the lock", Duration::from_secs(5), || {
                        opened = try_open(&next, "/p1", 1, mode).ok();
                        opened.is_some()
                    });
                    opened.unwrap()
                }
            };
            assert_eq!(state(&q), State::ReadWrite, "{what}: {:?}", q.last_fault());
            let last = q.bounds().unwrap().1;
            append_durably(&q, &entries(last + 1, last + 2, 4, 500)).unwrap();
            q.set_hard_state(hard(5, 9, 0)).unwrap();
            disk.release();
            std::thread::sleep(Duration::from_millis(30));
            let wanted = read_all(&q).unwrap();
            assert_eq!((wanted.len() as u64, wanted.last().map(|e| e.term)), (last + 2, Some(4)), "{what}");
            assert_survives(&disk, mode, &wanted, &what);
            let (_engine, r) = assert_opens_with(&disk.fork().crash(CRASHES[seed as usize]), mode, &wanted, &what);
            assert_eq!(
                (r.hard_state().unwrap().term, r.hard_state().unwrap().vote),
                (5, 9),
                "{what}: the late vote is back"
            );
        }
    }
}

/// Runs a call on a disk that hangs.
fn in_time<T: Send + 'static>(
    what: &str,
    p: &Arc<Partition>,
    call: impl FnOnce(&Partition) -> T + Send + 'static,
) -> T {
    let p = p.clone();
    returns_within(Duration::from_millis(STALL_MS.into()) + MARGIN, what, move || call(&p))
}

#[test]
fn f28_calls_return_within_the_stall_limit_on_a_hung_disk() {
    type Call = fn(&Partition) -> Result<(), bulkhead::Error>;
    let calls: [(&str, Call); 8] = [
        ("append", |p| append_durably(p, &entries(6, 6, 1, 300))),
        ("replacing append", |p| append_durably(p, &entries(4, 6, 2, 300))),
        ("large append", |p| append_durably(p, &entries(6, 9, 1, 4 << 20))),
        ("vote", |p| p.set_hard_state(hard(2, 2, 0))),
        ("compact", |p| p.compact(3)),
        ("reset", |p| p.reset(100, 3)),
        ("sync", |p| append(p, &entries(6, 6, 1, 10)).and_then(|()| p.sync())),
        ("close", |p| append(p, &entries(6, 6, 1, 10)).and_then(|()| p.close())),
    ];
    for ((mode, direct_io), (name, call)) in
        WAITING.into_iter().flat_map(|m| [(m, true), (m, false)]).flat_map(|m| calls.map(|c| (m, c)))
    {
        let what = format!("{mode:?}, direct {direct_io}, {name}");
        let disk = disk_of(1, direct_io);
        let (engine, p) = start_on(&disk, mode);
        disk.inject(Rule::new(Fault::Hang).path("/p1"));
        let result = in_time(&what, &p, call);
        let status = result.as_ref().err().map(|e| e.status);
        assert!(matches!(status, Some(Status::Stalled | Status::Busy)), "{what}: {result:?}");
        // Later calls get the fault, or what memory knows, at once; two that have to wait for the kernel take their limit.
        let _ = in_time(&what, &p, |p| (append(p, &entries(6, 6, 1, 10)), p.status(), p.bounds(), p.hard_state()));
        assert!(in_time(&format!("{what}, then recover"), &p, |p| p.recover()).is_err(), "{what}");
        let _ = in_time(&format!("{what}, then close"), &p, |p| p.close());
        disk.clear_faults();
        disk.release();
        // On a machine that is late what hung comes back late.
        wait_for("what hung to come back", Duration::from_secs(5), || p.close().is_ok());
        returns_within(Duration::from_secs(5), &what, move || engine.close()).unwrap();
    }
}

#[test]
fn f28_partitions_on_other_disks_are_untouched() {
    for (hung, other) in MODES.into_iter().flat_map(|h| MODES.map(|o| (h, o))) {
        let what = format!("{hung:?} hangs, {other:?} beside it");
        let disk = SimDisk::new(1);
        // More hung partitions than a disk has threads for flushes.
        for id in 1..=15u64 {
            disk.make_dirs(&format!("/p{id}"));
            disk.set_device(&format!("/p{id}"), if id <= 10 { 1 } else { 2 });
        }
        let engine = Arc::new(engine_with_stall_limit(&disk, 10_000));
        let parts: Vec<_> =
            (1..=14u64).map(|id| open(&engine, &format!("/p{id}"), id, if id <= 10 { hung } else { other })).collect();
        parts.iter().for_each(|p| append_each(p, 1, 3, 1, 100));
        (1..=10).for_each(|id| disk.inject(Rule::new(Fault::Hang).path(&format!("/p{id}/"))));
        for p in &parts[..10] {
            let p = p.clone();
            std::thread::spawn(move || (4..90).all(|i| append_durably(&p, &entries(i, i, 1, 3000)).is_ok()));
        }
        assert!(disk.wait_hung(8, Duration::from_secs(5)), "{what}: nothing hangs");
        let work = {
            let (engine, parts) = (engine.clone(), parts[10..].to_vec());
            move || {
                let mut slowest = Duration::ZERO;
                for i in 4..60u64 {
                    for p in &parts {
                        let began = Instant::now();
                        append_durably(p, &entries(i, i, 1, 3000)).unwrap();
                        slowest = slowest.max(began.elapsed());
                    }
                }
                // Votes, compaction and whole openings, too.
                for p in &parts {
                    p.set_hard_state(hard(3, 2, 0)).unwrap();
                    p.compact(30).unwrap();
                    p.close().unwrap();
                }
                let p = open(&engine, "/p15", 15, other);
                append_each(&p, 1, 30, 1, 3000);
                p.close().unwrap();
                slowest
            }
        };
        let slowest = returns_within(Duration::from_secs(8), &what, work);
        assert!(slowest < Duration::from_secs(1), "{what}: an append took {slowest:?}");
        disk.clear_faults();
        disk.release();
    }
}

/// The engine is closed while a disk hangs: partitions of other disks are closed, cleanly, without waiting for it, whichever comes first.
#[test]
fn f28_an_engine_closes_the_other_disks_beside_one_that_hangs() {
    for (mode, hung) in MODES.into_iter().flat_map(|mode| [(mode, 1), (mode, 2), (mode, 3)]) {
        let what = format!("{mode:?}, disk {hung} hangs");
        let disk = SimDisk::new(1);
        let engine = engine_with_stall_limit(&disk, 10_000);
        let parts: Vec<_> = (1..=6u64).map(|id| (format!("/p{id}"), id, id.div_ceil(2))).collect();
        let open_one = |(path, id, device): &(String, u64, u64)| {
            disk.make_dirs(path);
            disk.set_device(path, *device);
            let p = open(&engine, path, *id, mode);
            append_each(&p, 1, 3, 1, 100);
            p
        };
        let handles: Vec<_> = parts.iter().map(open_one).collect();
        wait_for_quiet(&disk);
        let hangs = |id: u64, device: u64| (device == hung).then_some(format!("/p{id}/"));
        for path in parts.iter().filter_map(|(_, id, device)| hangs(*id, *device)) {
            disk.inject(Rule::new(Fault::Hang).path(&path));
        }
        let closing = std::thread::spawn(move || engine.close());
        assert!(disk.wait_hung(1, Duration::from_secs(5)), "{what}: nothing hangs");
        let closed = |p: &Partition| state(p) == State::Closed;
        wait_for(&what, Duration::from_secs(3), || {
            handles.iter().zip(&parts).all(|(p, (.., device))| *device == hung || closed(p))
        });
        assert!(handles.iter().any(|p| !closed(p)), "{what}: the hung disk was waited for");
        disk.clear_faults();
        disk.release();
        returns_within(Duration::from_secs(8), &what, move || closing.join()).unwrap().unwrap();
        for (path, id, _) in &parts {
            let survey = bulkhead::Survey::of(&disk, std::path::Path::new(path)).unwrap();
            assert!(survey.is_clean(), "{what}: partition {id}");
            assert_eq!(survey.bounds(), (1, 3), "{what}: partition {id}");
        }
    }
}

/// Found by reading: each of them took its own stall limit, one after the other.
#[test]
fn f28_an_engine_closes_partitions_that_hang_beside_each_other() {
    for (mode, hung) in [(Mode::Sync, 3), (Mode::Sync, 40), (Mode::Interval, 40)] {
        let what = format!("{mode:?}, {hung} of 40 hang");
        let disk = SimDisk::new(1);
        let engine = engine_with_stall_limit(&disk, 1_500);
        let handles: Vec<_> = (1..=40).map(|id| open(&engine, &format!("/p{id}"), id, mode)).collect();
        handles.iter().for_each(|p| append_each(p, 1, 3, 1, 100));
        wait_for_quiet(&disk);
        (1..=hung).for_each(|id| disk.inject(Rule::new(Fault::Hang).path(&format!("/p{id}/"))));
        let began = Instant::now();
        let closed = returns_within(Duration::from_secs(100), &what, move || engine.close());
        let took = began.elapsed();
        assert!(closed.is_err(), "{what}");
        assert!(handles.iter().all(|p| state(p) == State::Closed), "{what}");
        assert!(took < Duration::from_secs(8), "{what}: {took:?}, and as long for each, one after the other");
        disk.clear_faults();
        disk.release();
        for id in hung + 1..=40 {
            let survey = bulkhead::Survey::of(&disk, format!("/p{id}").as_ref()).unwrap();
            assert!(survey.is_clean(), "{what}: partition {id} works: {:?}", handles[id as usize - 1].last_fault());
        }
    }
}
