//! Bytes on their way to files, in the order in which they are given: a thread of its own writes them while the next ones are read,
//! checked and encoded.

use crate::error::{Error, Op, Result, Status};
use crate::io::block_file_size_signal;
use crate::io::{write_all_at, File};
use crate::sync::thread::{Builder, JoinHandle};
use std::io;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Arc;

/// Pieces that wait for the thread. With the one that it writes and the one that is filled, this many and two are in memory.
const WAITING_MAX: usize = 2;

pub enum Step {
    Write { file: Arc<dyn File>, offset: u64, bytes: Vec<u8> },
    Sync(Arc<dyn File>),
}

impl Step {
    /// Returns the buffer of a write, for the next one.
    fn run(self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Step::Write { file, offset, mut bytes } => {
                write_all_at(&*file, &[&bytes], offset)?;
                file.start_write_back(offset, bytes.len() as u64);
                bytes.clear();
                Ok(Some(bytes))
            }
            Step::Sync(file) => file.sync().map(|()| None),
        }
    }
}

/// Where steps go. Dropping it waits for those that are on their way.
pub struct Output(Option<Beside>);

struct Beside {
    steps: SyncSender<Step>,
    written: Receiver<Vec<u8>>,
    thread: JoinHandle<io::Result<()>>,
}

impl Output {
    /// Without a thread, as in a simulation, or if the system has none to give, the caller does the steps.
    pub fn new(with_thread: bool) -> Output {
        Output(if with_thread { Beside::start().ok() } else { None })
    }

    /// Takes a step on; returns a buffer that is free, if there is one. An error may be that of an earlier step.
    pub fn push(&mut self, step: Step) -> Result<Option<Vec<u8>>> {
        let Some(beside) = &self.0 else { return step.run().map_err(failed) };
        match beside.steps.send(step) {
            Ok(()) => Ok(beside.written.try_recv().ok()),
            Err(_) => self.finish().and(Err(panicked())),
        }
    }

    /// Waits until all steps are done.
    pub fn finish(&mut self) -> Result<()> {
        let Some(Beside { steps, thread, .. }) = self.0.take() else { return Ok(()) };
        drop(steps);
        thread.join().map_err(|_| panicked())?.map_err(failed)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(Beside { steps, thread, .. }) = self.0.take() {
            drop(steps);
            let _ = thread.join();
        }
    }
}

impl Beside {
    fn start() -> io::Result<Beside> {
        let (steps, todo) = sync_channel::<Step>(WAITING_MAX);
        let (done, written) = sync_channel(WAITING_MAX + 2);
        let run = move || {
            block_file_size_signal();
            for step in todo {
                if let Some(bytes) = step.run()? {
                    // There is room for all buffers that there are; at the end nobody wants them.
                    let _ = done.try_send(bytes);
                }
            }
            Ok(())
        };
        let thread = Builder::new().name("bulkhead-export".into()).spawn(run)?;
        Ok(Beside { steps, written, thread })
    }
}

fn failed(e: io::Error) -> Error {
    Error::io(Op::Export, &e, "writing a log file")
}

fn panicked() -> Error {
    Error::new(Status::Panic, Op::Export, "the thread that writes the log files panicked; this is a bug of the library")
}
