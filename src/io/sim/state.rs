//! The simulated filesystem: inodes, directory entries with a journal of changes not yet durable, and space.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use super::content::Content;
use super::gate::os;
use super::plan::{hash_name, mix, Fault, OpKind, OpRecord, Rule, Seen};
use super::{SimClock, SimConfig};

pub const ROOT: u64 = 1;
/// Unit of space.
pub const BLOCK: u64 = 4096;
/// Operations that the log remembers, unless told otherwise.
const MAX_LOG: usize = 50_000;

#[derive(Clone)]
pub enum Node {
    File(Content),
    Dir { cached: BTreeMap<String, u64>, durable: BTreeMap<String, u64> },
    Symlink,
}

#[derive(Clone)]
pub struct Inode {
    pub node: Node,
    pub device: u64,
    /// Open handles of this process.
    pub handles: u32,
    /// True while a directory entry in the cache names it.
    pub linked: bool,
    pub blocks: BTreeSet<u64>,
    /// The handle that holds the lock.
    pub locked_by: Option<u64>,
}

/// A change of directory entries that is not durable yet: `(directory, name, inode or none)`, applied all at once.
#[derive(Clone)]
pub struct MetaOp {
    pub changes: Vec<(u64, String, Option<u64>)>,
    pub inode: u64,
    /// A failed directory sync forgot it: no later sync makes it durable, a power cut may.
    pub forgotten: bool,
}

impl MetaOp {
    pub fn touches_dir(&self, dir: u64) -> bool {
        self.changes.iter().any(|c| c.0 == dir)
    }

    /// True if this one makes no sense without `earlier`.
    pub fn depends_on(&self, earlier: &MetaOp) -> bool {
        let same_name = |a: &(u64, String, Option<u64>)| earlier.changes.iter().any(|b| a.0 == b.0 && a.1 == b.1);
        self.inode == earlier.inode || self.changes.iter().any(same_name)
    }
}

#[derive(Clone)]
pub struct State {
    pub config: SimConfig,
    pub seed: u64,
    pub inodes: BTreeMap<u64, Inode>,
    pub next_inode: u64,
    pub next_handle: u64,
    pub pending: Vec<MetaOp>,
    pub capacity_blocks: u64,
    pub used_blocks: u64,
    pub ops: u64,
    pub counts: [u64; OpKind::ALL.len()],
    per_path: BTreeMap<u64, u64>,
    pub rules: Vec<Rule>,
    /// How often those have hit that are forgotten.
    pub fired_before: u64,
    /// Lies that were told.
    pub lies: u64,
    /// Reads that a rule met.
    pub failed_reads: u64,
    pub seen: Seen,
    pub log: VecDeque<OpRecord>,
    /// The operation at which the power goes.
    pub crash_at: Option<u64>,
    pub paused: bool,
    /// After a crash: every operation through the old handles fails with EIO and changes nothing.
    pub dead: bool,
    pub hung: u64,
    pub releases: u64,
    pub crashes: u64,
    pub clock: Arc<SimClock>,
    pub delays_are_real: bool,
    pub hook: Option<fn()>,
    pub max_log: usize,
}

impl State {
    pub fn new(seed: u64, config: SimConfig) -> State {
        let mut state = State {
            config,
            seed,
            inodes: BTreeMap::new(),
            next_inode: ROOT,
            next_handle: 1,
            pending: Vec::new(),
            capacity_blocks: u64::MAX,
            used_blocks: 0,
            ops: 0,
            counts: Default::default(),
            per_path: BTreeMap::new(),
            rules: Vec::new(),
            fired_before: 0,
            lies: 0,
            failed_reads: 0,
            seen: Seen::new(),
            log: VecDeque::new(),
            crash_at: None,
            paused: false,
            dead: false,
            hung: 0,
            releases: 0,
            crashes: 0,
            clock: Arc::default(),
            delays_are_real: true,
            hook: None,
            max_log: MAX_LOG,
        };
        let root = state.add_inode(Node::Dir { cached: BTreeMap::new(), durable: BTreeMap::new() }, 1);
        debug_assert_eq!(root, ROOT);
        state
    }

    pub fn number(&mut self, kind: OpKind, path: &str, offset: u64, len: u64) -> (Option<Fault>, bool, u64) {
        self.ops += 1;
        let number = self.ops;
        self.counts[kind as usize] += 1;
        let name = hash_name(path);
        let nth = self.per_path.entry(name).or_default();
        *nth += 1;
        let key = mix(&[self.seed, name, kind as u64, *nth]);
        let active = !self.paused;
        let crashed = active && self.crash_at.is_some_and(|at| number >= at);
        let hit = self.rules.iter_mut().find_map(|r| (active && r.matches(number, kind, path)).then_some(&*r));
        if let Some(rule) = hit.filter(|_| !crashed) {
            self.lies += u64::from(rule.fault.is_lie());
            self.failed_reads += u64::from(kind == OpKind::Read);
            self.seen.extend([(rule.fault.name(), rule.how_often()), ("a fault on", kind.name())]);
        }
        let fault = hit.map(|r| r.fault.clone());
        if crashed {
            self.seen.insert(("power cut in the middle of", kind.name()));
        }
        let injected = match (&fault, crashed) {
            _ if self.max_log == 0 => String::new(),
            (_, true) => "crash".to_string(),
            (Some(f), _) => format!("{f:?}"),
            (None, _) => String::new(),
        };
        if self.max_log == 0 {
            return (fault, crashed, key);
        }
        if self.log.len() >= self.max_log {
            self.log.pop_front();
        }
        self.log.push_back(OpRecord { number, kind, path: path.to_string(), offset, len, injected });
        (fault, crashed, key)
    }

    /// A rule hangs operations, or holds them up in real time.
    pub fn may_hang(&self) -> bool {
        let hangs =
            |fault: &Fault| matches!(fault, Fault::Hang) || matches!(fault, Fault::Delay(_)) && self.delays_are_real;
        self.rules.iter().any(|r| hangs(&r.fault))
    }

    pub fn add_inode(&mut self, node: Node, device: u64) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes
            .insert(number, Inode { node, device, handles: 0, linked: true, blocks: BTreeSet::new(), locked_by: None });
        self.used_blocks += 1;
        number
    }

    pub fn entries(&self, dir: u64) -> io::Result<&BTreeMap<String, u64>> {
        match self.inodes.get(&dir).map(|i| &i.node) {
            Some(Node::Dir { cached, .. }) => Ok(cached),
            Some(Node::Symlink) => Err(os(libc::ELOOP)),
            Some(Node::File(_)) => Err(os(libc::ENOTDIR)),
            None => Err(os(libc::ENOENT)),
        }
    }

    /// Follows a path from a directory; the last component may be a link or a file, those before may not.
    pub fn walk(&self, from: u64, path: &str) -> io::Result<u64> {
        let mut at = from;
        for name in path.split('/').filter(|n| !n.is_empty() && *n != ".") {
            at = *self.entries(at)?.get(name).ok_or_else(|| os(libc::ENOENT))?;
        }
        Ok(at)
    }

    /// The directory that a path lies in, and its last component.
    pub fn parent(&self, from: u64, path: &str) -> io::Result<(u64, String)> {
        let path = path.trim_end_matches('/');
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.walk(from, dir)?;
        if dir != ROOT && !self.inodes[&dir].linked {
            return Err(os(libc::ENOENT));
        }
        self.entries(dir)?;
        Ok((dir, name.to_string()))
    }

    pub fn content(&mut self, inode: u64) -> &mut Content {
        match self.inodes.get_mut(&inode).map(|i| &mut i.node) {
            Some(Node::File(content)) => content,
            _ => unreachable!("a file handle's inode is a file and lives as long as the handle"),
        }
    }

    /// Changes directory entries in the cache and queues the change for the medium.
    pub fn change(&mut self, changes: Vec<(u64, String, Option<u64>)>, inode: u64) {
        for (dir, name, to) in &changes {
            let Some(Inode { node: Node::Dir { cached, .. }, .. }) = self.inodes.get_mut(dir) else { continue };
            let before = match to {
                Some(inode) => cached.insert(name.clone(), *inode),
                None => cached.remove(name),
            };
            let renamed = |b: &u64| *b == inode || changes.iter().any(|c| c.2 == Some(*b));
            if let Some(old) = before.filter(|b| !renamed(b)) {
                self.unlinked(old);
            }
        }
        let still_named = changes.iter().any(|c| c.2 == Some(inode));
        if !still_named {
            self.unlinked(inode);
        }
        self.pending.push(MetaOp { changes, inode, forgotten: false });
    }

    fn unlinked(&mut self, number: u64) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.linked = false;
        }
        self.release_space(number);
    }

    /// Gives an unlinked inode's space back once nobody holds it open.
    pub fn release_space(&mut self, number: u64) {
        if let Some(inode) = self.inodes.get_mut(&number).filter(|i| !i.linked && i.handles == 0) {
            let blocks = std::mem::take(&mut inode.blocks).len() as u64 + 1;
            self.used_blocks = self.used_blocks.saturating_sub(blocks);
        }
    }

    pub fn free_blocks(&self) -> u64 {
        self.capacity_blocks.saturating_sub(self.used_blocks)
    }

    pub fn no_space(&mut self) -> io::Error {
        self.seen.insert(("full disk", "met"));
        os(self.config.full_errno)
    }

    /// Takes space for `len` bytes at `offset`; returns how many of them have it.
    pub fn take_space(&mut self, inode: u64, offset: u64, len: u64) -> u64 {
        let mut free = self.free_blocks();
        let Some(node) = self.inodes.get_mut(&inode) else { return 0 };
        for block in offset / BLOCK..(offset + len).div_ceil(BLOCK) {
            if node.blocks.contains(&block) {
                continue;
            }
            if free == 0 {
                return (block * BLOCK).saturating_sub(offset);
            }
            node.blocks.insert(block);
            free -= 1;
            self.used_blocks += 1;
        }
        len
    }

    /// Makes the entries of a directory durable, as far as its filesystem does that: see `SimConfig::journalled`.
    pub fn commit_dir(&mut self, dir: u64) {
        let mut chosen = vec![false; self.pending.len()];
        if let Some(last) = self.pending.iter().rposition(|op| op.touches_dir(dir)) {
            for i in (0..=last).rev() {
                let wanted = self.config.journalled || self.pending[i].touches_dir(dir);
                let needed =
                    (i + 1..=last).any(|later| chosen[later] && self.pending[later].depends_on(&self.pending[i]));
                chosen[i] = (wanted || needed) && !self.pending[i].forgotten;
            }
        }
        let mut ops = std::mem::take(&mut self.pending);
        // What becomes durable of a name ends what was forgotten of it earlier.
        for i in 0..ops.len() {
            let later: Vec<(u64, String)> = (i + 1..ops.len())
                .filter(|later| ops[i].forgotten && chosen[*later])
                .flat_map(|later| ops[later].changes.iter().map(|c| (c.0, c.1.clone())))
                .collect();
            ops[i].changes.retain(|c| !later.contains(&(c.0, c.1.clone())));
        }
        let mut removed = false;
        for (op, commit) in ops.into_iter().zip(chosen) {
            if commit {
                removed |= op.changes.iter().any(|c| c.2.is_none()) || op.changes.len() > 1;
                self.apply_durable(&op);
            } else {
                self.pending.push(op);
            }
        }
        if removed {
            self.forget_inodes();
        }
    }

    pub fn apply_durable(&mut self, op: &MetaOp) {
        for (dir, name, to) in &op.changes {
            if let Some(Inode { node: Node::Dir { durable, .. }, .. }) = self.inodes.get_mut(dir) {
                match to {
                    Some(inode) => durable.insert(name.clone(), *inode),
                    None => durable.remove(name),
                };
            }
        }
    }

    /// A failed directory sync: what it was to make durable is left to chance.
    pub fn forget_dir(&mut self, dir: u64) {
        for op in self.pending.iter_mut().filter(|op| op.touches_dir(dir)) {
            op.forgotten = true;
        }
    }

    /// Drops inodes that nothing can reach any more.
    pub fn forget_inodes(&mut self) {
        let mut used: BTreeSet<u64> =
            self.pending.iter().flat_map(|op| op.changes.iter().filter_map(|c| c.2).chain([op.inode])).collect();
        used.insert(ROOT);
        for inode in self.inodes.values() {
            if let Node::Dir { cached, durable } = &inode.node {
                used.extend(cached.values().chain(durable.values()));
            }
        }
        self.inodes.retain(|number, inode| used.contains(number) || inode.handles > 0);
    }
}
