//! Calls, faults and healing beside each other: what each must not do to the others. One test for each defect that was found.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Cause, Engine, EngineConfig, Error, Mode, Partition, State, Status, Survey};

mod appends;
mod commits;
mod healing;
mod openings;

fn delay(ms: u64) -> Rule {
    Rule::new(Fault::Delay(Duration::from_millis(ms)))
}

/// The file that the next append goes to: the newest that holds a record behind its header.
fn tail_of(disk: &SimDisk) -> String {
    let mut files: Vec<_> = disk.files("/p1").into_iter().filter(|f| f.contains("seg-")).collect();
    files.retain(|f| disk.cached_bytes(f).get(4096..4160).is_some_and(|b| b.iter().any(|x| *x != 0)));
    files.sort();
    files.pop().expect("a tail")
}
