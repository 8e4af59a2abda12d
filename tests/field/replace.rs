//! Bugs by which others' logs came back, or lost what they had, around a replacement: of a suffix, by a snapshot, of the vote, by a copy.

use crate::support::driver::Driver;
use crate::support::field::*;
use crate::support::judge::After;
use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimDisk};
use bulkhead::{HardState, Mode, State};

/// canonical raft 373 (dqlite): a crash while the old segments were removed after a snapshot had been installed left some of them; the
/// start took them for newer than the snapshot and applied them on top. Zeebe 12374: a crash while the log was reset left a segment
/// that was no segment, and the broker did not start. Here a reset is one write of the root: before it the old log, after it the empty
/// one, whatever files are left.
#[test]
fn canonical_raft_373_zeebe_12374_a_reset_is_whole_wherever_it_is_cut() {
    for (mode, direct_io) in modes_and_paths() {
        for step in 1..16u64 {
            let mut d = Driver::new(disk_of(step, direct_io), &[mode]);
            let run = |d: &mut Driver| -> Result<(), String> {
                d.open(0, After::Close)?;
                for first in (1..80).step_by(4) {
                    d.append(0, &entries(first, first + 3, 1, 3000))?;
                }
                d.sync(0)?;
                let old: Vec<(String, Vec<u8>)> =
                    d.disk.files("/p1").into_iter().map(|f| (f.clone(), d.disk.durable_bytes(&f))).collect();
                d.disk.crash_at(d.disk.ops() + step);
                let whole = d.reset(0, 200, 4)?;
                let goes_on = whole && d.append(0, &entries(201, 204, 4, 500))?;
                let after = d.crash([Crash::Process, Crash::PowerNothing, Crash::PowerRandom][step as usize % 3]);
                // Removed files are back, as after a removal that was not durable, or they are not.
                for (path, bytes) in old.into_iter().filter(|f| f.0.contains("seg-")) {
                    if step % 2 == 0 && !d.disk.exists(&path) {
                        d.disk.put_file(&path, &bytes);
                    }
                }
                let after = if goes_on || after == After::Process { after } else { After::Power };
                d.open(0, after)?;
                d.check(0)?;
                let next = d.parts[0].model.last() + 1;
                d.append(0, &entries(next, next + 5, 5, 700))?;
                let after = d.crash(Crash::Process);
                d.open(0, after)?;
                d.check(0)
            };
            run(&mut d).unwrap_or_else(|e| panic!("direct {direct_io}, step {step}: {e}\n{}", d.story()));
        }
    }
}

/// Formance ledger 2076 (etcd's WAL): the replacement of a suffix that began at or below the snapshot was skipped when the log was read,
/// and the old entries it had replaced were back above it. Here a replacement counts wherever it begins, compacted or not.
#[test]
fn formance_ledger_2076_a_replaced_suffix_stays_replaced_when_its_replacement_is_compacted() {
    // The replacement is 11 to 13; what is compacted ends before it, in it, and with all of it.
    for (mode, point, close) in MODES.into_iter().flat_map(|m| [9, 10, 11, 12, 13].map(|c| (m, c, c % 2 == 0))) {
        let what = format!("{mode:?}, compacted to {point}, closed {close}");
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_durably(&p, &entries(1, 20, 1, 3000)).unwrap();
        append_durably(&p, &entries(11, 13, 2, 100)).unwrap();
        p.compact(point).unwrap();
        let log = [entries(1, 10, 1, 3000), entries(11, 13, 2, 100)].concat();
        let wanted = &log[point as usize..];
        if close {
            p.close().unwrap();
        }
        for how in CRASHES {
            let after = disk.fork().crash(how);
            let (_engine, p) = assert_opens_with(&after, mode, wanted, &format!("{what}, {how:?}"));
            assert_eq!(p.bounds().unwrap(), (point + 1, 13), "{what}, {how:?}");
            assert_eq!(p.term(13).unwrap(), 2, "{what}, {how:?}: the last term is that of replaced entries");
            append_durably(&p, &entries(14, 15, 2, 100)).unwrap();
            let wanted = [wanted, &entries(14, 15, 2, 100)[..]].concat();
            assert_opens_with(&after.fork().crash(Crash::PowerNothing), mode, &wanted, &format!("{what}, {how:?}"));
        }
    }
}

/// hashicorp raft 661: term and vote were stored by two writes; a crash between them let a server vote twice in one term. Here they
/// are in one checksummed slot: a crash at any step leaves the old pair or the new one.
#[test]
fn hashicorp_raft_661_term_and_vote_change_together() {
    let pair = |h: HardState| (h.term, h.vote);
    for (mode, direct_io) in modes_and_paths() {
        for step in 1..8 {
            let disk = disk_of(step, direct_io);
            let (_engine, p) = start(&disk, mode);
            disk.crash_at(disk.ops() + step);
            let stored = p.set_hard_state(hard(2, 7, 0)).is_ok();
            for how in CRASHES {
                let after = disk.fork().crash(how);
                let (_engine, p) = assert_opens_with(&after, mode, &entries(1, 5, 1, 300), "the log");
                let found = pair(p.hard_state().unwrap());
                let what = format!("{mode:?}, direct {direct_io}, step {step}, {how:?}: {found:?}");
                assert!(found == (2, 7) || !stored && found == (1, 1), "{what}");
            }
        }
    }
}

/// raft-engine 288: a rewrite of old entries was cut short, and at the start the part that was copied stood for all of it. Here recovery
/// copies what was never made durable into a new segment, and that counts only when it is whole: a crash at any step of it leaves
/// the old one.
#[test]
fn raft_engine_288_a_copy_that_was_cut_short_does_not_replace_the_original() {
    for mode in MODES {
        for step in 1..24 {
            let disk = disk_of(step, true);
            let (_engine, p) = start(&disk, mode);
            let flush = if mode == Mode::None { OpKind::Sync } else { OpKind::Write };
            disk.inject(Rule::errno(libc::EIO).on(flush).path(TAIL).once());
            let batch = entries(6, 15, 1, 2000);
            let accepted = append(&p, &batch).is_ok();
            assert!(p.sync().is_err(), "{mode:?}: the flush failed");
            disk.crash_at(disk.ops() + step);
            let recovered = p.recover().is_ok();
            let done = recovered && !disk.is_dead();
            for how in CRASHES {
                // Mode interval acknowledges from memory, and the owner has heard that the flush failed.
                let kept = done || mode == Mode::None && how == Crash::Process;
                let promised = if accepted && kept { 15 } else { 5 };
                let after = disk.fork().crash(how);
                let what = format!("{mode:?}, step {step}, {how:?}, recovered {done}");
                let engine = engine(&after);
                let p = reopen(&engine, "/p1", 1, mode);
                assert_eq!(state(&p), State::ReadWrite, "{what}: {:?}", p.last_fault());
                let found = read_all(&p).unwrap();
                assert!(found.len() >= promised, "{what}: {promised} entries are promised, {} there", found.len());
                let wanted = [entries(1, 5, 1, 300), batch.clone()].concat();
                assert_same(&found, &wanted[..found.len()], &what);
            }
        }
    }
}
