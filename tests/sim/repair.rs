//! Repair of damaged directories on the simulated disk: whatever is damaged, each way that is offered leads to a log that opens, holds what it
//! says, and every entry that goes is named; cut short at any operation, the old directory is there or the repaired one.

use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::*;
use std::collections::BTreeMap;
use std::path::Path;

pub const PATH: &str = "/p1";
const LAST: u64 = 60;
pub const FACTS: RepairFacts = RepairFacts { applied: 0, term: 9 };

pub fn seg(n: u64) -> String {
    format!("{PATH}/seg-{n:016x}")
}

/// Entries 1 to 60, compacted up to 5, in several segments, with a suffix that was replaced; term 4, vote 2, commit 50.
fn log(mode: Mode, close: bool) -> (SimDisk, Vec<Entry>) {
    log_on(SimDisk::new(7), mode, close)
}

fn log_on(disk: SimDisk, mode: Mode, close: bool) -> (SimDisk, Vec<Entry>) {
    let engine = engine(&disk);
    let p = open(&engine, PATH, 1, mode);
    p.set_hard_state(hard(1, 1, 0)).unwrap();
    append_each(&p, 1, 20, 1, 5000);
    p.set_hard_state(hard(1, 1, 18)).unwrap();
    append_each(&p, 21, 30, 1, 5000);
    p.set_hard_state(hard(1, 1, 27)).unwrap();
    append(&p, &entries(28, 32, 3, 5000)).unwrap();
    p.compact(5).unwrap();
    append_each(&p, 33, 50, 3, 5000);
    p.set_hard_state(hard(3, 1, 49)).unwrap();
    append_each(&p, 51, LAST, 3, 5000);
    p.sync().unwrap();
    p.set_hard_state(hard(4, 2, 50)).unwrap();
    if close {
        p.close().unwrap();
    }
    let log = [entries(1, 27, 1, 5000), entries(28, LAST, 3, 5000)].concat();
    (disk.crash(Crash::PowerNothing), log)
}

pub fn plan(disk: &SimDisk, facts: RepairFacts) -> Result<Repair> {
    Repair::plan(disk, Path::new(PATH), facts)
}

fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    disk.files(PATH).into_iter().map(|f| (f.clone(), disk.cached_bytes(&f))).collect()
}

struct Damage {
    name: &'static str,
    does: fn(&SimDisk),
    /// The root is lost.
    root: bool,
}

fn flip_entry(disk: &SimDisk, index: u64) {
    let term = if index < 28 { 1 } else { 3 };
    let data = entries(index, index, term, 5000).remove(0).data;
    let (file, at) = field::find_data(disk, PATH, &data);
    disk.flip_bit(&file, at + 2500, 1);
}

fn newest(disk: &SimDisk) -> String {
    let data = entries(LAST, LAST, 3, 5000).remove(0).data;
    field::find_data(disk, PATH, &data).0
}

pub fn zero(disk: &SimDisk, file: &str, at: u64, len: usize) {
    disk.overwrite(file, at, &vec![0; len]);
}

const DAMAGES: &[Damage] = &[
    Damage { name: "an entry", does: |d| flip_entry(d, 20), root: false },
    Damage { name: "an entry of the replaced term", does: |d| flip_entry(d, 29), root: false },
    Damage { name: "the first entry", does: |d| flip_entry(d, 6), root: false },
    Damage { name: "the last entry", does: |d| flip_entry(d, LAST), root: false },
    Damage { name: "two entries", does: |d| [15, 45].iter().for_each(|i| flip_entry(d, *i)), root: false },
    Damage { name: "an unreadable block", does: |d| d.make_unreadable(&seg(2), 20 << 10, 512), root: false },
    Damage { name: "a missing segment", does: |d| d.remove(&seg(2)), root: false },
    Damage { name: "the oldest segment", does: |d| d.remove(&seg(1)), root: false },
    Damage { name: "the newest segment", does: |d| d.remove(&newest(d)), root: false },
    Damage { name: "a segment's header", does: |d| zero(d, &seg(2), 0, 96), root: false },
    Damage { name: "a begin record", does: |d| d.flip_bit(&seg(2), 4096 + 20, 3), root: false },
    Damage { name: "the newest begin record", does: |d| d.flip_bit(&newest(d), 4096 + 20, 3), root: false },
    Damage { name: "the newest header", does: |d| zero(d, &newest(d), 0, 96), root: false },
    Damage {
        name: "all segments but the first",
        does: |d| (2..20).filter(|n| d.exists(&seg(*n))).for_each(|n| d.remove(&seg(n))),
        root: false,
    },
    Damage { name: "a short file", does: |d| d.set_len(&seg(2), 30 << 10), root: false },
    Damage { name: "the first pair of the root", does: |d| zero(d, "/p1/root", 0, 8192), root: true },
    Damage { name: "the second pair of the root", does: |d| zero(d, "/p1/root", 8192, 8192), root: true },
    Damage { name: "all of the root", does: |d| zero(d, "/p1/root", 0, 16384), root: true },
    Damage { name: "no root", does: |d| d.remove("/p1/root"), root: true },
    Damage { name: "an unreadable root", does: |d| d.make_unreadable("/p1/root", 0, 16384), root: true },
    Damage {
        name: "a root and an entry",
        does: |d| {
            flip_entry(d, 40);
            zero(d, "/p1/root", 0, 16384);
        },
        root: true,
    },
];

/// What an open finds: the state, and each entry that reads back.
fn opened(disk: &SimDisk, mode: Mode) -> (State, HardState, Vec<Entry>, u64) {
    let engine = engine(disk);
    let p = reopen(&engine, PATH, 1, mode);
    let state = state(&p);
    let whole = read_all(&p).unwrap_or_default();
    let found = (state, p.hard_state().unwrap_or_default(), whole, p.status().damaged.2);
    p.close().ok();
    found
}

fn check_repaired(disk: &SimDisk, mode: Mode, offer: &RepairOffer, log: &[Entry], what: &str) {
    let wanted: Vec<Entry> =
        log.iter().filter(|e| (offer.first_index..=offer.last_index).contains(&e.index)).cloned().collect();
    let (state, hard_state, found, damaged) = opened(&disk.fork(), mode);
    assert_eq!((state, damaged), (State::ReadWrite, 0), "{what}: it does not open");
    assert_same(&found, &wanted, what);
    assert_eq!((hard_state.term, hard_state.vote, hard_state.commit), (offer.term, offer.vote, offer.commit), "{what}");
    // A vote, and the process is gone before the first append.
    let left = disk.fork();
    let voting = engine(&left);
    let p = reopen(&voting, PATH, 1, mode);
    p.set_hard_state(hard(offer.term + 1, 3, offer.commit)).unwrap_or_else(|e| panic!("{what}: {e}"));
    let (state, _, found, damaged) = opened(&left.crash(Crash::Process), mode);
    assert_eq!((state, found.len(), damaged), (State::ReadWrite, wanted.len(), 0), "{what}: after a vote and a crash");
    // And it goes on.
    let engine = engine(disk);
    let p = reopen(&engine, PATH, 1, mode);
    append(&p, &entries(offer.last_index + 1, offer.last_index + 3, 9, 300)).unwrap_or_else(|e| panic!("{what}: {e}"));
    p.close().unwrap();
    drop(engine);
    let (state, _, found, _) = opened(disk, mode);
    assert_eq!((state, found.len()), (State::ReadWrite, wanted.len() + 3), "{what}: after appends");
}

pub fn is_in(losses: &[RepairLoss], index: u64) -> bool {
    losses.iter().any(|l| (l.first..=l.last).contains(&index))
}

#[test]
fn whatever_is_damaged_every_way_opens_and_names_each_entry_that_goes() {
    for (mode, close) in [(Mode::Sync, true), (Mode::Sync, false), (Mode::None, true), (Mode::None, false)] {
        for damage in DAMAGES {
            let what = format!("{}, {mode:?}, closed: {close}", damage.name);
            let (disk, log) = log(mode, close);
            (damage.does)(&disk);
            let before = files(&disk);
            let repair = plan(&disk, RepairFacts { applied: 40, ..FACTS }).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_ne!(repair.damage(), [], "{what}: nothing is found");
            assert_eq!(files(&disk), before, "{what}: a plan changes something");
            assert_ne!(repair.offers().len(), 0, "{what}: nothing is offered: {:?}", repair.damage());
            for offer in repair.offers() {
                let what = format!("{what}: {offer:?}");
                let gone = |e: &&Entry| e.index > 5 && !(offer.first_index..=offer.last_index).contains(&e.index);
                for entry in log.iter().filter(gone) {
                    assert!(is_in(&offer.losses, entry.index), "{what}: {} goes silently", entry.index);
                }
                let stays = |e: &&Entry| (offer.first_index..=offer.last_index).contains(&e.index);
                for entry in log.iter().filter(stays) {
                    assert!(!is_in(&offer.losses, entry.index), "{what}: {} is said to go", entry.index);
                }
                if !damage.root {
                    assert_eq!((offer.term, offer.vote), (4, 2), "{what}: the vote");
                }
            }
            let kinds: Vec<_> = repair.offers().iter().map(|o| (o.way, o.refusal.clone())).collect();
            drop(repair);
            for (way, _) in kinds {
                // What the owner has applied decides: only with the right facts is it done.
                let fork = disk.fork();
                let offer = plan(&fork, FACTS).unwrap().offers().iter().find(|o| o.way == way).unwrap().clone();
                let applied = if way == RepairWay::Cut { 0 } else { offer.first_index - 1 };
                let repair = plan(&fork, RepairFacts { applied, ..FACTS }).unwrap();
                let kept = repair.apply(way).unwrap_or_else(|e| panic!("{what}, {way:?}: {e}"));
                drop(repair);
                for name in kept {
                    assert!(fork.exists(&format!("{PATH}/{name}")), "{what}, {way:?}: {name} is not kept");
                }
                assert_eq!(plan(&fork, FACTS).unwrap().damage(), [], "{what}, {way:?}: it is damaged still");
                check_repaired(&fork.crash(Crash::PowerNothing), mode, &offer, &log, &format!("{what}, {way:?}"));
            }
        }
    }
}

#[test]
fn a_sound_log_needs_nothing() {
    for (mode, close) in [(Mode::Sync, true), (Mode::Sync, false), (Mode::None, true), (Mode::Interval, false)] {
        let (disk, _) = log(mode, close);
        let before = files(&disk);
        let repair = plan(&disk, FACTS).unwrap();
        assert_eq!((repair.damage(), repair.offers().len()), (&[][..], 0));
        assert_eq!(repair.apply(RepairWay::Cut).map_err(|e| e.status), Err(Status::InvalidArgument));
        drop(repair);
        assert_eq!(files(&disk), before);
    }
}

/// Found by a random history: an open reads such a segment, and a repair took all of it for lost.
#[test]
fn a_bad_sector_beside_a_header_costs_no_entry() {
    let config = SimConfig { block_bytes: 512, ..SimConfig::default() };
    let (disk, _) = log_on(SimDisk::with_config(7, config), Mode::Sync, true);
    disk.make_unreadable(&seg(1), 2560, 512);
    flip_entry(&disk, 45);
    let plan = plan(&disk, FACTS).unwrap();
    let cut = plan.offers().iter().find(|o| o.way == RepairWay::Cut).expect("what is before the damage can stay");
    assert_eq!((cut.first_index, cut.last_index), (6, 44));
}

/// Found by a random history: a segment whose size could not be read was read on for ever.
#[test]
fn a_size_that_cannot_be_read_ends_the_search() {
    let (disk, _) = log(Mode::Sync, false);
    zero(&disk, "/p1/root", 0, 8192);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Len).path("/p1/seg-"));
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(plan(&disk, FACTS).map(|p| p.damage().len())));
    let planned = receive.recv_timeout(std::time::Duration::from_secs(20));
    assert!(planned.expect("it ends").map_or(true, |damage| damage > 0), "and does not call the log sound");
}

/// It was taken for a segment that was never begun, and what it held went without a word.
#[test]
fn the_newest_segment_whose_size_cannot_be_read_is_damage() {
    let (disk, log) = log(Mode::Sync, false);
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Len).path(&newest(&disk)));
    let plan = plan(&disk, FACTS).unwrap();
    assert_ne!(plan.offers().len(), 0);
    for offer in plan.offers() {
        let gone = log.iter().filter(|e| e.index > offer.last_index).find(|e| !is_in(&offer.losses, e.index));
        assert_eq!(gone.map(|e| e.index), None, "goes silently: {offer:?}");
    }
}

/// A close whose root had to be a new file, cut short before that was clean: nothing has begun since, and the root says where the log ended,
/// also where its newest segment is gone.
#[test]
fn a_root_without_segments_says_where_the_log_ended() {
    let closed = |cut: Option<u64>| {
        let disk = SimDisk::new(7);
        let engine = Engine::stepped(healing_config(), &disk, 1).expect("an engine");
        let p = open(&engine, PATH, 1, Mode::Sync);
        append_each(&p, 1, LAST, 3, 5000);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/root").once());
        cut.into_iter().for_each(|op| disk.crash_at(op));
        assert_eq!(p.close().is_ok(), cut.is_none());
        disk
    };
    let whole = closed(None);
    let in_place = whole.log().into_iter().rfind(|r| r.kind == OpKind::Write && r.path == "/p1/root");
    let cut = closed(in_place.map(|r| r.number - 1)).crash(Crash::PowerNothing);
    let root = bulkhead::format::Root::decode_file(&cut.durable_bytes("/p1/root")).unwrap();
    assert!(!root.clean && root.epoch[..8] == [0; 8], "{root:?}");
    let losses = |disk: &SimDisk| {
        disk.remove(&newest(disk));
        let plan = plan(disk, FACTS).unwrap();
        plan.offers().iter().map(|offer| (offer.way, offer.losses.clone())).collect::<Vec<_>>()
    };
    let sure = losses(&whole.crash(Crash::PowerNothing));
    assert!(!sure.is_empty() && sure.iter().flat_map(|(_, losses)| losses).all(|l| l.last == LAST), "{sure:?}");
    assert_eq!(losses(&cut), sure, "where it ended is not known");
}

#[test]
fn facts_that_do_not_allow_a_way_are_asked_for() {
    let (disk, _) = log(Mode::Sync, true);
    flip_entry(&disk, 20);
    let refused = |facts, way| {
        let repair = plan(&disk, facts).unwrap();
        let offer = repair.offers().iter().find(|o| o.way == way).unwrap();
        assert_eq!(offer.refusal.is_some(), repair.apply(way).is_err());
        offer.refusal.is_some()
    };
    let applied = |applied| RepairFacts { applied, term: 0 };
    let before = files(&disk);
    assert!(refused(applied(0), RepairWay::Compact), "entries go that the owner may need");
    assert!(refused(applied(20), RepairWay::Compact), "entry 21 goes with the damage, for its term");
    assert!(refused(applied(30), RepairWay::Cut), "the owner has applied what would go");
    assert_eq!(files(&disk), before, "a refusal changes something");
    let (disk, _) = log(Mode::Sync, true);
    zero(&disk, "/p1/root", 0, 8192);
    let repair = plan(&disk, RepairFacts { applied: 0, term: 2 }).unwrap();
    assert!(repair.offers().iter().all(|o| o.refusal.as_ref().is_some_and(|r| r.contains("vote"))), "a second vote");
}

#[test]
fn a_directory_that_is_open_is_refused_and_not_disturbed() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, PATH, 1, Mode::Sync);
    append_each(&p, 1, 5, 1, 100);
    assert_eq!(plan(&disk, FACTS).map(drop).map_err(|e| e.status), Err(Status::Locked));
    append_each(&p, 6, 7, 1, 100);
    p.close().unwrap();
    assert_eq!(plan(&disk, FACTS).map(drop).map_err(|e| e.status), Ok(()));
    assert_eq!(
        Repair::plan(&disk, Path::new("/nowhere"), FACTS).map(drop).map_err(|e| e.status),
        Err(Status::NotFound)
    );
}

/// Applies the way that keeps most and returns it.
fn repair(disk: &SimDisk) -> Result<RepairOffer> {
    let first = plan(disk, FACTS)?.offers().first().cloned();
    let Some(first) = first else { return Err(Error::new(Status::NotFound, Op::Recover, "nothing to repair")) };
    let applied = if first.way == RepairWay::Cut { 0 } else { first.first_index - 1 };
    plan(disk, RepairFacts { applied, ..FACTS })?.apply(first.way).map(|_| first)
}

/// The directory is as it was, or repaired; another repair comes to the same.
fn check_left(disk: &SimDisk, before: &BTreeMap<String, Vec<u8>>, offer: &RepairOffer, log: &[Entry], what: &str) {
    let is_old = files(disk).get("/p1/root") == before.get("/p1/root");
    if is_old {
        for (name, bytes) in before {
            assert_eq!(files(disk).get(name), Some(bytes), "{what}: {name} has changed before the root");
        }
    }
    match repair(disk) {
        Ok(again) => assert!(is_old && again.way == offer.way, "{what}: {again:?}"),
        Err(e) => assert!(!is_old && e.status == Status::NotFound, "{what}: {e}"),
    }
    check_repaired(disk, Mode::Sync, offer, log, what);
}

const SOME: [&str; 4] = ["an entry", "a missing segment", "the first pair of the root", "two entries"];

#[test]
fn a_repair_cut_short_at_any_operation_leaves_the_old_log_or_the_repaired_one() {
    for damage in DAMAGES.iter().filter(|d| SOME.contains(&d.name)) {
        let (disk, log) = log(Mode::Sync, true);
        (damage.does)(&disk);
        let disk = disk.crash(Crash::PowerNothing);
        let before = files(&disk);
        let whole = disk.fork();
        let from = disk.ops();
        let offer = repair(&whole).unwrap();
        // A plan only reads.
        let plans = disk.fork();
        (0..2).for_each(|_| drop(plan(&plans, FACTS).unwrap()));
        println!("{}: {} operations, {} of them plan it", damage.name, whole.ops() - from, plans.ops() - from);
        for op in plans.ops() + 1..=whole.ops() {
            for how in [Crash::Process, Crash::PowerNothing, Crash::PowerRandom, Crash::PowerEverything] {
                let cut = disk.fork();
                cut.crash_at(op);
                let _ = repair(&cut);
                let what = format!("{} cut at {}, {how:?}", damage.name, op - from);
                check_left(&cut.crash(how), &before, &offer, &log, &what);
            }
        }
    }
}

#[test]
fn an_error_at_any_operation_leaves_the_old_log_or_the_repaired_one() {
    for errno in [libc::EIO, libc::ENOSPC] {
        let (disk, log) = log(Mode::Sync, true);
        flip_entry(&disk, 20);
        let disk = disk.crash(Crash::PowerNothing);
        let before = files(&disk);
        let whole = disk.fork();
        let offer = repair(&whole).unwrap();
        let plans = disk.fork();
        (0..2).for_each(|_| drop(plan(&plans, FACTS).unwrap()));
        for op in plans.ops() + 1..=whole.ops() {
            let failing = disk.fork();
            // While it is planned an error is damage that is not there: only what changes something fails.
            failing.inject(Rule::errno(errno).on_changes().from_op(op).once());
            let result = repair(&failing);
            failing.clear_faults();
            let what = format!("errno {errno} at {}: {:?}", op - plans.ops(), result.err().map(|e| e.status));
            check_left(&failing.crash(Crash::Process), &before, &offer, &log, &what);
        }
    }
}

/// The CubeFS adapter's mark of a snapshot that has not arrived is no vote: with it gone raft would apply what is in the snapshot again.
#[test]
fn a_log_that_waits_for_a_snapshot_still_waits_behind_a_repair() {
    const PENDING: u64 = 1 << 63;
    for lost in [Some(0), Some(8192), None] {
        let (disk, _) = log(Mode::Sync, true);
        let engine = engine(&disk);
        let p = reopen(&engine, PATH, 1, Mode::Sync);
        p.set_hard_state(hard(4, PENDING | 2, 50)).unwrap();
        p.close().unwrap();
        match lost {
            Some(at) => zero(&disk, "/p1/root", at, 8192),
            None => flip_entry(&disk, 40),
        }
        let offer = repair(&disk).unwrap();
        let wanted = if lost.is_some() { hard(10, PENDING, 50) } else { hard(4, PENDING | 2, offer.commit) };
        assert_eq!((offer.term, offer.vote), (wanted.term, wanted.vote), "{lost:?}");
        assert_eq!(opened(&disk, Mode::Sync).1, wanted, "{lost:?}");
    }
}
