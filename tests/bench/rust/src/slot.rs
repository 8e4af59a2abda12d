//! Runs appends for a while and measures them.

use crate::arms::Arm;
use crate::histogram::Histogram;
use crate::payload::Pool;
use crate::workload::Workload;
use std::time::{Duration, Instant};

/// Every arm of a comparison is compacted alike: each time this much was appended, down to the last `KEEP_BYTES`.
const COMPACT_EVERY_BYTES: u64 = 64 << 20;
const KEEP_BYTES: u64 = 64 << 20;
const FILL_ENTRY_BYTES: usize = 64 << 10;
const FILL_BATCH: usize = 4;

#[derive(Clone, Copy)]
pub enum Limit {
    Time(Duration),
    Appends(u64),
}

pub struct Report {
    seconds: f64,
    appends: u64,
    entries: u64,
    latency: Histogram,
}

impl Report {
    pub fn to_json(&self, workload: &str, arm: &str) -> String {
        format!(
            r#"{{"workload":"{workload}","arm":"{arm}","unit":"entries/s","value":{:.1},"p50_us":{:.2},"p99_us":{:.2},"appends":{},"seconds":{:.6},"histogram":{}}}"#,
            self.entries as f64 / self.seconds,
            self.latency.quantile_us(0.50),
            self.latency.quantile_us(0.99),
            self.appends,
            self.seconds,
            self.latency.to_json(),
        )
    }
}

pub struct Runner {
    arm: Box<dyn Arm>,
    pool: Pool,
    next_index: u64,
    appended_bytes: u64,    // since the last compaction
    marks: Vec<(u64, u64)>, // (index, bytes appended up to it) when compaction was due, oldest first
    total_bytes: u64,
}

impl Runner {
    pub fn new(arm: Box<dyn Arm>) -> Runner {
        Runner { arm, pool: Pool::new(), next_index: 1, appended_bytes: 0, marks: Vec::new(), total_bytes: 0 }
    }

    /// Appends large entries until the log is as full as it will stay, so that the slots see the steady state:
    /// segments that were rotated, compacted and, where a system recycles them, recycled.
    pub fn fill(&mut self, bytes: u64) -> Result<(), String> {
        while self.total_bytes < bytes {
            let batch: Vec<&'static [u8]> = (0..FILL_BATCH).map(|_| self.pool.next(FILL_ENTRY_BYTES)).collect();
            self.append(&batch)?;
            self.compact_when_due()?;
        }
        Ok(())
    }

    pub fn slot(&mut self, workload: &Workload, limit: Limit) -> Result<Report, String> {
        let mut latency = Histogram::new();
        let mut batch: Vec<&'static [u8]> = Vec::with_capacity(workload.batch);
        let (mut appends, start) = (0u64, Instant::now());
        let mut before = start;
        let end = loop {
            batch.clear();
            for _ in 0..workload.batch {
                batch.push(self.pool.next(workload.payload_bytes));
            }
            self.append(&batch)?;
            let mut now = Instant::now();
            latency.record((now - before).as_nanos() as u64);
            appends += 1;
            let done = match limit {
                Limit::Time(time) => now - start >= time,
                Limit::Appends(count) => appends >= count,
            };
            if done {
                break now;
            }
            // Compaction counts for the throughput, not as the latency of an append.
            if self.compact_when_due()? {
                now = Instant::now();
            }
            before = now;
        };
        let entries = appends * workload.batch as u64;
        Ok(Report { seconds: (end - start).as_secs_f64(), appends, entries, latency })
    }

    fn append(&mut self, batch: &[&'static [u8]]) -> Result<(), String> {
        self.arm.append(self.next_index, batch)?;
        self.next_index += batch.len() as u64;
        let bytes: u64 = batch.iter().map(|payload| payload.len() as u64).sum();
        self.appended_bytes += bytes;
        self.total_bytes += bytes;
        Ok(())
    }

    fn compact_when_due(&mut self) -> Result<bool, String> {
        if self.appended_bytes < COMPACT_EVERY_BYTES {
            return Ok(false);
        }
        self.appended_bytes = 0;
        self.marks.push((self.next_index - 1, self.total_bytes));
        let floor = self.total_bytes.saturating_sub(KEEP_BYTES);
        let due = self.marks.iter().rposition(|(_, bytes)| *bytes <= floor);
        let Some(position) = due else {
            return Ok(false);
        };
        let (index, _) = self.marks[position];
        self.marks.drain(..=position);
        self.arm.compact(index)?;
        Ok(true)
    }
}
