//! Errors of one write, of the flush, and panics.

use super::field::*;
use crate::support::*;
use bulkhead::io::sim::Fault;
use bulkhead::{Cause, EngineConfig, Op, State, Status};
use std::time::Duration;

const SHARERS: std::ops::Range<usize> = 3..PARTITIONS;
const HEALTHY: std::ops::Range<usize> = 3..SICK;

fn heals(field: &Field) -> u64 {
    let text = field.engine.metrics_text();
    let healed =
        |line: &&str| line.starts_with("bulkhead_heals_total") && line.contains("by=\"call\",outcome=\"healed\"");
    text.lines().filter(healed).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// An error of one write is that partition's alone.
#[test]
fn f31_an_error_of_one_write_among_many_is_healed_by_that_partition_and_no_other_hears_of_it() {
    let mut field = Field::new(healing_config());
    let before = field.shared();
    field.crowd(&[writes_of(Fault::Errno(libc::EIO), SICK).once()]);
    field.all_succeed();
    assert!(field.disk.seen().contains(&("shared flush", "a write fails")));
    field.assert_shares(before, "the others' flush was one of the disk");
    let told: Vec<_> = field.events().iter().map(|e| (e.partition_id, e.to, e.cause, e.errno)).collect();
    let sick = SICK as u64 + 1;
    let healed = [(sick, State::ReadWrite, Cause::IoError, libc::EIO), (sick, State::ReadWrite, Cause::None, 0)];
    assert_eq!(told, healed);
    field.assert_survives("a write that failed and was healed");
    let before = field.shared();
    field.crowd(&[]);
    field.all_succeed();
    field.assert_shares(before, "they share again");
}

#[test]
fn f1_where_nothing_heals_an_error_of_one_write_among_many_latches_that_partition_alone() {
    let mut field = Field::new(config());
    field.crowd(&[writes_of(Fault::Errno(libc::EIO), SICK).once()]);
    let outcomes = field.outcomes(SHARERS, Duration::from_secs(20));
    field.release();
    assert!(field.disk.seen().contains(&("shared flush", "a write fails")));
    for (at, outcome) in outcomes {
        let wanted = if at == SICK { (Status::IoError, libc::EIO) } else { (Status::Ok, 0) };
        assert_eq!(outcome, wanted, "{at}");
        assert_eq!(state(&field.all[at]), if at == SICK { State::Unavailable } else { State::ReadWrite }, "{at}");
    }
    let told: Vec<_> = field.events().iter().map(|e| (e.partition_id, e.to, e.cause, e.op, e.errno)).collect();
    assert_eq!(told, [(SICK as u64 + 1, State::Unavailable, Cause::IoError, Op::Append, libc::EIO)]);
    field.assert_survives("a write that failed");
}

/// What a drive held when its flush failed may be gone, whoever's it was: the next flush says nothing of what was written before.
#[test]
fn f2_a_write_that_was_under_way_when_a_flush_of_the_disk_failed_is_not_acknowledged_by_the_next() {
    let mut field = Field::new(EngineConfig { heal_limit_ms: 10_000, ..healing_config() });
    field.hold_the_threads();
    field.disk.inject(writes_of(Fault::Hang, SICK).once());
    field.disk.inject(flush_of_the_disk(Fault::Errno(libc::EIO)).once());
    field.submit(SICK, 700);
    assert!(field.disk.wait_hung(4, Duration::from_secs(10)));
    HEALTHY.for_each(|at| field.submit(at, 700));
    field.sharers_succeed(HEALTHY);
    let before = field.shared();
    field.disk.release();
    field.sharers_succeed(SICK..PARTITIONS);
    assert_eq!(field.shared(), before);
    let told = field.events().iter().filter(|e| e.partition_id == SICK as u64 + 1 && e.errno == libc::EIO).count();
    assert_eq!(told, 1, "it is written again");
    field.release();
    field.assert_survives("a write came back after the flush had failed");
}

/// Each group of a flush that failed is written again elsewhere, and the disk's flush is left alone for a while. (Not for how long: the
/// lane's clock is the machine's.)
#[test]
fn f2_a_flush_of_the_disk_that_fails_is_healed_by_each_partition_and_nothing_is_shared_for_a_while() {
    for errno in [libc::EIO, libc::ENOSPC, libc::EINTR] {
        let mut field = Field::new(healing_config());
        let (before, flushes, healed) = (field.shared(), field.flushes(), heals(&field));
        field.crowd(&[flush_of_the_disk(Fault::Errno(errno)).once()]);
        field.sharers_succeed(SHARERS);
        assert_eq!(field.disk.faults_fired(), 3 * field.index(0) + 1, "{errno}: the flush failed");
        field.assert_survives(&format!("a flush of the disk failed with {errno}"));
        field.release();
        let failed = heals(&field) - healed;
        let shared = field.shared() - before;
        assert!(failed > 0 && failed + shared <= SHARERS.len() as u64, "{errno}: {failed} healed, {shared} shared");
        let events = field.events();
        assert!(events.iter().all(|e| e.to == State::ReadWrite), "{errno}: {events:?}");
        let told = events.iter().filter(|e| e.errno == errno).count() as u64;
        assert_eq!(told, failed, "{errno}: each of the flush that failed says so");
        let made = field.flushes();
        assert!(made > flushes, "{errno}");
        for _ in 0..3 {
            field.crowd(&[]);
            field.all_succeed();
        }
        assert_eq!((field.flushes(), field.shared() - before), (made, shared), "{errno}: each for itself");
        field.assert_survives("flushes of each partition's own");
    }
}

#[test]
fn f1_where_nothing_heals_a_flush_of_the_disk_that_fails_acknowledges_nobody() {
    for (errno, status) in
        [(libc::EIO, Status::IoError), (libc::ENOSPC, Status::NoSpace), (libc::EINTR, Status::ResourceExhausted)]
    {
        let mut field = Field::new(config());
        field.crowd(&[flush_of_the_disk(Fault::Errno(errno))]);
        let outcomes = field.outcomes(SHARERS, Duration::from_secs(20));
        assert_eq!(outcomes.len(), SHARERS.len(), "{errno}");
        field.release();
        let failed: Vec<_> = outcomes.iter().filter(|(_, o)| o.0 != Status::Ok).collect();
        assert!(!failed.is_empty(), "{errno}");
        for (at, outcome) in &failed {
            assert_eq!(**outcome, (status, errno), "{at}");
            let fault = field.all[**at].last_fault().unwrap();
            assert_eq!((state(&field.all[**at]), fault.errno), (State::Unavailable, errno), "{at}: data was at stake");
        }
        assert_eq!(field.events().len(), failed.len(), "{errno}");
        field.assert_survives(&format!("a flush of the disk failed with {errno}"));
    }
}

/// The panic of one partition's write, and of the flush, is told to those whom it concerned, and the next turn comes.
#[test]
fn f4_a_panic_in_one_write_latches_that_partition_alone() {
    let mut field = Field::new(healing_config());
    field.crowd(&[writes_of(Fault::Panic, SICK).once()]);
    field.sharers_succeed(HEALTHY);
    field.release();
    wait_for("the panic to be known", Duration::from_secs(20), || state(&field.all[SICK]) == State::Unavailable);
    assert_eq!(field.all[SICK].status().cause, Cause::Panic);
    let told: Vec<_> = field.events().iter().map(|e| (e.partition_id, e.cause)).collect();
    assert_eq!(told, [(SICK as u64 + 1, Cause::Panic)]);
    field.assert_survives("a panic in a write");
    shares_on(&mut field);
}

#[test]
fn f4_a_panic_in_a_write_by_itself_latches_that_partition_alone() {
    let mut field = Field::new(healing_config());
    field.crowd(&[writes_of(Fault::Short(0), SICK).once(), writes_of(Fault::Panic, SICK).once()]);
    field.sharers_succeed(HEALTHY);
    field.release();
    wait_for("the panic to be known", Duration::from_secs(20), || state(&field.all[SICK]) == State::Unavailable);
    assert_eq!(field.all[SICK].status().cause, Cause::Panic);
    shares_on(&mut field);
}

#[test]
fn f4_a_panic_in_the_flush_of_the_disk_latches_those_that_it_was_for() {
    let mut field = Field::new(healing_config());
    let before = field.shared();
    field.crowd(&[flush_of_the_disk(Fault::Panic).once()]);
    wait_for("all to know", Duration::from_secs(20), || {
        let latched = SHARERS.filter(|at| state(&field.all[*at]) == State::Unavailable).count() as u64;
        latched > 0 && latched + field.shared() - before == SHARERS.len() as u64
    });
    field.outcomes(SHARERS, Duration::from_millis(50));
    field.release();
    let latched: Vec<_> = SHARERS.filter(|at| state(&field.all[*at]) == State::Unavailable).collect();
    assert!(latched.iter().all(|at| field.all[*at].status().cause == Cause::Panic), "{latched:?}");
    assert_eq!(field.events().len(), latched.len());
    field.assert_survives("a panic in the flush of the disk");
    for at in latched {
        field.all[at].recover().unwrap();
        field.offered[at] = field.all[at].bounds().unwrap().1;
        field.acked[at] = field.offered[at];
    }
    shares_on(&mut field);
}

/// The partitions that are well share flushes.
fn shares_on(field: &mut Field) {
    let before = field.shared();
    field.hold_the_threads();
    for at in HEALTHY {
        field.submit(at, 700);
    }
    field.sharers_succeed(HEALTHY);
    field.release();
    field.assert_shares(before, "they share");
    field.assert_survives("and on");
}

/// What the kernel did not write, it is asked to write durably; what it has no room for as well.
#[test]
fn f24_a_short_write_and_one_that_the_kernel_does_not_take_are_written_by_themselves() {
    for fault in [Fault::Short(4096), Fault::Short(0), Fault::Errno(libc::EAGAIN)] {
        let mut field = Field::new(config());
        let before = field.shared();
        field.hold_the_threads();
        field.disk.inject(writes_of(fault.clone(), SICK).once());
        // More than one block, in one group.
        field.offered[SICK] += 8;
        let (last, token) = (field.offered[SICK], SICK as u64);
        field.all[SICK].submit(&refs(&entries(last - 7, last, 1, 700)), token).unwrap();
        HEALTHY.for_each(|at| field.submit(at, 700));
        field.sharers_succeed(SHARERS);
        field.acked[SICK] += 7;
        field.assert_survives(&format!("{fault:?}"));
        field.release();
        // Where the kernel has no room, nothing is shared for a while.
        if fault != Fault::Errno(libc::EAGAIN) {
            field.assert_shares(before, "one that was short, too");
        }
        assert!(field.disk.faults_fired() > 0 && field.events().is_empty(), "{fault:?}: nobody hears of it");
        field.assert_survives(&format!("{fault:?}"));
    }
}
