//! What `bulkhead verify --state FILE` has read already: one line of JSON for each sound directory, written when it is through.

use bulkhead::{Error, Op, Result, Status};
use serde_json::{json, Value};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The first line.
const HEADER: &str = r#"{"bulkhead":"verify","version":1}"#;

/// A directory that was found sound: entries and bytes of it.
type Sound = (u64, u64);

pub struct StateFile {
    path: PathBuf,
    file: Mutex<File>,
    /// By path and fingerprint.
    sound: HashMap<(String, u64), Sound>,
}

impl StateFile {
    /// Opens or creates it. Error: `Foreign` for a file that is something else; it is not touched.
    pub fn open(path: &Path) -> Result<StateFile> {
        let fail = |what: &'static str| move |e| Error::io(Op::Verify, &e, what).at(path);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(fail("opening the state file"))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(fail("reading the state file"))?;
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        let begin = match lines.next() {
            None => format!("{HEADER}\n"),
            Some(HEADER) if text.ends_with('\n') => String::new(),
            // Its last line was cut short.
            Some(HEADER) => "\n".into(),
            Some(_) => {
                let message =
                    "this file holds something else; give one that does not exist, or that an earlier verify has left";
                return Err(Error::new(Status::Foreign, Op::Verify, message).at(path));
            }
        };
        if let Err(e) = file.write_all(begin.as_bytes()) {
            if text.is_empty() {
                let _ = std::fs::remove_file(path); // it is ours, and says nothing
            }
            return Err(fail("writing the state file")(e));
        }
        Ok(StateFile { path: path.to_path_buf(), file: Mutex::new(file), sound: lines.filter_map(line).collect() })
    }

    pub fn sound(&self, directory: &Path, fingerprint: u64) -> Option<Sound> {
        self.sound.get(&(directory.to_string_lossy().into_owned(), fingerprint)).copied()
    }

    /// Notes a sound directory. What cannot be noted is verified again, no more.
    pub fn note(&self, directory: &Path, fingerprint: u64, sound: Sound) {
        let path = directory.to_string_lossy();
        let line = json!({"path": path, "fingerprint": fingerprint, "entries": sound.0, "bytes": sound.1}).to_string();
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }

    /// All is read: the next run begins anew.
    pub fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn line(text: &str) -> Option<((String, u64), Sound)> {
    let value: Value = serde_json::from_str(text).ok()?;
    let number = |name: &str| value.get(name)?.as_u64();
    let path = value.get("path")?.as_str()?.to_string();
    Some(((path, number("fingerprint")?), (number("entries")?, number("bytes")?)))
}

/// Changes with every write to a file of the directory: names, sizes and times of its files.
pub fn fingerprint(directory: &Path) -> u64 {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(|m| m.is_file())?;
            Some((entry.file_name(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        })
        .collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}
