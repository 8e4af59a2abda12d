//! Reads an import back from the medium, segment by segment, while the next ones are still written.

use super::content::{lost, Content};
use super::readers::{Done, Readers};
use super::scan::Meter;
use crate::error::{Op, Result};
use crate::io::Dir;
use crate::partition::Part;
use std::sync::Arc;

/// What was read back so far.
pub struct ReadBack<'a> {
    readers: Readers<Part, Content>,
    /// Told of the bytes of each part.
    meter: &'a Meter<'a>,
    handed: Vec<Part>,
    found: Vec<(Part, Content)>,
}

impl<'a> ReadBack<'a> {
    /// Of segments in `dir`.
    pub fn new(dir: Arc<dyn Dir>, with_threads: bool, meter: &'a Meter<'a>) -> ReadBack<'a> {
        let readers = Readers::new(with_threads, move |part| content_of(&*dir, part));
        ReadBack { readers, meter, handed: Vec::new(), found: Vec::new() }
    }

    /// The last entry that was handed over.
    pub fn last(&self) -> u64 {
        self.handed.last().map_or(0, Part::last)
    }

    /// Hands parts over, oldest first, until the readers have enough to do. Tells what did not read back of earlier ones.
    pub fn offer(&mut self, parts: Vec<Part>) -> Result<()> {
        while let Some(done) = self.readers.done() {
            self.take(done)?;
        }
        for part in parts {
            if self.readers.give(part.clone()).is_some() {
                break;
            }
            self.handed.push(part);
        }
        Ok(())
    }

    /// What the whole log holds, which is `parts`: reads those that were not read yet.
    pub fn finish(mut self, parts: &[Part]) -> Result<Content> {
        let missing = parts.iter().filter(|part| !self.handed.contains(part));
        for part in missing.cloned().collect::<Vec<_>>() {
            let mut job = Some(part);
            while let Some(part) = job.take() {
                job = self.readers.give(part);
                if job.is_some() {
                    self.wait()?;
                }
            }
        }
        while self.wait()? {}
        let mut all = Content::default();
        self.found.iter().filter(|(part, _)| parts.contains(part)).for_each(|(_, content)| all.add_all(content));
        Ok(all)
    }

    /// False if there is nothing to wait for.
    fn wait(&mut self) -> Result<bool> {
        let Some(done) = self.readers.wait()? else { return Ok(false) };
        self.take(done)?;
        Ok(true)
    }

    fn take(&mut self, (part, content): Done<Part, Content>) -> Result<()> {
        let content = content?;
        self.meter.add(part.bytes());
        self.found.push((part, content));
        Ok(())
    }
}

fn content_of(dir: &dyn Dir, part: &Part) -> Result<Content> {
    let mut found = Content::default();
    let bad = part.read(dir, &mut |index, term, kind, data| {
        found.add(index, term, kind, data);
        true
    })?;
    match bad.first().zip(bad.last()) {
        None => Ok(found),
        Some((first, last)) => Err(lost(Op::Import, "entries cannot be read").range(first.0, last.1)),
    }
}
