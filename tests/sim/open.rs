//! F26, F27, F30: one owner at a time; a bad partition does not hold up the others; nothing leaks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Disposition, Engine, Error, HardState, Mode, Partition, PartitionConfig, State, Status};

#[test]
fn f26_a_second_open_is_refused_and_the_first_goes_on() {
    for mode in [Mode::None, Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let one = engine(&disk);
        let two = engine(&disk);
        let p = open(&one, "/p1", 1, mode);
        append_each(&p, 1, 3, 1, 10);
        let again = try_open(&one, "/p1", 1, mode).err().map(|e| e.status);
        assert_eq!(again, Some(Status::AlreadyOpen), "the same engine");
        let other = try_open(&two, "/p1", 1, mode).err().map(|e| e.status);
        assert!(matches!(other, Some(Status::AlreadyOpen | Status::Locked)), "another engine: {other:?}");
        disk.rename("/p1", "/renamed");
        let renamed = try_open(&one, "/renamed", 1, mode).err().map(|e| e.status);
        assert!(
            matches!(renamed, Some(Status::AlreadyOpen | Status::Locked)),
            "the same directory by another name: {renamed:?}"
        );
        append_each(&p, 4, 6, 1, 10);
        p.close().unwrap();
        let p = open(&two, "/renamed", 1, mode);
        assert_same(&read_all(&p).unwrap(), &entries(1, 6, 1, 10), "the refused opens changed nothing");
    }
}

#[test]
fn f26_a_crashed_owners_lock_does_not_stay() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let _p = open(&first, "/p1", 1, Mode::Sync);
    let after = disk.crash(Crash::Process);
    let engine = engine(&after);
    assert_eq!(state(&reopen(&engine, "/p1", 1, Mode::Sync)), State::ReadWrite);
}

#[test]
fn f26_a_refused_or_failed_open_leaves_no_lock() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    open(&engine, "/p1", 1, Mode::Sync).close().unwrap();
    assert_eq!(try_open(&engine, "/p1", 2, Mode::Sync).err().map(|e| e.status), Some(Status::WrongPartition));
    disk.inject(Rule::errno(libc::EMFILE).path("/p1").on(OpKind::Open).times(50));
    if let Ok(p) = try_open(&engine, "/p1", 1, Mode::Sync) {
        p.close().unwrap();
    }
    disk.clear_faults();
    assert_eq!(state(&open(&engine, "/p1", 1, Mode::Sync)), State::ReadWrite);
}

#[test]
fn f27_one_damaged_partition_does_not_delay_or_fail_999_others() {
    let disk = SimDisk::new(1);
    let maker = engine(&disk);
    for id in 1..=1000u64 {
        let p = open(&maker, &format!("/p{id}"), id, Mode::None);
        append(&p, &entries(1, 3, 1, 100)).unwrap();
        p.close().unwrap();
    }
    maker.close().unwrap();
    (0..4).for_each(|slot| disk.flip_bit("/p500/root", slot * 4096 + 70, 1));
    disk.inject(Rule::errno(libc::EIO).path("/p600/"));
    let engine = engine(&disk);
    let began = Instant::now();
    for id in 1..=1000u64 {
        let p = open(&engine, &format!("/p{id}"), id, Mode::None);
        let wanted = if id == 500 || id == 600 { State::Unavailable } else { State::ReadWrite };
        assert_eq!(state(&p), wanted, "partition {id}");
        if wanted == State::ReadWrite {
            append(&p, &entries(4, 4, 1, 100)).unwrap();
        } else {
            assert!(p.last_fault().is_some() && append(&p, &entries(4, 4, 1, 100)).is_err());
        }
    }
    assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
}

#[test]
fn f27_an_open_that_hangs_does_not_hold_up_another() {
    let disk = SimDisk::new(1);
    let engine = std::sync::Arc::new(engine(&disk));
    disk.inject(Rule::new(Fault::Hang).path("/p1").once());
    let hanging = {
        let engine = engine.clone();
        std::thread::spawn(move || try_open(&engine, "/p1", 1, Mode::Sync).map(|p| p.status().state))
    };
    assert!(disk.wait_hung(1, Duration::from_secs(5)));
    let (send, receive) = std::sync::mpsc::channel();
    let other = engine.clone();
    std::thread::spawn(move || {
        let p = open(&other, "/p2", 2, Mode::Sync);
        append_each(&p, 1, 10, 1, 100);
        let _ = send.send(state(&p));
    });
    assert_eq!(
        receive.recv_timeout(Duration::from_secs(5)),
        Ok(State::ReadWrite),
        "an open waits for another partition's disk"
    );
    disk.release();
    let _ = hanging.join();
}

fn open_as(engine: &Engine, disposition: Disposition) -> Result<Arc<Partition>, Error> {
    engine.open_partition(PartitionConfig { disposition, ..partition_config("/p1", 1, Mode::Sync) })
}

/// Between making a directory and locking it another one may make a log there, and close it.
#[test]
fn f26_who_makes_a_directory_keeps_the_log_that_it_finds_there() {
    for disposition in [Disposition::OpenOrCreate, Disposition::CreateNew] {
        let disk = SimDisk::new(1);
        let (one, two) = (engine(&disk), engine(&disk));
        // The third of its opens is the one that is locked.
        disk.inject(Rule::new(Fault::Hang).on(OpKind::OpenDir).path("/p1").skip(2).once());
        std::thread::scope(|s| {
            let first = s.spawn(|| open_as(&one, disposition));
            assert!(disk.wait_hung(1, Duration::from_secs(5)));
            let p = open(&two, "/p1", 1, Mode::Sync);
            append_each(&p, 1, 10, 5, 100);
            p.set_hard_state(hard(5, 3, 0)).unwrap();
            p.close().unwrap();
            disk.release();
            let first = first.join().unwrap();
            if disposition == Disposition::CreateNew {
                assert_eq!(first.err().map(|e| e.status), Some(Status::AlreadyExists));
            }
        });
        one.close().unwrap();
        let p = reopen(&two, "/p1", 1, Mode::Sync);
        assert_same(&read_all(&p).unwrap(), &entries(1, 10, 5, 100), &format!("{disposition:?}"));
        assert_eq!(p.hard_state().unwrap(), hard(5, 3, 0));
    }
}

#[test]
fn f26_of_two_that_make_one_directory_the_second_is_told_so() {
    for (disposition, wanted) in
        [(Disposition::OpenOrCreate, Status::Locked), (Disposition::CreateNew, Status::AlreadyExists)]
    {
        let disk = SimDisk::new(1);
        let (one, two) = (engine(&disk), engine(&disk));
        disk.inject(Rule::new(Fault::Hang).on(OpKind::CreateDir).path("/p1").once());
        std::thread::scope(|s| {
            let first = s.spawn(|| open_as(&one, disposition));
            assert!(disk.wait_hung(1, Duration::from_secs(5)));
            let p = open(&two, "/p1", 1, Mode::Sync);
            disk.release();
            assert_eq!(first.join().unwrap().err().map(|e| e.status), Some(wanted), "{disposition:?}");
            append_each(&p, 1, 3, 1, 10);
        });
    }
}

/// Found by the simulation: the directory's name was durable only if the open that made it came to its end.
#[test]
fn f20_a_directory_that_a_crash_left_without_a_durable_name_gets_one() {
    for seed in 1..20 {
        let disk = SimDisk::with_config(seed, SimConfig { journalled: false, ..SimConfig::default() });
        disk.inject(Rule::new(Fault::ErrnoAfter(libc::EIO)).on(OpKind::CreateDir).once());
        try_open(&engine(&disk), "/p1", 1, Mode::Sync).err().expect("the directory's name is not durable");
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append(&p, &entries(1, 3, 1, 100)).unwrap();
        p.set_hard_state(hard(2, 1, 3)).unwrap();
        let engine = crate::support::engine(&disk.fork().crash(Crash::PowerNothing));
        let p = reopen(&engine, "/p1", 1, Mode::Sync);
        assert_same(&read_all(&p).unwrap(), &entries(1, 3, 1, 100), "after the power cut");
        assert_eq!(p.hard_state().unwrap(), hard(2, 1, 3));
    }
}

/// A directory whose name could not be made durable is no directory: a sync that says yes afterwards may cover nothing of it.
#[test]
fn f20_a_directory_whose_name_could_not_be_synced_is_made_anew() {
    let config = SimConfig { failed_dir_syncs_forget: true, journalled: false, ..SimConfig::default() };
    for disposition in [Disposition::OpenOrCreate, Disposition::CreateNew] {
        let disk = SimDisk::with_config(1, config.clone());
        disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).once());
        let first = stepped(&disk);
        let config = PartitionConfig { disposition, ..partition_config("/p1", 1, Mode::Sync) };
        let refused = first.open_partition(config.clone()).map(|p| p.status()).expect_err("its name is not durable");
        assert_eq!(refused.status, Status::IoError, "{refused}");
        assert!(!disk.exists("/p1"), "an open that failed leaves nothing");
        let p = first.open_partition(config).unwrap_or_else(|e| panic!("{disposition:?}: {e}"));
        append(&p, &entries(1, 3, 1, 100)).unwrap();
        p.set_hard_state(hard(2, 1, 3)).unwrap();
        let second = stepped(&disk.fork().crash(Crash::PowerNothing));
        let p = reopen(&second, "/p1", 1, Mode::Sync);
        assert_same(&read_all(&p).unwrap(), &entries(1, 3, 1, 100), "after the power cut");
        assert_eq!(p.hard_state().unwrap(), hard(2, 1, 3));
    }
}

fn stepped(disk: &SimDisk) -> Engine {
    Engine::stepped(config(), disk, disk.ops() + 1).expect("an engine")
}

/// A root whose rename was never synced: its name is made durable before anyone relies on what it says.
#[test]
fn f20_a_root_that_was_replaced_has_a_durable_name_before_it_is_shown() {
    for seed in 1..40 {
        let config = SimConfig { journalled: false, failed_dir_syncs_forget: true, ..SimConfig::default() };
        let disk = SimDisk::with_config(seed, config);
        let first = stepped(&disk);
        let p = open(&first, "/p1", 1, Mode::Sync);
        append(&p, &entries(1, 3, 1, 100)).unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/root").once());
        assert!(p.set_hard_state(HardState { term: 2, vote: 2, commit: 1 }).is_err());
        disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).path("/p1").skip(1).once());
        assert!(p.recover().is_err(), "the new root's name is not durable");
        let again = disk.crash(Crash::Process);
        let second = stepped(&again);
        let p = open(&second, "/p1", 1, Mode::Sync);
        assert_eq!(state(&p), State::ReadWrite, "{:?}", p.last_fault());
        let shown = p.hard_state().unwrap();
        let vote = HardState { term: 3, vote: 1, commit: 1 };
        let voted = seed % 2 == 0;
        if voted {
            p.set_hard_state(vote).unwrap();
            append(&p, &entries(4, 6, 3, 100)).unwrap();
        }
        let third = stepped(&again.crash(Crash::PowerRandom));
        let p = open(&third, "/p1", 1, Mode::Sync);
        assert_eq!(state(&p), State::ReadWrite, "seed {seed}: {:?}", p.last_fault());
        assert_eq!(p.hard_state().unwrap(), if voted { vote } else { shown }, "seed {seed}");
        assert_eq!(p.bounds().unwrap().1, if voted { 6 } else { 3 }, "seed {seed}");
    }
}

/// A directory sync that fails for want of space is a failed sync: one that says yes afterwards proves nothing.
#[test]
fn f20_a_directory_sync_without_space_is_not_made_good_by_the_next_one() {
    let disk = SimDisk::with_config(1, SimConfig { failed_dir_syncs_forget: true, ..SimConfig::default() });
    let first = stepped(&disk);
    let open_still = open(&first, "/p1", 1, Mode::Sync);
    append(&open_still, &entries(1, 3, 1, 100)).unwrap();
    let left = disk.crash(Crash::Process);
    left.inject(Rule::errno(libc::ENOSPC).on(OpKind::SyncDir).path("/p1").once());
    let engine = stepped(&left);
    let p = open(&engine, "/p1", 1, Mode::Sync);
    assert_ne!(state(&p), State::ReadWrite, "the new root's name is not durable");
    assert_eq!(read_all(&p).unwrap(), entries(1, 3, 1, 100), "what is there can be read");
    p.recover().unwrap();
    assert_eq!(state(&p), State::ReadWrite);
}

/// Found by the simulation: a first root whose directory sync had failed was served without a durable name. A segment got one, and after a power
/// cut the root was missing.
#[test]
fn f20_a_first_root_has_a_durable_name_before_a_segment_does() {
    let configs = [true, false].map(|failed_dir_syncs_forget| SimConfig {
        journalled: false,
        failed_dir_syncs_forget,
        ..SimConfig::default()
    });
    for (config, seed) in configs.into_iter().flat_map(|c| (1..60).map(move |seed| (c.clone(), seed))) {
        let disk = SimDisk::with_config(seed, config);
        let first = engine(&disk);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).path("/p1").once());
        let p = open(&first, "/p1", 1, Mode::Sync);
        assert_eq!(state(&p), State::Unavailable, "the root's name is not durable");
        p.recover().unwrap();
        disk.crash_at(disk.ops() + 1 + seed % 12);
        let _ = append(&p, &entries(1, 3, 1, 100));
        let second = engine(&disk.crash(Crash::PowerRandom));
        let p = open(&second, "/p1", 1, Mode::Sync);
        assert_eq!(state(&p), State::ReadWrite, "seed {seed}: {:?}", p.last_fault());
    }
}

/// A close whose root got its place by a rename that no directory sync has covered is not taken for a good one: what the next opening
/// acknowledges would be in a file whose name a power cut takes.
#[test]
fn f20_a_close_whose_directory_sync_failed_is_no_clean_one() {
    for mode in [Mode::Sync, Mode::Interval, Mode::None] {
        let disk = SimDisk::with_config(1, SimConfig { failed_dir_syncs_forget: true, ..SimConfig::default() });
        let first = Engine::stepped(healing_config(), &disk, 1).expect("an engine");
        let p = open(&first, "/p1", 1, mode);
        append(&p, &entries(1, 3, 1, 100)).unwrap();
        p.set_hard_state(hard(2, 2, 0)).unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/root").once());
        disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).path("/p1"));
        p.close().expect_err("the root's name is not durable");
        disk.clear_faults();
        let left = disk.crash(Crash::Process);
        let second = stepped(&left);
        let p = reopen(&second, "/p1", 1, mode);
        assert_eq!((state(&p), p.hard_state().unwrap()), (State::ReadWrite, hard(2, 2, 0)), "{mode:?}");
        p.set_hard_state(hard(3, 1, 2)).unwrap();
        append(&p, &entries(4, 6, 3, 100)).unwrap();
        p.sync().unwrap();
        let third = stepped(&left.crash(Crash::PowerNothing));
        let p = reopen(&third, "/p1", 1, mode);
        let found = p.hard_state().unwrap();
        assert_eq!((state(&p), found.term, found.vote), (State::ReadWrite, 3, 1), "{mode:?}: {:?}", p.last_fault());
        assert_same(&read_all(&p).unwrap(), &[entries(1, 3, 1, 100), entries(4, 6, 3, 100)].concat(), "all entries");
    }
}

/// What the last opening left, on a disk that takes no writes any more: its entries can be read. Its vote is not shown, which a power cut may take
/// back: raft would answer for it.
#[test]
fn f9_a_log_whose_root_cannot_be_renewed_can_be_read_and_shows_no_vote() {
    for (mode, how) in
        [Mode::Sync, Mode::Interval, Mode::None].into_iter().flat_map(|m| (0..3).map(move |how| (m, how)))
    {
        let disk = SimDisk::new(1);
        let first = stepped(&disk);
        let p = open(&first, "/p1", 1, mode);
        if how != 2 {
            append(&p, &entries(1, 9, 1, 300)).unwrap();
        }
        p.sync().unwrap();
        let commit = if how == 2 { 0 } else { 4 };
        p.set_hard_state(hard(2, 3, commit)).unwrap();
        p.sync().unwrap();
        if how == 1 {
            p.close().unwrap();
        }
        let left = disk.crash(Crash::PowerNothing);
        if how == 1 {
            // Closed, and one slot of each pair is lost.
            [0, 3].iter().for_each(|slot| left.flip_bit("/p1/root", slot * 4096 + 70, 2));
        }
        left.inject(Rule::errno(libc::EROFS).on_changes());
        let second = stepped(&left);
        let p = reopen(&second, "/p1", 1, mode);
        let what = format!("{mode:?}, way {how}: {:?}", p.last_fault());
        assert_eq!((state(&p), p.status().cause), (State::Unavailable, Cause::ReadOnlyFilesystem), "{what}");
        assert_same(&read_all(&p).unwrap(), &entries(1, if how == 2 { 0 } else { 9 }, 1, 300), &what);
        let refused = p.hard_state().expect_err("a vote that a power cut may take back");
        assert_eq!((refused.cause(), p.status().hard_state), (Cause::ReadOnlyFilesystem, hard(0, 0, commit)), "{what}");
        left.clear_faults();
        p.recover().unwrap();
        assert_eq!((state(&p), p.hard_state().unwrap()), (State::ReadWrite, hard(2, 3, commit)), "{what}");
    }
}

/// The fallback of a full disk, where a root is written anew in place: what is newest is written over last, or a fault in the middle would leave an
/// older vote alone.
#[test]
fn f17_a_root_is_written_anew_in_place_with_the_pair_that_holds_it_last() {
    for votes in 2..4 {
        let disk = SimDisk::new(1);
        let first = stepped(&disk);
        let p = open(&first, "/p1", 1, Mode::Sync);
        (1..=votes).for_each(|n| p.set_hard_state(hard(n, n, 0)).unwrap());
        let left = disk.crash(Crash::PowerNothing);
        let written_in = |disk: &SimDisk, from: u64| -> Vec<u64> {
            let log = disk.log();
            let root = log.iter().filter(|r| r.kind == OpKind::Write && r.path == "/p1/root" && r.number > from);
            root.map(|r| r.offset).collect()
        };
        let newest = *written_in(&disk, 0).last().expect("a vote");
        let opened = left.ops();
        left.set_capacity(0);
        let second = stepped(&left);
        assert_eq!(reopen(&second, "/p1", 1, Mode::Sync).hard_state().unwrap(), hard(votes, votes, 0));
        let written = written_in(&left, opened);
        assert!(written[0] != newest && written[1] == newest, "{votes} votes, newest at {newest}: {written:?}");
    }
}

/// Between the two steps of a clean root in a new file a crash may come, and a spare of that log may have lost its header: no record was ever in it.
#[test]
fn f21_a_bad_spare_does_not_count_where_the_root_says_the_end() {
    for mode in [Mode::Sync, Mode::Interval, Mode::None] {
        let disk = SimDisk::new(1);
        let first = Engine::stepped(healing_config(), &disk, 1).expect("an engine");
        let p = open(&first, "/p1", 1, mode);
        append(&p, &entries(1, 3, 1, 100)).unwrap();
        first.pass_time(Duration::from_secs(5));
        let spare = "/p1/seg-0000000000000002";
        assert!(disk.exists(spare), "{:?}", disk.files("/p1"));
        close_into_a_new_file(&disk, &p);
        let left = disk.crash(Crash::Process);
        left.overwrite(spare, 0, &[0xFF; 512]);
        let second = stepped(&left);
        let p = reopen(&second, "/p1", 1, mode);
        assert_eq!(state(&p), State::ReadWrite, "{mode:?}: {:?}", p.last_fault());
        assert_same(&read_all(&p).unwrap(), &entries(1, 3, 1, 100), "all entries");
    }
}
