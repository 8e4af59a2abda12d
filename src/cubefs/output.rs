//! Files on their way to the disk: a few threads write them, piece by piece, while the next pieces are read, checked and encoded, and sync and
//! read back each file that is complete.

use super::content::{read_back, BLOCK_BYTES, PIECE_BYTES};
use super::workers::{Done, Workers};
use crate::error::{Error, Op, Result, Status};
use crate::io::{retry_interrupted, write_all_at, Access, AlignedBuf, Dir, File};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Most bytes that are on their way; a piece that is larger goes alone.
const UNDER_WAY_MAX: usize = 8 * PIECE_BYTES;

/// Where files go, one after the other. Dropping it waits for what is on its way.
pub struct Output {
    op: Op,
    dir: Arc<dyn Dir>,
    workers: Workers<Job, ()>,
    /// Those that are not complete, or not all of whose pieces are written. The last one takes the next piece.
    open: VecDeque<Open>,
    begun: u64,
    under_way: usize,
    free: Vec<AlignedBuf>,
    read_back: u64,
}

/// A file that is being written.
struct Open {
    number: u64,
    written: Written,
    pieces_under_way: usize,
}

enum Job {
    Write { number: u64, file: Arc<dyn File>, offset: u64, bytes: AlignedBuf },
    Finish(Written),
}

/// Says whether a file, read past the page cache, holds what it should.
pub type Check = Box<dyn Fn(&dyn File) -> io::Result<bool> + Send>;

/// A file, its length so far, and what is to be asked of it, once it is complete.
struct Written {
    file: Arc<dyn File>,
    name: String,
    bytes: u64,
    check: Option<Check>,
}

impl Output {
    /// For files in `dir`. Without threads, as in a simulation, or if the system has none to give, the caller does the work.
    pub fn new(op: Op, dir: Arc<dyn Dir>, with_threads: bool) -> Output {
        let target = dir.clone();
        let workers = Workers::new(op, with_threads, move |job: &Job| job.run(op, &*target));
        Output { op, dir, workers, open: VecDeque::new(), begun: 0, under_way: 0, free: Vec::new(), read_back: 0 }
    }

    /// Creates the file that takes the next pieces, with space for `room` bytes.
    pub fn begin(&mut self, name: String, room: u64) -> Result<()> {
        let fail = |e: io::Error| Error::io(self.op, &e, &format!("creating {name}"));
        let file = self.dir.create(&name, Access::Direct).map_err(fail)?;
        if room > 0 {
            match retry_interrupted(|| file.allocate(room)) {
                Err(e) if e.raw_os_error() != Some(libc::EOPNOTSUPP) => return Err(fail(e)),
                _ => {}
            }
        }
        self.begun += 1;
        let written = Written { file, name, bytes: 0, check: None };
        self.open.push_back(Open { number: self.begun, written, pieces_under_way: 0 });
        Ok(())
    }

    /// Bytes for the end of the file that was begun last: whole blocks, but for the file's last ones. An error may be that of an earlier piece.
    pub fn write(&mut self, mut bytes: AlignedBuf) -> Result<()> {
        while self.under_way > 0 && self.under_way + bytes.len() > UNDER_WAY_MAX {
            self.wait()?;
        }
        let Some(open) = self.open.back_mut() else { return Err(no_file(self.op)) };
        let Written { file, bytes: end, .. } = &mut open.written;
        if *end % BLOCK_BYTES as u64 != 0 {
            let message = "a piece begins within a block that another one ends in; this is a bug of the library";
            return Err(Error::new(Status::Panic, self.op, message));
        }
        let (file, offset) = (file.clone(), *end);
        *end += bytes.len() as u64;
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES));
        self.under_way += bytes.len();
        open.pieces_under_way += 1;
        let number = open.number;
        self.give(Job::Write { number, file, offset, bytes })
    }

    /// The file that was begun last is complete. It is synced, read back and checked.
    pub fn end(&mut self, check: Check) -> Result<()> {
        let Some(open) = self.open.back_mut() else { return Err(no_file(self.op)) };
        open.written.check = Some(check);
        self.finish_written()
    }

    /// Waits until all files are durable and read back.
    pub fn finish(&mut self) -> Result<()> {
        while self.wait()? {}
        // One that nobody has ended.
        self.open.pop_front().map_or(Ok(()), |_| Err(no_file(self.op)))
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
        result?;
        match job {
            Job::Write { number, bytes, .. } => {
                self.under_way -= bytes.len();
                if bytes.len() <= 2 * PIECE_BYTES {
                    self.free.push(bytes);
                }
                if let Some(open) = self.open.iter_mut().find(|open| open.number == number) {
                    open.pieces_under_way -= 1;
                }
                self.finish_written()
            }
            Job::Finish(written) => {
                self.read_back += written.bytes;
                Ok(())
            }
        }
    }

    fn finish_written(&mut self) -> Result<()> {
        while let Some(at) =
            self.open.iter().position(|open| open.written.check.is_some() && open.pieces_under_way == 0)
        {
            let Some(open) = self.open.remove(at) else { break };
            self.give(Job::Finish(open.written))?;
        }
        Ok(())
    }
}

impl Job {
    fn run(&self, op: Op, dir: &dyn Dir) -> Result<()> {
        let fail = |e: io::Error| Error::io(op, &e, "writing a file");
        match self {
            Job::Write { file, offset, bytes, .. } => write_all_at(&**file, &[bytes], *offset).map_err(fail),
            Job::Finish(Written { file, name, bytes, check }) => {
                // What is allocated beyond, and the rest of the last block.
                if file.len().map_err(fail)? > *bytes {
                    file.set_len(*bytes).map_err(fail)?;
                }
                file.sync().map_err(fail)?;
                read_back(op, dir, name, |file| check.as_ref().map_or(Ok(false), |check| check(file)))
            }
        }
    }
}

fn no_file(op: Op) -> Error {
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
