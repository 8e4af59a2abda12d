//! Every metric is described once, in src/engine/metrics/table.rs. What is generated from there and committed is what it says.
//!
//! `BULKHEAD_BLESS=1 cargo test --test metrics_table` writes it anew.

use std::fmt::Write;
use std::path::Path;

use bulkhead::{MetricInfo, MetricKind, METRICS};

const DOC: &str = "docs/operations.md";
const BEGIN: &str = "<!-- generated from src/engine/metrics/table.rs -->\n";
const END: &str = "<!-- end of generated -->\n";
const GO: &str = "go/metrics/table.go";

fn committed(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

fn check(path: &str, wanted: &str) {
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), wanted).unwrap();
    }
    let hint = "if the change is meant: BULKHEAD_BLESS=1 cargo test --test metrics_table";
    assert!(committed(path) == wanted, "{path} is not what src/engine/metrics/table.rs says; {hint}");
}

#[test]
fn the_reference_in_the_documentation_is_the_table() {
    let text = committed(DOC);
    let (before, rest) = text.split_once(BEGIN).expect("the place of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    check(DOC, &format!("{before}{BEGIN}{}{END}{after}", markdown()));
}

fn markdown() -> String {
    let mut out = String::from("| metric | kind | labels | what it says |\n|---|---|---|---|\n");
    for m in METRICS {
        let labels = if m.labels.starts_with(&["disk", "device"]) { &m.labels[2..] } else { m.labels };
        let labels = labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
        writeln!(out, "| `{}` | {} | {labels} | {} |", m.name, kind(m.kind), m.help).unwrap();
    }
    out
}

fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Times | MetricKind::Sizes => "histogram",
    }
}

#[test]
fn the_go_collector_has_the_table() {
    let mut out = String::from(
        "// Code generated from src/engine/metrics/table.rs by tests/metrics_table.rs; DO NOT EDIT.\n\n\
         package metrics\n\nvar table = []row{\n",
    );
    for m in METRICS {
        let labels = m.labels.iter().map(|l| format!("\"{l}\"")).collect::<Vec<_>>().join(", ");
        writeln!(out, "\t{{\"{}\", {}, []string{{{labels}}},\n\t\t{:?}}},", m.name, kind(m.kind), m.help).unwrap();
    }
    out.push_str("}\n");
    check(GO, &out);
}

#[test]
fn names_follow_prometheus() {
    for m in METRICS {
        let MetricInfo { name, kind, labels, help } = m;
        assert!(name.starts_with("bulkhead_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
        assert_eq!(*kind == MetricKind::Times, name.ends_with("_seconds") && !name.contains("timestamp"), "{name}");
        assert!(help.ends_with('.'), "{name}");
        let per_disk = labels.starts_with(&["disk", "device"]);
        assert!(per_disk || labels.len() <= 1, "{name}: of a disk or of the engine");
    }
    let mut names: Vec<_> = METRICS.iter().map(|m| m.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), METRICS.len());
}
