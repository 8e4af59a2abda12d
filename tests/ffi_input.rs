//! Bad input at the C ABI: each kind is a status of its own with a message, and changes nothing.

mod ffi_support;

use std::mem::{offset_of, size_of};
use std::ptr::{null, null_mut};

use bulkhead::ffi::*;
use ffi_support::*;

fn entry(index: u64, term: u64, length: u32) -> bulkhead_entry {
    static DATA: [u8; 64] = [7; 64];
    bulkhead_entry { index, term, data: DATA.as_ptr(), length, kind: 0 }
}

#[test]
fn bad_batches_are_refused_and_change_nothing() {
    let f = Fixture::new();
    let p = f.partition;
    let before = f.settled();
    // SAFETY: here and below, pointers are bad in a way that the library promises to notice, or to living variables.
    let append = |entries: &[bulkhead_entry], err| unsafe { bulkhead_append(p, entries.as_ptr(), entries.len(), err) };
    let one = entry(4, 1, 8);
    refused("null entries", BULKHEAD_INVALID_ARGUMENT, |err| unsafe { bulkhead_append(p, null(), 1, err) });
    refused("no entries", BULKHEAD_NO_ENTRIES, |err| unsafe { bulkhead_append(p, null(), 0, err) });
    refused("misaligned", BULKHEAD_INVALID_ARGUMENT, |err| unsafe {
        bulkhead_append(p, (&one as *const bulkhead_entry).cast::<u8>().add(1).cast(), 1, err)
    });
    for count in [usize::MAX, isize::MAX as usize, usize::MAX / size_of::<bulkhead_entry>() + 2] {
        refused("more than memory", BULKHEAD_INVALID_ARGUMENT, |err| unsafe { bulkhead_append(p, &one, count, err) });
    }
    refused("a count that would need gigabytes", BULKHEAD_BATCH_TOO_LARGE, |err| unsafe {
        bulkhead_append(p, &one, isize::MAX as usize / size_of::<bulkhead_entry>(), err)
    });
    refused("null data", BULKHEAD_INVALID_ARGUMENT, |err| append(&[bulkhead_entry { data: null(), ..one }], err));
    refused("kind", BULKHEAD_INVALID_ARGUMENT, |err| append(&[bulkhead_entry { kind: 256, ..one }], err));
    refused("kind", BULKHEAD_INVALID_ARGUMENT, |err| append(&[bulkhead_entry { kind: u32::MAX, ..one }], err));
    refused("gap", BULKHEAD_GAP, |err| append(&[entry(5, 1, 8)], err));
    refused("out of order", BULKHEAD_OUT_OF_ORDER, |err| append(&[entry(4, 1, 8), entry(6, 1, 8)], err));
    refused("twice", BULKHEAD_OUT_OF_ORDER, |err| append(&[entry(4, 1, 8), entry(4, 1, 8)], err));
    refused("index wraps", BULKHEAD_GAP, |err| append(&[entry(u64::MAX, 1, 8)], err));
    refused("term falls in the batch", BULKHEAD_TERM_REGRESSION, |err| append(&[entry(4, 2, 8), entry(5, 1, 8)], err));
    refused("term falls", BULKHEAD_TERM_REGRESSION, |err| append(&[entry(4, 0, 8)], err));
    refused("index 0", BULKHEAD_COMPACTED, |err| append(&[entry(0, 1, 8)], err));
    let vast = vec![0u8; (16 << 20) + 1];
    let large = bulkhead_entry { data: vast.as_ptr(), length: vast.len() as u32, ..one };
    refused("an entry over the limit", BULKHEAD_ENTRY_TOO_LARGE, |err| append(&[large], err));
    assert!(f.settled() == before, "a refused batch changed the disk");
    assert_eq!(bounds(p), (BULKHEAD_OK, 1, 3));
}

#[test]
fn packed_batches_have_to_add_up() {
    let f = Fixture::new();
    let p = f.partition;
    let data = [1u8; 16];
    let entries = [entry(4, 1, 8), entry(5, 1, 8)];
    let packed = |data: *const u8, length: usize, err| unsafe {
        bulkhead_append_packed(p, entries.as_ptr(), 2, data, length, err)
    };
    let submit = |data: *const u8, length: usize, err| unsafe {
        bulkhead_submit_packed(p, entries.as_ptr(), 2, data, length, 1, err)
    };
    for length in [15, 0] {
        refused("lengths beyond the data", BULKHEAD_INVALID_ARGUMENT, |err| packed(data.as_ptr(), length, err));
        refused("lengths beyond the data", BULKHEAD_INVALID_ARGUMENT, |err| submit(data.as_ptr(), length, err));
    }
    refused("data left over", BULKHEAD_INVALID_ARGUMENT, |err| packed([0; 17].as_ptr(), 17, err));
    refused("null data", BULKHEAD_INVALID_ARGUMENT, |err| packed(null(), 16, err));
    refused("more than memory", BULKHEAD_INVALID_ARGUMENT, |err| packed(data.as_ptr(), usize::MAX, err));
    refused("more than memory", BULKHEAD_INVALID_ARGUMENT, |err| submit(data.as_ptr(), 1 << 63, err));
    assert_eq!(bounds(p), (BULKHEAD_OK, 1, 3));
    assert_eq!(packed(data.as_ptr(), 16, null_mut()), BULKHEAD_OK);
    let mut count = usize::MAX;
    let mut completion = bulkhead_completion::default();
    assert_eq!(
        unsafe { bulkhead_engine_completions(f.engine, &mut completion, 1, &mut count, null_mut()) },
        BULKHEAD_OK
    );
    assert_eq!(count, 0, "a submission that was refused must not complete");
}

#[test]
fn reads_check_every_buffer_and_say_what_they_need() {
    let f = Fixture::new();
    let mut headers = [bulkhead_entry_header::default(); 4];
    let mut data = [0u8; 64];
    let mut result: bulkhead_read_result = unsafe { sized() };
    let (h, d) = (headers.as_mut_ptr(), data.as_mut_ptr());
    let read = |lo, hi, h, capacity, d, data_capacity, result, err| unsafe {
        bulkhead_read(f.partition, lo, hi, u64::MAX, h, capacity, d, data_capacity, result, err)
    };
    refused("null headers", BULKHEAD_INVALID_ARGUMENT, |err| read(1, 4, null_mut(), 4, d, 64, &mut result, err));
    refused("null data", BULKHEAD_INVALID_ARGUMENT, |err| read(1, 4, h, 4, null_mut(), 64, &mut result, err));
    refused("null result", BULKHEAD_INVALID_ARGUMENT, |err| read(1, 4, h, 4, d, 64, null_mut(), err));
    refused("capacity", BULKHEAD_INVALID_ARGUMENT, |err| read(1, 4, h, usize::MAX, d, 64, &mut result, err));
    refused("data capacity", BULKHEAD_INVALID_ARGUMENT, |err| read(1, 4, h, 4, d, usize::MAX, &mut result, err));
    refused("hi below lo", BULKHEAD_INVALID_ARGUMENT, |err| read(3, 2, h, 4, d, 64, &mut result, err));
    refused("index 0", BULKHEAD_COMPACTED, |err| read(0, 2, h, 4, d, 64, &mut result, err));
    refused("beyond the end", BULKHEAD_OUT_OF_RANGE, |err| read(4, 5, h, 4, d, 64, &mut result, err));
    assert_eq!((result.count, result.data_bytes, result.needed_bytes), (0, 0, 0), "written although the call failed");

    for (capacity, room) in [(4, 6), (0, 64), (0, 0)] {
        refused("too small", BULKHEAD_BUFFER_TOO_SMALL, |err| read(2, 4, h, capacity, d, room, &mut result, err));
        assert_eq!((result.count, result.needed_bytes), (0, 7), "room for {capacity} headers and {room} bytes");
    }
    refused("question", BULKHEAD_BUFFER_TOO_SMALL, |err| read(2, 4, null_mut(), 0, null_mut(), 0, &mut result, err));
    assert_eq!(read(1, u64::MAX, h, 4, d, 15, &mut result, null_mut()), BULKHEAD_OK);
    assert_eq!((result.count, result.data_bytes, result.needed_bytes), (2, 14, 0), "what fits is given");
    assert_eq!(read(1, 4, h, 1, d, 64, &mut result, null_mut()), BULKHEAD_OK);
    assert_eq!((result.count, result.data_bytes), (1, 7));
    assert_eq!(&data[..14], b"payloadpayload");
    assert_eq!(headers[1], bulkhead_entry_header { index: 2, term: 1, length: 7, kind: 1 });
}

#[test]
fn struct_sizes_are_checked_and_may_grow() {
    let f = Fixture::new();
    let mut status: bulkhead_partition_status = unsafe { sized() };
    let get = |status: *mut bulkhead_partition_status, err| unsafe { bulkhead_get_status(f.partition, status, err) };
    // The struct of the first version ended before this field.
    let first = offset_of!(bulkhead_partition_status, heals) as u32;
    for size in [0, 4, first - 1, 1 << 20, u32::MAX] {
        status.struct_size = size;
        refused("status size", BULKHEAD_INVALID_ARGUMENT, |err| get(&mut status, err));
    }
    // An older caller: nothing is written behind what it knows.
    status.struct_size = first;
    status.heals = 42;
    assert_eq!(get(&mut status, null_mut()), BULKHEAD_OK);
    assert_eq!((status.struct_size, status.last_index, status.heals), (first, 3, 42));
    // A newer caller: what this library does not know is left alone.
    #[repr(C)]
    struct Newer {
        status: bulkhead_partition_status,
        more: [u64; 4],
    }
    let mut newer = Newer { status: unsafe { sized() }, more: [42; 4] };
    newer.status.struct_size = size_of::<Newer>() as u32;
    assert_eq!(get((&mut newer as *mut Newer).cast(), null_mut()), BULKHEAD_OK);
    assert_eq!(
        (newer.status.struct_size, newer.status.last_index, newer.more),
        (size_of::<Newer>() as u32, 3, [42; 4])
    );

    // An error struct of a wrong size: nothing is done, and nothing is written to it.
    let mut err = new_error();
    err.struct_size = 8;
    err.status = 77;
    assert_eq!(append(f.partition, 4, b"x", &mut err), BULKHEAD_INVALID_ARGUMENT);
    assert_eq!((err.status, bounds(f.partition).2), (77, 3));
    // On success it is not written either.
    let mut err = new_error();
    err.status = 77;
    assert_eq!(append(f.partition, 4, b"x", &mut err), BULKHEAD_OK);
    assert_eq!(err.status, 77);
}

#[test]
fn null_outputs_are_refused_everywhere() {
    let f = Fixture::new();
    let (e, p) = (f.engine, f.partition);
    let invalid = |what: &str, call: &dyn Fn(*mut bulkhead_error) -> bulkhead_status| {
        refused(what, BULKHEAD_INVALID_ARGUMENT, call)
    };
    invalid("term", &|err| unsafe { bulkhead_term(p, 1, null_mut(), err) });
    invalid("bounds first", &|err| unsafe { bulkhead_bounds(p, null_mut(), &mut 0, err) });
    invalid("bounds last", &|err| unsafe { bulkhead_bounds(p, &mut 0, null_mut(), err) });
    invalid("set hard state", &|err| unsafe { bulkhead_set_hard_state(p, null(), err) });
    invalid("get hard state", &|err| unsafe { bulkhead_get_hard_state(p, null_mut(), err) });
    invalid("status", &|err| unsafe { bulkhead_get_status(p, null_mut(), err) });
    invalid("verify", &|err| unsafe { bulkhead_verify(p, null_mut(), err) });
    invalid("event fd", &|err| unsafe { bulkhead_engine_event_fd(e, null_mut(), err) });
    invalid("completion fd", &|err| unsafe { bulkhead_engine_completion_fd(e, null_mut(), err) });
    let (mut event, mut completion) = (bulkhead_event::default(), bulkhead_completion::default());
    let (event, completion): (*mut _, *mut _) = (&mut event, &mut completion);
    invalid("events", &|err| unsafe { bulkhead_engine_events(e, null_mut(), 1, &mut 0, err) });
    invalid("events count", &|err| unsafe { bulkhead_engine_events(e, event, 1, null_mut(), err) });
    invalid("events capacity", &|err| unsafe { bulkhead_engine_events(e, event, 0, &mut 0, err) });
    invalid("events capacity", &|err| unsafe { bulkhead_engine_events(e, event, usize::MAX, &mut 0, err) });
    invalid("completions", &|err| unsafe { bulkhead_engine_completions(e, null_mut(), 1, &mut 0, err) });
    invalid("completions count", &|err| unsafe { bulkhead_engine_completions(e, completion, 1, null_mut(), err) });
    invalid("completions capacity", &|err| unsafe { bulkhead_engine_completions(e, completion, 0, &mut 0, err) });
    // Here the output is the error struct: nowhere to put a message.
    assert_eq!(unsafe { bulkhead_last_fault(p, null_mut()) }, BULKHEAD_INVALID_ARGUMENT);
}

#[test]
fn every_status_has_its_name() {
    assert_eq!(name(BULKHEAD_OK), "BULKHEAD_OK");
    assert_eq!(name(BULKHEAD_IO_ERROR), "BULKHEAD_IO_ERROR");
    assert_eq!(name(BULKHEAD_FENCED), "BULKHEAD_FENCED");
    for unknown in [-1, BULKHEAD_FENCED + 1, i32::MAX, i32::MIN] {
        assert_eq!(name(unknown), "BULKHEAD_UNKNOWN_STATUS");
    }
}
