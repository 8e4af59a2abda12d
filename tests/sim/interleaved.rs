//! Calls beside each other in the one order that matters: a test holds an operation of the disk until another call is where it is to be.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Engine, Mode, State, Status, Survey};

thread_local! {
    /// Done before an operation of the disk, once it returns true.
    static MEANWHILE: RefCell<Option<Box<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

fn do_meanwhile() {
    let Some(work) = MEANWHILE.take() else { return };
    if !work() {
        MEANWHILE.set(Some(work));
    }
}

/// Mode sync: an append waits while the entry before it is made good; that fails, and the partition comes back by itself before the append
/// looks again. The entry that it was to follow is gone: that is no gap of its caller's.
#[test]
fn f01_an_append_that_waits_while_a_fault_comes_and_goes_is_told_the_fault() {
    let disk = SimDisk::new(1);
    let engine = Rc::new(Engine::stepped(healing_config(), &disk, 1).expect("an engine"));
    let (p, other) = (open(&engine, "/p1", 1, Mode::Sync), open(&engine, "/p2", 2, Mode::Sync));
    append_each(&p, 1, 3, 1, 100);
    append_each(&other, 1, 3, 1, 100);
    engine.pass_time(Duration::from_secs(5));
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/seg-"));
    p.submit(&refs(&entries(4, 4, 1, 100)), 1).unwrap();
    while disk.faults_fired() == 0 {
        assert!(engine.step(), "nothing is flushed");
    }
    assert_eq!(state(&p), State::ReadWrite, "it is being healed");
    let (its, its_disk, its_engine) = (p.clone(), disk.clone(), engine.clone());
    let comes_and_goes = move || {
        if !its_engine.can_be_called(&its) {
            return false;
        }
        its_engine.pass_time(Duration::from_millis(400));
        assert_eq!(state(&its), State::Unavailable, "the fault outlasts heal_limit_ms");
        its_disk.clear_faults();
        its_engine.pass_time(Duration::from_secs(3));
        assert_eq!((state(&its), its.bounds().unwrap()), (State::ReadWrite, (1, 3)));
        true
    };
    MEANWHILE.set(Some(Box::new(comes_and_goes)));
    disk.set_hook(Some(do_meanwhile));
    // What the next append waits through is another partition's flush.
    other.submit(&refs(&entries(4, 4, 1, 100)), 2).unwrap();
    let told = append(&p, &entries(5, 5, 1, 100)).map_err(|e| e.status);
    disk.set_hook(None);
    assert!(MEANWHILE.take().is_none(), "it did not wait");
    assert_eq!(told, Err(Status::IoError));
    append(&p, &entries(4, 5, 1, 100)).expect("the caller tries again");
}

/// Mode none: a compaction reads a term, and meanwhile the write of a suffix begins that replaces what is to go. It goes by what is there
/// when that has been written.
#[test]
fn a_compaction_that_has_read_a_term_waits_for_a_replacement_that_began_meanwhile() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::None);
    append_each(&p, 1, 12, 1, 30_000);
    p.close().unwrap();
    let segment = Survey::of(&disk, Path::new("/p1")).unwrap().segments().swap_remove(1);
    let (first, last) = (segment.first_index, segment.first_index + 1);
    assert!(last <= segment.last_index, "the segment has two entries: {segment:?}");
    let p = reopen(&engine, "/p1", 1, Mode::None);
    append(&p, &entries(13, 13, 1, 100)).unwrap();
    // The term before the replacement is known, that of what is compacted is not.
    p.read(first - 1, first, 1).unwrap();
    wait_for_quiet(&disk);
    let fired = disk.faults_fired();
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Read).path(&segment.name).once());
    disk.inject(Rule::new(Fault::Delay(Duration::from_millis(500))).on(OpKind::Write).path("/seg-").once());
    std::thread::scope(|scope| {
        let compaction = scope.spawn(|| p.compact(last));
        assert!(disk.wait_hung(1, Duration::from_secs(5)), "it reads no term");
        let append = scope.spawn(|| append(&p, &entries(first, first, 2, 100)));
        wait_for("the write", Duration::from_secs(5), || disk.faults_fired() == fired + 2);
        disk.release();
        let refused = compaction.join().unwrap().map_err(|e| e.status);
        append.join().unwrap().unwrap();
        assert_eq!(refused, Err(Status::OutOfRange), "an entry that was not there any more was compacted");
    });
    assert_eq!(p.bounds().unwrap(), (1, first));
}
