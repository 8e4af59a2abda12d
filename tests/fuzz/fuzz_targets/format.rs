//! Bytes of every struct: what decodes encodes to the same bytes again, what encodes within the bounds of rule R1 decodes.
#![no_main]

use bulkhead::format::*;
use bulkhead_fuzz::input::Input;
use libfuzzer_sys::fuzz_target;

const RECORD_TYPES: [RecordType; 3] = [RecordType::Entry, RecordType::Begin, RecordType::Mark];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    match input.u8() % 7 {
        0 => raw(input.rest()),
        1 => record(&mut input),
        2 => segment_header(&mut input),
        3 => root(&mut input),
        4 => root_slots(&mut input),
        5 => fixed_header(input.rest()),
        _ => begin_data(&mut input),
    }
});

/// Bytes as they are.
fn raw(bytes: &[u8]) {
    let salt = SegmentSalt::new([7; 16]);
    if let Some(header) = RecordHeader::decode(bytes, &salt, 64) {
        assert_eq!(header.encode(&salt, 64)[..], bytes[..RECORD_HEADER_BYTES]);
    }
    RecordHeader::resembles(bytes, 5, 5);
    if let Ok(header) = SegmentHeader::decode(bytes) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
    }
    let _ = Root::decode_file(bytes);
    if let Some(data) = BeginData::decode(bytes) {
        assert_eq!(data.encode()[..], *bytes);
    }
}

fn record(input: &mut Input<'_>) {
    let salt = SegmentSalt::new([input.u8(); 16]);
    let offset = input.value(4096);
    let header = RecordHeader {
        record_type: RECORD_TYPES[input.below(3)],
        kind: input.u8(),
        length: input.value(0) as u32,
        data_crc: input.u64() as u32,
        lsn: input.value(1),
        index: input.value(1),
        term: input.value(1),
        mark: input.value(1),
        commit: input.value(1),
    };
    let fine = header.length <= MAX_DATA_BYTES
        && [header.lsn, header.index, header.mark, header.commit].iter().all(|n| *n < MAX_COUNTER);
    let bytes = header.encode(&salt, offset);
    assert_eq!(RecordHeader::decode(&bytes, &salt, offset), fine.then_some(header));
    assert_eq!(RecordHeader::decode(&bytes, &salt, offset ^ 8), None, "valid at another place");
    assert!(header.total_bytes() >= RECORD_HEADER_BYTES as u64 && header.total_bytes() % 8 == 0);
    let _ = header.data_matches(input.take(64));
    let mut flipped = bytes;
    let bit = input.below(RECORD_HEADER_BYTES * 8);
    flipped[bit / 8] ^= 1 << (bit % 8);
    assert_eq!(RecordHeader::decode(&flipped, &salt, offset), None, "bit {bit}");
}

/// A record header from anything, its checksum put right: only the fields are left to refuse it.
fn fixed_header(bytes: &[u8]) {
    let Some(mut b) = bytes.get(..RECORD_HEADER_BYTES).map(<[u8]>::to_vec) else { return };
    let salt = [9u8; 16];
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt);
    crc.update(&4096u64.to_le_bytes());
    crc.update(&b[4..]);
    b[..4].copy_from_slice(&crc.finalize().to_le_bytes());
    if let Some(header) = RecordHeader::decode(&b, &SegmentSalt::new(salt), 4096) {
        assert_eq!(header.encode(&SegmentSalt::new(salt), 4096)[..], b[..]);
    }
}

fn segment_header(input: &mut Input<'_>) {
    let header = SegmentHeader {
        header_bytes: input.value(4096) as u32,
        partition_id: input.value(1),
        incarnation: [input.u8(); 16],
        epoch: [input.u8(); 16],
        salt: [input.u8(); 16],
        sequence: input.value(1),
        block_bytes: 1u32.rotate_left(u32::from(input.u8())).wrapping_add(u32::from(input.u8() / 200)),
        zeroed: input.u8() % 2 == 1,
    };
    let block = header.block_bytes;
    let fine = block.is_power_of_two()
        && (512..=65_536).contains(&block)
        && (SEGMENT_HEADER_BYTES as u32..=65_536).contains(&header.header_bytes)
        && header.header_bytes % block == 0
        && header.sequence < MAX_COUNTER;
    let decoded = SegmentHeader::decode(&header.encode());
    assert_eq!(decoded, if fine { Ok(header) } else { Err(SegmentHeaderError::Damaged) });
}

fn any_root(input: &mut Input<'_>) -> Root {
    Root {
        generation: input.value(5),
        partition_id: input.value(1),
        incarnation: [input.u8(); 16],
        epoch: [input.u8(); 16],
        term: input.value(1),
        vote: input.value(1),
        commit: input.value(1),
        compaction_index: input.value(1),
        compaction_term: input.value(1),
        first_segment: input.value(1),
        last_segment: input.value(1),
        lsn_limit: input.value(1),
        mark: input.value(1),
        journal: [0; 16],
        mode: input.value(2) as u32,
        end: LogEnd {
            segment: input.value(1),
            offset: input.value(4096),
            lsn: input.value(1),
            index: input.value(1),
            term: input.value(1),
        },
        clean: input.u8() % 2 == 1,
    }
}

/// A whole root file comes back as it was, or not at all.
fn root(input: &mut Input<'_>) {
    let root = any_root(input);
    if let Ok(found) = Root::decode_file(&root.encode_file()) {
        assert_eq!(found, root);
    }
}

/// Rule R7: with slots lost the newest state or a refusal, never an older one.
fn root_slots(input: &mut Input<'_>) {
    let bounded = |n: u64| n % (1 << 40);
    let mut newest = any_root(input);
    newest.generation = bounded(newest.generation).max(2);
    let mut file = newest.encode_file();
    let sound = Root::decode_file(&file).is_ok();
    let lost = input.u8() % 16;
    for slot in (0..4).filter(|slot| lost & (1 << slot) != 0) {
        let at = slot * ROOT_BYTES / 4 + input.below(512);
        file[at] ^= 1 << input.below(8);
    }
    file.truncate(ROOT_BYTES - input.below(ROOT_BYTES));
    if let Ok(found) = Root::decode_file(&file) {
        assert!(sound);
        assert_eq!(found, newest, "slots {lost:b} lost, {} bytes", file.len());
    }
}

fn begin_data(input: &mut Input<'_>) {
    let data = BeginData { segment: input.value(1), end_offset: input.value(4096), last_lsn: input.value(1) };
    let fine = [data.segment, data.end_offset, data.last_lsn].iter().all(|n| *n < MAX_COUNTER);
    assert_eq!(BeginData::decode(&data.encode()), fine.then_some(data));
}
