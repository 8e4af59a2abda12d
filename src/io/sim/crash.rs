//! Crashes: what a killed process or a power cut leaves for the next start.

use super::gate::Shared;
use super::plan::mix;
use super::state::{Inode, Node, State, ROOT};
use super::{SimDisk, SECTOR};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies: the page cache stays, locks and handles go.
    Process,
    /// Power cut: of what was not synced, nothing is left.
    PowerNothing,
    /// Power cut: any mix of what was not synced is left, sector by sector, in any order.
    PowerRandom,
    /// Power cut: everything happened to be written back before.
    PowerEverything,
}

impl SimDisk {
    /// Ends this run, as `how` says, and gives the disk as the next start finds it. The old handles stay dead: each call fails with EIO
    /// and changes nothing. The choices follow from the seed and the number of crashes before.
    pub fn crash(&self, how: Crash) -> SimDisk {
        let mut old = self.shared.state.lock();
        old.dead = true;
        self.shared.wake.notify_all();
        let mut next = old.clone();
        drop(old);
        next.dead = false;
        next.crash_at = None;
        next.paused = false;
        next.rules.clear();
        next.fired_before = 0;
        next.hung = 0;
        next.crashes += 1;
        let key = mix(&[next.seed, next.crashes, 0xC4A5]);
        if how != Crash::Process {
            next.cut_directories(how, key);
            next.cut_files(how, key);
        }
        next.settle();
        SimDisk { shared: Arc::new(Shared { state: crate::sync::Mutex::new(next), wake: crate::sync::Condvar::new() }) }
    }

    /// An independent copy of the disk, as a copy of its image would be: same cache, same medium, nothing open. This disk goes on.
    pub fn fork(&self) -> SimDisk {
        let mut next = self.shared.state.lock().clone();
        next.rules.clear();
        next.fired_before = 0;
        next.crash_at = None;
        next.paused = false;
        next.dead = false;
        next.hung = 0;
        next.settle();
        SimDisk { shared: Arc::new(Shared { state: crate::sync::Mutex::new(next), wake: crate::sync::Condvar::new() }) }
    }
}

impl State {
    /// Chooses which queued changes of directories are durable. A journalled filesystem keeps a prefix of them; another keeps any subset
    /// in which nothing is missing that a later change needs.
    fn cut_directories(&mut self, how: Crash, key: u64) {
        let ops = std::mem::take(&mut self.pending);
        let prefix = mix(&[key, 1]) as usize % (ops.len() + 1);
        let mut dropped: Vec<usize> = Vec::new();
        for (i, op) in ops.iter().enumerate() {
            let keep = match how {
                Crash::PowerNothing => false,
                Crash::PowerEverything => !op.forgotten,
                _ if self.config.journalled => i < prefix,
                _ => mix(&[key, 2, i as u64]) & 1 == 0,
            };
            if keep && !dropped.iter().any(|d| op.depends_on(&ops[*d])) {
                self.apply_durable(op);
            } else {
                dropped.push(i);
            }
        }
        if !ops.is_empty() {
            let left = match dropped.len() {
                0 => "all are left",
                n if n == ops.len() => "none is left",
                _ => "a part is left",
            };
            self.seen.insert(("power cut of unsynced names", left));
        }
        for inode in self.inodes.values_mut() {
            if let Node::Dir { cached, durable } = &mut inode.node {
                cached.clone_from(durable);
            }
        }
    }

    fn cut_files(&mut self, how: Crash, key: u64) {
        let paths = self.paths();
        for (path, number) in paths {
            let Some(Inode { node: Node::File(content), .. }) = self.inodes.get_mut(&number) else { continue };
            let key = mix(&[key, super::plan::hash_name(&path)]);
            let (mut kept, mut lost) = (false, false);
            content.power_cut(|sector, choices| {
                let picked = match how {
                    Crash::PowerNothing => 0,
                    Crash::PowerEverything => choices - 1,
                    _ => pick(key, sector, choices),
                };
                kept |= picked + 1 == choices;
                lost |= picked + 1 < choices;
                picked
            });
            match (kept, lost) {
                (true, true) => _ = self.seen.insert(("power cut of unsynced sectors", "a mix is left")),
                (true, false) => _ = self.seen.insert(("power cut of unsynced sectors", "all are left")),
                (false, true) => _ = self.seen.insert(("power cut of unsynced sectors", "none is left")),
                (false, false) => {}
            }
        }
    }

    /// After a restart: no handles, no locks, no inode without a name, space counted anew.
    fn settle(&mut self) {
        let named: BTreeSet<u64> = self.paths().into_iter().map(|p| p.1).chain([ROOT]).collect();
        for (number, inode) in &mut self.inodes {
            inode.handles = 0;
            inode.locked_by = None;
            inode.linked = named.contains(number);
        }
        self.forget_inodes();
        self.used_blocks = self.inodes.values().filter(|i| i.linked).map(|i| i.blocks.len() as u64 + 1).sum();
    }
}

/// One content out of `choices`. Each file gets a leaning of its own, so that "all but one sector lost" and "one lost" both come up.
fn pick(key: u64, sector: u64, choices: usize) -> usize {
    let roll = mix(&[key, sector]);
    let newest_in_100 = [0, 5, 50, 95, 100, 50][key as usize % 6];
    let position = sector / (4096 / SECTOR as u64);
    if key as usize % 6 == 5 {
        // In order of position up to some block, as a write-back that was interrupted.
        return if position % 64 < (key >> 16) % 64 { choices - 1 } else { 0 };
    }
    if roll % 100 < newest_in_100 {
        choices - 1
    } else {
        (roll >> 32) as usize % (choices - 1).max(1)
    }
}
