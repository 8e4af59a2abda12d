//! One arm of one row, in one process.
//!
//! The driver starts it with `--serve`, waits for `ready` and asks for slots of any workload of the same row, so that
//! neither process start-up nor the filling of the log is measured. By hand: `--seconds 2` or `--ops 10000` run one.

mod arms;
mod failing;
mod histogram;
mod neighbours;
mod payload;
mod reporting;
mod slot;
mod workload;

use slot::{Limit, Runner};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;
use workload::Workload;

const USAGE: &str =
    "usage: bench-rust --arm ARM --workload B1/4096 --dir DIR [--fill MIB] (--serve | --seconds S | --ops N)";

struct Options {
    arm: String,
    workload: Workload,
    dir: PathBuf,
    fill_bytes: u64,
    limit: Option<Limit>, // None: serve
}

fn main() {
    if let Err(message) = run() {
        eprintln!("bench-rust: {message}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let options = parse(std::env::args().skip(1))?;
    std::fs::create_dir_all(&options.dir).map_err(|e| format!("{}: {e}", options.dir.display()))?;
    if options.workload.id.starts_with('F') {
        return reporting::run(&options.workload.id, &options.dir);
    }
    if let Some(mode) = options.workload.neighbours() {
        return neighbours::serve(mode, &options.dir);
    }
    let arm = arms::open(&options.arm, &options.workload, &options.dir)?;
    let mut runner = Runner::new(arm);
    runner.fill(options.fill_bytes)?;
    match options.limit {
        Some(limit) => print_slot(&mut runner, &options.arm, &options.workload, limit),
        None => serve(&mut runner, &options),
    }
}

/// Answers one JSON line per `slot WORKLOAD SECONDS` line until standard input ends.
fn serve(runner: &mut Runner, options: &Options) -> Result<(), String> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let (workload, limit) = parse_slot(&line, options).ok_or_else(|| format!("not a command here: {line}"))?;
        print_slot(runner, &options.arm, &workload, limit)?;
    }
    Ok(())
}

fn parse_slot(line: &str, options: &Options) -> Option<(Workload, Limit)> {
    let (id, seconds) = line.strip_prefix("slot ")?.split_once(' ')?;
    let workload = Workload::parse(id).filter(|workload| workload.durable == options.workload.durable)?;
    Some((workload, Limit::Time(Duration::from_secs_f64(seconds.parse().ok()?))))
}

fn print_slot(runner: &mut Runner, arm: &str, workload: &Workload, limit: Limit) -> Result<(), String> {
    println!("{}", runner.slot(workload, limit)?.to_json(&workload.id, arm));
    std::io::stdout().flush().map_err(|e| e.to_string())
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut arm, mut workload, mut dir, mut fill, mut limit, mut serve) = (None, None, None, 0u64, None, false);
    while let Some(flag) = args.next() {
        if flag == "--serve" {
            serve = true;
            continue;
        }
        let value = args.next().ok_or(USAGE)?;
        let bad = || format!("{flag} {value}: not a valid value\n{USAGE}");
        match flag.as_str() {
            "--arm" => arm = Some(value),
            "--workload" => workload = Some(Workload::parse(&value).ok_or_else(bad)?),
            "--dir" => dir = Some(PathBuf::from(value)),
            "--fill" => fill = value.parse::<u64>().map_err(|_| bad())? << 20,
            "--seconds" => limit = Some(Limit::Time(Duration::from_secs_f64(value.parse().map_err(|_| bad())?))),
            "--ops" => limit = Some(Limit::Appends(value.parse().map_err(|_| bad())?)),
            _ => return Err(USAGE.into()),
        }
    }
    if serve == limit.is_some() {
        return Err(USAGE.into());
    }
    Ok(Options {
        arm: arm.ok_or(USAGE)?,
        workload: workload.ok_or(USAGE)?,
        dir: dir.ok_or(USAGE)?,
        fill_bytes: fill,
        limit,
    })
}
