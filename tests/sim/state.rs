//! F17, F18, F19: the hard state is durable when its call returns, survives one damaged copy, and never refers to what is not there.

use crate::support::driver::Driver;
use crate::support::judge::After;
use crate::support::*;
use bulkhead::io::sim::{mix, Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, State, Status};
use std::sync::Arc;

const MODES: [Mode; 3] = [Mode::None, Mode::Sync, Mode::Interval];
const SLOT_SPACING: u64 = 4096;

#[test]
fn f18_term_and_vote_are_durable_when_the_call_returns() {
    for (mode, direct_io, journalled) in
        MODES.into_iter().flat_map(|m| [(m, true, true), (m, false, true), (m, true, false), (m, false, false)])
    {
        let disk = SimDisk::with_config(1, SimConfig { direct_io, journalled, ..SimConfig::default() });
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        for (term, vote) in [(1, 2), (1, 3), (2, 0), (7, 1), (8, 1)] {
            p.set_hard_state(hard(term, vote, 0)).unwrap();
            let engine = crate::support::engine(&disk.fork().crash(Crash::PowerNothing));
            let found = reopen(&engine, "/p1", 1, mode).hard_state().unwrap();
            assert_eq!(
                (found.term, found.vote),
                (term, vote),
                "{mode:?}, direct: {direct_io}, journalled: {journalled}"
            );
        }
    }
}

/// Found by a random history: a sync of the root that failed leaves the new vote in the page cache only, and the next sync says yes.
#[test]
fn f18_a_vote_that_an_open_shows_survives_a_power_cut() {
    for (mode, n) in MODES.into_iter().flat_map(|m| (0..20).map(move |n| (m, n))) {
        let (seed, full) = (n / 2, n % 2 == 1);
        let disk = SimDisk::with_config(seed, SimConfig { direct_io: false, ..SimConfig::default() });
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        p.set_hard_state(hard(1, 1, 0)).unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync));
        p.set_hard_state(hard(2, 3, 0)).unwrap_err();
        let disk = disk.crash(Crash::Process);
        disk.set_capacity(if full { 0 } else { u64::MAX });
        let engine = crate::support::engine(&disk);
        // Kept open: a close would write the root once more.
        let p = reopen(&engine, "/p1", 1, mode);
        let seen = p.hard_state().unwrap();
        let engine = crate::support::engine(&disk.crash(Crash::PowerNothing));
        assert_eq!(reopen(&engine, "/p1", 1, mode).hard_state().unwrap(), seen, "{mode:?}, seed {seed}, full: {full}");
    }
}

/// Found by a random history: the root was there, by a rename that no sync of the directory had made durable.
#[test]
fn f18_a_vote_survives_a_power_cut_after_a_first_open_that_failed() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).path("/p1").once());
        assert_ne!(state(&open(&engine(&disk), "/p1", 1, mode)), State::ReadWrite);
        let engine = engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        p.set_hard_state(hard(1, 2, 0)).unwrap();
        let engine = crate::support::engine(&disk.crash(Crash::PowerNothing));
        let found = reopen(&engine, "/p1", 1, mode).hard_state().unwrap();
        assert_eq!((found.term, found.vote), (1, 2), "{mode:?}");
    }
}

/// Found by a random history: written in pieces that end within a sector, both slots of a pair went to disk half old and half new.
#[test]
fn f17_a_write_of_the_root_that_ends_short_tears_one_slot_at_most() {
    for (mode, n) in MODES.into_iter().flat_map(|m| (0..200).map(move |n| (m, n))) {
        let disk = SimDisk::with_config(n, SimConfig { direct_io: false, ..SimConfig::default() });
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        (1..=4).for_each(|n| p.set_hard_state(hard(n, n, 0)).unwrap());
        disk.inject(Rule::new(Fault::Short(314)).on(OpKind::Write).path("/p1/root"));
        disk.crash_at(disk.ops() + n % 40);
        let stored = p.set_hard_state(hard(5, 5, 0)).is_ok();
        let engine = crate::support::engine(&disk.crash(Crash::PowerRandom));
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!(state(&p), State::ReadWrite, "{mode:?}, {n}: {:?}", p.last_fault());
        let term = p.hard_state().unwrap().term;
        assert!(term == 5 || term == 4 && !stored, "{mode:?}, {n}: term {term}, stored: {stored}");
    }
}

#[test]
fn f18_a_commit_alone_costs_no_flush_and_rides_with_the_next_write() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        p.set_hard_state(hard(1, 1, 0)).unwrap();
        append(&p, &entries(1, 9, 1, 10)).unwrap();
        p.sync().unwrap();
        wait_for_quiet(&disk); // a spare that is made meanwhile is named in the root
        let root_writes =
            |d: &SimDisk| d.log().iter().filter(|r| r.kind == OpKind::Write && r.path.contains("root")).count();
        let before = root_writes(&disk);
        (1..=8).for_each(|commit| p.set_hard_state(hard(1, 1, commit)).unwrap());
        assert_eq!(root_writes(&disk), before, "{mode:?}: a commit alone must not be flushed");
        assert_eq!(p.hard_state().unwrap().commit, 8);
        append(&p, &entries(10, 10, 1, 10)).unwrap();
        p.sync().unwrap();
        let engine = crate::support::engine(&disk.crash(Crash::PowerNothing));
        assert_eq!(reopen(&engine, "/p1", 1, mode).hard_state().unwrap().commit, 8, "{mode:?}");
    }
}

#[test]
fn f17_either_copy_of_the_root_may_be_lost_and_never_gives_an_older_vote() {
    for (mode, close, changes) in
        MODES.into_iter().flat_map(|m| [(m, false, 4), (m, false, 5), (m, true, 4), (m, true, 5)])
    {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        (1..=changes).for_each(|n| p.set_hard_state(hard(n, n + 10, 0)).unwrap());
        if close {
            p.close().unwrap();
        }
        let disk = disk.crash(Crash::PowerNothing);
        // Any set of slots, damaged by a flipped bit, zeroed, unreadable or with an older copy of the other pair.
        for (set, how) in (1..16u64).flat_map(|s| (0..3).map(move |h| (s, h))) {
            let fork = disk.fork();
            for slot in (0..4).filter(|s| set >> s & 1 == 1) {
                match how {
                    0 => fork.flip_bit("/p1/root", slot * SLOT_SPACING + 70, 2),
                    1 => fork.overwrite("/p1/root", slot * SLOT_SPACING, &[0; 512]),
                    _ => fork.make_unreadable("/p1/root", slot * SLOT_SPACING, 512),
                }
            }
            let what = format!("{mode:?}, closed: {close}, slots {set:04b} damaged, way {how}");
            let pair_gone = set & 3 == 3 || set & 12 == 12;
            let engine = crate::support::engine(&fork);
            let p = match try_open(&engine, "/p1", 1, mode) {
                Ok(p) => p,
                Err(e) => {
                    assert!(pair_gone, "{what}: {e}");
                    continue;
                }
            };
            if !pair_gone {
                assert_eq!(state(&p), State::ReadWrite, "{what}: {:?}", p.last_fault());
                assert_eq!(
                    (p.hard_state().unwrap().term, p.hard_state().unwrap().vote),
                    (changes, changes + 10),
                    "{what}"
                );
            } else {
                assert_eq!(state(&p), State::Unavailable, "{what}: the newest vote may be lost");
                assert!(p.hard_state().map_or(true, |h| h.term == changes), "{what}: an older vote given out");
                assert!(p.set_hard_state(hard(changes + 1, 1, 0)).is_err(), "{what}");
            }
        }
    }
}

/// Found by a random history: a write of the root that was cut short after one slot, an open that showed the new vote, and then a bad sector.
#[test]
fn f17_a_vote_that_an_open_shows_survives_the_loss_of_a_copy() {
    for (mode, seed, slot) in MODES.into_iter().flat_map(|m| (0..40).map(move |n| (m, n / 2, n % 2))) {
        let disk = SimDisk::new(seed);
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        // The third root of a log goes to the second pair.
        disk.make_unwritable("/p1/root", (2 + slot) * SLOT_SPACING, 1);
        p.set_hard_state(hard(1, 2, 0)).unwrap_err();
        let disk = disk.crash(Crash::PowerRandom);
        let second = engine(&disk);
        // Kept open: a close would write the root once more.
        let p = reopen(&second, "/p1", 1, mode);
        let seen = p.hard_state().unwrap();
        for bad in 0..4 {
            let left = disk.fork().crash(Crash::PowerNothing);
            left.make_unreadable("/p1/root", bad * SLOT_SPACING, 1);
            let third = engine(&left);
            let found = reopen(&third, "/p1", 1, mode).hard_state().unwrap();
            assert_eq!(found, seen, "{mode:?}, seed {seed}, torn before slot {slot}, slot {bad} lost");
        }
    }
}

/// Found by a random history: a vote whose write failed after one slot, an open that could not read that slot and showed the vote before, and then
/// one that could.
#[test]
fn f17_a_vote_that_failed_does_not_come_back_behind_an_open() {
    let mut hidden = 0;
    for (mode, seed, slot) in MODES.into_iter().flat_map(|m| (0..20).map(move |n| (m, n / 2, n % 2))) {
        let disk = SimDisk::new(seed);
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        p.set_hard_state(hard(1, 2, 0)).unwrap();
        p.close().unwrap();
        // A clean root is opened without a write.
        let p = reopen(&first, "/p1", 1, mode);
        (0..2).for_each(|pair| disk.make_unwritable("/p1/root", (2 * pair + slot) * SLOT_SPACING, 1));
        p.set_hard_state(hard(2, 3, 0)).unwrap_err();
        for bad in 0..4 {
            let left = disk.fork().crash(Crash::Process);
            left.inject(Rule::errno(libc::EREMOTEIO).on(OpKind::Read).path("/p1/root").skip(bad).once());
            let second = engine(&left);
            let seen = reopen(&second, "/p1", 1, mode).hard_state().unwrap();
            hidden += u64::from(seen == hard(1, 2, 0));
            let left = left.crash(Crash::Process);
            let third = engine(&left);
            let found = reopen(&third, "/p1", 1, mode).hard_state().unwrap();
            assert_eq!(found, seen, "{mode:?}, seed {seed}, torn before slot {slot}, slot {bad} not read");
        }
    }
    assert!(hidden > 0);
}

#[test]
fn f17_a_torn_root_write_leaves_the_old_or_the_new_vote() {
    for (mode, seed) in MODES.into_iter().flat_map(|m| (0..80u64).map(move |s| (m, s))) {
        let config = SimConfig { direct_io: seed % 2 == 0, ..SimConfig::default() };
        let mut d = Driver::new(SimDisk::with_config(seed, config), &[mode]);
        let run = |d: &mut Driver| -> Result<(), String> {
            d.open(0, After::Close)?;
            for round in 0..3 {
                d.disk.crash_at(d.disk.ops() + 1 + mix(&[seed, round]) % 12);
                while !d.disk.is_dead() {
                    let term = d.parts[0].model.hard().term + 1;
                    if !d.set_hard_state(0, hard(term, seed % 5, 0))? {
                        break;
                    }
                }
                let after = d.crash(Crash::PowerRandom);
                d.open(0, after)?;
            }
            Ok(())
        };
        run(&mut d).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", d.story()));
    }
}

#[test]
fn f19_no_crash_leaves_a_commit_or_a_compaction_point_without_its_entries() {
    for (mode, at) in MODES.into_iter().flat_map(|m| (1..130u64).map(move |n| (m, n))) {
        let mut d = Driver::new(SimDisk::new(at), &[mode]);
        let run = |d: &mut Driver| -> Result<(), String> {
            d.open(0, After::Close)?;
            d.disk.crash_at(d.disk.ops() + at);
            for round in 1..=20u64 {
                let first = d.parts[0].model.last() + 1;
                d.append(0, &entries(first, first + 5, 1, 2500))?;
                let last = d.parts[0].model.last();
                if d.parts[0].fault.is_none() {
                    d.set_hard_state(0, hard(1 + round / 8, 1, last))?;
                }
                if d.parts[0].fault.is_none() && round % 3 == 0 {
                    d.compact(0, last - round % 5)?;
                }
                if d.disk.is_dead() || d.parts[0].fault.is_some() {
                    break;
                }
            }
            let after = d.crash(if at % 3 == 0 { Crash::PowerNothing } else { Crash::PowerRandom });
            d.open(0, after)?;
            let (first, last) =
                d.parts[0].handle.as_ref().map_or(Ok((0, 0)), |p| p.bounds()).map_err(|e| e.to_string())?;
            // It goes on from there.
            d.append(0, &entries(last + 1, last + 3, 9, 100))?;
            d.compact(0, first)?;
            d.check(0)
        };
        run(&mut d).unwrap_or_else(|e| panic!("{mode:?}, crash at operation {at}: {e}\n{}", d.story()));
    }
}

#[test]
fn f19_hard_states_that_make_no_sense_are_refused() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    p.set_hard_state(hard(3, 1, 0)).unwrap();
    append(&p, &entries(1, 5, 3, 10)).unwrap();
    p.set_hard_state(hard(3, 1, 4)).unwrap();
    let rows = [
        (hard(3, 1, 6), Status::CommitOutOfRange),
        (hard(3, 1, 3), Status::CommitOutOfRange),
        (hard(2, 1, 4), Status::TermRegression),
        (hard(0, 0, 0), Status::TermRegression),
    ];
    for (state, status) in rows {
        let error = p.set_hard_state(state).expect_err("refused");
        assert!(
            error.status == status || state.term == 0 && error.status == Status::CommitOutOfRange,
            "{state:?}: {error}"
        );
        assert_eq!(p.hard_state().unwrap(), hard(3, 1, 4), "a refused hard state changes nothing");
    }
    assert_eq!((p.status().state, p.status().cause), (State::ReadWrite, Cause::None), "bad input is not a fault");
}

#[test]
fn f19_replacing_committed_entries_leaves_no_commit_beyond_the_log() {
    for mode in MODES {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append(&p, &entries(1, 10, 1, 10)).unwrap();
        p.sync().unwrap();
        p.set_hard_state(hard(2, 1, 9)).unwrap();
        // No raft does this; a caller that does must not end up with a log that cannot be opened.
        let replaced = append(&p, &entries(5, 6, 2, 10));
        assert_eq!(p.bounds().unwrap().1, if replaced.is_ok() { 6 } else { 10 });
        assert!(p.hard_state().unwrap().commit <= p.bounds().unwrap().1, "{mode:?}: a commit beyond the last entry");
        let _ = (p.sync(), p.set_hard_state(hard(3, 1, 9)));
        let engine = crate::support::engine(&disk.crash(Crash::PowerNothing));
        let p = reopen(&engine, "/p1", 1, mode);
        assert_eq!(state(&p), State::ReadWrite, "{mode:?}: {:?}", p.last_fault());
        assert!(p.hard_state().unwrap().commit <= p.bounds().unwrap().1);
    }
}

/// Found by the simulation: the begin record of the failed replacement superseded entries that were committed after it had failed.
#[test]
fn f19_a_replacement_that_failed_half_written_supersedes_nothing_that_is_committed_later() {
    for (cut, compacted) in [60, 300, 3000, 9000].into_iter().flat_map(|cut| [(cut, false), (cut, true)]) {
        let what = format!("{cut} bytes written, compacted {compacted}");
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::None);
        append(&p, &entries(1, 10, 1, 2500)).unwrap();
        p.sync().unwrap();
        let replacement = "/p1/seg-0000000000000002";
        wait_for_quiet(&disk);
        // The file's header comes first, if there was no spare.
        let skip = u64::from(!disk.exists(replacement));
        disk.inject(Rule::new(Fault::Short(cut)).on(OpKind::Write).path(replacement).skip(skip).once());
        disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Write).path(replacement).skip(skip));
        append(&p, &entries(5, 9, 2, 2500)).expect_err("the disk is full");
        assert_eq!(state(&p), State::ReadOnly, "{what}: {:?}", p.last_fault());
        let wanted = entries(if compacted { 8 } else { 1 }, 10, 1, 2500);
        p.set_hard_state(hard(3, 1, 8)).unwrap();
        if compacted {
            p.compact(7).unwrap();
        }
        assert_same(&read_all(&p).unwrap(), &wanted, &what);
        for how in [Crash::Process, Crash::PowerNothing, Crash::PowerRandom] {
            let after = disk.fork().crash(how);
            let engine = crate::support::engine(&after);
            let p = reopen(&engine, "/p1", 1, Mode::None);
            assert_eq!((state(&p), p.hard_state().unwrap()), (State::ReadWrite, hard(3, 1, 8)), "{what}, {how:?}");
            assert_same(&read_all(&p).unwrap(), &wanted, &format!("{what}, {how:?}"));
        }
    }
}

/// Found by a random history: mode interval, and a compaction while both the old entries and their replacement waited for the flush.
#[test]
fn f19_entries_that_were_replaced_do_not_follow_a_compaction_point() {
    let mut compacted = 0;
    for (how, n) in [Crash::Process, Crash::PowerNothing].into_iter().flat_map(|how| (0..12).map(move |n| (how, n))) {
        let disk = SimDisk::new(1);
        let limits = EngineConfig { interval_ms: 60_000, ..config() };
        let engine = Engine::with_storage(limits, Arc::new(disk.clone())).unwrap();
        let p = open(&engine, "/p1", 1, Mode::Interval);
        append(&p, &entries(1, 5, 1, 400)).unwrap();
        append(&p, &entries(1, 5, 2, 400)).unwrap();
        wait_for_quiet(&disk);
        disk.crash_at(disk.ops() + n);
        let _ = p.compact(1).and_then(|()| p.sync());
        let next = disk.crash(how);
        let engine = crate::support::engine(&next);
        let p = reopen(&engine, "/p1", 1, Mode::Interval);
        assert_eq!(state(&p), State::ReadWrite, "{how:?} {n}: {:?}", p.last_fault());
        let (first, last) = p.bounds().unwrap();
        if first == 2 {
            compacted += 1;
            assert!(read_all(&p).unwrap().iter().all(|e| e.term == 2), "{how:?} {n}: entries 2 to {last}");
        }
    }
    assert!(compacted >= 4, "{compacted}");
}

/// What continues behind the last index that is accepted can be read again: a record's index is below 2^62.
#[test]
fn a_log_that_has_come_to_the_last_index_can_be_healed() {
    const MAX: u64 = 1 << 62;
    let disk = SimDisk::new(1);
    let engine = Engine::with_storage(healing_config(), Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    assert_eq!(p.reset(MAX - 1, 1).unwrap_err().status, Status::OutOfRange);
    p.reset(MAX - 3, 1).unwrap();
    append(&p, &entries(MAX - 2, MAX - 2, 1, 10)).unwrap();
    append(&p, &entries(MAX - 1, MAX - 1, 1, 10)).unwrap_err();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/seg-").once());
    p.set_hard_state(hard(1, 1, MAX - 2)).unwrap();
    p.close().unwrap();
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (MAX - 2, MAX - 2)), "{:?}", p.last_fault());
}
