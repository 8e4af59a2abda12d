//! Writes log files as CubeFS's own WAL does: in files of 32 MiB, each but the last sealed by an index record and a footer.

use super::bad_file::BadFile;
use super::content::{holds, BLOCK_BYTES, PIECE_BYTES};
use super::output::Output;
use crate::error::{Op, Result};
use crate::format::cubefs::{encode_seal, Entry, IndexItem, LogName};
use crate::io::{AlignedBuf, Dir};
use std::sync::Arc;

/// CubeFS's DefaultFileSize.
const FILE_BYTES: u64 = 32 << 20;

pub struct LogWriter {
    output: Output,
    sequence: u64,
    /// Bytes of the file of that number that are on their way, and their CRC-32C. Others follow them in memory.
    sent: u64,
    sum: u32,
    buffer: AlignedBuf,
    items: Vec<IndexItem>,
    finished_bytes: u64,
    /// About what is still to come: a file is made no larger than that, and grows if it is more.
    left: u64,
}

impl LogWriter {
    /// `first` is the index of the first entry that will come, `bytes` about what they take.
    pub fn create(dir: &Arc<dyn Dir>, first: u64, with_threads: bool, bytes: u64) -> Result<LogWriter> {
        let mut output = Output::new(Op::Export, dir.clone(), with_threads);
        output.begin(LogName { sequence: 1, first }.to_string(), bytes.min(FILE_BYTES))?;
        let (buffer, items) = (output.buffer(), Vec::new());
        Ok(LogWriter { output, sequence: 1, sent: 0, sum: 0, buffer, items, finished_bytes: 0, left: bytes })
    }

    pub fn push(&mut self, entry: &Entry<'_>) -> Result<()> {
        let offset = self.sent + self.buffer.len() as u64;
        if !self.items.is_empty() && offset + entry.record_bytes() > FILE_BYTES {
            self.rotate(entry.index)?;
            return self.push(entry);
        }
        // Below FILE_BYTES and one entry: it fits.
        self.items.push(IndexItem { index: entry.index, term: entry.term, offset: offset as u32 });
        self.left = self.left.saturating_sub(entry.record_bytes());
        let (before, behind) = entry.encode_around();
        [before.as_slice(), entry.data, &behind].iter().for_each(|part| self.buffer.extend_from_slice(part));
        if self.buffer.len() >= PIECE_BYTES {
            self.flush(self.buffer.len() / BLOCK_BYTES * BLOCK_BYTES)?;
        }
        Ok(())
    }

    /// Sends the first `bytes` off: whole blocks, or all at the file's end.
    fn flush(&mut self, bytes: usize) -> Result<()> {
        let mut next = self.output.buffer();
        next.extend_from_slice(self.buffer.get(bytes..).unwrap_or(&[]));
        let mut piece = std::mem::replace(&mut self.buffer, next);
        piece.resize(bytes);
        self.sent += bytes as u64;
        self.sum = crc32c::crc32c_append(self.sum, &piece);
        self.output.write(piece)
    }

    fn end_file(&mut self) -> Result<()> {
        self.flush(self.buffer.len())?;
        let (bytes, sum) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.sum));
        self.finished_bytes += bytes;
        self.output.end(Box::new(move |file| holds(file, bytes, sum)))
    }

    fn rotate(&mut self, first: u64) -> Result<()> {
        let offset = self.sent + self.buffer.len() as u64;
        let mut seal = Vec::new();
        encode_seal(&self.items, offset, &mut seal);
        self.buffer.extend_from_slice(&seal);
        self.items.clear();
        self.end_file()?;
        self.sequence += 1;
        self.output.begin(LogName { sequence: self.sequence, first }.to_string(), self.left.min(FILE_BYTES))
    }

    /// After an error: the file that met it, if it was the medium's.
    pub fn bad_file(&self) -> Option<BadFile> {
        self.output.bad_file()
    }

    /// Makes everything durable but the directory, and reads it back. Returns how many files there are, and their bytes. Nothing may follow.
    pub fn finish(&mut self) -> Result<(u64, u64)> {
        self.end_file()?;
        self.output.finish()?;
        Ok((self.sequence, self.finished_bytes))
    }
}
