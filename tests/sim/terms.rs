//! F14: damage hides the terms of the entries that it hit, and of no others. A term that is given is the entry's own.

use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, SimDisk};
use bulkhead::{Mode, Partition, State, Status};
use std::ops::RangeInclusive;

/// Flips a bit in the data of an entry.
fn spoil(disk: &SimDisk, index: u64, term: u64) {
    let data = Payload::Random.bytes(index, term, 400);
    let at = |file: &String| disk.durable_bytes(file).windows(data.len()).position(|w| w == data);
    let files = disk.files("/p1").into_iter().filter(|f| f.contains("seg-"));
    let (file, at) = files.filter_map(|f| at(&f).map(|at| (f, at))).next().expect("the entry is on the medium");
    disk.flip_bit(&file, at as u64 + 7, 3);
    disk.drop_caches();
}

/// Entries without a term; the others have the one that `term_of` says.
fn without_term(p: &Partition, all: RangeInclusive<u64>, term_of: impl Fn(u64) -> u64) -> Vec<u64> {
    let hidden = |index: &u64| match p.term(*index) {
        Ok(term) => {
            assert_eq!(term, term_of(*index), "entry {index}");
            false
        }
        Err(e) => {
            assert_eq!(e.status, Status::Damaged, "entry {index}");
            true
        }
    };
    all.filter(hidden).collect()
}

/// The log is closed, or its process ends, and what follows is damaged.
fn end(disk: SimDisk, p: &Partition, close: bool) -> SimDisk {
    if close {
        p.close().unwrap();
        return disk;
    }
    disk.crash(Crash::PowerNothing)
}

#[test]
fn f14_a_damaged_entry_has_no_term_and_no_other_ones() {
    for (mode, close) in [Mode::Sync, Mode::Interval, Mode::None].into_iter().flat_map(|m| [(m, true), (m, false)]) {
        let disk = SimDisk::new(1);
        let engine = crate::support::engine(&disk);
        let p = open(&engine, "/p1", 1, mode);
        append_each(&p, 1, 5, 1, 400);
        append_each(&p, 6, 10, 2, 400);
        p.sync().unwrap();
        append_each(&p, 11, 11, 2, 400);
        p.sync().unwrap();
        let disk = end(disk, &p, close);
        // The first of a term, whose place is where the term begins.
        spoil(&disk, 6, 2);
        let engine = crate::support::engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        let what = format!("{mode:?}, closed: {close}");
        assert_eq!(state(&p), State::ReadWrite, "{what}");
        assert_eq!(without_term(&p, 1..=11, |i| if i < 6 { 1 } else { 2 }), [6], "{what}");
        assert_eq!(p.compact(6).map_err(|e| e.status), Err(Status::Damaged), "{what}");
        p.compact(7).unwrap();
        assert_eq!((p.status().compaction_term, p.term(7).unwrap()), (2, 2), "{what}");
    }
}

#[test]
fn f14_good_entries_between_two_bad_ones_have_their_terms() {
    for close in [true, false] {
        let disk = SimDisk::new(1);
        let engine = crate::support::engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append_each(&p, 1, 100, 1, 400);
        let disk = end(disk, &p, close);
        spoil(&disk, 5, 1);
        spoil(&disk, 95, 1);
        let engine = crate::support::engine(&disk);
        let p = reopen(&engine, "/p1", 1, Mode::Sync);
        assert_eq!(without_term(&p, 1..=100, |_| 1), [5, 95], "before anything is read, closed: {close}");
        let bad: Vec<_> = read_each(&p).into_iter().filter(|(_, e)| e.is_err()).map(|(i, _)| i).collect();
        assert_eq!(bad, [5, 95], "closed: {close}");
        assert_eq!(p.verify().unwrap().bad_records, 2);
        assert_eq!(without_term(&p, 1..=100, |_| 1), [5, 95], "after reads and a verify, closed: {close}");
    }
}

#[test]
fn f14_damage_on_both_sides_of_a_segments_end_hides_its_own_terms() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    // A replacement begins a segment.
    append(&p, &entries(9, 9, 2, 400)).unwrap();
    append_each(&p, 10, 15, 3, 400);
    p.close().unwrap();
    for (index, term) in [(7, 1), (8, 1), (9, 2), (10, 3)] {
        spoil(&disk, index, term);
    }
    let engine = engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    let term_of = |i| if i < 9 { 1 } else { 3 };
    assert_eq!(without_term(&p, 1..=15, term_of), [7, 8, 9, 10]);
    assert_eq!(p.compact(8).map_err(|e| e.status), Err(Status::Damaged));
    append(&p, &entries(9, 9, 4, 400)).map_err(|e| e.status).expect_err("the term before it is not known");
    append(&p, &entries(12, 12, 4, 400)).unwrap();
}

/// What cannot be read is not damaged: its term is there once the disk reads it again.
#[test]
fn f16_a_sector_that_reads_again_hides_no_term() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    p.close().unwrap();
    let data = Payload::Random.bytes(6, 1, 400);
    let file = "/p1/seg-0000000000000001";
    let at = disk.durable_bytes(file).windows(data.len()).position(|w| w == data).unwrap() as u64;
    let sectors = disk.durable_bytes(file)[at as usize / 512 * 512..][..1024].to_vec();
    disk.make_unreadable(file, at, data.len());
    disk.drop_caches();
    let engine = engine(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::Sync);
    assert_eq!(p.term(6).map_err(|e| (e.status, e.errno)), Err((Status::IoError, libc::EIO)));
    assert_eq!((p.term(1).unwrap(), p.term(10).unwrap()), (1, 1), "of entries beside it");
    disk.overwrite(file, at / 512 * 512, &sectors);
    assert_eq!(p.term(6).unwrap(), 1);
    p.compact(6).unwrap();
    assert_eq!((p.status().compaction_index, p.status().compaction_term), (6, 1));
}

/// What this opening wrote has its term in memory: damage on the medium takes the data, not the term.
#[test]
fn f14_a_term_in_memory_outlives_its_record() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 400);
    spoil(&disk, 6, 1);
    assert_eq!(p.verify().unwrap().bad, (6, 6));
    assert_eq!(without_term(&p, 1..=10, |_| 1), []);
    let reads = disk.count(OpKind::Read);
    p.term(6).unwrap();
    assert_eq!(disk.count(OpKind::Read), reads);
}
