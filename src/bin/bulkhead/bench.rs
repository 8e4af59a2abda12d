//! `bulkhead bench`: how fast the library is on a directory's filesystem. All it makes is in one new subdirectory, which goes at the end.

use crate::args;
use crate::exit::Exit;
use crate::{aside, interrupt, say, show};
use bulkhead::{Engine, EngineConfig, EntryRef, Error, Mode, Op, Partition, PartitionConfig, Result, Status};
use indicatif::ProgressBar;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A partition is compacted after so many payload bytes, so that a run takes little space.
const KEPT_BYTES: u64 = 16 << 20;

/// What one row measured.
struct Row {
    mode: Mode,
    bytes: usize,
    partitions: usize,
    appends: u64,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

pub fn bench(args: &args::Bench, json: bool) -> Result<Exit> {
    let scratch = args.directory.join(format!("bulkhead-bench-{}", std::process::id()));
    interrupt::watch();
    if let Err(e) = std::fs::create_dir(&scratch) {
        let error = match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Status::NotFound, Op::Open, "the directory does not exist; give one on the disk to measure")
            }
            std::io::ErrorKind::NotADirectory => Error::new(
                Status::NotADirectory,
                Op::Open,
                "the path is not a directory; give one on the disk to measure",
            ),
            std::io::ErrorKind::PermissionDenied => Error {
                errno: e.raw_os_error().unwrap_or(0),
                ..Error::new(Status::PermissionDenied, Op::Open, "creating a subdirectory")
            },
            _ => Error::io(Op::Open, &e, "creating a subdirectory"),
        };
        show::error(&args.directory, &error, json);
        return Ok(Exit::of(&error));
    }
    let done = rows(args, &scratch, json);
    let removed = std::fs::remove_dir_all(&scratch);
    let exit = match done {
        Ok(()) if interrupt::is_set() => Exit::Interrupted,
        Ok(()) => Exit::Fine,
        Err(error) => {
            show::error(&error.path.clone(), &error, json);
            Exit::of(&error)
        }
    };
    if let Err(e) = removed {
        aside!("{}: what was made could not be removed: {e}", scratch.display());
        return Ok(exit.and(Exit::System));
    }
    Ok(exit)
}

fn rows(args: &args::Bench, scratch: &Path, json: bool) -> Result<()> {
    let cases: Vec<(Mode, usize, usize)> = args
        .mode
        .iter()
        .flat_map(|mode| args.size.iter().map(move |size| (*mode, *size)))
        .flat_map(|(mode, size)| args.partitions.iter().map(move |n| (mode.into(), size as usize, *n as usize)))
        .collect();
    let bar = ProgressBar::new(cases.len() as u64);
    let mut table = vec![show::row(["MODE", "ENTRY", "PARTITIONS", "APPENDS/S", "MIB/S", "P50", "P99", "MAX"])];
    for (i, (mode, bytes, partitions)) in cases.into_iter().enumerate() {
        if interrupt::is_set() {
            break;
        }
        let row = one(&scratch.join(i.to_string()), mode, bytes, partitions, Duration::from_secs_f64(args.seconds))?;
        bar.inc(1);
        let name = format!("{:?}", row.mode).to_lowercase();
        let rate = row.appends as f64 / row.seconds;
        let mib = rate * row.bytes as f64 / 1048576.0;
        if json {
            say!(
                "{}",
                json!({"mode": name, "entry_bytes": row.bytes, "partitions": row.partitions, "appends": row.appends, "seconds": row.seconds,
                "appends_per_second": rate, "mib_per_second": mib, "p50_us": row.p50_us, "p99_us": row.p99_us, "max_us": row.max_us})
            );
        }
        let time = |us: f64| if us < 1000.0 { format!("{us:.0} us") } else { format!("{:.1} ms", us / 1000.0) };
        table.push(vec![
            name,
            show::bytes(row.bytes as u64),
            row.partitions.to_string(),
            show::number(rate as u64),
            format!("{mib:.1}"),
            time(row.p50_us),
            time(row.p99_us),
            time(row.max_us),
        ]);
    }
    bar.finish_and_clear();
    if !json {
        say!(
            "{}: appends of one entry each, one thread for each partition, {} s a row",
            args.directory.display(),
            args.seconds
        );
        show::table(&table);
        say!("mode sync and interval end on the disk, mode none in the page cache; a time is that of one append as its caller sees it");
    }
    Ok(())
}

fn one(directory: &PathBuf, mode: Mode, bytes: usize, partitions: usize, time: Duration) -> Result<Row> {
    let fail = |e: std::io::Error| Error::io(Op::Open, &e, "creating a subdirectory").at(directory);
    std::fs::create_dir(directory).map_err(fail)?;
    let engine = Engine::open(EngineConfig::default())?;
    let open = |i: usize| {
        let config = PartitionConfig { mode, ..PartitionConfig::new(directory.join(format!("wal_{i}")), i as u64 + 1) };
        engine.open_partition(config)
    };
    let opened: Vec<Arc<Partition>> = (0..partitions).map(open).collect::<Result<_>>()?;
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut failed = None;
    std::thread::scope(|scope| {
        let threads: Vec<_> = opened.iter().map(|p| scope.spawn(|| appends(p, bytes, begun, time))).collect();
        for thread in threads {
            match thread.join() {
                Ok(Ok(some)) => times.extend(some),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(Error::new(Status::Panic, Op::Append, "a thread has ended with a panic")),
            }
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let closed = engine.close();
    failed.map_or(Ok(()), Err)?;
    closed?;
    std::fs::remove_dir_all(directory)
        .map_err(|e| Error::io(Op::Close, &e, "removing a subdirectory").at(directory))?;
    times.sort_unstable();
    let at = |share: f64| {
        times.get((times.len() as f64 * share) as usize).or(times.last()).map_or(0.0, |ns| *ns as f64 / 1000.0)
    };
    Ok(Row {
        mode,
        bytes,
        partitions,
        appends: times.len() as u64,
        seconds,
        p50_us: at(0.5),
        p99_us: at(0.99),
        max_us: at(1.0),
    })
}

/// Appends until the time is over; how long each took, in ns.
fn appends(partition: &Partition, bytes: usize, begun: Instant, time: Duration) -> Result<Vec<u64>> {
    let data = vec![0xA5u8; bytes];
    let keep = (KEPT_BYTES / bytes.max(1) as u64).max(1);
    let mut times = Vec::new();
    for index in 1.. {
        let before = Instant::now();
        if before - begun >= time || interrupt::is_set() {
            break;
        }
        partition.append(&[EntryRef { index, term: 1, kind: 0, data: &data }])?;
        times.push(before.elapsed().as_nanos() as u64);
        if index % keep == 0 {
            partition.compact(index)?;
        }
    }
    Ok(times)
}
