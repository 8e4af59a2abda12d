//! Steps that damage a log's directory on the simulated disk: fields changed under right checksums, records added, moved and
//! removed, noise, files cut, exchanged and renamed, sectors that cannot be read.

use crate::input::Input;
use bulkhead::format::*;
use bulkhead::io::sim::SimDisk;

/// Where the partition is.
pub const DIRECTORY: &str = "/p1";
const ROOT: &str = "/p1/root";
/// Files do not grow beyond this: the disk is in memory.
const MOST_BYTES: u64 = 1 << 20;
const RECORD_TYPES: [RecordType; 3] = [RecordType::Entry, RecordType::Begin, RecordType::Mark];

/// Applies the steps of the input, most 32 of them.
pub fn apply(disk: &SimDisk, input: &mut Input<'_>) {
    for _ in 0..32 {
        if input.is_empty() {
            return;
        }
        step(disk, input);
    }
}

fn step(disk: &SimDisk, input: &mut Input<'_>) {
    match input.u8() % 20 {
        0..=3 => root_field(disk, input),
        4 => header_field(disk, input),
        5..=9 => record_field(disk, input),
        10 | 11 => begin_data(disk, input),
        12 | 13 => add_record(disk, input),
        14 => move_record(disk, input),
        15 => noise(disk, input),
        16 => length(disk, input),
        17 => names(disk, input),
        18 => unreadable(disk, input),
        _ => lose_record(disk, input),
    }
}

fn root_field(disk: &SimDisk, input: &mut Input<'_>) {
    if !disk.exists(ROOT) {
        return;
    }
    let Ok(mut root) = Root::decode_file(&disk.durable_bytes(ROOT)) else { return };
    let field = input.below(20);
    {
        let words = [
            &mut root.generation,
            &mut root.partition_id,
            &mut root.term,
            &mut root.vote,
            &mut root.commit,
            &mut root.compaction_index,
            &mut root.compaction_term,
            &mut root.first_segment,
            &mut root.last_segment,
            &mut root.lsn_limit,
            &mut root.mark,
            &mut root.end.segment,
            &mut root.end.offset,
            &mut root.end.lsn,
            &mut root.end.index,
            &mut root.end.term,
        ];
        if let Some(word) = words.into_iter().nth(field) {
            *word = input.value(*word);
        }
    }
    match field {
        16 => root.clean = !root.clean,
        17 => root.mode = input.value(u64::from(root.mode)) as u32,
        18 => root.epoch = [input.u8(); 16],
        19 => root.incarnation = [input.u8(); 16],
        _ => {}
    }
    disk.overwrite(ROOT, 0, &root.encode_file());
}

fn segments(disk: &SimDisk) -> Vec<String> {
    disk.files(DIRECTORY).into_iter().filter(|f| f.starts_with("/p1/seg-")).collect()
}

/// A segment with a sound header, and what it holds.
fn segment(disk: &SimDisk, input: &mut Input<'_>) -> Option<(String, Vec<u8>, SegmentHeader)> {
    let all = segments(disk);
    let path = all.get(input.below(all.len()))?.clone();
    let bytes = disk.durable_bytes(&path);
    let header = SegmentHeader::decode(&bytes).ok()?;
    Some((path, bytes, header))
}

/// A segment's records with their places; none without a sound header.
pub fn records_of(bytes: &[u8]) -> Vec<(u64, RecordHeader)> {
    SegmentHeader::decode(bytes).map_or(Vec::new(), |header| records(bytes, &header))
}

fn records(bytes: &[u8], header: &SegmentHeader) -> Vec<(u64, RecordHeader)> {
    let salt = SegmentSalt::new(header.salt);
    let at = |at: usize| Some((at as u64, RecordHeader::decode(&bytes[at..], &salt, at as u64)?));
    (0..bytes.len()).step_by(8).filter_map(at).collect()
}

fn header_field(disk: &SimDisk, input: &mut Input<'_>) {
    let Some((path, _, mut header)) = segment(disk, input) else { return };
    match input.below(7) {
        0 => header.header_bytes = input.value(u64::from(header.header_bytes)) as u32,
        1 => header.block_bytes = 1 << (input.u8() % 32),
        2 => header.sequence = input.value(header.sequence),
        3 => header.partition_id = input.value(header.partition_id),
        4 => header.zeroed = !header.zeroed,
        5 => header.epoch = [input.u8(); 16],
        _ => header.salt = [input.u8(); 16],
    }
    disk.overwrite(&path, 0, &header.encode());
}

/// Changes a field of a record's header; its checksum is right again.
fn record_field(disk: &SimDisk, input: &mut Input<'_>) {
    let Some((path, bytes, header)) = segment(disk, input) else { return };
    let all = records(&bytes, &header);
    let Some((at, mut record)) = all.get(input.below(all.len())).copied() else { return };
    change(&mut record, input);
    disk.overwrite(&path, at, &record.encode(&SegmentSalt::new(header.salt), at));
}

fn change(record: &mut RecordHeader, input: &mut Input<'_>) {
    match input.below(8) {
        0 => record.length = input.value(u64::from(record.length)) as u32,
        1 => record.lsn = input.value(record.lsn),
        2 => record.index = input.value(record.index),
        3 => record.term = input.value(record.term),
        4 => record.mark = input.value(record.mark),
        5 => record.commit = input.value(record.commit),
        6 => record.data_crc ^= 1,
        _ => record.record_type = RECORD_TYPES[input.below(3)],
    }
}

/// What a begin says that its segment continues; checksums are right again.
fn begin_data(disk: &SimDisk, input: &mut Input<'_>) {
    let Some((path, bytes, header)) = segment(disk, input) else { return };
    let begins: Vec<_> =
        records(&bytes, &header).into_iter().filter(|r| r.1.record_type == RecordType::Begin).collect();
    let Some((at, record)) = begins.get(input.below(begins.len())).copied() else { return };
    let start = at as usize + RECORD_HEADER_BYTES;
    let Some(mut data) = bytes.get(start..start + BEGIN_DATA_BYTES).and_then(BeginData::decode) else { return };
    match input.below(3) {
        0 => data.segment = input.value(data.segment),
        1 => data.end_offset = input.value(data.end_offset),
        _ => data.last_lsn = input.value(data.last_lsn),
    }
    let data = data.encode();
    let record = RecordHeader { data_crc: crc32fast::hash(&data), length: BEGIN_DATA_BYTES as u32, ..record };
    disk.overwrite(&path, at, &[&record.encode(&SegmentSalt::new(header.salt), at)[..], &data[..]].concat());
}

/// A record behind the last one, as the next of the log or as anything.
fn add_record(disk: &SimDisk, input: &mut Input<'_>) {
    let Some((path, bytes, header)) = segment(disk, input) else { return };
    let Some((at, last)) = records(&bytes, &header).last().copied() else { return };
    let gap = [0, 0, 0, 8, 4096][input.below(5)];
    let at = at + last.total_bytes() + gap;
    if at > MOST_BYTES {
        return;
    }
    let data = vec![input.u8(); input.below(300)];
    let mut record = RecordHeader {
        record_type: RecordType::Entry,
        length: data.len() as u32,
        data_crc: crc32fast::hash(&data),
        lsn: last.lsn.wrapping_add(1),
        index: last.index.wrapping_add(1),
        ..last
    };
    if input.u8() % 2 == 0 {
        change(&mut record, input);
    }
    disk.overwrite(&path, at, &[&record.encode(&SegmentSalt::new(header.salt), at)[..], &data[..]].concat());
}

/// A record, valid, at another place: of its own segment or of another one.
fn move_record(disk: &SimDisk, input: &mut Input<'_>) {
    let Some((_, bytes, header)) = segment(disk, input) else { return };
    let Some((to, _, to_header)) = segment(disk, input) else { return };
    let all = records(&bytes, &header);
    let Some((from, record)) = all.get(input.below(all.len())).copied() else { return };
    let at = (u64::from(input.u16()) * 8).min(MOST_BYTES);
    let start = from as usize + RECORD_HEADER_BYTES;
    let Some(data) = bytes.get(start..start + record.length as usize) else { return };
    disk.overwrite(&to, at, &[&record.encode(&SegmentSalt::new(to_header.salt), at)[..], data].concat());
}

fn lose_record(disk: &SimDisk, input: &mut Input<'_>) {
    let Some((path, bytes, header)) = segment(disk, input) else { return };
    let all = records(&bytes, &header);
    let Some((at, record)) = all.get(input.below(all.len())).copied() else { return };
    let whole = record.total_bytes().min(MOST_BYTES) as usize;
    let lost = [8, RECORD_HEADER_BYTES, whole, whole.next_multiple_of(512)][input.below(4)];
    disk.overwrite(&path, at, &vec![0; lost]);
}

fn any_file(disk: &SimDisk, input: &mut Input<'_>) -> Option<String> {
    let all = disk.files(DIRECTORY);
    all.get(input.below(all.len())).cloned()
}

fn noise(disk: &SimDisk, input: &mut Input<'_>) {
    let Some(path) = any_file(disk, input) else { return };
    let at = u64::from(input.u16()) * [1, 8, 16][input.below(3)];
    let bytes = match input.below(3) {
        0 => vec![input.u8(); input.below(5000)],
        1 => {
            let n = input.below(64);
            input.take(n).to_vec()
        }
        _ => return disk.flip_bit(&path, at, input.u8() % 8),
    };
    disk.overwrite(&path, at.min(MOST_BYTES), &bytes);
}

fn length(disk: &SimDisk, input: &mut Input<'_>) {
    let Some(path) = any_file(disk, input) else { return };
    let now = disk.durable_bytes(&path).len() as u64;
    let to = match input.below(3) {
        0 => input.value(now),
        1 => u64::from(input.u16()),
        _ => now * u64::from(input.u8()) / 255,
    };
    disk.set_len(&path, to.min(MOST_BYTES));
}

fn names(disk: &SimDisk, input: &mut Input<'_>) {
    let (Some(a), Some(b)) = (any_file(disk, input), any_file(disk, input)) else { return };
    match input.below(5) {
        0 if a != b => disk.swap(&a, &b),
        1 => disk.remove(&a),
        2 => disk.put_file(&format!("/p1/seg-{:016x}", input.value(3)), &disk.durable_bytes(&a)),
        3 if a != b => disk.overwrite(&b, 0, &disk.durable_bytes(&a)),
        4 => disk.put_file("/p1/root.new", &disk.durable_bytes(&a)),
        _ => {}
    }
}

fn unreadable(disk: &SimDisk, input: &mut Input<'_>) {
    let Some(path) = any_file(disk, input) else { return };
    disk.make_unreadable(&path, u64::from(input.u16()) * 8, 1 + input.below(5000));
}
