//! Which system calls of one partition are under way: a decorator around its directory and files that notes each call when it begins and
//! when it comes back. Whoever looks at the table sees a call that hangs, whatever thread it hangs on and whatever it was made for.

use super::{Access, Begun, Bytes, DeviceInfo, Dir, File};
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// Calls that are seen at the same time: append or flush, root, a segment ahead, housekeeping, recovery, a sync; more can only be further
/// syncs of callers, which hang no less than those that are seen.
pub const CALLS_MAX: usize = 8;
/// A place holds the number of its calls so far above, and what the call is below: 0 while there is none.
const NUMBER: u64 = 1 << 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Open, create, rename, make or sync a directory, allocate.
    Prepare,
    Remove,
    Write,
    Sync,
    /// Read, list, length; noted only for a directory that notes its reads.
    Read,
}

/// What a call is made for, as its user names it; never 0.
type Classify = fn(Call, &str) -> u8;

/// The calls of one partition. One cache line is written per call, by an exchange at its begin and a store at its end.
pub struct Calls {
    places: Places,
    /// Somebody looks at this table from time to time.
    watched: AtomicBool,
    /// Called at the begin of a call that nobody would see.
    notice: Box<dyn Fn() + Send + Sync>,
    classify: Classify,
    /// Syncs of the directory that failed so far.
    failed_dir_syncs: AtomicU64,
    /// Flushes of the disk that failed, of all that share this count: syncs, of directories as well, and durable writes.
    failed_flushes: Arc<AtomicU64>,
}

#[repr(align(64))]
struct Places([AtomicU64; CALLS_MAX]);

impl Calls {
    /// Nobody is told of calls before the first `unwatch`.
    pub fn new(classify: Classify, notice: Box<dyn Fn() + Send + Sync>, failed_flushes: Arc<AtomicU64>) -> Calls {
        let places = Places(std::array::from_fn(|_| AtomicU64::new(0)));
        let (watched, failed_dir_syncs) = (AtomicBool::new(true), AtomicU64::new(0));
        Calls { places, watched, notice, classify, failed_dir_syncs, failed_flushes }
    }

    /// What a call that flushes the disk said.
    fn flushed<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|_| {
            self.failed_flushes.fetch_add(1, Ordering::AcqRel);
        })
    }

    /// Every place: the same number twice is the same call, still under way if `is_call`.
    pub fn look(&self) -> [u64; CALLS_MAX] {
        std::array::from_fn(|i| self.places.0.get(i).map_or(0, |p| p.load(Ordering::Acquire)))
    }

    /// What the call in a place is made for, `None` if there is no call.
    pub fn code(place: u64) -> Option<u8> {
        Some((place % NUMBER) as u8).filter(|code| *code != 0)
    }

    /// True if no call is under way.
    pub fn is_quiet(&self) -> bool {
        self.look().iter().all(|place| Calls::code(*place).is_none())
    }

    /// From now on nobody looks; the next call says so. One that begins at this very moment may not: look once more a while later.
    pub fn unwatch(&self) {
        self.watched.store(false, Ordering::SeqCst);
    }

    /// Somebody looks again. False if somebody else does already.
    pub fn watch(&self) -> bool {
        !self.watched.swap(true, Ordering::SeqCst)
    }

    /// Notes a call while it runs.
    fn note<T>(&self, code: u8, call: impl FnOnce() -> T) -> T {
        let _under_way = UnderWay(self, self.begin(code));
        call()
    }

    /// Notes a call that ends elsewhere, with what this returns.
    pub fn note_until(self: &Arc<Self>, what: Call, name: &str) -> Noted {
        let taken = self.begin((self.classify)(what, name));
        Noted(self.clone(), taken)
    }

    /// A call begins: its place, and what that holds after the call.
    fn begin(&self, code: u8) -> Option<(usize, u64)> {
        let taken = self.places.0.iter().enumerate().find_map(|(at, place)| {
            let idle = place.load(Ordering::Relaxed);
            let after = idle + NUMBER;
            let busy = after | u64::from(code);
            let taken =
                idle % NUMBER == 0 && place.compare_exchange(idle, busy, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            taken.then_some((at, after))
        });
        if !self.watched.load(Ordering::Relaxed) && self.watch() {
            (self.notice)();
        }
        taken
    }

    fn end(&self, taken: Option<(usize, u64)>) {
        if let Some((place, after)) = taken.and_then(|(at, after)| Some((self.places.0.get(at)?, after))) {
            place.store(after, Ordering::Release);
        }
    }
}

/// A call's place, and what it holds after the call. Ends also if the call panics.
struct UnderWay<'a>(&'a Calls, Option<(usize, u64)>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}

/// A call that is under way until this is dropped.
pub struct Noted(Arc<Calls>, Option<(usize, u64)>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}

/// A directory whose calls, and those of its files, are noted. Made for one operation each.
///
/// The kernel reports a failed sync of a directory once per descriptor, to whoever syncs first; what others had changed may be lost with it
/// all the same. So a failure that another operation met since this one began fails this one's next sync, too.
pub struct WatchedDir {
    inner: Arc<dyn Dir>,
    calls: Arc<Calls>,
    /// Reads as well, listing and opening for reading included: somebody waits for them who must not wait for ever.
    reads: bool,
    failures_known: AtomicU64,
}

impl WatchedDir {
    pub fn new(inner: Arc<dyn Dir>, calls: Arc<Calls>, reads: bool) -> WatchedDir {
        let failures_known = AtomicU64::new(calls.failed_dir_syncs.load(Ordering::Acquire));
        WatchedDir { inner, calls, reads, failures_known }
    }

    fn note<T>(&self, what: Call, name: &str, call: impl FnOnce() -> T) -> T {
        if what == Call::Read && !self.reads {
            return call();
        }
        self.calls.note((self.calls.classify)(what, name), call)
    }

    fn file(&self, name: &str, inner: Arc<dyn File>, access: Access) -> Arc<dyn File> {
        let code = |call| (self.calls.classify)(call, name);
        let read = self.reads && reads_only(access);
        Arc::new(WatchedFile {
            inner,
            calls: self.calls.clone(),
            prepare: code(Call::Prepare),
            write: code(Call::Write),
            sync: code(Call::Sync),
            read: read.then(|| code(Call::Read)),
        })
    }
}

fn reads_only(access: Access) -> bool {
    matches!(access, Access::Read | Access::ReadDirect)
}

impl Dir for WatchedDir {
    fn create(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let created = self.note(Call::Prepare, name, || self.inner.create(name, access))?;
        Ok(self.file(name, created, access))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let what = if reads_only(access) { Call::Read } else { Call::Prepare };
        let opened = self.note(what, name, || self.inner.open(name, access))?;
        Ok(self.file(name, opened, access))
    }

    fn create_unnamed(&self, access: Access) -> io::Result<Arc<dyn File>> {
        let created = self.note(Call::Prepare, "", || self.inner.create_unnamed(access))?;
        Ok(self.file("", created, access))
    }

    fn link(&self, file: &dyn File, name: &str) -> io::Result<()> {
        self.note(Call::Prepare, name, || self.inner.link(file, name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.note(Call::Prepare, to, || self.inner.rename(from, to))
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.note(Call::Prepare, b, || self.inner.exchange(a, b))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.note(Call::Remove, name, || self.inner.unlink(name))
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.note(Call::Remove, name, || self.inner.remove_dir(name))
    }

    fn mkdir(&self, name: &str) -> io::Result<()> {
        self.note(Call::Prepare, name, || self.inner.mkdir(name))
    }

    fn subdir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        let inner = self.note(Call::Read, name, || self.inner.subdir(name))?;
        Ok(Arc::new(WatchedDir::new(inner, self.calls.clone(), self.reads)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.note(Call::Read, "", || self.inner.list())
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.calls.flushed(self.note(Call::Prepare, "", || self.inner.sync()));
        let failures = match synced {
            Err(_) => self.calls.failed_dir_syncs.fetch_add(1, Ordering::AcqRel) + 1,
            Ok(()) => self.calls.failed_dir_syncs.load(Ordering::Acquire),
        };
        let known = self.failures_known.swap(failures, Ordering::AcqRel);
        if synced.is_ok() && known != failures {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        synced
    }

    fn lock(&self) -> io::Result<()> {
        self.inner.lock()
    }

    fn device(&self) -> DeviceInfo {
        self.inner.device()
    }

    fn adopt(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        self.file("", file, Access::Durable)
    }
}

struct WatchedFile {
    inner: Arc<dyn File>,
    calls: Arc<Calls>,
    prepare: u8,
    write: u8,
    sync: u8,
    /// None if reads are not noted.
    read: Option<u8>,
}

impl WatchedFile {
    fn reading<T>(&self, call: impl FnOnce() -> T) -> T {
        match self.read {
            Some(code) => self.calls.note(code, call),
            None => call(),
        }
    }
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reading(|| self.inner.read_at(buf, offset))
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let written = self.calls.note(self.write, || self.inner.write_at(bufs, offset));
        if written.is_err() && self.inner.writes_are_durable() {
            return self.calls.flushed(written);
        }
        written
    }

    fn sync(&self) -> io::Result<()> {
        self.calls.flushed(self.calls.note(self.sync, || self.inner.sync()))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.calls.note(self.prepare, || self.inner.allocate(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.reading(|| self.inner.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.calls.note(self.prepare, || self.inner.set_len(len))
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        self.reading(|| self.inner.next_data(offset))
    }

    fn writes_are_durable(&self) -> bool {
        self.inner.writes_are_durable()
    }

    fn shares_flushes(&self) -> bool {
        self.inner.shares_flushes()
    }

    fn sync_disk(&self) -> io::Result<()> {
        self.calls.note(self.sync, || self.inner.sync_disk())
    }

    /// Whoever begins it notes it: it ends elsewhere.
    fn begin_write(self: Arc<Self>, bytes: &Bytes, offset: u64) -> Begun {
        self.inner.clone().begin_write(bytes, offset)
    }

    fn drop_cache(&self) {
        self.inner.drop_cache();
    }

    fn id(&self) -> u64 {
        self.inner.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::{Crash, OpKind, Rule, SimConfig, SimDisk};
    use crate::io::Storage;

    #[test]
    fn a_failed_sync_of_the_directory_is_heard_by_all_who_changed_it() {
        let config = SimConfig { failed_dir_syncs_forget: true, journalled: false, ..SimConfig::default() };
        let disk = SimDisk::with_config(1, config);
        disk.make_dirs("/d");
        disk.put_file("/d/old", b"x");
        let dir = disk.open_dir(std::path::Path::new("/d")).unwrap();
        let calls = Arc::new(Calls::new(|_, _| 1, Box::new(|| ()), Arc::default()));
        let watched = || WatchedDir::new(dir.clone(), calls.clone(), false);
        let (one, other) = (watched(), watched());
        other.rename("old", "new").unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).once());
        one.sync().unwrap_err();
        assert_eq!(other.sync().map_err(|e| e.raw_os_error()), Err(Some(libc::EIO)), "its rename may be lost");
        other.sync().unwrap();
        one.sync().unwrap();
        watched().sync().unwrap();
        // That it matters: on this disk the rename did not survive the power cut.
        assert!((1..20).any(|_| !disk.fork().crash(Crash::PowerNothing).exists("/d/new")));
    }
}
