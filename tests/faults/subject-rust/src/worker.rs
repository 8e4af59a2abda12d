//! Executes the commands of one partition, on a thread of its own: one that hangs must not keep the others waiting.

use crate::load::Load;
use crate::payload::payload;
use crate::read::read;
use crate::reply::{finish, send, usage, Failure, Reply};
use crate::store::{Entry, HardState, Store};
use serde_json::json;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Worker {
    pub partition: u64,
    pub sync: bool,
    store: Option<Arc<Store>>,
    last_term: u64,
    load: Option<Load>,
}

impl Worker {
    pub fn new(partition: u64, sync: bool) -> Worker {
        Worker { partition, sync, store: None, last_term: 1, load: None }
    }

    /// Each command is its words without the partition.
    pub fn run(mut self, commands: Receiver<Vec<String>>) {
        for words in commands {
            let start = Instant::now();
            let mut reply = Reply::new();
            reply.insert("p".into(), json!(self.partition));
            let result = self.execute(&words, &mut reply);
            finish(&mut reply, &words[0], start, result);
            send(reply);
        }
        std::mem::forget(self.store); // the process ends without closing it
    }

    fn execute(&mut self, words: &[String], reply: &mut Reply) -> Result<(), Failure> {
        if words[0] == "open" {
            return self.open(&words[1..], reply);
        }
        let mut numbers = Vec::new();
        for word in &words[1..] {
            match word.parse::<u64>() {
                Ok(number) => numbers.push(number),
                Err(_) => return usage(format!("{word:?} is not a number")),
            }
        }
        if words[0] == "recover" {
            return Err(Failure::Unsupported);
        }
        let Some(store) = self.store.clone() else { return usage("the partition is not open: send open first") };
        match (words[0].as_str(), &numbers[..]) {
            ("append", &[first, count, bytes, term]) => self.append(&store, first, count, bytes as usize, term),
            ("read", &[lo, hi]) => read(&store, self.partition, lo, hi, reply),
            ("vote", &[term, vote, commit]) => Ok(store.set_hard_state(HardState { term, vote, commit })?),
            ("hardstate", &[]) => hard_state(&store, reply),
            ("compact", &[index]) => Ok(store.compact(index)?),
            ("sync", &[]) => Ok(store.sync()?),
            ("state", &[]) => state(&store, reply),
            ("load", &[bytes, seconds, pause_us]) => {
                let (length, pause) = (Duration::from_secs(seconds), Duration::from_micros(pause_us));
                self.start_load(store, bytes as usize, length, pause)
            }
            ("loadstop", &[]) => self.stop_load(reply),
            ("close", &[]) => {
                self.store = None;
                Ok(())
            }
            (name, numbers) => usage(format!("there is no command {name:?} with {} numbers", numbers.len())),
        }
    }

    /// A known index, the second word, means nothing to raft-engine.
    fn open(&mut self, words: &[String], reply: &mut Reply) -> Result<(), Failure> {
        if words.is_empty() || words.len() > 2 {
            return usage("open takes a partition, a directory without blanks and perhaps a known index");
        }
        if self.store.is_some() {
            return usage("the partition is open already");
        }
        let store = Arc::new(Store::open(Path::new(&words[0]), self.sync)?);
        self.store = Some(store.clone());
        state(&store, reply)
    }

    fn append(&mut self, store: &Store, first: u64, count: u64, bytes: usize, term: u64) -> Result<(), Failure> {
        self.last_term = term;
        let entries = (first..first + count)
            .map(|index| Entry { index, term, data: payload(self.partition, index, term, bytes) })
            .collect();
        Ok(store.append(entries)?)
    }

    fn start_load(
        &mut self,
        store: Arc<Store>,
        bytes: usize,
        length: Duration,
        pause: Duration,
    ) -> Result<(), Failure> {
        if self.load.is_some() {
            return usage("a load runs already: send loadstop");
        }
        self.load = Some(Load::start(store, self.partition, self.last_term, bytes, length, pause));
        Ok(())
    }

    fn stop_load(&mut self, reply: &mut Reply) -> Result<(), Failure> {
        match self.load.take() {
            Some(load) => load.stop(reply),
            None => return usage("no load runs"),
        }
        Ok(())
    }
}

fn hard_state(store: &Store, reply: &mut Reply) -> Result<(), Failure> {
    let state = store.hard_state()?;
    reply.insert("term".into(), json!(state.term));
    reply.insert("vote".into(), json!(state.vote));
    reply.insert("commit".into(), json!(state.commit));
    Ok(())
}

fn state(store: &Store, reply: &mut Reply) -> Result<(), Failure> {
    let (first, last) = store.bounds();
    reply.insert("first".into(), json!(first));
    reply.insert("last".into(), json!(last));
    Ok(())
}
