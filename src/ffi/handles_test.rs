//! The table itself; tests/ffi_handles.rs tries handles from outside.

use super::*;

const TYPE: &str = "a thing";

fn status<T>(result: Result<T>) -> Status {
    result.map(|_| Status::Ok).unwrap_or_else(|e| e.status)
}

#[test]
fn a_slot_that_is_used_again_gives_a_new_number() {
    let table: Table<u32> = Table::new(2, TYPE);
    let first = table.insert(Arc::new(1)).unwrap();
    assert_eq!(*table.take(first).unwrap(), 1);
    let second = table.insert(Arc::new(2)).unwrap();
    assert_eq!(split(first).slot, split(second).slot, "the test is about a slot used twice");
    assert_ne!(first, second);
    // With the number used again, a late call of the first owner would reach the second owner's partition.
    assert_eq!(status(table.get(first)), Status::Closed);
    assert_eq!(status(table.take(first)), Status::Closed);
    assert_eq!(*table.get(second).unwrap(), 2);
}

#[test]
fn a_slot_is_retired_when_its_generations_are_used_up() {
    let table: Table<u32> = Table::new(2, TYPE);
    let first = table.insert(Arc::new(1)).unwrap();
    table.take(first).unwrap();
    table.slot(0).unwrap().write().generation = LAST_GENERATION - 1;
    let last = table.insert(Arc::new(2)).unwrap();
    assert_eq!(split(last).generation, LAST_GENERATION);
    table.take(last).unwrap();
    // Wrapped around, the next handle of this slot would be `first` again.
    let next = table.insert(Arc::new(3)).unwrap();
    assert_eq!((split(next).slot, split(next).generation), (1, 1));
    assert_eq!(status(table.get(first)), Status::Closed);
    assert_eq!(status(table.get(last)), Status::Closed);
}

#[test]
fn what_was_never_issued_is_told_from_what_is_closed() {
    let table: Table<u32> = Table::new(2, TYPE);
    let open = table.insert(Arc::new(1)).unwrap();
    let generation = 1 << SLOT_BITS;
    let cases = [
        (0, Status::InvalidHandle),
        (open + generation, Status::InvalidHandle), // a generation to come
        (open - generation, Status::InvalidHandle), // generation 0
        (open + 1, Status::InvalidHandle),          // a slot not used yet
        (open + CHUNK_SLOTS as u64, Status::InvalidHandle), // a slot not allocated
        (open | ((1 << SLOT_BITS) - 1), Status::InvalidHandle), // the last slot there can be
        (open ^ (3 << (SLOT_BITS + GENERATION_BITS)), Status::InvalidHandle), // the other kind
        (u64::MAX, Status::InvalidHandle),
        (open, Status::Ok),
    ];
    for (handle, expected) in cases {
        assert_eq!(status(table.get(handle)), expected, "{handle:#x}");
    }
    assert_eq!(*table.get(open).unwrap(), 1, "none of these disturbed the one that is open");
}

#[test]
fn a_full_table_is_an_error_and_frees_up() {
    let table: Table<()> = Table::new(1, TYPE);
    let unit = Arc::new(());
    let handles: Vec<u64> = (0..CHUNKS * CHUNK_SLOTS).map(|_| table.insert(Arc::clone(&unit)).unwrap()).collect();
    assert_eq!(status(table.insert(Arc::clone(&unit))), Status::ResourceExhausted);
    table.take(handles[77]).unwrap();
    assert_eq!(split(table.insert(unit).unwrap()).slot, 77);
}

/// Two threads that both get the value would both close the partition, or one would free what the other uses.
#[test]
fn of_threads_that_take_the_same_handle_one_wins() {
    let table: Table<u32> = Table::new(2, TYPE);
    for round in 0..2_000 {
        let handle = table.insert(Arc::new(round)).unwrap();
        let wins: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..3).map(|_| scope.spawn(|| table.take(handle).is_ok())).collect();
            let reader = scope.spawn(|| table.get(handle).map(|value| *value).unwrap_or(round));
            assert_eq!(reader.join().unwrap(), round);
            takers.into_iter().map(|taker| taker.join().unwrap() as usize).sum()
        });
        assert_eq!(wins, 1);
    }
}
