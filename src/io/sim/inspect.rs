//! Looking at the disk and tampering with it, from outside: nothing here is an operation, nothing is counted, faults do not apply.
//! Changes are made in the cache and on the medium alike, unless said otherwise. Unknown paths panic: the test is wrong then.

use std::collections::BTreeMap;

use super::content::{sectors, Content};
use super::plan::{OpKind, OpRecord, Seen};
use super::state::{Inode, Node, State, ROOT};
use super::SimDisk;

impl SimDisk {
    /// Paths of all files and links below `dir`, sorted.
    pub fn files(&self, dir: &str) -> Vec<String> {
        let state = self.shared.state.lock();
        let prefix = if dir == "/" { "/".to_string() } else { format!("{dir}/") };
        let is_dir = |n: &u64| matches!(state.inodes[n].node, Node::Dir { .. });
        let mut all: Vec<String> =
            state.paths().into_iter().filter(|(p, n)| p.starts_with(&prefix) && !is_dir(n)).map(|p| p.0).collect();
        all.sort();
        all
    }

    pub fn exists(&self, path: &str) -> bool {
        self.shared.state.lock().walk(ROOT, path).is_ok()
    }

    /// What the medium holds.
    pub fn durable_bytes(&self, path: &str) -> Vec<u8> {
        self.with_file(path, |c| c.durable.to_vec())
    }

    /// What the page cache shows.
    pub fn cached_bytes(&self, path: &str) -> Vec<u8> {
        self.with_file(path, |c| c.cached.to_vec())
    }

    /// True if something of the file is not synced.
    pub fn is_dirty(&self, path: &str) -> bool {
        self.with_file(path, |c| c.is_dirty())
    }

    pub fn flip_bit(&self, path: &str, byte: u64, bit: u8) {
        self.with_file(path, |c| {
            for side in [&mut c.durable, &mut c.cached] {
                let mut one = [0];
                if side.read(byte, &mut one) == 1 {
                    side.write(byte, &[one[0] ^ 1 << bit]);
                }
            }
        });
    }

    pub fn overwrite(&self, path: &str, offset: u64, bytes: &[u8]) {
        self.with_file(path, |c| {
            c.durable.write(offset, bytes);
            c.cached.write(offset, bytes);
            sectors(offset, bytes.len()).for_each(|s| _ = c.unreadable.remove(&s));
        });
    }

    /// Cuts a file, or grows it with zeros.
    pub fn set_len(&self, path: &str, len: u64) {
        self.with_file(path, |c| {
            c.durable.cut(len);
            c.cached.cut(len);
        });
    }

    /// The sectors of this range give EIO when read, until they are written again.
    pub fn make_unreadable(&self, path: &str, offset: u64, len: usize) {
        self.with_file(path, |c| c.unreadable.extend(sectors(offset, len)));
    }

    /// The sectors of this range cannot be written: a durable write or a sync that meets one gives EIO.
    pub fn make_unwritable(&self, path: &str, offset: u64, len: usize) {
        self.with_file(path, |c| c.unwritable.extend(sectors(offset, len)));
    }

    /// Makes everything durable, as `sync(2)` with a long wait.
    pub fn sync_all(&self) {
        let mut state = self.shared.state.lock();
        for op in std::mem::take(&mut state.pending) {
            state.apply_durable(&op);
        }
        for inode in state.inodes.values_mut() {
            if let Node::File(content) = &mut inode.node {
                content.flush();
            }
        }
    }

    /// Memory pressure: clean pages go, reads see the medium.
    pub fn drop_caches(&self) {
        for inode in self.shared.state.lock().inodes.values_mut() {
            if let Node::File(content) = &mut inode.node {
                content.drop_caches();
            }
        }
    }

    /// Creates a file with these bytes, or replaces one.
    pub fn put_file(&self, path: &str, bytes: &[u8]) {
        let mut content = Content::default();
        content.write_cached(0, bytes);
        content.flush();
        self.put(path, Node::File(content));
    }

    /// Creates a directory and the missing ones above it.
    pub fn make_dirs(&self, path: &str) {
        let mut at = String::new();
        for name in path.split('/').filter(|n| !n.is_empty()) {
            at = format!("{at}/{name}");
            if !self.exists(&at) {
                self.put(&at, Node::Dir { cached: BTreeMap::new(), durable: BTreeMap::new() });
            }
        }
    }

    pub fn put_symlink(&self, path: &str) {
        self.put(path, Node::Symlink);
    }

    /// Removes a file, a link, or a directory with everything in it.
    pub fn remove(&self, path: &str) {
        let mut state = self.shared.state.lock();
        let inode = state.must_walk(path);
        state.set_entry(path, None);
        if let Some(node) = state.inodes.get_mut(&inode) {
            node.linked = false;
        }
        state.release_space(inode);
    }

    /// Renames a file or a directory; what has it open keeps it.
    pub fn rename(&self, from: &str, to: &str) {
        let mut state = self.shared.state.lock();
        let inode = state.must_walk(from);
        state.set_entry(from, None);
        state.set_entry(to, Some(inode));
    }

    /// Exchanges the contents of two files, as a disk that mixes up two writes does.
    pub fn swap(&self, a: &str, b: &str) {
        let mut state = self.shared.state.lock();
        let (a, b) = (state.must_walk(a), state.must_walk(b));
        let first = std::mem::take(state.content(a));
        let second = std::mem::replace(state.content(b), first);
        *state.content(a) = second;
    }

    /// Copies a directory and all in it to a path that is free, as `cp -r` does.
    pub fn copy_dir(&self, from: &str, to: &str) {
        let tree: Vec<(String, Node)> = {
            let state = self.shared.state.lock();
            let below = format!("{from}/");
            state
                .paths()
                .into_iter()
                .filter(|p| p.0.starts_with(&below))
                .map(|(p, n)| (p, state.inodes[&n].node.clone()))
                .collect()
        };
        self.make_dirs(to);
        for (path, node) in tree {
            let target = format!("{to}{}", &path[from.len()..]);
            match node {
                Node::Dir { .. } => self.make_dirs(&target),
                Node::File(content) => self.put_file(&target, &content.cached.to_vec()),
                Node::Symlink => self.put_symlink(&target),
            }
        }
    }

    /// Puts a directory, and what will be made in it, on another device.
    pub fn set_device(&self, path: &str, device: u64) {
        let mut state = self.shared.state.lock();
        let inode = state.must_walk(path);
        if let Some(node) = state.inodes.get_mut(&inode) {
            node.device = device;
        }
    }

    /// Operations so far; the next one has this number plus one.
    pub fn ops(&self) -> u64 {
        self.shared.state.lock().ops
    }

    pub fn count(&self, kind: OpKind) -> u64 {
        self.shared.state.lock().counts[kind as usize]
    }

    /// Lies that faults told so far.
    pub fn lies(&self) -> u64 {
        self.shared.state.lock().lies
    }

    /// How many reads a rule has met so far.
    pub fn failed_reads(&self) -> u64 {
        self.shared.state.lock().failed_reads
    }

    /// What went wrong so far, on the disks before a crash as well.
    pub fn seen(&self) -> Seen {
        self.shared.state.lock().seen.clone()
    }

    /// How many operations the log remembers from now on; 50,000 at first.
    pub fn keep_log(&self, operations: usize) {
        self.shared.state.lock().max_log = operations;
    }

    /// The last operations, oldest first.
    pub fn log(&self) -> Vec<OpRecord> {
        self.shared.state.lock().log.iter().cloned().collect()
    }

    /// Open files and directories of this run.
    pub fn open_handles(&self) -> u64 {
        self.shared.state.lock().inodes.values().map(|i| i.handles as u64).sum()
    }

    fn with_file<T>(&self, path: &str, f: impl FnOnce(&mut Content) -> T) -> T {
        let mut state = self.shared.state.lock();
        let inode = state.must_walk(path);
        f(state.content(inode))
    }

    fn put(&self, path: &str, node: Node) {
        let mut state = self.shared.state.lock();
        let Ok((parent, _)) = state.parent(ROOT, path) else { panic!("no directory for {path}") };
        let device = state.inodes[&parent].device;
        let blocks = if let Node::File(content) = &node { content.cached.len.div_ceil(super::state::BLOCK) } else { 0 };
        let inode = state.add_inode(node, device);
        if let Some(added) = state.inodes.get_mut(&inode) {
            added.blocks.extend(0..blocks);
        }
        state.used_blocks += blocks;
        state.set_entry(path, Some(inode));
    }
}

impl State {
    /// All paths with their inodes, parents before children.
    pub fn paths(&self) -> Vec<(String, u64)> {
        let mut found: Vec<(String, u64)> = vec![(String::new(), ROOT)];
        let mut next = 0;
        while next < found.len() {
            let (path, number) = found[next].clone();
            next += 1;
            if let Some(Inode { node: Node::Dir { cached, .. }, .. }) = self.inodes.get(&number) {
                found.extend(cached.iter().map(|(name, inode)| (format!("{path}/{name}"), *inode)));
            }
        }
        found.split_off(1)
    }

    fn must_walk(&self, path: &str) -> u64 {
        self.walk(ROOT, path).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Sets or removes an entry in the cache and on the medium.
    fn set_entry(&mut self, path: &str, to: Option<u64>) {
        let (parent, name) = self.parent(ROOT, path).unwrap_or_else(|e| panic!("{path}: {e}"));
        if let Some(Inode { node: Node::Dir { cached, durable }, .. }) = self.inodes.get_mut(&parent) {
            for side in [cached, durable] {
                match to {
                    Some(inode) => side.insert(name.clone(), inode),
                    None => side.remove(&name),
                };
            }
        }
    }
}
