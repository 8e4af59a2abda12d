//! A few threads that write files and read them back: they wait for the disk, not for a processor.

use crate::error::{Error, Op, Result, Status};
use crate::io::block_file_size_signal;
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{channel, sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::Arc;

/// Each holds a piece of a file. As many jobs wait for them.
const WORKERS: usize = 4;

/// Where jobs go to be done, in any order. Dropping it waits for those that were given.
pub struct Workers<J, T> {
    /// Whose work it is: a panic says so.
    op: Op,
    run: Arc<Run<J, T>>,
    threads: Option<Threads<J, T>>,
    /// Done by the caller, for want of threads.
    done_here: VecDeque<Done<J, T>>,
    /// Jobs that were given and have not come back.
    open: usize,
}

type Run<J, T> = dyn Fn(&J) -> Result<T> + Send + Sync;
/// A job, and what came of it.
pub type Done<J, T> = (J, Result<T>);

struct Threads<J, T> {
    todo: SyncSender<J>,
    done: Receiver<Done<J, T>>,
    handles: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static, T: Send + 'static> Workers<J, T> {
    /// Without threads, as in a simulation, or if the system has none to give, the caller does the jobs.
    pub fn new(op: Op, with_threads: bool, run: impl Fn(&J) -> Result<T> + Send + Sync + 'static) -> Workers<J, T> {
        let run: Arc<Run<J, T>> = Arc::new(run);
        let threads = if with_threads { Threads::start(op, &run) } else { None };
        Workers { op, run, threads, done_here: VecDeque::new(), open: 0 }
    }

    /// Takes a job on, or gives it back if there is enough to do.
    pub fn give(&mut self, job: J) -> Option<J> {
        match &self.threads {
            None => {
                let result = (self.run)(&job);
                self.done_here.push_back((job, result));
            }
            Some(threads) => {
                if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = threads.todo.try_send(job) {
                    return Some(job);
                }
            }
        }
        self.open += 1;
        None
    }

    /// A job that has come back.
    pub fn done(&mut self) -> Option<Done<J, T>> {
        let done = self.done_here.pop_front().or_else(|| self.threads.as_ref()?.done.try_recv().ok())?;
        self.open -= 1;
        Some(done)
    }

    /// The same, and waits for one if there are any.
    pub fn wait(&mut self) -> Result<Option<Done<J, T>>> {
        if self.open == 0 {
            return Ok(None);
        }
        let done = self.done_here.pop_front().or_else(|| self.threads.as_ref()?.done.recv().ok());
        self.open -= 1;
        done.map(Some).ok_or_else(|| panicked(self.op))
    }
}

impl<J: Send + 'static, T: Send + 'static> Threads<J, T> {
    fn start(op: Op, run: &Arc<Run<J, T>>) -> Option<Threads<J, T>> {
        let (todo, next) = sync_channel::<J>(WORKERS);
        let (tell, done) = channel();
        let next = Arc::new(Mutex::new(next));
        let begin = |_| {
            let (run, next, tell) = (run.clone(), next.clone(), tell.clone());
            let work = move || {
                block_file_size_signal();
                loop {
                    let job = next.lock().recv();
                    let Ok(job) = job else { return };
                    // It is waited for.
                    let result = catch_unwind(AssertUnwindSafe(|| run(&job)));
                    if tell.send((job, result.unwrap_or_else(|_| Err(panicked(op))))).is_err() {
                        return;
                    }
                }
            };
            Builder::new().name("bulkhead-convert".into()).spawn(work).ok()
        };
        let handles: Vec<JoinHandle<()>> = (0..WORKERS).map_while(begin).collect();
        (!handles.is_empty()).then_some(Threads { todo, done, handles })
    }
}

impl<J, T> Drop for Workers<J, T> {
    fn drop(&mut self) {
        if let Some(Threads { todo, done, handles }) = self.threads.take() {
            drop((todo, done));
            for handle in handles {
                let _ = handle.join();
            }
        }
    }
}

fn panicked(op: Op) -> Error {
    Error::new(Status::Panic, op, "a thread that writes or reads back panicked; this is a bug of the library")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_comes_back_once_and_a_panic_is_an_error() {
        for with_threads in [false, true] {
            let mut workers = Workers::new(Op::Export, with_threads, move |n: &u32| match n % 10 {
                // As a panic does, without its message: several threads that print at a time are a race to the thread sanitizer.
                7 if with_threads => std::panic::resume_unwind(Box::new("a bug")),
                _ => Ok(n * 2),
            });
            let mut outcomes = Vec::new();
            for n in 0..40 {
                let mut job = Some(n);
                while let Some(n) = job.take() {
                    job = workers.give(n);
                    if job.is_some() {
                        outcomes.extend(workers.wait().expect("threads are there"));
                    }
                }
            }
            while let Some(done) = workers.wait().expect("threads are there") {
                outcomes.push(done);
            }
            assert!(workers.done().is_none());
            outcomes.sort_by_key(|(n, _)| *n);
            assert!(outcomes.iter().map(|(n, _)| *n).eq(0..40));
            for (n, result) in outcomes {
                let expected = if with_threads && n % 10 == 7 { Err((Status::Panic, Op::Export)) } else { Ok(n * 2) };
                assert_eq!(result.map_err(|e| (e.status, e.op)), expected);
            }
        }
    }
}
