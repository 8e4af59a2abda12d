//! Ctrl-C: what is under way ends in order, says how it goes on, and leaves nothing behind.

use crate::user::logs;
use crate::world::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

#[test]
fn ctrl_c_ends_bench_in_order() {
    let world = World::new();
    let (code, stderr) = world.interrupt("bench . --seconds 20", Duration::from_millis(700));
    assert_eq!(code, Some(130), "{stderr}");
    assert_eq!(world.names("."), Vec::<String>::new(), "bench leaves something behind");
}

/// As a shell starts what runs in the background: a Ctrl-C that is meant for others does not end it.
#[test]
fn a_signal_that_is_ignored_at_the_start_stays_so() {
    let world = World::new();
    let bench = format!("trap '' INT; exec {} bench . --seconds 1.5", env!("CARGO_BIN_EXE_bulkhead"));
    let child = Command::new("sh")
        .args(["-c", &bench])
        .current_dir(world.path("."))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
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
    let (took, output) = ended_by("-INT", child);
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(130), ""));
    assert!(took < Duration::from_millis(900), "it slept on: {took:?}");
}

/// Sends a signal; how long the end took.
fn ended_by(signal: &str, child: Child) -> (Duration, Output) {
    let pid = child.id().to_string();
    let begun = Instant::now();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    (begun.elapsed(), output)
}

/// A process that hangs is what one looks at: Ctrl-C must not wait for its answer.
#[test]
fn ctrl_c_does_not_wait_for_a_server_that_hangs() {
    let world = World::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/bulkhead", server.local_addr().unwrap());
    for args in ["status --watch", "status", "ctl show 7"] {
        for signal in ["-INT", "-TERM"] {
            // The machine may be busy: the best of a few is what the command takes.
            let best = (0..20).map(|_| {
                let (command, rest) = args.split_once(' ').unwrap_or((args, ""));
                let child = spawn(world.command(format!("{command} --url {url} {rest}").trim_end()));
                let (mut connection, _) = server.accept().unwrap();
                let mut request = [0; 4];
                connection.read_exact(&mut request).unwrap(); // it waits for the answer from now on
                let (took, output) = ended_by(signal, child);
                assert_eq!(output.status.code(), Some(130), "{args}, {signal}");
                assert_eq!((output.stdout, output.stderr), (vec![], vec![]), "{args}, {signal}");
                took
            });
            let best = best.inspect(|took| assert!(*took < Duration::from_secs(5), "{args}: {took:?}"));
            let limit = Duration::from_millis(100);
            assert!(best.into_iter().any(|took| took < limit), "{args}, {signal}: never within {limit:?}");
        }
    }
}

fn on_a_terminal(world: &World, args: &str) -> Command {
    // What the terminal was set to before and after is shown, too.
    let line = format!("trap : INT; stty -g; {} {args}; code=$?; stty -g; exit $code", env!("CARGO_BIN_EXE_bulkhead"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]).current_dir(world.path("."));
    command
}

/// The terminal is set as before, and has its cursor and its screen.
fn assert_restored(shown: &str) {
    let settings: Vec<&str> = shown.lines().filter(|l| l.matches(':').count() > 20).map(str::trim).collect();
    assert!(settings.len() == 2 && settings[0].ends_with(settings[1].trim_start_matches("^C")), "{shown:?}");
    assert!(!shown.contains("\x1b[?"), "{shown:?}");
}

/// On a terminal it draws over itself, and Ctrl-C is a key.
#[test]
fn a_watch_on_a_terminal_draws_in_one_place() {
    let world = World::new();
    logs(&world, 1, 5);
    let mut child = spawn(on_a_terminal(&world, "status . --watch 1"));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let seen = read_until(&mut out, "wal_1", 2);
    assert_eq!(seen.matches("\x1b[H\x1b[2J").count(), 2, "{seen:?}");
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(b"\x03").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(!rest.contains("panicked"), "{rest:?}");
    assert_restored(&(seen + &rest));
}

/// A log of CubeFS's is read in full: who waits for its status sees how far that is.
#[test]
fn the_status_of_a_cubefs_log_has_a_bar_on_a_terminal() {
    let world = World::new();
    world.large_cubefs("wal_1", 5000);
    let output = on_a_terminal(&world, "status .").output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("./wal_1 [") && shown.contains("a CubeFS log that can be imported"), "{shown:?}");
}

/// What was shown last stays until there is something newer: a server that hangs must not leave an empty screen, nor keep Ctrl-C waiting.
#[test]
fn a_watch_on_a_terminal_ends_in_the_middle_of_a_request() {
    let world = World::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/bulkhead", server.local_addr().unwrap());
    let mut child = spawn(on_a_terminal(&world, &format!("status --watch 1 --url {url}")));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut first, _) = server.accept().unwrap();
    let mut head = [0; 1024];
    first.read_exact(&mut head[..4]).unwrap();
    let body = "[{\"id\": 7, \"state\": \"ReadWrite\"}]";
    write!(first, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    drop(first);
    let seen = read_until(&mut out, "ReadWrite", 1);
    let (mut second, _) = server.accept().unwrap();
    second.read_exact(&mut head[..4]).unwrap();
    child.stdin.take().unwrap().write_all(b"\x03").unwrap();
    let begun = Instant::now();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited for the answer: {:?}", begun.elapsed());
    let shown = seen + &rest;
    assert_eq!(shown.matches("\x1b[2J").count(), 1, "cleared before there was anything to show: {shown:?}");
    assert_restored(&shown);
}
