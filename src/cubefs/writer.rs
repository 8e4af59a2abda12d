//! Writes log files as CubeFS's own WAL does: in files of 32 MiB, each but the last sealed by an index record and a footer.

use super::output::{Output, PIECE_BYTES};
use crate::error::{Op, Result};
use crate::format::cubefs::{encode_seal, Entry, IndexItem, LogName};
use crate::io::{Access, Dir};
use std::sync::Arc;

/// CubeFS's DefaultFileSize.
const FILE_BYTES: u64 = 32 << 20;

pub struct LogWriter {
    output: Output<Vec<u8>>,
    sequence: u64,
    /// Bytes of the file of that number that are on their way. Others follow them in memory.
    sent: u64,
    buffer: Vec<u8>,
    items: Vec<IndexItem>,
    finished_bytes: u64,
}

impl LogWriter {
    /// `first` is the index of the first entry that will come.
    pub fn create(dir: &Arc<dyn Dir>, first: u64, with_threads: bool) -> Result<LogWriter> {
        let mut output = Output::new(Op::Export, dir.clone(), Access::Buffered, with_threads);
        output.begin(LogName { sequence: 1, first }.to_string())?;
        Ok(LogWriter { output, sequence: 1, sent: 0, buffer: Vec::new(), items: Vec::new(), finished_bytes: 0 })
    }

    pub fn push(&mut self, entry: &Entry<'_>) -> Result<()> {
        let offset = self.sent + self.buffer.len() as u64;
        if !self.items.is_empty() && offset + entry.record_bytes() > FILE_BYTES {
            self.rotate(entry.index)?;
            return self.push(entry);
        }
        // Below FILE_BYTES and one entry: it fits.
        self.items.push(IndexItem { index: entry.index, term: entry.term, offset: offset as u32 });
        entry.encode_record(&mut self.buffer);
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let mut next = self.output.free().unwrap_or_else(new_buffer);
        next.clear();
        let bytes = std::mem::replace(&mut self.buffer, next);
        self.sent += bytes.len() as u64;
        self.output.write(bytes)
    }

    fn rotate(&mut self, first: u64) -> Result<()> {
        let offset = self.sent + self.buffer.len() as u64;
        encode_seal(&self.items, offset, &mut self.buffer);
        self.items.clear();
        self.flush()?;
        self.finished_bytes += std::mem::take(&mut self.sent);
        self.sequence += 1;
        self.output.begin(LogName { sequence: self.sequence, first }.to_string()).map(drop)
    }

    /// Makes everything durable but the directory, and reads it back. Returns how many files there are, and their bytes.
    pub fn finish(mut self) -> Result<(u64, u64)> {
        self.flush()?;
        self.output.finish()?;
        Ok((self.sequence, self.finished_bytes + self.sent))
    }
}

/// A piece and the record that takes it over that; a longer one lets it grow.
fn new_buffer() -> Vec<u8> {
    Vec::with_capacity(PIECE_BYTES * 2)
}
