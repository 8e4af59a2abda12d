//! F30, alone in its program: nothing else starts threads or takes memory.

mod support;

use std::time::Duration;

use bulkhead::io::sim::{Rule, SimDisk};
use bulkhead::Mode;
use support::*;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |d| d.count())
}

#[global_allocator]
static MEMORY: support::alloc::Counting = support::alloc::Counting::new();

/// Files that the disk's space reserve holds open.
const RESERVE: u64 = 8;

/// Threads of an engine with one disk: watch, timer, keep, flush, heal.
const USUAL: usize = 1 + 1 + 2 + 8 + 1;

#[test]
fn f30_handles_threads_and_memory_return_to_their_level_after_many_failures() {
    let cycles = env_number("BULKHEAD_CYCLES").unwrap_or(8_000);
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
            // What failed for good is made anew, so that the directory does not grow. Opened first: the engine keeps what a partition
            // could not write until its directory is.
            if let Ok(p) = try_open(&engine, "/p1", 1, mode) {
                let _ = p.close();
            }
            disk.remove("/p1");
        }
        engine.events(1000);
        if cycle == cycles / 4 {
            wait_for("handles to close", Duration::from_secs(5), || disk.open_handles() <= RESERVE);
            level = MEMORY.held();
        }
    }
    wait_for("handles to close", Duration::from_secs(5), || disk.open_handles() <= RESERVE);
    wait_for("threads to end", Duration::from_secs(20), || threads() <= before + USUAL);
    // Segments of the simulated disk and the read cache come and go by about 1.5 MB; 400 bytes left behind by each cycle are more.
    let grown = MEMORY.held().saturating_sub(level);
    println!("{} threads, {grown} bytes more than after a quarter of {cycles} cycles", threads());
    assert!(grown < 2 << 20, "{grown} bytes more after {cycles} cycles");
    engine.close().unwrap();
    // A thread that was joined is in /proc for a moment more.
    wait_for("the threads of a closed engine to end", Duration::from_secs(5), || threads() == before);
    wait_for("the reserve to go", Duration::from_secs(5), || disk.open_handles() == 0);
}
