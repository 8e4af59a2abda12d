//! Metrics: what the partitions of a disk counted, read without a lock of theirs and without waiting for a disk.

mod members;
pub(super) mod names;
mod snapshot;
mod table;
mod text;

pub use members::DiskMetrics;
pub use snapshot::{snapshot, DiskLevels, EngineLevels, MetricFamily, MetricSample, MetricValue, PoolLevels};
pub use table::{MetricInfo, MetricKind, METRICS};
pub use text::text;
