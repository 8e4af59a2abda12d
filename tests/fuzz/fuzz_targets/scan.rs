//! A segment file made of records, holes and noise, scanned: the same runs and holes as a slow scan straight from the rules,
//! and memory as documented.
#![no_main]

use bulkhead::format::*;
use bulkhead::segment::{read_records, scan, Scan, Segment};
use bulkhead_fuzz::heap::{peak_of, Counting};
use bulkhead_fuzz::input::Input;
use bulkhead_fuzz::memory_file::MemoryFile;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: Counting = Counting;

const START: usize = 4096;
const MOST_BYTES: usize = 40 << 10;
const RECORD_TYPES: [RecordType; 3] = [RecordType::Entry, RecordType::Begin, RecordType::Mark];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let header = SegmentHeader {
        header_bytes: START as u32,
        partition_id: 1,
        incarnation: [1; 16],
        epoch: [2; 16],
        salt: [3; 16],
        sequence: 1,
        block_bytes: [512, 4096][input.below(2)],
        zeroed: input.u8() % 2 == 0,
    };
    let file = MemoryFile(build(&mut input, &header));
    let segment = Segment::new(header, file.0.len() as u64);
    let limit = input.value(file.0.len() as u64);
    let length = file.0.len();
    let (found, peak, _) = peak_of(|| scan(&mut segment.cursor(&file, limit), START as u64));
    // A window, and of the index two words a record, in vectors that double.
    assert!(peak <= (160 << 10) + length, "a scan of {length} bytes took {peak}");
    compare(&found, &file.0[..length.min(limit.min(1 << 40) as usize)], header.block_bytes as usize);
    let (lo, hi) = (input.value(1), input.value(4));
    let mut last = lo.wrapping_sub(1);
    let _ = read_records(&mut segment.cursor(&file, limit), START as u64, lo, hi, &mut |index, _, _, _| {
        assert!(index == last.wrapping_add(1) && index <= hi);
        last = index;
        true
    });
});

/// A file from the steps of the input: mostly records that follow each other.
fn build(input: &mut Input<'_>, header: &SegmentHeader) -> Vec<u8> {
    let salt = SegmentSalt::new(header.salt);
    let mut file = vec![0; START];
    let (mut lsn, mut index) = (1u64, 1u64);
    while !input.is_empty() && file.len() < MOST_BYTES {
        match input.u8() {
            0..=149 => {
                let kind = input.u8();
                let data = vec![kind; usize::from(kind) * usize::from(input.u8() % 40)];
                let step = input.u8();
                if step > 200 {
                    (lsn, index) = (input.value(lsn), input.value(index));
                }
                let record_type = RECORD_TYPES[if file.len() == START { 1 } else { usize::from(step) / 80 % 3 }];
                let mut length = data.len() as u32;
                if kind == 77 {
                    length = input.value(u64::from(length)) as u32;
                }
                let crc = crc32fast::hash(&data) ^ u32::from(kind == 78);
                let mark = lsn.saturating_sub(u64::from(step % 4));
                let record =
                    RecordHeader { record_type, kind, length, data_crc: crc, lsn, index, term: 1, mark, commit: 0 };
                file.extend(record.encode(&salt, file.len() as u64));
                file.extend(data);
                file.resize(file.len().next_multiple_of(8), 0);
                (lsn, index) = (lsn.wrapping_add(1), index.wrapping_add(1));
            }
            150..=179 => file.resize(file.len().next_multiple_of(header.block_bytes as usize), 0),
            180..=209 => file.resize(file.len() + input.below(9000) / 8 * 8, 0),
            210..=229 => {
                let n = input.below(70);
                file.extend(input.take(n));
                file.resize(file.len().next_multiple_of(8), 0);
            }
            230..=244 => {
                let at = START + input.below(file.len() - START + 1);
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << input.below(8);
                }
            }
            _ => file.truncate((file.len() - input.below(600)).max(START)),
        }
    }
    file
}

/// A valid record (R1), data included.
fn valid(file: &[u8], at: usize) -> Option<RecordHeader> {
    let header = RecordHeader::decode(file.get(at..)?, &SegmentSalt::new([3; 16]), at as u64)?;
    let data = file.get(at + RECORD_HEADER_BYTES..at + RECORD_HEADER_BYTES + header.length as usize)?;
    header.data_matches(data).then_some(header)
}

/// Where the record behind `at` is (R2), header checked only: its length says where to go on.
fn header_behind(file: &[u8], at: usize, block: usize) -> Option<(usize, RecordHeader)> {
    [at, at.next_multiple_of(block)].into_iter().find_map(|at| {
        let header = RecordHeader::decode(file.get(at..)?, &SegmentSalt::new([3; 16]), at as u64)?;
        (at + RECORD_HEADER_BYTES + header.length as usize <= file.len()).then_some((at, header))
    })
}

/// The slow scan: first and last lsn and end of every run.
fn runs(file: &[u8], block: usize) -> Vec<(u64, u64, u64)> {
    let mut runs: Vec<(u64, u64, u64)> = Vec::new();
    let (mut at, mut open) = (START, false);
    loop {
        let last = runs.last().map_or(0, |r| r.1);
        let next = header_behind(file, at, block).filter(|(_, h)| !open || h.lsn == last + 1);
        if let Some((place, header)) = next.filter(|(place, _)| valid(file, *place).is_some()) {
            at = place + header.total_bytes() as usize;
            if open {
                let run = runs.last_mut().expect("a run is open");
                (run.1, run.2) = (header.lsn, at as u64);
            } else {
                runs.push((header.lsn, header.lsn, at as u64));
            }
            open = true;
            continue;
        }
        let least = if open { last } else { 0 };
        open = false;
        let mut from = next.map_or(at + 8, |(place, header)| place + header.total_bytes() as usize);
        let found = loop {
            if from + RECORD_HEADER_BYTES > file.len() {
                break None;
            }
            match RecordHeader::decode(&file[from..], &SegmentSalt::new([3; 16]), from as u64) {
                Some(h) if h.lsn > least && from + RECORD_HEADER_BYTES + h.length as usize <= file.len() => {
                    if valid(file, from).is_some() {
                        break Some(from);
                    }
                    from += h.total_bytes() as usize;
                }
                _ => from += 8,
            }
        };
        match found {
            Some(place) => at = place,
            None => return runs,
        }
    }
}

fn compare(found: &Scan, file: &[u8], block: usize) {
    let slow = runs(file, block);
    let fast: Vec<_> = found.runs.iter().map(|r| (r.first_lsn, r.last_lsn, r.end)).collect();
    assert_eq!(fast, slow, "runs as (first lsn, last lsn, end)");
    assert_eq!(found.holes.len(), found.runs.len(), "a hole behind every run");
    assert!(found.unreadable.is_none());
}
