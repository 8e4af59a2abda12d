//! What is laid over a segment is what the segment would be had it been written there.

use super::*;
use crate::io::AlignedBuf;

const LONG: usize = 700 << 10;

fn long_segment(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; LONG];
    bytes[..4096].copy_from_slice(&empty_segment(1, 1)[..4096]);
    for (n, some) in bytes[4096..].chunks_mut(3000).enumerate().filter(|(n, _)| mix(&[seed, *n as u64]) & 1 == 0) {
        some.fill(n as u8);
    }
    bytes
}

/// A part anywhere in the segment: long ones, short ones, at block borders.
fn any_part(seed: u64, n: u64) -> Part {
    let roll = |what| mix(&[seed, n, what]);
    let len = match roll(0) % 4 {
        0 => roll(1) % 200,
        1 => roll(1) % 9000,
        2 => 4096 * (roll(1) % 4 + 1) - 1,
        _ => roll(1) % PIECE_MAX_BYTES as u64,
    } as usize
        + 1;
    let room = (LONG - 4096 - len) as u64;
    let at = 4096 + roll(2) % room;
    let offset = if roll(3) & 1 == 0 { at / 8 * 8 } else { at / 4096 * 4096 };
    Part { partition: 1, segment: 1, offset, len }
}

/// A disk with a journal that holds these, and the segment as it is to read.
fn laid(seed: u64) -> (SimDisk, Vec<Part>, Vec<u8>) {
    let disk = disk(seed, SimConfig::default());
    let mut expected = long_segment(seed);
    disk.put_file("/1/seg-0000000000000001", &expected);
    let journal = Journal::create_sized(&*dir(&disk, 1), ID, 4 << 20).unwrap();
    journal.link_into(&*dir(&disk, 1)).unwrap();
    let parts: Vec<Part> = (0..2 + seed % 24).map(|n| any_part(seed, n)).collect();
    let mut tickets = Vec::new();
    for part in &parts {
        tickets.push(write(&journal, &[*part]).unwrap().unwrap());
        expected[part.offset as usize..part.offset as usize + part.len].copy_from_slice(&part.data());
    }
    (disk, parts, expected)
}

#[test]
fn reads_are_those_of_a_segment_that_has_the_pieces() {
    for seed in 0..24 {
        let (disk, _, expected) = laid(seed);
        let journaled = open(&disk, 1).unwrap();
        let file = journaled.open("seg-0000000000000001", Access::Read).unwrap();
        let direct = journaled.open("seg-0000000000000001", Access::ReadDirect).unwrap();
        assert_eq!(file.len().unwrap(), LONG as u64);
        for n in 0..60 {
            let at = mix(&[seed, n, 7]) as usize % LONG;
            let mut buf = vec![0; mix(&[seed, n, 8]) as usize % [10, 5000, LONG][n as usize % 3] + 1];
            let read = read_full_at(&*file, &mut buf, at as u64).unwrap();
            assert!(buf[..read] == expected[at..(at + buf.len()).min(LONG)], "seed {seed}, {} at {at}", buf.len());
            let (start, len) = (at / 4096 * 4096, buf.len().next_multiple_of(4096));
            let mut buf = AlignedBuf::zeroed(len);
            let read = read_full_at(&*direct, &mut buf, start as u64).unwrap();
            assert!(buf[..read] == expected[start..(start + len).min(LONG)], "seed {seed}, direct {len} at {start}");
        }
        assert_eq!(disk.durable_bytes("/1/seg-0000000000000001"), long_segment(seed), "reading writes nothing");
        open(&disk, 1).unwrap().settle().unwrap();
        assert_eq!(disk.crash(Crash::PowerNothing).durable_bytes("/1/seg-0000000000000001"), expected, "seed {seed}");
    }
}

#[test]
fn a_bad_sector_under_a_piece_is_not_read_and_is_healed_by_settling() {
    let (disk, parts, expected) = laid(3);
    let part = parts.iter().find(|p| p.len > 3 * 4096).unwrap();
    let bad = part.offset.next_multiple_of(4096);
    disk.make_unreadable("/1/seg-0000000000000001", bad, 1);
    let journaled = open(&disk, 1).unwrap();
    for access in [Access::Read, Access::ReadDirect] {
        let file = journaled.open("seg-0000000000000001", access).unwrap();
        let mut buf = AlignedBuf::zeroed(4096);
        assert_eq!(read_full_at(&*file, &mut buf, bad).unwrap(), 4096);
        assert!(buf[..] == expected[bad as usize..bad as usize + 4096]);
    }
    journaled.settle().unwrap();
    assert_eq!(disk.crash(Crash::PowerNothing).durable_bytes("/1/seg-0000000000000001"), expected);
}

/// Zeros that are to be written are no less to be written than other bytes.
#[test]
fn a_bad_sector_under_zeros_is_healed_too() {
    let disk = disk(1, SimConfig::default());
    journal(&disk).write(&[piece(1, 1, 8192, &[0; 4096])]).unwrap().unwrap();
    disk.make_unreadable("/1/seg-0000000000000001", 8192, 1);
    open(&disk, 1).unwrap().settle().unwrap();
    assert_eq!(contents(&*dir(&disk, 1), 1, Access::ReadDirect), empty_segment(1, 1));
}

#[test]
fn a_bad_sector_beside_or_between_pieces_is_an_error_and_stays_one() {
    let part = |offset, len| Part { partition: 1, segment: 1, offset, len };
    let beside = [part(8192, 4096 - 512)];
    let between = [part(8192, 4096 - 512), part(12288 - 504, 504)];
    for parts in [&beside[..], &between] {
        let disk = disk(1, SimConfig::default());
        write(&journal(&disk), parts).unwrap().unwrap();
        disk.make_unreadable("/1/seg-0000000000000001", 12288 - 512, 1);
        let journaled = open(&disk, 1).unwrap();
        let file = journaled.open("seg-0000000000000001", Access::ReadDirect).unwrap();
        assert_eq!(errno(read_full_at(&*file, &mut AlignedBuf::zeroed(4096), 8192)), libc::EIO);
        assert_eq!(errno(journaled.settle()), libc::EIO, "bytes that nobody has are not made up");
    }
}
