//! Bad paths and directories on real files: each a distinct status with a message, nothing changed on disk. F26 across processes.

use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::*;
use bulkhead::{Disposition, Engine, EngineConfig, Error, Mode, PartitionConfig, State, Status};

fn engine() -> Engine {
    Engine::open(EngineConfig::default()).unwrap()
}

fn open_as(
    engine: &Engine,
    path: &Path,
    disposition: Disposition,
) -> Result<std::sync::Arc<bulkhead::Partition>, Error> {
    engine.open_partition(PartitionConfig { disposition, ..PartitionConfig::new(path, 7) })
}

fn refused(path: &Path, disposition: Disposition) -> Error {
    match open_as(&engine(), path, disposition) {
        Ok(p) => panic!("{} was opened: {:?}", path.display(), p.status()),
        Err(e) => e,
    }
}

/// Everything below a directory: names, sizes, contents.
fn picture(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.push((entry.path(), Vec::new()));
            all.extend(picture(&entry.path()));
        } else if kind.is_symlink() {
            all.push((entry.path(), b"link".to_vec()));
        } else {
            all.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    all.sort();
    all
}

/// A message says what was wrong and names the path.
fn assert_refusal(error: &Error, status: Status, path: &Path) {
    assert_eq!(error.status, status, "{error}");
    assert_eq!((error.path.as_path(), error.partition_id), (path, 7), "{error}");
    assert!(error.message.len() > 10, "{error}");
}

#[test]
fn paths_that_are_no_directory_each_have_their_status() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), b"text").unwrap();
    fs::create_dir(at("real")).unwrap();
    symlink(at("real"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    let before = picture(dir.path());
    assert_refusal(&refused(&at("missing"), Disposition::OpenExisting), Status::NotFound, &at("missing"));
    assert_refusal(&refused(&at("a/b"), Disposition::OpenOrCreate), Status::NotFound, &at("a/b"));
    assert_refusal(&refused(&at("file"), Disposition::OpenOrCreate), Status::NotADirectory, &at("file"));
    assert_refusal(&refused(&at("file/x"), Disposition::OpenOrCreate), Status::NotADirectory, &at("file/x"));
    assert_refusal(&refused(&at("link"), Disposition::OpenOrCreate), Status::Symlink, &at("link"));
    for link in ["link/", "link//", "link/."] {
        assert_refusal(&refused(&at(link), Disposition::OpenOrCreate), Status::Symlink, &at(link));
    }
    assert_refusal(&refused(&at("dangling"), Disposition::OpenOrCreate), Status::Symlink, &at("dangling"));
    assert_refusal(&refused(Path::new(""), Disposition::OpenOrCreate), Status::InvalidArgument, Path::new(""));
    assert_eq!(picture(dir.path()), before, "a refused open changes nothing on disk");
}

#[test]
fn dispositions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let engine = engine();
    open_as(&engine, &path, Disposition::CreateNew).unwrap().close().unwrap();
    assert_refusal(&refused(&path, Disposition::CreateNew), Status::AlreadyExists, &path);
    open_as(&engine, &path, Disposition::OpenExisting).unwrap().close().unwrap();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let error = refused(&empty, Disposition::OpenExisting);
    assert!(matches!(error.status, Status::NotFound | Status::Foreign), "an empty directory holds no log: {error}");
    assert_eq!(picture(&empty), vec![]);
    open_as(&engine, &empty, Disposition::OpenOrCreate).unwrap();
}

#[test]
fn foreign_directories_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, files: &[(&str, &[u8])]| {
        let at = dir.path().join(name);
        fs::create_dir(&at).unwrap();
        files.iter().for_each(|(f, bytes)| fs::write(at.join(f), bytes).unwrap());
        at
    };
    let cubefs = make("cubefs", &[("META", &[0; 40]), ("0000000000000001-0000000000000001.log", b"")]);
    let fresh_cubefs = make("fresh-cubefs", &[("META", b"")]);
    let other = make("other", &[("notes.txt", b"hello")]);
    let noise = make("noise", &[("root", b"not a root")]);
    let cubefs = [cubefs, fresh_cubefs];
    for path in cubefs.iter().cloned().chain([other, noise]) {
        let before = picture(&path);
        for disposition in [Disposition::OpenOrCreate, Disposition::OpenExisting] {
            match open_as(&engine(), &path, disposition) {
                Err(e) => assert_refusal(
                    &e,
                    if cubefs.contains(&path) { Status::NeedsImport } else { Status::Foreign },
                    &path,
                ),
                // A root that is all damage cannot be told from someone else's file of that name.
                Ok(p) => {
                    assert_eq!((path.ends_with("noise"), state(&p)), (true, State::Unavailable), "{}", path.display())
                }
            }
            assert_eq!(picture(&path), before, "{} was changed", path.display());
        }
    }
}

#[test]
fn versions_from_the_future_are_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    open_as(&engine(), &path, Disposition::CreateNew).unwrap().close().unwrap();
    let mut root = fs::read(path.join("root")).unwrap();
    for slot in 0..4usize {
        let at = slot * 4096;
        root[at + 8..at + 12].copy_from_slice(&9u32.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&(slot as u32).to_le_bytes());
        crc.update(&root[at..at + 508]);
        let sum = crc.finalize();
        root[at + 508..at + 512].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(path.join("root"), root).unwrap();
    let before = picture(&path);
    let error = refused(&path, Disposition::OpenOrCreate);
    assert_refusal(&error, Status::VersionTooNew, &path);
    assert!(error.message.contains('9'), "the message names the version: {error}");
    assert_eq!(picture(&path), before);
}

#[test]
fn another_partitions_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let engine = engine();
    engine.open_partition(PartitionConfig::new(&path, 8)).unwrap().close().unwrap();
    let before = picture(&path);
    assert_refusal(&refused(&path, Disposition::OpenOrCreate), Status::WrongPartition, &path);
    assert_eq!(picture(&path), before);
}

#[test]
fn damage_opens_as_unavailable_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    open_as(&engine(), &path, Disposition::CreateNew).unwrap().close().unwrap();
    let mut root = fs::read(path.join("root")).unwrap();
    (0..4).for_each(|slot| root[slot * 4096 + 70] ^= 1);
    fs::write(path.join("root"), root).unwrap();
    let before = picture(&path);
    let engine = engine();
    let p = open_as(&engine, &path, Disposition::OpenOrCreate).unwrap();
    assert_eq!((state(&p), p.status().cause), (State::Unavailable, bulkhead::Cause::Damage));
    assert_eq!(append(&p, &entries(1, 1, 1, 1)).map_err(|e| e.status), Err(Status::Damaged));
    p.close().unwrap();
    assert_eq!(picture(&path), before);
}

/// What is no file is damage, not an error of the disk, and nothing waits for a pipe's other end.
#[test]
fn f15_something_else_in_the_place_of_a_segment_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let first = engine();
    let p = open_as(&first, &path, Disposition::CreateNew).unwrap();
    append(&p, &entries(1, 3, 1, 100)).unwrap();
    p.close().unwrap();
    let segment = path.join("seg-0000000000000001");
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&segment, &elsewhere).unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let others: [(&str, Make); 4] = [
        ("a pipe", &|at| assert!(Command::new("mkfifo").arg(at).status().unwrap().success())),
        ("a socket", &|at| drop(std::os::unix::net::UnixListener::bind(at).unwrap())),
        ("a link", &|at| symlink(&elsewhere, at).unwrap()),
        ("a directory", &|at| fs::create_dir(at).unwrap()),
    ];
    for (what, make) in others {
        make(&segment);
        let engine = engine();
        let p = open_as(&engine, &path, Disposition::OpenOrCreate).unwrap();
        let fault = p.last_fault().unwrap_or_else(|| panic!("{what}"));
        assert_eq!((fault.status, fault.cause()), (Status::Damaged, bulkhead::Cause::Damage), "{what}: {fault}");
        assert!(fault.message.contains("is not a regular file"), "{what}: {fault}");
        p.close().unwrap();
        fs::remove_file(&segment).or_else(|_| fs::remove_dir(&segment)).unwrap();
    }
    fs::rename(&elsewhere, &segment).unwrap();
    let engine = engine();
    let p = open_as(&engine, &path, Disposition::OpenOrCreate).unwrap();
    assert_same(&read_all(&p).unwrap(), &entries(1, 3, 1, 100), "put back");
}

#[test]
fn f15_a_segment_of_enormous_length_costs_no_time() {
    const ENORMOUS: u64 = 1 << 40;
    for mode in [Mode::None, Mode::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let engine = engine();
        let config = |path: &Path| PartitionConfig { mode, ..PartitionConfig::new(path, 7) };
        let p = engine.open_partition(config(&path)).unwrap();
        append_each(&p, 1, 20, 1, 400);
        p.sync().unwrap();
        // As a kill leaves it: not closed.
        let copy = dir.path().join("copy");
        fs::create_dir(&copy).unwrap();
        for (name, bytes) in picture(&path).into_iter().filter(|(name, _)| name.is_file()) {
            fs::write(copy.join(name.file_name().unwrap()), bytes).unwrap();
        }
        let segment = fs::OpenOptions::new().write(true).open(copy.join("seg-0000000000000001")).unwrap();
        segment.set_len(ENORMOUS).unwrap();
        let began = std::time::Instant::now();
        let p = engine.open_partition(config(&copy)).unwrap();
        assert!(began.elapsed().as_secs() < 5, "{mode:?}: {:?}", began.elapsed());
        assert_eq!((p.status().state, p.bounds().unwrap().1), (State::ReadWrite, 20), "{mode:?}: {:?}", p.last_fault());
    }
}

/// Runs one test of this program in a process of its own, as another user if `nobody` is set; returns what it printed.
fn in_child(test: &str, path: &Path, nobody: bool) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env("BULKHEAD_CHILD_PATH", path).stderr(Stdio::null());
    if nobody {
        use std::os::unix::process::CommandExt;
        command.uid(65534).gid(65534);
    }
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

/// The child half of other tests: by itself it does nothing.
#[test]
fn child_opens_and_says_how_it_went() {
    let Some(path) = std::env::var_os("BULKHEAD_CHILD_PATH") else { return };
    match engine().open_partition(PartitionConfig::new(PathBuf::from(path), 7)) {
        Ok(p) => println!("OPENED {:?}", state(&p)),
        Err(e) => println!("REFUSED {:?} {}", e.status, e.errno),
    }
}

/// The child half of another test: by itself it does nothing.
#[test]
fn child_opens_and_waits_to_be_killed() {
    let Some(path) = std::env::var_os("BULKHEAD_CHILD_PATH") else { return };
    let engine = engine();
    let p = engine.open_partition(PartitionConfig::new(PathBuf::from(path), 7)).unwrap();
    append(&p, &entries(1, 3, 1, 100)).unwrap();
    println!("READY");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

/// The child half of another test: by itself it does nothing.
#[test]
fn child_appends_until_it_is_refused() {
    let Some(path) = std::env::var_os("BULKHEAD_CHILD_PATH") else { return };
    let engine = engine();
    let config = PartitionConfig { mode: Mode::Sync, ..PartitionConfig::new(PathBuf::from(path), 7) };
    let p = engine.open_partition(config).unwrap();
    for i in 1..1000 {
        if let Err(e) = append(&p, &entries(i, i, 1, 100_000)) {
            println!("REFUSED {:?} {}, {} entries", e.status, e.errno, read_all(&p).unwrap().len());
            return;
        }
    }
}

/// The kernel sends SIGXFSZ to a thread that writes beyond RLIMIT_FSIZE, which ends a process that has said nothing else.
#[test]
fn f08_a_limit_of_file_size_is_a_refusal_and_not_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("prlimit");
    command.arg(format!("--fsize={}", 128 << 10)).arg(std::env::current_exe().unwrap());
    command.args(["paths::child_appends_until_it_is_refused", "--exact", "--nocapture"]);
    let child = command.env("BULKHEAD_CHILD_PATH", dir.path().join("p")).output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains(&format!("REFUSED NoSpace {}", libc::EFBIG)), "{:?}: {said}", child.status);
}

#[test]
fn a_directory_that_may_not_be_written_is_permission_denied() {
    // As root nothing is denied: a child without privileges tries.
    let dir = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    for (name, mode) in [("closed", 0o000), ("read-only", 0o555)] {
        let parent = dir.path().join(name);
        fs::create_dir(&parent).unwrap();
        fs::set_permissions(&parent, fs::Permissions::from_mode(mode)).unwrap();
        let said = in_child("paths::child_opens_and_says_how_it_went", &parent.join("p"), is_root);
        assert!(said.contains("REFUSED PermissionDenied 13"), "{name}: {said}");
        let said = in_child("paths::child_opens_and_says_how_it_went", &parent, is_root);
        assert!(said.contains("REFUSED PermissionDenied 13"), "{name} itself: {said}");
    }
}

#[test]
fn f26_a_second_process_is_refused_and_a_killed_owner_leaves_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["paths::child_opens_and_waits_to_be_killed", "--exact", "--nocapture"])
        .env("BULKHEAD_CHILD_PATH", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(owner.stdout.take().unwrap()));
    assert!(lines.any(|l| l.unwrap().contains("READY")));
    assert_refusal(&refused(&path, Disposition::OpenOrCreate), Status::Locked, &path);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let engine = engine();
    let p = open_as(&engine, &path, Disposition::OpenExisting).unwrap();
    assert_eq!(p.status().mode, Mode::Sync);
    assert_same(&read_all(&p).unwrap(), &entries(1, 3, 1, 100), "what the killed process had acknowledged");
}

#[test]
fn f26_two_engines_of_one_process_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let one = engine();
    let p = open_as(&one, &path, Disposition::CreateNew).unwrap();
    let error = refused(&path, Disposition::OpenOrCreate);
    assert!(matches!(error.status, Status::AlreadyOpen | Status::Locked), "{error}");
    assert_eq!(open_as(&one, &path, Disposition::OpenOrCreate).err().map(|e| e.status), Some(Status::AlreadyOpen));
    p.close().unwrap();
    open_as(&one, &path, Disposition::OpenExisting).unwrap();
}
