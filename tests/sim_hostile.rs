//! F15: hostile files, checksums right or wrong, never crash or hang an open, a read, a verify or a recovery, nor make it take memory.

mod support;

use std::sync::mpsc;
use std::time::Duration;

use bulkhead::format::{BeginData, RecordHeader, RecordType, Root, SegmentHeader, SegmentSalt};
use bulkhead::io::sim::{mix, SimDisk};
use bulkhead::{Engine, Mode, State};
use support::*;

#[global_allocator]
static MEMORY: support::alloc::Counting = support::alloc::Counting::new();
/// Most that may be asked for at once: the files are 64 KiB, a zeroed buffer for a new segment is as large.
const LARGEST: usize = 256 << 10;

/// Opens, reads, verifies, recovers: nothing of it may panic, hang or take long.
fn survive(disk: &SimDisk, what: &str) {
    // What all segments of the process are filled with is there by now.
    MEMORY.take_largest();
    let (send, receive) = mpsc::channel();
    let disk = disk.clone();
    let visitor = std::thread::spawn(move || {
        visit(&disk);
        let _ = send.send(());
    });
    let over = receive.recv_timeout(Duration::from_secs(10));
    assert!(over != Err(mpsc::RecvTimeoutError::Timeout), "{what}: hangs");
    assert!(visitor.join().is_ok(), "{what}: panics");
    let largest = MEMORY.take_largest();
    assert!(largest <= LARGEST, "{what}: takes {largest} bytes at once");
}

fn visit(disk: &SimDisk) {
    let engine = engine(disk);
    let Ok(p) = try_open(&engine, "/p1", 1, Mode::Sync) else { return };
    let _ = p.bounds().map(|(first, last)| {
        for i in [first, last, first.wrapping_add(1), u64::MAX - 1, 0] {
            let _ = (p.read(i, i.saturating_add(3), 1 << 20), p.term(i));
        }
    });
    let _ = (p.hard_state(), p.verify(), p.status());
    let _ = (append(&p, &entries(1, 1, 1, 1)), p.recover(), p.close());
    drop(p);
    go_on(&engine);
}

/// A log that takes a vote and an entry has both at the next opening.
fn go_on(engine: &Engine) {
    let Ok(p) = try_open(engine, "/p1", 1, Mode::Sync) else { return };
    let (Ok((_, last)), Ok(before)) = (p.bounds(), p.hard_state()) else { return };
    let term = p.term(last).unwrap_or(0).max(before.term).saturating_add(1);
    let voted = p.set_hard_state(hard(term, 2, before.commit)).is_ok();
    let added = append(&p, &entries(last.saturating_add(1), last.saturating_add(1), term, 10)).is_ok();
    let _ = p.close();
    drop(p);
    if voted || added {
        let p = try_open(engine, "/p1", 1, Mode::Sync).expect("it was open");
        let (state, bounds, hard) = (p.status().state, p.bounds(), p.hard_state());
        assert_eq!(state, State::ReadWrite, "{:?}", p.last_fault());
        assert!(!voted || hard.is_ok_and(|h| (h.term, h.vote) == (term, 2)), "the vote is gone");
        assert!(!added || bounds.is_ok_and(|b| b.1 == last + 1), "the entry is gone");
    }
}

const TYPES: [RecordType; 3] = [RecordType::Entry, RecordType::Begin, RecordType::Mark];
const HOSTILE: [u64; 12] = [
    0,
    1,
    2,
    17,
    4096,
    u32::MAX as u64,
    1 << 40,
    1 << 61,
    (1 << 62) - (1 << 32),
    (1 << 62) - 1,
    u64::MAX - 1,
    u64::MAX,
];

#[test]
fn f15_hostile_roots_with_right_checksums() {
    let (disk, _, _) = small_log(Mode::Sync, false);
    let good = Root::decode_file(&disk.durable_bytes("/p1/root")).unwrap();
    type Change = fn(&mut Root, u64);
    let changes: [(&str, Change); 12] = [
        ("generation", |r, v| r.generation = v),
        ("term", |r, v| r.term = v),
        ("commit", |r, v| r.commit = v),
        ("compaction index", |r, v| r.compaction_index = v),
        ("first segment", |r, v| r.first_segment = v),
        ("last segment", |r, v| r.last_segment = v),
        ("all segments", |r, v| (r.first_segment, r.last_segment) = (0, v)),
        ("lsn limit", |r, v| r.lsn_limit = v),
        ("mark", |r, v| r.mark = v),
        ("last lsn of an empty log", |r, v| {
            (r.compaction_index, r.compaction_term, r.commit) = (r.end.index.max(9), 9, r.end.index.max(9));
            (r.first_segment, r.clean) = (r.last_segment + 1, true);
            r.end = bulkhead::format::LogEnd { index: r.compaction_index, term: 9, lsn: v, ..Default::default() };
        }),
        ("mode", |r, v| r.mode = v as u32),
        ("clean end", |r, v| {
            r.end = bulkhead::format::LogEnd { segment: v % 5, offset: v, lsn: v, index: v, term: v };
            r.clean = v % 2 == 0;
        }),
    ];
    for (name, change) in changes {
        for value in HOSTILE {
            let mut root = good;
            change(&mut root, value);
            let fork = disk.fork();
            fork.overwrite("/p1/root", 0, &root.encode_file());
            survive(&fork, &format!("{name} = {value}"));
        }
    }
}

#[test]
fn f15_hostile_segments_with_right_checksums() {
    let (disk, _, _) = small_log(Mode::Sync, false);
    let segments: Vec<String> = disk.files("/p1").into_iter().filter(|f| f.contains("seg-")).collect();
    for path in &segments {
        let bytes = disk.durable_bytes(path);
        let Ok(good) = SegmentHeader::decode(&bytes) else { continue };
        for value in HOSTILE {
            for field in 0..4 {
                let mut header = good;
                match field {
                    0 => header.header_bytes = value as u32,
                    1 => header.sequence = value,
                    2 => header.block_bytes = value as u32,
                    _ => header.partition_id = value,
                }
                let fork = disk.fork();
                fork.overwrite(path, 0, &header.encode());
                survive(&fork, &format!("{path}: header field {field} = {value}"));
            }
        }
        for ((at, record), value) in records(&bytes, &good).into_iter().flat_map(|r| HOSTILE.map(|v| (r, v))) {
            for field in 0..8 {
                let mut hostile = record;
                match field {
                    0 => hostile.length = value as u32,
                    1 => hostile.lsn = value,
                    2 => hostile.index = value,
                    3 => hostile.term = value,
                    4 => hostile.mark = value,
                    5 => hostile.commit = value,
                    6 => hostile.data_crc = value as u32,
                    _ => hostile.record_type = TYPES[value as usize % 3],
                }
                let fork = disk.fork();
                fork.overwrite(path, at, &hostile.encode(&SegmentSalt::new(good.salt), at));
                survive(&fork, &format!("{path}: record at {at}, field {field} = {value}"));
            }
        }
    }
}

/// All records of a segment with their places.
fn records(bytes: &[u8], header: &SegmentHeader) -> Vec<(u64, RecordHeader)> {
    let salt = SegmentSalt::new(header.salt);
    let at = |at: u64| Some((at, RecordHeader::decode(&bytes[at as usize..], &salt, at)?));
    (0..bytes.len() as u64).step_by(8).filter_map(at).collect()
}

#[test]
fn f15_hostile_chains_with_right_checksums() {
    // Begin records that name themselves, newer segments, segments that are not there, ends far away.
    let (disk, _, _) = small_log(Mode::Sync, false);
    for path in disk.files("/p1").into_iter().filter(|f| f.contains("seg-")) {
        let bytes = disk.durable_bytes(&path);
        let Ok(header) = SegmentHeader::decode(&bytes) else { continue };
        let begins = records(&bytes, &header).into_iter().filter(|r| r.1.record_type == RecordType::Begin);
        for ((at, record), segment, end_offset) in begins.flat_map(|r| {
            let segments = [0, 1, 2, 3, header.sequence, u64::MAX];
            segments.into_iter().flat_map(move |s| HOSTILE.map(|e| (r, s, e)))
        }) {
            let salt = SegmentSalt::new(header.salt);
            let data = BeginData { segment, end_offset, last_lsn: record.lsn.wrapping_sub(1) }.encode();
            let hostile = RecordHeader { data_crc: crc32fast::hash(&data), mark: record.lsn, ..record };
            let fork = disk.fork();
            fork.overwrite(&path, at, &[&hostile.encode(&salt, at)[..], &data[..]].concat());
            survive(&fork, &format!("{path}: begin names segment {segment}, end {end_offset}"));
        }
    }
}

#[test]
fn f15_noise_cut_and_swapped_files() {
    let (disk, _, _) = small_log(Mode::Sync, false);
    let files = disk.files("/p1");
    for seed in 0..300u64 {
        let fork = disk.fork();
        let pick = |n: u64| &files[(mix(&[seed, n]) % files.len() as u64) as usize];
        let len = fork.durable_bytes(pick(0)).len() as u64;
        match seed % 5 {
            0 => fork.set_len(pick(0), mix(&[seed, 9]) % (len + 1)),
            1 => fork.swap(pick(0), pick(1)),
            2 => fork.remove(pick(0)),
            3 => fork.overwrite(
                pick(0),
                mix(&[seed, 9]) % len.max(1),
                &Payload::Random.bytes(seed, 1, (mix(&[seed, 8]) % 9000) as usize),
            ),
            _ => fork.overwrite(pick(0), 0, &Payload::Records.bytes(seed, 1, len as usize)),
        }
        survive(&fork, &format!("noise {seed}"));
    }
}

/// What the next vote and the next entry are numbered by is no number that the next opening refuses.
#[test]
fn f15_hostile_counters_with_right_checksums_leave_room_for_what_is_acknowledged() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::Sync);
    append(&p, &entries(1, 3, 1, 40)).unwrap();
    let crashed = disk.fork().crash(bulkhead::io::sim::Crash::PowerNothing);
    p.close().unwrap();
    let good = Root::decode_file(&disk.durable_bytes("/p1/root")).unwrap();
    assert!(good.clean && good.commit == 0);
    type Change = fn(&mut Root, u64);
    let changes: [(&str, Change); 4] = [
        ("lsn of the end", |r, v| r.end.lsn = v),
        ("lsn limit", |r, v| r.lsn_limit = v),
        ("mark", |r, v| r.mark = v),
        ("first segment", |r, v| (r.first_segment, r.last_segment) = (v, 0)),
    ];
    let segment = "/p1/seg-0000000000000001";
    let bytes = crashed.durable_bytes(segment);
    let header = SegmentHeader::decode(&bytes).unwrap();
    let (salt, at) = (SegmentSalt::new(header.salt), u64::from(header.header_bytes));
    let begin = RecordHeader::decode(&bytes[at as usize..], &salt, at).unwrap();
    // A log that is just below the bound gets over it, and is refused then; but none comes there.
    for value in HOSTILE.into_iter().filter(|v| *v != 1 << 61).chain([(1 << 62) - 2]) {
        for (name, change) in changes {
            let mut root = good;
            change(&mut root, value);
            let fork = disk.fork();
            fork.overwrite("/p1/root", 0, &root.encode_file());
            go_on(&engine(&fork.fork()));
            survive(&fork, &format!("{name} = {value}"));
        }
        let fork = crashed.fork();
        fork.overwrite(segment, at, &RecordHeader { lsn: value, ..begin }.encode(&salt, at));
        go_on(&engine(&fork.fork()));
        survive(&fork, &format!("first record = {value}"));
    }
}
