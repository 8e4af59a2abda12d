//! Every command with what a new user gives it by mistake: it says what is wrong, the exit code is the documented one, and nothing is changed.

use crate::user::logs;
use crate::world::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

const ON_A_LOG: [&str; 11] = [
    "status DIR",
    "stat DIR",
    "verify DIR",
    "dump DIR",
    "repair DIR",
    "import --check DIR",
    "import DIR",
    "import --undo DIR",
    "import --discard-original DIR",
    "backup DIR copy_7",
    "export DIR copy_7",
];

fn everything(below: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(below).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            everything(&path, into);
        }
        into.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
    }
}

fn snapshot(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    everything(&world.path("."), &mut all);
    all
}

/// A log, and what is none.
fn mistakes() -> World {
    let world = World::new();
    logs(&world, 1, 5);
    for name in ["empty_7", "junk_7", "noroot_7", "cut_7", "cut_7/backup-unfinished"] {
        std::fs::create_dir(world.path(name)).unwrap();
    }
    std::fs::write(world.path("file_7"), "x").unwrap();
    std::fs::write(world.path("junk_7/notes"), "x").unwrap();
    std::os::unix::fs::symlink(world.path("wal_1"), world.path("link_7")).unwrap();
    let segment = "seg-0000000000000001";
    std::fs::copy(world.path("wal_1").join(segment), world.path("noroot_7").join(segment)).unwrap();
    for file in ["root", segment] {
        std::fs::copy(world.path("wal_1").join(file), world.path("cut_7/backup-unfinished").join(file)).unwrap();
    }
    world
}

#[test]
fn what_is_no_log_is_said_by_every_command() {
    let world = mistakes();
    let before = snapshot(&world);
    for command in ON_A_LOG {
        for (name, code, says) in [
            ("nowhere_7", 5, "nowhere_7: there is no such directory"),
            ("file_7", 5, "file_7: the path is not a directory"),
            ("link_7", 5, "link_7: the path is a symbolic link; give the directory it points to"),
            ("empty_7", 5, "empty_7: "),
            ("junk_7", 5, "junk_7: "),
            ("wal_1/root", 5, "root: the path is not a directory"),
            ("nowhere_7/wal_1", 5, "there is no such directory"),
        ] {
            let run = world.run(&command.replace("DIR", name)).code(code);
            let said = run.stdout + &run.stderr;
            assert!(said.contains(says) && said.lines().count() == 1, "{command} of {name}: {said}");
        }
    }
    assert_eq!(snapshot(&world), before);
}

/// Segments without their root are damage, and what is left of a backup is no good log.
#[test]
fn parts_of_a_log_do_not_pass_for_one() {
    let world = mistakes();
    let before = snapshot(&world);
    for command in ON_A_LOG {
        let imports = command.starts_with("import");
        let run = world.run(&command.replace("DIR", "noroot_7")).code(if imports { 5 } else { 1 });
        assert!(imports || (run.stdout + &run.stderr).contains("the root is missing"), "{command}: {}", run.stderr);
        let run = world.run(&command.replace("DIR", "cut_7/backup-unfinished")).code(5);
        assert!(run.stderr.contains("a backup that was cut short"), "{command}: {}", run.stderr);
    }
    for command in ["status cut_7", "stat cut_7", "verify cut_7", "verify . --jobs 1"] {
        let run = world.run(command);
        assert!(run.stderr.contains("backup-unfinished: a backup that was cut short"), "{command}: {}", run.stderr);
        assert!(!run.stdout.contains("backup-unfinished"), "{command}: {}", run.stdout);
    }
    assert_eq!(snapshot(&world), before);
}

/// Until a backup is whole it is neither a log nor what is left of one: who removed it would take it from whoever makes it.
#[test]
fn a_backup_that_is_being_made_is_in_use() {
    let world = World::new();
    logs(&world, 1, 4000);
    let unfinished = world.path("copy/backup-unfinished");
    let mut child = world.command("backup wal_1 copy").stdout(Stdio::null()).spawn().unwrap();
    let mut stops = 0;
    while child.try_wait().unwrap().is_none() {
        let held = Stopped::begin(child.id());
        if unfinished.is_dir() {
            stops += 1;
            let commands: &[&str] = if stops == 1 { &ON_A_LOG } else { &["verify DIR"] };
            for command in commands {
                let run = world.run(&command.replace("DIR", "copy/backup-unfinished")).code(4);
                assert!(
                    run.stderr.contains("a backup is being made here; wait for its end"),
                    "{command}: {}",
                    run.stderr
                );
            }
            world.run("verify copy").code(4);
            let run = world.run("backup wal_1 copy").code(4);
            assert!(run.stderr.starts_with("copy: "), "{}", run.stderr);
        }
        drop(held);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(stops > 1, "the backup was through before anybody looked");
    assert!(child.wait().unwrap().success());
    world.run("verify copy").code(0);
    assert!(!world.path("copy_7").exists(), "a copy of what is no log");
}

#[test]
fn targets_that_cannot_be_are_named() {
    let world = mistakes();
    let before = snapshot(&world);
    for command in ["backup", "export"] {
        for (target, says) in [
            ("nowhere/copy", "nowhere/copy: the directory in which it is to be made does not exist"),
            ("wal_1/copy", "wal_1/copy: it is inside the directory that is to be copied"),
            ("./noroot_7/../wal_1/copy", "it is inside the directory that is to be copied"),
            ("junk_7", "junk_7: the target "),
            ("wal_1", "wal_1: the target "),
        ] {
            let run = world.run(&format!("{command} wal_1 {target}")).code(5);
            assert!(run.stderr.contains(says), "{command} to {target}: {}", run.stderr);
        }
    }
    for (args, says) in [
        ("bench nowhere", "does not exist"),
        ("bench file_7", "not a directory; give one on the disk to measure"),
        ("verify wal_1 --state junk_7/notes", "this file holds something else"),
        ("dump wal_1 --from 6", "none of these entries are there; the log has 1 to 5"),
    ] {
        let run = world.run(args).code(5);
        assert!(run.stderr.contains(says), "{args}: {}", run.stderr);
    }
    assert_eq!(snapshot(&world), before);
}

#[test]
fn mistakes_on_the_command_line_are_exit_code_2() {
    let world = mistakes();
    let before = snapshot(&world);
    for args in [
        "dump wal_1 --from 5 --to 4",
        "dump wal_1 --to -1",
        "dump wal_1 --data 99999999999999999999",
        "verify wal_1 --jobs -1",
        "verify",
        "status",
        "status wal_1 --url http://x",
        "status wal_1 --watch x",
        "repair wal_1 --apply sideways",
        "repair wal_1 --applied -1",
        "import wal_1 --check --undo",
        "import wal_1 --id -7",
        "export wal_1",
        "export wal_1 copy --in-place",
        "backup wal_1",
        "bench . --size 0",
        "bench . --seconds nan",
        "bench . --seconds inf",
        "bench . --partitions 257",
        "ctl list",
        "ctl --url http://127.0.0.1:1 fence x read-only",
        "ctl --url http://127.0.0.1:1 fence 99999999999999999999 read-only",
        "ctl --url http://127.0.0.1:1 limits probe_ms",
        "ctl --url http://127.0.0.1:1 limits probe_ms=1 probe_ms=2",
        "ctl --url http://127.0.0.1:1 limits --disk 8:1 --partition 2",
        "man",
        "completions tcsh",
    ] {
        let run = world.run(args).code(2);
        assert!(run.stderr.starts_with("error: ") && run.stdout.is_empty(), "{args}: {}", run.stderr);
    }
    assert_eq!(snapshot(&world), before);
}

/// Whoever may make a directory must not write lines of the command's, nor clear the operator's screen.
#[test]
fn a_name_with_control_characters_stays_in_its_line() {
    let world = World::new();
    logs(&world, 1, 5);
    let name = "wal\u{1b}[2J\nwal_9:\u{9b}\r\u{7f}good_1";
    std::fs::rename(world.path("wal_1"), world.path(name)).unwrap();
    for (args, lines) in [("verify .", 1), ("status .", 2), ("stat .", 4), ("verify nowhere\u{1b}", 1)] {
        let run = world.run(args);
        let text = run.stdout + &run.stderr;
        assert!(!text.replace('\n', "").contains(char::is_control), "{args}: {text:?}");
        assert!(text.lines().count() <= lines && text.contains("\\u001b"), "{args}: {text:?}");
    }
    for args in ["verify . --json", "status . --json"] {
        let line = world.run(args).code(0).stdout;
        let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        assert_eq!(value["path"], format!("./{name}"), "{args}");
    }
}

/// As somebody who may look at the directory above and not into it.
#[test]
fn without_rights_every_command_says_whose_they_are() {
    let world = mistakes();
    world.deny("wal_1");
    for command in ON_A_LOG {
        let Some(run) = world.run_as_nobody(&command.replace("DIR", "wal_1")) else {
            return world.leave_out("another user cannot run the command from the temporary directory");
        };
        let run = run.code(3);
        assert!(run.stderr.contains("no permission"), "{command}: {}", run.stderr);
    }
}

/// Nothing is half made where there is no space for it, and what was asked first goes on.
#[test]
fn on_a_full_disk_nothing_is_begun() {
    let world = World::new();
    let Some(_disk) = world.small_disk("full", 4) else {
        return world.leave_out("a small filesystem needs root, mkfs.ext4 (e2fsprogs) and a loop device");
    };
    logs(&world, 1, 5);
    world.large_cubefs("full/wal_99", 8);
    let copy =
        std::process::Command::new("cp").args(["-r", "wal_1", "full/wal_1"]).current_dir(world.path(".")).status();
    assert!(copy.unwrap().success());
    let mut fill = std::fs::File::create(world.path("full/fill")).unwrap();
    while std::io::Write::write_all(&mut fill, &[1; 4096]).is_ok() {}
    drop(fill);
    let before = snapshot(&world);
    for args in [
        "status full",
        "stat full/wal_1",
        "verify full",
        "dump full/wal_1",
        "repair full/wal_1",
        "import --check full/wal_99",
    ] {
        world.run(args).code(0);
    }
    for args in [
        "import full/wal_99",
        "export --in-place full/wal_1",
        "export full/wal_1 full/copy",
        "backup full/wal_1 full/copy",
        "bench full --seconds 0.02 --mode sync --partitions 1 --size 4096",
        "verify full --state full/state",
    ] {
        let run = world.run(args).code(3);
        assert!(run.stderr.contains("No space left on device"), "{args}: {}", run.stderr);
        assert_eq!(snapshot(&world), before, "{args}");
    }
    std::fs::remove_file(world.path("full/fill")).unwrap();
    world.run("import full/wal_99").code(0);
    world.run("verify full").code(0);
}
