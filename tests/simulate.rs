//! F25: random histories of several partitions on a simulated disk that fails, lies and loses power, judged by a model, without threads:
//! a history follows from its seed, operation by operation.
//!
//! `make simulate SEEDS=n` runs n fresh ones, `TIME=s` as many as fit into s seconds, `SEED=0x...` one again, which shortens it if it fails.
//! Without any of them a small fixed set runs.

#[path = "simulate/calls.rs"]
mod calls;
#[path = "simulate/plan.rs"]
mod plan;
#[path = "simulate/runner.rs"]
mod runner;
#[path = "simulate/shrink.rs"]
mod shrink;
mod support;
#[path = "simulate/verdict.rs"]
mod verdict;
#[path = "simulate/world.rs"]
mod world;

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bulkhead::io::sim::mix;
use plan::History;
use runner::{replay, run_many, Amount};
use support::env_number;

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
    let base = env_number("BULKHEAD_BASE").unwrap_or(now);
    let totals = match (env_number("BULKHEAD_SEEDS"), env_number("BULKHEAD_TIME")) {
        (_, Some(seconds)) => run_many(base, Amount::Time(Duration::from_secs(seconds)), true),
        (Some(count), None) => run_many(base, Amount::Count(count), true),
        (None, None) => run_many(1, Amount::Count(1000), false),
    };
    println!(
        "{} runs ({} steps, {} restarts) in {:.1?}, none with a violation; seeds from base {base:#x}",
        totals.runs, totals.steps, totals.restarts, totals.elapsed
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
