//! The name by which programs find the shared library: `libbulkhead.so.1` for ABI version 1. A library of another ABI version has another
//! one, and both can be installed.

fn main() {
    println!("cargo:rerun-if-changed=src/ffi/codes.rs");
    let codes = std::fs::read_to_string("src/ffi/codes.rs").expect("src/ffi/codes.rs has the ABI version");
    let version = codes.lines().find_map(|line| line.strip_prefix("pub const BULKHEAD_ABI_VERSION: u32 = "));
    let version = version.expect("a line with BULKHEAD_ABI_VERSION").trim_end_matches(';');
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libbulkhead.so.{version}");
}
