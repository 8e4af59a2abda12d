//! F11, F12, F13, F20: an open tells a torn end from damage by what is known to have been durable, whatever the payloads look like.

use std::time::Duration;

use crate::support::driver::Driver;
use crate::support::judge::After;
use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Mode, Partition, State};

/// Where a record's data lies in a file of the disk: the test's own search, so that it needs to know nothing of the format.
fn find(disk: &SimDisk, needle: &[u8]) -> (String, u64) {
    let mut hits = disk.files("/p1").into_iter().filter_map(|path| {
        let bytes = disk.durable_bytes(&path);
        let at = bytes.windows(needle.len()).rposition(|w| w == needle)?;
        Some((path, at as u64))
    });
    hits.next().expect("the entry's data is on the medium")
}

/// A log of 12 entries with the given payloads, the crash of its process, and the disk it leaves.
fn crashed_log(payload: Payload, mode: Mode, close: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, mode);
    for entry in entries_of(payload, 1, 12, 1, 700) {
        append(&p, &[entry]).unwrap();
        p.sync().unwrap();
    }
    if close {
        p.close().unwrap();
    }
    disk.crash(Crash::PowerNothing)
}

fn says_damage(p: &Partition, index: u64) -> bool {
    let status = p.status();
    let damaged = status.damaged;
    (damaged.0..=damaged.1).contains(&index) && damaged.2 > 0
        || status.state == State::Unavailable && status.cause == Cause::Damage
}

#[test]
fn f11_f13_a_flipped_durable_byte_is_damage_whatever_the_payload() {
    for (payload, mode) in Payload::ALL.into_iter().flat_map(|p| [Mode::Sync, Mode::None].map(|m| (p, m))) {
        let disk = crashed_log(payload, mode, false);
        let clean = crashed_log(payload, mode, true);
        for disk in [disk, clean] {
            // Payloads of zeros cannot be searched for: flip around where the random ones of the same log lie.
            let (path, at) = find(&crashed_log(Payload::Random, mode, false), &Payload::Random.bytes(6, 1, 700));
            disk.flip_bit(&path, at + 300, 3);
            let engine = engine(&disk);
            let p = reopen(&engine, "/p1", 1, mode);
            // After a clean close nothing is scanned: the read finds it.
            let found = read_each(&p);
            assert!(says_damage(&p, 6), "{payload:?} {mode:?}: a durable byte flipped, status {:?}", p.status());
            for (index, result) in found {
                match result {
                    Ok(e) => assert_same(&[e], &entries_of(payload, index, index, 1, 700), "entries around the damage"),
                    Err(_) => assert_eq!(index, 6, "{payload:?}: only the damaged entry fails"),
                }
            }
            assert_eq!(p.bounds().unwrap().1, 12, "{payload:?} {mode:?}: nothing behind the damage is cut");
        }
    }
}

#[test]
fn f11_a_lost_durable_block_in_the_middle_is_damage() {
    for mode in [Mode::Sync, Mode::None] {
        let disk = crashed_log(Payload::Random, mode, false);
        let (path, at) = find(&disk, &Payload::Random.bytes(6, 1, 700));
        disk.overwrite(&path, at / 4096 * 4096, &[0; 4096]);
        let engine = engine(&disk);
        let p = reopen(&engine, "/p1", 1, mode);
        assert!(says_damage(&p, 6), "{mode:?}: {:?}", p.status());
        assert!(read_each(&p)
            .iter()
            .all(|(i, r)| r.as_ref().map_or(true, |e| e.data == Payload::Random.bytes(*i, 1, 700))));
    }
}

#[test]
fn f11_f13_f20_a_power_cut_is_never_called_damage_and_costs_nothing_acknowledged() {
    let modes = [Mode::Sync, Mode::None, Mode::Interval];
    for seed in 0..240u64 {
        let payload = Payload::ALL[seed as usize % 3];
        let config = SimConfig { direct_io: seed % 4 != 3, journalled: seed % 5 != 0, ..SimConfig::default() };
        let disk = SimDisk::with_config(seed, config);
        let mut d = Driver::new(disk, &modes);
        let run = |d: &mut Driver| -> Result<(), String> {
            (0..3).try_for_each(|n| d.open(n, After::Close).map(drop))?;
            d.disk.crash_at(d.disk.ops() + 1 + seed * 7 % 90);
            for round in 0..40u64 {
                let n = (round + seed) as usize % 3;
                let first = d.parts[n].model.last() + 1;
                let len = [10, 900, 5000][(seed + round) as usize % 3];
                d.append(n, &entries_of(payload, first, first + (round + seed) % 5, 1, len))?;
                if d.disk.is_dead() {
                    break;
                }
            }
            let after = d.crash(Crash::PowerRandom);
            (0..3).try_for_each(|n| d.open(n, after).map(drop))
        };
        run(&mut d).unwrap_or_else(|e| panic!("seed {seed}, {payload:?}: {e}\n{}", d.story()));
    }
}

#[test]
fn f12_a_bad_last_record_is_reported_whatever_the_payload() {
    for (payload, mode) in
        Payload::ALL.into_iter().flat_map(|p| [Mode::Sync, Mode::Interval, Mode::None].map(|m| (p, m)))
    {
        let (path, at) = find(&crashed_log(Payload::Random, mode, false), &Payload::Random.bytes(12, 1, 700));
        // Each byte of the record's header and some of its data.
        for byte in (at - 56..at).chain([at, at + 350, at + 699]) {
            let disk = crashed_log(payload, mode, false);
            disk.flip_bit(&path, byte, (byte % 8) as u8);
            let engine = engine(&disk);
            let p = reopen(&engine, "/p1", 1, mode);
            let status = p.status();
            let maybe = status.maybe_acknowledged;
            let reported = (maybe.0..=maybe.1).contains(&12) || says_damage(&p, 12);
            assert!(
                reported,
                "{payload:?} {mode:?}: byte {} of the last record's header and data flipped and nothing said: {status:?}",
                byte + 56 - at
            );
            let kept = read_each(&p).into_iter().take(11).map(|(_, r)| r.unwrap()).collect::<Vec<_>>();
            assert_same(&kept, &entries_of(payload, 1, 11, 1, 700), "the entries before it");
        }
    }
}

/// Found by a random history: in mode none the begin of a replacement had the term of the last entry that it replaced.
#[test]
fn f11_an_end_behind_a_begin_record_has_the_term_of_the_entry_before_it() {
    for mode in [Mode::Sync, Mode::Interval, Mode::None] {
        let disk = SimDisk::new(1);
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        append(&p, &entries(1, 3, 1, 700)).unwrap();
        append(&p, &entries(2, 3, 2, 700)).unwrap();
        append(&p, &entries(2, 2, 3, 700)).unwrap();
        p.sync().unwrap();
        let disk = disk.crash(Crash::Process);
        let (path, at) = find(&disk, &Payload::Random.bytes(2, 3, 700));
        disk.flip_bit(&path, at + 350, 3);
        let second = engine(&disk);
        let p = reopen(&second, "/p1", 1, mode);
        assert_eq!((p.bounds().unwrap(), p.term(1).unwrap()), ((1, 1), 1), "{mode:?}: {:?}", p.status());
    }
}

/// Found by a random history: "behind entry 0" was taken for nothing at all.
#[test]
fn f12_a_bad_first_record_is_reported() {
    for mode in [Mode::Sync, Mode::Interval, Mode::None] {
        let disk = SimDisk::new(1);
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        append(&p, &entries(1, 1, 1, 700)).unwrap();
        p.sync().unwrap();
        let disk = disk.crash(Crash::Process);
        let (path, at) = find(&disk, &Payload::Random.bytes(1, 1, 700));
        disk.flip_bit(&path, at + 350, 3);
        let second = engine(&disk);
        let p = reopen(&second, "/p1", 1, mode);
        assert_eq!(
            (p.bounds().unwrap(), p.status().maybe_acknowledged),
            ((1, 0), (1, 1)),
            "{mode:?}: {:?}",
            p.status()
        );
    }
}

/// A hole in a segment that hangs in the air says nothing: the log ends further down.
#[test]
fn f12_what_is_reported_begins_where_the_log_ends() {
    let disk = SimDisk::new(1);
    let first = engine(&disk);
    let p = open(&first, "/p1", 1, Mode::None);
    append_each(&p, 1, 1, 1, 3000);
    // Filled segments are synced in their order: none becomes durable.
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Sync).path("/p1/seg-0000000000000001"));
    append_each(&p, 2, 80, 1, 3000);
    let left = disk.crash(Crash::Process);
    left.sync_all();
    let place = |index| find(&left, &Payload::Random.bytes(index, 1, 3000));
    let (lower, newest) = (place(35), place(75));
    assert!(lower.0 == place(40).0 && lower.0 < newest.0 && newest.0 == place(80).0, "{lower:?} {newest:?}");
    left.flip_bit(&newest.0, newest.1 + 350, 3);
    left.overwrite(&lower.0, lower.1 - 56, &[0; 24 << 10]);
    let second = engine(&left);
    let p = reopen(&second, "/p1", 1, Mode::None);
    let status = p.status();
    assert_eq!((p.bounds().unwrap(), status.maybe_acknowledged), ((1, 34), (35, 80)), "{status:?}");
}

#[test]
fn f12_a_torn_last_flush_is_an_end_and_its_range_is_reported() {
    // The last flush of several blocks reaches the medium without its first one.
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append_each(&p, 1, 5, 1, 100);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Write).path("/p1/seg-0000000000000001"));
        append(&p, &entries(6, 9, 1, 5000)).expect_err("the write failed in part");
        let after = disk.crash(Crash::PowerRandom);
        let engine = crate::support::engine(&after);
        let p = reopen(&engine, "/p1", 1, Mode::Sync);
        assert_eq!((state(&p), p.status().damaged), (State::ReadWrite, (0, 0, 0)), "seed {seed}: {:?}", p.last_fault());
        let last = p.bounds().unwrap().1;
        assert!((5..=9).contains(&last));
        assert_same(&read_all(&p).unwrap()[5..], &entries(6, last, 1, 5000), "what is left of the flush");
        append_each(&p, last + 1, 12, 1, 100);
        let engine = crate::support::engine(&after.crash(Crash::PowerNothing));
        let p = reopen(&engine, "/p1", 1, Mode::Sync);
        assert_eq!(
            (state(&p), p.bounds().unwrap()),
            (State::ReadWrite, (1, 12)),
            "seed {seed}: what follows a cut end is no damage either"
        );
    }
}

/// The spare that a crash finds may be the log's first segment, used again: the begin record that it had is nothing that was acknowledged.
#[test]
fn f12_a_spare_that_was_the_first_segment_is_no_end_that_was_written() {
    let disk = SimDisk::new(7);
    // Of one size, so that each can be used for any other.
    let config = || EngineConfig { segment_max_bytes: config().segment_min_bytes, ..config() };
    let engine = Engine::stepped(config(), &disk, 1).unwrap();
    let p = open(&engine, "/p1", 1, Mode::Sync);
    let mut again = 0;
    for index in (10..=60).step_by(10) {
        for next in index - 9..=index {
            append_each(&p, next, next, 1, 3000);
            engine.pass_time(Duration::from_millis(50));
        }
        p.compact(index - 5).unwrap();
        engine.pass_time(Duration::from_millis(50));
        let after = disk.fork().crash(Crash::PowerNothing);
        let spare = after.files("/p1").into_iter().max().expect("segments");
        again += u32::from(after.durable_bytes(&spare)[4096..].iter().any(|b| *b != 0));
        let engine = Engine::stepped(config(), &after, 2).unwrap();
        let found = reopen(&engine, "/p1", 1, Mode::Sync);
        assert_eq!((found.bounds().unwrap().1, found.status().maybe_acknowledged), (index, (0, 0)), "{spare}");
    }
    assert!(again > 0, "no segment was used again");
}

#[test]
fn f11_an_end_below_what_the_owner_knows_is_damage() {
    let disk = crashed_log(Payload::Random, Mode::None, false);
    let engine = engine(&disk);
    let config = bulkhead::PartitionConfig { known_index: 13, ..partition_config("/p1", 1, Mode::None) };
    let p = engine.open_partition(config).unwrap();
    assert_eq!((p.status().state, p.status().cause), (State::Unavailable, Cause::Damage));
    assert_eq!(read_all(&p).unwrap().len(), 12, "what is there can be read");
    p.close().unwrap();
    let p = reopen(&engine, "/p1", 1, Mode::None);
    assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 12)), "the refusal changed nothing on disk");
}

#[test]
fn f20_a_new_partition_survives_a_power_cut_with_its_directory_entry() {
    for journalled in [true, false] {
        let disk = SimDisk::with_config(1, SimConfig { journalled, ..SimConfig::default() });
        let engine = engine(&disk);
        let p = open(&engine, "/p1", 1, Mode::Sync);
        append_each(&p, 1, 1, 1, 10);
        let engine = crate::support::engine(&disk.crash(Crash::PowerNothing));
        let p = reopen(&engine, "/p1", 1, Mode::Sync);
        assert_same(&read_all(&p).unwrap(), &entries(1, 1, 1, 10), "the first entry of a new partition");
    }
}

/// An opening that wrote a vote and nothing else ends: its marks say nothing of the segments of the one before, also where a file cannot be
/// opened at the first try.
#[test]
fn f06_a_file_that_cannot_be_opened_for_a_moment_is_no_damage() {
    for mode in [Mode::None, Mode::Sync, Mode::Interval] {
        let disk = SimDisk::new(1);
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        append_each(&p, 1, 10, 1, 400);
        p.close().unwrap();
        let p = reopen(&first, "/p1", 1, mode);
        p.set_hard_state(hard(3, 1, 0)).unwrap();
        let disk = disk.crash(Crash::Process);
        for n in 0.. {
            let disk = disk.fork();
            disk.inject(Rule::errno(libc::EMFILE).on(OpKind::Open).path("/seg-").skip(n).once());
            let second = engine(&disk);
            let p = reopen(&second, "/p1", 1, mode);
            assert_ne!(p.status().cause, Cause::Damage, "{mode:?}, open {n}: {:?}", p.last_fault());
            let fired = disk.faults_fired() > 0;
            disk.clear_faults();
            p.recover().unwrap_or_else(|e| panic!("{mode:?}, open {n}: {e}"));
            assert_same(&read_all(&p).unwrap(), &entries(1, 10, 1, 400), &format!("{mode:?}, open {n}"));
            if !fired {
                assert!(n >= 2, "{n} opens");
                break;
            }
        }
    }
}

#[test]
fn f20_interval_keeps_its_window() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::Interval);
    append_each(&p, 1, 50, 1, 100);
    wait_for("the interval's flush", std::time::Duration::from_secs(2), || p.status().durable_index == 50);
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write));
    append_each(&p, 51, 60, 1, 100);
    let engine = crate::support::engine(&disk.crash(Crash::PowerNothing));
    let p = reopen(&engine, "/p1", 1, Mode::Interval);
    assert_same(&read_all(&p).unwrap()[..50], &entries(1, 50, 1, 100), "entries older than the interval");
}

/// The next record is looked for where the last one ends and at the next block (rule R2). Where the one that is lost filled the rest of a block,
/// the one behind it is found there: that it does not follow only its lsn tells.
#[test]
fn f11_a_lost_record_is_noticed_where_the_next_one_begins_a_block() {
    for mode in [Mode::Sync, Mode::None] {
        let disk = SimDisk::new(1);
        let first = engine(&disk);
        let p = open(&first, "/p1", 1, mode);
        // The header's block and the begin record's 80 bytes; entry 1 takes 160, entry 2 the rest of that block.
        let (one, two) = (entries(1, 1, 1, 100), entries(2, 2, 1, 4096 - 80 - 160 - 56));
        append(&p, &[one, two, entries(3, 4, 1, 300)].concat()).unwrap();
        p.sync().unwrap();
        append_each(&p, 5, 9, 1, 300);
        p.sync().unwrap();
        append_each(&p, 10, 10, 1, 300);
        let left = disk.crash(Crash::Process);
        left.flip_bit("/p1/seg-0000000000000001", 4096 + 80 + 160 + 20, 0);
        let second = engine(&left);
        let p = reopen(&second, "/p1", 1, mode);
        let found = (state(&p), p.bounds().unwrap(), p.status().damaged);
        assert_eq!(found, (State::ReadWrite, (1, 10), (2, 2, 1)), "{mode:?}: {:?}", p.last_fault());
        let bad: Vec<_> =
            read_each(&p).into_iter().filter(|(_, found)| found.is_err()).map(|(index, _)| index).collect();
        assert_eq!(bad, [2], "{mode:?}");
    }
}

/// In mode none a power cut may take parts of two segments that were never synced. What each had behind the end goes to `kept/`.
#[test]
fn f11_what_an_end_cuts_off_in_two_segments_is_kept() {
    let disk = SimDisk::new(1);
    // No background work: nothing is synced.
    let first = bulkhead::Engine::stepped(config(), &disk, 1).unwrap();
    let p = open(&first, "/p1", 1, Mode::None);
    append_each(&p, 1, 30, 1, 3000);
    let left = disk.crash(Crash::Process);
    left.sync_all();
    let (path, at) = find(&left, &Payload::Random.bytes(10, 1, 3000));
    left.flip_bit(&path, at + 100, 0);
    let (newer, _) = find(&left, &Payload::Random.bytes(30, 1, 3000));
    assert_ne!(path, newer);
    left.flip_bit(&newer, 4096 + 20, 0); // its begin record
    let second = bulkhead::Engine::stepped(config(), &left, 2).unwrap();
    let p = reopen(&second, "/p1", 1, Mode::None);
    assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 9)), "{:?}", p.last_fault());
    let kept: Vec<_> = left.files("/p1/kept").iter().map(|f| left.cached_bytes(f)).collect();
    assert_eq!(p.status().kept_bytes, kept.iter().map(|bytes| bytes.len() as u64).sum::<u64>());
    for index in 11..=30 {
        let data = Payload::Random.bytes(index, 1, 3000);
        assert!(kept.iter().any(|bytes| bytes.windows(3000).any(|w| w == data)), "entry {index} is gone");
    }
}
