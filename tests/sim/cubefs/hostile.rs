//! F15: files that were made to take long do not.

use super::*;
use bulkhead::cubefs::FindingKind;
use std::sync::mpsc;
use std::time::Duration;

/// What begins like an index of a whole number of items that takes about so many bytes.
fn claim(bytes: u64) -> Vec<u8> {
    let mut header = vec![2];
    header.extend((bytes / 20 * 20 + 4).to_be_bytes());
    header
}

fn entry(index: u64) -> Vec<u8> {
    file_bytes(&[(index, 1, 0, vec![])], false).0
}

/// A log of one file: the bytes, and `more` for 1, 2, … behind them up to 4 MiB.
fn file_of(bytes: Vec<u8>, more: impl Fn(u64) -> Vec<u8>) -> SimDisk {
    let disk = SimDisk::new(1);
    disk.make_dirs(PATH);
    disk.put_file(
        &format!("{PATH}/META"),
        &Log { hard_state: HardState { term: 1, vote: 0, commit: 0 }, ..Log::default() }.meta().encode(),
    );
    let mut bytes = bytes;
    let mut n = 0;
    while bytes.len() < 4 << 20 {
        n += 1;
        bytes.extend(more(n));
    }
    disk.put_file(&format!("{PATH}/{:016x}-{:016x}.log", 1, 1), &bytes);
    disk
}

/// Found by reading: while the next record behind a bad one is looked for, the checksums of those that were at hand already did not count, however
/// many and large they were; and behind each short entry among bad bytes a piece of the file was read anew.
#[test]
fn f15_a_file_that_asks_for_much_is_judged_soon() {
    let window = [entry(1), vec![0], claim(2 << 20)].concat();
    let files = [
        ("large records in each other", file_of(window, |_| claim(1 << 20))),
        ("entries, and large records from each of them on", file_of(vec![], |n| [entry(n), claim(1 << 20)].concat())),
        ("entries, and a byte behind each of them", file_of(vec![], |n| [entry(n), vec![0]].concat())),
    ];
    for (what, disk) in files {
        let (send, receive) = mpsc::channel();
        let visitor = std::thread::spawn(move || {
            let before = disk.ops();
            let found = convert(&disk, |c| c.inspect()).expect("an inspection");
            assert_eq!(found.report.damage().map(|f| f.kind), Some(FindingKind::BadRecord));
            let _ = send.send(disk.ops() - before);
        });
        match receive.recv_timeout(Duration::from_secs(10)) {
            Ok(operations) => assert!(operations < 2000, "{what}: {operations} operations"),
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: takes long"),
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("{what}: {:?}", visitor.join()),
        }
    }
}

/// Found by reading: where the search had given up in the part that is compacted, the rest of the file went without a word.
#[test]
fn what_takes_too_long_to_find_out_is_damage_also_in_the_part_that_is_compacted() {
    let mut bytes: Vec<u8> = (1..=5).flat_map(entry).collect();
    while bytes.len() < 4 << 20 {
        bytes.extend(claim(1 << 20));
    }
    bytes.extend((7..=110).flat_map(entry));
    let disk = file_of(bytes, |_| vec![]);
    let meta = Log { hard_state: HardState { term: 1, vote: 0, commit: 100 }, compaction: (100, 1), entries: vec![] };
    disk.put_file(&format!("{PATH}/META"), &meta.meta().encode());
    let report = convert(&disk, |c| c.inspect()).expect("an inspection").report;
    assert_eq!(report.damage().map(|f| (f.kind, f.range)), Some((FindingKind::BadRecord, (6, 6))), "{report:?}");
}
