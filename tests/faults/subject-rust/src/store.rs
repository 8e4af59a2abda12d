//! TiKV's raft-engine: one engine per directory, with one raft group in it. TiKV keeps all groups of a store in one
//! engine; one each favours raft-engine wherever a fault is to stay in its partition.
//!
//! Mode sync writes with `sync`, mode none without; a vote is written with `sync` in both, which the call allows.
//! All settings are the defaults. After an error TiKV ends its process.

use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Command, Config, Engine, Error, LogBatch, MessageExt};
use std::path::Path;

const GROUP: u64 = 1;
const HARD_STATE: &[u8] = b"hard state";

struct Entries;

impl MessageExt for Entries {
    /// A message that the protobuf crate brings along and that encodes like raft's Entry: numbers and bytes.
    type Entry = UninterpretedOption;

    fn index(entry: &UninterpretedOption) -> u64 {
        entry.get_positive_int_value()
    }
}

pub struct Entry {
    pub index: u64,
    pub term: u64,
    pub data: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
pub struct HardState {
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
}

pub struct Store {
    engine: Engine,
    sync: bool,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Store {
    pub fn open(dir: &Path, sync: bool) -> Result<Store> {
        std::fs::create_dir_all(dir)?; // raft-engine makes the last component only
        let dir = dir.join("wal").to_string_lossy().into_owned();
        Ok(Store { engine: Engine::open(Config { dir, ..Config::default() })?, sync })
    }

    pub fn append(&self, entries: Vec<Entry>) -> Result<()> {
        let messages: Vec<_> = entries.into_iter().map(message).collect();
        let mut batch = LogBatch::default();
        batch.add_entries::<Entries>(GROUP, &messages)?;
        self.engine.write(&mut batch, self.sync).map(drop)
    }

    /// The entries of lo..=hi that there are.
    pub fn read(&self, lo: u64, hi: u64) -> Result<Vec<Entry>> {
        let (first, last) = self.bounds();
        let (lo, hi) = (lo.max(first), hi.min(last));
        let mut found = Vec::new();
        if lo <= hi {
            self.engine.fetch_entries_to::<Entries>(GROUP, lo, hi + 1, None, &mut found)?;
        }
        Ok(found.into_iter().map(entry).collect())
    }

    pub fn set_hard_state(&self, state: HardState) -> Result<()> {
        let value = [state.term, state.vote, state.commit].map(u64::to_le_bytes).concat();
        let mut batch = LogBatch::default();
        batch.put(GROUP, HARD_STATE.to_vec(), value)?;
        self.engine.write(&mut batch, true).map(drop)
    }

    pub fn hard_state(&self) -> Result<HardState> {
        let Some(value) = self.engine.get(GROUP, HARD_STATE) else { return Ok(HardState::default()) };
        let words: Vec<u64> = value.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect();
        match words[..] {
            [term, vote, commit] => Ok(HardState { term, vote, commit }),
            _ => Err(Error::Corruption(format!("the hard state has {} bytes, not 24", value.len()))),
        }
    }

    /// As `Engine::compact_to`, which keeps an error of its write to itself.
    pub fn compact(&self, index: u64) -> Result<()> {
        let mut batch = LogBatch::default();
        batch.add_command(GROUP, Command::Compact { index: index + 1 }); // exclusive
        self.engine.write(&mut batch, self.sync)?;
        self.engine.purge_expired_files().map(drop)
    }

    pub fn sync(&self) -> Result<()> {
        self.engine.sync()
    }

    /// The first and last index; 1, 0 of an empty log: raft-engine does not keep where a compacted log ended.
    pub fn bounds(&self) -> (u64, u64) {
        (self.engine.first_index(GROUP).unwrap_or(1), self.engine.last_index(GROUP).unwrap_or(0))
    }
}

fn message(entry: Entry) -> UninterpretedOption {
    let mut message = UninterpretedOption::new();
    message.set_positive_int_value(entry.index);
    message.set_negative_int_value(entry.term as i64);
    message.set_string_value(entry.data);
    message
}

fn entry(mut message: UninterpretedOption) -> Entry {
    Entry {
        index: message.get_positive_int_value(),
        term: message.get_negative_int_value() as u64,
        data: message.take_string_value(),
    }
}
