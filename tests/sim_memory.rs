//! Memory that a rescue takes, alone in its program: nothing else asks for any.

mod support;

use bulkhead::io::sim::{OpKind, Rule, SimDisk};
use bulkhead::Mode;
use support::*;

#[global_allocator]
static MEMORY: support::alloc::Counting = support::alloc::Counting::new();

const MIB: usize = 1 << 20;

#[test]
fn a_rescue_of_mode_none_takes_a_piece_of_memory_and_not_all_of_it() {
    let disk = SimDisk::new(1);
    let engine = engine(&disk);
    let p = open(&engine, "/p1", 1, Mode::None);
    append_each(&p, 1, 5, 1, 300);
    p.sync().unwrap();
    let unsynced = entries(6, 205, 1, 100_000);
    // A batch is never divided: it goes into the second segment as a whole.
    append(&p, &unsynced).unwrap();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/seg-0000000000000002").once());
    p.sync().expect_err("the sync fails");
    MEMORY.take_largest();
    p.recover().unwrap();
    let largest = MEMORY.take_largest();
    // A buffer doubles when it grows.
    assert!(largest <= 2 * MIB + 8192, "{largest} bytes at once for a rescue of {} MiB", 200 * 100_000 / MIB);
    assert_same(&read_all(&p).unwrap()[5..], &unsynced, "rescued");
}
