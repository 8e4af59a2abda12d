//! The log hook: the one place where the library calls back.

use std::ffi::{c_char, c_void, CString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::boundary::boundary;
use super::codes::bulkhead_status;
use super::engine::OpenEngine;
use super::handles;
use super::types::{bulkhead_engine, bulkhead_error};
use crate::{LogHook, LogLine, Op, Result};

/// A line for the owner's log. The library owns it and all it points to; it is gone when the hook returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct bulkhead_log_line {
    /// sizeof(bulkhead_log_line) in the library: a field beyond it is not there.
    pub struct_size: u32,
    /// BULKHEAD_LOG_*
    pub level: u32,
    /// The owner's id of the partition; 0 also if the line is about none, then path is empty.
    pub partition_id: u64,
    /// Nanoseconds since 1970, UTC: when it happened.
    pub time_unix_ns: u64,
    /// Lines that were left out before it: of its partition since the last one, or any for lack of room. The message
    /// says so, too.
    pub left_out: u64,
    /// The partition's directory: bytes as the system has them, NUL-terminated, never NULL.
    pub path: *const c_char,
    /// Bytes of path without the NUL.
    pub path_length: usize,
    /// UTF-8, NUL-terminated, never NULL, without control characters: what happened to whom, with all the fields above
    /// but level and time.
    pub message: *const c_char,
    /// Bytes of message without the NUL.
    pub message_length: usize,
}

const _: () =
    assert!(std::mem::size_of::<bulkhead_log_line>() == if cfg!(target_pointer_width = "64") { 64 } else { 48 });

/// Called with each line; user is what was given with it. See bulkhead_engine_set_log_hook.
pub type bulkhead_log_hook = Option<unsafe extern "C" fn(user: *mut c_void, line: *const bulkhead_log_line)>;

/// Sets the function that is called with a line for each event from now on: every fault, heal, slow operation, fence and
/// change of limits. NULL takes it away. Nothing is fetched: bulkhead_engine_events gives the same events as well.
///
/// hook: called by a thread of the engine's, one line at a time, without any lock of the library. It may take its time:
/// no partition waits for it, and no call but this one and the engine's close. Of lines that repeat (same partition,
/// state, cause and operation, but no settings of limits) there are at most three in ten seconds; when these are over,
/// or the hook is taken away, a line says what the partition came to last. At most 1024 lines wait for the hook, and
/// behind them the last changes of 16384 partitions. The next line says how many were left out, and
/// bulkhead_log_lines_left_out_total counts them. The hook may call every function of this header but this one and
/// bulkhead_engine_close for the same engine: those return BULKHEAD_BUSY then, and do nothing. It must return, and not by
/// an exception or longjmp. Its thread has the signal mask of the one that set it, and SIGXFSZ blocked.
/// user: handed to it as it is.
///
/// A hook that was set before is not running when this returns, and will not run again: what user points to may be
/// freed. If there is no new one it has been called with the lines that waited; so it has when bulkhead_engine_close
/// returns. Both wait for a hook that does not return.
///
/// Errors: BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED (a hook that was set may run until bulkhead_engine_close has
/// returned), BULKHEAD_BUSY (called by the hook; nothing is changed), BULKHEAD_RESOURCE_EXHAUSTED (no thread can be
/// started: there is no hook then), BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_set_log_hook(
    engine: bulkhead_engine,
    hook: bulkhead_log_hook,
    user: *mut c_void,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        open.engine.set_log_hook(hook.map(|function| calling(Callback { function, user })))
    })
}

struct Callback {
    function: unsafe extern "C" fn(*mut c_void, *const bulkhead_log_line),
    user: *mut c_void,
}

// SAFETY: the caller of bulkhead_engine_set_log_hook knows that its function is called with `user` on another thread,
// by one at a time.
unsafe impl Send for Callback {}

impl Callback {
    fn call(&self, line: &LogLine) {
        // Neither has a NUL inside: paths cannot, texts are without control characters.
        let path = CString::new(line.path.as_os_str().as_bytes()).unwrap_or_default();
        let message = CString::new(line.text.as_str()).unwrap_or_default();
        let line = bulkhead_log_line {
            struct_size: std::mem::size_of::<bulkhead_log_line>() as u32,
            level: line.level as u32,
            partition_id: line.partition_id,
            time_unix_ns: line.time_unix_ns,
            left_out: line.left_out,
            path: path.as_ptr(),
            path_length: path.as_bytes().len(),
            message: message.as_ptr(),
            message_length: message.as_bytes().len(),
        };
        // SAFETY: the caller of bulkhead_engine_set_log_hook gave a function of this type, good until another one is
        // set or the engine is closed, which both wait for this call; the line lives until it returns.
        unsafe { (self.function)(self.user, &line) };
    }
}

fn calling(callback: Callback) -> LogHook {
    Box::new(move |line| callback.call(line))
}

/// For the close of an engine: ends its handle's life, unless its own log hook asks for that.
pub(super) fn take_engine(handle: bulkhead_engine) -> Result<Arc<OpenEngine>> {
    handles::engine(handle)?.engine.refuse_in_log_hook(Op::Close)?;
    handles::take_engine(handle)
}
