//! `bulkhead import` and `bulkhead export`.

use crate::args;
use crate::exit::Exit;
use crate::{find, say, show};
use bulkhead::cubefs::{Conversion, Inspection, Report, Shape};
use bulkhead::{Engine, Result};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

/// Where an import makes its files, and an export.
const IMPORT: &str = "cubefs-import";
pub const EXPORT: &str = "cubefs-export";

pub fn import(args: &args::Import, json: bool) -> Result<Exit> {
    if args.directories.len() > 1 && (args.id.is_some() || args.known_index > 0) {
        args::refuse("--id and --known-index are of one directory; give one at a time");
    }
    let engine = find::engine()?;
    let mut exit = Exit::Fine;
    for path in &args.directories {
        let done = import_one(&engine, args, path, json);
        exit = exit.and(done.unwrap_or_else(|error| {
            show::error(path, &error, json);
            Exit::of(&error)
        }));
    }
    engine.close().map(|()| exit)
}

fn import_one(engine: &Engine, args: &args::Import, path: &Path, json: bool) -> Result<Exit> {
    let name = path.display();
    let bar = show::bar(&name.to_string());
    let tell = |now| show::tick(&bar, now);
    let begun = Instant::now();
    find::look(path)?;
    let before = Conversion::new(engine, path, 0).shape()?;
    // A directory that is Bulkhead's already says itself whose it is.
    let id = args.id.map_or_else(|| find::id(engine, path).or_else(|_| find::id_of_name(path)), Ok)?;
    let conversion = Conversion::new(engine, path, id).known_index(args.known_index).progress(&tell);
    if args.undo || args.discard_original {
        let (what, done) = match args.undo {
            true => ("undone", conversion.undo_import()),
            false => ("discarded", conversion.discard_original()),
        };
        bar.finish_and_clear();
        done?;
        match (json, args.undo) {
            (true, _) => say!("{}", json!({"path": name.to_string(), "done": what})),
            (false, true) => say!("{name}: undone; the directory is CubeFS's, with its original files"),
            (false, false) => say!("{name}: what was kept is removed"),
        }
        return Ok(Exit::Fine);
    }
    if args.check {
        let found = conversion.inspect();
        bar.finish_and_clear();
        return Ok(checked(path, &found?, json));
    }
    let found = conversion.import();
    bar.finish_and_clear();
    let found = found?;
    let done = match before {
        Shape::Cubefs => "imported",
        Shape::Bulkhead => "already",
        // Also one that was taken back to CubeFS's, and imported then.
        _ if found.report.files > 0 => "imported",
        _ => "settled",
    };
    if json {
        say!("{}", inspection_json(path, &found, done));
    } else if done == "already" {
        say!("{name}: is a Bulkhead directory already");
    } else if done == "settled" {
        say!("{name}: an import or export that was cut short is settled; the directory is Bulkhead's");
    } else {
        let report = &found.report;
        say!("{name}: imported {}, {:.1} s", contents(report), begun.elapsed().as_secs_f64());
        show::findings(&report.findings);
        say!("  CubeFS's files are kept in cubefs-original: --undo brings them back, --discard-original removes them");
    }
    Ok(Exit::Fine)
}

fn contents(report: &Report) -> String {
    let entries = show::count(report.entries, "entry", "entries");
    let range = if report.entries == 0 {
        String::new()
    } else {
        format!(" ({})", show::range((report.first_index, report.last_index)))
    };
    let files = show::count(report.files, "file", "files");
    format!("{entries}{range}, {} in {files}", show::bytes(report.file_bytes))
}

/// What `--check` and `status` say of a CubeFS log.
pub fn checked(path: &Path, found: &Inspection, json: bool) -> Exit {
    let report = &found.report;
    let exit = Exit::of_findings(&report.findings).and(match found.shape {
        Shape::Empty | Shape::Unknown => Exit::Unfit,
        _ => Exit::Fine,
    });
    if json {
        say!("{}", inspection_json(path, found, "checked"));
        return exit;
    }
    let name = path.display();
    match found.shape {
        Shape::Cubefs => {
            let verdict = match exit {
                Exit::Fine => "can be imported",
                Exit::Damage => "is damaged and would not be imported",
                _ => "is beyond what Bulkhead has room for and would not be imported",
            };
            say!("{name}: a CubeFS log that {verdict}: {}", contents(report));
            let hard = report.hard_state;
            let (term, vote, commit) = (show::number(hard.term), show::number(hard.vote), show::number(hard.commit));
            say!(
                "  term {term}, vote {vote}, commit {commit}; compacted up to {} of term {}",
                show::number(report.compaction_index),
                report.compaction_term
            );
            show::findings(&report.findings);
            if let Some(bytes) = left(path, IMPORT) {
                let bytes = show::bytes(bytes);
                say!(
                    "  an import that was ended left {bytes} in cubefs-import; the next import, or --undo, removes it"
                );
            }
        }
        Shape::Bulkhead if found.undoable => say!("{name}: a Bulkhead log; its import can be undone"),
        Shape::Bulkhead if found.cubefs_original => {
            say!("{name}: a Bulkhead log; it has changed since its import, the original is kept")
        }
        Shape::Bulkhead => say!("{name}: a Bulkhead log"),
        Shape::Empty => say!("{name}: no log"),
        Shape::Importing | Shape::Exporting => {
            say!("{name}: an import or export was cut short; the next import settles it")
        }
        Shape::Unknown => say!("{name}: parts of a CubeFS log and of a Bulkhead log that no import leaves"),
    }
    exit
}

fn inspection_json(path: &Path, found: &Inspection, done: &str) -> serde_json::Value {
    let r = &found.report;
    // Nothing was read where there was no CubeFS log.
    let read = done == "imported" || found.shape == Shape::Cubefs;
    let of = |n: u64| read.then_some(n);
    json!({
        "path": path.to_string_lossy(), "done": done, "shape": format!("{:?}", found.shape), "undoable": found.undoable,
        "cubefs_original": found.cubefs_original, "bulkhead_original": found.bulkhead_original, "files": of(r.files), "file_bytes": of(r.file_bytes),
        "entries": of(r.entries), "bytes": of(r.bytes), "first_index": of(r.first_index), "last_index": of(r.last_index),
        "last_term": of(r.last_term), "term": of(r.hard_state.term), "vote": of(r.hard_state.vote), "commit": of(r.hard_state.commit),
        "compaction_index": of(r.compaction_index), "compaction_term": of(r.compaction_term), "torn_bytes": of(r.torn_bytes),
        "findings": read.then(|| show::findings_json(&r.findings)), "left_bytes": left(path, IMPORT),
    })
}

/// Bytes of what a conversion that was ended has left there. None of one that is under way.
pub fn left(path: &Path, sub: &str) -> Option<u64> {
    let sub = path.join(sub);
    (sub.is_dir() && find::holder(path).is_none()).then(|| show::file_bytes(&sub))
}

pub fn export(args: &args::Export, json: bool) -> Result<Exit> {
    let engine = find::engine()?;
    let path = &args.directory;
    let possible = find::look(path).and_then(|()| match &args.target {
        Some(target) => find::check_target(path, target),
        None => Ok(()),
    });
    let id = possible.and_then(|()| find::id(&engine, path));
    let bar = show::bar(&path.display().to_string());
    let tell = |now| show::tick(&bar, now);
    let begun = Instant::now();
    let result = id.and_then(|id| {
        let conversion = Conversion::new(&engine, path, id).progress(&tell);
        match &args.target {
            Some(target) => conversion.export(target),
            None => conversion.export_in_place(),
        }
    });
    bar.finish_and_clear();
    let exported = match result {
        Ok(exported) => exported,
        Err(error) => {
            let target = args.target.as_ref().filter(|target| error.path == **target);
            show::error(target.unwrap_or(path), &error, json);
            return Ok(Exit::of(&error));
        }
    };
    let target = args.target.as_deref().unwrap_or(path).display().to_string();
    if json {
        say!(
            "{}",
            json!({"path": path.to_string_lossy(), "done": "exported", "target": target, "files": exported.files,
            "file_bytes": exported.file_bytes, "entries": exported.entries, "first_index": exported.first_index, "last_index": exported.last_index})
        );
    } else {
        let entries = show::count(exported.entries, "entry", "entries");
        let files = show::count(exported.files, "file", "files");
        say!(
            "{target}: exported {entries}, {} in {files}, {:.1} s",
            show::bytes(exported.file_bytes),
            begun.elapsed().as_secs_f64()
        );
        if args.in_place {
            say!("  the directory is CubeFS's; Bulkhead's files are kept in bulkhead-original: import --discard-original removes them");
        }
    }
    engine.close().map(|()| Exit::Fine)
}
