//! F14, F15: any single flipped bit is found or harmless; hostile files never crash or hang an open.

mod support;

use std::time::{Duration, Instant};

use bulkhead::format::{RecordHeader, RecordType, Root, SegmentHeader, SegmentSalt};
use bulkhead::io::sim::{mix, Crash, SimDisk};
use bulkhead::{Engine, Entry, HardState, Mode, State, Status};
use support::*;

/// A small log with a compaction, a replaced suffix, a vote and more than one segment.
fn sample(mode: Mode, close: bool) -> (SimDisk, Vec<Entry>, HardState) {
    let disk = SimDisk::new(3);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, mode);
    p.set_hard_state(hard(2, 3, 0)).unwrap();
    append(&p, &entries(1, 8, 1, 40)).unwrap();
    append(&p, &entries(6, 12, 2, 40)).unwrap();
    p.compact(2).unwrap();
    append_each(&p, 13, 16, 2, 40);
    p.sync().unwrap();
    p.set_hard_state(hard(3, 1, 10)).unwrap();
    let log = [entries(3, 5, 1, 40), entries(6, 16, 2, 40)].concat();
    if close {
        p.close().unwrap();
    }
    (disk.crash(Crash::PowerNothing), log, hard(3, 1, 10))
}

/// Opens a tampered directory; `Some(complaint)` if something is wrong with it and nobody says so.
fn judge(engine: &Engine, log: &[Entry], state_before: HardState) -> Option<String> {
    let p = match try_open(engine, "/t", 1, Mode::Sync) {
        Ok(p) => p,
        Err(_) => return None, // refused, with a reason
    };
    let status = p.status();
    let reported = |i: u64| {
        let within = |r: (u64, u64)| (r.0..=r.1).contains(&i);
        status.state != State::ReadWrite
            || within((status.damaged.0, status.damaged.1))
            || within(status.maybe_acknowledged)
            || within(status.lost)
    };
    let complaint = (|| {
        for wanted in log {
            match p.read(wanted.index, wanted.index + 1, u64::MAX) {
                Ok(found) if found[0] == *wanted => {}
                Ok(found) => {
                    return Some(format!(
                        "entry {} came back as another: {:?}",
                        wanted.index,
                        (found[0].index, found[0].term)
                    ))
                }
                // What no open scans the read itself finds.
                Err(e) if matches!(e.status, Status::Damaged | Status::IoError) || reported(wanted.index) => {}
                Err(e) => return Some(format!("entry {} is gone and nobody says so: {e}", wanted.index)),
            }
        }
        if p.bounds().is_ok_and(|b| b.1 > 16) {
            return Some("entries that nobody wrote".into());
        }
        match p.hard_state() {
            Ok(h) if (h.term, h.vote) != (state_before.term, state_before.vote) => Some(format!("another vote: {h:?}")),
            Ok(h) if h.commit > 16 => Some(format!("commit {} beyond the log", h.commit)),
            _ => None,
        }
    })();
    let _ = p.close();
    complaint
}

#[test]
fn f14_any_single_flipped_bit_is_found_or_harmless() {
    for (mode, close) in [(Mode::Sync, false), (Mode::Sync, true), (Mode::None, false), (Mode::None, true)] {
        let (disk, log, state) = sample(mode, close);
        let engine = engine(&disk);
        for path in disk.files("/p1") {
            let bytes = disk.durable_bytes(&path);
            let target = path.replacen("/p1", "/t", 1);
            for byte in 0..bytes.len() {
                // Every bit of what was written; a few of the padding and the space not used yet.
                let near = bytes[byte.saturating_sub(8)..(byte + 8).min(bytes.len())].iter().any(|b| *b != 0);
                if !near && byte % 509 != 0 {
                    continue;
                }
                // All eight bits of each byte would take minutes; which one changes from byte to byte.
                let bit = (mix(&[byte as u64, mode as u64, close as u64]) % 8) as u8;
                disk.copy_dir("/p1", "/t");
                disk.flip_bit(&target, byte as u64, bit);
                if let Some(complaint) = judge(&engine, &log, state) {
                    panic!("{mode:?}, closed: {close}, {path}, byte {byte}, bit {bit}: {complaint}");
                }
                disk.remove("/t");
            }
        }
    }
}

/// Opens, reads, verifies: nothing of it may panic, hang or take long.
fn survive(disk: &SimDisk, what: &str) {
    let engine = engine(disk);
    let began = Instant::now();
    if let Ok(p) = try_open(&engine, "/p1", 1, Mode::Sync) {
        let _ = p.bounds().map(|(first, last)| {
            for i in [first, last, first.wrapping_add(1), u64::MAX - 1, 0] {
                let _ = p.read(i, i.saturating_add(3), 1 << 20);
                let _ = p.term(i);
            }
        });
        let (_, _, _) = (p.hard_state(), p.verify(), p.status());
        let _ = append(&p, &entries(1, 1, 1, 1));
        let _ = p.recover();
        let _ = p.close();
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{what}: took {:?}", began.elapsed());
}

const HOSTILE: [u64; 9] = [0, 1, 2, 17, 4096, u32::MAX as u64, 1 << 40, u64::MAX - 1, u64::MAX];

#[test]
fn f15_hostile_roots_with_right_checksums() {
    let (disk, _, _) = sample(Mode::Sync, false);
    let good = Root::decode_file(&disk.durable_bytes("/p1/root")).unwrap();
    type Change = fn(&mut Root, u64);
    let changes: [(&str, Change); 10] = [
        ("generation", |r, v| r.generation = v),
        ("term", |r, v| r.term = v),
        ("commit", |r, v| r.commit = v),
        ("compaction index", |r, v| r.compaction_index = v),
        ("first segment", |r, v| r.first_segment = v),
        ("last segment", |r, v| r.last_segment = v),
        ("all segments", |r, v| (r.first_segment, r.last_segment) = (0, v)),
        ("lsn limit", |r, v| r.lsn_limit = v),
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
    let (disk, _, _) = sample(Mode::Sync, false);
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
        let salt = SegmentSalt::new(good.salt);
        let places: Vec<u64> = (0..bytes.len() as u64)
            .step_by(8)
            .filter(|at| RecordHeader::decode(&bytes[*at as usize..], &salt, *at).is_some())
            .collect();
        for (at, value) in places.iter().flat_map(|at| HOSTILE.map(|v| (*at, v))) {
            let Some(record) = RecordHeader::decode(&bytes[at as usize..], &salt, at) else { continue };
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
                    _ => {
                        hostile.record_type =
                            [RecordType::Entry, RecordType::Begin, RecordType::Mark][value as usize % 3]
                    }
                }
                let fork = disk.fork();
                fork.overwrite(path, at, &hostile.encode(&salt, at));
                survive(&fork, &format!("{path}: record at {at}, field {field} = {value}"));
            }
        }
    }
}

#[test]
fn f15_noise_cut_and_swapped_files() {
    let (disk, _, _) = sample(Mode::Sync, false);
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
