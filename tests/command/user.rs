//! What a new user runs into: interrupted runs, closed pipes, a full disk, missing rights; and what a shell and `man` make of the command.

use crate::world::*;
use bulkhead::*;
use std::process::{Command, Stdio};

pub fn logs(world: &World, count: u64, entries: u64) {
    let engine = Engine::open(EngineConfig::default()).unwrap();
    for id in 1..=count {
        let config = PartitionConfig { mode: Mode::None, ..PartitionConfig::new(world.path(&format!("wal_{id}")), id) };
        let partition = engine.open_partition(config).unwrap();
        let data = vec![id as u8; 10_000];
        (1..=entries).for_each(|index| partition.append(&[EntryRef { index, term: 1, kind: 0, data: &data }]).unwrap());
        partition.close().unwrap();
    }
}

#[test]
fn an_interrupted_verify_goes_on_where_it_was() {
    let world = World::new();
    logs(&world, 12, 300);
    let whole = std::time::Instant::now();
    world.run("verify .").code(0);
    let whole = whole.elapsed();
    // As a kill in the middle leaves it: sooner or later one of these times fits.
    let mut earlier = 0;
    for i in 1..=20u32 {
        world.kill("verify . --jobs 1 --state state", whole * i / 10);
        // Its last line may have been cut short.
        let mut text = std::fs::read(world.path("state")).unwrap_or_default();
        if text.is_empty() {
            continue; // It was through, or had not begun.
        }
        text.extend(b"{\"path\":\"./wa");
        std::fs::write(world.path("state"), text).unwrap();
        let run = world.run("verify . --state state").code(0);
        earlier = run.stdout.matches("by an earlier run").count();
        assert_eq!(run.stdout.matches(": good: 300 entries").count(), 12, "{}", run.stdout);
        assert!(!world.path("state").exists(), "the next run would read nothing");
        if (1..12).contains(&earlier) {
            break;
        }
    }
    assert!((1..12).contains(&earlier), "{earlier} directories were taken from an interrupted run");
}

#[test]
fn what_has_changed_since_an_interruption_is_verified_again() {
    let world = World::new();
    logs(&world, 6, 300);
    let begun = std::time::Instant::now();
    world.run("verify .").code(0);
    let (whole, state) = (begun.elapsed(), world.path("state"));
    let noted = (1..=40u32).find_map(|i| {
        world.kill("verify . --jobs 1 --state state", whole * i / 10);
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        (1..=6).find(|n| text.contains(&format!("/wal_{n}\"")))
    });
    let n = noted.expect("a run that was killed after its first directory");
    world.flip(&format!("wal_{n}/seg-0000000000000001"), &[n as u8; 8]);
    let run = world.run("verify . --state state").code(1);
    assert!(run.stdout.contains(&format!("wal_{n}: DAMAGED")), "{}", run.stdout);
    std::fs::write(&state, "my precious notes\n").unwrap();
    world.run("verify . --state state").code(5).golden("verify_foreign_state");
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "my precious notes\n");
}

/// One directory alone is read by several at a time: what they find is told as one finds it.
#[test]
fn a_single_directory_is_verified_by_several_readers() {
    let world = World::new();
    logs(&world, 1, 1000);
    let segments: Vec<String> = world.names("wal_1").into_iter().filter(|name| name.starts_with("seg-")).collect();
    assert!(segments.len() >= 7, "{segments:?}"); // seven with entries at least, and spares
    world.run("verify wal_1 --jobs 8").code(0);
    for name in [&segments[1], &segments[3], &segments[5]] {
        let path = world.path("wal_1").join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let alone = world.run("verify wal_1 --jobs 1").code(1).stdout;
    assert_eq!(alone.matches("do not read back").count(), 3, "{alone}");
    for jobs in [2, 3, 8, 64] {
        assert_eq!(world.run(&format!("verify wal_1 --jobs {jobs}")).code(1).stdout, alone, "{jobs} readers");
    }
}

/// Where the system has no thread to give, those that there are read the more.
#[test]
fn a_verify_needs_no_more_threads_than_there_are() {
    let world = World::new();
    logs(&world, 3, 700);
    for args in ["verify . --jobs 8", "verify wal_1 --jobs 8"] {
        let enough = world.run(args).code(0);
        // No stack is as large as this: every thread is refused.
        let output = world.command(args).env("RUST_MIN_STACK", (1u64 << 62).to_string()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), enough.stdout, "{args}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let world = World::new();
    logs(&world, 1, 2000);
    for args in ["dump wal_1 --json", "dump wal_1", "completions bash", "status ."] {
        let mut child = world.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{args}");
    }
}

/// `bulkhead dump wal_1 >file` on a disk that fills up: a file that ends early must not look like the whole log.
#[test]
fn what_cannot_be_written_to_stdout_is_said() {
    let world = World::new();
    logs(&world, 1, 200);
    let before = world.tree("wal_1");
    for args in [
        "dump wal_1",
        "dump wal_1 --json",
        "status .",
        "stat wal_1 --json",
        "verify .",
        "repair wal_1",
        "status --json nowhere",
        "completions zsh",
        "bench . --seconds 0.02 --mode none --partitions 1 --json",
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output =
            world.command(args).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{args}: {stderr}");
        let says =
            stderr.matches("standard output could not be written, what is there is not all: No space left").count();
        assert_eq!(says, 1, "{args}: {stderr}");
        // Nor can it be said there: what is to be done is done all the same, and the code tells.
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = world.command(args).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(3), "{args} >/dev/full 2>&1");
    }
    assert_eq!(world.tree("wal_1"), before);
    assert_eq!(world.names("."), ["wal_1"], "something is left behind");
}

/// What was found and could not be said is found again without reading it all once more.
#[test]
fn results_that_could_not_be_printed_stay_in_the_state_file() {
    let world = World::new();
    logs(&world, 3, 50);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = world.command("verify . --state state").stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(3));
    let run = world.run("verify . --state state").code(0);
    assert_eq!(run.stdout.matches("by an earlier run").count(), 3, "{}", run.stdout);
    assert!(!world.path("state").exists(), "now they were printed");
}

/// Nothing to show is no mistake, and says where the log goes on.
#[test]
fn a_log_without_entries_is_dumped() {
    let world = World::new();
    logs(&world, 1, 0);
    world.run("dump wal_1").code(0).golden("dump_no_entries");
    world.run("dump wal_1 --from 3 --to 9").code(0);
    assert_eq!(world.run("dump wal_1 --json").code(0).stdout, "");
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let partition = engine.open_partition(PartitionConfig::new(world.path("wal_1"), 1)).unwrap();
    partition.reset(1200, 3).unwrap();
    partition.close().unwrap();
    world.run("dump wal_1").code(0).golden("dump_compacted");
}

#[test]
fn bench_measures_and_leaves_nothing() {
    let world = World::new();
    let run = world.run("bench . --seconds 0.05 --mode sync,none --size 512 --partitions 1,4 --json").code(0);
    let rows: Vec<serde_json::Value> = run.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        assert!(row["appends"].as_u64() > Some(0) && row["p99_us"].as_f64() >= row["p50_us"].as_f64(), "{row}");
    }
    world.run("bench . --seconds 0.05 --mode sync --size 512 --partitions 1").code(0);
    assert_eq!(world.names("."), Vec::<String>::new(), "bench leaves something behind");
    world.run("bench nowhere").code(5).golden("bench_nowhere");
    world.run("bench . --mode fast").code(2);
    world.run("bench . --partitions 0").code(2);
}

#[test]
fn a_full_disk_is_said_and_nothing_is_left_of_a_backup() {
    let world = World::new();
    logs(&world, 1, 2000);
    let Some(_disk) = world.small_disk("full", 2) else {
        return world.leave_out("a small filesystem needs root, mkfs.ext4 (e2fsprogs) and a loop device");
    };
    world.run("backup wal_1 full/copy").code(3).golden("backup_full");
    assert_eq!(world.names("full/copy"), Vec::<String>::new());
    world.run("verify wal_1").code(0);
}

#[test]
fn without_rights_every_command_says_so() {
    let world = World::new();
    logs(&world, 1, 5);
    world.deny("wal_1");
    for args in ["status wal_1", "verify wal_1", "dump wal_1", "repair wal_1", "backup wal_1 copy"] {
        let Some(run) = world.run_as_nobody(args) else {
            return world.leave_out("another user cannot run the command from the temporary directory");
        };
        let run = run.code(3);
        assert!(run.stderr.contains("no permission"), "{args}: {}", run.stderr);
    }
}

#[test]
fn bash_loads_the_completions_and_completes() {
    let world = World::new();
    let run = world.run("completions bash").code(0);
    let script = format!(
        "{}\nCOMP_WORDS=(bulkhead repair --ap)\nCOMP_CWORD=2\n_bulkhead bulkhead --ap repair\necho ${{COMPREPLY[*]}}",
        run.stdout
    );
    let output = Command::new("bash").args(["--norc", "-euc", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.trim(), "--applied --apply", "{}", String::from_utf8_lossy(&output.stderr));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(world.run(&format!("completions {shell}")).code(0).stdout.contains("repair"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let world = World::new();
    std::fs::create_dir(world.path("man1")).unwrap();
    world.run("man man1").code(0);
    let pages = world.names("man1");
    let help = world.run("help").code(0).stdout;
    let commands = help.lines().skip_while(|l| !l.starts_with("Commands:")).skip(1).take_while(|l| !l.is_empty());
    for name in commands.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help") {
        assert!(pages.contains(&format!("bulkhead-{name}.1")), "{name}: {pages:?}");
        assert!(world.run(&format!("{name} --help")).code(0).stdout.contains("Example"), "{name}: no example");
    }
    world.run("man nowhere").code(5);
    for page in &pages {
        let text = std::fs::read_to_string(world.path("man1").join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains(".SH NAME"), "{page}");
        // The formatter has nothing to complain of.
        let Ok(output) =
            Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(world.path("man1").join(page)).output()
        else {
            return world.leave_out("groff is missing: apt-get install groff-base");
        };
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}");
    }
}

/// The options of a command, from its help.
fn options(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| !line.starts_with("Options:")).map(str::trim_start);
    let words = lines.filter(|line| line.starts_with('-')).flat_map(str::split_whitespace);
    words.filter(|word| word.starts_with("--")).collect()
}

/// An option that is in the help and nowhere else was forgotten.
#[test]
fn every_option_is_in_the_manual_and_in_the_completions() {
    let world = World::new();
    std::fs::create_dir(world.path("man1")).unwrap();
    world.run("man man1").code(0);
    let shells =
        ["bash", "zsh", "fish"].map(|shell| (shell, world.run(&format!("completions {shell}")).code(0).stdout));
    let mut seen = 0;
    for page in world.names("man1") {
        let command = page.trim_start_matches("bulkhead").trim_end_matches(".1").replace('-', " ");
        let help = world.run(format!("{command} --help").trim_start()).code(0).stdout;
        let text = std::fs::read_to_string(world.path("man1").join(&page)).unwrap().replace("\\-", "-");
        for option in options(&help) {
            seen += 1;
            assert!(text.contains(option), "{page} has no {option}");
            for (shell, script) in &shells {
                let known = script.contains(option) || script.contains(&format!("-l {}", &option[2..]));
                assert!(known, "{shell} does not know {option} of {command}");
            }
        }
    }
    assert!(seen > 60, "{seen} options");
}
