//! TiKV's raft-engine: one raft group in its shared log.

use super::Arm;
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use std::collections::HashMap;
use std::path::Path;

const GROUP: u64 = 1;

struct Entries;

impl MessageExt for Entries {
    /// A message that the protobuf crate brings along and that encodes like raft's Entry: numbers and bytes.
    type Entry = UninterpretedOption;

    fn index(entry: &UninterpretedOption) -> u64 {
        entry.get_positive_int_value()
    }
}

pub struct RaftEngine {
    engine: Engine,
    batch: LogBatch,
    /// One message per pooled payload: the arm pays for encoding, but not for copying into messages.
    messages: HashMap<(*const u8, usize), UninterpretedOption>,
    sync: bool,
}

impl RaftEngine {
    pub fn new(dir: &Path, sync: bool) -> Result<RaftEngine, String> {
        let config = Config {
            dir: dir.join("raft-engine").to_string_lossy().into_owned(),
            batch_compression_threshold: ReadableSize(0), // off
            // Small enough that compacted files come back within a slot, and written ahead: its fastest state.
            target_file_size: ReadableSize::mb(32),
            purge_threshold: ReadableSize::mb(256),
            prefill_for_recycle: true,
            ..Config::default()
        };
        let engine = Engine::open(config).map_err(|e| format!("raft-engine: {e}"))?;
        Ok(RaftEngine { engine, batch: LogBatch::with_capacity(64), messages: HashMap::new(), sync })
    }
}

impl Arm for RaftEngine {
    fn append(&mut self, first_index: u64, batch: &[&'static [u8]]) -> Result<(), String> {
        for (index, payload) in (first_index..).zip(batch) {
            let message = self.messages.entry((payload.as_ptr(), payload.len())).or_insert_with(|| {
                let mut message = UninterpretedOption::new();
                message.set_string_value(payload.to_vec());
                message.set_negative_int_value(1); // the term
                message
            });
            message.set_positive_int_value(index);
            let added = self.batch.add_entries::<Entries>(GROUP, std::slice::from_ref(message));
            added.map_err(|e| format!("add_entries: {e}"))?;
        }
        self.engine.write(&mut self.batch, self.sync).map(drop).map_err(|e| format!("write: {e}"))
    }

    fn compact(&mut self, index: u64) -> Result<(), String> {
        self.engine.compact_to(GROUP, index + 1); // exclusive
        self.engine.purge_expired_files().map(drop).map_err(|e| format!("purge: {e}"))
    }
}
