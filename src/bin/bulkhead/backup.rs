//! `bulkhead backup`.

use crate::args;
use crate::exit::Exit;
use crate::{find, say, show};
use bulkhead::cubefs::Progress;
use bulkhead::Result;
use serde_json::json;
use std::time::Instant;

pub fn backup(args: &args::Backup, json: bool) -> Result<Exit> {
    let engine = find::engine()?;
    let bar = show::bar(&args.directory.display().to_string());
    let tell = |done_bytes, total_bytes| show::tick(&bar, Progress { done_bytes, total_bytes });
    let begun = Instant::now();
    let possible = find::look(&args.directory).and_then(|()| find::check_target(&args.directory, &args.target));
    let done = possible.and_then(|()| engine.backup(&args.directory, &args.target, &tell));
    bar.finish_and_clear();
    let backup = match done {
        Ok(backup) => backup,
        Err(error) => {
            show::error(if error.path == args.target { &args.target } else { &args.directory }, &error, json);
            return Ok(Exit::of(&error));
        }
    };
    let (target, hard) = (args.target.display().to_string(), backup.hard_state);
    if json {
        say!(
            "{}",
            json!({"path": args.directory.to_string_lossy(), "done": "backed up", "target": target, "partition_id": backup.partition_id,
            "closed": backup.closed, "entries": backup.entries, "bytes": backup.bytes, "first_index": backup.first_index,
            "last_index": backup.last_index, "last_term": backup.last_term, "last_lsn": backup.last_lsn, "term": hard.term,
            "vote": hard.vote, "commit": hard.commit})
        );
    } else {
        let entries = show::count(backup.entries, "entry", "entries");
        say!(
            "{target}: backup of partition {}: {entries}, {}, read back, {:.1} s",
            backup.partition_id,
            show::bytes(backup.bytes),
            begun.elapsed().as_secs_f64()
        );
        let range = match backup.entries {
            0 => format!("none, from {}", show::number(backup.first_index)),
            _ => show::range((backup.first_index, backup.last_index)),
        };
        let [last_term, lsn, term, commit] =
            [backup.last_term, backup.last_lsn, hard.term, hard.commit].map(show::number);
        let vote = show::vote(hard.vote);
        say!("  entries {range} (term {last_term}), up to lsn {lsn}; term {term}, vote {vote}, commit {commit}");
        if !backup.closed {
            say!("  the partition is open, or was not closed: what is written to it since is not in the backup");
        }
    }
    engine.close().map(|()| Exit::Fine)
}
