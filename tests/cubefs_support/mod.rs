//! CubeFS directories on the simulated disk, written from the format's description.
#![allow(dead_code)] // every test takes what it needs

use bulkhead::format::cubefs::{
    encode_seal, footer_target, index_items, record_at, Entry, Found, IndexItem, LogName, Meta, RecordType,
};
use bulkhead::io::sim::SimDisk;
use bulkhead::HardState;
use std::collections::BTreeMap;

/// A log: what raft would read out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub hard_state: HardState,
    pub compaction: (u64, u64),
    /// Index, term, kind, data.
    pub entries: Vec<(u64, u64, u8, Vec<u8>)>,
}

impl Log {
    pub fn meta(&self) -> Meta {
        Meta {
            term: self.hard_state.term,
            commit: self.hard_state.commit,
            vote: self.hard_state.vote,
            compaction_index: self.compaction.0,
            compaction_term: self.compaction.1,
        }
    }
}

/// The records of one log file, with the offset of each, and of its end.
pub fn file_bytes(entries: &[(u64, u64, u8, Vec<u8>)], sealed: bool) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut items, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
    for (index, term, kind, data) in entries {
        items.push(IndexItem { index: *index, term: *term, offset: bytes.len() as u32 });
        offsets.push(bytes.len());
        Entry { kind: *kind, term: *term, index: *index, data }.encode_record(&mut bytes);
    }
    offsets.push(bytes.len());
    if sealed {
        encode_seal(&items, bytes.len() as u64, &mut bytes);
    }
    (bytes, offsets)
}

/// Writes a directory of `files` log files; returns their paths.
pub fn put(disk: &SimDisk, path: &str, log: &Log, files: usize) -> Vec<String> {
    disk.make_dirs(path);
    disk.put_file(&format!("{path}/META"), &log.meta().encode());
    let share = log.entries.len().div_ceil(files).max(1);
    let mut first = log.compaction.0 + 1;
    let mut paths = Vec::new();
    for i in 0..files {
        let part = log.entries.get(i * share..((i + 1) * share).min(log.entries.len())).unwrap_or(&[]);
        let name = format!("{path}/{}", LogName { sequence: 4 + i as u64, first });
        disk.put_file(&name, &file_bytes(part, i + 1 < files).0);
        first = part.last().map_or(first, |e| e.0 + 1);
        paths.push(name);
    }
    paths
}

/// Reads a directory as CubeFS's own reader does: sealed files by their footer and index, the last one from front to back.
pub fn read(disk: &SimDisk, path: &str) -> Log {
    let meta = Meta::decode(&disk.cached_bytes(&format!("{path}/META"))).expect("a META");
    let names = disk.files(path).into_iter().filter_map(|f| LogName::parse(f.rsplit_once('/')?.1).map(|n| (n, f)));
    let mut names: Vec<_> = names.filter(|(_, f)| f.matches('/').count() == 2).collect();
    names.sort();
    let mut log = Log {
        hard_state: HardState { term: meta.term, vote: meta.vote, commit: meta.commit },
        compaction: (meta.compaction_index, meta.compaction_term),
        entries: Vec::new(),
    };
    for (i, (name, file)) in names.iter().enumerate() {
        let bytes = disk.cached_bytes(file);
        if i > 0 {
            assert_eq!(log.entries.last().map(|e| e.0 + 1), Some(name.first), "{file}");
        }
        let at = |offset: usize| match record_at(&bytes[offset..], (bytes.len() - offset) as u64) {
            Found::Record(t, data, total) => (t, data, total),
            other => panic!("{file} at {offset}: {other:?}"),
        };
        let mut offset = 0;
        if i + 1 < names.len() {
            let (t, footer, total) = at(bytes.len() - 29);
            assert_eq!((t, total), (RecordType::Footer, 29));
            let index = footer_target(footer).unwrap() as usize;
            let (t, items, total) = at(index);
            assert_eq!((t, index + total), (RecordType::Index, bytes.len() - 29));
            for item in index_items(items).unwrap() {
                let entry = Entry::decode(at(item.offset as usize).1).unwrap();
                assert_eq!((entry.index, entry.term), (item.index, item.term));
                log.entries.push((entry.index, entry.term, entry.kind, entry.data.to_vec()));
            }
            continue;
        }
        while offset < bytes.len() {
            let (t, data, total) = at(offset);
            assert_eq!(t, RecordType::Entry);
            let entry = Entry::decode(data).unwrap();
            log.entries.push((entry.index, entry.term, entry.kind, entry.data.to_vec()));
            offset += total;
        }
    }
    log
}

/// All files with their bytes.
pub fn snapshot(disk: &SimDisk, path: &str) -> BTreeMap<String, Vec<u8>> {
    disk.files(path).into_iter().map(|f| (f.clone(), disk.cached_bytes(&f))).collect()
}
