//! Writing: regions, what fails, names.

use super::*;
use crate::io::sim::{Fault, OpKind, Rule};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

#[test]
fn a_region_is_written_over_when_no_ticket_for_it_lives() {
    let disk = disk(1, SimConfig::default());
    let journal = journal(&disk);
    let data = [1; 8000];
    let fits = REGION / 8192;
    let mut tickets: Vec<Ticket> =
        (0..2 * fits).map(|_| journal.write(&[piece(1, 1, 4096, &data)]).unwrap().unwrap()).collect();
    assert_eq!(tickets.iter().map(Ticket::turn).sum::<u64>(), fits);
    assert_eq!(journal.turn(), 1);
    assert!(journal.write(&[piece(1, 1, 4096, &data)]).unwrap().is_none(), "both regions are needed");
    tickets.swap(0, 1);
    tickets.drain(1..fits as usize);
    assert!(journal.write(&[piece(1, 1, 4096, &data)]).unwrap().is_none(), "one ticket of the first region lives");
    tickets.remove(0);
    assert_eq!(journal.write(&[piece(1, 1, 4096, b"again")]).unwrap().unwrap().turn(), 2);
    assert_eq!(journal.turn(), 2);
    assert!(!journal.is_retired());
}

#[test]
fn a_write_that_fails_or_comes_up_short_retires_the_journal() {
    for fault in [Fault::Errno(libc::EIO), Fault::Errno(libc::ENOSPC), Fault::ErrnoAfter(libc::EIO), Fault::Short(4096)]
    {
        let disk = disk(1, SimConfig::default());
        let journal = journal(&disk);
        let before = write(&journal, &[part(1, 4096, 100)]).unwrap();
        disk.inject(Rule::new(fault.clone()).on(OpKind::Write).once());
        write(&journal, &[part(1, 8192, 9000)]).unwrap_err();
        assert!(before.is_some() && journal.is_retired(), "{fault:?}");
        let writes = disk.count(OpKind::Write);
        assert!(write(&journal, &[part(1, 20480, 100)]).unwrap().is_none());
        assert_eq!(disk.count(OpKind::Write), writes, "a retired journal is never written again");
        let after = disk.crash(Crash::PowerRandom);
        let there = shown(&open(&after, 1).unwrap(), 1, &[part(1, 4096, 100), part(1, 8192, 9000)]);
        assert!(there.contains(&part(1, 4096, 100)));
    }
}

#[test]
fn an_interrupted_write_goes_on() {
    let disk = disk(1, SimConfig::default());
    let journal = journal(&disk);
    disk.inject(Rule::errno(libc::EINTR).on(OpKind::Write).once());
    assert!(write(&journal, &[part(1, 4096, 100)]).unwrap().is_some() && !journal.is_retired());
}

#[test]
fn a_panic_in_a_write_retires_the_journal() {
    let disk = disk(1, SimConfig::default());
    let journal = journal(&disk);
    disk.inject(Rule::new(Fault::Panic).on(OpKind::Write).once());
    assert!(catch_unwind(AssertUnwindSafe(|| write(&journal, &[part(1, 4096, 100)]))).is_err());
    assert!(journal.is_retired());
    assert!(write(&journal, &[part(1, 4096, 100)]).unwrap().is_none());
}

#[test]
fn nobody_waits_behind_a_hanging_write_once_it_is_retired() {
    let disk = disk(1, SimConfig::default());
    let journal = Arc::new(journal(&disk));
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).once());
    let writer = |offset| {
        let journal = journal.clone();
        std::thread::spawn(move || write(&journal, &[part(1, offset, 100)]))
    };
    let hangs = writer(4096);
    assert!(disk.wait_hung(1, Duration::from_secs(30)));
    let waits = writer(8192);
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waits.is_finished(), "one write at a time");
    journal.retire();
    assert!(waits.join().unwrap().unwrap().is_none());
    assert!(write(&journal, &[part(1, 12288, 100)]).unwrap().is_none());
    disk.release();
    assert!(hangs.join().unwrap().unwrap().is_none(), "what comes back late is not relied on");
    assert!(write(&journal, &[part(1, 12288, 100)]).unwrap().is_none());
}

#[test]
fn what_is_no_piece_is_refused_and_changes_nothing() {
    let disk = disk(1, SimConfig::default());
    let journal = journal(&disk);
    let writes = disk.count(OpKind::Write);
    let long = vec![1; PIECE_MAX_BYTES + 1];
    let max = crate::format::MAX_COUNTER;
    let bad = [
        piece(1, 1, 4096, b""),
        piece(1, 1, 4096, &long),
        piece(1, 1, 0, b"a header"),
        piece(1, 1, 4100, b"odd"),
        piece(1, 1, max, b"far"),
        Piece { segment: max, ..piece(1, 1, 4096, b"far") },
    ];
    for piece in bad {
        let refused = journal.write(&[self::piece(1, 1, 4096, b"good"), piece]);
        assert_eq!(refused.map(|_| ()).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidInput));
    }
    assert_eq!(journal.write(&[]).map(|_| ()).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidInput));
    let more_than_a_region = [piece(1, 1, 4096, &long[1..])];
    assert!(journal.write(&more_than_a_region).unwrap().is_none());
    assert_eq!((disk.count(OpKind::Write), journal.is_retired(), journal.turn()), (writes, false, 0));
}

#[test]
fn a_disk_without_direct_writes_has_no_journal() {
    let disk = disk(1, SimConfig { direct_io: false, ..SimConfig::default() });
    let made = Journal::create(&*dir(&disk, 1), ID).map(|_| ()).map_err(|e| e.kind());
    assert_eq!(made, Err(io::ErrorKind::Unsupported));
}

#[test]
fn a_journal_has_a_name_in_each_directory_and_lives_as_long_as_one() {
    let disk = disk(1, SimConfig::default());
    let journal = journal(&disk);
    let syncs = disk.count(OpKind::SyncDir);
    journal.link_into(&*dir(&disk, 2)).unwrap();
    assert_eq!(disk.count(OpKind::SyncDir), syncs + 1, "one that is there is made durable all the same");
    disk.set_device("/3", 9);
    let name = name_of(&ID);
    assert!(is_name(&name) && name == "journal-abababababababab");
    dir(&disk, 3).unlink(&name).unwrap();
    assert_eq!(errno(journal.link_into(&*dir(&disk, 3))), libc::EXDEV);
    for partition in [1, 2] {
        assert!(write(&journal, &[part(partition, 4096, 100)]).unwrap().is_some());
        dir(&disk, partition).unlink(&name).unwrap();
        assert_eq!(open(&disk, partition).err().map(|e| e.kind()), Some(io::ErrorKind::NotFound));
    }
    assert_eq!(errno(journal.link_into(&*dir(&disk, 1))), libc::ENOENT);
}

#[test]
fn a_failed_sync_of_the_first_name_retires_the_journal() {
    let disk = disk(1, SimConfig::default());
    let journal = Journal::create_sized(&*dir(&disk, 1), ID, REGION).unwrap();
    disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).once());
    assert_eq!(errno(journal.link_into(&*dir(&disk, 1))), libc::EIO);
    assert!(journal.is_retired());
}

#[test]
fn names() {
    for bad in
        ["journal-", "journal-ABABABABABABABAB", "journal-ababababababababab", "journal-abababababababag", "seg-1"]
    {
        assert!(!is_name(bad), "{bad}");
    }
}

fn part(partition: u8, offset: u64, len: usize) -> Part {
    Part { partition, segment: 1, offset, len }
}
