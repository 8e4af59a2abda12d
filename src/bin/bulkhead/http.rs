//! What a running process answers: metrics, or the handler of `go/admin`.

use bulkhead::{Error, Op, Result, Status};
use serde_json::Value;
use std::io::Read;

/// Seconds to wait for an answer; a call that changes something waits for a disk.
const TIMEOUT_SECONDS: u64 = 10;
/// Most bytes of an answer: 10,000 partitions take about 5 MB.
const ANSWER_MAX_BYTES: u64 = 64 << 20;

pub struct Answer {
    pub status: i32,
    pub body: String,
}

fn error(status: Status, url: &str, message: String) -> Error {
    Error::new(status, Op::Status, message).at(std::path::Path::new(url))
}

pub fn call(method: minreq::Method, url: &str, body: Option<&Value>) -> Result<Answer> {
    if !url.starts_with("http://") {
        let message = "the address begins with http://; it is the one of the metrics, or where go/admin is mounted";
        return Err(error(Status::InvalidArgument, url, message.into()));
    }
    let request = minreq::Request::new(method, url)
        .with_timeout(TIMEOUT_SECONDS)
        .with_header("Accept", "application/json, text/plain");
    let request = match body {
        Some(body) => request.with_header("Content-Type", "application/json").with_body(body.to_string()),
        None => request,
    };
    let response = request.send_lazy().map_err(|e| error(Status::IoError, url, format!("no answer: {e}")))?;
    let (status, mut body) = (response.status_code, String::new());
    match response.take(ANSWER_MAX_BYTES).read_to_string(&mut body) {
        Ok(_) => Ok(Answer { status: status.into(), body }),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Err(error(Status::Foreign, url, "the answer is no text".into()))
        }
        Err(e) => Err(error(Status::IoError, url, format!("the answer ended early: {e}"))),
    }
}

/// What the handler answers, as JSON.
pub fn json(method: minreq::Method, url: &str, body: Option<&Value>) -> Result<Value> {
    let answer = call(method, url, body)?;
    let value: Option<Value> = serde_json::from_str(&answer.body).ok();
    let said = value.as_ref().and_then(|v| v.get("error")).and_then(Value::as_str);
    match (answer.status, value.as_ref()) {
        (200..=299, Some(value)) => Ok(value.clone()),
        (_, None) => {
            let message = "this is not an answer of Bulkhead's handler; give the address at which go/admin is mounted";
            Err(error(Status::Foreign, url, message.into()))
        }
        (status, _) => {
            let message = said.map_or_else(|| format!("HTTP status {status}"), str::to_string);
            let kind = match status {
                400 | 405 => Status::InvalidArgument,
                404 => Status::NotFound,
                409 => Status::Busy,
                _ => Status::IoError,
            };
            Err(error(kind, url, message))
        }
    }
}
