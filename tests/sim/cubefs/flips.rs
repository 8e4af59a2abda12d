//! Every bit of a log's files flipped, and the last one cut at every byte: no entry disappears without a word, and what an entry's payload holds
//! makes no difference.

use super::*;
use bulkhead::cubefs::{FindingKind, Report};

type Entries = Vec<(u64, u64, u8, Vec<u8>)>;

/// The last one's payload is given.
fn entries(payload: Vec<u8>) -> Entries {
    let mut entries: Entries = (1..=9).map(|i| (i, 2 + i / 5, 0, vec![i as u8; (i * 7 % 20) as usize])).collect();
    entries[8].3 = payload;
    entries
}

/// A whole file of another log. With its length it differs whether its index would be in front of entry 9 here, within it or behind it.
fn other(entries: u64) -> Vec<u8> {
    file_bytes(&(1..=entries).map(|i| (i, 1, 0, vec![i as u8; 3])).collect::<Entries>(), true).0
}

/// What seals a file of another log, which has an entry 9, too. It is a whole number of index items away from where its index was there.
fn seal_of_other() -> Vec<u8> {
    let (bytes, offsets) = file_bytes(&[(9, 3, 0, vec![])], true);
    [&[7; 19], &bytes[offsets[1]..]].concat()
}

/// The log in three files, the last one sealed as well, as a crash before the next one leaves it; each file with where its entries end. META's
/// commit is 0: nothing but the files says how far the log goes.
fn disk_of(entries: Entries, sealed: bool) -> (SimDisk, Vec<(String, usize)>) {
    let hard_state = HardState { term: 3, vote: 1, commit: 0 };
    let log = Log { hard_state, compaction: (0, 0), entries };
    let disk = SimDisk::new(1);
    let paths = put(&disk, PATH, &log, 3);
    let files = paths.into_iter().zip(log.entries.chunks(3)).enumerate().map(|(i, (path, part))| {
        let (bytes, offsets) = file_bytes(part, i < 2 || sealed);
        disk.put_file(&path, &bytes);
        (path, offsets[part.len()])
    });
    let files = files.collect();
    (disk, files)
}

fn inspect(disk: &SimDisk) -> Report {
    convert(disk, |c| c.inspect()).expect("an inspection").report
}

fn found(report: &Report) -> Vec<(FindingKind, (u64, u64))> {
    report.findings.iter().map(|f| (f.kind, f.range)).collect()
}

/// Found by reading: the type of a record stands outside of its checksum, and an entry that had become a "footer" was skipped, with a note that
/// the index was damaged.
#[test]
fn no_entry_disappears_without_a_word_whichever_bit_flips() {
    for (sealed, payload) in [(false, vec![7; 3]), (false, other(5)), (true, vec![7; 3]), (true, other(5))] {
        let (disk, files) = disk_of(entries(payload), sealed);
        assert_eq!(inspect(&disk).findings, []);
        for (i, (path, end)) in files.iter().enumerate() {
            let bytes = disk.cached_bytes(path);
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                disk.put_file(path, &bad);
                let report = inspect(&disk);
                let what = format!("bit {bit} of {path}, sealed: {sealed}: {report:?}");
                if bit / 8 >= *end {
                    assert_eq!((report.damage(), report.entries), (None, 9), "{what}");
                    assert!(!report.findings.is_empty(), "{what}");
                } else if report.damage().is_none() {
                    // Nothing is behind the last entry.
                    assert_eq!((i, sealed, report.entries), (2, false, 8), "{what}");
                    assert_eq!(found(&report), [(FindingKind::TornTail, (9, 9))], "{what}");
                    assert!(report.torn_bytes > 0, "{what}");
                }
            }
            disk.put_file(path, &bytes);
        }
    }
}

/// Found by reading: the footer of another log in the payload of an entry that was cut short counted for its own file's, and made that end damage.
#[test]
fn a_last_file_that_ends_anywhere_is_no_damage() {
    let payloads = [vec![7; 3], other(1), other(2), other(5), other(20), seal_of_other()];
    for (sealed, payload) in payloads.into_iter().map(|p| (false, p)).chain([(true, other(5))]) {
        let entries = entries(payload);
        let (disk, files) = disk_of(entries.clone(), sealed);
        let path = &files[2].0;
        let bytes = disk.cached_bytes(path);
        let offsets = file_bytes(&entries[6..], false).1;
        for cut in 0..=bytes.len() {
            disk.put_file(path, &bytes[..cut]);
            let report = inspect(&disk);
            let what = format!("cut at {cut}, sealed: {sealed}: {report:?}");
            let whole = 6 + offsets[1..].iter().filter(|end| **end <= cut).count() as u64;
            assert_eq!((report.damage(), report.last_index), (None, whole), "{what}");
            let torn = offsets.iter().rfind(|at| **at <= cut).map_or(0, |at| cut - at);
            if !sealed {
                assert_eq!(report.torn_bytes, torn as u64, "{what}");
            }
        }
    }
}

/// What is left of a seal says that entries were there.
#[test]
fn either_half_of_a_seal_tells_of_entries_that_are_gone() {
    let (disk, files) = disk_of(entries(other(5)), true);
    let (path, end) = &files[2];
    let bytes = disk.cached_bytes(path);
    let offsets = file_bytes(&entries(other(5))[6..], false).1;
    let footer = bytes.len() - 29;
    for gone in [&offsets[1..3], &offsets[2..3]] {
        for half in [0..0, *end + 13..footer, footer + 9..bytes.len()] {
            let mut bad = bytes.clone();
            bad[half.clone()].iter_mut().for_each(|b| *b ^= 0x55);
            // Type, length, kind, term and index; the payload stays.
            gone.iter().for_each(|at| bad[*at..*at + 26].iter_mut().for_each(|b| *b ^= 0x55));
            disk.put_file(path, &bad);
            let report = inspect(&disk);
            let damage = report.damage().map(|f| (f.kind, f.range.0, f.offset));
            let first = (FindingKind::BadRecord, 10 - gone.len() as u64, gone[0] as u64);
            assert_eq!(damage, Some(first), "and {half:?}: {report:?}");
        }
    }
}

/// Found by reading: what stood directly behind an index or a footer was not looked at, only what was further on; and nothing behind a footer whose
/// index is damaged.
#[test]
fn an_entry_directly_behind_a_seal_is_read() {
    for whole in [true, false] {
        let (disk, files) = disk_of(entries(vec![7; 3]), true);
        let (path, end) = &files[2];
        let mut bytes = disk.cached_bytes(path);
        bytes[*end + 20] ^= u8::from(!whole);
        for index in [10, 11] {
            bytes.extend(file_bytes(&[(index, 3, 0, vec![7; 9])], false).0);
            disk.put_file(path, &bytes);
            let report = inspect(&disk);
            assert_eq!((report.entries, report.damage()), (index, None), "{report:?}");
            assert_eq!(report.findings.is_empty(), whole, "{report:?}");
        }
    }
}
