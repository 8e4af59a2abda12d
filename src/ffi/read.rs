//! Reading entries, terms and bounds.

use super::boundary::boundary;
use super::codes::bulkhead_status;
use super::handles;
use super::memory::{invalid, Out, OutSlice, OutStruct};
use super::reports::bulkhead_read_result;
use super::types::{bulkhead_entry_header, bulkhead_error, bulkhead_partition};
use crate::partition::Partition;
use crate::{Error, Op, Result, Status};

/// Reads the entries lo to hi - 1 into the caller's buffers. Every byte is checked on the way.
///
/// Stops after the entry that takes the payloads over max_bytes, so that there is always at least one. hi beyond
/// last + 1 is cut.
/// headers: room for capacity entries. data: room for data_capacity bytes of payloads, which follow each other
/// without gaps in the order of headers. If not all entries fit, those that do are returned; if not even one, the
/// call returns BULKHEAD_BUFFER_TOO_SMALL, and result->needed_bytes says how large data must be. Either may be NULL
/// with a capacity of 0, to ask for just that.
/// result: receives count and bytes. When the call fails, result is not written (BULKHEAD_BUFFER_TOO_SMALL aside)
/// and the content of headers and data is undefined.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT (also if hi is below lo), BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED,
/// BULKHEAD_COMPACTED (lo at or below the compaction point), BULKHEAD_OUT_OF_RANGE (lo beyond the last entry),
/// BULKHEAD_BUFFER_TOO_SMALL, BULKHEAD_DAMAGED (first_index and last_index say which entries; those before and
/// behind can be read), BULKHEAD_IO_ERROR, BULKHEAD_RESOURCE_EXHAUSTED, BULKHEAD_PANIC.
/// Thread safety: any thread; reads do not wait for appends.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_read(
    partition: bulkhead_partition,
    lo: u64,
    hi: u64,
    max_bytes: u64,
    headers: *mut bulkhead_entry_header,
    capacity: usize,
    data: *mut u8,
    data_capacity: usize,
    result: *mut bulkhead_read_result,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Read, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer, with the room they say.
        let (result, headers, data) = unsafe {
            (
                OutStruct::new(result, "result")?,
                OutSlice::new(headers, capacity, "headers")?,
                OutSlice::new(data, data_capacity, "data")?,
            )
        };
        if hi < lo {
            return Err(invalid(format!(
                "hi is {hi}, below lo, which is {lo}; hi is the index behind the last one to read"
            )));
        }
        let mut filled = Filled { headers, data, count: 0, used: 0, needed: None };
        filled.read(partition, lo, hi, max_bytes)?;
        let needed = filled.needed.filter(|_| filled.count == 0);
        result.write(&bulkhead_read_result {
            struct_size: 0,
            count: filled.count as u32,
            data_bytes: filled.used as u64,
            needed_bytes: needed.unwrap_or(0) as u64,
        });
        needed.map_or(Ok(()), |needed| Err(too_small(lo, needed, capacity, data_capacity)))
    })
}

/// The caller's buffers and how far they are filled.
struct Filled {
    headers: OutSlice<bulkhead_entry_header>,
    data: OutSlice<u8>,
    count: usize,
    used: usize,
    /// Payload bytes of the entry that did not fit.
    needed: Option<usize>,
}

impl Filled {
    fn read(&mut self, partition: &Partition, lo: u64, hi: u64, max_bytes: u64) -> Result<()> {
        partition.read_into(lo, hi, max_bytes, &mut |index, term, kind, payload| {
            // An entry's length fits 32 bits: its bound is 64 MiB. The count must as well.
            let header = bulkhead_entry_header { index, term, length: payload.len() as u32, kind: u32::from(kind) };
            let fits = self.count < u32::MAX as usize
                && self.count < self.headers.capacity()
                && self.data.write(self.used, payload);
            if !fits || !self.headers.write(self.count, &[header]) {
                self.needed = Some(payload.len());
                return false;
            }
            self.count += 1;
            self.used += payload.len(); // cannot overflow: it was written inside the buffer
            true
        })
    }
}

fn too_small(lo: u64, needed: usize, capacity: usize, data_capacity: usize) -> Error {
    let message = format!(
        "entry {lo} needs room for 1 header and {needed} bytes of data, there is room for {capacity} and {data_capacity}; \
         call again with at least that"
    );
    Error::new(Status::BufferTooSmall, Op::Read, message).range(lo, lo)
}

/// Tells the term of an entry. The compaction point's own term is known as well.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_COMPACTED (index below the
/// compaction point), BULKHEAD_OUT_OF_RANGE (index beyond the last entry), BULKHEAD_DAMAGED, BULKHEAD_IO_ERROR,
/// BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_term(
    partition: bulkhead_partition,
    index: u64,
    out: *mut u64,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Read, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { Out::new(out, "out") }?;
        out.write(partition.term(index)?);
        Ok(())
    })
}

/// Tells the first and the last index of the log.
///
/// first_index: the compaction point + 1. last_index: the last entry, or the compaction point of an empty log; then
/// it is below first_index.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, the partition's fault if its log
/// could not be read at open, BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_bounds(
    partition: bulkhead_partition,
    first_index: *mut u64,
    last_index: *mut u64,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Read, err, |partition| {
        // SAFETY: this function's callers promise null or good pointers.
        let (first_out, last_out) =
            unsafe { (Out::new(first_index, "first_index")?, Out::new(last_index, "last_index")?) };
        let (first, last) = partition.bounds()?;
        first_out.write(first);
        last_out.write(last);
        Ok(())
    })
}
