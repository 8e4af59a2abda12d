//! Bytes on their way to files, in the order in which they are given: a thread of its own writes them while the next ones are read,
//! checked and encoded, and others read back what is complete.

use super::content::read_back_file;
use super::readers::Readers;
use crate::error::{Error, Op, Result, Status};
use crate::io::block_file_size_signal;
use crate::io::{write_all_at, Dir, File};
use crate::sync::thread::{Builder, JoinHandle};
use std::io;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Arc;

/// Pieces that wait for the thread. With the one that it writes and the one that is filled, this many and two are in memory.
const WAITING_MAX: usize = 2;

pub enum Step {
    Write { file: Arc<dyn File>, offset: u64, bytes: Vec<u8> },
    Finish(Written),
}

/// A file that is complete but for its sync, and what it should hold: so many bytes with this CRC-32C.
pub struct Written {
    pub file: Arc<dyn File>,
    pub name: String,
    pub bytes: u64,
    pub sum: u32,
}

impl Written {
    /// It is on the medium.
    pub fn read_back(&self, dir: &dyn Dir) -> Result<()> {
        read_back_file(dir, &self.name, self.bytes, self.sum)
    }
}

/// Does steps. What is complete is read back by others meanwhile.
struct Work {
    readers: Readers<Written, ()>,
}

impl Work {
    fn new(dir: Arc<dyn Dir>, with_threads: bool) -> Work {
        Work { readers: Readers::new(with_threads, move |written: &Written| written.read_back(&*dir)) }
    }

    /// Returns the buffer of a write, for the next one.
    fn step(&mut self, step: Step) -> Result<Option<Vec<u8>>> {
        match step {
            Step::Write { file, offset, mut bytes } => {
                write_all_at(&*file, &[&bytes], offset).map_err(failed)?;
                file.start_write_back(offset, bytes.len() as u64);
                bytes.clear();
                Ok(Some(bytes))
            }
            Step::Finish(written) => {
                written.file.sync().map_err(failed)?;
                // What is done lets its file go, and tells early what does not read back.
                while let Some((_, result)) = self.readers.done() {
                    result?;
                }
                let mut job = self.readers.give(written);
                while let Some(written) = job {
                    self.wait()?;
                    job = self.readers.give(written);
                }
                Ok(None)
            }
        }
    }

    /// False if there is nothing to wait for.
    fn wait(&mut self) -> Result<bool> {
        let done = self.readers.wait()?;
        done.map_or(Ok(false), |(_, result)| result.map(|()| true))
    }

    fn end(&mut self) -> Result<()> {
        while self.wait()? {}
        Ok(())
    }
}

/// Where steps go. Dropping it waits for those that are on their way.
pub struct Output(Place);

enum Place {
    Here(Work),
    Beside(Option<Beside>),
}

struct Beside {
    steps: SyncSender<Step>,
    written: Receiver<Vec<u8>>,
    thread: JoinHandle<Result<()>>,
}

impl Output {
    /// For files in `dir`. Without a thread, as in a simulation, or if the system has none to give, the caller does the steps.
    pub fn new(dir: Arc<dyn Dir>, with_threads: bool) -> Output {
        let beside = if with_threads { Beside::start(dir.clone()).ok() } else { None };
        Output(beside.map_or_else(|| Place::Here(Work::new(dir, false)), |beside| Place::Beside(Some(beside))))
    }

    /// Takes a step on; returns a buffer that is free, if there is one. An error may be that of an earlier step.
    pub fn push(&mut self, step: Step) -> Result<Option<Vec<u8>>> {
        match &mut self.0 {
            Place::Here(work) => work.step(step),
            Place::Beside(Some(beside)) if beside.steps.send(step).is_ok() => Ok(beside.written.try_recv().ok()),
            Place::Beside(_) => self.finish().and(Err(panicked())),
        }
    }

    /// Waits until all steps are done.
    pub fn finish(&mut self) -> Result<()> {
        match &mut self.0 {
            Place::Here(work) => work.end(),
            Place::Beside(beside) => beside.take().map_or(Ok(()), Beside::end),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Place::Beside(beside) = &mut self.0 {
            let _ = beside.take().map(Beside::end);
        }
    }
}

impl Beside {
    fn start(dir: Arc<dyn Dir>) -> io::Result<Beside> {
        let (steps, todo) = sync_channel::<Step>(WAITING_MAX);
        let (done, written) = sync_channel(WAITING_MAX + 2);
        let run = move || {
            block_file_size_signal();
            let mut work = Work::new(dir, true);
            for step in todo {
                if let Some(bytes) = work.step(step)? {
                    // There is room for all buffers that there are; at the end nobody wants them.
                    let _ = done.try_send(bytes);
                }
            }
            work.end()
        };
        let thread = Builder::new().name("bulkhead-export".into()).spawn(run)?;
        Ok(Beside { steps, written, thread })
    }

    fn end(self) -> Result<()> {
        drop(self.steps);
        self.thread.join().map_err(|_| panicked())?
    }
}

fn failed(e: io::Error) -> Error {
    Error::io(Op::Export, &e, "writing a log file")
}

fn panicked() -> Error {
    Error::new(Status::Panic, Op::Export, "the thread that writes the log files panicked; this is a bug of the library")
}
