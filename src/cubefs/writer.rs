//! Writes log files as CubeFS's own WAL does: in files of 32 MiB, each but the last sealed by an index record and a footer.

use super::output::{Output, Step};
use crate::error::{Error, Op, Result};
use crate::format::cubefs::{encode_seal, Entry, IndexItem, LogName};
use crate::io::{Access, Dir, File};
use std::collections::VecDeque;
use std::sync::Arc;

/// CubeFS's DefaultFileSize.
const FILE_BYTES: u64 = 32 << 20;
/// Written at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// Files that are written and wait to be synced: the kernel writes them back meanwhile.
const UNSYNCED_MAX: usize = 8;

pub struct LogWriter<'a> {
    dir: &'a dyn Dir,
    output: Output,
    file: Arc<dyn File>,
    sequence: u64,
    /// Bytes on their way, and those that follow them in memory.
    written: u64,
    buffer: Vec<u8>,
    items: Vec<IndexItem>,
    unsynced: VecDeque<Arc<dyn File>>,
    finished_bytes: u64,
}

impl<'a> LogWriter<'a> {
    /// `first` is the index of the first entry that will come.
    pub fn create(dir: &'a dyn Dir, first: u64, output: Output) -> Result<LogWriter<'a>> {
        let file = create(dir, LogName { sequence: 1, first })?;
        Ok(LogWriter {
            dir,
            output,
            file,
            sequence: 1,
            written: 0,
            buffer: new_buffer(),
            items: Vec::new(),
            unsynced: VecDeque::new(),
            finished_bytes: 0,
        })
    }

    pub fn push(&mut self, entry: &Entry<'_>) -> Result<()> {
        let offset = self.written + self.buffer.len() as u64;
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
        let (file, offset) = (self.file.clone(), self.written);
        self.written += bytes.len() as u64;
        self.buffer = self.output.push(Step::Write { file, offset, bytes })?.unwrap_or_else(new_buffer);
        Ok(())
    }

    fn sync(&mut self, file: Arc<dyn File>) -> Result<()> {
        self.output.push(Step::Sync(file)).map(drop)
    }

    fn rotate(&mut self, first: u64) -> Result<()> {
        let offset = self.written + self.buffer.len() as u64;
        encode_seal(&self.items, offset, &mut self.buffer);
        self.items.clear();
        self.flush()?;
        self.finished_bytes += self.written;
        self.written = 0;
        self.sequence += 1;
        let next = create(self.dir, LogName { sequence: self.sequence, first })?;
        self.unsynced.push_back(std::mem::replace(&mut self.file, next));
        if self.unsynced.len() > UNSYNCED_MAX {
            self.unsynced.pop_front().map_or(Ok(()), |file| self.sync(file))?;
        }
        Ok(())
    }

    /// Makes everything durable but the directory. Returns how many files there are, and their bytes.
    pub fn finish(mut self) -> Result<(u64, u64)> {
        self.flush()?;
        self.unsynced.push_back(self.file.clone());
        while let Some(file) = self.unsynced.pop_front() {
            self.sync(file)?;
        }
        self.output.finish()?;
        Ok((self.sequence, self.finished_bytes + self.written))
    }
}

/// A piece and the record that takes it over that; a longer one lets it grow.
fn new_buffer() -> Vec<u8> {
    Vec::with_capacity(BUFFER_BYTES * 2)
}

fn create(dir: &dyn Dir, name: LogName) -> Result<Arc<dyn File>> {
    let made = dir.create(&name.to_string(), Access::Buffered);
    made.map_err(|e| Error::io(Op::Export, &e, "creating a log file"))
}
