//! Prometheus's text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

use super::snapshot::{MetricFamily, MetricSample, MetricValue};
use super::table::{MetricInfo, MetricKind};
use std::fmt::Write;

/// All families, also those without samples: what there is shows before it happens.
pub fn text(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    for MetricFamily { info, samples } in families {
        let kind = match info.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Times | MetricKind::Sizes => "histogram",
        };
        // Writing to a String does not fail.
        let _ = writeln!(out, "# HELP {} {}", info.name, info.help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(out, "# TYPE {} {kind}", info.name);
        for sample in samples {
            write_sample(&mut out, info, sample);
        }
    }
    out
}

fn write_sample(out: &mut String, info: &MetricInfo, sample: &MetricSample) {
    let mut labels = String::new();
    for (name, value) in info.labels.iter().zip(&sample.labels) {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(labels, "{}{name}=\"{value}\"", if labels.is_empty() { "" } else { "," });
    }
    let braces = |labels: &str| if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    match &sample.value {
        MetricValue::Number(n) => {
            let _ = writeln!(out, "{}{} {n}", info.name, braces(&labels));
        }
        MetricValue::Histogram { counts, sum } => {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut below = 0u64;
            for (bucket, n) in counts.iter().enumerate() {
                below += n;
                let bound = if bucket + 1 == counts.len() { "+Inf".into() } else { info.bound(bucket).to_string() };
                let _ = writeln!(out, "{}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}", info.name);
            }
            let _ = writeln!(out, "{}_sum{} {sum}", info.name, braces(&labels));
            let _ = writeln!(out, "{}_count{} {below}", info.name, braces(&labels));
        }
    }
}
