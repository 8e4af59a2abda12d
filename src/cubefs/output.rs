//! Files on their way to the disk: a few threads write them, piece by piece, while the next pieces are read, checked and encoded, and sync and
//! read back each file that is complete.

use super::bad_file::BadFile;
use super::content::{read_back, BLOCK_BYTES, PIECE_BYTES};
use super::workers::{Done, Workers};
use crate::error::{Error, Op, Result, Status};
use crate::io::{retry_interrupted, write_all_at, Access, AlignedBuf, Dir, File};
use std::io;
use std::sync::Arc;

/// Most bytes that are on their way; a piece that is larger goes alone.
const UNDER_WAY_MAX: usize = 8 * PIECE_BYTES;

/// Where files go, one after the other. Dropping it waits for what is on its way.
pub struct Output {
    op: Op,
    dir: Arc<dyn Dir>,
    workers: Workers<Job, ()>,
    /// The file that takes the next pieces.
    current: Option<Open>,
    /// Complete, but not all of their pieces are written.
    ended: Vec<(Open, Check)>,
    begun: u64,
    under_way: usize,
    free: Vec<AlignedBuf>,
    read_back: u64,
    bad: Option<BadFile>,
}

/// A file that is being written, and its length so far.
struct Open {
    target: Arc<Target>,
    bytes: u64,
    pieces_under_way: usize,
}

struct Target {
    number: u64,
    name: String,
    file: Arc<dyn File>,
}

enum Job {
    Write { target: Arc<Target>, offset: u64, bytes: AlignedBuf },
    Finish { target: Arc<Target>, bytes: u64, check: Check },
}

/// Says whether a file, read past the page cache, holds what it should.
pub type Check = Box<dyn Fn(&dyn File) -> io::Result<bool> + Send>;

impl Output {
    /// For files in `dir`. Without threads, as in a simulation, or if the system has none to give, the caller does the work.
    pub fn new(op: Op, dir: Arc<dyn Dir>, with_threads: bool) -> Output {
        let medium = dir.clone();
        let workers = Workers::new(op, with_threads, move |job: &Job| job.run(op, &*medium));
        let (current, ended, free) = (None, Vec::new(), Vec::new());
        Output { op, dir, workers, current, ended, begun: 0, under_way: 0, free, read_back: 0, bad: None }
    }

    /// Creates the file that takes the next pieces, with space for `room` bytes.
    pub fn begin(&mut self, name: String, room: u64) -> Result<()> {
        if self.current.is_some() {
            return Err(misused(self.op));
        }
        let fail = |e: io::Error| Error::io(self.op, &e, &format!("creating {name}"));
        let file = self.dir.create(&name, Access::Direct).map_err(fail)?;
        if room > 0 {
            match retry_interrupted(|| file.allocate(room)) {
                Err(e) if e.raw_os_error() != Some(libc::EOPNOTSUPP) => return Err(fail(e)),
                _ => {}
            }
        }
        self.begun += 1;
        let target = Arc::new(Target { number: self.begun, name, file });
        self.current = Some(Open { target, bytes: 0, pieces_under_way: 0 });
        Ok(())
    }

    /// Bytes for the end of the file that was begun last: whole blocks, but for the file's last ones. An error may be that of an earlier piece.
    pub fn write(&mut self, mut bytes: AlignedBuf) -> Result<()> {
        while self.under_way > 0 && self.under_way + bytes.len() > UNDER_WAY_MAX {
            self.wait()?;
        }
        let Some(open) = self.current.as_mut() else { return Err(misused(self.op)) };
        if open.bytes % BLOCK_BYTES as u64 != 0 {
            let message = "a piece begins within a block that another one ends in; this is a bug of the library";
            return Err(Error::new(Status::Panic, self.op, message));
        }
        let (target, offset) = (open.target.clone(), open.bytes);
        open.bytes += bytes.len() as u64;
        open.pieces_under_way += 1;
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES));
        self.under_way += bytes.len();
        self.give(Job::Write { target, offset, bytes })
    }

    /// The file that was begun last is complete. It is synced, read back and checked.
    pub fn end(&mut self, check: Check) -> Result<()> {
        let Some(open) = self.current.take() else { return Err(misused(self.op)) };
        self.ended.push((open, check));
        self.finish_written()
    }

    /// Waits until all files are durable and read back.
    pub fn finish(&mut self) -> Result<()> {
        while self.wait()? {}
        if self.current.is_some() {
            return Err(misused(self.op));
        }
        Ok(())
    }

    /// Empty memory for a piece.
    pub fn buffer(&mut self) -> AlignedBuf {
        let mut buffer = self.free.pop().unwrap_or_else(AlignedBuf::huge);
        buffer.clear();
        buffer
    }

    /// Bytes that were read back since this was asked last.
    pub fn read_back(&mut self) -> u64 {
        std::mem::take(&mut self.read_back)
    }

    /// After an error: the file that met it, if it was the medium's.
    pub fn bad_file(&self) -> Option<BadFile> {
        self.bad.clone()
    }

    fn give(&mut self, job: Job) -> Result<()> {
        // What has come back frees memory, and tells early what went wrong.
        while let Some(done) = self.workers.done() {
            self.take(done)?;
        }
        let mut job = Some(job);
        while let Some(next) = job.take() {
            job = self.workers.give(next);
            if job.is_some() {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// False if there is nothing to wait for.
    fn wait(&mut self) -> Result<bool> {
        let Some(done) = self.workers.wait()? else { return Ok(false) };
        self.take(done)?;
        Ok(true)
    }

    fn take(&mut self, (job, result): Done<Job, ()>) -> Result<()> {
        if let Err(e) = result {
            let Target { number, name, .. } = job.target();
            self.bad = (e.status == Status::IoError).then(|| BadFile { number: *number, name: name.clone() });
            return Err(e);
        }
        match job {
            Job::Write { target, bytes, .. } => {
                self.under_way -= bytes.len();
                if bytes.len() <= 2 * PIECE_BYTES {
                    self.free.push(bytes);
                }
                let ended = self.ended.iter_mut().map(|(open, _)| open);
                if let Some(open) = ended.chain(&mut self.current).find(|o| o.target.number == target.number) {
                    open.pieces_under_way -= 1;
                }
                self.finish_written()
            }
            Job::Finish { bytes, .. } => {
                self.read_back += bytes;
                Ok(())
            }
        }
    }

    fn finish_written(&mut self) -> Result<()> {
        while let Some(at) = self.ended.iter().position(|(open, _)| open.pieces_under_way == 0) {
            let (Open { target, bytes, .. }, check) = self.ended.swap_remove(at);
            self.give(Job::Finish { target, bytes, check })?;
        }
        Ok(())
    }
}

impl Job {
    fn target(&self) -> &Target {
        match self {
            Job::Write { target, .. } | Job::Finish { target, .. } => target,
        }
    }

    fn run(&self, op: Op, dir: &dyn Dir) -> Result<()> {
        let Target { name, file, .. } = self.target();
        let fail = |e: io::Error| Error::io(op, &e, &format!("writing {name}"));
        match self {
            Job::Write { offset, bytes, .. } => write_all_at(&**file, &[bytes], *offset).map_err(fail),
            Job::Finish { bytes, check, .. } => {
                // What is allocated beyond, and the rest of the last block.
                if file.len().map_err(fail)? > *bytes {
                    file.set_len(*bytes).map_err(fail)?;
                }
                file.sync().map_err(fail)?;
                read_back(op, dir, name, check)
            }
        }
    }
}

fn misused(op: Op) -> Error {
    Error::new(Status::Panic, op, "no file was begun, or one was not ended; this is a bug of the library")
}

#[cfg(test)]
mod tests {
    use super::super::content::holds;
    use super::*;
    use crate::io::sim::{Fault, OpKind, Rule, SimDisk};
    use crate::io::Storage;

    /// An export of a thousand files must not hold a thousand descriptors, and what does not read back is told while there is work to save.
    #[test]
    fn a_file_that_is_read_back_is_let_go_and_a_bad_one_told_early() {
        for lie in [false, true] {
            let disk = SimDisk::new(1);
            disk.make_dirs("/out");
            if lie {
                disk.inject(Rule::new(Fault::Lost).on(OpKind::Write).path("/out/0").once());
            }
            let dir = disk.open_dir("/out".as_ref()).expect("it is there");
            let mut output = Output::new(Op::Export, dir, false);
            let mut finish = |n: u64| {
                output.begin(n.to_string(), 8192)?;
                let mut piece = output.buffer();
                piece.extend_from_slice(&[n as u8 + 1; 5000]);
                let sum = crc32c::crc32c(&piece);
                output.write(piece)?;
                output.end(Box::new(move |file| holds(file, 5000, sum)))
            };
            assert!(finish(0).is_ok(), "it waits to be looked at");
            let handles = disk.open_handles();
            let told: Vec<_> = (1..10).map(|n| finish(n).map_err(|e| e.status)).collect();
            if lie {
                assert_eq!(told[0], Err(Status::Damaged), "it goes on for nothing");
            } else {
                assert_eq!(told, [Ok(()); 9]);
                assert_eq!(disk.open_handles(), handles, "files stay open");
            }
        }
    }
}
