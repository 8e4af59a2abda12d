//! The systems that are measured.

mod bulkhead;
mod raft_engine;
mod raw;

use crate::workload::Workload;
use ::bulkhead::Mode;
use std::path::Path;

pub trait Arm {
    /// Appends one batch of consecutive entries; returns when it is durable in row B1, when it was written in row B4.
    fn append(&mut self, first_index: u64, batch: &[&'static [u8]]) -> Result<(), String>;
    /// Forgets all entries up to `index`.
    fn compact(&mut self, index: u64) -> Result<(), String>;
}

pub fn open(name: &str, workload: &Workload, dir: &Path) -> Result<Box<dyn Arm>, String> {
    let arm: Box<dyn Arm> = match (name, workload.durable) {
        ("raw-buffered", true) => Box::new(raw::Ring::buffered(dir, true)?),
        ("raw-direct", true) => Box::new(raw::Ring::direct(dir)?),
        ("raw-overwrite", false) => Box::new(raw::Ring::buffered(dir, false)?),
        ("raw-pwrite", false) => Box::new(raw::Growing::new(dir)?),
        ("bulkhead", true) => Box::new(bulkhead::Bulkhead::new(dir, Mode::Sync)?),
        ("bulkhead-rust", false) => Box::new(bulkhead::Bulkhead::new(dir, Mode::None)?),
        ("raft-engine", _) => Box::new(raft_engine::RaftEngine::new(dir, workload.durable)?),
        _ => return Err(format!("no arm {name} for {}", workload.id)),
    };
    Ok(arm)
}
