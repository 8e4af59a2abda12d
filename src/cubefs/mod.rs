//! CubeFS's own WAL directories: import in place, undo, export. Stands on the engine: an export reads a log through a
//! partition like any other; an import writes segments itself.
//!
//! | file | content |
//! |---|---|
//! | source, reader, scan, verdict, report | reads a CubeFS log and judges it |
//! | writer | writes one |
//! | segments | writes a Bulkhead log, and checks it record by record |
//! | output, workers, content | files on their way to the disk, and whether it gives them back |
//! | bad_file | what becomes of those that it does not take |
//! | switch | how a directory changes hands, safe against being cut short |
//! | settle | what becomes of one that was cut short |
//! | names | what names are, how they move and go |
//! | import, undo, export | the operations |
//! | target | the directory that an export makes |
//! | apart, watch | the thread that one has, and what becomes of it on a disk that hangs |

mod apart;
mod bad_file;
mod content;
mod export;
mod import;
mod names;
mod output;
mod reader;
mod report;
mod scan;
mod segments;
mod settle;
mod source;
mod switch;
mod target;
mod undo;
mod verdict;
mod watch;
mod workers;
mod writer;

pub use crate::format::SNAPSHOT_PENDING;
pub use export::Exported;
pub use report::{Finding, FindingKind, Progress, Report};
pub use switch::Shape;

use crate::engine::Engine;
use crate::error::{Error, Op, Result, Status};
use crate::format::Root;
use crate::io::Dir;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory to convert, and what its owner knows of it.
pub struct Conversion<'a> {
    engine: &'a Engine,
    path: PathBuf,
    partition_id: u64,
    known_index: u64,
    progress: &'a dyn Fn(Progress),
}

/// What a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub shape: Shape,
    /// CubeFS's files of before an import are kept.
    pub cubefs_original: bool,
    /// The import can be undone: nothing has changed since.
    pub undoable: bool,
    /// Bulkhead's files of before an export in place are kept.
    pub bulkhead_original: bool,
    /// The CubeFS log, if `shape` says that it is one's directory (or it was until this import).
    pub report: Report,
}

impl Inspection {
    fn new(shape: Shape) -> Inspection {
        Inspection {
            shape,
            cubefs_original: false,
            undoable: false,
            bulkhead_original: false,
            report: Report::default(),
        }
    }
}

impl<'a> Conversion<'a> {
    pub fn new(engine: &'a Engine, path: impl Into<PathBuf>, partition_id: u64) -> Conversion<'a> {
        Conversion { engine, path: path.into(), partition_id, known_index: 0, progress: &|_| {} }
    }

    /// An index that must be in the log (applied, or committed elsewhere): a log that ends below it is damage.
    pub fn known_index(mut self, index: u64) -> Conversion<'a> {
        self.known_index = index;
        self
    }

    /// Called on the caller's thread, when it has got on, twenty times a second at most. What an import reads back counts as well: its total is
    /// twice the log's bytes. Where a bad block makes it write again, it begins again.
    pub fn progress(mut self, tell: &'a dyn Fn(Progress)) -> Conversion<'a> {
        self.progress = tell;
        self
    }

    /// Says what the directory is; reads and judges a CubeFS log. Changes nothing and takes no lock: the directory may be in use.
    /// Reads on the caller's thread, as long as the disk takes.
    pub fn inspect(&self) -> Result<Inspection> {
        self.named(|| {
            let dir = self.open()?;
            let found = self.look(&*dir)?;
            if found.shape != Shape::Cubefs {
                return Ok(found);
            }
            match self.check(&*dir) {
                Ok(report) if report.damage().is_none() => Ok(Inspection { report, ..found }),
                // What changes hands goes away under who reads it.
                report => match self.look(&*dir)? {
                    now if now.shape != Shape::Cubefs => Ok(now),
                    _ => Ok(Inspection { report: report?, ..found }),
                },
            }
        })
    }

    /// Says whose the directory is, by its names alone.
    pub fn shape(&self) -> Result<Shape> {
        self.named(|| switch::shape(&*self.open()?))
    }

    fn open(&self) -> Result<Arc<dyn Dir>> {
        self.engine
            .storage()
            .open_dir(&self.path)
            .map_err(|e| crate::partition::path_error(&self.path, &e).with_op(Op::Import))
    }

    /// Opens and locks it. CubeFS's WAL takes no lock: its owner must have closed it.
    fn lock(&self) -> Result<Arc<dyn Dir>> {
        self.engine.check_not_open(&self.path, self.partition_id)?;
        let dir = self.open()?;
        dir.lock().map_err(|e| match e.raw_os_error() {
            Some(libc::EWOULDBLOCK) => {
                let message = "another process or engine has this directory open; close it there first";
                let own = self.engine.check_not_open(&self.path, self.partition_id);
                own.err().unwrap_or_else(|| Error::new(Status::Locked, Op::Import, message))
            }
            _ => Error::io(Op::Import, &e, "locking the directory"),
        })?;
        Ok(dir)
    }

    fn check_id(&self, root: &Root) -> Result<()> {
        if root.partition_id == self.partition_id {
            return Ok(());
        }
        let message = format!("the directory belongs to partition {}, not {}", root.partition_id, self.partition_id);
        Err(Error::new(Status::WrongPartition, Op::Import, message))
    }

    /// Errors say which partition and which directory.
    fn named<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        work().map_err(|e| {
            let path: &Path = &self.path;
            let error = if e.path.as_os_str().is_empty() { e.at(path) } else { e };
            if error.partition_id == 0 {
                error.partition(self.partition_id)
            } else {
                error
            }
        })
    }
}
