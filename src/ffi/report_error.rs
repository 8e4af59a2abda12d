//! Filling the caller's bulkhead_error. Nothing here allocates or can panic: it runs last, also after a panic.

use std::ffi::c_char;
use std::os::unix::ffi::OsStrExt;

use super::codes::bulkhead_status;
use super::memory::OutStruct;
use super::types::bulkhead_error;
use crate::{Error, Op, Result};

/// The caller's error struct, or none.
pub(super) struct ErrorOut(Option<OutStruct<bulkhead_error>>);

impl ErrorOut {
    /// Fails on a pointer or size that cannot be: the call is then refused before it does anything, and says so by
    /// its status alone.
    ///
    /// # Safety As for `OutStruct::new`; null is allowed.
    pub(super) unsafe fn new(pointer: *mut bulkhead_error) -> Result<ErrorOut> {
        if pointer.is_null() {
            return Ok(ErrorOut(None));
        }
        // SAFETY: the same promise.
        Ok(ErrorOut(Some(unsafe { OutStruct::new(pointer, "err") }?)))
    }

    /// Writes `error`; one without an operation of its own gets that of the call. Returns its status.
    #[cold]
    pub(super) fn fail(&self, error: &Error, op: Op) -> bulkhead_status {
        if let Some(out) = &self.0 {
            out.write(&as_c(error, op));
        }
        error.status as bulkhead_status
    }
}

/// The C form of an error.
pub(super) fn as_c(error: &Error, op: Op) -> bulkhead_error {
    let mut c = bulkhead_error {
        struct_size: 0,
        status: error.status as bulkhead_status,
        os_errno: error.errno,
        operation: if error.op == Op::None { op } else { error.op } as u32,
        partition_id: error.partition_id,
        first_index: error.range.0,
        last_index: error.range.1,
        path: [0; 256],
        message: [0; 512],
    };
    copy_text(&mut c.path, error.path.as_os_str().as_bytes());
    let message = error.message.as_bytes();
    let mut end = message.len().min(c.message.len() - 1);
    while !error.message.is_char_boundary(end) {
        end -= 1; // 0 is a boundary
    }
    copy_text(&mut c.message, &message[..end]);
    c
}

/// Copies what fits and leaves at least one zero at the end; ends at a zero inside the text, as its reader would.
pub(super) fn copy_text(to: &mut [c_char], text: &[u8]) {
    let room = to.len() - 1;
    for (to, &from) in to[..room].iter_mut().zip(text.iter().take_while(|&&b| b != 0)) {
        *to = from as c_char;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use std::path::Path;

    #[test]
    fn long_texts_are_cut_at_a_character_and_terminated() {
        let error = Error::new(Status::IoError, Op::None, "é".repeat(400)).at(Path::new(&"p".repeat(400)));
        let c = as_c(&error, Op::Sync);
        let message: Vec<u8> = c.message.iter().map(|&b| b as u8).take_while(|&b| b != 0).collect();
        assert_eq!(message.len(), 510, "511 bytes would end inside a character");
        assert!(std::str::from_utf8(&message).is_ok());
        assert_eq!((c.path[254], c.path[255], c.operation), (b'p' as c_char, 0, Op::Sync as u32));
    }
}
