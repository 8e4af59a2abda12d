//! What the tests of the C ABI share: calling it as a C program does.

#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::time::Duration;

use bulkhead::ffi::*;

/// A struct that is all zeros but for its size, as C programs make it.
///
/// # Safety
/// `T` is a struct of the C ABI that starts with `struct_size`.
pub unsafe fn sized<T: Copy>() -> T {
    // SAFETY: such structs consist of integers and pointers, of which zero is a value; the first field is the size.
    unsafe {
        let mut value: T = std::mem::zeroed();
        (&mut value as *mut T).cast::<u32>().write(size_of::<T>() as u32);
        value
    }
}

pub fn new_error() -> bulkhead_error {
    // SAFETY: a struct of the C ABI.
    unsafe { sized() }
}

pub fn message(err: &bulkhead_error) -> String {
    // SAFETY: the library terminates the text.
    unsafe { CStr::from_ptr(err.message.as_ptr()) }.to_str().expect("UTF-8").to_owned()
}

pub fn name(status: bulkhead_status) -> &'static str {
    // SAFETY: a static C string.
    unsafe { CStr::from_ptr(bulkhead_status_name(status)) }.to_str().unwrap()
}

pub fn open_engine() -> bulkhead_engine {
    let mut engine = 0;
    // SAFETY: a pointer to a local variable.
    assert_eq!(unsafe { bulkhead_engine_open(null(), &mut engine, null_mut()) }, BULKHEAD_OK);
    engine
}

pub fn close_engine(engine: bulkhead_engine) -> bulkhead_status {
    // SAFETY: no pointer but null.
    unsafe { bulkhead_engine_close(engine, null_mut()) }
}

/// Configuration of a partition in mode none; `path` has to outlive its use.
pub fn config(path: &Path, id: u64) -> bulkhead_partition_config {
    let path = path.as_os_str().as_bytes();
    bulkhead_partition_config {
        mode: BULKHEAD_MODE_NONE,
        path: path.as_ptr(),
        path_length: path.len() as u32,
        partition_id: id,
        // SAFETY: a struct of the C ABI.
        ..unsafe { sized() }
    }
}

pub fn open_with(
    engine: bulkhead_engine,
    config: &bulkhead_partition_config,
    err: *mut bulkhead_error,
) -> (bulkhead_status, bulkhead_partition) {
    let mut partition = 0;
    // SAFETY: pointers to living variables.
    (unsafe { bulkhead_partition_open(engine, config, &mut partition, err) }, partition)
}

pub fn open_partition(engine: bulkhead_engine, path: &Path, id: u64) -> (bulkhead_status, bulkhead_partition) {
    open_with(engine, &config(path, id), null_mut())
}

pub fn close_partition(partition: bulkhead_partition) -> bulkhead_status {
    // SAFETY: no pointer but null.
    unsafe { bulkhead_partition_close(partition, null_mut()) }
}

/// Appends one entry of term 1.
pub fn append(partition: bulkhead_partition, index: u64, data: &[u8], err: *mut bulkhead_error) -> bulkhead_status {
    let entry = bulkhead_entry { index, term: 1, data: data.as_ptr(), length: data.len() as u32, kind: 1 };
    // SAFETY: pointers to living variables.
    unsafe { bulkhead_append(partition, &entry, 1, err) }
}

/// First and last index.
pub fn bounds(partition: bulkhead_partition) -> (bulkhead_status, u64, u64) {
    let (mut first, mut last) = (0, 0);
    // SAFETY: pointers to local variables.
    let status = unsafe { bulkhead_bounds(partition, &mut first, &mut last, null_mut()) };
    (status, first, last)
}

/// An engine and an open partition with entries 1 to 3.
pub struct Fixture {
    pub directory: tempfile::TempDir,
    pub engine: bulkhead_engine,
    pub partition: bulkhead_partition,
}

impl Fixture {
    pub fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let engine = open_engine();
        let (status, partition) = open_partition(engine, &directory.path().join("p"), 5);
        assert_eq!(status, BULKHEAD_OK);
        for index in 1..=3 {
            assert_eq!(append(partition, index, b"payload", null_mut()), BULKHEAD_OK);
        }
        Fixture { directory, engine, partition }
    }

    /// Every file below the directory with its content, once housekeeping has nothing more to do.
    pub fn settled(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for _ in 0..100 {
            let mut now = BTreeMap::new();
            collect(self.directory.path(), &mut now);
            if now == files {
                break;
            }
            files = now;
            std::thread::sleep(Duration::from_millis(50));
        }
        files
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        close_engine(self.engine);
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            // A file can be renamed or removed meanwhile: then this is not the last look.
            let content = std::fs::read(&path).unwrap_or_default();
            files.insert(path, content);
        }
    }
}

/// Calls, and checks status, message and that the error struct says the same as the result.
pub fn refused(what: &str, expected: bulkhead_status, call: impl FnOnce(*mut bulkhead_error) -> bulkhead_status) {
    let mut err = new_error();
    let status = call(&mut err);
    assert_eq!(name(status), name(expected), "{what}: {}", message(&err));
    assert_eq!(err.status, status, "{what}");
    assert!(
        message(&err).len() > 10,
        "{what}: the message has to say what was wrong and what to do: {:?}",
        message(&err)
    );
}
