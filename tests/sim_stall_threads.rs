//! F28: what hangs takes a bounded number of threads, and gives the work of others back. Alone in its program: it counts threads.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Engine, EngineConfig, Mode, Partition, State};
use support::*;

const FLUSH_THREADS: u32 = 2;
const STALL_MS: u32 = 300;

/// The library's threads by name.
fn threads() -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.starts_with("bulkhead") {
            *count.entry(name.trim().to_string()).or_default() += 1;
        }
    }
    count
}

fn submit_next(p: &Partition) {
    let next = p.bounds().unwrap().1 + 1;
    let _ = p.submit(&refs(&entries(next, next, 1, 100)), 1);
}

/// Fills a segment, so that housekeeping has something to do.
fn fill(p: &Partition) {
    for _ in 0..40 {
        let next = p.bounds().unwrap().1 + 1;
        let _ = append(p, &entries(next, next, 1, 3000));
    }
}

#[test]
fn threads_that_hang_are_replaced_within_the_bound_and_end_when_the_kernel_lets_go() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { stall_limit_ms: STALL_MS, flush_threads_per_disk: FLUSH_THREADS, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let sync: Vec<_> = (0..8).map(|i| open(&engine, &format!("/sync{i}"), i + 1, Mode::Sync)).collect();
    let none: Vec<_> = (0..8).map(|i| open(&engine, &format!("/none{i}"), i + 11, Mode::None)).collect();
    let healthy = open(&engine, "/healthy", 100, Mode::Sync);
    let housed = open(&engine, "/housed", 101, Mode::None);
    for p in sync.iter().chain(&none).chain([&healthy, &housed]) {
        append_each(p, 1, 3, 1, 100);
        p.sync().unwrap();
    }
    std::thread::sleep(Duration::from_millis(100));
    // One hanging flush and one hanging chore: the others go on at once.
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/sync"));
    for i in 0..8 {
        disk.inject(Rule::new(Fault::Hang).on(OpKind::Sync).path(&format!("/none{i}/seg-0000000000000001")));
    }
    submit_next(&sync[0]);
    fill(&none[0]);
    assert!(disk.wait_hung(2, Duration::from_secs(5)));
    let begun = Instant::now();
    append_each(&healthy, 4, 20, 1, 100);
    assert!(
        begun.elapsed() < Duration::from_millis(200),
        "one partition that hangs took the workers: {:?}",
        begun.elapsed()
    );
    fill(&housed);
    wait_for("housekeeping beside a chore that hangs", Duration::from_millis(1000), || {
        housed.status().durable_index > 3
    });
    // As many as there are threads: they are replaced, up to the bound.
    for (s, n) in sync[1..].iter().zip(&none[1..]) {
        submit_next(s);
        fill(n);
        std::thread::sleep(Duration::from_millis(u64::from(STALL_MS) / 2));
        let now = threads();
        assert!(now["bulkhead-flush"] <= 2 * FLUSH_THREADS as usize, "{now:?}");
        assert!(now["bulkhead-keep"] <= 4, "{now:?}");
        assert_eq!((now["bulkhead-timer"], now["bulkhead-watch"]), (1, 1), "{now:?}");
    }
    wait_for("all threads to hang", Duration::from_secs(10), || disk.wait_hung(8, Duration::from_millis(1)));
    std::thread::sleep(Duration::from_millis(1500));
    let most = threads();
    assert_eq!((most["bulkhead-flush"], most["bulkhead-keep"]), (2 * FLUSH_THREADS as usize, 4), "{most:?}");
    disk.clear_faults();
    disk.release();
    wait_for("the replaced threads to end", Duration::from_secs(5), || {
        let now = threads();
        now["bulkhead-flush"] <= FLUSH_THREADS as usize && now["bulkhead-keep"] <= 2
    });
    for p in sync.iter().chain(&none) {
        wait_for("recovery", Duration::from_secs(10), || p.recover().is_ok());
        assert_eq!(state(p), State::ReadWrite);
    }
    let next = healthy.bounds().unwrap().1 + 1;
    append_each(&healthy, next, next + 10, 1, 100);
    drop((sync, none, healthy, housed));
    engine.close().unwrap();
    wait_for("all threads to end", Duration::from_secs(5), || threads().is_empty());
}
