//! `bulkhead status --url`: a running process, from the handler of `go/admin`, or from its metrics.

use crate::exit::Exit;
use crate::{http, show};
use bulkhead::Result;
use minreq::Method;
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

/// Once, or every `watch` seconds until Ctrl-C ends it or nobody reads it any more; on a terminal in the same place.
pub fn repeat(watch: Option<u64>, json: bool, once: impl Fn() -> Result<Exit>) -> Result<Exit> {
    let Some(seconds) = watch else { return once() };
    loop {
        if !json && std::io::stdout().is_terminal() {
            show::in_place_of_the_last();
        }
        let exit = once()?;
        if show::is_closed() {
            return Ok(exit);
        }
        std::thread::sleep(Duration::from_secs(seconds.max(1)));
    }
}

pub fn status(url: &str, json: bool) -> Exit {
    let list = format!("{}/partitions", url.trim_end_matches('/'));
    // Whoever serves no partitions there may serve metrics at the address itself.
    let shown = match http::json(Method::Get, &list, None) {
        Ok(list) if list.is_array() => Ok(partitions(&list, json)),
        _ => http::call(Method::Get, url, None).map(|metrics| metrics_table(&metrics.body, url, json)),
    };
    shown.unwrap_or_else(|error| {
        show::error(std::path::Path::new(url), &error, json);
        Exit::of(&error)
    })
}

pub fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or("").to_string()
}

pub fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// The handler's list as a table; damage if one of them is not ReadWrite.
pub fn partitions(list: &Value, json: bool) -> Exit {
    let mut rows = vec![show::row(["PARTITION", "STATE", "CAUSE", "ENTRIES", "TERM", "COMMIT", "BYTES", "DIRECTORY"])];
    let mut faults = Vec::new();
    for one in list.as_array().into_iter().flatten() {
        if json {
            show::line(&one.to_string());
        }
        let (first, last) = (number(one, "first_index"), number(one, "last_index"));
        let entries =
            if first > last { format!("none, from {}", show::number(first)) } else { show::range((first, last)) };
        let [term, commit] = ["term", "commit"].map(|name| show::number(number(one, name)));
        let [state, cause, path] = ["state", "cause", "path"].map(|name| text(one, name));
        if state != "ReadWrite" {
            faults.push(format!("{}: {}", number(one, "id"), text(one, "fault")));
        }
        let bytes = show::bytes(number(one, "segment_bytes"));
        rows.push(vec![number(one, "id").to_string(), state, cause, entries, term, commit, bytes, path]);
    }
    if !json {
        show::table(&rows);
        faults.iter().for_each(|fault| show::line(fault));
    }
    if faults.is_empty() {
        Exit::Fine
    } else {
        Exit::Damage
    }
}

/// A sample of Prometheus's text format: name, labels, value.
type Sample<'a> = (&'a str, BTreeMap<&'a str, String>, f64);

fn samples(text: &str) -> Vec<Sample<'_>> {
    text.lines().filter(|l| l.starts_with("bulkhead_")).filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut labels = BTreeMap::new();
    let mut rest = rest.trim_end_matches('}');
    while let Some((label, after)) = rest.split_once("=\"") {
        // Up to the quote that no backslash precedes.
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(label.trim_start_matches(','), value);
        rest = after.get(end + 1..)?;
    }
    Some((name, labels, value.parse().ok()?))
}

/// What the metrics tell of each disk, and of the partitions that are not ReadWrite.
fn metrics_table(text: &str, url: &str, json: bool) -> Exit {
    let samples = samples(text);
    let mut disks: BTreeMap<&str, BTreeMap<String, f64>> = BTreeMap::new();
    let mut faults = Vec::new();
    let state = |labels: &BTreeMap<&str, String>| labels.get("state").cloned().unwrap_or_default();
    for (name, labels, value) in &samples {
        let Some(disk) = labels.get("disk") else { continue };
        let row = disks.entry(disk).or_default();
        let short = name.trim_start_matches("bulkhead_");
        match *name {
            "bulkhead_partitions" => *row.entry(state(labels)).or_default() += value,
            "bulkhead_partition_fault_timestamp_seconds" => faults.push(labels),
            _ if labels.keys().any(|l| *l == "le") => {}
            _ => *row.entry(short.to_string()).or_default() += value,
        }
    }
    if disks.is_empty() && !samples.iter().any(|s| s.0 == "bulkhead_build_info") {
        let message = "neither Bulkhead's metrics nor its handler answer there";
        let error = bulkhead::Error::new(bulkhead::Status::Foreign, bulkhead::Op::Status, message);
        show::error(std::path::Path::new(url), &error, json);
        return Exit::Unfit;
    }
    let exit = if faults.is_empty() { Exit::Fine } else { Exit::Damage };
    if json {
        for (disk, row) in &disks {
            show::line(&json!({"disk": disk, "metrics": row}).to_string());
        }
        faults.iter().for_each(|labels| show::line(&json!({"fault": labels}).to_string()));
        return exit;
    }
    // Closed are those that were closed with a fault: raft does that at its log's first error.
    let columns = [
        ("READWRITE", "ReadWrite"),
        ("READONLY", "ReadOnly"),
        ("UNAVAILABLE", "Unavailable"),
        ("RECOVERING", "Recovering"),
        ("CLOSED", "Closed"),
        ("APPENDS", "appends_total"),
        ("FLUSHES", "flushes_total"),
        ("ERRORS", "errors_total"),
    ];
    let heads = ["DISK"].into_iter().chain(columns.map(|(head, _)| head)).chain(["BYTES"]);
    let mut rows = vec![heads.map(str::to_string).collect()];
    for (disk, row) in &disks {
        let value = |name: &str| row.get(name).map_or(0, |v| *v as u64);
        let numbers = columns.map(|(_, name)| show::number(value(name)));
        rows.push([disk.to_string()].into_iter().chain(numbers).chain([show::bytes(value("segment_bytes"))]).collect());
    }
    show::table(&rows);
    for labels in faults {
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let [partition, state, cause, operation, errno] =
            ["partition", "state", "cause", "operation", "errno"].map(label);
        show::line(&format!("{partition}: {state}: {cause} in {operation}, errno {errno}"));
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_anything() {
        let (name, labels, value) =
            sample(r#"bulkhead_partitions{disk="/a,b=\"c\" d\\",state="ReadWrite"} 3"#).unwrap();
        assert_eq!((name, value), ("bulkhead_partitions", 3.0));
        assert_eq!(labels["disk"], r#"/a,b="c" d\"#);
        assert_eq!(labels["state"], "ReadWrite");
        assert_eq!(sample("bulkhead_events_total 12").unwrap().2, 12.0);
        assert!(sample(r#"bulkhead_events_total{disk="/a"#).is_none());
    }
}
