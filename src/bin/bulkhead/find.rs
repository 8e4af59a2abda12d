//! Which directories are meant.

use crate::interrupt;
use bulkhead::cubefs::{Conversion, Shape};
use bulkhead::io::real::RealStorage;
use bulkhead::{Backup, Engine, EngineConfig, Error, Op, Result, Status, Survey};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So long a conversion may take to exchange the files: some syncs of a disk that is busy.
const CHANGE_LIMIT: Duration = Duration::from_secs(5);

/// Whatever limit a log's engine has: the format's own.
const ENTRY_BYTES_MAX: u32 = 64 << 20;

/// CubeFS puts its logs two levels below a disk.
const DEPTH_MAX: usize = 4;

/// An engine with nothing open: no thread runs and nothing is touched before it is asked to.
pub fn engine() -> Result<Engine> {
    Engine::open(EngineConfig { max_entry_bytes: ENTRY_BYTES_MAX, ..EngineConfig::default() })
}

/// That a directory can be looked at. What it is otherwise that is no directory the library says.
pub fn look(path: &Path) -> Result<()> {
    let unfinished = || std::fs::canonicalize(path).is_ok_and(|p| p.ends_with(Backup::UNFINISHED));
    // Who makes it has the target locked.
    let is_made = || std::fs::canonicalize(path).is_ok_and(|p| p.parent().and_then(holder).is_some());
    // At its end there are segments without a root in the target.
    let is_target = || path.join(Backup::UNFINISHED).is_dir() && holder(path).is_some();
    let (status, message, errno) = match std::fs::read_dir(path) {
        Ok(_) if is_target() || unfinished() && is_made() => {
            (Status::Locked, "a backup is being made here; wait for its end", None)
        }
        Ok(_) if unfinished() => {
            let message = "a backup that was cut short, and no partition; remove it, and make the backup anew";
            (Status::Foreign, message, None)
        }
        Err(e) if e.kind() == ErrorKind::NotFound => (Status::NotFound, "there is no such directory", e.raw_os_error()),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            let message = "no permission to read the directory; run the command as its owner, or as root";
            (Status::PermissionDenied, message, e.raw_os_error())
        }
        _ => return Ok(()),
    };
    Err(Error { errno: errno.unwrap_or(0), ..Error::new(status, Op::Status, message) }.at(path))
}

/// That a copy can be made there: in a directory that there is, and that is none of the log's own.
pub fn check_target(source: &Path, target: &Path) -> Result<()> {
    let refuse = |status, message: &str| Err(Error::new(status, Op::Status, message).at(target));
    let absolute = std::path::absolute(target).unwrap_or_else(|_| target.to_path_buf());
    match absolute.parent().map(std::fs::canonicalize) {
        Some(Err(e)) if e.kind() == ErrorKind::NotFound => {
            refuse(Status::NotFound, "the directory in which it is to be made does not exist")
        }
        Some(Ok(parent)) if std::fs::canonicalize(source).is_ok_and(|source| parent.starts_with(source)) => {
            refuse(Status::InvalidArgument, "it is inside the directory that is to be copied; give one elsewhere")
        }
        _ => Ok(()),
    }
}

/// The log directories among `paths` and below them, each path's in order.
pub fn logs(engine: &Engine, paths: &[PathBuf]) -> Vec<(PathBuf, Result<Shape>)> {
    let mut found = Vec::new();
    for path in paths {
        let before = found.len();
        visit(engine, path, DEPTH_MAX, &mut found);
        if found.len() == before {
            let message = "no log in it, nor in the directories below";
            found.push((path.clone(), Err(Error::new(Status::NotFound, Op::Status, message).at(path))));
        }
    }
    found
}

fn visit(engine: &Engine, path: &Path, depth: usize, found: &mut Vec<(PathBuf, Result<Shape>)>) {
    match look(path).and_then(|()| Conversion::new(engine, path, 0).shape()) {
        Ok(Shape::Empty) => {}
        // One that has gone, or is none any more, was not asked for; a link in one is that one's fault.
        Err(e) if depth < DEPTH_MAX && is_no_directory(e.status) && !is_directory(path) => return,
        shape => return found.push((path.to_path_buf(), shape)),
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    let mut below: Vec<PathBuf> =
        entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect();
    below.sort();
    if depth > 0 {
        below.iter().for_each(|path| visit(engine, path, depth - 1, found));
    }
}

fn is_no_directory(status: Status) -> bool {
    matches!(status, Status::NotADirectory | Status::Symlink)
}

fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

/// Whose a directory is. While somebody is about to change that, it is waited for.
pub fn shape(engine: &Engine, path: &Path) -> Result<Shape> {
    let begun = Instant::now();
    loop {
        let shape = Conversion::new(engine, path, 0).shape()?;
        let under_way = matches!(shape, Shape::Importing | Shape::Exporting) && holder(path).is_some();
        if !under_way || begun.elapsed() > CHANGE_LIMIT || interrupt::is_set() {
            return Ok(shape);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The partition whose a Bulkhead directory is, also where an import or an export that was cut short has its root elsewhere.
pub fn id(engine: &Engine, path: &Path) -> Result<u64> {
    let id = |path: &Path| Survey::of(&RealStorage, path).map(|survey| survey.partition_id());
    id(path).or_else(|e| match Conversion::new(engine, path, 0).shape() {
        Ok(Shape::Importing) => id(&path.join("cubefs-import")),
        Ok(Shape::Exporting) => id(&path.join("bulkhead-original")),
        _ => Err(e),
    })
}

/// The number that a directory's name ends in, as in wal_7.
pub fn id_of_name(path: &Path) -> Result<u64> {
    let absolute = std::path::absolute(path).ok();
    let name = absolute.and_then(|p| p.file_name().map(|n| n.to_string_lossy().into_owned())).unwrap_or_default();
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name.get(digits..).and_then(|d| d.parse().ok()).filter(|id| *id != 0).ok_or_else(|| {
        let message = "the directory's name does not end in a partition id; give --id";
        Error::new(Status::InvalidArgument, Op::Import, message).at(path)
    })
}

/// The process that has the directory locked, from /proc/locks; none if that does not tell.
pub fn holder(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).ok()?;
    let device = meta.dev();
    let (major, minor) = ((device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00));
    let place = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    // The list comes in pieces, and a lock that ends between two of them may hide another one: a few looks.
    (0..3).find_map(|_| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        let line = locks.lines().find(|l| l.contains(" FLOCK ") && l.split_whitespace().any(|word| word == place))?;
        line.split_whitespace().find_map(|word| word.parse().ok())
    })
}
