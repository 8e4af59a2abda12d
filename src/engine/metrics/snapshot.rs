//! A snapshot of all metrics, as the table describes them.

use super::members::{DiskMetrics, Summary};
use super::names;
use super::table::{Metric, MetricInfo, MetricKind, METRICS};
use crate::error::Cause;
use crate::partition::{Count, HealedBy, Level, Mode, SegmentFrom, State};
use std::sync::atomic::Ordering;

/// One metric and its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    pub info: &'static MetricInfo,
    pub samples: Vec<MetricSample>,
}

/// One series: no two of a family have the same labels.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSample {
    /// As many as the metric has label names.
    pub labels: Vec<String>,
    pub value: MetricValue,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    Number(f64),
    /// How many are in each bucket alone, the last of them unbounded, and the sum of all.
    Histogram {
        counts: Vec<u64>,
        sum: f64,
    },
}

impl MetricInfo {
    /// The upper bound of a histogram's bucket, included.
    pub fn bound(&self, bucket: usize) -> f64 {
        let unit = if self.kind == MetricKind::Times { 1e6 } else { 1.0 };
        (1u64 << bucket.min(63)) as f64 / unit
    }
}

/// What an engine knows of itself.
pub struct EngineLevels {
    pub cache_bytes: u64,
    pub cache_limit_bytes: u64,
    pub orphan_bytes: u64,
    pub events: u64,
    pub events_waiting: u64,
    pub log_lines: u64,
    pub log_lines_left_out: u64,
}

/// What a disk knows of itself.
pub struct DiskLevels {
    pub flush: PoolLevels,
    pub keep: PoolLevels,
    pub reserve_bytes: u64,
    pub reserve_target_bytes: u64,
}

#[derive(Clone, Copy, Default)]
pub struct PoolLevels {
    pub waiting: usize,
    pub idle: usize,
    pub busy: usize,
    pub replaced: usize,
}

/// Never waits for a disk, nor for a call that does.
pub fn snapshot(engine: &EngineLevels, disks: &[(&DiskMetrics, DiskLevels)]) -> Vec<MetricFamily> {
    let families = METRICS.iter().map(|info| MetricFamily { info, samples: Vec::new() }).collect();
    let mut out = Out { families, disk: Vec::new() };
    out.engine(engine);
    for (disk, levels) in disks {
        out.disk = vec![disk.mount.clone(), disk.device.clone()];
        let summary = disk.read();
        out.partitions(&summary);
        out.appends(disk, &summary);
        out.flushes(disk, levels);
        out.reads(disk, &summary);
        out.space(disk, &summary, levels);
        out.faults(disk, &summary);
    }
    out.families
}

struct Out {
    families: Vec<MetricFamily>,
    disk: Vec<String>,
}

impl Out {
    fn push(&mut self, metric: Metric, labels: Vec<String>, value: MetricValue) {
        if let Some(family) = self.families.get_mut(metric as usize) {
            debug_assert_eq!(labels.len(), family.info.labels.len(), "{}", family.info.name);
            family.samples.push(MetricSample { labels, value });
        }
    }

    /// A number of the disk at hand.
    fn number(&mut self, metric: Metric, labels: &[&str], n: u64) {
        let labels = self.labels(labels);
        self.push(metric, labels, MetricValue::Number(n as f64));
    }

    fn labels(&self, more: &[&str]) -> Vec<String> {
        self.disk.iter().cloned().chain(more.iter().map(|l| l.to_string())).collect()
    }

    fn times(&mut self, metric: Metric, labels: &[&str], (counts, nanos): (Vec<u64>, u64)) {
        let labels = self.labels(labels);
        self.push(metric, labels, MetricValue::Histogram { counts, sum: nanos as f64 / 1e9 });
    }

    fn sizes(&mut self, metric: Metric, (counts, sum): (Vec<u64>, u64)) {
        let labels = self.labels(&[]);
        self.push(metric, labels, MetricValue::Histogram { counts, sum: sum as f64 });
    }

    fn engine(&mut self, engine: &EngineLevels) {
        self.number(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
        self.number(Metric::CacheBytes, &[], engine.cache_bytes);
        self.number(Metric::CacheLimitBytes, &[], engine.cache_limit_bytes);
        self.number(Metric::OrphanBytes, &[], engine.orphan_bytes);
        self.number(Metric::Events, &[], engine.events);
        self.number(Metric::EventsWaiting, &[], engine.events_waiting);
        self.number(Metric::LogLines, &[], engine.log_lines);
        self.number(Metric::LogLinesLeftOut, &[], engine.log_lines_left_out);
    }

    fn partitions(&mut self, summary: &Summary) {
        for state in State::ALL {
            for cause in Cause::ALL {
                let n = summary.partitions.get(&(state as u32, cause as u32)).copied().unwrap_or(0);
                // ReadWrite is always there, so that a disk without partitions shows as one.
                if n > 0 || (state, cause) == (State::ReadWrite, Cause::None) {
                    self.number(Metric::Partitions, &[names::state(state), names::cause(cause)], n);
                }
            }
        }
        for faulted in &summary.faulted {
            let health = faulted.health;
            let labels = self.labels(&[
                &faulted.partition_id.to_string(),
                names::state(health.state),
                names::cause(health.cause),
                names::op(health.op),
                &names::errno(health.errno),
            ]);
            let seconds = faulted.since_unix_ms as f64 / 1e3;
            self.push(Metric::PartitionFault, labels, MetricValue::Number(seconds));
        }
        self.number(Metric::PartitionFaultsOmitted, &[], summary.omitted);
        self.number(Metric::PendingBytes, &[], summary.level(Level::PendingBytes));
    }

    fn appends(&mut self, disk: &DiskMetrics, summary: &Summary) {
        for mode in [Mode::Sync, Mode::Interval, Mode::None] {
            let count = |count: Count| summary.of_mode(mode, count);
            let labels = [names::mode(mode)];
            // A mode that nobody uses has no series.
            if count(Count::Appends) > 0 {
                self.number(Metric::Appends, &labels, count(Count::Appends));
                self.number(Metric::AppendEntries, &labels, count(Count::Entries));
                self.number(Metric::AppendBytes, &labels, count(Count::Bytes));
                self.times(Metric::AppendSeconds, &labels, disk.counts.append_times(mode).read());
            }
        }
    }

    fn flushes(&mut self, disk: &DiskMetrics, levels: &DiskLevels) {
        let counts = &disk.counts;
        self.number(Metric::Flushes, &[], counts.flush_entries.read().0.iter().sum());
        self.times(Metric::FlushSeconds, &[], counts.flush_times.read());
        self.times(Metric::FlushWaitSeconds, &[], counts.flush_waits.read());
        self.sizes(Metric::FlushEntries, counts.flush_entries.read());
        self.sizes(Metric::SharedFlushGroups, counts.shared_flush_groups.read());
        self.number(Metric::FlushBytes, &[], counts.flush_bytes.load(Ordering::Relaxed));
        self.number(Metric::FlushQueue, &[], levels.flush.waiting as u64);
        for (pool, threads) in [("flush", levels.flush), ("keep", levels.keep)] {
            self.number(Metric::Threads, &[pool, "idle"], threads.idle as u64);
            self.number(Metric::Threads, &[pool, "busy"], threads.busy as u64);
            self.number(Metric::Threads, &[pool, "replaced"], threads.replaced as u64);
        }
    }

    fn reads(&mut self, disk: &DiskMetrics, summary: &Summary) {
        self.number(Metric::Reads, &[], summary.count(Count::Reads));
        self.number(Metric::ReadEntries, &["memory"], summary.count(Count::MemoryEntries));
        self.number(Metric::ReadEntries, &["segment"], summary.count(Count::SegmentEntries));
        self.number(Metric::ReadBytes, &[], summary.count(Count::ReadBytes));
        self.number(Metric::ChecksFailed, &[], disk.counts.checks_failed.load(Ordering::Relaxed));
    }

    fn space(&mut self, disk: &DiskMetrics, summary: &Summary, levels: &DiskLevels) {
        self.number(Metric::Segments, &[], summary.level(Level::Segments));
        self.number(Metric::SegmentBytes, &[], summary.level(Level::SegmentBytes));
        self.number(Metric::KeptBytes, &[], summary.level(Level::KeptBytes));
        let sources =
            [("new", SegmentFrom::NewFile), ("recycled", SegmentFrom::Recycled), ("reserve", SegmentFrom::Reserve)];
        for (name, source) in sources {
            self.number(Metric::SegmentsCreated, &[name], disk.counts.segments(source));
        }
        self.number(Metric::ReserveBytes, &[], levels.reserve_bytes);
        self.number(Metric::ReserveTargetBytes, &[], levels.reserve_target_bytes);
    }

    fn faults(&mut self, disk: &DiskMetrics, summary: &Summary) {
        for (op, cause, errno, n) in disk.counts.errors() {
            self.number(Metric::Errors, &[names::op(op), names::cause(cause), &names::errno(errno)], n);
        }
        // Those that only warn latch nothing.
        let warns =
            |cause: &Cause| matches!(cause, Cause::None | Cause::UntestedFilesystem | Cause::VolatileFilesystem);
        for cause in Cause::ALL.into_iter().filter(|cause| !warns(cause)) {
            self.number(Metric::Faults, &[names::cause(cause)], disk.counts.faults(cause));
        }
        for (name, by) in [("call", HealedBy::Call), ("probe", HealedBy::Probe), ("owner", HealedBy::Owner)] {
            self.number(Metric::Heals, &[name, "healed"], disk.counts.heals(by, true));
            self.number(Metric::Heals, &[name, "failed"], disk.counts.heals(by, false));
        }
        self.number(Metric::SlowOperations, &[], summary.count(Count::SlowOperations));
        self.number(Metric::LostEntries, &[], summary.level(Level::LostEntries));
        self.number(Metric::DamagedEntries, &[], summary.level(Level::DamagedEntries));
        self.times(Metric::OpenSeconds, &[], disk.counts.open_times.read());
    }
}

impl Summary {
    fn of_mode(&self, mode: Mode, count: Count) -> u64 {
        self.totals[mode as usize - 1][count as usize]
    }

    fn count(&self, count: Count) -> u64 {
        [Mode::None, Mode::Sync, Mode::Interval].into_iter().map(|mode| self.of_mode(mode, count)).sum()
    }

    fn level(&self, level: Level) -> u64 {
        self.levels[level as usize]
    }
}
