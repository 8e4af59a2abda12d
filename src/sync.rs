//! The locks that everything uses, in one place.

pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
