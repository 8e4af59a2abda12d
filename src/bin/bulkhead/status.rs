//! `bulkhead status` and `bulkhead stat`.

use crate::args::{self, Paths};
use crate::exit::Exit;
use crate::{aside, convert, find, live, say, show};
use bulkhead::cubefs::{Conversion, Inspection, Shape, SNAPSHOT_PENDING};
use bulkhead::io::real::RealStorage;
use bulkhead::{Engine, Result, Status, Survey};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn status(args: &args::Status, json: bool) -> Result<Exit> {
    match &args.url {
        Some(url) => live::repeat(args.watch, json, || Ok(live::status(url, json))),
        None => live::repeat(args.watch, json, || directories(&args.paths, json)),
    }
}

fn directories(paths: &[PathBuf], json: bool) -> Result<Exit> {
    let engine = find::engine()?;
    let mut exit = Exit::Fine;
    let mut rows =
        vec![show::row(["DIRECTORY", "PARTITION", "STATE", "ENTRIES", "TERM", "VOTE", "COMMIT", "SEGMENTS", "BYTES"])];
    for (path, shape) in find::logs(&engine, paths) {
        match shape.and_then(|shape| one(&engine, &path, shape, json, &mut rows)) {
            Ok(found) => exit = exit.and(found),
            Err(error) => {
                show::error(&path, &error, json);
                exit = exit.and(Exit::of(&error));
            }
        }
    }
    if rows.len() > 1 {
        show::table(&rows);
    }
    Ok(exit)
}

fn one(engine: &Engine, path: &Path, shape: Shape, json: bool, rows: &mut Vec<Vec<String>>) -> Result<Exit> {
    let survey = match look(engine, path, shape)? {
        Look::Ours(survey) => survey,
        Look::Other(found) => return Ok(convert::checked(path, &found, json)),
    };
    let holder = find::holder(path);
    let damaged = survey.damaged();
    let state = match (survey.fault(), damaged.2) {
        (Some(_), _) => "damaged".to_string(),
        (None, 1..) => "damaged entries".to_string(),
        _ => match (holder, survey.is_clean()) {
            (Some(pid), _) => format!("open ({pid})"),
            (None, true) => "closed".into(),
            (None, false) => "not closed".into(),
        },
    };
    let (first, last) = survey.bounds();
    let (hard, segments) = (survey.hard_state(), survey.segments());
    let size: u64 = segments.iter().map(|s| s.file_bytes).sum();
    let exit = if survey.fault().is_some() || damaged.2 > 0 { Exit::Damage } else { Exit::Fine };
    let left = convert::left(path, convert::EXPORT);
    if json {
        let maybe = survey.maybe_acknowledged();
        say!(
            "{}",
            json!({
                "path": path.to_string_lossy(), "shape": "Bulkhead", "partition_id": survey.partition_id(), "clean": survey.is_clean(),
                "holder_pid": holder, "mode": format!("{:?}", survey.mode()).to_lowercase(), "first_index": first, "last_index": last,
                "last_term": survey.last_term(), "term": hard.term, "vote": hard.vote, "commit": hard.commit,
                "snapshot_pending": hard.vote & SNAPSHOT_PENDING != 0,
                "compaction_index": survey.compaction().0, "compaction_term": survey.compaction().1, "segments": segments.len(),
                "segment_bytes": size, "damaged_first": damaged.0, "damaged_last": damaged.1, "damaged_entries": damaged.2,
                "maybe_acknowledged_first": maybe.0, "maybe_acknowledged_last": maybe.1, "fault": survey.fault().map(|f| f.message.clone()),
                "left_bytes": left,
            })
        );
        return Ok(exit);
    }
    let entries = if first > last { format!("none, from {}", show::number(first)) } else { show::range((first, last)) };
    let [term, commit, count] = [hard.term, hard.commit, segments.len() as u64].map(show::number);
    let (id, vote) = (survey.partition_id().to_string(), show::vote(hard.vote));
    rows.push(vec![path.display().to_string(), id, state, entries, term, vote, commit, count, show::bytes(size)]);
    notes(path, &survey, left);
    Ok(exit)
}

/// What the table has no room for.
fn notes(path: &Path, survey: &Survey, left: Option<u64>) {
    let (hard, damaged) = (survey.hard_state(), survey.damaged());
    if hard.vote & SNAPSHOT_PENDING != 0 {
        aside!(
            "{}: a snapshot was begun and has not arrived, and raft sees an empty log until one does: docs/cubefs.md says what to do. \
             (The CubeFS adapter says so with bit 63 of the vote. Of another owner, the vote is {}.)",
            path.display(),
            show::number(hard.vote)
        );
    }
    if let Some(bytes) = left.map(show::bytes) {
        aside!(
            "{}: an export that was ended left {bytes} in cubefs-export; the next import or export removes it",
            path.display()
        );
    }
    if let Some(fault) = survey.fault() {
        aside!("{}: {}", path.display(), fault.message);
    } else if damaged.2 > 0 {
        let entries = show::range((damaged.0, damaged.1));
        aside!(
            "{}: entries {entries} are damaged; fetch them from another replica, or compact past them",
            path.display()
        );
    }
}

enum Look {
    Ours(Box<Survey>),
    Other(Inspection),
}

/// What a directory is, also if it has changed hands since it had that shape.
fn look(engine: &Engine, path: &Path, shape: Shape) -> Result<Look> {
    // One of parts that do not fit together may be a log without its root.
    let damaged_log = shape == Shape::Unknown && Survey::of(&RealStorage, path).is_err();
    if shape != Shape::Bulkhead && !damaged_log {
        let found = inspect(engine, path)?;
        if found.shape != Shape::Bulkhead {
            return Ok(Look::Other(found));
        }
    }
    match Survey::of(&RealStorage, path) {
        Err(e) if e.status == Status::NeedsImport => {
            find::shape(engine, path)?;
            inspect(engine, path).map(Look::Other)
        }
        survey => Ok(Look::Ours(Box::new(survey?))),
    }
}

/// A CubeFS log is read in full.
fn inspect(engine: &Engine, path: &Path) -> Result<Inspection> {
    let bar = show::bar(&path.display().to_string());
    let tell = |now| show::tick(&bar, now);
    let found = Conversion::new(engine, path, 0).progress(&tell).inspect();
    bar.finish_and_clear();
    found
}

pub fn stat(paths: &Paths, json: bool) -> Result<Exit> {
    let engine = find::engine()?;
    let mut exit = Exit::Fine;
    for (path, shape) in find::logs(&engine, &paths.paths) {
        let survey = match shape.and_then(|_| Survey::of(&RealStorage, &path)) {
            Ok(survey) => survey,
            Err(error) => {
                show::error(&path, &error, json);
                exit = exit.and(Exit::of(&error));
                continue;
            }
        };
        let segments = survey.segments();
        if json {
            let one = |s: &bulkhead::SurveyedSegment| json!({"name": s.name, "file_bytes": s.file_bytes, "end": s.end, "first_index": s.first_index, "last_index": s.last_index});
            say!(
                "{}",
                json!({"path": path.to_string_lossy(), "segments": segments.iter().map(one).collect::<Vec<_>>()})
            );
            continue;
        }
        say!("{}: {}", path.display(), show::count(segments.len() as u64, "segment", "segments"));
        let mut rows = vec![show::row(["  SEGMENT", "FILE", "USED", "ENTRIES"])];
        rows.extend(segments.iter().map(|s| {
            vec![
                format!("  {}", s.name),
                show::bytes(s.file_bytes),
                show::bytes(s.end),
                show::range((s.first_index, s.last_index)),
            ]
        }));
        show::table(&rows);
    }
    Ok(exit)
}
