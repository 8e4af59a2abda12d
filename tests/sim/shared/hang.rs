//! A write, or the flush of the disk, that hangs.

use super::field::*;
use crate::support::*;
use bulkhead::io::sim::Fault;
use bulkhead::{Cause, EngineConfig, State, Status};
use std::time::{Duration, Instant};

const STALL: Duration = Duration::from_millis(1000);
const SHARERS: std::ops::Range<usize> = 3..PARTITIONS;
const HEALTHY: std::ops::Range<usize> = 3..SICK;

fn stall_config() -> EngineConfig {
    EngineConfig { stall_limit_ms: STALL.as_millis() as u32, ..healing_config() }
}

fn submit_to(field: &mut Field, of: std::ops::Range<usize>) {
    of.for_each(|at| field.submit(at, 700));
}

fn stalled(field: &Field, of: std::ops::Range<usize>) -> Vec<usize> {
    of.filter(|at| field.all[*at].status().cause == Cause::Stalled).collect()
}

fn recover(field: &mut Field, at: usize) {
    let p = field.all[at].clone();
    wait_for("the kernel to let go", Duration::from_secs(10), || p.recover().is_ok());
    assert_eq!(state(&p), State::ReadWrite, "{at}");
    let last = p.bounds().unwrap().1;
    assert!((field.acked[at]..=field.offered[at]).contains(&last), "{at}: {last}");
    (field.acked[at], field.offered[at]) = (last, last);
}

#[test]
fn f28_a_write_that_hangs_holds_up_nobody_it_would_share_a_flush_with() {
    let mut field = Field::new(stall_config());
    field.hold_the_threads();
    field.disk.inject(writes_of(Fault::Hang, SICK).once());
    // Behind a turn that takes a while, so that they are all in the next, together with the one that hangs.
    field.disk.inject(flush_of_the_disk(Fault::Delay(Duration::from_millis(60))).once());
    let flushes = field.flushes();
    submit_to(&mut field, 3..4);
    wait_for("the turn before", Duration::from_secs(10), || field.flushes() > flushes);
    let begun = Instant::now();
    submit_to(&mut field, SICK..PARTITIONS);
    submit_to(&mut field, 4..SICK);
    field.sharers_succeed(HEALTHY);
    let took = begun.elapsed();
    assert!(took < STALL / 2, "they waited {took:?} for one that hangs");
    assert!(field.disk.wait_hung(4, Duration::from_secs(10)), "it hangs");
    for _ in 0..3 {
        let before = field.shared();
        submit_to(&mut field, HEALTHY);
        field.sharers_succeed(HEALTHY);
        field.assert_shares(before, "they go on sharing");
    }
    wait_for("the stall", Duration::from_secs(20), || stalled(&field, SICK..PARTITIONS) == [SICK]);
    assert!(begun.elapsed() >= STALL);
    field.disk.clear_faults();
    let refused = field.all[SICK].recover().expect_err("it still hangs");
    assert_eq!(refused.status, Status::Busy);
    let failed = field.outcomes(SICK..PARTITIONS, Duration::from_secs(5));
    assert_eq!(failed.get(&SICK).map(|o| o.0), Some(Status::Stalled));
    assert!(stalled(&field, HEALTHY).is_empty());
    field.assert_survives("a write hangs");
    field.disk.release();
    recover(&mut field, SICK);
    submit_to(&mut field, SHARERS);
    field.sharers_succeed(SHARERS);
    field.assert_survives("what hung has come back");
}

#[test]
fn f28_a_flush_of_the_disk_that_hangs_stalls_those_it_is_for_and_the_rest_flush_without_it() {
    let mut field = Field::new(stall_config());
    field.crowd(&[flush_of_the_disk(Fault::Hang)]);
    assert!(field.disk.wait_hung(4, Duration::from_secs(10)), "it hangs");
    wait_for("the stall", Duration::from_secs(20), || !stalled(&field, SHARERS).is_empty());
    // Everybody knows: it is acknowledged, or stalled.
    let outcomes = field.outcomes(SHARERS, Duration::from_secs(20));
    assert_eq!(outcomes.len(), SHARERS.len());
    let hung: Vec<_> = outcomes.iter().filter(|(_, o)| o.0 != Status::Ok).map(|(at, _)| *at).collect();
    assert_eq!(stalled(&field, SHARERS), hung);
    assert!(hung.iter().all(|at| outcomes[at].0 == Status::Stalled), "{outcomes:?}");
    field.assert_survives("the flush of the disk hangs");
    for at in &hung {
        let refused = field.all[*at].recover().expect_err("it still hangs");
        assert_eq!(refused.status, Status::Busy, "{at}");
    }
    field.disk.clear_faults();
    field.disk.release();
    hung.into_iter().chain(stalled(&field, 0..3)).for_each(|at| recover(&mut field, at));
    field.outcomes(0..3, Duration::from_millis(100));
    submit_to(&mut field, SHARERS);
    field.sharers_succeed(SHARERS);
    field.assert_survives("it has come back");
}

#[test]
fn f28_an_engine_whose_shared_flush_hangs_closes_and_says_so() {
    let mut field = Field::new(EngineConfig { stall_limit_ms: 300, ..stall_config() });
    field.crowd(&[flush_of_the_disk(Fault::Hang)]);
    assert!(field.disk.wait_hung(4, Duration::from_secs(10)), "it hangs");
    wait_for("the stall", Duration::from_secs(20), || !stalled(&field, SHARERS).is_empty());
    let outcomes = field.outcomes(SHARERS, Duration::from_secs(20));
    assert_eq!(outcomes.len(), SHARERS.len());
    let begun = Instant::now();
    let closed = field.engine.close().expect_err("something has not come back");
    assert_eq!(closed.status, Status::Busy, "{closed}");
    let most = Duration::from_millis(300) * (PARTITIONS as u32 + 4);
    assert!(begun.elapsed() < most + Duration::from_secs(5), "{:?}", begun.elapsed());
    field.assert_survives("closed while the flush of the disk hangs");
    field.disk.clear_faults();
    field.disk.release();
    let disk = field.disk.clone();
    wait_for("all threads to let go", Duration::from_secs(10), || {
        disk.open_handles() == 0 || {
            field.all.clear();
            false
        }
    });
}
