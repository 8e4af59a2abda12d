//! The locks as shuttle has them, in the form that parking_lot gives them: at each of them the scheduler decides who goes on.
//! Time stands still: no wait ends by its deadline, so that a wake-up that never comes is a deadlock, which shuttle reports.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use shuttle::sync;

#[derive(Default)]
pub struct Mutex<T>(sync::Mutex<T>);

/// Empty only while it waits or is unlocked.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: Option<sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|held| MutexGuard { mutex: self, held: Some(held) })
    }

    pub fn is_locked(&self) -> bool {
        self.try_lock().is_none()
    }

    pub fn try_lock_for(&self, _: Duration) -> Option<MutexGuard<'_, T>> {
        Some(self.lock())
    }

    pub fn try_lock_until(&self, _: Instant) -> Option<MutexGuard<'_, T>> {
        Some(self.lock())
    }
}

impl<T> MutexGuard<'_, T> {
    pub fn unlocked<U>(guard: &mut Self, work: impl FnOnce() -> U) -> U {
        guard.held = None;
        let result = work();
        guard.held = guard.mutex.lock().held.take();
        result
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("the lock is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("the lock is held")
    }
}

#[derive(Default)]
pub struct Condvar(sync::Condvar);

/// Time stands still under the scheduler; a wait up to a deadline nearer than this is one that only looks again.
const NEAR: std::time::Duration = std::time::Duration::from_millis(100);

pub struct WaitTimeoutResult;

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        false
    }
}

impl Condvar {
    pub const fn new() -> Condvar {
        Condvar(sync::Condvar::new())
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) -> WaitTimeoutResult {
        if deadline < Instant::now() + NEAR {
            // A short wait looks again: it ends whether anybody notifies or not.
            MutexGuard::unlocked(guard, shuttle::thread::yield_now);
            return WaitTimeoutResult;
        }
        self.wait(guard);
        WaitTimeoutResult
    }

    pub fn wait_while<T>(&self, guard: &mut MutexGuard<'_, T>, mut condition: impl FnMut(&mut T) -> bool) {
        while condition(guard) {
            self.wait(guard);
        }
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[derive(Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(sync::RwLock::new(value))
    }

    pub fn read(&self) -> sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads as the scheduler has them; what time would end, the end of the thread ends.
pub mod thread {
    pub use shuttle::thread::sleep;
    use shuttle::thread::{self, Result};

    #[derive(Default)]
    pub struct Builder(thread::Builder);

    pub struct JoinHandle<T>(thread::JoinHandle<T>);

    impl Builder {
        pub fn new() -> Builder {
            Builder::default()
        }

        pub fn name(self, name: String) -> Builder {
            Builder(self.0.name(name))
        }

        pub fn spawn<T: Send + 'static>(
            self,
            work: impl FnOnce() -> T + Send + 'static,
        ) -> std::io::Result<JoinHandle<T>> {
            self.0.spawn(work).map(JoinHandle)
        }
    }

    impl<T> JoinHandle<T> {
        /// Who asks waits for it: `join` does.
        pub fn is_finished(&self) -> bool {
            true
        }

        pub fn join(self) -> Result<T> {
            self.0.join()
        }
    }
}
