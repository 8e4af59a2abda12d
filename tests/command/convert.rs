//! What a user of `import` and `export` met: full disks, somebody else's directories, ids, limits, what was cut short.

use crate::user::logs;
use crate::world::*;
use bulkhead::format::cubefs::{Entry, LogName, Meta};
use serde_json::Value;
use std::os::unix::fs::{chown, symlink, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// As a kill behind the exchange of an import, or of an export in place, leaves it: the root is not in its place.
fn cut_short(world: &World, name: &str, root_in: &str) {
    let dir = world.path(name);
    std::fs::create_dir_all(dir.join(root_in).join("META")).unwrap();
    std::fs::rename(dir.join("root"), dir.join(root_in).join("root")).unwrap();
    if root_in == "bulkhead-original" {
        std::fs::create_dir(dir.join("cubefs-export")).unwrap();
        std::fs::write(dir.join("cubefs-export/META"), "").unwrap();
    }
}

/// A log is exported because its disk is full, perhaps: what an export wrote before it failed must not keep the disk so.
#[test]
fn an_export_that_finds_no_space_gives_back_what_it_took() {
    let world = World::new();
    let Some(_disk) = world.small_disk("full", 48) else {
        return world.leave_out("a small filesystem needs root, mkfs.ext4 (e2fsprogs) and a loop device");
    };
    logs(&world, 1, 1000);
    let copied = Command::new("cp").args(["-r", "wal_1", "full/wal_1"]).current_dir(world.path(".")).status();
    assert!(copied.unwrap().success());
    let mut fill = std::fs::File::create(world.path("full/fill")).unwrap();
    while std::io::Write::write_all(&mut fill, &[1; 4096]).is_ok() {}
    fill.set_len(fill.metadata().unwrap().len() - (3 << 20)).unwrap();
    drop(fill);
    let before = (world.names("full"), world.names("full/wal_1"));
    for args in ["export --in-place full/wal_1", "export full/wal_1 full/copy"] {
        let run = world.run(args).code(3);
        assert!(run.stderr.contains("No space left on device"), "{args}: {}", run.stderr);
        assert_eq!((world.names("full"), world.names("full/wal_1")), before, "{args}");
    }
    world.run("verify full").code(0);
    std::fs::remove_file(world.path("full/fill")).unwrap();
    world.run("export --in-place full/wal_1").code(0);
}

/// Of a target it is said what it is, and nobody is told to remove a log.
#[test]
fn what_a_killed_export_has_left_is_named() {
    let world = World::new();
    world.cubefs("wal_7");
    world.cubefs("wal_8");
    world.run("import wal_7").code(0);
    world.run("import wal_8").code(0);
    cut_short(&world, "wal_8", "cubefs-import");
    std::fs::create_dir_all(world.path("left/META")).unwrap();
    std::fs::write(world.path("left/0000000000000001-000000000000000b.log"), "part of a log").unwrap();
    for (target, says) in [
        ("left", "left: the target is what an export that was cut short has left, and no log; remove it"),
        ("wal_7", "wal_7: the target exists already"),
        ("wal_8", "wal_8: the target exists already"),
    ] {
        let run = world.run(&format!("export wal_7 {target}")).code(5);
        assert!(run.stderr.contains(says), "{target}: {}", run.stderr);
    }
}

/// A link in a log's directory is that log's trouble, and none of the disk's logs is passed over in silence.
#[test]
fn a_log_with_a_link_in_it_is_named() {
    let world = World::new();
    logs(&world, 1, 5);
    world.cubefs("wal_7");
    symlink(world.path("wal_7"), world.path("link_8")).unwrap();
    for (log, name) in [("wal_7", "META"), ("wal_1", "root")] {
        std::fs::rename(world.path(log).join(name), world.path("away")).unwrap();
        symlink(world.path("away"), world.path(log).join(name)).unwrap();
        for command in ["status", "verify", "stat"] {
            let run = world.run(&format!("{command} ."));
            let says = format!("./{log}: `{name}` is a symbolic link");
            assert!(run.stderr.contains(&says) && !run.stderr.contains("link_8"), "{command}: {}", run.stderr);
            run.code(5);
        }
        std::fs::rename(world.path("away"), world.path(log).join(name)).unwrap();
    }
    world.run("verify .").code(0);
}

fn give_to(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    std::fs::read_dir(path).into_iter().flatten().flatten().for_each(|e| give_to(&e.path(), uid));
}

/// Everything in it that is not this user's.
fn not_of(path: &Path, uid: u32, found: &mut Vec<String>) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    if (meta.uid(), meta.gid()) != (uid, uid) {
        found.push(path.display().to_string());
    }
    std::fs::read_dir(path).into_iter().flatten().flatten().for_each(|e| not_of(&e.path(), uid, found));
}

/// The server runs as a user of its own, the operator as root: what the operator converts the server can open.
#[test]
fn what_root_converts_stays_its_owners() {
    const NOBODY: u32 = 65_534;
    let world = World::new();
    world.cubefs("wal_7");
    std::fs::set_permissions(world.path("."), std::fs::Permissions::from_mode(0o755)).unwrap();
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 || world.run_as_nobody("status wal_7").is_none() {
        return world.leave_out("this needs root, and a temporary directory that others can reach");
    }
    give_to(&world.path("wal_7"), NOBODY);
    for args in [
        "import wal_7",
        "import --undo wal_7",
        "import wal_7",
        "export --in-place wal_7",
        "import wal_7",
        "import --discard-original wal_7",
    ] {
        world.run(args).code(0);
        let mut found = Vec::new();
        not_of(&world.path("wal_7"), NOBODY, &mut found);
        assert_eq!(found, Vec::<String>::new(), "{args}");
        for look in ["verify wal_7", "status wal_7"] {
            world.run_as_nobody(look).unwrap().code(0);
        }
    }
    // A directory of root's own making is root's: who owns the one above it is not given what he could not read.
    chown(world.path("."), Some(NOBODY), Some(NOBODY)).unwrap();
    world.run("export wal_7 out").code(0);
    assert_eq!(std::fs::metadata(world.path("out")).unwrap().uid(), 0);
    assert_eq!(std::fs::metadata(world.path("out/META")).unwrap().uid(), 0);
}

#[test]
fn another_partitions_directory_is_not_imported() {
    let world = World::new();
    world.cubefs("wal_7");
    world.run("import wal_7").code(0);
    let says = "wal_7: the directory belongs to partition 7, not 9";
    let run = world.run("import wal_7 --id 9").code(5);
    assert!(run.stderr.contains(says), "{}", run.stderr);
    for root_in in ["cubefs-import", "bulkhead-original"] {
        cut_short(&world, "wal_7", root_in);
        let before = world.names("wal_7");
        let run = world.run("import wal_7 --id 9").code(5);
        assert!(run.stderr.contains(says), "{root_in}: {}", run.stderr);
        assert_eq!(world.names("wal_7"), before, "{root_in}");
        world.run("import wal_7 --id 7").code(0);
    }
    for args in ["import wal_7 --id 0", "import wal_7 wal_8 --id 7", "import wal_7 wal_8 --known-index 3"] {
        let run = world.run(args).code(2);
        assert!(run.stderr.starts_with("error: "), "{args}: {}", run.stderr);
    }
}

fn json(world: &World, args: &str, code: i32) -> Value {
    serde_json::from_str(&world.run(args).code(code).stdout).unwrap()
}

#[test]
fn programs_are_told_what_an_import_did() {
    let world = World::new();
    world.cubefs("wal_7");
    let found = json(&world, "import wal_7 --json", 0);
    assert_eq!((&found["done"], &found["entries"]), (&"imported".into(), &30.into()));
    cut_short(&world, "wal_7", "cubefs-import");
    for done in ["settled", "already"] {
        let found = json(&world, "import wal_7 --json", 0);
        assert_eq!((&found["done"], &found["shape"]), (&done.into(), &"Bulkhead".into()));
        for member in ["files", "entries", "last_index", "term", "vote", "commit", "torn_bytes", "findings"] {
            assert_eq!(found.get(member), Some(&Value::Null), "{done}: {member} of a log that was not read");
        }
    }
}

fn one_entry(world: &World, name: &str, index: u64, bytes: usize) {
    let dir = world.path(name);
    std::fs::create_dir(&dir).unwrap();
    let meta = Meta { term: 3, commit: index - 1, vote: 1, compaction_index: index - 1, compaction_term: 3 };
    std::fs::write(dir.join("META"), meta.encode()).unwrap();
    let mut log = Vec::new();
    Entry { kind: 0, term: 3, index, data: &vec![7; bytes] }.encode_record(&mut log);
    std::fs::write(dir.join(LogName { sequence: 1, first: index }.to_string()), log).unwrap();
}

/// The limit of an engine is none of the command's.
#[test]
fn a_large_entry_is_imported() {
    let world = World::new();
    one_entry(&world, "wal_7", 5, (16 << 20) + 1);
    world.run("import --check wal_7").code(0);
    world.run("verify wal_7").code(0);
    world.run("import wal_7").code(0);
    world.run("verify wal_7").code(0);
    world.run("export --in-place wal_7").code(0);
}

/// What there is no room for in the format is no damage, whoever says so.
#[test]
fn what_is_beyond_the_format_is_no_damage() {
    let world = World::new();
    one_entry(&world, "wal_7", 1 << 62, 10);
    for args in ["import --check wal_7", "status wal_7", "verify wal_7", "import wal_7"] {
        let run = world.run(args).code(5);
        assert!(!(run.stdout + &run.stderr).to_lowercase().contains("damage"), "{args}");
    }
    assert_eq!(json(&world, "verify wal_7 --json", 5)["damaged"], false);
}

/// An export settles what was cut short as an import does, whatever the directory is called.
#[test]
fn an_export_goes_on_behind_what_was_cut_short() {
    let world = World::new();
    world.cubefs("log");
    world.run("import log --id 7").code(0);
    for (n, root_in) in ["cubefs-import", "bulkhead-original"].into_iter().enumerate() {
        cut_short(&world, "log", root_in);
        world.run(&format!("export log out_{n}")).code(0);
        world.run(&format!("verify out_{n}")).code(0);
    }
    cut_short(&world, "log", "cubefs-import");
    world.run("export --in-place log").code(0);
}

/// What a signal has left takes space, and goes with the next import.
#[test]
fn what_a_conversion_that_was_ended_has_left_is_said() {
    let world = World::new();
    world.cubefs("wal_7");
    let leave = |sub: &str| {
        std::fs::create_dir(world.path("wal_7").join(sub)).unwrap();
        std::fs::write(world.path("wal_7").join(sub).join("seg-0000000000000001"), vec![1; 9000]).unwrap();
    };
    assert_eq!(json(&world, "status wal_7 --json", 0)["left_bytes"], Value::Null);
    leave("cubefs-import");
    let says = "an import that was ended left 9,000 B in cubefs-import; the next import, or --undo, removes it";
    for args in ["import --check wal_7", "status wal_7"] {
        let text = world.run(args).code(0).stdout;
        assert!(text.contains(says), "{args}: {text}");
        assert_eq!(json(&world, &format!("{args} --json"), 0)["left_bytes"], 9000);
    }
    world.run("import --undo wal_7").code(5);
    assert!(!world.path("wal_7/cubefs-import").exists());
    leave("cubefs-import");
    world.run("import wal_7").code(0);
    assert!(!world.path("wal_7/cubefs-import").exists());
    leave("cubefs-export");
    let text = world.run("status wal_7").code(0).stderr;
    assert!(text.contains("an export that was ended left 9,000 B in cubefs-export"), "{text}");
    assert_eq!(json(&world, "status wal_7 --json", 0)["left_bytes"], 9000);
    world.run("export wal_7 out").code(0);
    assert!(!world.path("wal_7/cubefs-export").exists());
}
