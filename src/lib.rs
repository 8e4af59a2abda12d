//! Bulkhead: a write-ahead log for storage datanodes that keep thousands of partitions in one process.
//!
//! An I/O error stays inside the partition it hit: the partition says what happened and stops accepting writes, every other
//! partition carries on, and the process never dies. See `docs/design.md` for the decisions and `docs/format.md` for the bytes.
//!
//! ```no_run
//! use bulkhead::{Engine, EngineConfig, EntryRef, PartitionConfig};
//!
//! fn main() -> bulkhead::Result<()> {
//!     let engine = Engine::open(EngineConfig::default())?;
//!     // A path that cannot be used, a lock, somebody else's directory are errors here,
//!     let p = engine.open_partition(PartitionConfig::new("/tmp/wal_9", 9))?;
//!     // and a failing disk or damage here, and in p.status().
//!     let (first, last) = p.bounds()?;
//!     let entry = EntryRef { index: last + 1, term: 1, kind: 0, data: b"hello" };
//!     if let Err(e) = p.append(&[entry]) {
//!         // No writes to this partition until it is back; the others do not notice.
//!         eprintln!("{e} {:?}", p.last_fault());
//!     }
//!     println!("{} entries", p.read(first, last + 2, 1 << 20)?.len());
//!     engine.close()
//! }
//! ```

#![deny(unsafe_code)]

#[cfg(not(panic = "unwind"))]
compile_error!("Bulkhead catches panics at its boundary: build it with panic = \"unwind\"");

pub mod cubefs;
mod engine;
mod error;
#[allow(unsafe_code)] // pointers from the caller
pub mod ffi;
pub mod format;
#[allow(unsafe_code)] // system calls and aligned memory
pub mod io;
mod partition;
#[cfg(not(fuzzing))]
mod segment;
#[cfg(fuzzing)] // a fuzz target scans segments without a directory around them
pub mod segment;
mod sync;

pub use engine::{
    Backup, Completion, DiskInfo, Engine, EngineConfig, Event, LogHook, LogLevel, LogLine, MetricFamily, MetricInfo,
    MetricKind, MetricSample, MetricValue, METRICS,
};
pub use error::{errno_of, Cause, Error, Op, Result, Status};
pub use partition::{
    Counters, Disposition, Entry, EntryRef, HardState, Limit, LimitChange, LimitChanged, LimitInfo, LimitScope, Limits,
    Mode, Partition, PartitionConfig, PartitionStatus, Repair, RepairFacts, RepairLoss, RepairOffer, RepairWay, State,
    Survey, SurveyedSegment, VerifyReport, LIMITS,
};
