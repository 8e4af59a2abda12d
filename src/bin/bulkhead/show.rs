//! How things are shown to people.

use bulkhead::cubefs::{Finding, FindingKind, Progress, SNAPSHOT_PENDING};
use bulkhead::Error;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{json, Value};
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicBool = AtomicBool::new(false);
static CLEAR: AtomicBool = AtomicBool::new(false);

/// The next line stands at the top of an empty terminal; until it comes, what was shown last stays.
pub fn in_place_of_the_last() {
    CLEAR.store(true, Ordering::Relaxed);
}

/// To the top left, and everything behind it away.
fn clear() {
    if CLEAR.swap(false, Ordering::Relaxed) && !is_closed() {
        let mut out = std::io::stdout().lock();
        written(out.write_all(b"\x1b[H\x1b[2J").and_then(|()| out.flush()));
    }
}

/// A line on stdout.
pub fn line(text: &str) {
    clear();
    if !is_closed() {
        written(writeln!(std::io::stdout().lock(), "{}", one_line(text)));
    }
}

/// A line on stderr. If that cannot be written there is nobody to tell.
pub fn line_aside(text: &str) {
    clear();
    let _ = writeln!(std::io::stderr().lock(), "{}", one_line(text));
}

/// A directory's name, or what came over HTTP, must not begin a line of its own, nor order the terminal about. As JSON writes it, so that
/// JSON stays what it is.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.into()
}

/// What became of writing to stdout; false if it was the last time. A reader that has seen enough closes the pipe: then there is nobody to
/// tell. Anything else, such as a full disk, is a failure of the command, which goes on with what it does.
pub fn written(done: std::io::Result<()>) -> bool {
    let Err(e) = done else { return true };
    CLOSED.store(true, Ordering::Relaxed);
    if e.kind() != std::io::ErrorKind::BrokenPipe {
        FAILED.store(true, Ordering::Relaxed);
        crate::aside!("bulkhead: standard output could not be written, what is there is not all: {e}");
    }
    false
}

/// Somebody would have read more than there is.
pub fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Nobody reads what is printed.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// `println!` that survives a closed pipe.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => { $crate::show::line(&format!($($arg)*)) };
}

/// `eprintln!` that survives a full disk and a closed pipe.
#[macro_export]
macro_rules! aside {
    ($($arg:tt)*) => { $crate::show::line_aside(&format!($($arg)*)) };
}

/// A bar on stderr, if that is a terminal.
pub fn bar(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what.to_string());
    bar
}

pub fn tick(bar: &ProgressBar, now: Progress) {
    bar.set_length(now.total_bytes);
    bar.set_position(now.done_bytes);
}

/// 1234567 as 1,234,567.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A vote, with the CubeFS adapter's mark in it as words.
pub fn vote(vote: u64) -> String {
    match vote & SNAPSHOT_PENDING {
        0 => number(vote),
        _ => format!("{} (snapshot pending)", number(vote & !SNAPSHOT_PENDING)),
    }
}

pub fn bytes(n: u64) -> String {
    match n {
        0..=9_999 => format!("{} B", number(n)),
        10_000..=10_239_999 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1048576.0),
    }
}

/// Of the files in a directory.
pub fn file_bytes(path: &Path) -> u64 {
    let files = std::fs::read_dir(path).into_iter().flatten().flatten().filter_map(|e| e.metadata().ok());
    files.filter(|m| m.is_file()).map(|m| m.len()).sum()
}

pub fn range(range: (u64, u64)) -> String {
    match range {
        (a, b) if a > b => "none".into(),
        (a, b) if a == b => number(a),
        (a, b) => format!("{} to {}", number(a), number(b)),
    }
}

/// `1 entry`, `2 entries`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|c| c.to_string()).collect()
}

/// Columns as wide as their widest cell; the last one is not padded.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say!("{}", cells.join("  ").trim_end());
    }
}

pub fn findings(findings: &[Finding]) {
    for f in findings {
        let behind =
            if f.damage && f.range != (0, 0) { format!(" (the term before is {})", f.term) } else { String::new() };
        let what = match f.damage {
            true if f.kind == FindingKind::TooLarge => "too large",
            true => "damage",
            false => "note",
        };
        say!("  {what}: {} at byte {}: {}{behind}", f.file, f.offset, f.message);
        say!("    CubeFS's own WAL: {}", f.cubefs);
    }
}

pub fn findings_json(findings: &[Finding]) -> Vec<Value> {
    let one = |f: &Finding| {
        json!({"kind": format!("{:?}", f.kind), "damage": f.damage, "file": f.file, "offset": f.offset, "first_index": f.range.0,
            "last_index": f.range.1, "term": f.term, "message": f.message, "cubefs": f.cubefs})
    };
    findings.iter().map(one).collect()
}

/// An error of one directory, where its line would stand.
pub fn error(path: &Path, error: &Error, json: bool) {
    if json {
        let status = format!("{:?}", error.status);
        say!(
            "{}",
            json!({"path": path.to_string_lossy(), "error": status, "errno": error.errno, "first_index": error.range.0,
            "last_index": error.range.1, "message": error.message})
        );
        return;
    }
    aside!("{}: {}{}", path.display(), error.message, system(error));
}

/// The system's words for an error's errno, to be put behind its message.
pub fn system(error: &Error) -> String {
    match error.errno {
        0 => String::new(),
        errno => format!(": {}", std::io::Error::from_raw_os_error(errno)),
    }
}
