//! Drives raft-engine for the fault scenarios: commands on standard input, one per line, each answered by one line of
//! JSON. The protocol is that of the Go program beside it.

mod load;
mod os;
mod payload;
mod read;
mod reply;
mod store;
mod worker;

use reply::{finish, send, usage, Failure, Reply};
use serde_json::json;
use std::collections::HashMap;
use std::sync::mpsc::{channel, Sender};
use std::thread::{spawn, JoinHandle};
use std::time::Instant;
use worker::Worker;

const SYSTEM: &str = "raft-engine";
const VERSION: &str = "0.4.2";
const MODES: [&str; 2] = ["none", "sync"];

fn main() {
    let sync = match arguments() {
        Ok(Some(mode)) => mode == "sync",
        Ok(None) => return println!("{}", json!({ "system": SYSTEM, "version": VERSION, "modes": MODES })),
        Err(text) => {
            eprintln!("subject-rust: {text}");
            std::process::exit(2);
        }
    };
    os::ignore_sigxfsz();
    let mut workers = Workers { sync, running: HashMap::new() };
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        let Some(name) = words.first() else { continue };
        if name == "quit" {
            break;
        }
        let start = Instant::now();
        if let Err(failure) = workers.hand_over(&words) {
            let mut reply = Reply::new();
            finish(&mut reply, name, start, Err(failure));
            send(reply);
        }
    }
    // Nothing is closed at the end: that is what close is for.
    workers.drain();
    let mut reply = Reply::new();
    finish(&mut reply, "quit", Instant::now(), Ok(()));
    send(reply);
    std::process::exit(0);
}

/// The mode, or none if only the version is asked for.
fn arguments() -> Result<Option<String>, String> {
    let mut mode = "sync".to_string();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.trim_start_matches('-') {
            "versions" => return Ok(None),
            "system" if value()? != SYSTEM => return Err(format!("there is only {SYSTEM} here")),
            "system" => {}
            "mode" => mode = value()?,
            "payload" => payload::set_payload(&value()?)?,
            _ => {
                return Err(format!(
                    "usage: subject-rust [-versions] [-system {SYSTEM}] [-mode {}] [-payload random|zeros|file:<path>]",
                    MODES.join("|")
                ))
            }
        }
    }
    if !MODES.contains(&mode.as_str()) {
        return Err(format!("{SYSTEM} has no mode {mode:?}, only {MODES:?}"));
    }
    Ok(Some(mode))
}

/// The threads of the partitions.
struct Workers {
    sync: bool,
    running: HashMap<u64, (Sender<Vec<String>>, JoinHandle<()>)>,
}

impl Workers {
    fn hand_over(&mut self, words: &[String]) -> Result<(), Failure> {
        if words[0] == "events" {
            return Err(Failure::Unsupported);
        }
        let Some(partition) = words.get(1).and_then(|word| word.parse().ok()) else {
            return usage(format!("{} needs a partition", words[0]));
        };
        let sync = self.sync;
        let (queue, _) = self.running.entry(partition).or_insert_with(|| {
            let (queue, commands) = channel();
            (queue, spawn(move || Worker::new(partition, sync).run(commands)))
        });
        let mut command = words.to_vec();
        command.remove(1);
        queue.send(command).expect("a worker ends only with its queue");
        Ok(())
    }

    /// Waits until all that was asked is answered.
    fn drain(self) {
        for (_, (queue, thread)) in self.running {
            drop(queue);
            let _ = thread.join();
        }
    }
}
