//! The disks as one conversion sees them: which of its operations are under way, and since when none has come back. When its caller has been
//! told that it hangs, none begins any more: what the kernel still has is the last that it does.

use super::report::Progress;
use crate::io::{Access, DeviceInfo, Dir, File, Storage};
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Watch(Mutex<State>);

struct State {
    /// What is under way, by the order of its begin.
    under_way: BTreeMap<u64, String>,
    begun: u64,
    /// When an operation came back last, or one began while there was none.
    moved: Instant,
    /// The disk of the directory that was opened first.
    device: Option<u64>,
    progress: Option<Progress>,
    given_up: bool,
    ended: bool,
}

impl Watch {
    pub fn new() -> Arc<Watch> {
        let (under_way, moved) = (BTreeMap::new(), Instant::now());
        let state = State { under_way, begun: 0, moved, device: None, progress: None, given_up: false, ended: false };
        Arc::new(Watch(Mutex::new(state)))
    }

    pub fn device(&self) -> Option<u64> {
        self.0.lock().device
    }

    pub fn tell(&self, now: Progress) {
        self.0.lock().progress = Some(now);
    }

    /// How far it is, if that is news.
    pub fn progress(&self) -> Option<Progress> {
        self.0.lock().progress.take()
    }

    /// If nothing has come back for this long although something is under way, nothing begins any more from here on. Returns what hangs.
    /// `given_up` is called before the end can be.
    pub fn give_up_after(&self, limit: Duration, given_up: impl FnOnce()) -> Option<String> {
        let mut state = self.0.lock();
        let (_, what) = state.under_way.first_key_value().filter(|_| !state.ended && state.moved.elapsed() >= limit)?;
        let what = what.clone();
        state.given_up = true;
        given_up();
        Some(what)
    }

    /// The conversion has come to its end. `late` is called if it had been given up.
    pub fn end(&self, late: impl FnOnce()) {
        let mut state = self.0.lock();
        state.ended = true;
        if state.given_up {
            late();
        }
    }

    fn run<T>(&self, what: &str, path: &Path, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _under_way = self.begin(what, path)?;
        call()
    }

    fn begin(&self, what: &str, path: &Path) -> io::Result<UnderWay<'_>> {
        let mut state = self.0.lock();
        if state.given_up {
            return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
        }
        if state.under_way.is_empty() {
            state.moved = Instant::now();
        }
        let number = state.begun;
        state.begun += 1;
        state.under_way.insert(number, format!("{what} {}", path.display()));
        Ok(UnderWay { watch: self, number })
    }
}

/// Ends also if the operation panics.
struct UnderWay<'a> {
    watch: &'a Watch,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.watch.0.lock();
        state.under_way.remove(&self.number);
        state.moved = Instant::now();
    }
}

pub struct WatchedStorage {
    pub inner: Arc<dyn Storage>,
    pub watch: Arc<Watch>,
}

impl Storage for WatchedStorage {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let dir = WatchedDir::open(&self.watch, path, || self.inner.open_dir(path))?;
        self.watch.0.lock().device.get_or_insert(dir.device().id);
        Ok(dir)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.watch.run("creating", path, || self.inner.create_dir(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.watch.run("removing", path, || self.inner.remove_dir(path))
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        self.watch.run("syncing the directory of", path, || self.inner.sync_parent(path))
    }

    fn mount_point(&self, path: &Path) -> PathBuf {
        let found = self.watch.run("finding the filesystem of", path, || Ok(self.inner.mount_point(path)));
        found.unwrap_or_else(|_| path.to_path_buf())
    }

    fn has_journal(&self, device: u64) -> bool {
        self.inner.has_journal(device)
    }
}

struct WatchedDir {
    inner: Arc<dyn Dir>,
    watch: Arc<Watch>,
    path: PathBuf,
}

impl WatchedDir {
    fn open(
        watch: &Arc<Watch>,
        path: &Path,
        call: impl FnOnce() -> io::Result<Arc<dyn Dir>>,
    ) -> io::Result<Arc<dyn Dir>> {
        let inner = watch.run("opening", path, call)?;
        Ok(Arc::new(WatchedDir { inner, watch: watch.clone(), path: path.to_path_buf() }))
    }

    fn run<T>(&self, what: &str, name: &str, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.watch.run(what, &self.path.join(name), call)
    }

    fn file(&self, name: &str, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(WatchedFile { inner, watch: self.watch.clone(), path: self.path.join(name) })
    }
}

impl Dir for WatchedDir {
    fn create(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let file = self.run("creating", name, || self.inner.create(name, access))?;
        Ok(self.file(name, file))
    }

    fn create_unnamed(&self, access: Access) -> io::Result<Arc<dyn File>> {
        let file = self.run("creating a file in", "", || self.inner.create_unnamed(access))?;
        Ok(self.file("", file))
    }

    fn link(&self, file: &dyn File, name: &str) -> io::Result<()> {
        self.run("naming", name, || self.inner.link(file, name))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let file = self.run("opening", name, || self.inner.open(name, access))?;
        Ok(self.file(name, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.run("moving", from, || self.inner.rename(from, to))
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.run("exchanging", b, || self.inner.exchange(a, b))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.run("removing", name, || self.inner.unlink(name))
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.run("removing", name, || self.inner.remove_dir(name))
    }

    fn mkdir(&self, name: &str) -> io::Result<()> {
        self.run("creating", name, || self.inner.mkdir(name))
    }

    fn subdir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        WatchedDir::open(&self.watch, &self.path.join(name), || self.inner.subdir(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.run("listing", "", || self.inner.list())
    }

    fn sync(&self) -> io::Result<()> {
        self.run("syncing", "", || self.inner.sync())
    }

    fn lock(&self) -> io::Result<()> {
        self.run("locking", "", || self.inner.lock())
    }

    fn device(&self) -> DeviceInfo {
        self.inner.device()
    }

    fn adopt(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        self.file("", self.inner.adopt(file))
    }
}

struct WatchedFile {
    inner: Arc<dyn File>,
    watch: Arc<Watch>,
    path: PathBuf,
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.watch.run("reading", &self.path, || self.inner.read_at(buf, offset))
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.watch.run("writing", &self.path, || self.inner.write_at(bufs, offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.watch.run("syncing", &self.path, || self.inner.sync())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.watch.run("allocating", &self.path, || self.inner.allocate(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.watch.run("measuring", &self.path, || self.inner.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.watch.run("cutting", &self.path, || self.inner.set_len(len))
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        self.watch.run("reading", &self.path, || self.inner.next_data(offset))
    }

    fn writes_are_durable(&self) -> bool {
        self.inner.writes_are_durable()
    }

    fn drop_cache(&self) {
        let _ = self.watch.run("reading", &self.path, || {
            self.inner.drop_cache();
            Ok(())
        });
    }

    fn id(&self) -> u64 {
        self.inner.id()
    }
}
