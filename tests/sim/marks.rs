//! F11, F32: what is known to have been durable when a root was written is missed, whatever the records say that are left.

use crate::support::*;
use bulkhead::format::Root;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, Repair, RepairFacts, RepairWay, State};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The segment with the highest number that has a begin.
fn newest_begun(disk: &SimDisk) -> String {
    let begun = |file: &String| file.contains("/seg-") && disk.durable_bytes(file)[4096..4100] != [0; 4];
    disk.files("/p1").into_iter().rfind(begun).expect("a segment")
}

/// A refused replacement that reached the disk lies below the segment that healed it. Without its begin that one must not count as never
/// begun: the refused entries would take the place of acknowledged ones.
#[test]
fn f32_a_healed_segment_without_its_begin_is_missed() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 300);
    wait_for_quiet(&disk);
    disk.inject(Rule::new(Fault::ErrnoAfter(libc::EIO)).on(OpKind::Write).path("/p1/seg-0000000000000002").once());
    append(&p, &entries(8, 9, 2, 300)).unwrap_err();
    wait_for_quiet(&disk);
    // The root of a new spare would say it, too: only what heals gets a file.
    disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Create).path("/p1/seg-").skip(1));
    p.recover().unwrap();
    let left = disk.crash(Crash::PowerNothing);
    left.clear_faults();
    let second = engine(&left.fork());
    assert_same(&read_all(&reopen(&second, "/p1", 1, Mode::Sync)).unwrap(), &entries(1, 10, 1, 300), "a sound disk");
    for bytes in [30, 4096] {
        let left = left.fork();
        left.overwrite(&newest_begun(&left), 4096, &vec![0; bytes]);
        let second = engine(&left);
        let p = reopen(&second, "/p1", 1, Mode::Sync);
        let fault = p.last_fault().map(|e| e.cause());
        assert_eq!((state(&p), fault), (State::Unavailable, Some(Cause::Damage)), "{bytes} bytes are lost");
    }
}

/// Behind a heal everything is durable, and a sync says so without a write.
#[test]
fn f11_a_flipped_bit_behind_a_heal_costs_one_entry() {
    for mode in [Mode::None, Mode::Interval] {
        let disk = SimDisk::new(1);
        let config = EngineConfig { interval_ms: 60_000, ..config() };
        let first = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
        let p = open(&first, "/p1", 1, mode);
        append_each(&p, 1, 3, 1, 300);
        p.sync().unwrap();
        wait_for_quiet(&disk);
        append_each(&p, 4, 30, 1, 300);
        let kind = if mode == Mode::None { OpKind::Sync } else { OpKind::Write };
        disk.inject(Rule::errno(libc::EIO).on(kind).path("/p1/seg-0000000000000001").once());
        p.sync().unwrap_err();
        p.recover().unwrap();
        p.sync().unwrap();
        // The power goes before the idle log's mark comes.
        let left = disk.crash(Crash::PowerNothing);
        let file = &newest_begun(&left);
        let data = entries(15, 15, 1, 300).remove(0).data;
        let at = left.durable_bytes(file).windows(300).position(|w| w == data).expect("what was healed");
        left.flip_bit(file, at as u64 + 100, 1);
        let second = engine(&left);
        let p = reopen(&second, "/p1", 1, mode);
        assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 30)), "{mode:?}: {:?}", p.last_fault());
        let status = p.status();
        assert_eq!((status.damaged, status.maybe_acknowledged), ((15, 15, 1), (0, 0)), "{mode:?}");
        assert_eq!(status.unsynced, (0, 0), "{mode:?}");
    }
}

/// In mode none what was never synced is scanned, also where a newer segment replaces it: that is nobody's damage.
#[test]
fn f11_damage_that_a_newer_segment_replaces_is_not_told() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::None);
    append_each(&p, 1, 50, 1, 300);
    p.sync().unwrap();
    append_each(&p, 51, 60, 1, 300);
    append(&p, &entries(30, 45, 2, 300)).unwrap();
    wait_for_quiet(&disk);
    for (index, told) in [(40, (0, 0, 0)), (29, (29, 29, 1))] {
        let left = disk.fork().crash(Crash::Process);
        let (file, at) = field::find_data(&left, "/p1", &entries(index, index, 1, 300).remove(0).data);
        left.flip_bit(&file, at + 100, 1);
        let second = engine(&left);
        let p = reopen(&second, "/p1", 1, Mode::None);
        assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 45)), "{:?}", p.last_fault());
        assert_eq!(p.status().damaged, told, "entry {index}");
    }
}

/// The segment that an opening begins with looks as one that was never begun, and the end that the opening found as that of the log.
#[test]
fn f32_the_first_flush_of_an_opening_that_the_disk_drops_is_missed() {
    // Of a new segment the header and the zeros are written before; a reset goes on with the spare.
    for (before, segment, writes) in [("nothing", 1, 2), ("a close", 3, 2), ("a kill", 3, 2), ("a reset", 2, 0)] {
        let mut disk = SimDisk::new(1);
        let first = engine(&disk);
        let mut p = open(&first, "/p1", 1, Mode::Sync);
        if before != "nothing" {
            append_each(&p, 1, 3, 1, 300);
            wait_for_quiet(&disk);
        }
        match before {
            "a close" => p.close().unwrap(),
            "a kill" => disk = disk.crash(Crash::Process),
            "a reset" => p.reset(20, 1).unwrap(),
            _ => {}
        }
        let second = engine(&disk);
        if matches!(before, "a close" | "a kill") {
            p = reopen(&second, "/p1", 1, Mode::Sync);
        }
        let last = p.bounds().unwrap().1;
        let file = format!("/p1/seg-{segment:016x}");
        disk.inject(Rule::new(Fault::Lost).on(OpKind::Write).path(&file).skip(writes).once());
        append(&p, &entries(last + 1, last + 5, 1, 300)).unwrap();
        assert_eq!(disk.lies(), 1);
        // The next root says that they are durable.
        p.set_hard_state(hard(2, 2, p.hard_state().unwrap().commit)).unwrap();
        let left = disk.crash(Crash::PowerNothing);
        let next = engine(&left);
        let p = reopen(&next, "/p1", 1, Mode::Sync);
        let fault = p.last_fault().map(|e| (e.cause(), e.range.0));
        assert_eq!((state(&p), fault), (State::Unavailable, Some((Cause::Damage, last + 1))), "behind {before}");
        let unreadable = left.fork();
        unreadable.make_unreadable(&file, 4096, 4096);
        let next = engine(&unreadable);
        let cause = reopen(&next, "/p1", 1, Mode::Sync).last_fault().map(|e| e.cause());
        assert_eq!(cause, Some(Cause::IoError), "behind {before}, where a block cannot be read");
    }
}

/// Where an opening, or a reset, has only voted since, nothing is missed, however many numbers it leaves out.
#[test]
fn f11_an_opening_that_only_voted_has_lost_nothing() {
    for (mode, resets) in [Mode::None, Mode::Sync, Mode::Interval].into_iter().flat_map(|m| [(m, false), (m, true)]) {
        let disk = SimDisk::new(1);
        let first = engine(&disk);
        let mut p = open(&first, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 300);
        if resets {
            p.reset(20, 1).unwrap();
        } else {
            p.close().unwrap();
            p = reopen(&first, "/p1", 1, mode);
        }
        let bounds = p.bounds().unwrap();
        for term in 2..4 {
            p.set_hard_state(hard(term, 1, p.hard_state().unwrap().commit)).unwrap();
            wait_for_quiet(&disk);
        }
        let left = disk.crash(Crash::PowerNothing);
        let second = engine(&left);
        let p = reopen(&second, "/p1", 1, mode);
        let found = (state(&p), p.bounds().unwrap());
        assert_eq!(found, (State::ReadWrite, bounds), "{mode:?}, reset: {resets}: {:?}", p.last_fault());
    }
}

/// What compaction has dropped is missed by nobody: the entries that were durable went with the segments that the opening had begun.
#[test]
fn f11_a_log_that_is_compacted_up_to_a_segment_that_never_came_is_empty() {
    for (mode, reopened) in [Mode::None, Mode::Sync, Mode::Interval].into_iter().flat_map(|m| [(m, false), (m, true)]) {
        let disk = SimDisk::new(1);
        let config = || EngineConfig { flush_threads_per_disk: 1, interval_ms: 60_000, ..config() };
        let first = Engine::with_storage(config(), Arc::new(disk.clone())).unwrap();
        let other = open(&first, "/p2", 2, Mode::Sync);
        append_each(&other, 1, 1, 1, 300);
        let mut p = open(&first, "/p1", 1, mode);
        if reopened {
            append_each(&p, 1, 3, 1, 300);
            p.close().unwrap();
            p = reopen(&first, "/p1", 1, mode);
        }
        let last = p.bounds().unwrap().1 + 3;
        append_each(&p, last - 2, last, 1, 20_000);
        p.sync().unwrap();
        wait_for_quiet(&disk);
        // The only worker is busy; then it writes the root, and then what begins the next segment.
        disk.inject(Rule::new(Fault::Delay(Duration::from_millis(300))).on(OpKind::Write).path("/p2/").once());
        let busy = std::thread::spawn(move || append(&other, &entries(2, 2, 1, 300)));
        std::thread::sleep(Duration::from_millis(50));
        let named = Root::decode_file(&disk.durable_bytes("/p1/root")).unwrap().last_segment;
        let spare = &format!("/p1/seg-{named:016x}");
        if mode != Mode::None {
            disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path(spare));
        }
        p.submit(&refs(&entries(last + 1, last + 1, 1, 20_000)), 1).unwrap();
        p.compact(last).unwrap();
        let left = disk.crash(Crash::PowerNothing);
        let _ = busy.join();
        let second = engine(&left);
        let root = Root::decode_file(&left.durable_bytes("/p1/root")).unwrap();
        assert!(
            left.exists(spare) && root.mark > root.end.lsn && root.first_segment > root.end.segment,
            "{mode:?} {root:?}"
        );
        let p = reopen(&second, "/p1", 1, mode);
        let found = (state(&p), p.bounds().unwrap());
        assert_eq!(found, (State::ReadWrite, (last + 1, last)), "{mode:?}, reopened: {reopened}: {:?}", p.last_fault());
    }
}

/// Numbers that an opening leaves out are no entries.
#[test]
fn f11_what_was_never_synced_is_what_the_opening_wrote() {
    for large in [300, 20_000] {
        let disk = SimDisk::new(1);
        let first = Engine::stepped(config(), &disk, 1).unwrap();
        let p = open(&first, "/p1", 1, Mode::None);
        append_each(&p, 1, 10, 1, 300);
        p.close().unwrap();
        let second = Engine::stepped(config(), &disk, 2).unwrap();
        let p = reopen(&second, "/p1", 1, Mode::None);
        append_each(&p, 11, 20, 1, large);
        let left = disk.crash(Crash::Process);
        let third = Engine::stepped(config(), &left, 3).unwrap();
        let p = reopen(&third, "/p1", 1, Mode::None);
        assert_eq!((state(&p), p.bounds().unwrap(), p.status().unsynced), (State::ReadWrite, (1, 20), (11, 20)));
    }
}

/// The same for a repair: what a close has made durable was acknowledged, whatever came after it.
#[test]
fn a_repair_knows_what_was_durable_before_the_last_opening() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 10, 1, 300);
    p.close().unwrap();
    let second = engine(&disk);
    let p = reopen(&second, "/p1", 1, Mode::Sync);
    // No root is written behind it, nor another record.
    disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Create).path("/p1/seg-0000000000000004"));
    append(&p, &entries(11, 15, 1, 300)).unwrap();
    let left = disk.crash(Crash::PowerNothing);
    let (file, at) = field::find_data(&left, "/p1", &entries(5, 5, 1, 300).remove(0).data);
    left.flip_bit(&file, at + 100, 1);
    let plan = Repair::plan(&left, Path::new("/p1"), RepairFacts { applied: 0, term: 1 }).unwrap();
    let cut = plan.offers().iter().find(|o| o.way == RepairWay::Cut).expect("a cut");
    let losses: Vec<_> = cut.losses.iter().map(|l| (l.first, l.last, l.readable, l.acknowledged)).collect();
    assert_eq!(losses, [(5, 5, false, true), (6, 10, true, true), (11, 15, true, false)]);
}
