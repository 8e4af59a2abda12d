//! How things are shown to people.

use bulkhead::cubefs::{Finding, Progress};
use bulkhead::Error;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{json, Value};
use std::path::Path;

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

pub fn bytes(n: u64) -> String {
    match n {
        0..=9_999 => format!("{} B", number(n)),
        10_000..=10_239_999 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1048576.0),
    }
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

/// Columns as wide as their widest cell; the last one is not padded.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

pub fn findings(findings: &[Finding]) {
    for f in findings {
        let behind =
            if f.damage && f.range != (0, 0) { format!(" (the term before is {})", f.term) } else { String::new() };
        println!(
            "  {}: {} at byte {}: {}{behind}",
            if f.damage { "damage" } else { "note" },
            f.file,
            f.offset,
            f.message
        );
        println!("    CubeFS's own WAL: {}", f.cubefs);
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
        println!(
            "{}",
            json!({"path": path.to_string_lossy(), "error": status, "errno": error.errno, "first_index": error.range.0,
            "last_index": error.range.1, "message": error.message})
        );
        return;
    }
    let system = match error.errno {
        0 => String::new(),
        errno => format!(": {}", std::io::Error::from_raw_os_error(errno)),
    };
    eprintln!("{}: {}{system}", path.display(), error.message);
}
