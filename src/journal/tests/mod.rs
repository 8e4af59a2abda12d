//! The journal on the simulated disk, and once on real files.

mod faults;
mod overlay;
mod power;
mod read;
mod real;
mod settle;

use super::*;
use crate::format::SegmentHeader;
use crate::io::sim::{mix, Crash, SimConfig, SimDisk};
use crate::io::{read_full_at, Access, Dir, Storage};
use crate::segment::Segment;
use std::io;
use std::path::Path;
use std::sync::Arc;

const REGION: u64 = 64 << 10;
const SEGMENT_BYTES: usize = 64 << 10;
const ID: Id = [0xAB; 16];

fn incarnation(partition: u8) -> Id {
    [partition; 16]
}

fn salt(partition: u8, segment: u64) -> Id {
    [partition ^ (segment as u8) << 4; 16]
}

/// A segment's file as it is made ahead: header, zeros.
fn empty_segment(partition: u8, segment: u64) -> Vec<u8> {
    let header = SegmentHeader {
        header_bytes: 4096,
        partition_id: partition.into(),
        incarnation: incarnation(partition),
        epoch: [7; 16],
        salt: salt(partition, segment),
        sequence: segment,
        block_bytes: 4096,
        zeroed: true,
    };
    let mut bytes = vec![0; SEGMENT_BYTES];
    bytes[..96].copy_from_slice(&header.encode());
    bytes
}

/// Directories `/1` to `/3`, with segments 1 and 2 each.
fn disk(seed: u64, config: SimConfig) -> SimDisk {
    let disk = SimDisk::with_config(seed, config);
    for partition in 1..=3u8 {
        disk.make_dirs(&format!("/{partition}"));
        for segment in 1..=2 {
            disk.put_file(&format!("/{partition}/{}", Segment::name_of(segment)), &empty_segment(partition, segment));
        }
    }
    disk
}

fn dir(disk: &SimDisk, partition: u8) -> Arc<dyn Dir> {
    disk.open_dir(Path::new(&format!("/{partition}"))).unwrap()
}

fn journal(disk: &SimDisk) -> Journal {
    let journal = Journal::create_sized(&*dir(disk, 1), ID, REGION).unwrap();
    for partition in 1..=3 {
        journal.link_into(&*dir(disk, partition)).unwrap();
    }
    journal
}

fn open(disk: &SimDisk, partition: u8) -> io::Result<Journaled> {
    Journaled::open(dir(disk, partition), &ID, &incarnation(partition))
}

fn piece(partition: u8, segment: u64, offset: u64, data: &[u8]) -> Piece<'_> {
    Piece { incarnation: incarnation(partition), salt: salt(partition, segment), segment, offset, data }
}

fn contents(dir: &dyn Dir, segment: u64, access: Access) -> Vec<u8> {
    let file = dir.open(&Segment::name_of(segment), access).unwrap();
    let mut bytes = crate::io::AlignedBuf::zeroed(SEGMENT_BYTES);
    let n = read_full_at(&*file, &mut bytes, 0).unwrap();
    bytes[..n].to_vec()
}

/// A segment's bytes with these laid over them.
fn with(partition: u8, segment: u64, pieces: &[(u64, &[u8])]) -> Vec<u8> {
    let mut bytes = empty_segment(partition, segment);
    for (offset, data) in pieces {
        bytes[*offset as usize..*offset as usize + data.len()].copy_from_slice(data);
    }
    bytes
}

/// Bytes of a partition's segment: each has one content only, and none is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    partition: u8,
    segment: u64,
    offset: u64,
    len: usize,
}

impl Part {
    fn data(&self) -> Vec<u8> {
        let (first, end) = (self.offset / 8 * 8, self.offset + self.len as u64);
        let word = |at| mix(&[self.partition.into(), self.segment, at]) | 0x0101_0101_0101_0101;
        let words: Vec<u8> = (first..end).step_by(8).flat_map(|at| word(at).to_le_bytes()).collect();
        let from = (self.offset - first) as usize;
        words[from..from + self.len].to_vec()
    }
}

fn write(journal: &Journal, parts: &[Part]) -> io::Result<Option<Ticket>> {
    let data: Vec<Vec<u8>> = parts.iter().map(Part::data).collect();
    let pieces: Vec<Piece<'_>> =
        parts.iter().zip(&data).map(|(p, d)| piece(p.partition, p.segment, p.offset, d)).collect();
    journal.write(&pieces)
}

/// What a partition's segments show, which of these parts are there as a whole, and that nothing else is.
fn shown(dir: &dyn Dir, partition: u8, parts: &[Part]) -> Vec<Part> {
    let mut there = Vec::new();
    for segment in 1..=2 {
        let bytes = contents(dir, segment, Access::Read);
        let mut expected = empty_segment(partition, segment);
        for part in parts.iter().filter(|p| (p.partition, p.segment) == (partition, segment)) {
            let (range, data) = (part.offset as usize..part.offset as usize + part.len, part.data());
            if bytes[range.clone()] == data {
                expected[range].copy_from_slice(&data);
                there.push(*part);
            }
        }
        assert!(bytes == expected, "partition {partition} shows bytes that nobody wrote, or half a piece");
    }
    there
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|e| e.raw_os_error()).unwrap_or(0)
}

#[test]
fn what_is_written_is_read_and_settled_by_each_partition_for_itself() {
    let disk = disk(1, SimConfig::default());
    let journal = journal(&disk);
    let ticket = journal
        .write(&[piece(1, 1, 4096, b"one"), piece(2, 1, 4096, &[5; 9000]), piece(1, 2, 8200, b"other segment")])
        .unwrap()
        .unwrap();
    journal.write(&[piece(1, 1, 8192, b"next")]).unwrap().unwrap();
    assert_eq!((ticket.turn(), journal.turn()), (0, 0));
    let after = disk.crash(Crash::PowerNothing);
    for access in [Access::Read, Access::ReadDirect] {
        let (one, two) = (open(&after, 1).unwrap(), open(&after, 2).unwrap());
        assert!(one.unreadable().is_none());
        assert_eq!(contents(&one, 1, access), with(1, 1, &[(4096, b"one"), (8192, b"next")]));
        assert_eq!(contents(&one, 2, access), with(1, 2, &[(8200, b"other segment")]));
        assert_eq!(contents(&two, 1, access), with(2, 1, &[(4096, &[5; 9000])]));
        assert_eq!(contents(&two, 2, access), empty_segment(2, 2));
        assert!(open(&after, 3).unwrap().is_empty() && !one.is_empty());
    }
    assert_eq!(after.durable_bytes("/1/seg-0000000000000001"), empty_segment(1, 1));
    open(&after, 1).unwrap().settle().unwrap();
    let settled = after.crash(Crash::PowerNothing);
    assert_eq!(settled.durable_bytes("/1/seg-0000000000000001"), with(1, 1, &[(4096, b"one"), (8192, b"next")]));
    assert_eq!(settled.durable_bytes("/1/seg-0000000000000002"), with(1, 2, &[(8200, b"other segment")]));
    assert_eq!(settled.durable_bytes("/2/seg-0000000000000001"), empty_segment(2, 1));
}
