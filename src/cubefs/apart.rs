//! A conversion on a thread of its own: a disk that hangs keeps that thread, and not the caller.

use super::report::Progress;
use super::watch::{Watch, WatchedStorage};
use super::Conversion;
use crate::error::{Error, Op, Result, Status};
use crate::io::block_file_size_signal;
use crate::partition::Limit;
use crate::sync::thread::Builder;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::Arc;
use std::time::Duration;

/// How often the caller looks at what its thread does, and tells how far that is.
const LOOK: Duration = Duration::from_millis(50);

impl Conversion<'_> {
    /// Does `work` and waits for it as long as the disk gets on with it. If for the stall limit none of its operations comes back, `Stalled`
    /// says what hangs, and the thread is left behind: it keeps the directory's lock until the kernel lets go, and does nothing more.
    pub(super) fn apart<T: Send + 'static>(
        &self,
        op: Op,
        work: impl FnOnce(&Conversion<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.named(|| {
            // In a simulation the order of operations follows from the seed.
            if !self.engine.has_threads() {
                return work(self);
            }
            self.engine.check_not_hanging(&self.path)?;
            let watch = Watch::new();
            let (tell, done) = channel();
            let run = self.on_its_own(&watch, work);
            let thread = Builder::new().name("bulkhead-convert".into()).spawn(move || drop(tell.send(run())));
            let thread = thread.map_err(|e| Error::io(op, &e, "starting a thread"))?;
            loop {
                let ended = done.recv_timeout(LOOK);
                if let Some(now) = watch.progress() {
                    (self.progress)(now);
                }
                match ended {
                    Ok(done) => {
                        // It touches no disk any more; a process that ends now leaves none of its memory.
                        let _ended = thread.join();
                        return done.unwrap_or_else(|panic| resume_unwind(panic));
                    }
                    Err(RecvTimeoutError::Timeout) => self.check_moves(op, &watch)?,
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(Error::new(
                            Status::Panic,
                            op,
                            "the thread of a conversion ended; this is a bug of the library",
                        ));
                    }
                }
            }
        })
    }

    /// `work` with all that it needs, for a thread that may outlive this call.
    fn on_its_own<T>(
        &self,
        watch: &Arc<Watch>,
        work: impl FnOnce(&Conversion<'_>) -> Result<T> + Send + 'static,
    ) -> impl FnOnce() -> std::thread::Result<Result<T>> + Send + 'static {
        let watch = watch.clone();
        let dirs = WatchedStorage { inner: self.engine.own_storage(), watch: watch.clone() };
        let engine = self.engine.handle(Arc::new(dirs));
        let (path, partition_id, known_index) = (self.path.clone(), self.partition_id, self.known_index);
        move || {
            block_file_size_signal();
            let tell = |now: Progress| watch.tell(now);
            let conversion =
                Conversion { engine: &engine, path: path.clone(), partition_id, known_index, progress: &tell };
            let done = catch_unwind(AssertUnwindSafe(|| work(&conversion)));
            watch.end(|| engine.hangs_no_more(&path));
            done
        }
    }

    fn check_moves(&self, op: Op, watch: &Watch) -> Result<()> {
        let limits = match watch.device() {
            Some(device) => self.engine.disk_limits(device),
            None => self.engine.limits(),
        };
        let limit = limits.time(Limit::StallLimitMs);
        let Some(what) = watch.give_up_after(limit, || self.engine.hangs(&self.path)) else { return Ok(()) };
        let message = format!(
            "the disk has not come back from {what} within {} ms; the directory stays locked until it has, then call again",
            limit.as_millis()
        );
        Err(Error::new(Status::Stalled, op, message))
    }
}
