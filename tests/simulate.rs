//! F25: random histories of several partitions on a simulated disk that fails, lies and loses power, judged by a model, without threads:
//! a history follows from its seed, operation by operation.
//!
//! `make simulate SEEDS=n` runs n fresh ones, `TIME=s` as many as fit into s seconds, `SEED=0x...` one again, which shortens it if it fails.
//! Without any of them a small fixed set runs.

#[path = "simulate/action.rs"]
mod action;
#[path = "simulate/between.rs"]
mod between;
#[path = "simulate/calls.rs"]
mod calls;
#[path = "simulate/convert.rs"]
mod convert;
#[path = "simulate/copies.rs"]
mod copies;
mod cubefs_support;
#[path = "simulate/limits.rs"]
mod limits;
#[path = "simulate/outside.rs"]
mod outside;
#[path = "simulate/places.rs"]
mod places;
#[path = "simulate/plan.rs"]
mod plan;
#[path = "simulate/runner.rs"]
mod runner;
#[path = "simulate/shrink.rs"]
mod shrink;
mod support;
#[path = "simulate/verdict.rs"]
mod verdict;
#[path = "simulate/widen.rs"]
mod widen;
#[path = "simulate/world.rs"]
mod world;
#[path = "simulate/wrong.rs"]
mod wrong;

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use action::{Action, Batch, Step};
use bulkhead::io::sim::{mix, Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Engine, Mode, State};
use plan::History;
use runner::{replay, run_many, Amount};
use support::*;

/// Panics that a history asks for are not worth a line each.
fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let injected = info.payload().downcast_ref::<String>().is_some_and(|m| m.starts_with("injected panic"));
            if !injected {
                usual(info);
            }
        }));
    });
}

#[test]
fn f25_random_histories() {
    quiet_panics();
    if let Some(seed) = env_number("BULKHEAD_SEED") {
        return replay(seed);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
    let fixed = ["BULKHEAD_SEEDS", "BULKHEAD_TIME"].iter().all(|name| env_number(name).is_none());
    let base = env_number("BULKHEAD_BASE").unwrap_or(if fixed { 1 } else { now });
    let totals = match (env_number("BULKHEAD_SEEDS"), env_number("BULKHEAD_TIME")) {
        (_, Some(seconds)) => run_many(base, Amount::Time(Duration::from_secs(seconds)), true),
        (Some(count), None) => run_many(base, Amount::Count(count), true),
        (None, None) => run_many(base, Amount::Count(1000), false),
    };
    println!(
        "How many histories had what:\n{}\n{} histories ({} steps, {} restarts) in {:.1?}, {:.0} per second, 0 violations; seeds from base {base:#x}",
        totals.table(),
        totals.runs,
        totals.steps,
        totals.restarts,
        totals.elapsed,
        totals.runs as f64 / totals.elapsed.as_secs_f64()
    );
}

#[test]
fn f25_a_seed_is_a_history_operation_by_operation() {
    quiet_panics();
    for n in 0..200 {
        let history = Rc::new(History::from_seed(mix(&[77, n])));
        let [first, second] = [(); 2].map(|()| world::play(&history, true));
        assert_eq!(first.1.story(), second.1.story(), "seed {:#x}", history.seed);
        let (a, b) = (first.1.disk(), second.1.disk());
        assert_eq!(a.log(), b.log(), "seed {:#x}: the operations differ", history.seed);
        for file in a.files("/") {
            assert_eq!(a.cached_bytes(&file), b.cached_bytes(&file), "seed {:#x}: {file} differs", history.seed);
        }
    }
}

/// Found by a random history: entries that a faulted partition closed with were written behind a place that the same open had given up.
#[test]
fn f25_entries_taken_in_at_an_open_survive_a_compaction_and_a_crash() {
    let disk =
        SimDisk::with_config(1, SimConfig { direct_io: false, failed_syncs_forget: false, ..SimConfig::default() });
    let engine = Engine::stepped(healing_config(), &disk, 1).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append(&p, &entries(1, 5, 1, 30)).unwrap();
    p.set_hard_state(hard(1, 2, 5)).unwrap();
    disk.inject(Rule::errno(libc::EIO).on_changes().skip(1));
    append(&p, &entries(6, 10, 1, 20_000)).unwrap();
    p.close().expect_err("the entries in memory cannot be flushed");
    assert_ne!(state(&open(&engine, "/p1", 1, Mode::Interval)), State::ReadWrite);
    disk.clear_faults();
    let p = open(&engine, "/p1", 1, Mode::Interval);
    p.compact(1).unwrap();
    let left = disk.crash(Crash::Process);
    drop((p, engine));
    let engine = Engine::stepped(healing_config(), &left, 2).unwrap();
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert_same(&read_all(&p).unwrap(), &[entries(2, 5, 1, 30), entries(6, 10, 1, 20_000)].concat(), "after the crash");
}

/// Found by a random history: the judge took an entry, whose completion a failing close had answered, for one that was never there.
#[test]
fn f25_what_was_submitted_and_failed_may_be_there_at_the_next_open() {
    let batch = Batch { replaces: 0, term_up: false, count: 1, len: 30, payload: Payload::Zeros };
    let fault = Rule::new(Fault::ErrnoAfter(libc::EIO)).on(OpKind::Write);
    let steps = [Action::Append(batch), Action::Submit(batch), Action::Inject(fault), Action::Reopen];
    let history = History {
        seed: 1,
        config: SimConfig::default(),
        modes: vec![Mode::Sync],
        segment_bytes: 128 << 10,
        cache_bytes: 4096,
        heals: false,
        wide: false,
        steps: steps.map(|action| Step { part: 0, action, during: None }).to_vec(),
    };
    world::play(&Rc::new(history), false).0.unwrap();
}
