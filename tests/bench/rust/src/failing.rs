//! The real disk with one directory that fails on demand: one call, with the moment at which it did, or all that take space.

use bulkhead::io::real::RealStorage;
use bulkhead::io::{Access, DeviceInfo, Dir, File, Storage};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

/// Which write fails next: one to a file whose name begins so.
#[derive(Default)]
struct State {
    armed: Option<&'static str>,
    failed: Option<(Instant, SystemTime)>,
    /// The directory's quota is used up.
    full: bool,
}

/// Real system calls, all but those that are to fail: they are not made, and return EIO or EDQUOT.
#[derive(Clone)]
pub struct FailingStorage {
    real: RealStorage,
    /// The last component of the directory that it is about.
    directory: &'static str,
    state: Arc<Mutex<State>>,
}

impl FailingStorage {
    pub fn new(directory: &'static str) -> FailingStorage {
        FailingStorage { real: RealStorage, directory, state: Arc::default() }
    }

    /// The next write to a file whose name begins with `prefix` fails.
    pub fn arm(&self, prefix: &'static str) {
        *self.lock() = State { armed: Some(prefix), failed: None, full: false };
    }

    /// From now on new files and growing ones are refused, as by a quota of the directory; or not any more.
    pub fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    /// When the armed call failed, on both clocks: the one that does not jump, and that of the events.
    pub fn failed(&self) -> Option<(Instant, SystemTime)> {
        self.lock().failed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn fails(&self, name: &str) -> bool {
        let mut state = self.lock();
        let fails = state.armed.is_some_and(|prefix| name.starts_with(prefix));
        if fails {
            *state = State { armed: None, failed: Some((Instant::now(), SystemTime::now())), full: false };
        }
        fails
    }

    fn take_space(&self) -> io::Result<()> {
        match self.lock().full {
            true => Err(io::Error::from_raw_os_error(libc::EDQUOT)),
            false => Ok(()),
        }
    }
}

impl Storage for FailingStorage {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        let inner = self.real.open_dir(path)?;
        if path.file_name().is_some_and(|name| name == self.directory) {
            return Ok(Arc::new(FailingDir { inner, storage: self.clone() }));
        }
        Ok(inner)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.real.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.real.remove_dir(path)
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        self.real.sync_parent(path)
    }
}

struct FailingDir {
    inner: Arc<dyn Dir>,
    storage: FailingStorage,
}

impl FailingDir {
    fn file(&self, name: &str, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FailingFile { inner, name: name.into(), storage: self.storage.clone() })
    }
}

impl Dir for FailingDir {
    fn create(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        self.storage.take_space()?;
        Ok(self.file(name, self.inner.create(name, access)?))
    }
    fn create_unnamed(&self, access: Access) -> io::Result<Arc<dyn File>> {
        self.inner.create_unnamed(access)
    }
    fn link(&self, file: &dyn File, name: &str) -> io::Result<()> {
        self.inner.link(file, name)
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.file(name, self.inner.open(name, access)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        self.inner.exchange(a, b)
    }
    fn unlink(&self, name: &str) -> io::Result<()> {
        self.inner.unlink(name)
    }
    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.inner.remove_dir(name)
    }
    fn mkdir(&self, name: &str) -> io::Result<()> {
        self.inner.mkdir(name)
    }
    fn subdir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        self.inner.subdir(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn lock(&self) -> io::Result<()> {
        self.inner.lock()
    }
    fn device(&self) -> DeviceInfo {
        self.inner.device()
    }
}

struct FailingFile {
    inner: Arc<dyn File>,
    name: String,
    storage: FailingStorage,
}

impl File for FailingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        if self.storage.fails(&self.name) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        if offset + bufs.iter().map(|b| b.len() as u64).sum::<u64>() > self.inner.len()? {
            self.storage.take_space()?;
        }
        self.inner.write_at(bufs, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.storage.take_space()?;
        self.inner.allocate(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn writes_are_durable(&self) -> bool {
        self.inner.writes_are_durable()
    }
    fn drop_cache(&self) {
        self.inner.drop_cache();
    }
    fn id(&self) -> u64 {
        self.inner.id()
    }
}
