//! Writes to many files that are under way at the same time. None of them is durable when it comes back: that takes one flush of their disk,
//! for all of them together.

use super::aio::{Context, Event, Wanted};
use super::File;
use std::io;
use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is written: it stays where it is while the kernel has it.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// How a file has begun a write of a batch.
pub enum Begun {
    /// The kernel is to do it, to this descriptor.
    Kernel(RawFd),
    Done(io::Result<usize>),
    /// Its result comes from another thread.
    Later(Receiver<io::Result<usize>>),
}

struct Write {
    /// Open until the kernel has it: a descriptor that is closed before could be another file's by then.
    _file: Arc<dyn File>,
    bytes: Bytes,
    offset: u64,
    later: Option<Receiver<io::Result<usize>>>,
}

/// A write that has come back: its place, and the bytes written or the error.
pub type Back = (usize, io::Result<usize>);

/// How often results of other threads are looked for.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Dropping it waits for what is under way.
pub struct Batch {
    /// Made for the first write that the kernel does.
    context: Option<Context>,
    places: Vec<Option<Write>>,
    /// For the kernel, not handed over yet.
    fresh: Vec<(usize, RawFd)>,
    in_kernel: usize,
    back: Vec<Back>,
    events: Vec<Event>,
}

impl Batch {
    /// One for this many writes at a time.
    pub fn new(most: usize) -> Batch {
        Batch {
            context: None,
            places: (0..most).map(|_| None).collect(),
            fresh: Vec::new(),
            in_kernel: 0,
            back: Vec::new(),
            events: vec![Event::default(); most],
        }
    }

    /// Begins a write of a file that `shares_flushes`; `submit` hands it over. Returns its place, which is others' once it has come back;
    /// none if there is no room.
    pub fn write(&mut self, file: Arc<dyn File>, bytes: Bytes, offset: u64) -> Option<usize> {
        let at = self.places.iter().position(Option::is_none)?;
        let later = match file.clone().begin_write(&bytes, offset) {
            Begun::Kernel(descriptor) => {
                self.fresh.push((at, descriptor));
                None
            }
            Begun::Done(result) => {
                self.back.push((at, result));
                None
            }
            Begun::Later(result) => Some(result),
        };
        *self.places.get_mut(at)? = Some(Write { _file: file, bytes, offset, later });
        Some(at)
    }

    /// Hands over what was begun. What the kernel does not take comes back as WouldBlock: it has not been begun, for whatever reason.
    pub fn submit(&mut self) {
        let mut fresh = std::mem::take(&mut self.fresh);
        let most = self.places.len() as u32;
        while !fresh.is_empty() {
            let taken = match &self.context {
                Some(context) => self.hand_over(context, &fresh),
                None => Context::new(most).map(|context| {
                    self.context = Some(context);
                    0
                }),
            };
            match taken {
                Ok(n) => {
                    self.in_kernel += n.min(fresh.len());
                    fresh.drain(..n.min(fresh.len()));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.back.push((fresh.remove(0).0, Err(io::ErrorKind::WouldBlock.into()))),
            }
        }
    }

    fn hand_over(&self, context: &Context, fresh: &[(usize, RawFd)]) -> io::Result<usize> {
        let wanted = fresh.iter().filter_map(|(at, descriptor)| {
            let write = self.places.get(*at)?.as_ref()?;
            let bytes = (*write.bytes).as_ref();
            let (data, descriptor) = (*at as u64, *descriptor);
            Some(Wanted { data, descriptor, at: bytes.as_ptr(), bytes: bytes.len(), offset: write.offset })
        });
        // SAFETY: each place holds its bytes by a count of its own until its write was reported, and nobody changes what is counted; the
        // context is a field of this value, and dropped, which waits for all that is under way, before the places are.
        unsafe { context.submit(&wanted.collect::<Vec<_>>()) }
    }

    /// Waits until `least` of what is under way has come back, or the time is over.
    pub fn wait(&mut self, least: usize, time: Duration) -> Vec<Back> {
        let end = Instant::now() + time;
        loop {
            self.look_at_threads();
            let missing = least.saturating_sub(self.back.len());
            let left = end.saturating_duration_since(Instant::now());
            let others = self.places.iter().flatten().any(|w| w.later.is_some());
            let pause = if others { left.min(LOOK_EVERY) } else { left };
            if self.in_kernel > 0 {
                self.look_at_kernel(missing, pause);
            } else if others && missing > 0 {
                std::thread::sleep(pause);
            }
            if self.back.len() >= least || left.is_zero() || self.in_kernel == 0 && !others {
                break;
            }
        }
        let back = std::mem::take(&mut self.back);
        for (at, _) in &back {
            if let Some(place) = self.places.get_mut(*at) {
                *place = None;
            }
        }
        back
    }

    fn look_at_kernel(&mut self, least: usize, time: Duration) {
        let Some(context) = &self.context else { return };
        // An error is an interrupt: whoever waits comes again.
        let n = context.events(least.min(self.in_kernel), &mut self.events, time).unwrap_or(0);
        self.in_kernel -= n.min(self.in_kernel);
        self.back.extend(self.events.iter().take(n).map(|e| (e.data as usize, e.result())));
    }

    fn look_at_threads(&mut self) {
        for (at, write) in self.places.iter_mut().enumerate() {
            let Some(write) = write else { continue };
            let result = match write.later.as_ref().map(Receiver::try_recv) {
                Some(Ok(result)) => result,
                Some(Err(TryRecvError::Disconnected)) => Err(io::Error::from_raw_os_error(libc::EIO)),
                Some(Err(TryRecvError::Empty)) | None => continue,
            };
            write.later = None;
            self.back.push((at, result));
        }
    }

    /// Writes that have not come back.
    pub fn under_way(&self) -> usize {
        self.places.iter().flatten().count()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Before the bytes.
        self.context = None;
    }
}
