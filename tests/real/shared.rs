//! Flushes that many partitions share, on real ext4: what they acknowledged is there after kill -9. (Power cuts: tests/faults.)

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::direct::Ext4;
use crate::support::*;
use bulkhead::io::real::RealStorage;
use bulkhead::io::{Filesystem, Storage};
use bulkhead::{Engine, EngineConfig, Mode, State, Status};

const PARTITIONS: u64 = 64;
const ROUNDS: usize = 20;

fn path(dir: &Path, id: u64) -> String {
    dir.join(format!("p{id}")).to_str().unwrap().to_string()
}

/// The child half of the tests below: by itself it does nothing.
#[test]
fn child_appends_beside_until_it_is_killed() {
    let Some(dir) = std::env::var_os("BULKHEAD_CHILD_PATH").map(PathBuf::from) else { return };
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let all: Vec<_> = (1..=PARTITIONS).map(|id| open(&engine, &path(&dir, id), id, Mode::Sync)).collect();
    for index in 1.. {
        all.iter().for_each(|p| p.submit(&refs(&entries(index, index, 1, 500)), index).unwrap());
        let mut missing = PARTITIONS;
        while missing > 0 {
            for completion in engine.completions(1000) {
                assert_eq!((completion.status, completion.token), (Status::Ok, index));
                missing -= 1;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        println!("ROUND {index} {}", shared_flush_groups(&engine));
    }
}

/// Kills the child some time after flushes are shared, and looks whether all of its last round is there.
fn kill_beside(dir: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["shared::child_appends_beside_until_it_is_killed", "--exact", "--nocapture"])
        .env("BULKHEAD_CHILD_PATH", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut acked, mut shared, mut left) = (0, 0, ROUNDS);
    let end = Instant::now() + Duration::from_secs(60);
    for line in lines.map_while(Result::ok) {
        let Some(numbers) = line.strip_prefix("ROUND ") else { continue };
        let (round, groups) = numbers.split_once(' ').unwrap();
        (acked, shared) = (round.parse().unwrap(), groups.parse::<u64>().unwrap());
        left -= usize::from(shared > 0 && left > 0);
        if left == 0 || Instant::now() > end {
            // What it has said until it is dead counts as well.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(shared > ROUNDS as u64, "{PARTITIONS} partitions that append beside each other share no flush");
    let engine = Engine::open(EngineConfig::default()).unwrap();
    for id in 1..=PARTITIONS {
        let p = reopen(&engine, &path(dir, id), id, Mode::Sync);
        assert_eq!(state(&p), State::ReadWrite, "{id}: {:?}", p.last_fault());
        let last = p.bounds().unwrap().1;
        assert!((acked..=acked + 1).contains(&last), "{id}: {last} of {acked} rounds");
        assert_same(&read_all(&p).unwrap(), &entries(1, last, 1, 500), &format!("partition {id}"));
    }
    engine.close().unwrap();
}

#[test]
fn f11_what_a_shared_flush_acknowledged_is_there_after_kill_9() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if RealStorage.open_dir(dir.path()).unwrap().device().filesystem == Filesystem::Ext4 {
        kill_beside(dir.path());
    }
    for feature in ["has_journal", "^has_journal"] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let Some(mounted) = Ext4::mount(dir.path(), feature, "rw") else {
            assert!(std::env::var_os("CI").is_none(), "no right to mount: in CI a skip is a failure");
            println!("skipped: no right to mount");
            return;
        };
        kill_beside(&mounted.0);
    }
}
