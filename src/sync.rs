//! The locks and threads that everything uses, in one place: a test can put others under the library that a scheduler decides
//! over (`tests/shuttle`).

#[cfg(not(shuttle))]
pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(not(shuttle))]
pub use std::thread;

#[cfg(shuttle)]
mod scheduled;
#[cfg(shuttle)]
pub use scheduled::{thread, Condvar, Mutex, MutexGuard, RwLock};
