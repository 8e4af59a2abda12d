//! Names in a conversion's directories: what they are, how they move and go.

use crate::error::{Error, Op, Result, Status};
use crate::io::{Access, Dir};
use crate::segment::remove_if_there;
use std::io;
use std::sync::Arc;

pub fn fail<'e>(what: &'e str) -> impl Fn(io::Error) -> Error + 'e {
    move |e| match e.raw_os_error() {
        Some(libc::EINVAL) if what.starts_with("exchanging") => Error::new(
            Status::UnsupportedFilesystem,
            Op::Import,
            "the filesystem cannot exchange two names in one step (renameat2); ext4, xfs and btrfs can",
        ),
        _ => Error::io(Op::Import, &e, what),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Missing,
    File,
    Dir,
}

/// META may be exchanged between two looks at it: then it is looked at once more.
pub fn kind(dir: &dyn Dir, name: &str) -> Result<Kind> {
    let neither = || Error::new(Status::Foreign, Op::Import, format!("`{name}` is neither a file nor a directory"));
    match kind_at_once(dir, name)? {
        Some(kind) => Ok(kind),
        None => kind_at_once(dir, name)?.ok_or_else(neither),
    }
}

/// `None` for what is no file at one look and no directory at the next.
fn kind_at_once(dir: &dyn Dir, name: &str) -> Result<Option<Kind>> {
    match dir.open(name, Access::Read) {
        Ok(_) => Ok(Some(Kind::File)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Some(Kind::Missing)),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => match dir.subdir(name) {
            Ok(_) => Ok(Some(Kind::Dir)),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTDIR | libc::ENOENT)) => Ok(None),
            Err(e) => Err(Error::io(Op::Import, &e, &format!("opening {name}"))),
        },
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => {
            Err(Error::new(Status::Symlink, Op::Import, format!("`{name}` is a symbolic link")))
        }
        Err(e) => Err(Error::io(Op::Import, &e, &format!("opening {name}"))),
    }
}

pub fn is_file(dir: &dyn Dir, sub: &str, name: &str) -> Result<bool> {
    match dir.subdir(sub) {
        Ok(sub) => Ok(kind(&*sub, name)? == Kind::File),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(Op::Import, &e, &format!("opening {sub}"))),
    }
}

/// Opens a subdirectory, which is made if it is missing.
pub fn make_dir(dir: &dyn Dir, name: &str) -> Result<Arc<dyn Dir>> {
    match dir.mkdir(name) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(fail(&format!("creating {name}"))(e)),
        _ => {}
    }
    dir.subdir(name).map_err(fail(&format!("opening {name}")))
}

pub fn sync(dir: &dyn Dir) -> Result<()> {
    dir.sync().map_err(fail("syncing a directory"))
}

/// Moves names from one place in `dir` to another; a place is a subdirectory's name with a slash, or nothing.
pub fn move_all(dir: &dyn Dir, from: &str, to: &str, which: fn(&str) -> bool) -> Result<()> {
    let names = match from.strip_suffix('/') {
        Some(sub) => dir.subdir(sub).and_then(|sub| sub.list()),
        None => dir.list(),
    };
    let mut names = names.map_err(fail("listing a directory"))?;
    names.retain(|n| which(n));
    names.sort();
    for name in names {
        dir.rename(&format!("{from}{name}"), &format!("{to}{name}")).map_err(fail("moving a file"))?;
    }
    Ok(())
}

/// Moves from a subdirectory what its parent lacks. The subdirectory need not be there; its parent is the caller's to sync.
pub fn move_missing(dir: &dyn Dir, sub: &str, which: fn(&str) -> bool) -> Result<()> {
    let from = match dir.subdir(sub) {
        Ok(from) => from,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(fail(&format!("opening {sub}"))(e)),
    };
    for name in from.list().map_err(fail(&format!("listing {sub}")))?.into_iter().filter(|name| which(name)) {
        if kind(dir, &name)? == Kind::Missing {
            dir.rename(&format!("{sub}/{name}"), &name).map_err(fail("moving a file"))?;
        }
    }
    sync(&*from)
}

/// Removes a subdirectory with what is in it, `first` before the rest. Nothing happens if there is none.
pub fn remove_tree_first(dir: &dyn Dir, name: &str, first: &str) -> Result<()> {
    match dir.subdir(name) {
        Ok(sub) => {
            match remove_if_there(&*sub, first) {
                Err(e) if is_directory(&e) => drop(remove_unsynced(&*sub, first)?),
                other => other.map_err(fail("removing a file"))?,
            }
            sync(&*sub)?;
            remove_tree(dir, name)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fail("opening a directory")(e)),
    }
}

pub fn remove_tree(dir: &dyn Dir, name: &str) -> Result<()> {
    remove_trees(dir, &[name])
}

/// What it removes stays removed.
pub fn remove_trees(dir: &dyn Dir, names: &[&str]) -> Result<()> {
    let removed = names.iter().try_fold(false, |any, name| Ok(remove_unsynced(dir, name)? || any))?;
    if removed {
        sync(dir)?;
    }
    Ok(())
}

/// False if there was nothing.
fn remove_unsynced(dir: &dyn Dir, name: &str) -> Result<bool> {
    let sub = match dir.subdir(name) {
        Ok(sub) => sub,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(fail(&format!("opening {name}"))(e)),
    };
    for entry in sub.list().map_err(fail(&format!("listing {name}")))? {
        match sub.unlink(&entry) {
            Err(e) if is_directory(&e) => {
                remove_unsynced(&*sub, &entry)?;
            }
            other => other.map_err(fail(&format!("removing {name}/{entry}")))?,
        }
    }
    dir.remove_dir(name).map_err(fail(&format!("removing {name}")))?;
    Ok(true)
}

/// What `unlink` says of one.
fn is_directory(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EISDIR | libc::EPERM))
}
