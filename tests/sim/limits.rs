//! Limits that are changed while it runs: what is set last and closest holds from the next call on, and a bad value changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::field::{start, MODES, TAIL};
use crate::support::*;
use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{
    Cause, Engine, EngineConfig, Limit, LimitChange, LimitChanged, LimitScope, Mode, Op, Partition, State, Status,
    LIMITS,
};

fn set(limit: Limit, value: u64) -> LimitChange {
    LimitChange { limit, value: Some(value) }
}

fn inherit(limit: Limit) -> LimitChange {
    LimitChange { limit, value: None }
}

fn device(engine: &Engine) -> u64 {
    engine.disks()[0].device
}

/// What is in force for a partition, and what it was set for.
fn in_force(p: &Partition, limit: Limit) -> (u64, LimitScope) {
    (p.limits().get(limit), p.limits().set_for(limit))
}

/// A sum over all series of a metric.
fn metric(engine: &Engine, name: &str) -> f64 {
    let text = engine.metrics_text();
    let lines = text.lines().filter(|l| l.starts_with(name) && l[name.len()..].starts_with(['{', ' ']));
    lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn a_heal_limit_holds_from_the_next_call_on() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let (_engine, p) = start(&disk, mode);
        let fails = || Rule::errno(libc::EIO).on(OpKind::Write).on(OpKind::Sync).path("/seg-");
        let refused = |what| {
            let next = p.status().last_index + 1;
            disk.inject(fails());
            append(&p, &entries(next, next, 1, 100)).and_then(|()| p.sync()).expect_err(what);
            disk.clear_faults();
            p.recover().unwrap();
            wait_for_quiet(&disk);
        };
        refused("healing is off");
        p.set_limits(&[set(Limit::HealLimitMs, 5_000)]).unwrap();
        disk.inject(fails().once());
        let (next, heals) = (p.status().last_index + 1, p.status().counters.heals);
        let healed = append(&p, &entries(next, next, 1, 100)).and_then(|()| p.sync());
        healed.unwrap_or_else(|e| panic!("{mode:?}: {e}"));
        assert!(p.status().counters.heals > heals, "{mode:?}: healed inside the call");
        p.set_limits(&[inherit(Limit::HealLimitMs)]).unwrap();
        refused("it is off again");
    }
}

#[test]
fn a_partition_comes_before_its_disk_and_that_before_the_engine() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let (a, b) = (open(&engine, "/p1", 1, Mode::Sync), open(&engine, "/p2", 2, Mode::Sync));
    let device = device(&engine);
    let both = |limit| (in_force(&a, limit), in_force(&b, limit));
    let limit = Limit::IntervalMs;
    assert_eq!(both(limit), ((10, LimitScope::Open), (10, LimitScope::Open)));
    a.set_limits(&[set(limit, 40)]).unwrap();
    engine.set_disk_limits(device, &[set(limit, 30)]).unwrap();
    engine.set_limits(&[set(limit, 20)]).unwrap();
    assert_eq!(both(limit), ((40, LimitScope::Partition), (30, LimitScope::Disk)));
    assert_eq!((engine.limits().get(limit), engine.disk_limits(device).get(limit)), (20, 30));
    let elsewhere = engine.disk_limits(device + 1);
    assert_eq!((elsewhere.get(limit), elsewhere.set_for(limit)), (20, LimitScope::Engine));
    let later = open(&engine, "/p3", 3, Mode::Sync);
    assert_eq!(in_force(&later, limit), (30, LimitScope::Disk), "one that is opened later");
    engine.set_disk_limits(device, &[inherit(limit)]).unwrap();
    assert_eq!(both(limit), ((40, LimitScope::Partition), (20, LimitScope::Engine)));
    a.set_limits(&[inherit(limit)]).unwrap();
    engine.set_limits(&[inherit(limit)]).unwrap();
    assert_eq!(both(limit), ((10, LimitScope::Open), (10, LimitScope::Open)));
    engine.set_disk_limits(99, &[set(limit, 7)]).unwrap();
    assert_eq!(engine.disk_limits(99).get(limit), 7, "a disk need not have partitions yet");
    assert_eq!(in_force(&a, limit).0, 10, "and is no other's");
}

#[test]
fn bad_values_say_what_is_allowed_and_change_nothing() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    let device = device(&engine);
    engine.events(100);
    let before = (engine.limits(), engine.disk_limits(device), p.limits());
    let good = set(Limit::ProbeMs, 77);
    for row in LIMITS {
        for value in [row.low.wrapping_sub(1), row.high.wrapping_add(1)] {
            if (row.low..=row.high).contains(&value) {
                continue; // any value is one
            }
            let error = engine.set_limits(&[good, set(row.limit, value)]).or_else(|e| {
                assert_eq!(engine.limits(), before.0, "all or nothing");
                if row.limit == good.limit {
                    Ok(())
                } else {
                    Err(e)
                }
            });
            if let Err(error) = error {
                assert_eq!((error.status, error.op), (Status::InvalidConfig, Op::SetLimits));
                for part in [row.name, &value.to_string(), &row.high.to_string()] {
                    assert!(error.message.contains(part), "{}", error.message);
                }
            }
        }
    }
    let refusals: [(&[LimitChange], &str); 5] = [
        (&[], "at least one"),
        (&[good, good], "twice"),
        (&[good, set(Limit::ReadCacheBytes, 1)], "the engine's"),
        (&[good, set(Limit::FlushThreadsPerDisk, 1)], "a disk's"),
        (&[good, set(Limit::SegmentMinBytes, 1 << 20)], "segment_max_bytes would be 262144"),
    ];
    for (changes, says) in refusals {
        let error = p.set_limits(changes).expect_err(says);
        assert!(error.message.contains(says) && error.partition_id == 1, "{error}");
    }
    let error = engine.set_disk_limits(device, &[good, set(Limit::ReadCacheBytes, 1)]).expect_err("the engine's");
    assert_eq!(error.status, Status::InvalidArgument);
    assert_eq!((engine.limits(), engine.disk_limits(device), p.limits()), before);
    assert!(engine.events(100).is_empty(), "nothing has happened");
    p.close().unwrap();
    assert_eq!(p.set_limits(&[good]).map_err(|e| e.status), Err(Status::Closed));
    engine.close().unwrap();
    assert_eq!(engine.set_limits(&[good]).map_err(|e| e.status), Err(Status::Closed));
}

/// A partition's own size and a smaller largest size of the engine contradict each other: the larger one counts, and a change of something else
/// has nothing to do with it.
#[test]
fn a_change_is_not_refused_for_sizes_that_were_set_elsewhere() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    p.set_limits(&[set(Limit::SegmentMinBytes, 256 << 10)]).unwrap();
    engine.set_limits(&[set(Limit::SegmentMaxBytes, 128 << 10)]).unwrap();
    p.set_limits(&[set(Limit::ProbeMs, 77)]).unwrap();
    assert_eq!(in_force(&p, Limit::ProbeMs), (77, LimitScope::Partition));
    let refused = p.set_limits(&[set(Limit::SegmentMinBytes, 192 << 10)]).expect_err("above the largest");
    assert_eq!(refused.status, Status::InvalidConfig);
    assert_eq!(in_force(&p, Limit::SegmentMinBytes), (256 << 10, LimitScope::Partition));
}

#[test]
fn every_change_is_an_event() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    engine.events(100);
    p.set_tag(9);
    p.set_limits(&[set(Limit::HealLimitMs, 500), set(Limit::ProbeMs, 70)]).unwrap();
    engine.set_disk_limits(device(&engine), &[inherit(Limit::SpaceWaitMs)]).unwrap();
    engine.set_limits(&[set(Limit::IntervalMs, 5)]).unwrap();
    let events = engine.events(100);
    assert_eq!(events.len(), 3, "{events:?}");
    for event in &events {
        let what = (event.from, event.to, event.cause, event.op);
        assert_eq!(what, (State::ReadWrite, State::ReadWrite, Cause::None, Op::SetLimits));
    }
    assert_eq!(events.iter().map(|e| (e.partition_id, e.tag)).collect::<Vec<_>>(), [(1, 9), (0, 0), (0, 0)]);
    assert_eq!(events[0].note, "heal_limit_ms never to 500, probe_ms never to 70");
    assert!(events[1].note.starts_with("disk ") && events[1].note.ends_with(" (taken back)"), "{}", events[1].note);
    assert!(events[2].note.starts_with("the engine: interval_ms ") && events[2].note.ends_with(" to 5"));
    let limit = Limit::ProbeMs;
    let (changed_for, set_for) = (LimitScope::Partition, LimitScope::Partition);
    assert_eq!(events[0].limits[1], LimitChanged { limit, changed_for, device: 0, before: 0, after: 70, set_for });
    let taken_back = events[1].limits[0];
    assert_eq!((taken_back.changed_for, taken_back.device), (LimitScope::Disk, device(&engine)));
    assert_eq!(taken_back.set_for, LimitScope::Open);
}

#[test]
fn a_partition_that_nobody_probed_comes_back_when_probes_are_switched_on() {
    for widely in [false, true] {
        let disk = SimDisk::new(1);
        let (engine, p) = start(&disk, Mode::Sync);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/seg-0000000000000001").once());
        append(&p, &entries(6, 6, 1, 100)).expect_err("healing is off");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(state(&p), State::Unavailable);
        let on = [set(Limit::ProbeMs, 10)];
        if widely { engine.set_limits(&on) } else { p.set_limits(&on) }.unwrap();
        wait_for("a probe", Duration::from_secs(5), || state(&p) == State::ReadWrite);
    }
}

#[test]
fn an_entry_that_was_too_large_is_taken_when_the_limit_is_raised() {
    let disk = SimDisk::new(1);
    let engine =
        Engine::with_storage(EngineConfig { max_entry_bytes: 100, ..config() }, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    let refused = append(&p, &entries(1, 1, 1, 101)).expect_err("101 bytes");
    assert_eq!(refused.status, Status::EntryTooLarge);
    engine.set_limits(&[set(Limit::MaxEntryBytes, 101)]).unwrap();
    append(&p, &entries(1, 1, 1, 101)).unwrap();
}

#[test]
fn a_shorter_interval_is_that_of_the_next_flush() {
    let disk = SimDisk::new(1);
    let limits = EngineConfig { interval_ms: 60_000, ..config() };
    let engine = Engine::with_storage(limits, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Interval);
    p.set_limits(&[set(Limit::IntervalMs, 5)]).unwrap();
    append(&p, &entries(1, 1, 1, 100)).unwrap();
    wait_for("the flush", Duration::from_secs(5), || p.status().durable_index == 1);
}

/// Wherever they are set. The watchdog has seen the call and would look again in a minute.
#[test]
fn a_call_under_way_is_measured_by_the_new_limits() {
    for scope in [LimitScope::Partition, LimitScope::Disk, LimitScope::Engine] {
        let disk = SimDisk::new(1);
        let limits = EngineConfig { stall_limit_ms: 60_000, slow_disk_ms: 60_000, ..config() };
        let engine = Engine::with_storage(limits, Arc::new(disk.clone())).unwrap();
        let (a, b) = (open(&engine, "/p1", 1, Mode::Sync), open(&engine, "/p2", 2, Mode::Sync));
        append_each(&a, 1, 5, 1, 100);
        append_each(&b, 1, 5, 1, 100);
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(TAIL).once());
        let hanging = a.clone();
        let call = std::thread::spawn(move || append(&hanging, &entries(6, 6, 1, 100)));
        assert!(disk.wait_hung(1, Duration::from_secs(5)));
        engine.events(100);
        std::thread::sleep(Duration::from_millis(100));
        let (changed, new) = (Instant::now(), [set(Limit::SlowDiskMs, 100), set(Limit::StallLimitMs, 300)]);
        match scope {
            LimitScope::Partition => a.set_limits(&new),
            LimitScope::Disk => engine.set_disk_limits(device(&engine), &new),
            _ => engine.set_limits(&new),
        }
        .unwrap();
        wait_for("the stall", Duration::from_secs(5), || state(&a) == State::Unavailable);
        assert!(changed.elapsed() < Duration::from_secs(2), "{scope:?}: {:?}", changed.elapsed());
        let told = engine.events(100);
        let slow = told.iter().any(|e| e.cause == Cause::Stalled && e.to == State::ReadWrite);
        assert!(slow, "{scope:?}: slow first: {told:?}");
        append(&b, &entries(6, 6, 1, 100)).expect("another partition goes on");
        disk.release();
        assert_eq!(call.join().unwrap().map_err(|e| e.status), Err(Status::Stalled));
    }
}

/// An open reads the limits when it begins, and is found by a change only when it is through.
#[test]
fn a_change_beside_an_open_is_not_missed() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    p.close().unwrap();
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Read).path("/p1/root").once());
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| open(&engine, "/p1", 1, Mode::Sync));
        assert!(disk.wait_hung(1, Duration::from_secs(5)));
        engine.set_limits(&[set(Limit::IntervalMs, 77)]).unwrap();
        engine.set_disk_limits(device(&engine), &[set(Limit::ProbeMs, 88)]).unwrap();
        disk.release();
        let p = opening.join().unwrap();
        assert_eq!(in_force(&p, Limit::IntervalMs), (77, LimitScope::Engine));
        assert_eq!(in_force(&p, Limit::ProbeMs), (88, LimitScope::Disk));
    });
}

#[test]
fn a_disk_gets_as_many_threads_as_it_is_given() {
    let disk = SimDisk::new(1);
    let limits = EngineConfig { flush_threads_per_disk: 1, stall_limit_ms: 60_000, ..config() };
    let engine = Engine::with_storage(limits, Arc::new(disk.clone())).unwrap();
    let (a, b) = (open(&engine, "/p1", 1, Mode::Sync), open(&engine, "/p2", 2, Mode::Sync));
    append_each(&b, 1, 5, 1, 100);
    append_each(&a, 1, 5, 1, 100);
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(TAIL).once());
    let calls = [a, b].map(|p| {
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || send.send(append(&p, &entries(6, 6, 1, 100))));
        if disk.wait_hung(1, Duration::from_secs(5)) {
            (receive, thread)
        } else {
            panic!("the first append hangs")
        }
    });
    let behind = &calls[1].0;
    assert!(behind.recv_timeout(Duration::from_millis(200)).is_err(), "the only thread hangs with another partition");
    engine.set_disk_limits(device(&engine), &[set(Limit::FlushThreadsPerDisk, 3)]).unwrap();
    behind.recv_timeout(Duration::from_secs(5)).expect("a second thread").unwrap();
    disk.release();
    calls[0].0.recv_timeout(Duration::from_secs(5)).expect("the disk works again").unwrap();
    let flushing = || {
        let text = engine.metrics_text();
        let lines = text.lines().filter(|l| l.starts_with("bulkhead_threads{") && l.contains("pool=\"flush\""));
        lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    assert_eq!(flushing(), 2.0);
    engine.set_limits(&[set(Limit::FlushThreadsPerDisk, 2)]).unwrap();
    engine.set_disk_limits(device(&engine), &[set(Limit::FlushThreadsPerDisk, 1)]).unwrap();
    wait_for("one thread less", Duration::from_secs(5), || flushing() == 1.0);
}

#[test]
fn a_smaller_cache_gives_up_what_it_holds() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    append_each(&p, 6, 20, 1, 1000);
    assert!(metric(&engine, "bulkhead_cache_bytes") > 0.0);
    engine.set_limits(&[set(Limit::ReadCacheBytes, 0)]).unwrap();
    assert_eq!(metric(&engine, "bulkhead_cache_bytes"), 0.0, "also of a partition that does nothing");
    assert_eq!(metric(&engine, "bulkhead_cache_limit_bytes"), 0.0);
    assert_eq!(read_all(&p).unwrap().len(), 20);
}

/// What partitions keep for reading that append nothing, or little, must not be all there is for ever.
#[test]
fn what_is_old_in_the_cache_gives_way_to_what_is_new() {
    for trickles in [false, true] {
        let disk = SimDisk::new(1);
        let (engine, first) = start(&disk, Mode::Sync);
        let works = open(&engine, "/p2", 2, Mode::Sync);
        engine.set_limits(&[set(Limit::ReadCacheBytes, 256 << 10)]).unwrap();
        append_each(&first, 6, 100, 1, 4000);
        let (mut next, mut last) = (1, 100);
        wait_for("a partition that works reads from memory", Duration::from_secs(10), || {
            if trickles && next % 50 == 1 {
                last += 1;
                append_each(&first, last, last, 1, 10);
            }
            append_each(&works, next, next + 9, 1, 1000);
            let before = disk.count(OpKind::Read);
            assert_eq!(works.read(next, next + 10, u64::MAX).unwrap().len(), 10);
            next += 10;
            std::thread::sleep(Duration::from_millis(50));
            disk.count(OpKind::Read) == before
        });
        assert_eq!(read_all(&first).unwrap().len() as u64, last);
    }
}

#[test]
fn segments_grow_to_the_new_size() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    let largest = || disk.files("/p1").iter().map(|f| disk.durable_bytes(f).len()).max().unwrap_or(0);
    append_each(&p, 6, 60, 1, 16 << 10);
    assert!(largest() <= 256 << 10, "{}", largest());
    // The smallest of the engine is above the largest of the partition: the smallest counts.
    p.set_limits(&[set(Limit::SegmentMaxBytes, 128 << 10)]).unwrap();
    engine.set_limits(&[set(Limit::SegmentMinBytes, 1 << 20), set(Limit::SegmentMaxBytes, 1 << 20)]).unwrap();
    append_each(&p, 61, 200, 1, 16 << 10);
    assert!((900 << 10..2 << 20).contains(&largest()), "{}", largest());
    assert_eq!(read_all(&p).unwrap().len(), 200);
}
