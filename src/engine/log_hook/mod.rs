//! The owner's log: every event as a line, handed to a function of the owner's. A thread of its own calls it, without any lock: what the
//! owner does with a line, and how long that takes, keeps no partition from working.

mod limit;
mod line;

pub use line::{LogLevel, LogLine};

use super::{closed, Engine};
use crate::error::{Error, Op, Result, Status};
use crate::io::block_file_size_signal;
use crate::partition::Event;
use crate::sync::thread::JoinHandle;
use crate::sync::{Condvar, Mutex};
use limit::Limit;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Instant;

/// What is called with each line.
pub type LogHook = Box<dyn FnMut(&LogLine) + Send>;

/// Lines that wait for a slow hook; of more there are the last changes of partitions, in the limit.
const WAITING_MAX: usize = 1024;

#[derive(Default)]
pub struct HookedLog {
    /// Events are wanted. Looked at without the lock.
    on: AtomicBool,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Held while a hook is put in another's place.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Lines handed out.
    lines: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    limit: Limit,
    /// With how many of their partition were left out before them.
    lines: VecDeque<(Event, u64)>,
    stop: bool,
    /// Who calls the hook.
    caller: Option<ThreadId>,
}

impl HookedLog {
    /// Called for every event, under locks of the partition's: waits for nothing but another offer.
    pub fn offer(&self, event: &Event) {
        if !self.on.load(Ordering::Acquire) {
            return;
        }
        let mut waiting = self.waiting.lock();
        let room = waiting.lines.len() < WAITING_MAX;
        let due = waiting.limit.next_due();
        let line = waiting.limit.admit(event, room, Instant::now());
        if let Some(left_out) = line {
            waiting.lines.push_back((event.clone(), left_out));
        }
        if line.is_some() || waiting.limit.next_due() != due {
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// Lines handed out and left out, since the engine was opened.
    pub fn counts(&self) -> (u64, u64) {
        (self.lines.load(Ordering::Relaxed), self.waiting.lock().limit.left_out())
    }

    /// True inside a call of the hook.
    fn is_calling(&self) -> bool {
        self.waiting.lock().caller == Some(thread::current().id())
    }

    /// Takes the old hook away. When this returns it is not running and will not run again; without a new one it has had all lines.
    fn end(&self, thread: &mut Option<JoinHandle<()>>, on: bool) {
        self.on.store(on, Ordering::Release);
        self.waiting.lock().stop = true;
        self.wake.notify_all();
        if let Some(thread) = thread.take() {
            let _ = thread.join(); // it catches what its hook does
        }
        let mut waiting = self.waiting.lock();
        waiting.stop = false;
        if !on {
            (waiting.caller, waiting.lines) = (None, VecDeque::new());
            waiting.limit.begin();
        }
    }

    fn run(&self, mut hook: LogHook) {
        block_file_size_signal(); // an owner's log file has its limits, too
        self.waiting.lock().caller = Some(thread::current().id());
        while let Some((event, left_out)) = self.next() {
            self.lines.fetch_add(1, Ordering::Relaxed);
            let call = || hook(&LogLine::of(&event, left_out));
            if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
                std::mem::forget(payload); // its destructor could panic again
            }
        }
    }

    /// Waits for a line. None if the hook's time is over.
    fn next(&self) -> Option<(Event, u64)> {
        let mut waiting = self.waiting.lock();
        loop {
            // The next hook gets what is left, if there is one.
            let replaced = waiting.stop && self.on.load(Ordering::Acquire);
            if replaced {
                return None;
            }
            waiting.queue_due();
            if let Some((event, left_out)) = waiting.lines.pop_front() {
                return Some((event, left_out + waiting.limit.take_crowded()));
            }
            if waiting.stop {
                return None;
            }
            match waiting.limit.next_due() {
                Some(due) => drop(self.wake.wait_until(&mut waiting, due)),
                None => self.wake.wait(&mut waiting),
            }
        }
    }
}

impl Waiting {
    /// What was held back long enough stands behind what came before it; all of it in the end.
    fn queue_due(&mut self) {
        let now = Instant::now();
        while self.stop || self.lines.len() < WAITING_MAX {
            match self.limit.take_due(now, self.stop) {
                Some(line) => self.lines.push_back(line),
                None => return,
            }
        }
    }
}

impl Engine {
    /// Sets the function that gets a line for each event from now on, or takes it away; one that was set before is then not running and will
    /// not run again. Without a new one it gets the lines that wait first. So does the engine's close.
    ///
    /// A thread of the engine's calls the hook, one line at a time, without any lock: it may call everything but this and the close of the same
    /// engine. A panic in it is caught. Of lines that repeat (same partition, state, cause and operation; not settings of limits) there are at
    /// most three in ten seconds; what the partition came to last is told when they are over, and each line says how many were left out.
    ///
    /// Errors: `Closed`, `Busy` when called by the hook, `ResourceExhausted` (no thread; there is no hook then).
    pub fn set_log_hook(&self, hook: Option<LogHook>) -> Result<()> {
        self.refuse_in_log_hook(Op::Status)?;
        let log = &self.shared.events.log;
        let mut thread = log.thread.lock();
        if self.state.lock().closed {
            return Err(closed().with_op(Op::Status));
        }
        log.end(&mut thread, hook.is_some());
        let Some(hook) = hook else { return Ok(()) };
        let shared = Arc::clone(&self.shared);
        let named = crate::sync::thread::Builder::new().name("bulkhead-log".into());
        match named.spawn(move || shared.events.log.run(hook)) {
            Ok(started) => *thread = Some(started),
            Err(e) => {
                log.end(&mut thread, false);
                return Err(Error::io(Op::Status, &e, "starting the log's thread"));
            }
        }
        Ok(())
    }

    /// `Busy` inside a call of the engine's log hook: what waits for the hook to end must not be called there.
    pub(crate) fn refuse_in_log_hook(&self, op: Op) -> Result<()> {
        if !self.shared.events.log.is_calling() {
            return Ok(());
        }
        let message = "called by the engine's own log hook, which it would wait for; return from the hook first";
        Err(Error::new(Status::Busy, op, message))
    }

    /// The last step of a close: the hook gets what is left. One that closes its engine itself is not waited for.
    pub(super) fn end_log(&self) {
        let log = &self.shared.events.log;
        if log.is_calling() {
            log.on.store(false, Ordering::Release);
            log.waiting.lock().stop = true;
            return;
        }
        log.end(&mut log.thread.lock(), false);
    }
}

#[cfg(test)]
#[path = "hook_test.rs"]
mod tests;
