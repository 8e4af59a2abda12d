//! Where a directory's filesystem is mounted: what operators call a disk.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The highest directory above `path` on the same device; `path` itself where that cannot be told.
pub fn mount_point(path: &Path) -> PathBuf {
    let found = path.canonicalize().and_then(|path| {
        let device = path.metadata()?.dev();
        let same = |p: &&Path| p.metadata().is_ok_and(|m| m.dev() == device);
        Ok(path.ancestors().take_while(same).last().unwrap_or(&path).to_path_buf())
    });
    found.unwrap_or_else(|_| path.to_path_buf())
}

/// False for an ext4 without a journal, true for another one and where that cannot be told.
pub fn has_journal(device: u64) -> bool {
    ext4_options(device).map_or(true, |options| lists_journal(&options))
}

/// True for an ext4 whose data goes to its journal, and where that cannot be told.
pub(super) fn journals_data(device: u64) -> bool {
    ext4_options(device).map_or(true, |options| options.lines().any(|option| option == "data=journal"))
}

/// What is in force for an ext4: the options of the mount and those of its superblock (Linux 3.4), among them how it uses a journal if it has one.
fn ext4_options(device: u64) -> Option<String> {
    let link = format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device));
    let name = std::fs::read_link(link).ok()?.file_name()?.to_owned();
    std::fs::read_to_string(Path::new("/proc/fs/ext4").join(name).join("options")).ok()
}

fn lists_journal(options: &str) -> bool {
    options.lines().any(|option| option.starts_with("data="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ext4_with_a_journal_says_how_it_uses_it() {
        // Linux 6.18, mkfs.ext4 with its defaults and with -O ^has_journal.
        assert!(lists_journal("rw\nbsddf\nbarrier\ndata=ordered\nmax_dir_size_kb=0\n"));
        assert!(!lists_journal("rw\nbsddf\nnojournal_checksum\nbarrier\nmax_dir_size_kb=0\n"));
        assert!(has_journal(0), "no such device: nothing is known");
    }

    #[test]
    fn the_mount_point_is_the_highest_directory_of_the_device() {
        assert_eq!(mount_point(Path::new("/proc/self/fd")), Path::new("/proc"));
        assert_eq!(mount_point(Path::new("/")), Path::new("/"));
        assert_eq!(mount_point(Path::new("/does/not/exist")), Path::new("/does/not/exist"));
    }
}
