//! `bulkhead dump`.

use crate::args;
use crate::exit::Exit;
use crate::{aside, find, show};
use bulkhead::io::real::RealStorage;
use bulkhead::{Result, Survey};
use serde_json::json;
use std::io::Write;

pub fn dump(args: &args::Dump, json: bool) -> Result<Exit> {
    if args.from > args.to {
        args::refuse(&format!("--from {} is behind --to {}", args.from, args.to));
    }
    let survey = match find::look(&args.directory).and_then(|()| Survey::of(&RealStorage, &args.directory)) {
        Ok(survey) => survey,
        Err(error) => {
            show::error(&args.directory, &error, json);
            return Ok(Exit::of(&error));
        }
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if !json {
        show::written(writeln!(out, "{:>20}  {:>12}  {:>4}  {:>10}  DATA", "INDEX", "TERM", "KIND", "BYTES"));
    }
    let (first, last) = survey.bounds();
    let bad = survey.read(first.max(args.from), last.min(args.to), &mut |index, term, kind, data| {
        let shown = data.get(..data.len().min(args.data)).unwrap_or(&[]);
        let hex: String = shown.iter().map(|b| format!("{b:02x}")).collect();
        let more = if shown.len() < data.len() && !json { ".." } else { "" };
        show::written(match json {
            true => writeln!(
                out,
                "{}",
                json!({"index": index, "term": term, "kind": kind, "bytes": data.len(), "data": hex})
            ),
            false => writeln!(out, "{index:>20}  {term:>12}  {kind:>4}  {:>10}  {hex}{more}", data.len()),
        })
    })?;
    if !show::is_closed() {
        show::written(out.flush());
    }
    let name = args.directory.display();
    for range in &bad {
        match range {
            (first, last) if first == last => aside!("{name}: entry {} does not read back", show::number(*first)),
            _ => aside!("{name}: entries {} do not read back", show::range(*range)),
        }
    }
    if let Some(fault) = survey.fault() {
        aside!("{name}: {}{}; what can be read was shown", fault.message, show::system(fault));
    } else if first > last {
        aside!("{name}: the log has no entries; the next one is {}", show::number(first));
    } else if args.from > last || args.to < first {
        aside!("{name}: none of these entries are there; the log has {}", show::range((first, last)));
        return Ok(Exit::Unfit);
    }
    Ok(if bad.is_empty() && survey.fault().is_none() { Exit::Fine } else { Exit::Damage })
}
