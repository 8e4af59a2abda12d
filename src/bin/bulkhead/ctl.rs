//! `bulkhead ctl`: a client of the handler of `go/admin`.

use crate::args::{self, Ctl, CtlCommand};
use crate::exit::Exit;
use crate::{http, live, show};
use bulkhead::Result;
use minreq::Method;
use serde_json::{json, Value};

pub fn ctl(args: &Ctl, json: bool) -> Result<Exit> {
    let base = args.url.trim_end_matches('/');
    let at = |id: &u64, action: &str| format!("{base}/partitions/{id}{action}");
    let done = match &args.command {
        CtlCommand::List { faulted } => {
            let query = if *faulted { "?state=faulted" } else { "" };
            http::json(Method::Get, &format!("{base}/partitions{query}"), None)
                .map(|list| live::partitions(&list, json))
        }
        CtlCommand::Disks => http::json(Method::Get, &format!("{base}/disks"), None)
            .map(|disks| list(&disks, ["device", "mount", "partitions"], json)),
        CtlCommand::Show { id } => http::json(Method::Get, &at(id, ""), None).map(|one| show_one(&one, json)),
        CtlCommand::Events => http::json(Method::Get, &format!("{base}/events"), None).map(|list| events(&list, json)),
        CtlCommand::Fence { id, state, reason } => {
            let order = json!({"state": state.name(), "reason": reason});
            http::json(Method::Post, &at(id, "/fence"), Some(&order)).map(|one| show_one(&one, json))
        }
        CtlCommand::Release { id } => {
            http::json(Method::Post, &at(id, "/release"), None).map(|one| show_one(&one, json))
        }
        CtlCommand::Recover { id } => {
            http::json(Method::Post, &at(id, "/recover"), None).map(|one| show_one(&one, json))
        }
        CtlCommand::Limits { disk, partition, changes } => {
            let of = match (disk, partition) {
                (Some(device), _) => format!("/disks/{device}"),
                (_, Some(id)) => format!("/partitions/{id}"),
                _ => String::new(),
            };
            if let Some(twice) = given_twice(changes) {
                args::refuse(&format!("{twice} is given twice; give it once"));
            }
            let url = format!("{base}{of}/limits");
            let asked = match changes.as_slice() {
                [] => http::json(Method::Get, &url, None),
                changes => http::json(Method::Post, &url, Some(&changes.iter().cloned().collect())),
            };
            asked.map(|limits| list(&limits, ["name", "value", "min", "max", "from"], json))
        }
    };
    Ok(done.unwrap_or_else(|error| {
        show::error(&error.path.clone(), &error, json);
        Exit::of(&error)
    }))
}

/// An object has one member of each name: one of two would be left out.
fn given_twice(changes: &[(String, Value)]) -> Option<&str> {
    let before = |i: usize, name: &str| changes.iter().take(i).any(|(earlier, _)| earlier == name);
    changes.iter().enumerate().find(|(i, (name, _))| before(*i, name)).map(|(_, (name, _))| name.as_str())
}

fn show_one(one: &Value, json: bool) -> Exit {
    if json {
        show::line(&one.to_string());
        return Exit::Fine;
    }
    for (name, value) in one.as_object().into_iter().flatten() {
        show::line(&format!("{name:>16}  {}", cell(value)));
    }
    Exit::Fine
}

/// An array of objects: some of their members as columns.
fn list<const N: usize>(list: &Value, columns: [&str; N], json: bool) -> Exit {
    let mut rows = vec![show::row(columns).iter().map(|c| c.to_uppercase()).collect()];
    for one in list.as_array().into_iter().flatten() {
        if json {
            show::line(&one.to_string());
        }
        rows.push(columns.iter().map(|name| cell(one.get(name).unwrap_or(&Value::Null))).collect());
    }
    if !json {
        show::table(&rows);
    }
    Exit::Fine
}

fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// `heal_limit_ms 300 to 500`, of an engine, a disk or a partition.
fn limit(one: &Value) -> String {
    let [name, of] = ["limit", "for"].map(|name| live::text(one, name));
    let [before, after] = ["before", "after"].map(|name| one.get(name).map(cell).unwrap_or_default());
    format!("{name} {before} to {after} ({of})")
}

fn events(list: &Value, json: bool) -> Exit {
    let mut rows =
        vec![show::row(["TIME", "PARTITION", "FROM", "TO", "CAUSE", "OPERATION", "ERRNO", "ENTRIES", "LIMITS"])];
    for event in list.as_array().into_iter().flatten() {
        if json {
            show::line(&event.to_string());
            continue;
        }
        let entries = (live::number(event, "first_index"), live::number(event, "last_index"));
        let entries = if entries == (0, 0) { String::new() } else { show::range(entries) };
        let errno = live::number(event, "errno").to_string();
        let [time, from, to, cause, operation] =
            ["time", "from", "to", "cause", "operation"].map(|name| live::text(event, name));
        let limits = event.get("limits").and_then(Value::as_array).into_iter().flatten().map(limit);
        let limits = limits.collect::<Vec<_>>().join(", ");
        let partition = live::number(event, "partition").to_string();
        rows.push(vec![time, partition, from, to, cause, operation, errno, entries, limits]);
    }
    if !json {
        show::table(&rows);
    }
    Exit::Fine
}
