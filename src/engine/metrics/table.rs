//! Every metric, described once. The snapshot, the Prometheus text, the Go collector's table and the reference in docs/operations.md come
//! from here (`tests/metrics_table.rs` holds them together).

/// How a metric's values are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only goes up while the engine is open, also when partitions are closed.
    Counter,
    Gauge,
    /// Times in seconds, in buckets by powers of two of a microsecond.
    Times,
    /// Sizes, in buckets by powers of two.
    Sizes,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricInfo {
    pub name: &'static str,
    pub kind: MetricKind,
    /// Names of its labels, in the order of a sample's values.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal [$($label:literal)*] $help:literal)*) => {
        /// The rows of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $($id),* }

        /// All metrics, in the order in which they are reported.
        pub const METRICS: &[MetricInfo] =
            &[$(MetricInfo { name: $name, kind: MetricKind::$kind, labels: &[$($label),*], help: $help }),*];
    };
}

metrics! {
    BuildInfo Gauge "bulkhead_build_info" ["version"]
        "Always 1; the label says which version of the library runs."
    CacheBytes Gauge "bulkhead_cache_bytes" []
        "Memory that keeps recent flushes for reading."
    CacheLimitBytes Gauge "bulkhead_cache_limit_bytes" []
        "What that memory may grow to (read_cache_bytes)."
    OrphanBytes Gauge "bulkhead_orphan_bytes" []
        "Memory that keeps acknowledged entries of partitions that were closed with a fault, until they are opened again."
    Events Counter "bulkhead_events_total" []
        "Events made: changes of state, faults healed inside a call, slow calls, limits that were set."
    EventsWaiting Gauge "bulkhead_events_waiting" []
        "Events that the owner has not fetched."
    LogLines Counter "bulkhead_log_lines_total" []
        "Lines given to the owner's log hook."
    LogLinesLeftOut Counter "bulkhead_log_lines_left_out_total" []
        "Lines that the log hook was not given: three like it had gone out in ten seconds and a later one took its place, or 1,024 waited for the hook to return."

    Partitions Gauge "bulkhead_partitions" ["disk" "device" "state" "cause"]
        "Partitions by state and by what took them out of ReadWrite. Closed are those that were closed with a fault, until their directory is opened again, or has been missing for five minutes."
    PartitionFault Gauge "bulkhead_partition_fault_timestamp_seconds" ["disk" "device" "partition" "state" "cause" "operation" "errno"]
        "One series for each partition that is not ReadWrite, at most 64 of a disk: when it left ReadWrite, in seconds since 1970."
    PartitionFaultsOmitted Gauge "bulkhead_partition_faults_omitted" ["disk" "device"]
        "Partitions that are not ReadWrite and have no series of their own because there are too many."

    Appends Counter "bulkhead_appends_total" ["disk" "device" "mode"]
        "Appends that were accepted, by the partition's durability mode."
    AppendEntries Counter "bulkhead_append_entries_total" ["disk" "device" "mode"]
        "Entries in them."
    AppendBytes Counter "bulkhead_append_bytes_total" ["disk" "device" "mode"]
        "Payload in them."
    AppendSeconds Times "bulkhead_append_seconds" ["disk" "device" "mode"]
        "Time of an append as its caller sees it, refused and failed ones left out. Mode sync: all of them; modes none and interval: one in 16 of each partition."
    PendingBytes Gauge "bulkhead_pending_bytes" ["disk" "device"]
        "Accepted and not flushed yet, at the last look (once a second)."

    Flushes Counter "bulkhead_flushes_total" ["disk" "device"]
        "Durable writes of groups of records, modes sync and interval."
    FlushSeconds Times "bulkhead_flush_seconds" ["disk" "device"]
        "Time of one of them on the disk."
    FlushWaitSeconds Times "bulkhead_flush_wait_seconds" ["disk" "device"]
        "Time from accepting a group's first entry to the start of its flush: waiting for the flush before it, and for a thread."
    FlushEntries Sizes "bulkhead_flush_entries" ["disk" "device"]
        "Entries in a group."
    SharedFlushGroups Sizes "bulkhead_shared_flush_groups" ["disk" "device"]
        "Groups that one flush of the disk made durable together, each of another partition (ext4 and xfs, where more than three have something to flush). Each counts as a durable write of its own as well."
    FlushBytes Counter "bulkhead_flush_bytes_total" ["disk" "device"]
        "Bytes written by flushes, headers and padding included."
    FlushQueue Gauge "bulkhead_flush_queue_partitions" ["disk" "device"]
        "Partitions that wait for a flushing thread."
    Threads Gauge "bulkhead_threads" ["disk" "device" "pool" "state"]
        "Threads that flush and that keep house, by what they do; another one may have the place of those that are replaced: the rest overtake them, or they hang."

    Reads Counter "bulkhead_reads_total" ["disk" "device"]
        "Reads of a range of entries."
    ReadEntries Counter "bulkhead_read_entries_total" ["disk" "device" "source"]
        "Entries read, from memory or from a segment file (which the page cache may hold)."
    ReadBytes Counter "bulkhead_read_bytes_total" ["disk" "device"]
        "Payload read."
    ChecksFailed Counter "bulkhead_checks_failed_total" ["disk" "device"]
        "Entries that did not validate when they were read or verified."

    Segments Gauge "bulkhead_segments" ["disk" "device"]
        "Segment files that hold entries, at the last look."
    SegmentBytes Gauge "bulkhead_segment_bytes" ["disk" "device"]
        "Their size."
    SegmentsCreated Counter "bulkhead_segments_created_total" ["disk" "device" "source"]
        "Segments made: in a new file, in one that compaction had set free, or in one of the reserve on a full disk."
    KeptBytes Gauge "bulkhead_kept_bytes" ["disk" "device"]
        "What recovery cut and kept for inspection, of open partitions."
    ReserveBytes Gauge "bulkhead_reserve_bytes" ["disk" "device"]
        "The space reserve by which votes, compaction and recovery work on a full disk."
    ReserveTargetBytes Gauge "bulkhead_reserve_target_bytes" ["disk" "device"]
        "What the reserve should be; it is filled up within a few seconds when there is space."

    Errors Counter "bulkhead_errors_total" ["disk" "device" "operation" "cause" "errno"]
        "Failed operations, healed ones included, by the system's error; none where no system call failed."
    Faults Counter "bulkhead_faults_total" ["disk" "device" "cause"]
        "Partitions that were latched: they left ReadWrite, or went from ReadOnly to Unavailable. Stalls are those with cause stalled."
    Heals Counter "bulkhead_heals_total" ["disk" "device" "by" "outcome"]
        "Tries to heal a fault: by the call that met it, by a probe, or by the owner (recover)."
    SlowOperations Counter "bulkhead_slow_operations_total" ["disk" "device"]
        "System calls that took longer than slow_disk_ms."
    LostEntries Gauge "bulkhead_lost_entries" ["disk" "device"]
        "Acknowledged entries that are gone, of open partitions, until their owner gives them up."
    DamagedEntries Gauge "bulkhead_damaged_entries" ["disk" "device"]
        "Entries that cannot be read although others around them can, of open partitions."
    OpenSeconds Times "bulkhead_open_seconds" ["disk" "device"]
        "Time of reading a partition's directory when it is opened."
}
