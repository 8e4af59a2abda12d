//! Reads past the page cache where O_DIRECT is refused, and where it is taken and means nothing.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead::io::real::RealStorage;
use bulkhead::io::{Access, Storage};

/// From now on the kernel answers this thread's opens with O_DIRECT as on a filesystem that has none: EINVAL. (A filter of system calls:
/// of the filesystems that every kernel has, none that keeps a page cache refuses it.)
fn refuse_direct_io() {
    refuse(libc::SYS_openat, (2, libc::O_DIRECT), libc::EINVAL);
}

/// From now on the kernel answers this thread's calls with any of the bits in this argument with this error.
fn refuse(call: libc::c_long, (argument, bits): (u32, i32), errno: i32) {
    let jump = (libc::BPF_JMP | libc::BPF_K) as u16;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let ret = (libc::BPF_RET | libc::BPF_K) as u16;
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        line(load, 0, 0, 0),
        line(jump | libc::BPF_JEQ as u16, 0, 3, call as u32),
        line(load, 0, 0, 16 + argument * 8),
        line(jump | libc::BPF_JSET as u16, 0, 1, bits as u32),
        line(ret, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        line(ret, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program outlives the call, which copies it.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) == 0
    };
    assert!(done, "a thread may filter its own system calls: {}", std::io::Error::last_os_error());
}

/// True if the kernel holds the file's first page.
fn is_cached(path: &Path) -> bool {
    let file = std::fs::File::open(path).unwrap();
    let mut buf = [0u8; 512];
    let parts = [libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() }];
    // SAFETY: one buffer of the length that is given.
    match unsafe { libc::preadv2(file.as_raw_fd(), parts.as_ptr(), 1, 0, libc::RWF_NOWAIT) } {
        -1 => {
            let error = std::io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{error}");
            false
        }
        read => read == buf.len() as isize,
    }
}

/// On a disk: a file in memory has no other place.
fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, [7u8; 64 << 10]).unwrap();
    std::fs::File::open(&path).unwrap().sync_all().unwrap();
    (dir, path)
}

#[test]
fn f3_without_direct_io_a_file_opened_for_direct_reads_has_its_clean_pages_dropped() {
    let (dir, path) = file();
    let direct = RealStorage.open_dir(dir.path()).unwrap().open("file", Access::ReadDirect);
    direct.unwrap().read_at(&mut [0; 512], 1).expect_err("a read by O_DIRECT, which needs alignment");
    assert!(is_cached(&path), "who can read past the page cache leaves it alone");
    std::thread::spawn(move || {
        refuse_direct_io();
        let refused = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path);
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EINVAL), "the filter works");
        let dir = RealStorage.open_dir(dir.path()).unwrap();
        dir.open("file", Access::Read).unwrap();
        assert!(is_cached(&path), "other opens leave the page cache alone");
        let opened = dir.open("file", Access::ReadDirect).unwrap();
        assert!(!is_cached(&path), "what is read now must come from the medium");
        let mut found = [0; 512];
        assert_eq!(opened.read_at(&mut found, 0).unwrap(), 512);
        assert_eq!(found, [7; 512]);
        // What nobody has written back yet stays.
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_at(&[8; 4096], 0).unwrap();
        dir.open("file", Access::ReadDirect).unwrap().read_at(&mut found, 0).unwrap();
        assert_eq!(found, [8; 512]);
    })
    .join()
    .unwrap();
}

/// A fresh ext4 on a loop device; `None` without the right to mount one.
pub struct Ext4(pub PathBuf);

impl Ext4 {
    pub fn mount(dir: &Path, feature: &str, options: &str) -> Option<Ext4> {
        let run =
            |program: &str, args: &[&str]| Command::new(program).args(args).output().is_ok_and(|o| o.status.success());
        let (image, at) = (dir.join("image"), dir.join("mounted"));
        std::fs::File::create(&image).unwrap().set_len(128 << 20).unwrap();
        std::fs::create_dir(&at).unwrap();
        let mounted = Ext4(at);
        let (image, at) = (image.to_str().unwrap(), mounted.0.to_str().unwrap());
        assert!(run("/sbin/mkfs.ext4", &["-q", "-F", "-O", feature, image]), "e2fsprogs are there");
        run("mount", &["-o", &format!("loop,{options}"), image, at]).then_some(mounted)
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// There O_DIRECT is taken, and reads are served from the page cache.
#[test]
fn f3_ext4_with_data_journal_counts_as_without_direct_io() {
    for (options, has_direct) in [("data=ordered", true), ("data=journal", false)] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let Some(mounted) = Ext4::mount(dir.path(), "has_journal", options) else {
            assert!(std::env::var_os("CI").is_none(), "no right to mount: in CI a skip is a failure");
            println!("skipped: no right to mount");
            return;
        };
        let (storage, path) = (RealStorage.open_dir(&mounted.0).unwrap(), mounted.0.join("file"));
        let file = storage.create("file", Access::Durable).unwrap();
        assert_eq!(file.writes_are_durable(), has_direct, "{options}");
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_at(&[7; 64 << 10], 0).unwrap();
        file.sync().unwrap();
        std::fs::read(&path).unwrap();
        assert!(is_cached(&path), "{options}");
        storage.open("file", Access::ReadDirect).unwrap();
        assert_eq!(is_cached(&path), has_direct, "{options}: what is read now must come from the medium");
        drop((file, storage));
    }
}

/// Linux 5.5 to 6.0 take O_DIRECT there, write to the page cache, and do not say so: a flush of the disk would make nothing durable.
#[test]
fn f20_an_encrypted_file_shares_no_flush_where_the_kernel_does_not_say_what_o_direct_means() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some(mounted) = Ext4::mount(dir.path(), "encrypt", "test_dummy_encryption") else {
        println!("skipped: no right to mount, or a kernel that has no encryption for tests");
        return;
    };
    std::fs::create_dir(mounted.0.join("encrypted")).unwrap();
    let shares = |dir: PathBuf| {
        let file = RealStorage.open_dir(&dir).unwrap().create("file", Access::Durable).unwrap();
        (file.writes_are_durable(), file.shares_flushes())
    };
    let at = mounted.0.clone();
    let seen = std::thread::spawn(move || {
        // As before Linux 6.1: it would say that this file has no O_DIRECT.
        refuse(libc::SYS_statx, (3, libc::STATX_DIOALIGN as i32), libc::ENOSYS);
        shares(at.join("encrypted"))
    });
    assert_eq!(seen.join().unwrap(), (true, false));
}

/// The same of a filesystem that was mounted so, which no flag of a file says.
#[test]
fn f20_ext4_with_data_journal_shares_no_flush_where_the_kernel_does_not_say_what_o_direct_means() {
    for (options, shares) in [("data=ordered", true), ("data=journal", false)] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let Some(mounted) = Ext4::mount(dir.path(), "has_journal", options) else {
            assert!(std::env::var_os("CI").is_none(), "no right to mount: in CI a skip is a failure");
            println!("skipped: no right to mount");
            return;
        };
        let at = mounted.0.clone();
        let seen = std::thread::spawn(move || {
            refuse(libc::SYS_statx, (3, libc::STATX_DIOALIGN as i32), libc::ENOSYS);
            let file = RealStorage.open_dir(&at).unwrap().create("file", Access::Durable).unwrap();
            (file.writes_are_durable(), file.shares_flushes())
        });
        assert_eq!(seen.join().unwrap(), (true, shares), "{options}");
    }
}
