//! An open directory of the simulated disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::content::Content;
use super::file::SimFile;
use super::gate::{os, Effect, Handle, Shared, Verdict};
use super::plan::OpKind;
use super::state::{Node, State, ROOT};
use crate::io::{Access, DeviceInfo, Dir, File};

/// How the operations' log calls a file that has no name.
pub(super) const UNNAMED: &str = "(unnamed)";

pub struct SimDir {
    pub handle: Handle,
}

impl SimDir {
    fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.handle.path)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    fn file(&self, state: &mut State, inode: u64, name: &str, access: Access) -> Arc<dyn File> {
        let (direct, align) = (state.config.direct_io, state.config.block_bytes as usize);
        let handle = Handle::new(self.shared(), state, inode, self.path_of(name));
        Arc::new(SimFile { handle, access, direct, align })
    }
}

/// Adds an inode under a name that is free, if there is space for one.
fn add(state: &mut State, dir: u64, name: &str, node: Node) -> io::Result<u64> {
    let (parent, name) = state.parent(dir, name)?;
    if state.entries(parent)?.contains_key(&name) {
        return Err(os(libc::EEXIST));
    }
    if state.free_blocks() == 0 {
        return Err(state.no_space());
    }
    let device = state.inodes[&parent].device;
    let inode = state.add_inode(node, device);
    state.change(vec![(parent, name, Some(inode))], inode);
    Ok(inode)
}

fn new_dir() -> Node {
    Node::Dir { cached: BTreeMap::new(), durable: BTreeMap::new() }
}

/// `Storage::create_dir`.
pub fn create_dir(shared: &Shared, path: &str) -> io::Result<()> {
    let (mut state, verdict) = shared.begin(OpKind::CreateDir, path, 0, 0)?;
    if verdict.happens() {
        add(&mut state, ROOT, path, new_dir())?;
    }
    verdict.result(())
}

/// `Storage::remove_dir`, and that of a directory, which knows it as `full`.
pub fn remove_dir(shared: &Shared, from: u64, name: &str, full: &str) -> io::Result<()> {
    let (mut state, verdict) = shared.begin(OpKind::Unlink, full, 0, 0)?;
    let inode = state.walk(from, name)?;
    if !state.entries(inode)?.is_empty() {
        return Err(os(libc::ENOTEMPTY));
    }
    if verdict.happens() {
        let (dir, name) = state.parent(from, name)?;
        state.change(vec![(dir, name, None)], inode);
    }
    verdict.result(())
}

/// `Storage::sync_parent`.
pub fn sync_parent(shared: &Shared, path: &str) -> io::Result<()> {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let (mut state, verdict) = shared.begin(OpKind::SyncDir, if parent.is_empty() { "/" } else { parent }, 0, 0)?;
    let inode = state.parent(ROOT, path)?.0;
    sync_dir(&mut state, &verdict, inode);
    verdict.result(())
}

fn sync_dir(state: &mut State, verdict: &Verdict, inode: u64) {
    let full = !matches!(verdict.effect, Effect::Part | Effect::Nothing | Effect::Lost);
    if full || (verdict.crashed && verdict.happens()) {
        state.commit_dir(inode);
    } else if !verdict.crashed && state.config.failed_dir_syncs_forget {
        state.forget_dir(inode);
    }
}

/// `Storage::open_dir`.
pub fn open_dir(shared: &Arc<Shared>, from: u64, path: &str, full: String, kind: OpKind) -> io::Result<Arc<dyn Dir>> {
    let (mut state, verdict) = shared.begin(kind, &full, 0, 0)?;
    verdict.result(())?;
    let inode = state.walk(from, path)?;
    state.entries(inode)?;
    Ok(Arc::new(SimDir { handle: Handle::new(shared, &mut state, inode, full) }))
}

impl Dir for SimDir {
    fn create(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let (mut state, verdict) = self.shared().begin(OpKind::Create, &self.path_of(name), 0, 0)?;
        if !verdict.happens() {
            return Err(os(verdict.errno.unwrap_or(libc::EIO)));
        }
        let inode = add(&mut state, self.handle.inode, name, Node::File(Content::default()))?;
        verdict.result(())?;
        Ok(self.file(&mut state, inode, name, access))
    }

    fn create_unnamed(&self, access: Access) -> io::Result<Arc<dyn File>> {
        let (mut state, verdict) = self.shared().begin(OpKind::Create, &self.path_of(UNNAMED), 0, 0)?;
        verdict.result(())?;
        if state.free_blocks() == 0 {
            return Err(state.no_space());
        }
        let device = state.inodes[&self.handle.inode].device;
        let inode = state.add_inode(Node::File(Content::default()), device);
        let file = self.file(&mut state, inode, UNNAMED, access);
        if let Some(node) = state.inodes.get_mut(&inode) {
            node.linked = false;
        }
        Ok(file)
    }

    fn link(&self, file: &dyn File, name: &str) -> io::Result<()> {
        let (mut state, verdict) = self.shared().begin(OpKind::Link, &self.path_of(name), 0, 0)?;
        let (parent, name) = state.parent(self.handle.inode, name)?;
        if state.entries(parent)?.contains_key(&name) {
            return Err(os(libc::EEXIST));
        }
        if verdict.happens() {
            state.change(vec![(parent, name, Some(file.id()))], file.id());
            if let Some(node) = state.inodes.get_mut(&file.id()) {
                node.linked = true;
            }
        }
        verdict.result(())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn File>> {
        let (mut state, verdict) = self.shared().begin(OpKind::Open, &self.path_of(name), 0, 0)?;
        verdict.result(())?;
        let inode = state.walk(self.handle.inode, name)?;
        match state.inodes[&inode].node {
            Node::Dir { .. } => Err(os(libc::EINVAL)),
            Node::Symlink => Err(os(libc::ELOOP)),
            Node::File(_) => Ok(self.file(&mut state, inode, name, access)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut state, verdict) = self.shared().begin(OpKind::Rename, &self.path_of(from), 0, 0)?;
        let dir = self.handle.inode;
        let inode = state.walk(dir, from)?;
        let (from_dir, from) = state.parent(dir, from)?;
        let (to_dir, to) = state.parent(dir, to)?;
        let over = state.entries(to_dir)?.get(&to).map(|n| &state.inodes[n].node);
        if let Some(Node::Dir { cached, .. }) = over {
            return Err(os(if cached.is_empty() { libc::EISDIR } else { libc::ENOTEMPTY }));
        }
        if verdict.happens() && (from_dir, &from) != (to_dir, &to) {
            state.change(vec![(from_dir, from, None), (to_dir, to, Some(inode))], inode);
        }
        verdict.result(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let (mut state, verdict) = self.shared().begin(OpKind::Unlink, &self.path_of(name), 0, 0)?;
        let inode = state.walk(self.handle.inode, name)?;
        if matches!(state.inodes[&inode].node, Node::Dir { .. }) {
            return Err(os(libc::EISDIR));
        }
        if verdict.happens() {
            let (dir, name) = state.parent(self.handle.inode, name)?;
            state.change(vec![(dir, name, None)], inode);
        }
        verdict.result(())
    }

    fn exchange(&self, a: &str, b: &str) -> io::Result<()> {
        let (mut state, verdict) = self.shared().begin(OpKind::Rename, &self.path_of(a), 0, 0)?;
        let dir = self.handle.inode;
        let (one, other) = (state.walk(dir, a)?, state.walk(dir, b)?);
        let (a_dir, a) = state.parent(dir, a)?;
        let (b_dir, b) = state.parent(dir, b)?;
        if verdict.happens() {
            state.change(vec![(a_dir, a, Some(other)), (b_dir, b, Some(one))], one);
        }
        verdict.result(())
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        remove_dir(self.shared(), self.handle.inode, name, &self.path_of(name))
    }

    fn mkdir(&self, name: &str) -> io::Result<()> {
        let (mut state, verdict) = self.shared().begin(OpKind::Mkdir, &self.path_of(name), 0, 0)?;
        if verdict.happens() {
            add(&mut state, self.handle.inode, name, new_dir())?;
        }
        verdict.result(())
    }

    fn subdir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        open_dir(self.shared(), self.handle.inode, name, self.path_of(name), OpKind::Subdir)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let (state, verdict) = self.shared().begin(OpKind::List, &self.handle.path, 0, 0)?;
        let mut names: Vec<String> = state.entries(self.handle.inode)?.keys().cloned().collect();
        if verdict.key & 1 == 1 {
            names.reverse(); // no order is promised
        }
        verdict.result(names)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, verdict) = self.shared().begin(OpKind::SyncDir, &self.handle.path, 0, 0)?;
        sync_dir(&mut state, &verdict, self.handle.inode);
        verdict.result(())
    }

    fn lock(&self) -> io::Result<()> {
        let (mut state, verdict) = self.shared().begin(OpKind::Lock, &self.handle.path, 0, 0)?;
        verdict.result(())?;
        let Some(inode) = state.inodes.get_mut(&self.handle.inode) else { return Err(os(libc::ENOENT)) };
        match inode.locked_by {
            Some(holder) if holder != self.handle.id => Err(os(libc::EWOULDBLOCK)),
            _ => {
                inode.locked_by = Some(self.handle.id);
                Ok(())
            }
        }
    }

    fn device(&self) -> DeviceInfo {
        let state = self.shared().state.lock();
        let id = state.inodes.get(&self.handle.inode).map_or(0, |i| i.device);
        DeviceInfo {
            id,
            inode: self.handle.inode,
            block_bytes: state.config.block_bytes,
            filesystem: state.config.filesystem,
        }
    }
}
