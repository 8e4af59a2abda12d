//! Appending in the background, one entry at a time. It ends at the first error: its owner would end the process now.

use crate::os::monotonic_ns;
use crate::payload::payload;
use crate::reply::{errno, name, Reply};
use crate::store::{Entry, Store};
use raft_engine::Error;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{spawn, JoinHandle};
use std::time::{Duration, Instant};

pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

struct Outcome {
    last: u64,
    latencies: Vec<Duration>,
    error: Option<(Error, u64)>,
    last_ok_ns: u64,
    elapsed: Duration,
}

impl Load {
    pub fn start(
        store: Arc<Store>,
        partition: u64,
        term: u64,
        bytes: usize,
        length: Duration,
        pause: Duration,
    ) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = spawn(move || run(&store, partition, term, bytes, length, pause, &stopped));
        Load { stop, thread }
    }

    pub fn stop(self, reply: &mut Reply) {
        self.stop.store(true, Ordering::Relaxed);
        let mut outcome = self.thread.join().expect("a panic ends the process");
        reply.insert("appends".into(), json!(outcome.latencies.len()));
        reply.insert("last".into(), json!(outcome.last));
        reply.insert("errors".into(), json!(outcome.error.iter().count()));
        reply.insert("seconds".into(), json!(outcome.elapsed.as_secs_f64()));
        reply.insert("last_ok_t_ns".into(), json!(outcome.last_ok_ns));
        if let Some((error, at)) = outcome.error {
            reply.insert("first_error".into(), json!(error.to_string()));
            reply.insert("first_error_t_ns".into(), json!(at));
            reply.insert("first_error_status".into(), json!(name(&error)));
            reply.insert("first_error_errno".into(), json!(errno(&error).unwrap_or(0)));
        }
        outcome.latencies.sort_unstable();
        let Some(most) = outcome.latencies.len().checked_sub(1) else { return };
        for (key, share) in [("p50_us", 0.5), ("p99_us", 0.99), ("max_us", 1.0)] {
            let latency = outcome.latencies[(share * most as f64) as usize];
            reply.insert(key.into(), json!(latency.as_nanos() as f64 / 1000.0));
        }
    }
}

fn run(
    store: &Store,
    partition: u64,
    term: u64,
    bytes: usize,
    length: Duration,
    pause: Duration,
    stopped: &AtomicBool,
) -> Outcome {
    let begin = Instant::now();
    let mut outcome =
        Outcome { last: store.bounds().1, latencies: Vec::new(), error: None, last_ok_ns: 0, elapsed: Duration::ZERO };
    while begin.elapsed() < length && !stopped.load(Ordering::Relaxed) {
        let index = outcome.last + 1;
        let data = payload(partition, index, term, bytes);
        let start = Instant::now();
        if let Err(error) = store.append(vec![Entry { index, term, data }]) {
            outcome.error = Some((error, monotonic_ns()));
            break;
        }
        outcome.latencies.push(start.elapsed());
        outcome.last = index;
        outcome.last_ok_ns = monotonic_ns();
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    outcome.elapsed = begin.elapsed();
    outcome
}
