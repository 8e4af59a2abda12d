//! F24: what an open cuts off is in `kept/` as a whole, whatever stopped an open before it.

use crate::support::*;
use bulkhead::io::sim::{Crash, OpKind, Rule, SimDisk};
use bulkhead::{Engine, Mode, State};

/// Twelve entries that were never synced, the fourth of them with a flipped bit: the log ends at the third.
fn cut_log() -> SimDisk {
    let disk = SimDisk::new(1);
    // No background work: nothing is synced.
    let first = stepped(&disk);
    append_each(&open(&first, "/p1", 1, Mode::None), 1, 12, 1, 3000);
    let left = disk.crash(Crash::Process);
    left.sync_all();
    let (path, wanted) = ("/p1/seg-0000000000000001", Payload::Random.bytes(4, 1, 3000));
    let at = left.durable_bytes(path).windows(3000).position(|w| w == wanted).expect("the entry is on the medium");
    left.flip_bit(path, at as u64 + 100, 0);
    left
}

fn stepped(disk: &SimDisk) -> Engine {
    Engine::stepped(config(), disk, disk.ops() + 1).expect("an engine")
}

fn assert_kept(disk: &SimDisk, bytes_of: impl Fn(&str) -> Vec<u8>, what: &str) {
    let names = disk.files("/p1/kept");
    let kept: Vec<_> = names.iter().map(|name| bytes_of(name)).collect();
    assert_eq!(kept.len(), 1, "{what}: {names:?}");
    for index in 5..=12 {
        let data = Payload::Random.bytes(index, 1, 3000);
        assert!(kept[0].windows(3000).any(|w| w == data), "{what}: entry {index} is not in {names:?}");
    }
}

#[test]
fn f24_a_copy_for_which_the_disk_has_no_space_takes_none() {
    let disk = cut_log();
    disk.inject(Rule::errno(libc::ENOSPC).on(OpKind::Write).path("/p1/kept/"));
    let engine = stepped(&disk);
    let p = reopen(&engine, "/p1", 1, Mode::None);
    assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 3)), "{:?}", p.last_fault());
    assert!(disk.faults_fired() > 0);
    assert_eq!(disk.files("/p1/kept"), Vec::<String>::new());
}

#[test]
fn f24_a_copy_of_what_was_cut_is_whole_wherever_the_one_before_it_stopped() {
    let log = cut_log();
    for power in [false, true] {
        let mut steps = 0;
        loop {
            steps += 1;
            let what = format!("stopped at operation {steps} of the open, by a power cut: {power}");
            let disk = log.fork();
            let at = disk.ops() + steps;
            match power {
                true => disk.crash_at(at),
                false => disk.inject(Rule::errno(libc::EIO).from_op(at)),
            }
            let stopped = stepped(&disk);
            let opened = try_open(&stopped, "/p1", 1, Mode::None);
            if opened.is_ok_and(|p| state(&p) == State::ReadWrite) {
                break;
            }
            let left = disk.crash(if power { Crash::PowerRandom } else { Crash::Process });
            let second = stepped(&left);
            let p = reopen(&second, "/p1", 1, Mode::None);
            assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 3)), "{what}: {:?}", p.last_fault());
            assert_kept(&left, |name| left.cached_bytes(name), &what);
            let left = left.crash(Crash::PowerNothing);
            assert_kept(&left, |name| left.durable_bytes(name), &format!("{what}, and a power cut behind it"));
        }
        assert!(steps > 20, "the open has only {steps} operations");
    }
}

/// A repair moves there what is no file, and people put something there. None of it is a reason to refuse a log.
#[test]
fn f24_what_is_odd_in_kept_does_not_keep_a_log_from_opening() {
    let copy = "/p1/kept/cut-0000000000000001";
    type Put<'a> = &'a dyn Fn(&SimDisk);
    let put: [(&str, Put<'_>); 5] = [
        ("a directory", &|disk| disk.make_dirs("/p1/kept/notes")),
        ("a file for kept", &|disk| disk.put_file("/p1/kept", b"notes")),
        ("a directory with the name of an unfinished copy", &|disk| {
            let whole = disk.fork();
            reopen(&stepped(&whole), "/p1", 1, Mode::None);
            let name = whole.files("/p1/kept").remove(0);
            assert!(name.starts_with(copy), "{name}");
            disk.make_dirs(&format!("{name}.new"));
        }),
        ("a file that cannot be read", &|disk| {
            disk.make_dirs("/p1/kept");
            disk.put_file("/p1/kept/notes", b"notes");
            disk.inject(Rule::errno(libc::EACCES).on(OpKind::Open).path("/p1/kept/notes"));
        }),
        ("a directory that cannot be opened", &|disk| {
            disk.make_dirs("/p1/kept");
            disk.inject(Rule::errno(libc::EACCES).on(OpKind::Subdir).path("/p1/kept"));
        }),
    ];
    for (what, put) in put {
        let disk = cut_log();
        put(&disk);
        disk.sync_all();
        let engine = stepped(&disk);
        let p = try_open(&engine, "/p1", 1, Mode::None).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!((state(&p), p.bounds().unwrap()), (State::ReadWrite, (1, 3)), "{what}: {:?}", p.last_fault());
    }
}
