//! The gate that every operation passes: it is numbered and logged there, and the fault plan has its say.

use std::io;
use std::sync::Arc;

use crate::sync::{Condvar, Mutex, MutexGuard};

use super::plan::{Fault, OpKind};
use super::state::State;

/// How much of an operation takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Full,
    Nothing,
    /// Some of it, chosen by the verdict's key.
    Part,
    /// At most this many bytes.
    Limit(usize),
    Lost,
    Shifted(i64),
    Elsewhere(String, u64),
}

/// What the gate says about one operation.
pub struct Verdict {
    pub effect: Effect,
    pub errno: Option<i32>,
    /// The power goes at this operation.
    pub crashed: bool,
    /// For the choices within this operation.
    pub key: u64,
}

impl Verdict {
    pub fn result<T>(&self, value: T) -> io::Result<T> {
        self.errno.map_or(Ok(value), |e| Err(os(e)))
    }

    /// What has become of a part of a shared flush.
    pub fn what_of(&self, part: &'static str) -> &'static str {
        match (part, self.crashed, self.errno.is_some()) {
            ("write", true, _) => "power cut in a write",
            ("write", _, true) => "a write fails",
            ("write", ..) => "a write",
            (_, true, _) => "power cut in the flush",
            (_, _, true) => "the flush fails",
            _ => "the flush",
        }
    }

    /// A choice for operations that happen whole or not at all.
    pub fn happens(&self) -> bool {
        match self.effect {
            Effect::Nothing => false,
            Effect::Part => self.key & 1 == 0,
            _ => true,
        }
    }
}

pub fn os(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

pub struct Shared {
    pub state: Mutex<State>,
    pub wake: Condvar,
}

impl Shared {
    /// The gate: numbers the operation, logs it, applies the fault plan. Blocks or panics if a rule says so.
    pub fn begin(
        &self,
        kind: OpKind,
        path: &str,
        offset: u64,
        len: u64,
    ) -> io::Result<(MutexGuard<'_, State>, Verdict)> {
        let mut state = self.state.lock();
        if let Some(hook) = state.hook {
            drop(state);
            hook();
            state = self.state.lock();
        }
        if state.dead {
            return Err(os(libc::EIO));
        }
        let (fault, crashed, key) = state.number(kind, path, offset, len);
        let mut verdict = Verdict { effect: Effect::Full, errno: None, crashed, key };
        if crashed {
            state.dead = true;
            self.wake.notify_all();
            verdict.effect = Effect::Part;
            verdict.errno = Some(libc::EIO);
            return Ok((state, verdict));
        }
        match fault {
            None => {}
            Some(Fault::Errno(e)) => {
                let partial = matches!(kind, OpKind::Sync | OpKind::SyncDir) || kind == OpKind::Write && e == libc::EIO;
                verdict.effect = if partial { Effect::Part } else { Effect::Nothing };
                verdict.errno = Some(e);
            }
            Some(Fault::ErrnoAfter(e)) => verdict.errno = Some(e),
            Some(Fault::Short(n)) => verdict.effect = Effect::Limit(n),
            Some(Fault::Lost) => verdict.effect = Effect::Lost,
            Some(Fault::Misplaced(by)) => verdict.effect = Effect::Shifted(by),
            Some(Fault::Misdirected(to, at)) => verdict.effect = Effect::Elsewhere(to, at),
            Some(Fault::Panic) => {
                drop(state);
                panic!("injected panic in {kind:?} of {path}");
            }
            Some(Fault::Delay(time)) if !state.delays_are_real => state.clock.pass(time),
            Some(Fault::Delay(time)) => {
                drop(state);
                std::thread::sleep(time);
                state = self.state.lock();
            }
            Some(Fault::Hang) => {
                let releases = state.releases;
                state.hung += 1;
                self.wake.notify_all();
                self.wake.wait_while(&mut state, |s| !s.dead && s.releases == releases);
                state.hung -= 1;
            }
        }
        if state.dead {
            return Err(os(libc::EIO));
        }
        Ok((state, verdict))
    }
}

/// A handle's share in an inode: counted while it lives.
pub struct Handle {
    pub shared: Arc<Shared>,
    pub inode: u64,
    pub id: u64,
    pub path: String,
}

impl Handle {
    pub fn new(shared: &Arc<Shared>, state: &mut State, inode: u64, path: String) -> Handle {
        let id = state.next_handle;
        state.next_handle += 1;
        if let Some(node) = state.inodes.get_mut(&inode) {
            node.handles += 1;
        }
        Handle { shared: shared.clone(), inode, id, path }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(node) = state.inodes.get_mut(&self.inode) {
            node.handles -= 1;
            if node.locked_by == Some(self.id) {
                node.locked_by = None;
            }
        }
        state.release_space(self.inode);
    }
}
