//! Bulkhead through its Rust interface.

use super::Arm;
use bulkhead::{Engine, EngineConfig, EntryRef, Mode, Partition, PartitionConfig};
use std::path::Path;
use std::sync::Arc;

pub struct Bulkhead {
    partition: Arc<Partition>,
    _engine: Engine, // closed when dropped
}

impl Bulkhead {
    pub fn new(dir: &Path, mode: Mode) -> Result<Bulkhead, String> {
        let engine = Engine::open(EngineConfig::default()).map_err(|e| format!("engine: {e}"))?;
        let mut config = PartitionConfig::new(dir.join("partition_1"), 1);
        config.mode = mode;
        let partition = engine.open_partition(config).map_err(|e| format!("open: {e}"))?;
        Ok(Bulkhead { partition, _engine: engine })
    }
}

impl Arm for Bulkhead {
    fn append(&mut self, first_index: u64, batch: &[&'static [u8]]) -> Result<(), String> {
        let entry = |(index, data)| EntryRef { index, term: 1, kind: 0, data };
        if let [payload] = batch {
            return self.partition.append(&[entry((first_index, payload))]).map_err(|e| format!("append: {e}"));
        }
        let mut entries = [entry((0, &[][..])); 64];
        for (slot, (index, payload)) in entries.iter_mut().zip((first_index..).zip(batch)) {
            *slot = entry((index, payload));
        }
        self.partition.append(&entries[..batch.len()]).map_err(|e| format!("append: {e}"))
    }

    fn compact(&mut self, index: u64) -> Result<(), String> {
        self.partition.compact(index).map_err(|e| format!("compact: {e}"))
    }
}
