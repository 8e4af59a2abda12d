//! The C program's side of the calls: memory of exactly the size that is promised, so that the address sanitizer sees one byte
//! too many, and patterns in it, so that a failed call that writes is seen.

use bulkhead::ffi::*;

const PATTERN: u64 = 0xa5a5_a5a5_a5a5_a5a5;

/// Memory for a struct that starts with its size.
pub struct Sized {
    words: Box<[u64]>,
    before: Box<[u64]>,
}

impl Sized {
    /// `given` bytes are said to be there, and are. `zeros`: an input, whose unknown fields must be zero.
    pub fn new(given: u32, zeros: bool) -> Sized {
        let fill = if zeros { 0 } else { PATTERN };
        let mut words = vec![fill; (given as usize).div_ceil(8).max(1)].into_boxed_slice();
        words[0] = (words[0] & !0xffff_ffff) | u64::from(given);
        Sized { before: words.clone(), words }
    }

    pub fn pointer<T>(&mut self) -> *mut T {
        self.words.as_mut_ptr().cast()
    }

    pub fn untouched(&self) -> bool {
        self.words == self.before
    }
}

/// Room for `count` plain values, filled with a pattern; null if there is none.
pub struct Room<T>(Box<[T]>);

impl<T: Copy> Room<T> {
    pub fn new(count: usize, pattern: T) -> Room<T> {
        Room(vec![pattern; count].into_boxed_slice())
    }

    pub fn pointer(&mut self) -> *mut T {
        if self.0.is_empty() {
            std::ptr::null_mut()
        } else {
            self.0.as_mut_ptr()
        }
    }

    pub fn get(&self) -> &[T] {
        &self.0
    }
}

/// Every status is one of those that the header names, and the error struct says the same.
pub fn check(what: &str, status: bulkhead_status, err: &mut Sized, valid_error: bool) {
    assert!((BULKHEAD_OK..=BULKHEAD_FENCED).contains(&status), "{what}: {status}");
    assert_ne!(status, BULKHEAD_PANIC, "{what}");
    if status == BULKHEAD_OK || !valid_error {
        assert!(err.untouched(), "{what} wrote its error struct with status {status}");
        return;
    }
    // SAFETY: a struct of the right size, all of it written.
    let said: bulkhead_error = unsafe { err.pointer::<bulkhead_error>().read() };
    assert_eq!(said.status, status, "{what}");
    // SAFETY: the library ends its texts within the array.
    let message = unsafe { std::ffi::CStr::from_ptr(said.message.as_ptr()) };
    assert!(message.to_str().is_ok_and(|m| m.len() > 10), "{what}: {message:?}");
}
