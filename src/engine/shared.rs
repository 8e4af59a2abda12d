//! What all disks of an engine share.

use super::orphans::Orphans;
use super::queue::{CompletionQueue, EventQueue};
use crate::partition::EngineConfig;
use std::sync::atomic::AtomicUsize;

pub struct Shared {
    pub config: EngineConfig,
    pub events: EventQueue,
    pub completions: CompletionQueue,
    /// Bytes that partitions keep for reading.
    pub cached_bytes: AtomicUsize,
    pub orphans: Orphans,
}
