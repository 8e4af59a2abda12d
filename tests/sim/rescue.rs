//! Mode none after a failed sync: whatever was never synced is written anew, however much it is, in pieces and in several segments.

use std::sync::Arc;
use std::time::Duration;

use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimDisk};
use bulkhead::{Engine, Entry, Mode, Partition, State, Status};

const MIB: usize = 1 << 20;
/// Of `config()`.
const SEGMENT_MAX: u64 = 256 << 10;

/// Entries that no sync has covered: 7 MiB in one segment, since a batch is never divided, and one entry larger than a piece.
fn unsynced() -> Vec<Entry> {
    [entries(6, 45, 1, 100_000), entries(46, 46, 1, 3 * MIB), entries(47, 60, 1, 5_000)].concat()
}

fn log() -> Vec<Entry> {
    [entries(1, 5, 1, 300), unsynced()].concat()
}

/// The sync of what `unsynced` has written has failed.
fn faulted(disk: &SimDisk) -> (Engine, Arc<Partition>) {
    let engine = Engine::stepped(config(), disk, 7).unwrap();
    let p = open(&engine, "/p1", 1, Mode::None);
    append_each(&p, 1, 5, 1, 300);
    p.sync().unwrap();
    // The disk's reserve is made, and housekeeping has nothing left to do.
    engine.pass_time(Duration::from_secs(2));
    append(&p, &unsynced()).unwrap();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-0000000000000002").once());
    assert_eq!(p.sync().map_err(|e| e.status), Err(Status::IoError));
    (engine, p)
}

#[test]
fn a_large_rescue_is_written_in_pieces_and_into_several_segments() {
    let disk = SimDisk::new(1);
    let (_engine, p) = faulted(&disk);
    let begun = disk.ops();
    let before = disk.files("/p1");
    p.recover().unwrap();
    assert_eq!(state(&p), State::ReadWrite);
    let own: Vec<_> = disk.log().into_iter().filter(|r| r.number > begun && r.path.contains("/seg-")).collect();
    let longest = own.iter().filter(|r| r.kind == OpKind::Write).map(|r| r.len).max().unwrap();
    assert!(longest <= MIB as u64, "one write of {longest} bytes");
    // No flush covers more than a piece: the stall limit is for a disk that does not answer, not for a size.
    let mut unflushed = 0;
    for op in &own {
        unflushed = if op.kind == OpKind::Sync { 0 } else { unflushed };
        unflushed += if op.kind == OpKind::Write { op.len } else { 0 };
        assert!(unflushed <= MIB as u64 + 8192, "{unflushed} bytes are written and not flushed");
    }
    let new: Vec<_> = disk.files("/p1").into_iter().filter(|f| f.contains("/seg-") && !before.contains(f)).collect();
    assert!(new.len() > 10, "a rescue is not one huge segment: {new:?}");
    let large = new.iter().filter(|f| disk.durable_bytes(f).len() as u64 > SEGMENT_MAX + 8192).count();
    assert_eq!(large, 1, "only for the entry that is larger than a segment");
    append_each(&p, 61, 70, 1, 300);
    p.sync().unwrap();
    let whole = [log(), entries(61, 70, 1, 300)].concat();
    assert_same(&read_all(&p).unwrap(), &whole, "after recovery");
    for how in [Crash::PowerNothing, Crash::Process] {
        let after = disk.fork().crash(how);
        let engine = engine(&after);
        let p = reopen(&engine, "/p1", 1, Mode::None);
        assert_eq!(state(&p), State::ReadWrite, "{how:?}: {:?}", p.last_fault());
        assert_same(&read_all(&p).unwrap(), &whole, &format!("{how:?}"));
    }
}

#[test]
fn a_crash_or_a_fault_in_the_middle_of_a_large_rescue_leaves_the_log_as_it_was() {
    let span = {
        let disk = SimDisk::new(2);
        let (_engine, p) = faulted(&disk);
        let begun = disk.ops();
        p.recover().unwrap();
        disk.ops() - begun
    };
    assert!(span > 40, "{span} operations");
    for step in (0..span).step_by(29) {
        // A crash of the process: what was acknowledged is in the page cache.
        let disk = SimDisk::new(2);
        let (engine, p) = faulted(&disk);
        disk.crash_at(disk.ops() + 1 + step);
        let _ = p.recover();
        drop((p, engine));
        let after = disk.crash(Crash::Process);
        let engine = crate::support::engine(&after);
        let p = reopen(&engine, "/p1", 1, Mode::None);
        assert_eq!(state(&p), State::ReadWrite, "step {step}: {:?}", p.last_fault());
        assert_same(&read_all(&p).unwrap(), &log(), &format!("a crash at step {step}"));
        // A fault: the next try has everything.
        let disk = SimDisk::new(2);
        let (_engine, p) = faulted(&disk);
        disk.inject(Rule::errno(libc::EIO).on_changes().from_op(disk.ops() + 1 + step).once());
        if p.recover().is_err() {
            p.recover().unwrap_or_else(|e| panic!("step {step}: {e}"));
        }
        assert_same(&read_all(&p).unwrap(), &log(), &format!("a fault at step {step}"));
        let after = disk.crash(Crash::PowerNothing);
        let engine = crate::support::engine(&after);
        assert_same(&read_all(&reopen(&engine, "/p1", 1, Mode::None)).unwrap(), &log(), &format!("step {step}"));
    }
}

#[test]
fn a_rescue_that_finds_no_space_gives_back_what_it_took() {
    let disk = SimDisk::new(3);
    let (_engine, p) = faulted(&disk);
    let used = disk.used_bytes();
    disk.set_free(2 << 20);
    assert_eq!(p.recover().map_err(|e| e.status), Err(Status::NoSpace));
    assert_eq!(disk.used_bytes(), used, "a rescue that waits for space holds none");
    assert_eq!(state(&p), State::ReadOnly);
    p.set_hard_state(hard(9, 2, 0)).unwrap();
    assert_same(&read_all(&p).unwrap(), &log(), "readable meanwhile");
    disk.set_free(20 << 20);
    p.recover().unwrap();
    assert_same(&read_all(&p).unwrap(), &log(), "once space was back");
}

#[test]
fn a_rescue_too_large_for_the_reserve_leaves_it_to_others() {
    let disk = SimDisk::new(4);
    let engine = Engine::stepped(config(), &disk, 7).unwrap();
    let large: Vec<_> = (10..15).map(|id| open(&engine, &format!("/p{id}"), id, Mode::None)).collect();
    let small = open(&engine, "/p2", 2, Mode::Sync);
    append_each(&small, 1, 5, 1, 300);
    for p in &large {
        append_each(p, 1, 5, 1, 300);
        append(p, &entries(6, 10, 1, 100_000)).unwrap();
    }
    engine.pass_time(Duration::from_secs(2));
    disk.set_free(0);
    for p in &large {
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-").once());
        p.sync().expect_err("the sync fails");
        assert_eq!(p.recover().map_err(|e| e.status), Err(Status::NoSpace));
        // What it would give up is gone to others at once.
        disk.set_free(0);
    }
    disk.inject(Rule::errno(libc::EROFS).on(OpKind::Write).path("/p2/seg-").once());
    append(&small, &entries(6, 6, 1, 300)).expect_err("read-only for a moment");
    small.recover().unwrap_or_else(|e| panic!("the reserve is gone: {e}"));
    append_each(&small, 6, 8, 1, 300);
    assert_same(&read_all(&small).unwrap(), &entries(1, 8, 1, 300), "from the reserve");
}
