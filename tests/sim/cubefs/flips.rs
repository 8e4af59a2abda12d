//! Every bit of a log's files flipped: no entry disappears without a word.

use super::*;
use bulkhead::cubefs::{FindingKind, Report};

type Entries = Vec<(u64, u64, u8, Vec<u8>)>;

fn entries() -> Entries {
    (1..=9).map(|i| (i, 2 + i / 5, 0, vec![i as u8; (i * 7 % 20) as usize])).collect()
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
    for sealed in [false, true] {
        let (disk, files) = disk_of(entries(), sealed);
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

/// Found by reading: what stood directly behind an index or a footer was not looked at, only what was further on.
#[test]
fn an_entry_directly_behind_a_seal_is_read() {
    let (disk, files) = disk_of(entries(), true);
    let (path, _) = &files[2];
    let mut bytes = disk.cached_bytes(path);
    for index in [10, 11] {
        bytes.extend(file_bytes(&[(index, 3, 0, vec![7; 9])], false).0);
        disk.put_file(path, &bytes);
        let report = inspect(&disk);
        assert_eq!((report.entries, report.last_index, report.findings), (index, index, vec![]));
    }
}
