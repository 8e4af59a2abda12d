//! Bugs that others had, by their names: each as it happened there, and what holds here.

#[path = "../support/mod.rs"]
mod support;

mod open;
mod replace;
mod space;
mod sync;
mod writer;
