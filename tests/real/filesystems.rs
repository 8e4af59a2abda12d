//! Filesystems: the owner is warned of one that the project does not test, once for each disk, and one that cannot hold a log is refused.

use std::path::Path;
use std::process::Command;

use crate::direct::Ext4;
use crate::support::*;
use bulkhead::io::sim::{OpKind, Rule, SimConfig, SimDisk};
use bulkhead::io::Filesystem;
use bulkhead::{Cause, Engine, EngineConfig, Mode, Op, State, Status};

/// Opens two partitions in each of these directories; the causes of the events, in order.
fn warnings(dirs: &[&Path]) -> Vec<(u64, State, Cause, Op)> {
    let engine = Engine::open(EngineConfig::default()).unwrap();
    let mut id = 0;
    for dir in dirs {
        for mode in [Mode::Sync, Mode::None] {
            id += 1;
            let p = open(&engine, dir.join(format!("p{id}")).to_str().unwrap(), id, mode);
            append(&p, &entries(1, 3, 1, 100)).unwrap();
            p.sync().unwrap();
            assert_same(&read_all(&p).unwrap(), &entries(1, 3, 1, 100), "it is a log all the same");
            p.recover().unwrap();
            p.close().unwrap();
        }
    }
    engine.events(100).iter().map(|e| (e.partition_id, e.to, e.cause, e.op)).collect()
}

#[test]
fn a_filesystem_in_memory_is_a_warning() {
    let dir = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs on every Linux");
    let warned = [(1, State::ReadWrite, Cause::VolatileFilesystem, Op::Open)];
    assert_eq!(warnings(&[dir.path()]), warned);
    assert_eq!(warnings(&[dir.path(), dir.path()]), warned, "once for each disk");
}

/// A mount that goes with it.
struct Mount(std::path::PathBuf);

impl Mount {
    /// `None` without the right to mount, or without this filesystem.
    fn new(kind: &str, options: &str, at: &Path) -> Option<Mount> {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", kind, "-o", options, kind]).arg(at).output().unwrap();
        done.status.success().then(|| Mount(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn an_overlay_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let base = Mount::new("tmpfs", "size=32m", &dir.path().join("base"));
    let at = |name: &str| dir.path().join("base").join(name);
    ["lower", "upper", "work"].iter().for_each(|name| std::fs::create_dir_all(at(name)).unwrap());
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower").display(),
        at("upper").display(),
        at("work").display()
    );
    let merged = dir.path().join("merged");
    let Some(_overlay) = Mount::new("overlay", &layers, &merged) else {
        println!("skipped: no right to mount an overlay");
        return;
    };
    assert_eq!(warnings(&[&merged]), [(1, State::ReadWrite, Cause::UntestedFilesystem, Op::Open)]);
    drop((_overlay, base));
}

/// It forgets names whose sync has failed, where a journal does not (docs/reliability.md, "Known and open").
#[test]
fn ext4_without_a_journal_is_a_warning() {
    for (feature, cause) in [("has_journal", None), ("^has_journal", Some(Cause::UntestedFilesystem))] {
        let dir = tempfile::tempdir().unwrap();
        let Some(mounted) = Ext4::mount(dir.path(), feature, "rw") else {
            assert!(std::env::var_os("CI").is_none(), "no right to mount: in CI a skip is a failure");
            println!("skipped: no right to mount");
            return;
        };
        let warned = cause.map(|cause| (1, State::ReadWrite, cause, Op::Open));
        assert_eq!(warnings(&[&mounted.0]), Vec::from_iter(warned), "{feature}");
    }
}

#[test]
fn the_tested_filesystems_are_no_warning_and_others_are() {
    for (filesystem, cause) in [
        (Filesystem::Ext4, None),
        (Filesystem::Xfs, None),
        (Filesystem::Btrfs, None),
        (Filesystem::Memory, Some(Cause::VolatileFilesystem)),
        (Filesystem::Other(0x6969), Some(Cause::UntestedFilesystem)),
    ] {
        let disk = SimDisk::with_config(1, SimConfig { filesystem, ..SimConfig::default() });
        let engine = crate::support::engine(&disk);
        let _open = [open(&engine, "/p1", 1, Mode::Sync), open(&engine, "/p2", 2, Mode::Sync)];
        assert_eq!(engine.events(10).iter().map(|e| e.cause).collect::<Vec<_>>(), Vec::from_iter(cause));
    }
}

#[test]
fn a_filesystem_that_cannot_make_a_log_durable_is_refused() {
    for (kind, path) in [(OpKind::SyncDir, "/p1"), (OpKind::Sync, "/p1/root"), (OpKind::Lock, "/p1")] {
        for errno in [libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP] {
            let disk = SimDisk::with_config(1, SimConfig { direct_io: false, ..SimConfig::default() });
            disk.inject(Rule::errno(errno).on(kind).path(path));
            let engine = crate::support::engine(&disk);
            let opened = try_open(&engine, "/p1", 1, Mode::Sync);
            let refused = opened.map(|p| p.status()).expect_err(&format!("{kind:?}: no mode can be kept"));
            assert_eq!((refused.status, refused.errno), (Status::UnsupportedFilesystem, errno), "{kind:?}: {refused}");
            assert!(refused.message.contains("ext4"), "{refused}");
            // On a disk that can, the same path works.
            disk.clear_faults();
            open(&engine, "/p1", 1, Mode::Sync);
        }
    }
}
