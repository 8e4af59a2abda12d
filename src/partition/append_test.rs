//! What a submit that fails leaves behind.

use super::*;
use crate::io::sim::SimDisk;
use crate::partition::test_host::TestHost;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Its caller has been told that no completion follows, and may have freed what the token points to.
#[test]
fn f04_after_a_submit_that_panics_no_completion_follows() {
    let disk = SimDisk::new(1);
    let host = Arc::new(TestHost::default());
    let p = host.open(&disk, "/p", 1, Mode::Sync);
    let submit = |index| p.submit(&[EntryRef { index, term: 1, kind: 0, data: b"data" }], index);
    submit(1).unwrap();
    p.work();
    assert_eq!(host.completed.load(Ordering::Relaxed), 1);
    host.panics.store(true, Ordering::Relaxed);
    catch_unwind(AssertUnwindSafe(|| submit(2))).unwrap_err();
    host.panics.store(false, Ordering::Relaxed);
    p.latch_panic(Op::Append);
    assert_eq!((p.status().state, host.completed.load(Ordering::Relaxed)), (State::Unavailable, 1));
}
