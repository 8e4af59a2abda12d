//! The simulated disk's own promises: the tests of the log are worth what these hold.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::io::{write_all_at, Access, AlignedBuf, File};

pub(super) const BLOCK: usize = 4096;

pub(super) fn disk() -> (SimDisk, Arc<dyn Dir>) {
    let disk = SimDisk::new(7);
    disk.create_dir(Path::new("/d")).and_then(|()| disk.sync_parent(Path::new("/d"))).unwrap();
    let dir = disk.open_dir(Path::new("/d")).unwrap();
    (disk, dir)
}

pub(super) fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|e| e.raw_os_error()).unwrap_or(0)
}

pub(super) fn direct_write(file: &dyn File, fill: u8, blocks: usize, offset: u64) -> io::Result<usize> {
    let mut buf = AlignedBuf::zeroed(blocks * BLOCK);
    buf.fill(fill);
    file.write_at(&[IoSlice::new(&buf)], offset)
}

fn direct_read(file: &dyn File, len: usize, offset: u64) -> io::Result<Vec<u8>> {
    let mut buf = AlignedBuf::zeroed(len);
    let n = file.read_at(&mut buf, offset)?;
    Ok(buf[..n].to_vec())
}

#[test]
fn unsynced_data_and_entries_are_lost_by_a_power_cut_and_kept_by_a_process_crash() {
    let (disk, dir) = disk();
    let file = dir.create("a", Access::Buffered).unwrap();
    write_all_at(&*file, &[b"hello"], 0).unwrap();
    assert_eq!(disk.crash(Crash::Process).cached_bytes("/d/a"), b"hello");
    assert!(!disk.fork().crash(Crash::PowerNothing).exists("/d/a"));

    let (disk, dir) = self::disk();
    let file = dir.create("a", Access::Buffered).unwrap();
    write_all_at(&*file, &[b"hello"], 0).unwrap();
    file.sync().unwrap();
    assert!(
        !disk.fork().crash(Crash::PowerNothing).exists("/d/a"),
        "a file's sync must not make its directory entry durable"
    );
    dir.sync().unwrap();
    write_all_at(&*file, &[b"HELLO"], 0).unwrap();
    assert_eq!(disk.fork().crash(Crash::PowerNothing).cached_bytes("/d/a"), b"hello");
    assert_eq!(disk.fork().crash(Crash::PowerEverything).cached_bytes("/d/a"), b"HELLO");
}

#[test]
fn a_random_power_cut_keeps_some_sectors_and_follows_its_seed() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let run = || {
            let disk = SimDisk::new(seed);
            let dir = disk.open_dir(Path::new("/")).unwrap();
            let file = dir.create("a", Access::Buffered).unwrap();
            dir.sync().unwrap();
            write_all_at(&*file, &[&[1u8; 8 * SECTOR]], 0).unwrap();
            file.sync().unwrap();
            write_all_at(&*file, &[&[2u8; 8 * SECTOR]], 0).unwrap();
            write_all_at(&*file, &[&[3u8; 8 * SECTOR]], 0).unwrap();
            disk.crash(Crash::PowerRandom).cached_bytes("/a")
        };
        let left = run();
        assert_eq!(left, run(), "seed {seed} does not replay");
        assert!(left.chunks(SECTOR).all(|s| s.iter().all(|b| *b == s[0])), "a sector is torn");
        seen.insert(left.chunks(SECTOR).map(|s| s[0]).collect::<Vec<u8>>());
    }
    let extremes = seen.contains(&vec![1; 8]) && seen.contains(&vec![3; 8]);
    assert!(extremes && seen.len() > 30 && seen.iter().any(|s| s.contains(&2)), "outcomes missing: {seen:?}");
}

#[test]
fn durable_writes_need_alignment_and_survive() {
    let (disk, dir) = disk();
    let file = dir.create("a", Access::Durable).unwrap();
    dir.sync().unwrap();
    assert!(file.writes_are_durable());
    let mut buf = AlignedBuf::zeroed(2 * BLOCK);
    buf.fill(5);
    assert_eq!(errno(file.write_at(&[IoSlice::new(&buf[..BLOCK])], 512)), libc::EINVAL);
    assert_eq!(errno(file.write_at(&[IoSlice::new(&buf[..100])], 0)), libc::EINVAL);
    assert_eq!(errno(file.write_at(&[IoSlice::new(&buf[8..BLOCK + 8])], 0)), libc::EINVAL);
    assert_eq!(file.write_at(&[IoSlice::new(&buf)], 0).unwrap(), 2 * BLOCK);
    assert_eq!(disk.crash(Crash::PowerNothing).cached_bytes("/d/a"), vec![5; 2 * BLOCK]);

    let disk = SimDisk::with_config(1, SimConfig { direct_io: false, ..SimConfig::default() });
    let file = disk.open_dir(Path::new("/")).unwrap().create("a", Access::Durable).unwrap();
    assert!(!file.writes_are_durable());
    write_all_at(&*file, &[b"odd"], 1).unwrap();
}

#[test]
fn a_failed_sync_is_followed_by_one_that_succeeds_while_cache_and_medium_differ() {
    let mut differed = 0;
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let dir = disk.open_dir(Path::new("/")).unwrap();
        let file = dir.create("a", Access::Buffered).unwrap();
        dir.sync().unwrap();
        write_all_at(&*file, &[&[9u8; 4 * BLOCK]], 0).unwrap();
        disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).once());
        assert_eq!(errno(file.sync()), libc::EIO);
        file.sync().unwrap();
        let direct = direct_read(&*dir.open("a", Access::ReadDirect).unwrap(), 4 * BLOCK, 0).unwrap();
        assert_eq!(disk.cached_bytes("/a"), vec![9; 4 * BLOCK]);
        assert_eq!(direct, disk.durable_bytes("/a"));
        differed += (direct != vec![9; 4 * BLOCK]) as u32;
        disk.drop_caches();
        assert_eq!(disk.cached_bytes("/a"), direct);
    }
    assert!(differed > 5);
}

#[test]
fn a_direct_read_shows_the_device_and_makes_nothing_durable() {
    let (disk, dir) = disk();
    let file = dir.create("a", Access::Buffered).unwrap();
    dir.sync().unwrap();
    write_all_at(&*file, &[&[4u8; BLOCK]], 0).unwrap();
    assert_eq!(direct_read(&*dir.open("a", Access::ReadDirect).unwrap(), BLOCK, 0).unwrap(), vec![4; BLOCK]);
    assert_eq!(disk.fork().crash(Crash::PowerNothing).cached_bytes("/d/a"), b"");
    dir.create("b", Access::Buffered).unwrap().sync().unwrap();
    assert_eq!(
        disk.crash(Crash::PowerNothing).cached_bytes("/d/a"),
        vec![4; BLOCK],
        "a flush is the device's, not the file's"
    );
}

#[test]
fn directory_changes_wait_for_the_directory_and_keep_their_order() {
    for (journalled, seed) in (0..100).map(|n| (n % 2 == 0, n)) {
        let disk = SimDisk::with_config(seed, SimConfig { journalled, ..SimConfig::default() });
        let dir = disk.open_dir(Path::new("/")).unwrap();
        for name in ["old", "kept"] {
            drop(dir.create(name, Access::Buffered).unwrap());
        }
        dir.sync().unwrap();
        let new = dir.create("new", Access::Buffered).unwrap();
        write_all_at(&*new, &[b"new"], 0).unwrap();
        new.sync().unwrap();
        dir.rename("new", "old").unwrap();
        dir.unlink("kept").unwrap();
        assert_eq!(disk.fork().crash(Crash::PowerNothing).files("/"), ["/kept", "/old"]);
        assert_eq!(disk.fork().crash(Crash::PowerEverything).files("/"), ["/old"]);
        let after = disk.fork().crash(Crash::PowerRandom);
        assert!(after.exists("/old"), "a rename over a file is atomic");
        if journalled && !after.exists("/kept") {
            assert_eq!(after.cached_bytes("/old"), b"new", "the unlink came after the rename");
        }
        dir.sync().unwrap();
        assert_eq!(disk.crash(Crash::PowerNothing).files("/"), ["/old"]);
    }
}

#[test]
fn a_failed_directory_sync_leaves_its_changes_to_chance() {
    let disk = SimDisk::with_config(1, SimConfig { failed_dir_syncs_forget: true, ..SimConfig::default() });
    let dir = disk.open_dir(Path::new("/")).unwrap();
    drop(dir.create("a", Access::Buffered).unwrap());
    disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).once());
    assert_eq!(errno(dir.sync()), libc::EIO);
    drop(dir.create("b", Access::Buffered).unwrap());
    dir.sync().unwrap();
    assert_eq!(disk.crash(Crash::PowerNothing).files("/"), ["/b"]);
}

#[test]
fn a_full_disk_takes_what_fits_and_unlinked_space_comes_back_when_closed() {
    let (disk, dir) = disk();
    disk.set_free(4 * BLOCK as u64);
    let file = dir.create("a", Access::Buffered).unwrap();
    assert_eq!(file.write_at(&[IoSlice::new(&[1; 5 * BLOCK])], 0).unwrap(), 3 * BLOCK);
    assert_eq!(errno(file.write_at(&[IoSlice::new(&[1; BLOCK])], 3 * BLOCK as u64)), libc::ENOSPC);
    assert_eq!(errno(file.allocate(8 * BLOCK as u64)), libc::ENOSPC);
    assert_eq!(errno(dir.create("b", Access::Buffered)), libc::ENOSPC);
    write_all_at(&*file, &[b"over what is there"], 0).unwrap();
    dir.unlink("a").unwrap();
    assert_eq!(errno(dir.create("b", Access::Buffered)), libc::ENOSPC);
    drop(file);
    dir.create("b", Access::Buffered).unwrap().allocate(3 * BLOCK as u64).unwrap();
}

#[test]
fn a_lock_lives_as_long_as_its_directory_handle_and_no_crash_keeps_it() {
    let (disk, dir) = disk();
    dir.lock().unwrap();
    let other = disk.open_dir(Path::new("/d")).unwrap();
    assert_eq!(errno(other.lock()), libc::EWOULDBLOCK);
    let clone = dir.clone();
    drop(dir);
    assert_eq!(errno(other.lock()), libc::EWOULDBLOCK);
    drop(clone);
    other.lock().unwrap();
    disk.crash(Crash::Process).open_dir(Path::new("/d")).unwrap().lock().unwrap();
}

#[test]
fn a_planned_crash_stops_everything_and_the_old_handles_stay_dead() {
    let (disk, dir) = disk();
    let file = dir.create("a", Access::Durable).unwrap();
    dir.sync().unwrap();
    disk.crash_at(disk.ops() + 2);
    direct_write(&*file, 1, 1, 0).unwrap();
    assert_eq!(errno(direct_write(&*file, 2, 1, 0)), libc::EIO);
    assert!(disk.is_dead());
    assert_eq!(errno(direct_write(&*file, 3, 1, 0)), libc::EIO);
    let next = disk.crash(Crash::PowerRandom);
    assert!(next.durable_bytes("/d/a").chunks(SECTOR).all(|s| s[0] == 1 || s[0] == 2));
    assert_eq!(next.open_handles(), 0);
    drop((file, dir));
}

#[test]
fn paths_say_what_they_are() {
    let (disk, dir) = disk();
    disk.put_file("/f", b"");
    disk.put_symlink("/d/link");
    assert_eq!(errno(disk.open_dir(Path::new("/missing"))), libc::ENOENT);
    assert_eq!(errno(disk.open_dir(Path::new("/f"))), libc::ENOTDIR);
    assert_eq!(errno(disk.open_dir(Path::new("/d/link"))), libc::ELOOP);
    assert_eq!(errno(dir.open("link", Access::Read)), libc::ELOOP);
    assert_eq!([(); 2].map(|_| errno(dir.mkdir("sub"))), [0, libc::EEXIST]);
    assert_eq!(errno(dir.open("sub", Access::Read)), libc::EINVAL);
    disk.rename("/d", "/e");
    drop(dir.create("still-works", Access::Buffered).unwrap());
    assert!(disk.exists("/e/still-works"));
    disk.copy_dir("/e", "/copy");
    assert_eq!(disk.files("/copy"), ["/copy/link", "/copy/still-works"]);
}
