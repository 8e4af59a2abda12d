//! Metrics: what they say is what happened, and asking for them holds up nobody and is held up by nobody.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Engine, EngineConfig, MetricKind, MetricValue, Mode, State, METRICS};
use support::field::*;
use support::*;

/// All series: name and labels but for the disk's, and the value; of a histogram how many it counts.
fn series(engine: &Engine) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for family in engine.metrics() {
        for sample in &family.samples {
            let labels =
                family.info.labels.iter().zip(&sample.labels).filter(|(name, _)| !["disk", "device"].contains(name));
            let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
            let value = match &sample.value {
                MetricValue::Number(n) => *n,
                MetricValue::Histogram { counts, .. } => counts.iter().sum::<u64>() as f64,
            };
            let key = format!("{}{{{}}}", family.info.name, labels.join(","));
            assert!(all.insert(key.clone(), value).is_none(), "{key} is there twice: a scrape would fail");
        }
    }
    all
}

fn value(engine: &Engine, key: &str) -> f64 {
    series(engine).get(key).copied().unwrap_or_else(|| panic!("no {key} in\n{}", engine.metrics_text()))
}

#[test]
fn what_was_done_is_counted_in_every_mode() {
    for (mode, name) in [(Mode::None, "none"), (Mode::Sync, "sync"), (Mode::Interval, "interval")] {
        let disk = SimDisk::new(1);
        let (engine, p) = start(&disk, mode);
        append(&p, &entries(6, 37, 1, 100)).unwrap();
        p.sync().unwrap();
        p.read(1, 38, u64::MAX).unwrap();
        let n = |key: &str| value(&engine, key);
        assert_eq!(n(&format!("bulkhead_appends_total{{mode={name}}}")), 6.0);
        assert_eq!(n(&format!("bulkhead_append_entries_total{{mode={name}}}")), 37.0);
        assert_eq!(n(&format!("bulkhead_append_bytes_total{{mode={name}}}")), 5.0 * 300.0 + 32.0 * 100.0);
        let timed = if mode == Mode::Sync { 6.0 } else { 1.0 };
        assert_eq!(n(&format!("bulkhead_append_seconds{{mode={name}}}")), timed, "all in mode sync, else one in 16");
        let flushed = n("bulkhead_flushes_total{}");
        assert_eq!(flushed > 0.0, mode != Mode::None);
        assert_eq!((n("bulkhead_flush_seconds{}"), n("bulkhead_flush_entries{}")), (flushed, flushed));
        assert_eq!(n("bulkhead_reads_total{}"), 1.0);
        let read = ["memory", "segment"].map(|source| n(&format!("bulkhead_read_entries_total{{source={source}}}")));
        assert_eq!(read, if mode == Mode::None { [0.0, 37.0] } else { [37.0, 0.0] });
        assert_eq!(n("bulkhead_read_bytes_total{}"), 5.0 * 300.0 + 32.0 * 100.0);
        assert_eq!(n("bulkhead_open_seconds{}"), 1.0);
        assert_eq!(n("bulkhead_partitions{state=ReadWrite,cause=none}"), 1.0);
        assert!(n("bulkhead_segments_created_total{source=new}") >= 1.0);
    }
}

#[test]
fn submitted_batches_are_timed_as_well() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    p.submit(&refs(&entries(6, 6, 1, 100)), 9).unwrap();
    wait_for("the completion", Duration::from_secs(5), || !engine.completions(1).is_empty());
    assert_eq!(value(&engine, "bulkhead_append_seconds{mode=sync}"), 6.0);
}

#[test]
fn no_counter_goes_back_when_partitions_close_or_fail() {
    let disk = SimDisk::new(1);
    let engine = healing_engine(&disk);
    let counters = |engine: &Engine| -> BTreeMap<String, f64> {
        let counted = |key: &str| METRICS.iter().any(|m| m.kind != MetricKind::Gauge && key.starts_with(m.name));
        series(engine).into_iter().filter(|(key, _)| counted(key)).collect()
    };
    let mut before = counters(&engine);
    let mut check = |what: &str| {
        let now = counters(&engine);
        for (key, n) in &before {
            assert!(now.get(key).is_some_and(|m| m >= n), "{what}: {key} went from {n} to {:?}", now.get(key));
        }
        before = now;
    };
    for round in 0..5 {
        let mode = MODES[round % 3];
        let path = format!("/p{}", round % 3);
        let p = open(&engine, &path, round as u64 % 3 + 1, mode);
        check("open");
        let last = p.bounds().unwrap().1;
        append_each(&p, last + 1, last + 40, 1, 200);
        p.read(last + 1, last + 41, u64::MAX).unwrap();
        check("appends and reads");
        disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path(&path).once());
        let _ = append_durably(&p, &entries(last + 41, last + 41, 1, 10));
        check("a fault");
        p.close().unwrap();
        check("close");
        drop(p);
        check("gone");
    }
    let all: f64 =
        ["none", "sync", "interval"].iter().map(|m| before[&format!("bulkhead_appends_total{{mode={m}}}")]).sum();
    assert!(all >= 5.0 * 40.0, "{all}");
}

#[test]
fn faults_are_named_with_operation_cause_and_errno() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path(TAIL).once());
    append(&p, &entries(6, 6, 1, 10)).expect_err("healing is off");
    let n = |key: &str| value(&engine, key);
    assert_eq!(n("bulkhead_errors_total{operation=append,cause=io_error,errno=EIO}"), 1.0);
    assert_eq!(n("bulkhead_faults_total{cause=io_error}"), 1.0);
    assert_eq!(n("bulkhead_partitions{state=ReadWrite,cause=none}"), 0.0);
    assert_eq!(n("bulkhead_partitions{state=Unavailable,cause=io_error}"), 1.0);
    let fault = "bulkhead_partition_fault_timestamp_seconds{partition=1,state=Unavailable,cause=io_error,operation=append,errno=EIO}";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((n(fault) - now).abs() < 60.0, "when it happened");
    p.recover().unwrap();
    assert_eq!(n("bulkhead_heals_total{by=owner,outcome=healed}"), 1.0);
    assert_eq!(n("bulkhead_partitions{state=ReadWrite,cause=none}"), 1.0);
    assert!(!series(&engine).contains_key(fault), "a healthy partition has no series");
    disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Read).path("/p1").times(8));
    drop(p.read(1, 3, u64::MAX));
    assert_eq!(n("bulkhead_faults_total{cause=io_error}"), 1.0, "a read that fails latches nothing");
}

/// Raft closes its log at the first error: to the operator the partition is out of service all the same.
#[test]
fn closed_with_a_fault_is_out_of_service_until_it_is_open_again() {
    let disk = SimDisk::new(1);
    let (engine, p) = start(&disk, Mode::Sync);
    let shown = "bulkhead_partitions{state=Closed,cause=io_error}";
    let fault = "bulkhead_partition_fault_timestamp_seconds{partition=1,state=Closed,cause=io_error,";
    let named = || series(&engine).keys().any(|key| key.starts_with(fault));
    p.close().unwrap();
    assert!(!series(&engine).keys().any(|key| key.contains("state=Closed")), "nothing was wrong with it");
    let p = open(&engine, "/p1", 1, Mode::Sync);
    disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("/p1"));
    append(&p, &entries(6, 6, 1, 10)).expect_err("healing is off");
    p.close().unwrap();
    assert_eq!((value(&engine, shown), named()), (1.0, true), "as long as the handle is there");
    drop(p);
    assert_eq!((value(&engine, shown), named()), (1.0, true), "and when it is gone");
    let other = open(&engine, "/p2", 1, Mode::Sync);
    assert_eq!(value(&engine, shown), 1.0, "another directory says nothing of this one");
    other.fence(State::Unavailable, "to be moved").unwrap();
    other.close().unwrap();
    assert_eq!(value(&engine, shown), 1.0, "a fence ends with the close");
    disk.clear_faults();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    assert!(!series(&engine).contains_key(shown) && !named());
    disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("/p1"));
    append(&p, &entries(6, 6, 1, 10)).expect_err("it fails again");
    p.close().unwrap();
    disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Read).path("/p1"));
    let again = try_open(&engine, "/p1", 1, Mode::Sync).unwrap();
    assert!(!series(&engine).contains_key(shown), "it is open now, and Unavailable");
    assert_eq!(value(&engine, "bulkhead_partitions{state=Unavailable,cause=io_error}"), 1.0);
    again.close().unwrap();
    assert_eq!(value(&engine, shown), 1.0);
}

#[test]
fn what_is_healed_inside_the_call_is_counted() {
    let disk = SimDisk::new(1);
    let engine = healing_engine(&disk);
    for (mode, id) in [(Mode::Sync, 1), (Mode::None, 2)] {
        let path = format!("/p{id}");
        let p = open(&engine, &path, id, mode);
        append_each(&p, 1, 3, 1, 100);
        disk.inject(
            Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path(&format!("{path}/seg-0000000000000001")).once(),
        );
        append(&p, &entries(4, 4, 1, 10)).unwrap();
        assert_eq!(value(&engine, "bulkhead_heals_total{by=call,outcome=healed}"), id as f64, "{mode:?}");
    }
}

#[test]
fn healthy_partitions_cost_no_series_and_faulted_ones_are_bounded() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let partitions: Vec<_> = (1..=100).map(|i| open(&engine, &format!("/p{i}"), i, Mode::Sync)).collect();
    partitions.iter().for_each(|p| append(p, &entries(1, 1, 1, 10)).unwrap());
    let healthy = series(&engine).len();
    assert_eq!(healthy, {
        let e = self::engine(&disk);
        let p = open(&e, "/q1", 999, Mode::Sync);
        append(&p, &entries(1, 1, 1, 10)).unwrap();
        series(&e).len()
    });
    disk.inject(Rule::new(Fault::Errno(libc::EIO)).on(OpKind::Write).path("/p"));
    assert!(partitions.iter().all(|p| append(p, &entries(2, 2, 1, 10)).is_err()), "every write fails");
    let all = series(&engine);
    let faulted = all.keys().filter(|key| key.starts_with("bulkhead_partition_fault_timestamp")).count();
    assert_eq!((faulted, all["bulkhead_partition_faults_omitted{}"]), (64, 36.0));
    assert_eq!(all["bulkhead_partitions{state=Unavailable,cause=io_error}"], 100.0);
}

#[test]
fn a_hung_disk_does_not_hang_metrics() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine = Arc::new(
            Engine::with_storage(EngineConfig { stall_limit_ms: 200, ..healing_config() }, Arc::new(disk.clone()))
                .unwrap(),
        );
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 5, 1, 300);
        disk.inject(Rule::new(Fault::Hang).path("/p1"));
        let call = {
            let p = p.clone();
            std::thread::spawn(move || drop(append(&p, &entries(6, 6, 1, 10))))
        };
        // A recovery, a close and an open of the disk that hangs hold no lock that metrics need, either.
        let others = {
            let (p, engine) = (p.clone(), engine.clone());
            std::thread::spawn(move || {
                drop(p.recover());
                drop(p.close());
                drop(try_open(&engine, "/p1", 1, mode));
            })
        };
        let end = std::time::Instant::now() + Duration::from_millis(600);
        while std::time::Instant::now() < end {
            let engine = engine.clone();
            returns_within(Duration::from_millis(500), "metrics", move || engine.metrics_text());
        }
        assert!(
            p.is_closed() || value(&engine, "bulkhead_partitions{state=Unavailable,cause=stalled}") == 1.0,
            "{mode:?}"
        );
        assert!(value(&engine, "bulkhead_faults_total{cause=stalled}") >= 1.0, "{mode:?}");
        disk.clear_faults();
        disk.release();
        call.join().unwrap();
        others.join().unwrap();
    }
}

#[test]
fn reading_while_others_append_gives_whole_samples() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let partitions: Vec<_> = (1..=4).map(|i| open(&engine, &format!("/p{i}"), i, MODES[i as usize % 3])).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for p in &partitions {
            scope.spawn(|| {
                let mut next = 1;
                while !stop.load(Ordering::Relaxed) {
                    append(p, &entries(next, next, 1, 50)).unwrap();
                    next += 1;
                }
            });
        }
        let mut before = 0.0;
        for _ in 0..200 {
            let appends: f64 =
                series(&engine).iter().filter(|(k, _)| k.starts_with("bulkhead_appends_total")).map(|(_, n)| n).sum();
            assert!(appends >= before, "{appends} after {before}");
            before = appends;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(partitions.iter().all(|p| state(p) == State::ReadWrite));
}

#[test]
fn text_is_what_prometheus_reads() {
    let disk = SimDisk::new(1);
    let (engine, _p) = start(&disk, Mode::Sync);
    let text = engine.metrics_text();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let name = line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE ")).unwrap_or(line);
        names.insert(name.split([' ', '{']).next().unwrap().to_string());
        if !line.starts_with('#') {
            let number = line.rsplit(' ').next().unwrap();
            assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
    assert!(METRICS.iter().all(|m| names.contains(m.name)));
    let bucket = "bulkhead_append_seconds_bucket{disk=\"/p1\",device=\"0:1\",mode=\"sync\",le=\"+Inf\"} 5";
    assert!(text.contains(bucket), "no {bucket} in\n{text}");
    engine.close().unwrap();
    assert!(engine.metrics_text().is_empty(), "a closed engine has nothing to say");
}
