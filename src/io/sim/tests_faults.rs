//! The simulated disk's faults: rules, lies, bad sectors, hangs.

use std::io::IoSlice;
use std::time::Duration;

use super::tests::{direct_write, disk, errno, BLOCK};
use super::*;
use crate::io::{write_all_at, Access, AlignedBuf};

#[test]
fn rules_choose_by_kind_path_and_count() {
    let (disk, dir) = disk();
    let (a, b) = (dir.create("a", Access::Buffered).unwrap(), dir.create("b", Access::Buffered).unwrap());
    disk.inject(Rule::errno(libc::EROFS).on(OpKind::Write).path("/d/a").skip(1).times(2));
    assert_eq!([0, 1, 2, 3].map(|_| errno(write_all_at(&*a, &[b"x"], 0))), [0, libc::EROFS, libc::EROFS, 0]);
    write_all_at(&*b, &[b"x"], 0).unwrap();
    disk.inject(Rule::new(Fault::Short(2)).on(OpKind::Write).once());
    assert_eq!(b.write_at(&[IoSlice::new(b"abcd")], 0).unwrap(), 2);
    disk.inject(Rule::new(Fault::Panic).on(OpKind::Sync));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| b.sync())).is_err());
    assert_eq!(disk.faults_fired(), 4);
    disk.clear_faults();
    b.sync().unwrap();
    assert_eq!(disk.faults_fired(), 4, "what is forgotten has hit all the same");
}

#[test]
fn lost_and_misplaced_writes_report_success() {
    let (disk, dir) = disk();
    let file = dir.create("a", Access::Durable).unwrap();
    direct_write(&*file, 1, 3, 0).unwrap();
    disk.inject(Rule::new(Fault::Lost).on(OpKind::Write).once());
    direct_write(&*file, 2, 1, 0).unwrap();
    disk.inject(Rule::new(Fault::Misplaced(BLOCK as i64)).on(OpKind::Write).once());
    direct_write(&*file, 3, 1, 0).unwrap();
    disk.put_file("/d/b", &[0; BLOCK]);
    disk.inject(Rule::new(Fault::Misdirected("/d/b".into(), 0)).on(OpKind::Write).once());
    direct_write(&*file, 4, 1, 0).unwrap();
    let firsts: Vec<u8> = disk.durable_bytes("/d/a").chunks(BLOCK).map(|b| b[0]).collect();
    assert_eq!(firsts, [1, 3, 1]);
    assert_eq!(disk.durable_bytes("/d/b"), vec![4; BLOCK]);
}

#[test]
fn bad_sectors_fail_what_touches_them_and_nothing_else() {
    let (disk, dir) = disk();
    let file = dir.create("a", Access::Durable).unwrap();
    direct_write(&*file, 1, 4, 0).unwrap();
    disk.make_unreadable("/d/a", BLOCK as u64, 1);
    let mut buf = [0; 100];
    assert_eq!(errno(file.read_at(&mut buf, 0)), libc::EINVAL, "reads through a durable handle are direct");
    let reader = dir.open("a", Access::Read).unwrap();
    reader.read_at(&mut buf, 0).unwrap();
    assert_eq!(errno(reader.read_at(&mut buf, BLOCK as u64)), libc::EIO);
    let mut all = vec![0; 4 * BLOCK];
    assert_eq!(reader.read_at(&mut all, 0).unwrap(), BLOCK);
    direct_write(&*file, 2, 1, BLOCK as u64).unwrap();
    assert_eq!(reader.read_at(&mut all, 0).unwrap(), 4 * BLOCK);
    disk.make_unwritable("/d/a", 2 * BLOCK as u64, BLOCK);
    assert_eq!(errno(direct_write(&*file, 3, 1, 2 * BLOCK as u64)), libc::EIO);
    direct_write(&*file, 3, 1, 3 * BLOCK as u64).unwrap();
}

#[test]
fn a_hung_operation_completes_late_when_released() {
    let (disk, dir) = disk();
    let file = dir.create("a", Access::Buffered).unwrap();
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).once());
    let late = file.clone();
    let thread = std::thread::spawn(move || late.write_at(&[IoSlice::new(b"late")], 0));
    assert!(disk.wait_hung(1, Duration::from_secs(5)));
    assert_eq!(disk.cached_bytes("/d/a"), b"");
    disk.release();
    assert_eq!(thread.join().unwrap().unwrap(), 4);
    assert_eq!(disk.cached_bytes("/d/a"), b"late");
}

/// Of what a direct read has written back some is on the medium when the flush of another file has failed, and the page cache has all of it:
/// the next direct read finds the file as it was.
#[test]
fn a_failed_flush_takes_nothing_from_the_page_cache() {
    for key in 0..40 {
        let (disk, dir) = disk();
        let (file, other) = (dir.create("a", Access::Buffered).unwrap(), dir.create("b", Access::Buffered).unwrap());
        let data: Vec<u8> = (0..2 * BLOCK).map(|i| (i / 100) as u8 + 1).collect();
        write_all_at(&*file, &[&data], 0).unwrap();
        // The choice of what lands depends on how many operations there were.
        (0..key).for_each(|_| drop(other.len()));
        let read = || {
            let mut buf = AlignedBuf::zeroed(2 * BLOCK);
            dir.open("a", Access::ReadDirect).unwrap().read_at(&mut buf, 0).unwrap();
            buf.to_vec()
        };
        assert!(read() == data);
        write_all_at(&*other, &[b"x"], 0).unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).once());
        other.sync().unwrap_err();
        other.sync().unwrap();
        assert!(read() == data, "{key}");
    }
}
