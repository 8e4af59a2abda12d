//! F4 at the boundary: every exported function is made to panic inside its body. Without the boundary each of these
//! would abort the test process.

use std::ffi::CStr;
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

use super::*;

/// What a function is called with.
struct World {
    engine: bulkhead_engine,
    partition: bulkhead_partition,
    directory: tempfile::TempDir,
}

type Call = fn(&World, *mut bulkhead_error) -> bulkhead_status;

fn sized<T: super::memory::Versioned>() -> T {
    // SAFETY: all zeros is a value of a Versioned type, which starts with its size.
    let mut value: T = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { (&mut value as *mut T).cast::<u32>().write(size_of::<T>() as u32) };
    value
}

fn open_partition(
    engine: bulkhead_engine,
    path: &Path,
    id: u64,
    err: *mut bulkhead_error,
) -> (bulkhead_status, bulkhead_partition) {
    let path = path.as_os_str().as_bytes();
    let mut handle = 0;
    let config = bulkhead_partition_config {
        mode: BULKHEAD_MODE_NONE,
        path: path.as_ptr(),
        path_length: path.len() as u32,
        partition_id: id,
        ..sized()
    };
    // SAFETY: all pointers are to local variables.
    (unsafe { bulkhead_partition_open(engine, &config, &mut handle, err) }, handle)
}

fn append(partition: bulkhead_partition, index: u64, err: *mut bulkhead_error) -> bulkhead_status {
    let entry = bulkhead_entry { index, term: 1, data: null(), length: 0, kind: 0 };
    // SAFETY: one entry without data.
    unsafe { bulkhead_append(partition, &entry, 1, err) }
}

/// The config of a directory that is no partition yet.
fn on_directory(w: &World, call: impl FnOnce(&bulkhead_partition_config) -> bulkhead_status) -> bulkhead_status {
    let path = w.directory.path().join("cubefs");
    let path = path.as_os_str().as_bytes();
    call(&bulkhead_partition_config { path: path.as_ptr(), path_length: path.len() as u32, partition_id: 9, ..sized() })
}

/// Every function of the header that returns a status. Valid arguments: nothing else may end the call.
const CALLS: &[(&str, Call)] = &[
    ("bulkhead_engine_open", |_, err| unsafe { bulkhead_engine_open(null(), &mut 0, err) }),
    ("bulkhead_engine_close", |w, err| unsafe { bulkhead_engine_close(w.engine, err) }),
    ("bulkhead_engine_event_fd", |w, err| unsafe { bulkhead_engine_event_fd(w.engine, &mut 0, err) }),
    ("bulkhead_engine_completion_fd", |w, err| unsafe { bulkhead_engine_completion_fd(w.engine, &mut 0, err) }),
    ("bulkhead_engine_events", |w, err| unsafe {
        bulkhead_engine_events(w.engine, &mut bulkhead_event::default(), 1, &mut 0, err)
    }),
    ("bulkhead_engine_completions", |w, err| unsafe {
        bulkhead_engine_completions(w.engine, &mut bulkhead_completion::default(), 1, &mut 0, err)
    }),
    ("bulkhead_engine_set_log_hook", |w, err| unsafe { bulkhead_engine_set_log_hook(w.engine, None, null_mut(), err) }),
    ("bulkhead_metrics_text", |w, err| unsafe {
        let mut text = [0; 1 << 16];
        bulkhead_metrics_text(w.engine, text.as_mut_ptr(), text.len(), &mut 0, err)
    }),
    ("bulkhead_partition_open", |w, err| open_partition(w.engine, &w.directory.path().join("new"), 3, err).0),
    ("bulkhead_partition_close", |w, err| unsafe { bulkhead_partition_close(w.partition, err) }),
    ("bulkhead_append", |w, err| append(w.partition, 2, err)),
    ("bulkhead_append_packed", |w, err| unsafe {
        let entry = bulkhead_entry { index: 2, term: 1, data: null(), length: 1, kind: 0 };
        bulkhead_append_packed(w.partition, &entry, 1, b"x".as_ptr(), 1, err)
    }),
    ("bulkhead_submit_packed", |w, err| unsafe {
        let entry = bulkhead_entry { index: 2, term: 1, data: null(), length: 1, kind: 0 };
        bulkhead_submit_packed(w.partition, &entry, 1, b"x".as_ptr(), 1, 9, err)
    }),
    ("bulkhead_read", |w, err| unsafe {
        let (mut header, mut byte) = (bulkhead_entry_header::default(), 0);
        bulkhead_read(w.partition, 1, 2, 1, &mut header, 1, &mut byte, 1, &mut sized(), err)
    }),
    ("bulkhead_term", |w, err| unsafe { bulkhead_term(w.partition, 1, &mut 0, err) }),
    ("bulkhead_bounds", |w, err| unsafe { bulkhead_bounds(w.partition, &mut 0, &mut 0, err) }),
    ("bulkhead_compact", |w, err| unsafe { bulkhead_compact(w.partition, 1, err) }),
    ("bulkhead_reset", |w, err| unsafe { bulkhead_reset(w.partition, 10, 2, err) }),
    ("bulkhead_set_hard_state", |w, err| unsafe {
        bulkhead_set_hard_state(w.partition, &bulkhead_hard_state { term: 2, vote: 1, commit: 1 }, err)
    }),
    ("bulkhead_get_hard_state", |w, err| unsafe { bulkhead_get_hard_state(w.partition, &mut Default::default(), err) }),
    ("bulkhead_sync", |w, err| unsafe { bulkhead_sync(w.partition, err) }),
    ("bulkhead_recover", |w, err| unsafe { bulkhead_recover(w.partition, err) }),
    ("bulkhead_fence", |w, err| unsafe {
        bulkhead_fence(w.partition, BULKHEAD_STATE_READ_ONLY, b"x".as_ptr().cast(), 1, err)
    }),
    ("bulkhead_release", |w, err| unsafe { bulkhead_release(w.partition, err) }),
    ("bulkhead_engine_set_limits", |w, err| unsafe { bulkhead_engine_set_limits(w.engine, &LIMIT, 1, err) }),
    ("bulkhead_engine_get_limits", |w, err| unsafe {
        bulkhead_engine_get_limits(w.engine, &mut bulkhead_limit::default(), 1, &mut 0, err)
    }),
    ("bulkhead_disk_set_limits", |w, err| unsafe { bulkhead_disk_set_limits(w.engine, 1, &LIMIT, 1, err) }),
    ("bulkhead_disk_get_limits", |w, err| unsafe {
        bulkhead_disk_get_limits(w.engine, 1, &mut bulkhead_limit::default(), 1, &mut 0, err)
    }),
    ("bulkhead_set_limits", |w, err| unsafe { bulkhead_set_limits(w.partition, &LIMIT, 1, err) }),
    ("bulkhead_get_limits", |w, err| unsafe {
        bulkhead_get_limits(w.partition, &mut bulkhead_limit::default(), 1, &mut 0, err)
    }),
    ("bulkhead_event_limits", |w, err| unsafe {
        bulkhead_event_limits(w.engine, 1, &mut bulkhead_limit_changed::default(), 1, &mut 0, err)
    }),
    ("bulkhead_engine_disks", |w, err| unsafe { bulkhead_engine_disks(w.engine, null_mut(), 0, &mut 0, err) }),
    ("bulkhead_verify", |w, err| unsafe { bulkhead_verify(w.partition, &mut sized(), err) }),
    ("bulkhead_get_status", |w, err| unsafe { bulkhead_get_status(w.partition, &mut sized(), err) }),
    ("bulkhead_cubefs_inspect", |w, err| {
        on_directory(w, |c| unsafe { bulkhead_cubefs_inspect(w.engine, c, &mut sized(), null_mut(), 0, err) })
    }),
    ("bulkhead_cubefs_import", |w, err| {
        on_directory(w, |c| unsafe {
            bulkhead_cubefs_import(w.engine, c, &mut bulkhead_progress::default(), &mut sized(), err)
        })
    }),
    ("bulkhead_cubefs_undo_import", |w, err| {
        on_directory(w, |c| unsafe { bulkhead_cubefs_undo_import(w.engine, c, err) })
    }),
    ("bulkhead_cubefs_discard_original", |w, err| {
        on_directory(w, |c| unsafe { bulkhead_cubefs_discard_original(w.engine, c, err) })
    }),
    ("bulkhead_cubefs_export", |w, err| {
        on_directory(w, |c| unsafe { bulkhead_cubefs_export(w.engine, c, null(), 0, null_mut(), null_mut(), err) })
    }),
    // Its output is its error struct.
    ("bulkhead_last_fault", |w, err| unsafe { bulkhead_last_fault(w.partition, err) }),
];

/// Functions without a status: what they return after a panic is tested below.
const VALUES: &[&str] = &["bulkhead_abi_version", "bulkhead_version", "bulkhead_status_name", "bulkhead_limit_name"];

const LIMIT: bulkhead_limit = bulkhead_limit { limit: BULKHEAD_LIMIT_PROBE_MS, set_for: 0, value: 9, low: 0, high: 0 };

#[test]
fn no_function_of_the_header_is_forgotten() {
    let header = include_str!("../../include/bulkhead.h");
    let mut declared: Vec<&str> = header
        .lines()
        .filter(|line| !line.starts_with(['/', ' ', '#']) && !line.starts_with("typedef") && line.contains('('))
        .filter_map(|line| line[..line.find('(')?].rsplit([' ', '*']).next())
        .collect();
    let mut tested: Vec<&str> = CALLS.iter().map(|(name, _)| *name).chain(VALUES.iter().copied()).collect();
    declared.sort_unstable();
    tested.sort_unstable();
    assert_eq!(declared, tested);
}

#[test]
fn every_function_returns_panic_and_everything_else_goes_on() {
    let bystanders = tempfile::tempdir().unwrap();
    let (mut other_engine, mut index) = (0, 0);
    // SAFETY: here and below, all pointers are to local variables.
    assert_eq!(unsafe { bulkhead_engine_open(null(), &mut other_engine, null_mut()) }, BULKHEAD_OK);
    let (_, far) = open_partition(other_engine, &bystanders.path().join("far"), 7, null_mut());
    for (name, call) in CALLS {
        let (world, near) = world();
        let mut err: bulkhead_error = sized();
        bulkhead_testing_panic_next();
        assert_eq!(call(&world, &mut err), BULKHEAD_PANIC, "{name}");
        assert_eq!(err.status, BULKHEAD_PANIC, "{name}");
        // SAFETY: the message is NUL-terminated.
        let message = unsafe { CStr::from_ptr(err.message.as_ptr()) }.to_str().unwrap();
        assert!(message.contains("asked for by a test"), "{name}: {message}");
        index += 1;
        assert_eq!(append(far, index, null_mut()), BULKHEAD_OK, "after {name}, a partition of another engine");
        check_partitions(name, &world, near);
        // SAFETY: no pointer but null. The engine is closed already where closing it was what panicked.
        unsafe { bulkhead_engine_close(world.engine, null_mut()) };
    }
    // SAFETY: no pointer but null.
    assert_eq!(unsafe { bulkhead_engine_close(other_engine, null_mut()) }, BULKHEAD_OK);
}

/// An engine with two partitions of one entry each; the second is the bystander.
fn world() -> (World, bulkhead_partition) {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = 0;
    // SAFETY: a pointer to a local variable.
    assert_eq!(unsafe { bulkhead_engine_open(null(), &mut engine, null_mut()) }, BULKHEAD_OK);
    let (status, partition) = open_partition(engine, &directory.path().join("one"), 1, null_mut());
    assert_eq!(status, BULKHEAD_OK);
    let (_, near) = open_partition(engine, &directory.path().join("two"), 2, null_mut());
    assert_eq!((append(partition, 1, null_mut()), append(near, 1, null_mut())), (BULKHEAD_OK, BULKHEAD_OK));
    (World { engine, partition, directory }, near)
}

fn check_partitions(name: &str, world: &World, near: bulkhead_partition) {
    if name == "bulkhead_engine_close" {
        return; // the close that panicked was this engine's own
    }
    assert_eq!(append(near, 2, null_mut()), BULKHEAD_OK, "after {name}, a partition of the same engine");
    if name.starts_with("bulkhead_engine")
        || name.starts_with("bulkhead_cubefs")
        || name.starts_with("bulkhead_disk")
        || name == "bulkhead_event_limits"
        || name == "bulkhead_metrics_text"
        || name == "bulkhead_partition_open"
    {
        assert_eq!(append(world.partition, 2, null_mut()), BULKHEAD_OK, "{name} was about no partition that is open");
        return;
    }
    if name == "bulkhead_partition_close" {
        assert_eq!(append(world.partition, 2, null_mut()), BULKHEAD_CLOSED);
        return;
    }
    let mut status: bulkhead_partition_status = sized();
    // SAFETY: a pointer to a local variable.
    assert_eq!(unsafe { bulkhead_get_status(world.partition, &mut status, null_mut()) }, BULKHEAD_OK);
    assert_eq!((status.state, status.cause), (BULKHEAD_STATE_UNAVAILABLE, BULKHEAD_CAUSE_PANIC), "{name} has to latch");
    // Locks do not poison by themselves: an append after the panic would go on in whatever state it left.
    assert_eq!(append(world.partition, 2, null_mut()), BULKHEAD_PANIC, "after {name}");
    assert_eq!(recover(world.partition), BULKHEAD_OK, "after {name}");
    assert_eq!(append(world.partition, 2, null_mut()), BULKHEAD_OK, "after {name} and recovery");
}

/// Recovers; an operation that housekeeping has begun may still be on its way.
fn recover(partition: bulkhead_partition) -> bulkhead_status {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        // SAFETY: no pointer but null.
        match unsafe { bulkhead_recover(partition, null_mut()) } {
            BULKHEAD_BUSY if std::time::Instant::now() < end => std::thread::yield_now(),
            status => return status,
        }
    }
}

#[test]
fn functions_without_a_status_survive_as_well() {
    bulkhead_testing_panic_next();
    assert_eq!(bulkhead_abi_version(), BULKHEAD_ABI_VERSION);
    bulkhead_testing_panic_next();
    // SAFETY: a static C string.
    assert_eq!(unsafe { CStr::from_ptr(bulkhead_version()) }.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    bulkhead_testing_panic_next();
    // SAFETY: a static C string.
    assert_eq!(unsafe { CStr::from_ptr(bulkhead_status_name(BULKHEAD_OK)) }.to_str(), Ok("BULKHEAD_PANIC"));
    bulkhead_testing_panic_next();
    assert!(bulkhead_limit_name(1).is_null());
}
