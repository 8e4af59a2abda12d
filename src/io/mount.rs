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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_point_is_the_highest_directory_of_the_device() {
        assert_eq!(mount_point(Path::new("/proc/self/fd")), Path::new("/proc"));
        assert_eq!(mount_point(Path::new("/")), Path::new("/"));
        assert_eq!(mount_point(Path::new("/does/not/exist")), Path::new("/does/not/exist"));
    }
}
