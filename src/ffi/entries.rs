//! Appending: turning C's entries into the core's without copying a payload, and for usual batches without
//! allocating.

use std::mem::MaybeUninit;

use super::boundary::boundary;
use super::codes::bulkhead_status;
use super::handles;
use super::memory::{self, invalid};
use super::types::{bulkhead_entry, bulkhead_error, bulkhead_partition};
use crate::{EntryRef, Error, Op, Result, Status};

/// Batches up to this many entries are described on the stack. Raft's are: CubeFS sends up to 64 entries.
const STACK_ENTRIES: usize = 64;
/// Most entries of one call: bounds what is allocated to describe them (40 MiB), whatever count the caller gives.
const COUNT_LIMIT: usize = 1 << 20;

/// Appends entries: all or none. Returns when they are durable in the partition's mode.
///
/// The first index may be at most last + 1. At or below last it replaces the log's suffix from there on.
/// entries: count of them, 1 to 1,048,576, payloads and 64 bytes for each entry together up to 65 MiB, with consecutive indexes and terms
/// that do not fall; borrowed for the call together with their payloads, which must not change meanwhile.
///
/// Errors, all with the log as it was: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED,
/// BULKHEAD_NO_ENTRIES, BULKHEAD_OUT_OF_ORDER, BULKHEAD_GAP, BULKHEAD_COMPACTED, BULKHEAD_COMMIT_OUT_OF_RANGE (it
/// would replace committed entries), BULKHEAD_TERM_REGRESSION, BULKHEAD_ENTRY_TOO_LARGE, BULKHEAD_BATCH_TOO_LARGE,
/// BULKHEAD_FENCED, BULKHEAD_BUSY (a reset is under way); BULKHEAD_STALLED or BULKHEAD_IO_ERROR of operation BULKHEAD_OP_READ: the term
/// before the first entry cannot be read.
/// Errors that latch the partition, or that it was latched with (then every call gets the first one until it is
/// ReadWrite again, by itself or by bulkhead_recover): BULKHEAD_NO_SPACE, BULKHEAD_IO_ERROR, BULKHEAD_READ_ONLY_FILESYSTEM, BULKHEAD_STALLED,
/// BULKHEAD_DAMAGED, BULKHEAD_RESOURCE_EXHAUSTED, BULKHEAD_LOST_ENTRIES, BULKHEAD_PANIC. After these a suffix of
/// what was appended may or may not be found on disk later, as after a crash.
/// Thread safety: any thread; concurrent appends of one partition share flushes.
/// Blocking: modes sync and interval return within stall_limit_ms, once there is room: while more than 8 MiB wait for the
/// disk, the call waits as long as the disk gets on with them, and stall_limit_ms if it does not. Of that, healing takes
/// heal_limit_ms, or space_wait_ms on a full disk, before the error is returned. In mode none the write runs on the calling thread and
/// takes as long as the kernel does, and healing its heal_limit_ms or space_wait_ms on top.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_append(
    partition: bulkhead_partition,
    entries: *const bulkhead_entry,
    count: usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Append, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let entries = unsafe { batch(entries, count) }?;
        let reference = |position: usize, entry: &bulkhead_entry| {
            let kind = kind(position, entry)?;
            let name = "the data of an entry with a length that is not 0";
            // SAFETY: the same promise covers each entry's data.
            let data = unsafe { memory::slice(entry.data, entry.length as usize, name) }
                .map_err(|e| e.range(entry.index, entry.index))?;
            Ok(EntryRef { index: entry.index, term: entry.term, kind, data })
        };
        with_references(entries, reference, |references| partition.append(references))
    })
}

/// Does what bulkhead_append does, with all payloads back to back in data, in the order of entries: no pointers
/// inside, as cgo wants it.
///
/// data: data_length bytes, exactly the sum of the entries' lengths; may be NULL if that is 0. The data field of
/// entries is ignored. Everything is borrowed for the call.
///
/// Errors, thread safety, blocking: as for bulkhead_append; BULKHEAD_INVALID_ARGUMENT also if the lengths do not
/// add up to data_length.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_append_packed(
    partition: bulkhead_partition,
    entries: *const bulkhead_entry,
    count: usize,
    data: *const u8,
    data_length: usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Append, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let entries = unsafe { batch(entries, count) }?;
        // SAFETY: as above.
        let data = unsafe { memory::slice(data, data_length, "data") }?;
        check_packed(entries, data.len())?;
        with_references(entries, unpack(data), |references| partition.append(references))
    })
}

/// Does what bulkhead_append_packed does, without waiting: BULKHEAD_OK means accepted.
///
/// A completion that carries token follows exactly once per accepted batch, fetched with
/// bulkhead_engine_completions; none follows if this call fails. token is the caller's own and need not be unique.
/// entries and data may be freed when this returns. Batches of one partition take effect in the order in which they
/// were accepted.
///
/// Errors, thread safety: as for bulkhead_append_packed; errors of the disk that come later are in the completion.
/// Blocking: mode sync waits only for room, while more than 8 MiB wait for the disk, while a fault is being healed (heal_limit_ms, or
/// space_wait_ms on a full disk), and for a term that has to be read first; each within stall_limit_ms if the disk does not get on. In modes
/// none and interval it is an append.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_submit_packed(
    partition: bulkhead_partition,
    entries: *const bulkhead_entry,
    count: usize,
    data: *const u8,
    data_length: usize,
    token: u64,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Append, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let entries = unsafe { batch(entries, count) }?;
        // SAFETY: as above.
        let data = unsafe { memory::slice(data, data_length, "data") }?;
        check_packed(entries, data.len())?;
        with_references(entries, unpack(data), |references| partition.submit(references, token))
    })
}

/// # Safety
/// As for `memory::slice`.
unsafe fn batch<'a>(entries: *const bulkhead_entry, count: usize) -> Result<&'a [bulkhead_entry]> {
    // SAFETY: the same promise. Pointer and size are judged before the limit, so that a size that no memory can
    // have is called what it is.
    let entries = unsafe { memory::slice(entries, count, "entries") }?;
    if count > COUNT_LIMIT {
        let message = format!("the batch has {count} entries; one call takes up to {COUNT_LIMIT}, split it");
        return Err(Error::new(Status::BatchTooLarge, Op::Append, message));
    }
    Ok(entries)
}

fn kind(position: usize, entry: &bulkhead_entry) -> Result<u8> {
    u8::try_from(entry.kind).map_err(|_| {
        let message = format!("entries[{position}].kind is {}; the owner's types are 0 to 255", entry.kind);
        invalid(message).range(entry.index, entry.index)
    })
}

/// The lengths of a packed batch must use up the data exactly: anything else means that caller and library mean
/// different entries.
fn check_packed(entries: &[bulkhead_entry], data_length: usize) -> Result<()> {
    // At most COUNT_LIMIT lengths of 32 bits: no overflow.
    let sum: u64 = entries.iter().map(|entry| u64::from(entry.length)).sum();
    if sum == data_length as u64 {
        return Ok(());
    }
    Err(invalid(format!(
        "the lengths of the {} entries add up to {sum} bytes, but data_length is {data_length}; pass exactly their payloads",
        entries.len()
    )))
}

/// Takes each entry's payload off the front of `data`.
fn unpack<'a>(mut data: &'a [u8]) -> impl FnMut(usize, &bulkhead_entry) -> Result<EntryRef<'a>> {
    move |position, entry| {
        let kind = kind(position, entry)?;
        let length = entry.length as usize;
        if length > data.len() {
            // `check_packed` has passed: the caller changes the entries during the call.
            return Err(invalid(format!(
                "entries[{position}].length changed during the call; leave the entries alone until it returns"
            )));
        }
        let (payload, rest) = data.split_at(length);
        data = rest;
        Ok(EntryRef { index: entry.index, term: entry.term, kind, data: payload })
    }
}

/// Calls `append` with the references that `make` gives for the entries.
#[inline]
fn with_references<'a>(
    entries: &[bulkhead_entry],
    mut make: impl FnMut(usize, &bulkhead_entry) -> Result<EntryRef<'a>>,
    append: impl FnOnce(&[EntryRef<'a>]) -> Result<()>,
) -> Result<()> {
    if entries.len() > STACK_ENTRIES {
        let references =
            entries.iter().enumerate().map(|(position, entry)| make(position, entry)).collect::<Result<Vec<_>>>()?;
        return append(&references);
    }
    let mut stack = [MaybeUninit::<EntryRef<'a>>::uninit(); STACK_ENTRIES];
    let mut made = 0;
    for (place, (position, entry)) in stack.iter_mut().zip(entries.iter().enumerate()) {
        place.write(make(position, entry)?);
        made += 1;
    }
    // SAFETY: the first `made` places were written, and an EntryRef has nothing to drop.
    append(unsafe { std::slice::from_raw_parts(stack.as_ptr().cast(), made) })
}
