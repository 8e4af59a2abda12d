//! The journal on a real filesystem.

use super::*;
use crate::io::real::RealStorage;

#[test]
fn a_journal_of_real_files_outlives_the_loss_of_a_name() {
    let parent = tempfile::tempdir().unwrap();
    let dirs = ["one", "two"].map(|name| {
        RealStorage.create_dir(&parent.path().join(name)).unwrap();
        RealStorage.open_dir(&parent.path().join(name)).unwrap()
    });
    let journal = match Journal::create(&*dirs[0], ID) {
        Err(e) if e.kind() == io::ErrorKind::Unsupported => return, // no O_DIRECT: so the contract
        made => made.unwrap(),
    };
    let segment = empty_segment(2, 1);
    let file = dirs[1].create(&Segment::name_of(1), Access::Buffered).unwrap();
    crate::io::write_all_at(&*file, &[&segment[..4096]], 0).unwrap();
    file.set_len(1 << 20).unwrap();
    file.sync().unwrap();
    let before = file.next_data(4096).unwrap();
    dirs.iter().for_each(|dir| journal.link_into(&**dir).unwrap());
    journal.link_into(&*dirs[1]).unwrap();
    let ticket = journal.write(&[piece(2, 1, 512 << 10, b"in the journal"), piece(1, 1, 4096, &[1; 9000])]).unwrap();
    assert!(ticket.is_some());
    dirs[0].unlink(&name_of(&ID)).unwrap();
    journal.write(&[piece(2, 1, 8192, &[7; 4096])]).unwrap().unwrap();
    let journaled = Journaled::open(dirs[1].clone(), &ID, &incarnation(2)).unwrap();
    assert_eq!(
        Journaled::open(dirs[0].clone(), &ID, &incarnation(1)).err().map(|e| e.kind()),
        Some(io::ErrorKind::NotFound)
    );
    let check = |dir: &dyn Dir, access| {
        let file = dir.open(&Segment::name_of(1), access).unwrap();
        let mut buf = crate::io::AlignedBuf::zeroed(4096);
        assert_eq!(read_full_at(&*file, &mut buf, 512 << 10).unwrap(), 4096);
        assert_eq!(&buf[..15], b"in the journal\0");
        assert_eq!(read_full_at(&*file, &mut buf, 8192).unwrap(), 4096);
        assert_eq!(buf[..], [7; 4096]);
        file
    };
    for access in [Access::Read, Access::ReadDirect] {
        let laid = check(&journaled, access);
        // Where the filesystem can say that there is a hole, a piece in it is no hole.
        assert_eq!(
            [laid.next_data(4096).unwrap(), laid.next_data(20_000).unwrap()],
            [before.min(8192), file.next_data(20_000).unwrap().min(512 << 10)]
        );
        assert_eq!(laid.next_data((512 << 10) + 3).unwrap(), (512 << 10) + 3);
    }
    journaled.settle().unwrap();
    check(&*dirs[1], Access::ReadDirect);
    dirs[1].unlink(&name_of(&ID)).unwrap();
    assert_eq!(errno(journal.link_into(&*dirs[0])), libc::ENOENT, "a file that lost its last name has no other one");
}
