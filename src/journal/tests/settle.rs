//! Settling: what fails in it, and what is left alone.

use super::*;
use crate::io::sim::{Fault, OpKind, Rule};
use crate::io::write_all_at;

const SEGMENTS: [&str; 2] = ["/1/seg-0000000000000001", "/1/seg-0000000000000002"];

fn parts() -> Vec<Part> {
    let part = |segment, offset, len| Part { partition: 1, segment, offset, len };
    vec![part(1, 4096, 9000), part(1, 13096, 100), part(1, 40960, 8192), part(2, 4104, 20000), part(2, 61440, 4096)]
}

/// A disk with those in partition 1's journal, as the next start finds it.
fn unsettled(seed: u64, config: SimConfig) -> SimDisk {
    let disk = disk(seed, config);
    write(&journal(&disk), &parts()).unwrap().unwrap();
    disk.crash(Crash::PowerNothing)
}

fn expected() -> [Vec<u8>; 2] {
    [1, 2].map(|segment| {
        let mut bytes = empty_segment(1, segment);
        for part in parts().iter().filter(|p| p.segment == segment) {
            bytes[part.offset as usize..part.offset as usize + part.len].copy_from_slice(&part.data());
        }
        bytes
    })
}

/// Everything is there still, and settles now.
fn settles(disk: &SimDisk) {
    let journaled = open(disk, 1).unwrap();
    assert_eq!([1, 2].map(|segment| contents(&journaled, segment, Access::Read)), expected());
    journaled.settle().unwrap();
    is_settled(disk);
}

fn is_settled(disk: &SimDisk) {
    let after = disk.fork().crash(Crash::PowerNothing);
    assert_eq!(SEGMENTS.map(|path| after.durable_bytes(path)), expected());
}

#[test]
fn to_settle_again_writes_nothing() {
    let disk = unsettled(1, SimConfig::default());
    settles(&disk);
    let writes = disk.count(OpKind::Write);
    settles(&disk);
    assert_eq!(disk.count(OpKind::Write), writes);
}

#[test]
fn a_power_cut_at_any_operation_of_settling_costs_nothing() {
    for seed in 0..8 {
        let base = unsettled(seed, SimConfig::default());
        for op in 1.. {
            let disk = base.fork();
            let journaled = open(&disk, 1).unwrap();
            disk.crash_at(disk.ops() + op);
            let settled = journaled.settle().is_ok();
            for how in [Crash::Process, Crash::PowerNothing, Crash::PowerRandom, Crash::PowerEverything] {
                settles(&disk.fork().crash(how));
            }
            if settled {
                assert!(op > 8, "{op}");
                break;
            }
        }
    }
}

#[test]
fn any_operation_may_fail_and_settling_can_be_tried_again() {
    let faults =
        [Fault::Errno(libc::EIO), Fault::ErrnoAfter(libc::EIO), Fault::Errno(libc::EMFILE), Fault::Short(4096)];
    for (seed, fault) in faults.iter().enumerate() {
        let base = unsettled(seed as u64, SimConfig::default());
        for op in 1.. {
            let disk = base.fork();
            let journaled = open(&disk, 1).unwrap();
            disk.inject(Rule::new(fault.clone()).from_op(disk.ops() + op).once());
            let settled = journaled.settle();
            let hit = disk.faults_fired() > 0;
            disk.clear_faults();
            match settled {
                Ok(()) => is_settled(&disk),
                Err(_) => assert!(hit),
            }
            settles(&disk);
            if !hit {
                break;
            }
        }
    }
}

#[test]
fn a_write_that_the_disk_only_says_it_did_is_found() {
    for skip in 0..2 {
        let disk = unsettled(1, SimConfig::default());
        disk.inject(Rule::new(Fault::Lost).on(OpKind::Write).skip(skip).once());
        let settled = open(&disk, 1).unwrap().settle();
        assert_eq!(settled.map_err(|e| e.kind()), Err(io::ErrorKind::InvalidData));
        settles(&disk);
    }
}

#[test]
fn what_only_the_page_cache_has_is_made_durable() {
    let disk = unsettled(1, SimConfig::default());
    for (segment, bytes) in [1, 2].into_iter().zip(expected()) {
        let file = dir(&disk, 1).open(&Segment::name_of(segment), Access::Buffered).unwrap();
        write_all_at(&*file, &[&bytes], 0).unwrap();
    }
    settles(&disk);
}

/// A copy of the directory on a filesystem without O_DIRECT: a sync that failed leaves pages there that the medium has not.
#[test]
fn a_copy_without_direct_writes_settles_too() {
    let origin = unsettled(1, SimConfig::default());
    let copy = |seed| {
        let disk = disk(seed, SimConfig { direct_io: false, ..SimConfig::default() });
        let path = format!("/1/{}", name_of(&ID));
        disk.put_file(&path, &origin.durable_bytes(&path));
        disk
    };
    settles(&copy(1));
    for seed in 0..10 {
        let disk = copy(seed);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).once());
        assert_eq!(errno(open(&disk, 1).unwrap().settle()), libc::EIO);
        settles(&disk);
    }
}

#[test]
fn a_segment_that_is_not_there_or_another_one_is_left_alone() {
    let disk = unsettled(1, SimConfig::default());
    disk.remove(SEGMENTS[0]);
    let mut other = empty_segment(1, 2);
    let header = SegmentHeader { salt: [0x77; 16], ..SegmentHeader::decode(&other).unwrap() };
    other[..96].copy_from_slice(&header.encode());
    disk.put_file(SEGMENTS[1], &other);
    let journaled = open(&disk, 1).unwrap();
    assert_eq!(contents(&journaled, 2, Access::Read), other);
    let writes = disk.count(OpKind::Write);
    journaled.settle().unwrap();
    assert_eq!((disk.count(OpKind::Write), disk.exists(SEGMENTS[0])), (writes, false));
    other[40] ^= 1;
    disk.put_file(SEGMENTS[1], &other);
    journaled.settle().unwrap();
    assert_eq!(contents(&journaled, 2, Access::Read), other, "of a damaged segment nothing counts");
    assert_eq!(disk.count(OpKind::Write), writes);
}

#[test]
fn a_segment_that_lost_its_end_is_told() {
    let disk = unsettled(1, SimConfig::default());
    disk.set_len(SEGMENTS[1], 61440 + 4095);
    assert_eq!(open(&disk, 1).unwrap().settle().map_err(|e| e.kind()), Err(io::ErrorKind::InvalidData));
}
