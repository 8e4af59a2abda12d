//! What an event reads like in a log.

use crate::engine::metrics::names;
use crate::error::{Cause, Op};
use crate::partition::{Event, State};
use std::fmt::Write;
use std::path::PathBuf;

/// How much a line matters. The numbers are part of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// Something is over, or was done by hand: healed, released, limits that were set.
    Info = 1,
    /// Met, and nobody is kept from working.
    Warn = 2,
    /// A partition refuses calls, or has lost entries.
    Error = 3,
}

/// A line for the owner's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub level: LogLevel,
    /// 0 if it is about no partition, or if that has this id.
    pub partition_id: u64,
    /// The partition's directory; empty if it is about none.
    pub path: PathBuf,
    pub time_unix_ns: u64,
    /// Lines that were left out before it: of its partition since the last one, or any for lack of room. The text says so, too.
    pub left_out: u64,
    /// One line without its end: what happened to whom, with all the fields above but level and time.
    pub text: String,
}

impl LogLine {
    pub(super) fn of(event: &Event, left_out: u64) -> LogLine {
        let (level, mut text) = said(event);
        if event.errno != 0 {
            let _ = write!(text, ": {}", errno(event.errno));
        }
        if event.range != (0, 0) {
            let _ = write!(text, ", entries {} to {}", event.range.0, event.range.1);
        }
        if !event.path.as_os_str().is_empty() {
            let _ = write!(text, ", {}", event.path.display());
        }
        if left_out > 0 {
            let _ = write!(text, " ({left_out} left out)");
        }
        LogLine {
            level,
            partition_id: event.partition_id,
            path: event.path.clone(),
            time_unix_ns: event.time_unix_ns,
            left_out,
            text: one_line(&text),
        }
    }
}

fn said(event: &Event) -> (LogLevel, String) {
    if event.op == Op::SetLimits && event.path.as_os_str().is_empty() {
        return (LogLevel::Info, format!("bulkhead: limits set for {}", event.note));
    }
    let (level, what) = happened(event);
    let mut text = format!("bulkhead: partition {} {what}", event.partition_id);
    if event.op != Op::SetLimits {
        let _ = write!(text, ", in {}", names::op(event.op).replace('_', " "));
    }
    if !event.note.is_empty() {
        let _ = write!(text, ": {}", event.note);
    }
    (level, text)
}

fn happened(event: &Event) -> (LogLevel, String) {
    let (from, cause) = (names::state(event.from), cause(event.cause));
    let stays = event.from == event.to;
    match (event.to, event.cause) {
        _ if event.op == Op::SetLimits => (LogLevel::Info, "has new limits".into()),
        (State::ReadWrite, Cause::None) if stays => (LogLevel::Info, "is healed".into()),
        (State::ReadWrite, Cause::None) => (LogLevel::Info, format!("is ReadWrite again, after {from}")),
        (State::ReadWrite, cause) if stays => (LogLevel::Warn, met(cause)),
        (State::ReadWrite, _) => (LogLevel::Warn, format!("is ReadWrite with a fault, after {from}: {cause}")),
        (State::Recovering, _) => (LogLevel::Info, format!("is recovering, after {from}")),
        (State::Closed, Cause::LostEntries) => {
            (LogLevel::Error, "was closed with a fault, and what it left is too much for memory".into())
        }
        (State::Closed, _) => (LogLevel::Warn, format!("is closed: {cause}")),
        (_, Cause::Fenced) if stays => (LogLevel::Warn, "is fenced by hand, beside its fault".into()),
        (_, cause) if stays => (LogLevel::Warn, met(cause)),
        (to, _) => (LogLevel::Error, format!("is {}: {cause}", names::state(to))),
    }
}

/// What a partition met that goes on as before.
fn met(met: Cause) -> String {
    match met {
        Cause::Stalled => "waits for a slow disk".into(),
        Cause::UntestedFilesystem => "is on a filesystem that the project does not test".into(),
        Cause::VolatileFilesystem => "is on a filesystem in memory: a power cut takes everything".into(),
        other => format!("met {}", cause(other)),
    }
}

fn cause(cause: Cause) -> String {
    match cause {
        Cause::IoError => "I/O error".into(),
        Cause::ReadOnlyFilesystem => "read-only filesystem".into(),
        other => names::cause(other).replace('_', " "),
    }
}

/// `EIO, Input/output error`.
fn errno(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("{}, {text}", names::errno(errno))
}

/// A path or a reason given by somebody must not begin a line of its own.
fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
