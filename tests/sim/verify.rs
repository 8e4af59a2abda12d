//! F16: what `verify` makes of a bad area, and what it costs.

use crate::support::field::find_data;
use crate::support::*;
use bulkhead::io::sim::{Fault, OpKind, Rule, SimDisk};
use bulkhead::{Engine, EngineConfig, Error, Mode, Partition, Status, VerifyReport};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// One segment of 600 small entries.
fn small_entries() -> (SimDisk, Engine) {
    let disk = SimDisk::new(1);
    let config = EngineConfig { segment_min_bytes: 256 << 10, read_cache_bytes: 0, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append(&p, &entries(1, 600, 1, 200)).unwrap();
    p.close().unwrap();
    (disk, engine)
}

/// Reads that a verify makes, and the bad entries that it finds.
fn verify(disk: &SimDisk, engine: &Engine) -> (usize, u64, (u64, u64)) {
    let p = reopen(engine, "/p1", 1, Mode::Sync);
    let reads = || disk.log().iter().filter(|op| op.kind == OpKind::Read).count();
    let before = reads();
    let report = p.verify().unwrap();
    let made = reads() - before;
    assert_eq!(report.entries + report.bad_records, 600);
    assert_eq!(p.status().damaged.2, report.bad_records);
    (made, report.bad_records, report.bad)
}

#[test]
fn f16_verify_reads_a_bad_area_once_however_many_entries_are_bad() {
    let segment = "/p1/seg-0000000000000001";
    let (disk, engine) = small_entries();
    let (sound, bad, _) = verify(&disk, &engine);
    assert_eq!(bad, 0);
    // Each with a flipped bit of its own: all headers are there.
    let flipped = disk.fork();
    let bytes = disk.durable_bytes(segment);
    for index in 101..=500 {
        let data = Payload::Random.bytes(index, 1, 200);
        let at = bytes.windows(200).position(|w| w == data).expect("the entry is on the medium");
        flipped.flip_bit(segment, at as u64 + 100, 0);
    }
    let config = EngineConfig { read_cache_bytes: 0, ..config() };
    let engine = Engine::with_storage(config.clone(), Arc::new(flipped.clone())).unwrap();
    let (reads, bad, range) = verify(&flipped, &engine);
    assert_eq!((bad, range), (400, (101, 500)));
    assert!(reads <= sound, "{reads} reads, {sound} without damage");
    // Sectors that cannot be read: each block once more by itself.
    let unreadable = disk.fork();
    unreadable.make_unreadable(segment, 32 << 10, 64 << 10);
    let engine = Engine::with_storage(config, Arc::new(unreadable.clone())).unwrap();
    let (reads, bad, _) = verify(&unreadable, &engine);
    assert!((200..300).contains(&bad), "{bad}");
    let blocks = bytes.len() / 4096;
    assert!(reads <= sound + 2 * blocks, "{reads} reads of a file of {blocks} blocks, {sound} without damage");
}

/// A verify whose first read takes this long, begun.
fn slow_verify(disk: &SimDisk, p: &Arc<Partition>, ms: u64) -> JoinHandle<Result<VerifyReport, Error>> {
    let slow = Rule::new(Fault::Delay(Duration::from_millis(ms)));
    disk.inject(slow.on(OpKind::Read).path("/seg-0000000000000001").once());
    let own = p.clone();
    let verify = std::thread::spawn(move || own.verify());
    std::thread::sleep(Duration::from_millis(100));
    verify
}

#[test]
fn a_verify_holds_no_closed_directory() {
    // A close in the last segment, and in one before it.
    for last in [5, 200] {
        let disk = SimDisk::new(1);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append_each(&p, 1, last, 1, 2000);
        wait_for_quiet(&disk);
        let verify = slow_verify(&disk, &p, 1000);
        p.close().unwrap();
        reopen(&engine, "/p1", 1, Mode::Sync);
        assert!(!verify.is_finished(), "the test does not test");
        assert_eq!(verify.join().unwrap().map_err(|e| e.status), Err(Status::Closed), "of {last} entries");
    }
}

#[test]
fn a_verify_passes_over_what_is_compacted_meanwhile() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 600, 1, 2000);
    wait_for_quiet(&disk);
    let verify = slow_verify(&disk, &p, 1000);
    let files = disk.files("/p1").len();
    p.compact(500).unwrap();
    wait_for("a file goes", Duration::from_millis(800), || disk.files("/p1").len() < files);
    assert!(!verify.is_finished(), "the test does not test");
    let report = verify.join().unwrap().unwrap();
    assert_eq!(report.bad_records, 0);
    assert!((100..600).contains(&report.entries), "{report:?}");
}

#[test]
fn a_verify_finds_no_damage_in_what_is_replaced_meanwhile() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { segment_max_bytes: 64 << 10, ..config() };
    let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    append_each(&p, 1, 12, 1, 2000);
    wait_for_quiet(&disk);
    let verify = slow_verify(&disk, &p, 2000);
    append(&p, &entries(6, 6, 2, 2000)).unwrap();
    p.compact(5).unwrap();
    let mut last = 6;
    while disk.exists("/p1/seg-0000000000000001") {
        assert!(last < 2_000, "the file is not used again");
        append_each(&p, last + 1, last + 20, 2, 2000);
        last += 20;
    }
    append_each(&p, last + 1, last + 100, 2, 2000);
    assert!(!verify.is_finished(), "the test does not test");
    assert_eq!(verify.join().unwrap().unwrap().bad_records, 0);
    assert_eq!(p.status().damaged, (0, 0, 0));
}

/// A background sync failed beside it: what it had kept from the medium was called damaged, and recovery then wrote it anew.
#[test]
fn a_verify_finds_no_damage_in_what_a_fault_has_kept_from_the_medium_meanwhile() {
    for flipped in [false, true] {
        let disk = SimDisk::new(1);
        let config = EngineConfig { read_cache_bytes: 0, ..config() };
        let engine = Engine::with_storage(config, Arc::new(disk.clone())).unwrap();
        let p = open(&engine, "/p1", 1, Mode::None);
        append_each(&p, 1, 5, 1, 300);
        p.sync().unwrap();
        append_each(&p, 6, 12, 1, 300);
        wait_for_quiet(&disk);
        if flipped {
            let (path, at) = find_data(&disk, "/p1", &entries(3, 3, 1, 300)[0].data);
            disk.flip_bit(&path, at + 100, 0);
        }
        let verify = slow_verify(&disk, &p, 1000);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-").once());
        p.sync().expect_err("the disk drops what it was to write");
        assert!(!verify.is_finished(), "the test does not test");
        let report = verify.join().unwrap().unwrap();
        let bad = if flipped { (3, 3) } else { (0, 0) };
        assert_eq!((report.bad, p.status().damaged.2), (bad, report.bad_records), "what was durable before counts");
        disk.clear_faults();
        p.recover().unwrap();
        assert_same(&p.read(6, 13, u64::MAX).unwrap(), &entries(6, 12, 1, 300), "recovery has them");
        assert_eq!(p.verify().unwrap().bad, bad);
    }
}
