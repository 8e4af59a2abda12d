//! F30, alone in its program: nothing else starts threads or takes memory.

mod support;

use std::time::Duration;

use bulkhead::io::sim::{Rule, SimDisk};
use bulkhead::Mode;
use support::*;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |d| d.count())
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages * 4)
}

/// Files that the disk's space reserve holds open.
const RESERVE: u64 = 8;

/// Threads of an engine with one disk: watch, timer, keep, flush, heal.
const USUAL: usize = 1 + 1 + 2 + 8 + 1;

#[test]
fn f30_handles_threads_and_memory_return_to_their_level_after_many_failures() {
    let cycles = env_number("BULKHEAD_CYCLES").unwrap_or(2_000);
    let disk = SimDisk::new(1);
    disk.keep_log(0); // it would grow
    let before = threads();
    let engine = engine(&disk);
    open(&engine, "/p1", 1, Mode::Sync).close().unwrap();
    let mut level = 0;
    for cycle in 0..cycles {
        let mode = [Mode::Sync, Mode::None, Mode::Interval][cycle as usize % 3];
        disk.inject(Rule::errno(libc::EIO).on_changes().path("/p1").skip(cycle % 23).times(3));
        if let Ok(p) = try_open(&engine, "/p1", 1, mode) {
            let next = p.bounds().map_or(1, |b| b.1 + 1);
            let _ = append(&p, &entries(next, next + 1, cycle + 1, 500));
            let _ = p.compact(next);
            let _ = p.close();
        }
        disk.clear_faults();
        if cycle % 10 == 9 {
            // What failed for good is made anew, so that the directory does not grow.
            disk.remove("/p1");
        }
        engine.events(1000);
        if cycle == cycles / 4 {
            wait_for("handles to close", Duration::from_secs(5), || disk.open_handles() <= RESERVE);
            level = resident_kib();
        }
    }
    wait_for("handles to close", Duration::from_secs(5), || disk.open_handles() <= RESERVE);
    wait_for("threads to end", Duration::from_secs(20), || threads() <= before + USUAL);
    let grown = resident_kib().saturating_sub(level);
    println!("{} threads, {grown} KiB more than after a quarter of {cycles} cycles", threads());
    assert!(grown < 4 << 10, "{grown} KiB more after {cycles} cycles");
    engine.close().unwrap();
    assert_eq!(threads(), before, "an engine that is closed has no threads");
    wait_for("the reserve to go", Duration::from_secs(5), || disk.open_handles() == 0);
}
