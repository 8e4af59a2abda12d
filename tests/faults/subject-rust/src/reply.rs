//! Answers: one line of JSON each.

use crate::os::monotonic_ns;
use raft_engine::Error;
use serde_json::{json, Map, Value};
use std::error::Error as _;
use std::io::Write;
use std::time::Instant;

pub type Reply = Map<String, Value>;

/// Why a command was not carried out.
pub enum Failure {
    /// The command itself makes no sense.
    Usage(String),
    /// The system has no such call.
    Unsupported,
    System(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::System(error)
    }
}

pub fn usage<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Usage(text.into()))
}

/// Adds what every reply carries.
pub fn finish(reply: &mut Reply, command: &str, start: Instant, result: Result<(), Failure>) {
    reply.insert("cmd".into(), json!(command));
    reply.insert("ok".into(), json!(result.is_ok()));
    reply.insert("ms".into(), json!(start.elapsed().as_micros() as f64 / 1000.0));
    reply.insert("t_ns".into(), json!(monotonic_ns()));
    match result {
        Ok(()) => {}
        Err(Failure::Usage(text)) => drop(reply.insert("text".into(), json!(text))),
        Err(Failure::Unsupported) => {
            reply.insert("unsupported".into(), json!(true));
            reply.insert("text".into(), json!("the system has no such call"));
        }
        Err(Failure::System(error)) => {
            reply.insert("text".into(), json!(error.to_string()));
            reply.insert("status".into(), json!(name(&error)));
            if let Some(errno) = errno(&error) {
                reply.insert("errno".into(), json!(errno));
            }
        }
    }
}

pub fn send(reply: Reply) {
    let mut line = Value::Object(reply).to_string();
    line.push('\n');
    // A runner that is gone needs no answers.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

pub fn name(error: &Error) -> &'static str {
    match error {
        Error::InvalidArgument(_) => "InvalidArgument",
        Error::Corruption(_) => "Corruption",
        Error::Io(_) => "Io",
        Error::Codec(_) => "Codec",
        Error::Protobuf(_) => "Protobuf",
        Error::TryAgain(_) => "TryAgain",
        Error::EntryCompacted => "EntryCompacted",
        Error::EntryNotFound => "EntryNotFound",
        Error::Full => "Full",
        Error::Other(_) => "Other",
    }
}

/// The errno, if one is at the bottom of it.
pub fn errno(error: &Error) -> Option<i32> {
    if let Error::Io(io) = error {
        if let Some(errno) = io.raw_os_error() {
            return Some(errno);
        }
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(errno) = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            return Some(errno);
        }
        source = inner.source();
    }
    None
}
