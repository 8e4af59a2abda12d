//! `bulkhead verify`: several directories at a time.

use crate::args;
use crate::exit::Exit;
use crate::{find, show};
use bulkhead::cubefs::{Conversion, Finding, Progress, Shape};
use bulkhead::io::real::RealStorage;
use bulkhead::{Engine, Error, Result, Survey};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Mutex;

/// Payload bytes between two looks at the progress bar.
const STEP_BYTES: u64 = 1 << 20;

/// What reading a directory in full showed.
#[derive(Default)]
struct Read {
    entries: u64,
    bytes: u64,
    bad: Vec<(u64, u64)>,
    findings: Vec<Finding>,
    fault: Option<Error>,
}

pub fn verify(args: &args::Verify, json: bool) -> Result<Exit> {
    let engine = find::engine()?;
    let logs = find::logs(&engine, &args.paths.paths);
    let jobs = args
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
        .clamp(1, 64)
        .min(logs.len());
    let sizes = logs.iter().map(|(path, shape)| if shape.is_ok() { size(path) } else { 0 });
    let total = sizes.sum();
    let bar = show::bar("verify");
    show::tick(&bar, Progress { done_bytes: 0, total_bytes: total });
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let step = |bytes| {
        let done_bytes = (done.fetch_add(bytes, Ordering::Relaxed) + bytes).min(total);
        show::tick(&bar, Progress { done_bytes, total_bytes: total });
    };
    let results: Vec<Mutex<Option<Result<Read>>>> = logs.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((i, (path, shape))) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, logs.get(i)?)))
                {
                    let read = shape.clone().and_then(|shape| read(&engine, path, shape, &step));
                    if let (Some(place), Ok(read)) = (results.get(i).map(Mutex::lock), Ok::<_, ()>(read)) {
                        *place.unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(read);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let results = results.into_iter().filter_map(|r| r.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()));
    let exits = logs.iter().zip(results).map(|((path, _), result)| tell(path, result, json));
    Ok(exits.fold(Exit::Fine, Exit::and))
}

fn size(path: &PathBuf) -> u64 {
    match Survey::of(&RealStorage, path) {
        Ok(survey) => survey.log_bytes(),
        Err(_) => {
            let files = std::fs::read_dir(path).into_iter().flatten().flatten().filter_map(|e| e.metadata().ok());
            files.filter(|m| m.is_file()).map(|m| m.len()).sum()
        }
    }
}

fn read(engine: &Engine, path: &Path, shape: Shape, step: &dyn Fn(u64)) -> Result<Read> {
    if shape == Shape::Cubefs {
        let last = std::cell::Cell::new(0);
        let tell = |now: Progress| step(now.done_bytes - last.replace(now.done_bytes));
        let report = Conversion::new(engine, path, 0).progress(&tell).inspect()?.report;
        return Ok(Read { entries: report.entries, bytes: report.bytes, findings: report.findings, ..Read::default() });
    }
    let survey = Survey::of(&RealStorage, path)?;
    let mut read = Read { fault: survey.fault().cloned(), ..Read::default() };
    let (first, last) = survey.bounds();
    let mut pending = 0;
    read.bad = survey.read(first, last, &mut |_, _, _, data| {
        read.entries += 1;
        read.bytes += data.len() as u64;
        pending += data.len() as u64;
        if pending >= STEP_BYTES {
            step(std::mem::take(&mut pending));
        }
        true
    })?;
    step(pending);
    Ok(read)
}

fn tell(path: &Path, result: Result<Read>, json: bool) -> Exit {
    let read = match result {
        Ok(read) => read,
        Err(error) => {
            show::error(path, &error, json);
            return Exit::of(&error);
        }
    };
    let damaged = !read.bad.is_empty() || read.fault.is_some() || read.findings.iter().any(|f| f.damage);
    if json {
        let fault = read.fault.as_ref().map(|f| f.message.clone());
        println!(
            "{}",
            json!({"path": path.to_string_lossy(), "entries": read.entries, "bytes": read.bytes, "bad": read.bad, "fault": fault,
            "damaged": damaged, "findings": show::findings_json(&read.findings)})
        );
    } else {
        let verdict = if damaged { "DAMAGED" } else { "good" };
        println!(
            "{}: {verdict}: {}, {} read",
            path.display(),
            show::count(read.entries, "entry", "entries"),
            show::bytes(read.bytes)
        );
        read.fault.iter().for_each(|fault| println!("  {}", fault.message));
        read.bad.iter().for_each(|bad| println!("  entries that do not read back: {}", show::range(*bad)));
        show::findings(&read.findings);
    }
    if damaged {
        Exit::Damage
    } else {
        Exit::Fine
    }
}
