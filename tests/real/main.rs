//! The Rust API on real files.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod filesystems;
mod paths;
