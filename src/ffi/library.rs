//! What the library says of itself.

use std::ffi::c_char;

use super::boundary::boundary;
use super::codes::{bulkhead_status, status_name, BULKHEAD_ABI_VERSION, BULKHEAD_PANIC};

/// Version of the interface that the library was built with.
///
/// Compare it with BULKHEAD_ABI_VERSION of the header before anything else: a program and a library with different
/// numbers do not fit together.
///
/// Errors: none. Thread safety: any thread, any time.
#[no_mangle]
pub extern "C" fn bulkhead_abi_version() -> u32 {
    boundary!(value, BULKHEAD_ABI_VERSION, BULKHEAD_ABI_VERSION)
}

/// Version of the library, such as "0.1.0".
///
/// Ownership: a static string, never NULL, never freed.
/// Errors: none. Thread safety: any thread, any time.
#[no_mangle]
pub extern "C" fn bulkhead_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    boundary!(value, VERSION.as_ptr().cast(), VERSION.as_ptr().cast())
}

/// Name of a status, such as "BULKHEAD_IO_ERROR"; "BULKHEAD_UNKNOWN_STATUS" for a number that is none.
///
/// Ownership: a static string, never NULL, never freed.
/// Errors: none. Thread safety: any thread, any time.
#[no_mangle]
pub extern "C" fn bulkhead_status_name(status: bulkhead_status) -> *const c_char {
    boundary!(value, status_name(BULKHEAD_PANIC), status_name(status))
}

/// Marks the ABI at link time: a program that refers to it does not link against a library of another ABI version.
#[no_mangle]
#[allow(non_upper_case_globals)] // a C symbol
pub static bulkhead_abi_1: u32 = super::codes::BULKHEAD_ABI_VERSION;
