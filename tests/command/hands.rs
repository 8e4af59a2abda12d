//! A log that changes hands while somebody looks at it: it is read as what it is, and what it was is no reason to call it good.

use crate::world::*;
use std::process::{Child, Stdio};

/// Runs the command, and `change` when it has seen what all directories are and reads the first one.
fn meanwhile(world: &World, args: &str, change: impl FnOnce()) -> (Option<i32>, String) {
    run_to(world, args, Stdio::piped, change)
}

fn run_to(world: &World, args: &str, stdout: impl Fn() -> Stdio, change: impl FnOnce()) -> (Option<i32>, String) {
    let started = || {
        let _ = std::fs::remove_file(world.path("state"));
        let child = world.command(args).stdout(stdout()).stderr(Stdio::piped()).spawn().unwrap();
        stopped_in_reading(child)
    };
    let (child, held) = (0..50).find_map(|_| started()).expect("it is always through before anybody looks");
    change();
    drop(held);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

/// None if it was through before, or between two files.
fn stopped_in_reading(mut child: Child) -> Option<(Child, Stopped)> {
    let reads = |pid: u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|f| std::fs::read_link(f.path()).ok()).any(|f| f.extension().is_some_and(|e| e == "log"))
    };
    while !reads(child.id()) {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
    }
    let held = Stopped::begin(child.id());
    if reads(child.id()) {
        return Some((child, held));
    }
    drop(held);
    child.wait().unwrap();
    None
}

fn world() -> World {
    let world = World::new();
    world.large_cubefs("wal_1", 30_000);
    world.cubefs("wal_7");
    world
}

fn import_and_damage(world: &World) {
    world.run("import wal_7").code(0);
    world.flip("wal_7/seg-0000000000000001", &[15; 8]);
}

#[test]
fn a_log_that_is_imported_while_it_is_verified_is_read() {
    let world = world();
    let (code, text) = meanwhile(&world, "verify . --jobs 1", || drop(world.run("import wal_7").code(0)));
    assert!(code == Some(0) && text.contains("wal_7: good: 30 entries"), "{code:?}: {text}");
    world.run("import --undo wal_7").code(0);
    let (code, text) = meanwhile(&world, "verify . --jobs 1", || import_and_damage(&world));
    assert!(code == Some(1) && text.contains("wal_7: DAMAGED"), "{code:?}: {text}");
}

#[test]
fn a_log_that_is_exported_while_it_is_verified_is_read() {
    let world = world();
    world.run("import wal_7").code(0);
    let export = || drop(world.run("export --in-place wal_7").code(0));
    let (code, text) = meanwhile(&world, "verify . --jobs 1", export);
    assert!(code == Some(0) && text.contains("wal_7: good: 30 entries"), "{code:?}: {text}");
}

/// Neither is it noted as sound: the next run would not read it.
#[test]
fn what_has_changed_hands_is_not_noted_as_sound() {
    let world = world();
    // What could not be printed stays noted.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, _) = run_to(
        &world,
        "verify . --jobs 1 --state state",
        || full.try_clone().unwrap().into(),
        || import_and_damage(&world),
    );
    assert_eq!(code, Some(3));
    let text = world.run("verify . --state state").code(1).stdout;
    assert!(text.contains("wal_1: good: 30,000 entries, 57.2 MiB read by an earlier run"), "{text}");
    assert!(text.contains("wal_7: DAMAGED"), "{text}");
}

/// What `status` shows is taken first, too.
#[test]
fn a_log_that_changes_hands_while_its_status_is_asked_is_shown() {
    let world = world();
    let (code, text) = meanwhile(&world, "status .", || drop(world.run("import wal_7").code(0)));
    assert!(code == Some(0) && text.contains(" closed "), "{code:?}: {text}");
    let (code, text) = meanwhile(&world, "status .", || drop(world.run("import --undo wal_7").code(0)));
    assert!(code == Some(0) && text.contains("wal_7: a CubeFS log that can be imported: 30 entries"), "{text}");
}
