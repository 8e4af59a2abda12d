//! `bulkhead repair` and `bulkhead backup` as an operator uses them.

use crate::world::*;
use bulkhead::*;

/// Entries 1 to 40, closed, and a bit of entry 15 flipped.
fn damaged(world: &World, name: &str) {
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let partition = engine.open_partition(PartitionConfig::new(world.path(name), 7)).unwrap();
    partition.set_hard_state(HardState { term: 3, vote: 2, commit: 0 }).unwrap();
    for index in 1..=40u64 {
        let data = vec![index as u8; 100];
        partition.append(&[EntryRef { index, term: 1 + index / 20, kind: 0, data: &data }]).unwrap();
    }
    partition.set_hard_state(HardState { term: 3, vote: 2, commit: 30 }).unwrap();
    partition.close().unwrap();
    world.flip(&format!("{name}/seg-0000000000000001"), &[15; 8]);
}

#[test]
fn a_repair_says_what_it_costs_before_it_does_it() {
    let world = World::new();
    damaged(&world, "wal_7");
    let before = world.tree("wal_7");
    world.run("repair wal_7").code(1).golden("repair_plan");
    world.run("repair wal_7 --applied 20").code(1).golden("repair_plan_applied");
    world.run("repair wal_7 --apply compact").code(5).golden("repair_refused");
    assert_eq!(world.tree("wal_7"), before, "something was changed");
    world.run("verify wal_7").code(1).golden("repair_verify");
    world.run("repair wal_7 --apply cut").code(0).golden("repair_cut");
    world.run("repair wal_7").code(0).golden("repair_nothing");
    world.run("verify wal_7").code(0);
    let survey = Survey::of(&bulkhead::io::real::RealStorage, &world.path("wal_7")).unwrap();
    assert_eq!((survey.bounds(), survey.hard_state().vote), ((1, 14), 2));
    let kept = std::fs::read_dir(world.path("wal_7/kept")).unwrap().count();
    assert_eq!(kept, 2, "the root and what was cut off");
}

#[test]
fn a_repair_behind_the_damage_needs_an_owner_that_has_applied_it() {
    let world = World::new();
    damaged(&world, "wal_7");
    world.run("repair wal_7 --applied 25 --apply compact").code(0).golden("repair_compact");
    world.run("verify wal_7").code(0);
    let json = world.run("repair wal_7 --json").code(0);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((value["damage"].as_array().map(Vec::len), value["applied"].is_null()), (Some(0), true));
}

#[test]
fn a_lost_root_is_made_anew_without_a_second_vote() {
    let world = World::new();
    damaged(&world, "wal_7");
    world.flip("wal_7/seg-0000000000000001", &[15 ^ 1, 15, 15, 15, 15, 15, 15, 15]);
    std::fs::write(world.path("wal_7/root"), vec![0; 16384]).unwrap();
    world.run("status wal_7").code(1);
    world.run("repair wal_7").code(1).golden("repair_root");
    world.run("repair wal_7 --term 9 --apply keep").code(0).golden("repair_root_done");
    let survey = Survey::of(&bulkhead::io::real::RealStorage, &world.path("wal_7")).unwrap();
    assert_eq!((survey.bounds(), survey.hard_state()), ((1, 40), HardState { term: 10, vote: 0, commit: 0 }));
}

#[test]
fn a_repair_refuses_what_is_open_and_what_is_no_log() {
    let world = World::new();
    world.cubefs("cubefs_7");
    std::fs::create_dir(world.path("empty")).unwrap();
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let partition = engine.open_partition(PartitionConfig::new(world.path("wal_7"), 7)).unwrap();
    world.run("repair wal_7").code(4).golden("repair_open");
    world.run("repair cubefs_7").code(5);
    world.run("repair empty").code(5).golden("repair_empty");
    world.run("repair nowhere").code(5);
    world.run("repair wal_7 --apply everything").code(2);
    partition.append(&[EntryRef { index: 1, term: 1, kind: 0, data: b"undisturbed" }]).unwrap();
}

#[test]
fn a_backup_of_an_open_partition_is_a_partition() {
    let world = World::new();
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let partition = engine.open_partition(PartitionConfig::new(world.path("wal_7"), 7)).unwrap();
    let entry = |index| EntryRef { index, term: 2, kind: 0, data: b"some data" };
    (1..=20).for_each(|index| partition.append(&[entry(index)]).unwrap());
    world.run("backup wal_7 copy_7").code(0).golden("backup");
    partition.append(&[entry(21)]).expect("the backup disturbed it");
    world.run("backup wal_7 copy_7").code(5).golden("backup_again");
    world.run("backup nowhere copy_8").code(5);
    world.run("backup wal_7 no/such/place").code(5);
    partition.close().unwrap();
    world.run("verify copy_7").code(0);
    let json = world.run("backup copy_7 third_7 --json").code(0);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((value["last_index"].as_u64(), value["closed"].as_bool()), (Some(20), Some(true)));
    damaged(&world, "bad_7");
    world.run("backup bad_7 copy_9").code(1).golden("backup_damaged");
    assert_eq!(std::fs::read_dir(world.path("copy_9")).unwrap().count(), 0, "what was begun stays");
}

/// Killed at any time, a backup is a whole partition or none.
#[test]
fn a_backup_that_is_killed_is_no_partition() {
    let world = World::new();
    world.large_cubefs("wal_7", 4000);
    world.run("import wal_7").code(0);
    let begun = std::time::Instant::now();
    world.run("backup wal_7 copy").code(0);
    let whole = begun.elapsed();
    for i in 1..=12u32 {
        let name = format!("copy_{i}");
        world.kill(&format!("backup wal_7 {name}"), whole * i / 12);
        match Survey::of(&bulkhead::io::real::RealStorage, &world.path(&name)) {
            Ok(survey) => assert_eq!(survey.bounds(), (1, 4000), "a part of the log opens"),
            Err(e) => assert!(matches!(e.status, Status::NotFound | Status::Foreign | Status::Damaged), "{e}"),
        }
    }
}
