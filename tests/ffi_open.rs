//! Opening at the C ABI: configurations and directories that cannot be used, each with a status of its own and nothing changed.

mod ffi_support;

use std::mem::size_of;
use std::ptr::{null, null_mut};

use bulkhead::ffi::*;
use ffi_support::*;

#[test]
fn newer_configurations_are_accepted_only_if_what_is_new_is_zero() {
    #[repr(C)]
    struct Newer {
        config: bulkhead_engine_config,
        more: [u8; 8],
    }
    let mut newer = Newer { config: unsafe { sized() }, more: [0; 8] };
    newer.config.struct_size = size_of::<Newer>() as u32;
    let mut engine = 0;
    let mut open =
        |newer: &Newer, err| unsafe { bulkhead_engine_open((newer as *const Newer).cast(), &mut engine, err) };
    assert_eq!(open(&newer, null_mut()), BULKHEAD_OK);
    newer.more[7] = 1;
    refused("a field of the future", BULKHEAD_INVALID_ARGUMENT, |err| open(&newer, err));
    assert_eq!(close_engine(engine), BULKHEAD_OK);
}

#[test]
fn engine_configurations_out_of_range_are_refused() {
    let mut engine = 0;
    let mut refuse = |what: &str, status, change: &dyn Fn(&mut bulkhead_engine_config)| {
        let mut config: bulkhead_engine_config = unsafe { sized() };
        change(&mut config);
        refused(what, status, |err| unsafe { bulkhead_engine_open(&config, &mut engine, err) });
        assert_eq!(engine, 0, "{what}: an output was written");
    };
    refuse("size", BULKHEAD_INVALID_ARGUMENT, &|c| c.struct_size = 39);
    refuse("reserved", BULKHEAD_INVALID_CONFIG, &|c| c.reserved = 1);
    refuse("entries", BULKHEAD_INVALID_CONFIG, &|c| c.max_entry_bytes = (64 << 20) + 1);
    refuse("small segments", BULKHEAD_INVALID_CONFIG, &|c| c.segment_min_bytes = 1);
    refuse("large segments", BULKHEAD_INVALID_CONFIG, &|c| c.segment_max_bytes = (1 << 30) + 1);
    refuse("interval", BULKHEAD_INVALID_CONFIG, &|c| c.interval_ms = 60_001);
    refuse("stall", BULKHEAD_INVALID_CONFIG, &|c| c.stall_limit_ms = 99);
    refuse("slow disk", BULKHEAD_INVALID_CONFIG, &|c| c.slow_disk_ms = 600_001);
    refuse("idle check", BULKHEAD_INVALID_CONFIG, &|c| c.idle_check_ms = 60_001);
    refuse("reserved_2", BULKHEAD_INVALID_CONFIG, &|c| c.reserved_2 = 1);
    refuse("threads", BULKHEAD_INVALID_CONFIG, &|c| c.flush_threads_per_disk = 65);
    refused("null out", BULKHEAD_INVALID_ARGUMENT, |err| unsafe { bulkhead_engine_open(null(), null_mut(), err) });
}

#[test]
fn partition_configurations_are_checked_before_the_disk_is_touched() {
    let f = Fixture::new();
    let path = f.directory.path().join("q");
    let good = config(&path, 6);
    let refuse = |what: &str, status, config: bulkhead_partition_config| {
        refused(what, status, |err| {
            let (status, handle) = open_with(f.engine, &config, err);
            assert_eq!(handle, 0, "{what}: an output was written");
            status
        });
    };
    refuse("size", BULKHEAD_INVALID_ARGUMENT, bulkhead_partition_config { struct_size: 0, ..good });
    refuse("null path", BULKHEAD_INVALID_ARGUMENT, bulkhead_partition_config { path: null(), ..good });
    refuse("empty path", BULKHEAD_INVALID_ARGUMENT, bulkhead_partition_config { path_length: 0, ..good });
    refuse("mode", BULKHEAD_INVALID_CONFIG, bulkhead_partition_config { mode: 4, ..good });
    refuse("disposition", BULKHEAD_INVALID_CONFIG, bulkhead_partition_config { disposition: 3, ..good });
    let long = [b'x'; 4096];
    refuse(
        "long path",
        BULKHEAD_INVALID_ARGUMENT,
        bulkhead_partition_config { path: long.as_ptr(), path_length: 4096, ..good },
    );
    refuse(
        "NUL",
        BULKHEAD_INVALID_ARGUMENT,
        bulkhead_partition_config { path: b"/tmp/\0x".as_ptr(), path_length: 7, ..good },
    );
    refused("null", BULKHEAD_INVALID_ARGUMENT, |err| unsafe { bulkhead_partition_open(f.engine, null(), &mut 0, err) });
    refused("out", BULKHEAD_INVALID_ARGUMENT, |err| unsafe {
        bulkhead_partition_open(f.engine, &good, null_mut(), err)
    });
    assert!(!path.exists());
}

/// A path that cannot be used has a status of its own, and stays as it was.
#[test]
fn paths_that_cannot_be_used_are_told_apart() {
    let f = Fixture::new();
    let at = |name: &str| f.directory.path().join(name);
    std::fs::write(at("file"), b"not a directory").unwrap();
    std::os::unix::fs::symlink(at("p"), at("link")).unwrap();
    std::fs::create_dir(at("foreign")).unwrap();
    std::fs::write(at("foreign").join("another.log"), b"another log").unwrap();
    std::fs::create_dir(at("cubefs")).unwrap();
    std::fs::write(at("cubefs").join("0000000000000000-0000000000000001.log"), b"CubeFS's").unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    let before = f.settled();
    let cases = [
        ("missing/child", BULKHEAD_OPEN_OR_CREATE, 9, BULKHEAD_NOT_FOUND),
        ("missing", BULKHEAD_OPEN_EXISTING, 9, BULKHEAD_NOT_FOUND),
        ("file", BULKHEAD_OPEN_OR_CREATE, 9, BULKHEAD_NOT_A_DIRECTORY),
        ("link", BULKHEAD_OPEN_OR_CREATE, 9, BULKHEAD_SYMLINK),
        ("foreign", BULKHEAD_OPEN_OR_CREATE, 9, BULKHEAD_FOREIGN),
        ("cubefs", BULKHEAD_OPEN_OR_CREATE, 9, BULKHEAD_NEEDS_IMPORT),
        ("p", BULKHEAD_OPEN_OR_CREATE, 5, BULKHEAD_ALREADY_OPEN),
        ("empty", BULKHEAD_OPEN_EXISTING, 9, BULKHEAD_NOT_FOUND),
    ];
    for (name, disposition, id, expected) in cases {
        let path = at(name);
        let config = bulkhead_partition_config { disposition, ..config(&path, id) };
        refused(name, expected, |err| open_with(f.engine, &config, err).0);
    }
    assert!(f.settled() == before, "a refused open changed the disk");
    assert_eq!(close_partition(f.partition), BULKHEAD_OK);
    let path = at("p");
    let wrong = config(&path, 6);
    refused("another's directory", BULKHEAD_WRONG_PARTITION, |err| open_with(f.engine, &wrong, err).0);
    let again = bulkhead_partition_config { disposition: BULKHEAD_CREATE_NEW, ..config(&path, 5) };
    refused("create what exists", BULKHEAD_ALREADY_EXISTS, |err| open_with(f.engine, &again, err).0);
}
