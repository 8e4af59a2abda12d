//! Handles: 64-bit numbers that stand for open engines and partitions.
//!
//! | bits | meaning |
//! |---|---|
//! | 60..64 | kind, 1 engine, 2 partition: one is never taken for the other, and 0 is no handle |
//! | 20..60 | generation of the slot, from 1: rises with every use, so that a closed handle never comes to life again |
//! | 0..20 | slot |
//!
//! A slot whose generation is used up is retired. A handle that cannot be found is told apart by its generation: at
//! or below the slot's it was issued once and is closed, above it nobody ever issued it.
//!
//! A lookup is two atomic operations on the slot's lock and one on the reference count, 10 to 20 ns; slots have a
//! cache line each, so that partitions do not slow each other. The lock is held for the lookup only: closing never
//! waits for calls, they keep what they found.

use std::sync::{Arc, OnceLock};

use crate::sync::{Mutex, RwLock};

use super::engine::OpenEngine;
use super::types::{bulkhead_engine, bulkhead_partition};
use crate::partition::Partition;
use crate::{Error, Op, Result, Status};

const SLOT_BITS: u32 = 20;
const GENERATION_BITS: u32 = 40;
const LAST_GENERATION: u64 = (1 << GENERATION_BITS) - 1;
/// Slots are allocated this many at a time, so that a process with a few partitions pays for a few.
const CHUNK_SLOTS: usize = 256;
const CHUNKS: usize = (1 << SLOT_BITS) / CHUNK_SLOTS;

/// An open partition and the engine that closes it at the latest.
pub(super) struct OpenPartition {
    pub(super) partition: Arc<Partition>,
    pub(super) owner: Arc<OpenEngine>,
}

static ENGINES: Table<OpenEngine> = Table::new(1, "an engine");
static PARTITIONS: Table<OpenPartition> = Table::new(2, "a partition");

pub(super) fn engine(handle: bulkhead_engine) -> Result<Arc<OpenEngine>> {
    ENGINES.get(handle)
}

#[inline]
pub(super) fn partition(handle: bulkhead_partition) -> Result<Arc<OpenPartition>> {
    PARTITIONS.get(handle)
}

pub(super) fn add_engine(engine: Arc<OpenEngine>) -> Result<bulkhead_engine> {
    ENGINES.insert(engine)
}

pub(super) fn add_partition(partition: Arc<OpenPartition>) -> Result<bulkhead_partition> {
    PARTITIONS.insert(partition)
}

/// Ends the handle's life; of several threads that try, one gets the engine.
pub(super) fn take_engine(handle: bulkhead_engine) -> Result<Arc<OpenEngine>> {
    ENGINES.take(handle)
}

/// Ends the handle's life; of several threads that try, one gets the partition.
pub(super) fn take_partition(handle: bulkhead_partition) -> Result<Arc<OpenPartition>> {
    PARTITIONS.take(handle)
}

struct Table<T> {
    kind: u64,
    noun: &'static str,
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
    vacant: Mutex<Vacant>,
}

/// Slots to use next: returned ones first, then the first that never was used.
struct Vacant {
    returned: Vec<u32>,
    unused: u32,
}

#[repr(align(64))]
struct Slot<T>(RwLock<Occupant<T>>);

struct Occupant<T> {
    generation: u64, // of the value, or of the last one; 0 before the first
    value: Option<Arc<T>>,
}

/// A handle taken apart.
struct Parts {
    kind: u64,
    generation: u64,
    slot: usize,
}

fn split(handle: u64) -> Parts {
    Parts {
        kind: handle >> (SLOT_BITS + GENERATION_BITS),
        generation: (handle >> SLOT_BITS) & LAST_GENERATION,
        slot: (handle & ((1 << SLOT_BITS) - 1)) as usize,
    }
}

impl<T> Table<T> {
    // A const is the only way to repeat a value that is not Copy; each use of it is a new, empty lock.
    #[allow(clippy::declare_interior_mutable_const)]
    const EMPTY: OnceLock<Box<[Slot<T>]>> = OnceLock::new();

    const fn new(kind: u64, noun: &'static str) -> Table<T> {
        Table {
            kind,
            noun,
            chunks: [Self::EMPTY; CHUNKS],
            vacant: Mutex::new(Vacant { returned: Vec::new(), unused: 0 }),
        }
    }

    fn slot(&self, position: usize) -> Option<&RwLock<Occupant<T>>> {
        self.chunks.get(position / CHUNK_SLOTS)?.get()?.get(position % CHUNK_SLOTS).map(|slot| &slot.0)
    }

    #[inline]
    fn get(&self, handle: u64) -> Result<Arc<T>> {
        let parts = split(handle);
        if parts.kind == self.kind {
            if let Some(slot) = self.slot(parts.slot) {
                let occupant = slot.read();
                match &occupant.value {
                    Some(value) if occupant.generation == parts.generation => return Ok(Arc::clone(value)),
                    _ => {}
                }
            }
        }
        Err(self.missing(handle))
    }

    fn insert(&self, value: Arc<T>) -> Result<u64> {
        let position = self.vacant_position()? as usize;
        if let Some(chunk) = self.chunks.get(position / CHUNK_SLOTS) {
            chunk.get_or_init(|| {
                (0..CHUNK_SLOTS).map(|_| Slot(RwLock::new(Occupant { generation: 0, value: None }))).collect()
            });
        }
        let slot = self.slot(position).ok_or_else(|| self.full())?;
        let mut occupant = slot.write();
        occupant.generation += 1;
        occupant.value = Some(value);
        Ok((self.kind << (SLOT_BITS + GENERATION_BITS)) | (occupant.generation << SLOT_BITS) | position as u64)
    }

    fn vacant_position(&self) -> Result<u32> {
        let mut vacant = self.vacant.lock();
        if let Some(position) = vacant.returned.pop() {
            return Ok(position);
        }
        if vacant.unused as usize == CHUNKS * CHUNK_SLOTS {
            return Err(self.full());
        }
        vacant.unused += 1;
        Ok(vacant.unused - 1)
    }

    fn take(&self, handle: u64) -> Result<Arc<T>> {
        let parts = split(handle);
        let slot = self.slot(parts.slot).filter(|_| parts.kind == self.kind).ok_or_else(|| self.missing(handle))?;
        let value = {
            let mut occupant = slot.write();
            if occupant.generation == parts.generation {
                occupant.value.take()
            } else {
                None
            }
        };
        let value = value.ok_or_else(|| self.missing(handle))?;
        if parts.generation < LAST_GENERATION {
            self.vacant.lock().returned.push(parts.slot as u32);
        }
        Ok(value)
    }

    /// Why `get` or `take` found nothing.
    #[cold]
    fn missing(&self, handle: u64) -> Error {
        let parts = split(handle);
        let noun = self.noun;
        let issued = self.slot(parts.slot).map_or(0, |slot| slot.read().generation);
        let (status, message) = if handle == 0 {
            (Status::InvalidHandle, format!("the handle is 0; pass the handle that opening {noun} gave"))
        } else if parts.kind != self.kind {
            (
                Status::InvalidHandle,
                format!("{handle:#x} is not the handle of {noun}; pass the one that opening {noun} gave"),
            )
        } else if parts.generation == 0 || parts.generation > issued {
            (
                Status::InvalidHandle,
                format!("{handle:#x} was never issued as the handle of {noun}; pass the one that opening {noun} gave"),
            )
        } else {
            (Status::Closed, format!("the handle {handle:#x} of {noun} has been closed; open it again to go on"))
        };
        Error::new(status, Op::None, message)
    }

    #[cold]
    fn full(&self) -> Error {
        let message = format!(
            "{} handles of {} are open at once, and there are no more; close some",
            CHUNKS * CHUNK_SLOTS,
            self.noun
        );
        Error::new(Status::ResourceExhausted, Op::Open, message)
    }
}

#[cfg(test)]
#[path = "handles_test.rs"]
mod tests;
