//! Bulkhead: a write-ahead log for storage datanodes that keep thousands of partitions in one process.
//!
//! An I/O error stays inside the partition it hit: the partition says what happened and stops accepting writes, every other
//! partition carries on, and the process never dies. See `docs/design.md` for the decisions and `docs/format.md` for the bytes.

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
