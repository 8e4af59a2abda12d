//! F11, F32: what is known to have been durable when a root was written is missed, whatever the records say that are left.

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, State};
use std::sync::Arc;

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
    p.recover().unwrap();
    wait_for_quiet(&disk);
    let left = disk.crash(Crash::PowerNothing);
    let second = engine(&left);
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
