//! Repair where the root is lost: which segments are the log then, and that whatever is not has a name in `kept/`.

use crate::repair::{is_in, plan, seg, zero, FACTS, PATH};
use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::*;

const LAST: u64 = 12;
/// What is zeroed of the root: either pair, and all of it.
const LOST: [(u64, usize); 3] = [(0, 8192), (8192, 8192), (0, 16384)];

/// Recoveries whose root write failed have left segments 3 to 8; the next opening has written entries 4 to 12 to a segment 3 of its own.
fn with_left_segments(close: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, PATH, 1, Mode::Sync);
    p.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&p, 1, 3, 1, 300);
    wait_for_quiet(&disk);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/seg-").once());
    append(&p, &entries(4, 4, 1, 300)).unwrap_err();
    disk.inject(Rule::errno(libc::EIO).path("/p1/root"));
    (0..6).for_each(|_| drop(p.recover().unwrap_err()));
    p.close().ok();
    disk.clear_faults();
    let disk = disk.crash(Crash::PowerNothing);
    let next = engine(&disk);
    let p = reopen(&next, PATH, 1, Mode::Sync);
    append_each(&p, 4, LAST - 1, 1, 300);
    p.set_hard_state(hard(1, 1, LAST - 2)).unwrap();
    append_each(&p, LAST, LAST, 1, 300);
    p.set_hard_state(hard(1, 1, LAST - 2)).unwrap();
    wait_for_quiet(&disk);
    if close {
        p.close().unwrap();
    }
    let disk = disk.crash(Crash::PowerNothing);
    assert!(disk.exists(&seg(8)), "what the recoveries have left: {:?}", disk.files(PATH));
    disk
}

/// Two openings; the second one has written entries 7 to 12, to segments of its own.
fn with_two_openings(close: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, PATH, 1, Mode::Sync);
    p.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&p, 1, 6, 1, 300);
    p.close().unwrap();
    let next = engine(&disk);
    let p = reopen(&next, PATH, 1, Mode::Sync);
    append_each(&p, 7, LAST, 1, 300);
    wait_for_quiet(&disk);
    if close {
        p.close().unwrap();
    }
    disk.crash(Crash::PowerNothing)
}

fn holder(disk: &SimDisk, index: u64) -> String {
    field::find_data(disk, PATH, &entries(index, index, 1, 300).remove(0).data).0
}

fn holds(disk: &SimDisk, index: u64) -> bool {
    let data = entries(index, index, 1, 300).remove(0).data;
    disk.files(PATH).iter().any(|f| disk.cached_bytes(f).windows(data.len()).any(|w| w == data))
}

/// What goes is named, and what can be read is there still, in the log or in `kept/`. Returns the last entry of the log.
fn check_nothing_goes_silently(disk: &SimDisk, what: &str) -> u64 {
    let before: Vec<u64> = (1..=LAST).filter(|n| holds(disk, *n)).collect();
    let repair = plan(disk, FACTS).unwrap_or_else(|e| panic!("{what}: {e}"));
    let offer = repair.offers().first().unwrap_or_else(|| panic!("{what}: nothing is offered")).clone();
    for index in 1..=LAST {
        let stays = (offer.first_index..=offer.last_index).contains(&index);
        assert!(
            stays || is_in(&offer.losses, index),
            "{what}: {index} goes silently: {offer:?}, {:?}",
            repair.damage()
        );
    }
    repair.apply(offer.way).unwrap_or_else(|e| panic!("{what}: {e}"));
    drop(repair);
    assert_eq!(plan(disk, FACTS).unwrap().damage(), [], "{what}: it is damaged still");
    let engine = engine(disk);
    let p = reopen(&engine, PATH, 1, Mode::Sync);
    assert_eq!(state(&p), State::ReadWrite, "{what}");
    assert_same(&read_all(&p).unwrap(), &entries(1, offer.last_index, 1, 300), what);
    // Numbers are used again.
    append_each(&p, offer.last_index + 1, offer.last_index + 3, 9, 60_000);
    p.close().unwrap();
    before.iter().for_each(|index| assert!(holds(disk, *index), "{what}: {index} is nowhere"));
    offer.last_index
}

#[test]
fn what_recoveries_have_left_is_not_taken_for_the_newest() {
    for close in [true, false] {
        let left = with_left_segments(close);
        for (at, len) in LOST {
            let what = format!("closed: {close}, {len} bytes at {at}");
            let disk = left.fork();
            let begun: Vec<Vec<u8>> = (5..=8).map(|n| disk.cached_bytes(&seg(n))).collect();
            zero(&disk, "/p1/root", at, len);
            let repair = plan(&disk, FACTS).unwrap();
            let found: Vec<_> = repair.offers().iter().map(|o| (o.way, o.last_index, o.losses.len())).collect();
            assert_eq!(found, [(RepairWay::Keep, LAST, 0)], "{what}: {:?}", repair.damage());
            drop(repair);
            assert_eq!(check_nothing_goes_silently(&disk, &what), LAST);
            let kept: Vec<_> = disk.files("/p1/kept").iter().map(|f| disk.cached_bytes(f)).collect();
            assert!(
                begun.iter().all(|bytes| kept.contains(bytes)),
                "{what}: a segment that the root leaves out is not kept"
            );
        }
    }
}

/// One of them cannot be read: it may be newer, and those below it are none the less.
#[test]
fn one_of_them_that_cannot_be_read_does_not_make_the_others_newer() {
    let disk = with_left_segments(true);
    zero(&disk, &seg(8), 0, 96);
    zero(&disk, "/p1/root", 0, 16384);
    assert_eq!(check_nothing_goes_silently(&disk, "a bad header above"), LAST - 2, "what was committed stays");
}

#[test]
fn with_the_root_and_the_newest_segment_damaged_nothing_goes_silently() {
    type Damage = (&'static str, fn(&SimDisk, &str));
    let damages: [Damage; 5] = [
        ("begin", |disk, file| disk.flip_bit(file, 4096 + 20, 3)),
        ("first flush", |disk, file| (0..8).for_each(|n| disk.flip_bit(file, 4096 + 64 * n + 20, 3))),
        ("header", |disk, file| zero(disk, file, 0, 96)),
        ("all", |disk, file| disk.overwrite(file, 4096, &[0xA5; 48 << 10])),
        ("missing", |disk, file| disk.remove(file)),
    ];
    for (name, does) in damages {
        for (made, disk) in [
            ("left", with_left_segments(true)),
            ("left, open", with_left_segments(false)),
            ("two", with_two_openings(true)),
            ("two, open", with_two_openings(false)),
        ] {
            for (at, len) in LOST {
                let disk = disk.fork();
                does(&disk, &holder(&disk, LAST));
                zero(&disk, "/p1/root", at, len);
                check_nothing_goes_silently(&disk, &format!("{made}, {name}, {len} bytes at {at}"));
            }
        }
    }
}

/// A crash between the making of an opening's first segment and the first write to it.
#[test]
fn a_segment_that_was_never_begun_is_not_the_newest() {
    let closed = with_two_openings(true);
    let append_once = |cut: Option<u64>| {
        let disk = closed.fork();
        let next = Engine::stepped(config(), &disk, 7).unwrap();
        let p = reopen(&next, PATH, 1, Mode::Sync);
        let before = disk.files(PATH);
        cut.into_iter().for_each(|op| disk.crash_at(op));
        append(&p, &entries(LAST + 1, LAST + 1, 1, 300)).ok();
        (disk, before)
    };
    let (whole, _) = append_once(None);
    let number = |data: &SimDisk| {
        whole.log().iter().rfind(|r| r.kind == OpKind::Write && r.path == holder(data, LAST + 1)).unwrap().number
    };
    for (at, len) in LOST {
        let (disk, before) = append_once(Some(number(&whole) - 1));
        let disk = disk.crash(Crash::PowerNothing);
        assert!(disk.files(PATH).len() > before.len() && !holds(&disk, LAST + 1), "a segment is made, and not begun");
        zero(&disk, "/p1/root", at, len);
        assert_eq!(check_nothing_goes_silently(&disk, &format!("{len} bytes at {at}")), LAST);
    }
}

fn flip_entry(disk: &SimDisk, index: u64) {
    let (file, at) = field::find_data(disk, PATH, &entries(index, index, 1, 300).remove(0).data);
    disk.flip_bit(&file, at + 100, 1);
}

/// What a repair leaves out is in `kept/` alone, and stays there behind the next one, also where each of them has met a root without a
/// valid slot, and segments with the same numbers.
#[test]
fn what_a_repair_has_kept_stays_behind_the_next_one() {
    let disk = with_two_openings(true);
    let cut = |broken| {
        flip_entry(&disk, broken);
        zero(&disk, "/p1/root", 0, 16384);
        let repair = plan(&disk, FACTS).unwrap();
        let last = repair.offers().iter().find(|o| o.way == RepairWay::Cut).map(|o| o.last_index);
        assert_eq!(last, Some(broken - 1), "{:?}", repair.damage());
        repair.apply(RepairWay::Cut).unwrap();
    };
    let (name, bytes) = (holder(&disk, LAST), disk.cached_bytes(&holder(&disk, LAST)));
    cut(5);
    let engine = engine(&disk);
    let p = reopen(&engine, PATH, 1, Mode::Sync);
    append_each(&p, 5, 9, 9, 60_000);
    assert_ne!(disk.cached_bytes(&name), bytes, "the number is used again");
    p.close().unwrap();
    cut(4);
    cut(2);
    let kept: Vec<_> = disk.files("/p1/kept").iter().map(|f| disk.cached_bytes(f)).collect();
    assert!(kept.contains(&bytes), "{:?}", disk.files("/p1/kept"));
}

/// The error of a repair that was done but for its last sync; and an old root that somebody has put back, without all that went.
#[test]
fn a_repair_that_is_made_again_leaves_what_was_kept() {
    let closed = with_two_openings(true);
    let third = engine(&closed);
    let p = reopen(&third, PATH, 1, Mode::Sync);
    append_each(&p, LAST + 1, LAST + 1, 1, 300);
    p.close().unwrap();
    let closed = closed.crash(Crash::PowerNothing);
    flip_entry(&closed, 4);
    let (root, newest) = (closed.cached_bytes("/p1/root"), holder(&closed, LAST + 1));
    let check = |disk: &SimDisk, what: &str| {
        assert!((1..=LAST + 1).all(|n| n == 4 || holds(disk, n)), "{what}: {:?}", disk.files("/p1/kept"));
        let is_root = |f: &String| f.ends_with("-root") && disk.cached_bytes(f) == root;
        assert!(disk.files("/p1/kept").iter().any(is_root), "{what}: the old root is gone");
    };
    let disk = closed.fork();
    let repair = plan(&disk, FACTS).unwrap();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Unlink).path("/p1/seg-").once());
    repair.apply(RepairWay::Cut).unwrap_err();
    disk.clear_faults();
    assert_eq!(repair.apply(RepairWay::Cut).map_err(|e| e.status), Err(Status::InvalidArgument), "an old plan");
    check(&disk, "called again");
    let disk = closed.fork();
    // Stopped before the newest segment goes; then the one that it continues is gone, and the old root is put back.
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Unlink).path(&newest).once());
    plan(&disk, FACTS).unwrap().apply(RepairWay::Cut).unwrap_err();
    disk.clear_faults();
    disk.remove(&holder(&closed, LAST));
    disk.overwrite("/p1/root", 0, &root);
    assert!(disk.exists(&newest));
    plan(&disk, FACTS).unwrap().apply(RepairWay::Cut).unwrap();
    check(&disk, "with the old root back");
}

/// Where no read goes past the page cache, that may be all that has what a repair leaves out.
#[test]
fn what_a_repair_keeps_is_durable() {
    let disk = SimDisk::with_config(1, SimConfig { direct_io: false, ..SimConfig::default() });
    let writer = engine(&disk);
    let p = open(&writer, PATH, 1, Mode::None);
    append_each(&p, 1, 6, 1, 300);
    p.sync().unwrap();
    append(&p, &entries(5, LAST, 1, 300)).unwrap();
    let disk = disk.crash(Crash::Process);
    flip_entry(&disk, 2);
    plan(&disk, FACTS).unwrap().apply(RepairWay::Cut).unwrap();
    let disk = disk.crash(Crash::PowerNothing);
    assert!((5..=LAST).all(|n| holds(&disk, n)), "{:?}", disk.files(PATH));
}
