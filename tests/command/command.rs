//! The `bulkhead` command as a new user meets it: right and wrong paths, damage, locks, missing rights, an import that was cut short.
//!
//! What it prints is compared with `golden/`; `BULKHEAD_BLESS=1 cargo test -p bulkhead-command` writes it anew.

mod convert;
mod hands;
mod interrupt;
mod live;
mod repair;
mod user;
mod walk;
mod world;

use bulkhead::cubefs::{Conversion, Shape};
use bulkhead::io::real::RealStorage;
use bulkhead::*;
use world::*;

#[test]
fn import_undo_and_export_a_cubefs_log() {
    let world = World::new();
    world.cubefs("wal_7");
    world.run("import --check wal_7").code(0).golden("import_check");
    world.run("status .").code(0).golden("status_cubefs");
    world.run("import wal_7").code(0).golden("import");
    world.run("import wal_7").code(0).golden("import_again");
    world.run("status wal_7").code(0).golden("status_imported");
    world.run("verify wal_7").code(0).golden("verify");
    world.run("stat wal_7").code(0).golden("stat");
    world.run("dump wal_7 --from 12 --to 14").code(0).golden("dump");
    world.run("import --undo wal_7").code(0).golden("undo");
    world.run("import --undo wal_7").code(5).golden("undo_again");
    world.run("import wal_7").code(0);
    world.run("export wal_7 out").code(0).golden("export");
    world.run("export wal_7 out").code(5).golden("export_exists");
    world.run("import --check out --id 7").code(0).golden("exported_check");
    world.run("export --in-place wal_7").code(0).golden("export_in_place");
    world.run("export --in-place wal_7").code(5).golden("export_again");
    world.run("import wal_7").code(0);
    world.run("import --discard-original wal_7").code(0).golden("discard");
    world.run("import --undo wal_7").code(5).golden("undo_discarded");
}

#[test]
fn programs_get_json() {
    let world = World::new();
    world.cubefs("wal_7");
    for args in [
        "status --json wal_7",
        "import --json wal_7",
        "status --json wal_7",
        "verify --json wal_7",
        "dump --json wal_7",
        "stat --json wal_7",
    ] {
        let run = world.run(args).code(0);
        for line in run.stdout.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{args}: {e}: {line}"));
            assert!(value.is_object(), "{args}: {line}");
        }
    }
    let run = world.run("status --json nowhere").code(5);
    let value: serde_json::Value = serde_json::from_str(&run.stdout).expect("an error is an object, too");
    assert_eq!(value["error"], "NotFound");
}

/// The vote of a log that the CubeFS adapter hides from raft, with the mark by which it does.
#[test]
fn a_snapshot_that_is_pending_is_no_part_of_the_vote() {
    let world = World::new();
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let partition = engine.open_partition(PartitionConfig::new(world.path("wal_7"), 7)).unwrap();
    partition.append(&[EntryRef { index: 1, term: 5, kind: 0, data: b"hidden" }]).unwrap();
    partition.set_hard_state(HardState { term: 5, vote: 1 << 63 | 3, commit: 1 }).unwrap();
    partition.close().unwrap();
    world.run("status wal_7").code(0).golden("status_snapshot_pending");
    world.run("backup wal_7 copy").code(0).golden("backup_snapshot_pending");
    let value = |args: &str| serde_json::from_str::<serde_json::Value>(&world.run(args).code(0).stdout).unwrap();
    let status = value("status --json wal_7");
    assert_eq!((status["vote"].as_u64(), status["snapshot_pending"].as_bool()), (Some(1 << 63 | 3), Some(true)));
    world.cubefs("wal_8");
    world.run("import wal_8").code(0);
    assert_eq!(value("status --json wal_8")["snapshot_pending"], false);
}

#[test]
fn wrong_paths_say_what_is_wrong() {
    let world = World::new();
    world.cubefs("log");
    std::fs::create_dir(world.path("empty_1")).unwrap();
    std::fs::write(world.path("file_1"), "x").unwrap();
    std::os::unix::fs::symlink(world.path("log"), world.path("link_1")).unwrap();
    world.run("import nowhere_1").code(5).golden("no_directory");
    world.run("import empty_1").code(5).golden("empty_directory");
    world.run("import file_1").code(5).golden("a_file");
    world.run("import link_1").code(5).golden("a_link");
    world.run("import log").code(5).golden("no_id");
    world.run("export log out").code(5).golden("export_cubefs");
    world.run("verify empty_1").code(5).golden("verify_empty");
    world.run("dump empty_1").code(5).golden("dump_empty");
    world.run("import").code(2);
    world.run("no-such-command").code(2);
    world.run("import log --id 7").code(0);
}

#[test]
fn damage_is_reported_and_changes_nothing() {
    let world = World::new();
    let files = world.cubefs("wal_7");
    let last = files.last().unwrap();
    let mut bytes = std::fs::read(last).unwrap();
    bytes[40] ^= 1;
    std::fs::write(last, &bytes).unwrap();
    let before = world.tree("wal_7");
    world.run("import --check wal_7").code(1).golden("damaged_check");
    world.run("import wal_7").code(1).golden("damaged_import");
    world.run("verify .").code(1).golden("damaged_verify");
    assert_eq!(world.tree("wal_7"), before);
}

#[test]
fn damage_of_a_bulkhead_log_is_found_by_verify() {
    let world = World::new();
    world.cubefs("wal_7");
    world.run("import wal_7").code(0);
    let segment = world.path("wal_7/seg-0000000000000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|w| w == [15; 8]).expect("entry 15's payload");
    bytes[at] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    world.run("verify wal_7").code(1).golden("bad_entry");
    world.run("import --discard-original wal_7").code(1).golden("discard_refused");
    assert!(world.path("wal_7/cubefs-original/META").exists(), "the only good copy is removed");
}

#[test]
fn a_directory_in_use_can_be_looked_at_and_not_converted() {
    let world = World::new();
    world.cubefs("wal_7");
    world.run("import wal_7").code(0);
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let partition = engine.open_partition(PartitionConfig::new(world.path("wal_7"), 7)).unwrap();
    let entry = EntryRef { index: 41, term: 5, kind: 0, data: b"while it is open" };
    partition.append(&[entry]).unwrap();
    let status = world.run("status wal_7").code(0);
    assert!(status.stdout.contains(&format!("open ({})", std::process::id())), "{}", status.stdout);
    assert!(status.stdout.contains("11 to 41"), "{}", status.stdout);
    world.run("verify wal_7").code(0);
    world.run("import --undo wal_7").code(4).golden("in_use");
    world.run("export wal_7 out").code(4);
    partition.append(&[EntryRef { index: 42, ..entry }]).expect("the looks disturbed it");
    partition.close().unwrap();
    world.run("import --undo wal_7").code(5).golden("undo_changed");
}

#[test]
fn verify_reads_many_directories_while_they_are_written_to() {
    let world = World::new();
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let config =
        |i: u64| PartitionConfig { mode: Mode::None, ..PartitionConfig::new(world.path(&format!("wal_{i}")), i) };
    let logs: Vec<_> = (1..=8).map(|i| engine.open_partition(config(i)).unwrap()).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let data = vec![7u8; 10_000];
            for index in 1.. {
                for log in &logs {
                    log.append(&[EntryRef { index, term: 1, kind: 0, data: &data }]).unwrap();
                    if index % 50 == 0 {
                        log.compact(index - 20).unwrap();
                    }
                }
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..10 {
            world.run("verify .").code(0);
            world.run("status .").code(0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn without_rights_it_says_so() {
    let world = World::new();
    world.cubefs("wal_7");
    world.deny("wal_7");
    let Some(run) = world.run_as_nobody("import --check wal_7") else {
        return world.leave_out("another user cannot run the command from the temporary directory");
    };
    run.code(3).golden("no_rights");
}

#[test]
fn an_import_that_is_killed_is_finished_by_the_next_one() {
    let world = World::new();
    world.cubefs("wal_7");
    world.run("import wal_7").code(0);
    // As a kill after the exchange leaves it: the root is not in its place yet.
    std::fs::create_dir_all(world.path("wal_7/cubefs-import/META")).unwrap();
    std::fs::rename(world.path("wal_7/root"), world.path("wal_7/cubefs-import/root")).unwrap();
    world.run("status wal_7").code(0).golden("interrupted_status");
    world.run("import wal_7").code(0).golden("interrupted_import");
    let engine = Engine::open(EngineConfig::default()).unwrap();
    assert_eq!(Conversion::new(&engine, world.path("wal_7"), 7).shape(), Ok(Shape::Bulkhead));
    world.run("verify wal_7").code(0);
}

/// kill -9 at any time, by a real kernel on a real filesystem: the directory is CubeFS's or Bulkhead's, whole, or the next import settles it.
#[test]
fn kill_9_at_any_time_leaves_a_whole_log() {
    const ENTRIES: u64 = 4000;
    const KILLS: u32 = 24;
    let world = World::new();
    let begun = std::time::Instant::now();
    world.large_cubefs("wal_99", ENTRIES);
    world.run("import wal_99").code(0);
    let whole = begun.elapsed();
    let mut seen = std::collections::BTreeMap::new();
    for i in 1..=KILLS {
        let name = format!("wal_{i}");
        world.large_cubefs(&name, ENTRIES);
        for (command, share) in [("import", 1), ("import --undo", 4), ("import", 2), ("export --in-place", 1)] {
            let after = whole * (i * 7 % KILLS) / KILLS / share;
            world.kill(&format!("{command} {name}"), after);
            let shape = world.check_large(&name, ENTRIES);
            *seen.entry(format!("{command}: {shape:?}")).or_insert(0) += 1;
            if command == "export --in-place" {
                continue;
            }
            world.run(&format!("import {name}")).code(0);
            assert_eq!(world.check_large(&name, ENTRIES), Shape::Bulkhead);
        }
        std::fs::remove_dir_all(world.path(&name)).unwrap();
    }
    println!("{seen:?}");
    let survey = Survey::of(&RealStorage, &world.path("wal_99")).unwrap();
    assert_eq!(survey.bounds(), (1, ENTRIES));
}
