//! Writes log files as CubeFS's own WAL does: in files of 32 MiB, each but the last sealed by an index record and a footer.

use super::output::{Output, Step, Written};
use crate::error::{Error, Op, Result};
use crate::format::cubefs::{encode_seal, Entry, IndexItem, LogName};
use crate::io::{Access, Dir};
use std::collections::VecDeque;
use std::sync::Arc;

/// CubeFS's DefaultFileSize.
const FILE_BYTES: u64 = 32 << 20;
/// Written at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// Files that are written and wait to be synced: the kernel writes them back meanwhile.
const UNSYNCED_MAX: usize = 8;

pub struct LogWriter {
    dir: Arc<dyn Dir>,
    output: Output,
    sequence: u64,
    /// The file of that number, as far as its bytes are on their way. Others follow them in memory.
    current: Written,
    buffer: Vec<u8>,
    items: Vec<IndexItem>,
    unsynced: VecDeque<Written>,
    finished_bytes: u64,
}

impl LogWriter {
    /// `first` is the index of the first entry that will come.
    pub fn create(dir: &Arc<dyn Dir>, first: u64, with_thread: bool) -> Result<LogWriter> {
        Ok(LogWriter {
            dir: dir.clone(),
            output: Output::new(dir.clone(), with_thread),
            sequence: 1,
            current: create(&**dir, LogName { sequence: 1, first })?,
            buffer: new_buffer(),
            items: Vec::new(),
            unsynced: VecDeque::new(),
            finished_bytes: 0,
        })
    }

    pub fn push(&mut self, entry: &Entry<'_>) -> Result<()> {
        let offset = self.current.bytes + self.buffer.len() as u64;
        if !self.items.is_empty() && offset + entry.record_bytes() > FILE_BYTES {
            self.rotate(entry.index)?;
            return self.push(entry);
        }
        // Below FILE_BYTES and one entry: it fits.
        self.items.push(IndexItem { index: entry.index, term: entry.term, offset: offset as u32 });
        entry.encode_record(&mut self.buffer);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        let (file, offset) = (self.current.file.clone(), self.current.bytes);
        self.current.bytes += bytes.len() as u64;
        self.current.sum = crc32c::crc32c_append(self.current.sum, &bytes);
        self.buffer = self.output.push(Step::Write { file, offset, bytes })?.unwrap_or_else(new_buffer);
        Ok(())
    }

    fn finish_oldest(&mut self) -> Result<()> {
        let oldest = self.unsynced.pop_front();
        oldest.map_or(Ok(()), |written| self.output.push(Step::Finish(written)).map(drop))
    }

    fn rotate(&mut self, first: u64) -> Result<()> {
        let offset = self.current.bytes + self.buffer.len() as u64;
        encode_seal(&self.items, offset, &mut self.buffer);
        self.items.clear();
        self.flush()?;
        self.finished_bytes += self.current.bytes;
        self.sequence += 1;
        let next = create(&*self.dir, LogName { sequence: self.sequence, first })?;
        self.unsynced.push_back(std::mem::replace(&mut self.current, next));
        if self.unsynced.len() > UNSYNCED_MAX {
            self.finish_oldest()?;
        }
        Ok(())
    }

    /// Makes everything durable but the directory, and reads it back. Returns how many files there are, and their bytes.
    pub fn finish(mut self) -> Result<(u64, u64)> {
        self.flush()?;
        let bytes = self.finished_bytes + self.current.bytes;
        self.unsynced.push_back(self.current);
        for written in self.unsynced {
            self.output.push(Step::Finish(written))?;
        }
        self.output.finish()?;
        Ok((self.sequence, bytes))
    }
}

/// A piece and the record that takes it over that; a longer one lets it grow.
fn new_buffer() -> Vec<u8> {
    Vec::with_capacity(BUFFER_BYTES * 2)
}

fn create(dir: &dyn Dir, name: LogName) -> Result<Written> {
    let name = name.to_string();
    let file = dir.create(&name, Access::Buffered).map_err(|e| Error::io(Op::Export, &e, "creating a log file"))?;
    Ok(Written { file, name, bytes: 0, sum: 0 })
}
