//! Comparing what comes back with what was appended.

use crate::payload::payload;
use crate::reply::{Failure, Reply};
use crate::store::{Entry, Store};
use serde_json::json;

/// The indexes of a read, by what came back.
#[derive(Default)]
struct Found {
    good: Vec<[u64; 2]>,
    bad: Vec<u64>,
    missing: Vec<[u64; 2]>,
    unreadable: Vec<[u64; 2]>,
    terms: Vec<[u64; 3]>, // first, last, term
}

/// Adds an index to ascending ranges.
fn add(ranges: &mut Vec<[u64; 2]>, index: u64) {
    match ranges.last_mut() {
        Some(last) if last[1] + 1 == index => last[1] = index,
        _ => ranges.push([index, index]),
    }
}

/// If the system refuses the range, each entry is asked for by itself, so that the reply says which can be had.
pub fn read(store: &Store, partition: u64, lo: u64, hi: u64, reply: &mut Reply) -> Result<(), Failure> {
    let mut found = Found::default();
    let whole = store.read(lo, hi);
    let mut next = lo;
    match &whole {
        Ok(entries) => next = found.sort(partition, next, entries),
        Err(_) => {
            for index in lo..=hi {
                match store.read(index, index) {
                    Ok(entries) if entries.is_empty() => add(&mut found.missing, index),
                    Ok(entries) => drop(found.sort(partition, index, &entries[..1])),
                    Err(_) => add(&mut found.unreadable, index),
                }
                next = index + 1;
            }
        }
    }
    for index in next..=hi {
        add(&mut found.missing, index);
    }
    reply.insert("good".into(), json!(found.good));
    reply.insert("bad".into(), json!(found.bad));
    reply.insert("missing".into(), json!(found.missing));
    reply.insert("unreadable".into(), json!(found.unreadable));
    reply.insert("terms".into(), json!(found.terms));
    whole.map(drop).map_err(Failure::from)
}

impl Found {
    /// Judges entries that should begin at `index`; returns what comes after them.
    fn sort(&mut self, partition: u64, mut index: u64, entries: &[Entry]) -> u64 {
        for entry in entries {
            while index < entry.index {
                add(&mut self.missing, index);
                index += 1;
            }
            if entry.index == index && entry.data == payload(partition, index, entry.term, entry.data.len()) {
                add(&mut self.good, index);
                self.term(index, entry.term);
            } else {
                self.bad.push(index);
            }
            index += 1;
        }
        index
    }

    fn term(&mut self, index: u64, term: u64) {
        match self.terms.last_mut() {
            Some(last) if last[2] == term && last[1] + 1 == index => last[1] = index,
            _ => self.terms.push([index, index, term]),
        }
    }
}
