//! The one way in. Every exported function consists of a `boundary!` call: it checks the error struct, finds the
//! handle, runs the body under `catch_unwind`, latches the partition if the body panicked, fills the error struct
//! and gives the status.
//!
//! A panic must end here: unwinding into C is an abort, and an abort of the process is what this library exists to
//! prevent.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use super::codes::{bulkhead_status, BULKHEAD_INVALID_ARGUMENT, BULKHEAD_OK};
use super::engine::OpenEngine;
use super::handles::OpenPartition;
use super::report_error::ErrorOut;
use super::types::bulkhead_error;
use crate::partition::Partition;
use crate::{Error, Op, Result, Status};

#[cfg(not(panic = "unwind"))]
compile_error!("build with panic = \"unwind\": with \"abort\" a panic in one partition would end the whole process");

/// The body of an exported function, in one of four forms: a plain value with what stands for it after a panic, a
/// call without a handle, and one with an engine or a partition, given by the expression that looks it up.
macro_rules! boundary {
    (value, $fallback:expr, $body:expr) => {
        $crate::ffi::boundary::value($fallback, || $body)
    };
    (call, $op:expr, $err:ident, $body:expr) => {
        $crate::ffi::boundary::call($op, $err, || {
            $crate::ffi::boundary::trip();
            $body
        })
    };
    (engine($lookup:expr), $op:expr, $err:ident, |$engine:ident| $body:expr) => {
        $crate::ffi::boundary::on_engine(
            || $lookup,
            $op,
            $err,
            |$engine| {
                $crate::ffi::boundary::trip();
                $body
            },
        )
    };
    (partition($lookup:expr), $op:expr, $err:ident, |$partition:ident| $body:expr) => {
        $crate::ffi::boundary::on_partition(
            || $lookup,
            $op,
            $err,
            |$partition| {
                $crate::ffi::boundary::trip();
                $body
            },
        )
    };
}
pub(super) use boundary;

/// Runs a body that cannot fail.
pub(super) fn value<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    let body = || {
        trip();
        body()
    };
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        std::mem::forget(payload); // see `panicked`
        fallback
    })
}

/// Runs a body and turns its result, or its panic, into a status.
///
/// `AssertUnwindSafe`: what a body can leave half-changed is a partition's own state, and that partition is
/// latched.
#[inline]
pub(super) fn call(op: Op, err: *mut bulkhead_error, body: impl FnOnce() -> Result<()>) -> bulkhead_status {
    // SAFETY: every exported function asks its caller for null or a bulkhead_error.
    let Ok(err) = (unsafe { ErrorOut::new(err) }) else { return BULKHEAD_INVALID_ARGUMENT };
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => BULKHEAD_OK,
        Ok(Err(error)) => err.fail(&error, op),
        Err(payload) => err.fail(&panicked(op, payload), op),
    }
}

/// The same for an engine. The engine is dropped, should this be its last use, when the body is done and not while
/// it unwinds: a second panic then would be an abort.
pub(super) fn on_engine(
    lookup: impl FnOnce() -> Result<Arc<OpenEngine>>,
    op: Op,
    err: *mut bulkhead_error,
    body: impl FnOnce(&Arc<OpenEngine>) -> Result<()>,
) -> bulkhead_status {
    call(op, err, || {
        let open = lookup()?;
        catch_unwind(AssertUnwindSafe(|| body(&open))).unwrap_or_else(|payload| Err(panicked(op, payload)))
    })
}

/// The same for a partition, which is latched if the body panics. The partition lives until the body is done, also
/// when another thread closes its handle meanwhile.
#[inline]
pub(super) fn on_partition(
    lookup: impl FnOnce() -> Result<Arc<OpenPartition>>,
    op: Op,
    err: *mut bulkhead_error,
    body: impl FnOnce(&Partition) -> Result<()>,
) -> bulkhead_status {
    call(op, err, || {
        let open = lookup()?;
        let partition: &Partition = &open.partition;
        let result = match catch_unwind(AssertUnwindSafe(|| body(partition))) {
            Ok(result) => result,
            Err(payload) => {
                let error = panicked(op, payload);
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| partition.latch_panic(op))) {
                    std::mem::forget(second);
                }
                Err(error)
            }
        };
        result.map_err(|error| if error.partition_id == 0 { error.partition(partition.id()) } else { error })
    })
}

/// The error for a caught panic. The payload is not dropped: its destructor is foreign code that could panic again,
/// here outside of any `catch_unwind`. A panic is rare enough to leak a few bytes for it.
#[cold]
fn panicked(op: Op, payload: Box<dyn Any + Send>) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    let message = format!(
        "a defect in the library was caught ({text}); the partition, if the call was about one, takes no writes until it \
         is recovered, all others go on; please report it"
    );
    std::mem::forget(payload);
    Error::new(Status::Panic, op, message)
}

/// Panics if the test switch of this thread is set: how tests make every exported function panic.
#[inline(always)]
pub(super) fn trip() {
    #[cfg(any(test, feature = "testing"))]
    if super::testing::PANIC_NEXT.with(|next| next.replace(false)) {
        panic!("asked for by a test");
    }
}
