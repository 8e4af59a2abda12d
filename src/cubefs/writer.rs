//! Writes log files as CubeFS's own WAL does: in files of 32 MiB, each but the last sealed by an index record and a footer.

use crate::format::cubefs::{encode_seal, Entry, IndexItem, LogName};
use crate::io::{write_all_at, Access, Dir, File};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// CubeFS's DefaultFileSize.
const FILE_BYTES: u64 = 32 << 20;
/// Written at a time.
const BUFFER_BYTES: usize = 1 << 20;
/// Files that are written and wait to be synced: the kernel writes them back meanwhile.
const UNSYNCED_MAX: usize = 8;

pub struct LogWriter<'a> {
    dir: &'a dyn Dir,
    file: Arc<dyn File>,
    sequence: u64,
    /// Written bytes, and those that follow them in memory.
    written: u64,
    buffer: Vec<u8>,
    items: Vec<IndexItem>,
    unsynced: VecDeque<Arc<dyn File>>,
    finished_bytes: u64,
}

impl<'a> LogWriter<'a> {
    /// `first` is the index of the first entry that will come.
    pub fn create(dir: &'a dyn Dir, first: u64) -> io::Result<LogWriter<'a>> {
        let file = dir.create(&LogName { sequence: 1, first }.to_string(), Access::Buffered)?;
        Ok(LogWriter {
            dir,
            file,
            sequence: 1,
            written: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES * 2),
            items: Vec::new(),
            unsynced: VecDeque::new(),
            finished_bytes: 0,
        })
    }

    pub fn push(&mut self, entry: &Entry<'_>) -> io::Result<()> {
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

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(&*self.file, &[&self.buffer], self.written)?;
        self.file.start_write_back(self.written, self.buffer.len() as u64);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn rotate(&mut self, first: u64) -> io::Result<()> {
        let offset = self.written + self.buffer.len() as u64;
        encode_seal(&self.items, offset, &mut self.buffer);
        self.items.clear();
        self.flush()?;
        self.finished_bytes += self.written;
        self.written = 0;
        self.sequence += 1;
        let next = self.dir.create(&LogName { sequence: self.sequence, first }.to_string(), Access::Buffered)?;
        self.unsynced.push_back(std::mem::replace(&mut self.file, next));
        if self.unsynced.len() > UNSYNCED_MAX {
            self.unsynced.pop_front().map_or(Ok(()), |file| file.sync())?;
        }
        Ok(())
    }

    /// Makes everything durable but the directory. Returns how many files there are, and their bytes.
    pub fn finish(mut self) -> io::Result<(u64, u64)> {
        self.flush()?;
        for file in self.unsynced.iter().chain([&self.file]) {
            file.sync()?;
        }
        Ok((self.sequence, self.finished_bytes + self.written))
    }
}
