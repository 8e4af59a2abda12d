//! Reading a journal that is damaged, stale, cut short, or another one.

use super::*;

const PATH: &str = "/1/journal-abababababababab";

/// A disk with a journal of several writes; the parts in it, and where each lies in the file.
fn written() -> (SimDisk, Vec<(Part, std::ops::Range<u64>)>) {
    let disk = disk(1, SimConfig::default());
    let journal = journal(&disk);
    let (mut all, mut at) = (Vec::new(), 4096u64);
    for n in 0..4u64 {
        let parts: Vec<Part> = (0..3)
            .map(|m| Part {
                partition: 1,
                segment: m % 2 + 1,
                offset: 4096 + 4096 * (3 * n + m),
                len: 40 + 500 * m as usize,
            })
            .collect();
        write(&journal, &parts).unwrap().unwrap();
        for part in parts {
            all.push((part, at..at + 80 + part.len as u64));
            at = crate::format::align8(at + 80 + part.len as u64);
        }
        at = at.next_multiple_of(4096);
    }
    (disk, all)
}

fn parts(all: &[(Part, std::ops::Range<u64>)]) -> Vec<Part> {
    all.iter().map(|a| a.0).collect()
}

#[test]
fn a_flipped_bit_costs_at_most_its_piece_and_shows_no_wrong_byte() {
    let (disk, all) = written();
    let parts = parts(&all);
    assert_eq!(shown(&open(&disk, 1).unwrap(), 1, &parts).len(), all.len());
    for byte in (4096..5 * 4096).step_by(13) {
        let bit = (byte % 8) as u8;
        disk.flip_bit(PATH, byte, bit);
        let there = shown(&open(&disk, 1).unwrap(), 1, &parts);
        for (part, range) in &all {
            assert_eq!(there.contains(part), !range.contains(&byte), "byte {byte}, {part:?}");
        }
        disk.flip_bit(PATH, byte, bit);
    }
}

#[test]
fn a_damaged_header_is_no_journal() {
    let (disk, _) = written();
    let kind = || open(&disk, 1).err().map(|e| e.kind());
    for byte in 0..64 {
        disk.flip_bit(PATH, byte, (byte % 8) as u8);
        assert_eq!(kind(), Some(io::ErrorKind::InvalidData), "byte {byte}");
        disk.flip_bit(PATH, byte, (byte % 8) as u8);
    }
    disk.flip_bit(PATH, 64, 0);
    assert_eq!(kind(), None);
    disk.make_unreadable(PATH, 0, 1);
    assert_eq!(errno(open(&disk, 1)), libc::EIO);
}

#[test]
fn another_journal_under_the_name_is_told() {
    let (disk, _) = written();
    let other = Journal::create_sized(&*dir(&disk, 1), [9; 16], REGION).unwrap();
    other.link_into(&*dir(&disk, 1)).unwrap();
    disk.swap(PATH, &format!("/1/{}", name_of(&[9; 16])));
    assert_eq!(open(&disk, 1).err().map(|e| e.kind()), Some(io::ErrorKind::InvalidData));
    disk.put_file(PATH, b"");
    assert_eq!(open(&disk, 1).err().map(|e| e.kind()), Some(io::ErrorKind::InvalidData));
}

#[test]
fn what_cannot_be_read_costs_its_pieces_and_is_told() {
    let (disk, all) = written();
    disk.make_unreadable(PATH, 2 * 4096, 1);
    let journaled = open(&disk, 1).unwrap();
    assert_eq!(journaled.unreadable().and_then(io::Error::raw_os_error), Some(libc::EIO));
    let there = shown(&journaled, 1, &parts(&all));
    for (part, range) in &all {
        assert_eq!(there.contains(part), range.end <= 2 * 4096 || range.start >= 3 * 4096, "{part:?}");
    }
    // What is for others, and the empty rest, is no less unreadable: who knows what was there.
    assert!(open(&disk, 2).unwrap().unreadable().is_some());
}

#[test]
fn a_file_that_was_cut_short_is_told() {
    let (disk, all) = written();
    for len in [4096, 4097, 2 * 4096 - 1, 3 * 4096, 4096 + 2 * REGION - 1] {
        let cut = disk.fork();
        cut.set_len(PATH, len);
        let journaled = open(&cut, 1).unwrap();
        assert_eq!(journaled.unreadable().map(io::Error::kind), Some(io::ErrorKind::UnexpectedEof), "{len}");
        let there = shown(&journaled, 1, &parts(&all));
        for (part, range) in &all {
            assert_eq!(there.contains(part), range.end <= len, "{len} {part:?}");
        }
    }
}

/// Regions are used again and again: what an earlier use left is valid still, and the same bytes.
#[test]
fn what_an_earlier_use_of_a_region_left_is_harmless() {
    for seed in 0..20 {
        let disk = disk(seed, SimConfig::default());
        let journal = journal(&disk);
        let (mut all, mut needed) = (Vec::new(), Vec::new());
        for n in 0..60u64 {
            let len = (mix(&[seed, n]) % 9000) as usize + 1;
            let part = Part { partition: 1, segment: n % 2 + 1, offset: 4096 + mix(&[seed, n, 2]) % 6000 * 8, len };
            all.push(part);
            needed.push((write(&journal, &[part]).unwrap().unwrap(), part));
            needed.retain(|(ticket, _)| ticket.turn() == journal.turn());
        }
        assert!(journal.turn() > 2);
        let journaled = open(&disk, 1).unwrap();
        for segment in 1..=2 {
            let mut whole = empty_segment(1, segment);
            for part in all.iter().filter(|p| p.segment == segment) {
                whole[part.offset as usize..part.offset as usize + part.len].copy_from_slice(&part.data());
            }
            let bytes = contents(&journaled, segment, Access::Read);
            let wrong = bytes.iter().zip(&whole).position(|(is, all)| is != all && *is != 0);
            assert_eq!(wrong, None, "seed {seed}");
            for (_, part) in needed.iter().filter(|n| n.1.segment == segment) {
                let range = part.offset as usize..part.offset as usize + part.len;
                assert!(bytes[range] == part.data(), "seed {seed}: {part:?}");
            }
        }
    }
}

#[test]
fn a_piece_in_the_data_of_a_piece_is_none() {
    let (disk, all) = written();
    let image = disk.durable_bytes(PATH)[4096..8192].to_vec();
    let made = disk.fork();
    // The image of the first block, written as data into a new journal of the same id: same block, eighty bytes further on.
    made.remove(PATH);
    let journal = Journal::create_sized(&*dir(&made, 1), ID, REGION).unwrap();
    journal.link_into(&*dir(&made, 1)).unwrap();
    journal.write(&[piece(1, 1, 32768, &image)]).unwrap().unwrap();
    let bytes = contents(&open(&made, 1).unwrap(), 1, Access::Read);
    assert_eq!(bytes, with(1, 1, &[(32768, &image)]));
    // Even where the piece around it is damaged: they lie elsewhere than they say.
    made.flip_bit(PATH, 4096, 0);
    assert!(shown(&open(&made, 1).unwrap(), 1, &parts(&all)).is_empty());
}

/// Checksums are right, and what they cover is not: nothing is allocated, added or written for it.
#[test]
fn hostile_pieces_and_sizes_cost_nothing() {
    use crate::format::{JournalHeader, JournalSalt, PieceHeader, MAX_COUNTER};
    let header = JournalHeader { id: ID, header_bytes: 4096, region_bytes: 8192, regions: 2 };
    let data = [7; 256];
    let file = |header: &JournalHeader, pieces: &[PieceHeader]| {
        let mut bytes = header.encode().to_vec();
        bytes.resize(4096 + 2 * 8192, 0);
        for piece in pieces {
            let at = piece.position as usize;
            bytes[at..at + 80].copy_from_slice(&piece.encode(&JournalSalt::new(&ID)));
            let rest = (bytes.len() - at - 80).min(data.len());
            bytes[at + 80..at + 80 + rest].copy_from_slice(&data[..rest]);
        }
        let disk = disk(1, SimConfig::default());
        disk.put_file(PATH, &bytes);
        disk
    };
    let good = PieceHeader {
        incarnation: incarnation(1),
        salt: salt(1, 1),
        segment: 1,
        offset: 8192,
        position: 4096,
        length: 256,
        data_crc: crc32fast::hash(&data),
    };
    let last = 4096 + 2 * 8192 - 80;
    let hostile = [
        PieceHeader { length: MAX_PIECE_BYTES, position: last, ..good },
        PieceHeader { length: 1, position: last, ..good },
        PieceHeader { length: u32::MAX, position: 4600, ..good },
        PieceHeader { offset: !7, position: 5000, ..good },
        PieceHeader { segment: u64::MAX, position: 5600, ..good },
    ];
    let disk_of_good = file(&header, &[&[good], &hostile[..]].concat());
    let journaled = open(&disk_of_good, 1).unwrap();
    assert!(journaled.unreadable().is_none());
    assert_eq!(contents(&journaled, 1, Access::Read), with(1, 1, &[(8192, &data)]));
    // Within the bounds, and behind the end of any segment.
    for piece in
        [PieceHeader { offset: MAX_COUNTER - 8, ..good }, PieceHeader { offset: SEGMENT_BYTES as u64 - 8, ..good }]
    {
        let disk = file(&header, &[piece]);
        let journaled = open(&disk, 1).unwrap();
        contents(&journaled, 1, Access::Read);
        assert_eq!(journaled.settle().map_err(|e| e.kind()), Err(io::ErrorKind::InvalidData));
        assert_eq!(disk.durable_bytes("/1/seg-0000000000000001"), empty_segment(1, 1));
    }
    let disk = file(&JournalHeader { region_bytes: MAX_COUNTER / 16 - 512, regions: 16, ..header }, &[good]);
    assert!(open(&disk, 1).unwrap().unreadable().is_some(), "the file is shorter than it says");
}
