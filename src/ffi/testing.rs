//! A panic on demand, for tests of the boundary. Not in a released library, not in the header.

use std::cell::Cell;

thread_local! {
    /// Set: the next exported function called on this thread panics inside its body.
    pub(super) static PANIC_NEXT: Cell<bool> = const { Cell::new(false) };
}

/// Makes the next exported function called on this thread panic inside its body, once.
#[no_mangle]
pub extern "C" fn bulkhead_testing_panic_next() {
    PANIC_NEXT.with(|next| next.set(true));
}
