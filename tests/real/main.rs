//! The Rust API on real files.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod direct;
mod filesystems;
mod paths;
mod shared;
