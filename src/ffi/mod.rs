//! The C ABI: include/bulkhead.h is generated from this module, and tests/header holds the two together.
//!
//! | file | content |
//! |---|---|
//! | boundary | the macro around every entry point: handle, catch_unwind, latch, status |
//! | handles | 64-bit generational handles |
//! | memory, report_error | every access to the caller's memory |
//! | codes, types, reports | constants and structs |
//! | library, engine, events, log_hook, metrics, limits, event_limits, partition, entries, read, log, hard_state, cubefs | the functions, by noun |
//!
//! Rules: outputs are written only on success; pointers are borrowed for the call; nothing here allocates, indexes
//! or adds on trust of a number that the caller gave; nothing calls back but the log hook, on a thread of its own.

// C's names, not Rust's: they are the same in the header, in Go and in the documentation.
#![allow(non_camel_case_types)]
// What a caller must guarantee is the same everywhere and stands at the head of the header: non-null pointers point
// to what they say.
#![allow(clippy::missing_safety_doc)]

mod boundary;
mod codes;
mod cubefs;
mod engine;
mod entries;
mod event_limits;
mod events;
mod handles;
mod hard_state;
mod library;
mod limits;
mod log;
mod log_hook;
mod memory;
mod metrics;
mod partition;
mod read;
mod report_error;
mod reports;
#[cfg(any(test, feature = "testing"))]
mod testing;
mod types;

#[cfg(test)]
mod panic_test;

pub use codes::*;
pub use cubefs::*;
pub use engine::*;
pub use entries::*;
pub use event_limits::{bulkhead_event_limits, bulkhead_limit_changed};
pub use events::*;
pub use hard_state::*;
pub use library::*;
pub use limits::*;
pub use log::*;
pub use log_hook::{bulkhead_engine_set_log_hook, bulkhead_log_hook, bulkhead_log_line};
pub use metrics::*;
pub use partition::*;
pub use read::*;
pub use reports::*;
#[cfg(any(test, feature = "testing"))]
pub use testing::bulkhead_testing_panic_next;
pub use types::*;
