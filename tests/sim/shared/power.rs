//! The power goes at any operation of an engine whose flushes are shared.

use std::time::Duration;

use super::field::*;
use crate::support::*;
use bulkhead::io::sim::{mix, Crash, SimDisk};
use bulkhead::{Engine, Mode, Status};

const LOGS: usize = 6;
const ROUNDS: u64 = 6;
const SEEDS: u64 = 6;
/// Different powers of cuts: each run is at another operation, so that all of them are met by some seed.
const STRIDE: u64 = 5;

struct Run {
    disk: SimDisk,
    acked: Vec<u64>,
    offered: Vec<u64>,
    /// The first operation after all are open.
    begun: u64,
}

/// Entries for all logs at the same time, a few times over, until the power goes.
fn run(seed: u64, crash_at: Option<u64>) -> Run {
    let disk = SimDisk::new(seed);
    if let Some(op) = crash_at {
        disk.crash_at(op);
    }
    let engine = Engine::stepped(config(), &disk, seed + 1).unwrap();
    let (mut acked, mut offered) = (vec![0; LOGS], vec![0; LOGS]);
    let opened: Vec<_> =
        (0..LOGS).filter_map(|at| try_open(&engine, &path(at), at as u64 + 1, Mode::Sync).ok()).collect();
    let begun = disk.ops();
    for round in 0..ROUNDS {
        if opened.len() < LOGS || disk.is_dead() {
            break;
        }
        for (at, p) in opened.iter().enumerate() {
            let entry = entries(offered[at] + 1, offered[at] + 1, 1, 700);
            if mix(&[seed, round, at as u64]) % 4 > 0 && p.submit(&refs(&entry), at as u64).is_ok() {
                offered[at] += 1;
            }
        }
        engine.pass_time(Duration::from_millis(20));
        for completion in engine.completions(100) {
            acked[completion.token as usize] += u64::from(completion.status == Status::Ok);
        }
    }
    Run { disk, acked, offered, begun }
}

#[test]
fn f20_a_power_cut_at_any_operation_loses_nothing_that_a_shared_flush_acknowledged() {
    let mut seen = bulkhead::io::sim::Seen::new();
    for seed in 1..=SEEDS {
        let whole = run(seed, None);
        assert_eq!(whole.acked, whole.offered);
        seen.extend(whole.disk.seen());
        for op in (whole.begun..=whole.disk.ops()).skip((seed % STRIDE) as usize).step_by(STRIDE as usize) {
            let cut = run(seed, Some(op));
            assert!(cut.disk.is_dead(), "the same calls are the same operations");
            for crash in [Crash::PowerNothing, Crash::PowerRandom] {
                let left = cut.disk.fork().crash(crash);
                assert_there(&left, &cut.acked, &cut.offered, &format!("seed {seed}, power cut at {op}, {crash:?}"));
            }
            seen.extend(cut.disk.seen());
        }
    }
    for what in ["a write", "the flush", "power cut in a write", "power cut in the flush"] {
        assert!(seen.contains(&("shared flush", what)), "never met: {what}");
    }
}
