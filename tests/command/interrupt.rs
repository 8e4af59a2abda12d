//! Ctrl-C: what is under way ends in order, says how it goes on, and leaves nothing behind.

use crate::user::logs;
use crate::world::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn ctrl_c_ends_bench_in_order() {
    let world = World::new();
    let (code, stderr) = world.interrupt("bench . --seconds 20", Duration::from_millis(700));
    assert_eq!(code, Some(130), "{stderr}");
    assert_eq!(world.names("."), Vec::<String>::new(), "bench leaves something behind");
}

/// A dozen logs, what was there before anyone read them, and how long one reader takes for all of them.
fn verified() -> (World, Vec<String>, Duration) {
    let world = World::new();
    logs(&world, 12, 1000);
    let files = world.names(".");
    let begun = Instant::now();
    world.run("verify . --jobs 1").code(0);
    (world, files, begun.elapsed())
}

/// Interrupts at different times until one is in the middle; false if none was.
fn in_the_middle(whole: Duration, mut interrupted: impl FnMut(Duration) -> bool) -> bool {
    (1..=30u32).any(|i| interrupted(whole * i / 20))
}

#[test]
fn an_interrupted_verify_says_how_it_goes_on_and_does() {
    let (world, files, whole) = verified();
    let found = in_the_middle(whole, |after| {
        let (code, stderr) = world.interrupt("verify . --jobs 1 --state state", after);
        if code != Some(130) {
            let _ = std::fs::remove_file(world.path("state")); // it was through, or had not begun to listen
            return false;
        }
        assert_eq!(stderr, "bulkhead: interrupted; the same command goes on where it was (state)\n");
        let run = world.run("verify . --jobs 1 --state state").code(0);
        assert_eq!(run.stdout.matches(": good: 1,000 entries").count(), 12, "{}", run.stdout);
        assert_eq!(world.names("."), files, "something is left behind");
        (1..12).contains(&run.stdout.matches("by an earlier run").count())
    });
    assert!(found, "no interrupt came between the first directory and the last");
}

#[test]
fn an_interrupted_verify_without_a_state_file_names_it() {
    let (world, files, whole) = verified();
    let found = in_the_middle(whole, |after| {
        let (code, stderr) = world.interrupt("verify . --jobs 1", after);
        if code == Some(130) {
            assert_eq!(stderr, "bulkhead: interrupted; with --state FILE it could go on where it was\n");
        }
        code == Some(130)
    });
    assert!(found, "no interrupt came before the end");
    assert_eq!(world.names("."), files, "something is left behind");
}

/// Reads until this text has come so many times; what has come.
fn read_until(from: &mut impl BufRead, text: &str, times: usize) -> String {
    let mut got = String::new();
    while got.matches(text).count() < times {
        let n = from.read_line(&mut got).unwrap();
        assert!(n > 0, "it ended by itself: {got}");
    }
    got
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_watch_shows_changes_until_ctrl_c() {
    let world = World::new();
    logs(&world, 1, 5);
    let mut child = spawn(world.command("status . --watch 1"));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let first = read_until(&mut out, "wal_", 1);
    assert!(first.contains("wal_1") && !first.contains('\x1b'), "no terminal: {first:?}");
    logs(&world, 2, 5); // wal_1 as it was, and another one
    read_until(&mut out, "wal_2", 1);
    let begun = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(130), ""));
    assert!(begun.elapsed() < Duration::from_secs(5), "it slept on");
}

/// On a terminal it draws over itself, and Ctrl-C is a key.
#[test]
fn a_watch_on_a_terminal_draws_in_one_place() {
    let world = World::new();
    logs(&world, 1, 5);
    let status = format!("{} status . --watch 1", env!("CARGO_BIN_EXE_bulkhead"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", &status, "/dev/null"]).current_dir(world.path("."));
    let mut child = spawn(command);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let seen = read_until(&mut out, "wal_1", 2);
    assert_eq!(seen.matches("\x1b[H\x1b[2J").count(), 2, "{seen:?}");
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(b"\x03").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(!rest.contains("panicked"), "{rest:?}");
}
