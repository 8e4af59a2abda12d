//! `bulkhead verify`: several directories at a time.

use crate::args;
use crate::exit::Exit;
use crate::state_file::{fingerprint, StateFile};
use crate::{aside, find, interrupt, say, show};
use bulkhead::cubefs::{Conversion, Finding, Progress, Shape};
use bulkhead::io::real::RealStorage;
use bulkhead::{Engine, Error, Op, Result, Status, Survey};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Mutex;
use std::thread::{Builder, ScopedJoinHandle};

/// Payload bytes between two looks at the progress bar.
const STEP_BYTES: u64 = 1 << 20;

/// A disk is kept busy by several readers, however few processors there are: each waits for what it has asked for.
const JOBS_MIN: usize = 4;

/// How often a directory is looked at that changes hands each time.
const LOOKS: usize = 4;

/// What reading a directory in full showed.
#[derive(Default)]
struct Read {
    entries: u64,
    bytes: u64,
    bad: Vec<(u64, u64)>,
    findings: Vec<Finding>,
    fault: Option<Error>,
    /// By an earlier run with the same state file.
    earlier: bool,
}

impl Read {
    fn exit(&self) -> Exit {
        let damaged = !self.bad.is_empty() || self.fault.is_some();
        Exit::of_findings(&self.findings).and(if damaged { Exit::Damage } else { Exit::Fine })
    }
}

/// The directories of one run, and what its threads share.
struct Run<'a> {
    engine: &'a Engine,
    logs: &'a [(PathBuf, Result<Shape>)],
    /// For one directory: where there are few, each gets several.
    readers: usize,
    state: Option<&'a StateFile>,
    /// Bytes of each, for the bar.
    sizes: Vec<u64>,
    next: AtomicUsize,
    done: AtomicU64,
    bar: indicatif::ProgressBar,
    results: Vec<Mutex<Option<Result<Read>>>>,
}

pub fn verify(args: &args::Verify, json: bool) -> Result<Exit> {
    let engine = find::engine()?;
    let state = args.state.as_deref().map(StateFile::open).transpose()?;
    let logs = find::logs(&engine, &args.paths.paths);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.unwrap_or(processors.max(JOBS_MIN)).clamp(1, 64);
    interrupt::watch();
    let run = Run {
        engine: &engine,
        logs: &logs,
        readers: (jobs / logs.len().max(1)).max(1),
        state: state.as_ref(),
        sizes: logs.iter().map(|(path, shape)| if shape.is_ok() { show::file_bytes(path) } else { 0 }).collect(),
        next: AtomicUsize::new(0),
        done: AtomicU64::new(0),
        bar: show::bar("verify"),
        results: logs.iter().map(|_| Mutex::default()).collect(),
    };
    run.step(0);
    std::thread::scope(|scope| {
        // If the system has no thread for one, those that there are read the more.
        for _ in 1..jobs.min(logs.len()) {
            let _ = Builder::new().spawn_scoped(scope, || while run.one() {});
        }
        while run.one() {}
    });
    run.bar.finish_and_clear();
    let results = run.results.into_iter().map(|r| r.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()));
    let mut exit = Exit::Fine;
    for ((path, _), result) in logs.iter().zip(results) {
        exit = exit.and(result.map_or(Exit::Fine, |result| tell(path, result, json)));
    }
    if interrupt::is_set() {
        let again = match &args.state {
            Some(file) => format!("the same command goes on where it was ({})", file.display()),
            None => "with --state FILE it could go on where it was".to_string(),
        };
        aside!("bulkhead: interrupted; {again}");
        return Ok(exit.and(Exit::Interrupted));
    }
    // Results that nobody could read are to be had again.
    state.into_iter().filter(|_| !show::has_failed()).for_each(StateFile::remove);
    Ok(exit)
}

impl Run<'_> {
    /// Reads one directory; false if there is none left.
    fn one(&self) -> bool {
        let i = self.next.fetch_add(1, Ordering::Relaxed);
        let (Some((path, shape)), Some(place)) = (self.logs.get(i), self.results.get(i)) else { return false };
        if interrupt::is_set() {
            return false;
        }
        let read = shape.clone().and_then(|shape| match self.state {
            Some(state) => self.read_once(state, path, shape, i),
            None => self.read(path, shape),
        });
        if interrupt::is_set() {
            return false;
        }
        *place.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(read);
        true
    }

    /// Unless it was found sound before and has not changed since.
    fn read_once(&self, state: &StateFile, path: &Path, shape: Shape, i: usize) -> Result<Read> {
        let before = fingerprint(path);
        if let Some((entries, bytes)) = state.sound(path, before) {
            self.step(self.sizes.get(i).copied().unwrap_or(0));
            return Ok(Read { entries, bytes, earlier: true, ..Read::default() });
        }
        let read = self.read(path, shape)?;
        if read.exit() == Exit::Fine && !interrupt::is_set() && fingerprint(path) == before {
            state.note(path, before, (read.entries, read.bytes));
        }
        Ok(read)
    }

    /// As what it is, also if it changes hands meanwhile.
    fn read(&self, path: &Path, mut shape: Shape) -> Result<Read> {
        for _ in 1..LOOKS {
            let read = self.read_as(path, shape);
            if matches!(&read, Ok(Some(read)) if read.exit() == Exit::Fine) {
                return Ok(read?.unwrap_or_default());
            }
            let now = find::shape(self.engine, path)?;
            match read.transpose() {
                Some(read) if now == shape => return read,
                _ => shape = now,
            }
        }
        let message = "the directory changes hands again and again; try again";
        self.read_as(path, shape)?.ok_or_else(|| Error::new(Status::Busy, Op::Verify, message).at(path))
    }

    /// `None` if it is not CubeFS's any more.
    fn read_as(&self, path: &Path, shape: Shape) -> Result<Option<Read>> {
        if shape != Shape::Cubefs {
            return self.read_ours(path).map(Some);
        }
        let last = std::cell::Cell::new(0);
        let tell = |now: Progress| self.step(now.done_bytes - last.replace(now.done_bytes));
        let found = Conversion::new(self.engine, path, 0).progress(&tell).inspect()?;
        let report = found.report;
        let read = Read { entries: report.entries, bytes: report.bytes, findings: report.findings, ..Read::default() };
        Ok((found.shape == Shape::Cubefs).then_some(read))
    }

    fn read_ours(&self, path: &Path) -> Result<Read> {
        let survey = Survey::of(&RealStorage, path)?;
        let mut read = Read { fault: survey.fault().cloned(), ..Read::default() };
        let parts: Vec<Result<Read>> = std::thread::scope(|scope| {
            let survey = &survey;
            let begin = |range| (range, Builder::new().spawn_scoped(scope, move || self.read_range(survey, range)));
            let readers: Vec<_> = ranges(survey, self.readers).into_iter().map(begin).collect();
            let panicked = || Error::new(Status::Panic, Op::Verify, "a thread has ended with a panic");
            let result = |(range, begun): (_, std::io::Result<ScopedJoinHandle<'_, _>>)| match begun {
                Ok(reader) => reader.join().unwrap_or_else(|_| Err(panicked())),
                Err(_) => self.read_range(survey, range), // the system has no thread for it
            };
            readers.into_iter().map(result).collect()
        });
        for part in parts {
            let part = part?;
            read.entries += part.entries;
            read.bytes += part.bytes;
            read.bad.extend(part.bad);
        }
        Ok(read)
    }

    fn read_range(&self, survey: &Survey, (first, last): (u64, u64)) -> Result<Read> {
        let (mut read, mut pending) = (Read::default(), 0);
        read.bad = survey.read(first, last, &mut |_, _, _, data| {
            read.entries += 1;
            read.bytes += data.len() as u64;
            pending += data.len() as u64;
            if pending >= STEP_BYTES {
                self.step(std::mem::take(&mut pending));
                return !interrupt::is_set();
            }
            true
        })?;
        self.step(pending);
        Ok(read)
    }

    fn step(&self, bytes: u64) {
        let total_bytes = self.sizes.iter().sum();
        let done_bytes = (self.done.fetch_add(bytes, Ordering::Relaxed) + bytes).min(total_bytes);
        show::tick(&self.bar, Progress { done_bytes, total_bytes });
    }
}

/// All entries, in so many ranges of about the same size. A segment is not read from its middle: its beginning would be read twice.
fn ranges(survey: &Survey, readers: usize) -> Vec<(u64, u64)> {
    let (first, last) = survey.bounds();
    let segments = survey.segments();
    let share = segments.iter().map(|s| s.end).sum::<u64>() / readers as u64;
    let (mut ranges, mut from, mut bytes) = (Vec::new(), first, 0);
    for segment in &segments {
        bytes += segment.end;
        if bytes > share && (from..last).contains(&segment.last_index) {
            ranges.push((from, segment.last_index));
            (from, bytes) = (segment.last_index + 1, 0);
        }
    }
    ranges.push((from, last));
    ranges
}

fn tell(path: &Path, result: Result<Read>, json: bool) -> Exit {
    let read = match result {
        Ok(read) => read,
        Err(error) => {
            show::error(path, &error, json);
            return Exit::of(&error);
        }
    };
    let exit = read.exit();
    if json {
        let fault = read.fault.as_ref().map(|f| f.message.clone());
        say!(
            "{}",
            json!({"path": path.to_string_lossy(), "entries": read.entries, "bytes": read.bytes, "bad": read.bad, "fault": fault,
            "damaged": exit == Exit::Damage, "earlier": read.earlier, "findings": show::findings_json(&read.findings)})
        );
    } else {
        let verdict = match exit {
            Exit::Damage => "DAMAGED",
            Exit::Unfit => "good, and beyond what can be imported",
            _ => "good",
        };
        say!(
            "{}: {verdict}: {}, {} read{}",
            path.display(),
            show::count(read.entries, "entry", "entries"),
            show::bytes(read.bytes),
            if read.earlier { " by an earlier run" } else { "" }
        );
        read.fault.iter().for_each(|fault| say!("  {}", fault.message));
        read.bad.iter().for_each(|bad| say!("  entries that do not read back: {}", show::range(*bad)));
        show::findings(&read.findings);
        if exit == Exit::Damage && read.findings.is_empty() {
            say!("  `bulkhead repair` says what can be made of it");
        }
    }
    exit
}
