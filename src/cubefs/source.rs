//! What a CubeFS directory holds: META and the log files, by name.

use super::report::{Finding, FindingKind};
use crate::error::{Error, Op, Result};
use crate::format::cubefs::{LogName, Meta, META_BYTES, META_NAME};
use crate::io::{read_full_at, Access, Dir};
use std::io;

pub struct Source {
    /// In the order of the log.
    pub files: Vec<LogName>,
    /// META's first bytes, as many as count, and its size; `None` if there is no such file.
    pub meta: Option<(Vec<u8>, u64)>,
    pub findings: Vec<Finding>,
}

impl Source {
    pub fn list(dir: &dyn Dir) -> Result<Source> {
        let names = dir.list().map_err(|e| Error::io(Op::Import, &e, "listing the directory"))?;
        let mut files: Vec<LogName> = names.iter().filter_map(|n| LogName::parse(n)).collect();
        files.sort();
        let strange = names.iter().filter(|n| LogName::parse(n).is_none() && LogName::is_taken_for_one(n));
        let mut findings: Vec<Finding> = strange.map(|n| strange_file(n)).collect();
        let same = |pair: &&[LogName]| matches!(pair, [a, b] if a.sequence == b.sequence);
        findings.extend(files.windows(2).filter(same).filter_map(|pair| pair.last()).map(|name| Finding {
            damage: true,
            message: "two files have this number in the sequence; only one of them can be the log's".into(),
            cubefs: "opens the directory and takes both for parts of the log",
            ..strange_file(&name.to_string())
        }));
        Ok(Source { files, meta: read_meta(dir)?, findings })
    }

    /// Of all log files.
    pub fn bytes(&self, dir: &dyn Dir) -> Result<u64> {
        self.files.iter().try_fold(0, |sum, name| {
            let len = dir.open(&name.to_string(), Access::Read).and_then(|f| f.len());
            Ok(sum + len.map_err(|e| Error::io(Op::Import, &e, "reading a file's size"))?)
        })
    }

    /// Index and term, if META can be believed.
    pub fn compaction(&self) -> (u64, u64) {
        let meta = self.meta.as_ref().and_then(|(bytes, _)| Meta::decode(bytes)).unwrap_or_default();
        (meta.compaction_index, meta.compaction_term)
    }
}

fn strange_file(name: &str) -> Finding {
    Finding {
        kind: FindingKind::StrangeFile,
        damage: false,
        file: name.to_string(),
        offset: 0,
        range: (0, 0),
        term: 0,
        message: "the name is like a log file's, but is none; it is left where it is".into(),
        cubefs: "takes it for a part of the log and fails when it opens it",
    }
}

fn read_meta(dir: &dyn Dir) -> Result<Option<(Vec<u8>, u64)>> {
    let fail = |e: &io::Error| Error::io(Op::Import, e, "reading META");
    let file = match dir.open(META_NAME, Access::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|e| fail(&e))?,
    };
    let mut bytes = vec![0; META_BYTES];
    let read = read_full_at(&*file, &mut bytes, 0).map_err(|e| fail(&e))?;
    bytes.truncate(read);
    Ok(Some((bytes, file.len().map_err(|e| fail(&e))?)))
}
