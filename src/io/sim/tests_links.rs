//! The simulated disk's hard links.

use std::path::Path;

use super::tests::{disk, errno};
use super::*;
use crate::io::{write_all_at, Access};

fn two_dirs(config: SimConfig) -> (SimDisk, [Arc<dyn Dir>; 2]) {
    let disk = SimDisk::with_config(1, config);
    let dirs = ["/a", "/b"].map(|path| {
        disk.make_dirs(path);
        disk.open_dir(Path::new(path)).unwrap()
    });
    (disk, dirs)
}

#[test]
fn a_file_has_names_in_several_directories_and_each_becomes_durable_by_its_own_sync() {
    for journalled in [true, false] {
        let (disk, [a, b]) = two_dirs(SimConfig { journalled, ..SimConfig::default() });
        let file = a.create_unnamed(Access::Buffered).unwrap();
        write_all_at(&*file, &[b"shared"], 0).unwrap();
        file.sync().unwrap();
        a.link(&*file, "x").unwrap();
        b.link(&*file, "y").unwrap();
        assert_eq!(errno(b.link(&*file, "y")), libc::EEXIST);
        assert_eq!(disk.fork().crash(Crash::PowerNothing).files("/"), [""; 0]);
        b.sync().unwrap();
        let after = disk.fork().crash(Crash::PowerNothing);
        assert_eq!(after.exists("/a/x"), journalled, "a journal keeps the order");
        assert_eq!(after.cached_bytes("/b/y"), b"shared");
        a.sync().unwrap();
        a.unlink("x").unwrap();
        write_all_at(&*b.open("y", Access::Buffered).unwrap(), &[b"SHARED"], 0).unwrap();
        file.sync().unwrap();
        assert_eq!(disk.cached_bytes("/b/y"), b"SHARED");
        let both = disk.fork().crash(Crash::PowerNothing);
        assert_eq!(["/a/x", "/b/y"].map(|path| both.cached_bytes(path)), [b"SHARED"; 2]);
        a.sync().unwrap();
        assert_eq!(disk.crash(Crash::PowerNothing).files("/"), ["/b/y"]);
    }
}

#[test]
fn a_file_that_lost_all_its_names_has_no_other_one_and_its_space_comes_back_with_the_last_handle() {
    let (disk, [a, b]) = two_dirs(SimConfig::default());
    let empty = disk.used_bytes();
    let file = a.create_unnamed(Access::Buffered).unwrap();
    write_all_at(&*file, &[b"x"], 0).unwrap();
    a.link(&*file, "x").unwrap();
    a.link(&*file, "again").unwrap();
    b.link(&*file, "y").unwrap();
    let used = disk.used_bytes();
    a.unlink("x").unwrap();
    a.unlink("again").unwrap();
    b.rename("y", "z").unwrap();
    a.link(&*file, "x").unwrap();
    a.unlink("x").unwrap();
    let other = b.create("other", Access::Buffered).unwrap();
    b.rename("other", "z").unwrap();
    drop(other);
    assert_eq!(errno(a.link(&*file, "x")), libc::ENOENT);
    assert_eq!(disk.used_bytes(), used + super::state::BLOCK);
    b.unlink("z").unwrap();
    assert_eq!(disk.used_bytes(), used);
    drop(file);
    assert_eq!(disk.used_bytes(), empty);
}

#[test]
fn a_name_on_another_device_or_of_a_file_that_was_unlinked_is_refused() {
    let (disk, [a, b]) = two_dirs(SimConfig::default());
    disk.set_device("/b", 9);
    let file = a.create_unnamed(Access::Buffered).unwrap();
    assert_eq!(errno(b.link(&*file, "x")), libc::EXDEV);
    let (_, dir) = self::disk();
    let named = dir.create("a", Access::Buffered).unwrap();
    dir.link(&*named, "b").unwrap();
    dir.unlink("a").unwrap();
    dir.link(&*named, "c").unwrap();
    dir.unlink("b").unwrap();
    dir.unlink("c").unwrap();
    assert_eq!(errno(dir.link(&*named, "d")), libc::ENOENT);
}

#[test]
fn a_file_that_was_made_elsewhere_outlives_its_first_directory() {
    let (disk, [a, b]) = two_dirs(SimConfig::default());
    let file = a.create("x", Access::Buffered).unwrap();
    write_all_at(&*file, &[b"x"], 0).unwrap();
    file.sync().unwrap();
    b.link(&*file, "y").unwrap();
    b.sync().unwrap();
    drop(file);
    a.unlink("x").unwrap();
    a.sync().unwrap();
    let after = disk.crash(Crash::PowerRandom);
    assert_eq!(after.files("/"), ["/b/y"]);
    let blocks = after.used_bytes() / super::state::BLOCK;
    assert_eq!(blocks, 5, "three directories, the file and its block");
    let b = after.open_dir(Path::new("/b")).unwrap();
    b.unlink("y").unwrap();
    assert_eq!(after.used_bytes() / super::state::BLOCK, blocks - 2);
}
