use super::*;
use crate::error::Cause;
use crate::partition::State;
use std::path::PathBuf;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::Duration;

pub fn event(partition_id: u64) -> Event {
    Event {
        sequence: 0,
        partition_id,
        time_unix_ns: 9,
        from: State::ReadWrite,
        to: State::Unavailable,
        cause: Cause::IoError,
        op: Op::Append,
        errno: libc::EIO,
        merged: 0,
        range: (4, 6),
        tag: 0,
        path: PathBuf::from("/data/wal_7"),
        note: "writing failed".into(),
        limits: Vec::new(),
    }
}

fn engine() -> Engine {
    Engine::open(crate::EngineConfig::default()).unwrap()
}

fn emit(engine: &Engine, id: u64) {
    engine.shared.events.push(event(id), Arc::default());
}

/// A hook that says when it was called and returns when it is told to.
fn gated() -> (LogHook, Receiver<LogLine>, Sender<()>) {
    let (called, calls) = channel();
    let (open, gate) = channel::<()>();
    let hook = move |line: &LogLine| {
        called.send(line.clone()).unwrap();
        let _ = gate.recv(); // open for good once the sender is gone
    };
    (Box::new(hook), calls, open)
}

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_line_says_what_happened_to_whom() {
    let line = LogLine::of(&event(7), 0);
    let says = "bulkhead: partition 7 is Unavailable: I/O error, in append: writing failed: EIO, Input/output error, \
                entries 4 to 6, /data/wal_7";
    assert_eq!((line.level, line.text.as_str()), (LogLevel::Error, says));
    let healed =
        Event { to: State::ReadWrite, cause: Cause::None, op: Op::Recover, errno: 0, range: (0, 0), ..event(7) };
    let slow = Event { to: State::ReadWrite, cause: Cause::Stalled, errno: 0, ..event(7) };
    let back = Event { from: State::ReadOnly, ..healed.clone() };
    for (event, level, says) in [
        (healed, LogLevel::Info, "partition 7 is healed, in recover"),
        (slow, LogLevel::Warn, "partition 7 waits for a slow disk, in append"),
        (back, LogLevel::Info, "partition 7 is ReadWrite again, after ReadOnly, in recover"),
    ] {
        let line = LogLine::of(&event, 0);
        assert!(line.level == level && line.text.contains(says), "{line:?}");
    }
    assert!(LogLine::of(&event(7), 12).text.ends_with(" (12 left out)"));
}

#[test]
fn what_somebody_wrote_does_not_begin_a_line_of_its_own() {
    let forged =
        Event { note: "reason\nbulkhead: partition 8 is healed\0".into(), path: "/data/a\r\nb".into(), ..event(7) };
    let text = LogLine::of(&forged, 0).text;
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.contains(r"reason\nbulkhead"), "{text:?}");
}

#[test]
fn a_slow_hook_keeps_nobody_waiting_and_what_it_misses_is_counted() {
    const NO_ROOM: u64 = 5;
    let engine = engine();
    let (hook, calls, open) = gated();
    engine.set_log_hook(Some(hook)).unwrap();
    emit(&engine, 0);
    calls.recv_timeout(SOON).unwrap();
    let all = (WAITING_MAX + limit::HELD_MAX) as u64;
    for id in 1..=all + NO_ROOM {
        emit(&engine, id); // the hook hangs meanwhile
    }
    assert_eq!(engine.shared.events.log.counts(), (1, NO_ROOM));
    drop(open);
    engine.close().unwrap();
    let waited: Vec<LogLine> = calls.iter().collect();
    let ids: std::collections::HashSet<u64> = waited.iter().map(|line| line.partition_id).collect();
    assert_eq!((waited.len() as u64, ids.len() as u64), (all, all), "the close hands over what waits");
    assert_eq!(waited.iter().map(|line| line.left_out).sum::<u64>(), NO_ROOM, "the lines say how many found no room");
    emit(&engine, 9);
    assert_eq!(engine.shared.events.log.counts(), (1 + all, NO_ROOM), "and is the end");
}

/// Down and up again and again, then nothing: without a later event the log would end with a state that is over.
#[test]
fn the_last_change_of_a_partition_that_flaps_is_a_line_in_the_end() {
    let engine = engine();
    let (hook, calls, open) = gated();
    drop(open);
    engine.set_log_hook(Some(hook)).unwrap();
    let back = Event { from: State::Unavailable, to: State::ReadWrite, cause: Cause::None, ..event(1) };
    let flap = || {
        for event in std::iter::repeat([event(1), back.clone()]).take(5).flatten() {
            engine.shared.events.push(event, Arc::default());
        }
    };
    let begun = std::time::Instant::now();
    flap();
    let lines: Vec<LogLine> = std::iter::from_fn(|| calls.recv_timeout(SOON).ok()).take(7).collect();
    assert!(begun.elapsed() >= limit::WINDOW, "it came before its time: {lines:?}");
    assert!(lines.iter().take(6).all(|line| line.left_out == 0), "{lines:?}");
    assert!(lines[6].text.contains("ReadWrite again") && lines[6].left_out == 3, "{lines:?}");
    // The close of an engine does not wait for that time.
    flap();
    engine.close().unwrap();
    let rest: Vec<LogLine> = calls.iter().collect();
    let told = rest.len() as u64 + rest.iter().map(|line| line.left_out).sum::<u64>();
    assert!(rest.last().is_some_and(|line| line.text.contains("ReadWrite again")) && told == 10, "{rest:?}");
}

#[test]
fn a_hook_that_was_taken_away_has_ended() {
    let engine = engine();
    let (hook, calls, open) = gated();
    engine.set_log_hook(Some(hook)).unwrap();
    emit(&engine, 1);
    calls.recv_timeout(SOON).unwrap();
    let (taken, was_taken) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            engine.set_log_hook(None).unwrap();
            taken.send(()).unwrap();
        });
        assert!(was_taken.recv_timeout(Duration::from_millis(100)).is_err(), "taken away while it runs");
        drop(open);
        was_taken.recv_timeout(SOON).unwrap();
    });
    assert!(calls.recv().is_err(), "it is dropped with what it owns");
    emit(&engine, 2);
    assert_eq!(engine.shared.events.log.counts().0, 1);
}

#[test]
fn the_next_hook_gets_what_the_last_one_had_no_time_for() {
    let engine = engine();
    let (first, first_calls, open) = gated();
    engine.set_log_hook(Some(first)).unwrap();
    emit(&engine, 1);
    first_calls.recv_timeout(SOON).unwrap();
    emit(&engine, 2);
    let (second, second_calls, open_second) = gated();
    drop(open_second);
    std::thread::scope(|scope| {
        let replacing = scope.spawn(|| engine.set_log_hook(Some(second)).unwrap());
        std::thread::sleep(Duration::from_millis(50)); // it waits for the first by now, or the first gets both
        drop(open);
        replacing.join().unwrap();
    });
    emit(&engine, 3);
    engine.close().unwrap();
    let ids = |calls: Receiver<LogLine>| calls.iter().map(|line| line.partition_id).collect::<Vec<_>>();
    let all = [vec![1], ids(first_calls), ids(second_calls)].concat();
    assert_eq!(all, [1, 2, 3], "each line once, in order");
}

#[test]
fn a_panic_in_a_hook_costs_its_line() {
    let engine = engine();
    let (called, calls) = channel();
    let hook = move |line: &LogLine| {
        assert_ne!(line.partition_id, 1, "asked for by a test");
        called.send(line.partition_id).unwrap();
    };
    engine.set_log_hook(Some(Box::new(hook))).unwrap();
    emit(&engine, 1);
    emit(&engine, 2);
    assert_eq!(calls.recv_timeout(SOON), Ok(2));
}

/// These would wait for themselves. All else may be called.
#[test]
fn a_hook_does_not_take_itself_away() {
    let engine = Arc::new(engine());
    let (called, calls) = channel();
    let inside = Arc::downgrade(&engine);
    let hook = move |_: &LogLine| {
        let engine = inside.upgrade().unwrap();
        engine.metrics_text();
        engine.events(10);
        called.send(engine.set_log_hook(None).map_err(|e| e.status)).unwrap();
    };
    engine.set_log_hook(Some(Box::new(hook))).unwrap();
    emit(&engine, 1);
    assert_eq!(calls.recv_timeout(SOON), Ok(Err(Status::Busy)));
    engine.close().unwrap();
    assert_eq!(engine.set_log_hook(None).map_err(|e| e.status), Err(Status::Closed));
}

/// The hook is the last to hold the engine: its drop closes it, on the hook's own thread.
#[test]
fn a_hook_may_drop_its_engine() {
    let engine = engine();
    let (give, gives) = channel::<Engine>();
    let (called, calls) = channel();
    let hook = move |_: &LogLine| {
        drop(gives.recv().unwrap());
        called.send(()).unwrap();
    };
    engine.set_log_hook(Some(Box::new(hook))).unwrap();
    emit(&engine, 1);
    give.send(engine).unwrap();
    calls.recv_timeout(SOON).unwrap();
}
