//! Metrics as Prometheus text.

use std::ffi::c_char;

use super::boundary::boundary;
use super::codes::bulkhead_status;
use super::handles;
use super::memory::{Out, OutSlice};
use super::types::{bulkhead_engine, bulkhead_error};
use crate::{Error, Op, Status};

/// Writes all metrics of an engine in Prometheus's text format, version 0.0.4 (docs/operations.md lists them).
///
/// Reads what the partitions have counted without stopping an append, and waits for no disk: a scrape may call it.
/// buffer: receives UTF-8, NUL-terminated, if it has room; may be NULL with a capacity of 0, to ask for the size.
/// needed: receives the bytes of the text and its NUL, also with BULKHEAD_BUFFER_TOO_SMALL; the text of the next call
/// may be longer, by some lines for each partition that has met a fault meanwhile.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_BUFFER_TOO_SMALL (nothing is
/// written to buffer), BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_metrics_text(
    engine: bulkhead_engine,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let needed = unsafe { Out::new(needed, "needed") }?;
        // SAFETY: as above, with room for `capacity` bytes.
        let mut buffer = unsafe { OutSlice::new(buffer.cast::<u8>(), capacity, "buffer") }?;
        let mut text = open.engine.metrics_text().into_bytes();
        text.push(0);
        needed.write(text.len());
        if buffer.write(0, &text) {
            return Ok(());
        }
        let message = format!("the metrics take {} bytes and buffer has {capacity}; give it that room", text.len());
        Err(Error::new(Status::BufferTooSmall, Op::Status, message))
    })
}
