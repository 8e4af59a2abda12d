//! `bulkhead dump`.

use crate::args;
use crate::exit::Exit;
use crate::show;
use bulkhead::io::real::RealStorage;
use bulkhead::{Result, Survey};
use serde_json::json;
use std::io::Write;

pub fn dump(args: &args::Dump, json: bool) -> Result<Exit> {
    let survey = match Survey::of(&RealStorage, &args.directory) {
        Ok(survey) => survey,
        Err(error) => {
            show::error(&args.directory, &error, json);
            return Ok(Exit::of(&error));
        }
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if !json {
        // A reader that has seen enough closes the pipe: then there is nobody to tell.
        let _ = writeln!(out, "{:>20}  {:>12}  {:>4}  {:>10}  DATA", "INDEX", "TERM", "KIND", "BYTES");
    }
    let (first, last) = survey.bounds();
    let bad = survey.read(first.max(args.from), last.min(args.to), &mut |index, term, kind, data| {
        let shown = data.get(..data.len().min(args.data)).unwrap_or(&[]);
        let hex: String = shown.iter().map(|b| format!("{b:02x}")).collect();
        let more = if shown.len() < data.len() && !json { ".." } else { "" };
        match json {
            true => writeln!(
                out,
                "{}",
                json!({"index": index, "term": term, "kind": kind, "bytes": data.len(), "data": hex})
            ),
            false => writeln!(out, "{index:>20}  {term:>12}  {kind:>4}  {:>10}  {hex}{more}", data.len()),
        }
        .is_ok()
    })?;
    let _ = out.flush();
    for range in &bad {
        eprintln!("{}: entries {} do not read back", args.directory.display(), show::range(*range));
    }
    Ok(if bad.is_empty() && survey.fault().is_none() { Exit::Fine } else { Exit::Damage })
}
