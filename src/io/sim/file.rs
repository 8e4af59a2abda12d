//! An open file of the simulated disk.

use std::io::{self, IoSlice};

use super::content::Content;
use super::gate::{os, Effect, Handle, Verdict};
use super::plan::{mix, OpKind};
use super::state::{Inode, Node, State};
use crate::io::{Access, Begun, Bytes, File, Filesystem};
use std::sync::Arc;

pub struct SimFile {
    pub handle: Handle,
    pub access: Access,
    /// False on a filesystem without O_DIRECT: everything goes through the page cache.
    pub direct: bool,
    pub align: usize,
}

impl SimFile {
    fn is_direct(&self) -> bool {
        self.direct && matches!(self.access, Access::Durable | Access::ReadDirect)
    }

    /// EINVAL for what O_DIRECT refuses: offset, length and memory have to be aligned.
    fn check_alignment(&self, offset: u64, parts: &[(*const u8, usize)]) -> io::Result<()> {
        let aligned = |n: usize| n % self.align == 0;
        let fits = aligned(offset as usize) && parts.iter().all(|(at, len)| aligned(*at as usize) && aligned(*len));
        let asks = self.is_direct() || (self.direct && self.access == Access::Direct);
        if asks && !fits {
            return Err(os(libc::EINVAL));
        }
        Ok(())
    }

    /// One write; `flushed` if it is durable when it returns, on a file whose writes are.
    fn write(&self, bufs: &[IoSlice<'_>], offset: u64, flushed: bool) -> io::Result<usize> {
        let asked: usize = bufs.iter().map(|b| b.len()).sum();
        let (mut state, verdict) = self.handle.shared.begin(OpKind::Write, &self.handle.path, offset, asked as u64)?;
        if matches!(self.access, Access::Read | Access::ReadDirect) {
            return Err(os(libc::EBADF));
        }
        let parts: Vec<_> = bufs.iter().map(|b| (b.as_ptr(), b.len())).collect();
        self.check_alignment(offset, &parts)?;
        let mut len = asked;
        if let Effect::Limit(n) = verdict.effect {
            // A short O_DIRECT write ends at a block of the device.
            len = if self.is_direct() { n.min(asked) / self.align * self.align } else { n.min(asked) };
        }
        if verdict.effect != Effect::Nothing {
            let room = state.take_space(self.handle.inode, offset, len as u64) as usize;
            if room == 0 && len > 0 {
                return Err(state.no_space());
            }
            len = len.min(room);
        }
        let joined: Vec<u8>;
        let bytes = match bufs {
            [one] => &one[..len],
            many => {
                joined = many.iter().map(|b| &b[..]).collect::<Vec<_>>().concat();
                &joined[..len]
            }
        };
        if self.is_direct() && state.content(self.handle.inode).write_meets_bad_sector(offset, len) {
            let partial = Verdict { effect: Effect::Part, errno: Some(libc::EIO), crashed: false, key: verdict.key };
            let good = state.content(self.handle.inode).unwritable.clone();
            let lands = lands(partial.key);
            state.content(self.handle.inode).write_direct(offset, bytes, |n| !good.contains(&n) && lands(n));
            state.seen.insert(("bad sector", "written"));
            return partial.result(0);
        }
        if !flushed {
            state.seen.insert(("shared flush", verdict.what_of("write")));
            // A flush of the device makes neither a file's length nor its blocks durable. (What is lost of a file in the making is a lie.)
            let within = offset + asked as u64 <= state.content(self.handle.inode).durable.len;
            assert!(
                within || state.lies > 0,
                "a write that shares a flush is not within the durable length of its file"
            );
        }
        self.store(&mut state, &verdict, offset, bytes, flushed);
        verdict.result(len)
    }

    fn store(&self, state: &mut State, verdict: &Verdict, offset: u64, bytes: &[u8], flushed: bool) {
        let (direct, key) = (self.is_direct(), verdict.key);
        if direct && verdict.effect == Effect::Part {
            let landed = super::content::sectors(offset, bytes.len()).filter(|n| lands(key)(*n)).count();
            if landed > 0 && landed * super::SECTOR < bytes.len() {
                state
                    .seen
                    .insert(("torn direct write", if verdict.crashed { "by a power cut" } else { "by an error" }));
            }
        }
        let content = state.content(self.handle.inode);
        match &verdict.effect {
            Effect::Nothing | Effect::Elsewhere(..) => {}
            Effect::Lost | Effect::Shifted(_) if direct => {}
            Effect::Lost | Effect::Shifted(_) => content.write_lost(offset, bytes),
            Effect::Part if direct => content.write_direct(offset, bytes, lands(key)),
            Effect::Part if verdict.crashed => content.write_cached(offset, &bytes[..key as usize % (bytes.len() + 1)]),
            Effect::Part => {}
            Effect::Full | Effect::Limit(_) if direct && !flushed => content.write_device(offset, bytes),
            Effect::Full | Effect::Limit(_) if direct => content.write_direct(offset, bytes, |_| true),
            Effect::Full | Effect::Limit(_) => content.write_cached(offset, bytes),
        }
        match &verdict.effect {
            Effect::Shifted(by) => content.write_medium(offset.saturating_add_signed(*by), bytes),
            Effect::Elsewhere(path, at) => {
                if let Ok(other) = state.walk(super::state::ROOT, path) {
                    state.content(other).write_medium(*at, bytes);
                }
            }
            _ => {}
        }
    }
}

/// Chooses the sectors of a failed or interrupted write that reach the medium: all, none, a prefix, or any subset.
pub fn lands(key: u64) -> impl Fn(u64) -> bool {
    move |sector| match key % 5 {
        0 => false,
        1 => true,
        2 => sector % 8 < (key >> 8) % 8,
        _ => mix(&[key, sector]) & 1 == 0,
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut state, verdict) =
            self.handle.shared.begin(OpKind::Read, &self.handle.path, offset, buf.len() as u64)?;
        verdict.result(())?;
        let aligned = self.check_alignment(offset, &[(buf.as_ptr(), buf.len())]);
        if offset >= state.content(self.handle.inode).cached.len {
            return if state.config.checks_alignment_at_end { aligned.map(|()| 0) } else { Ok(0) };
        }
        aligned?;
        let direct = self.is_direct();
        let limit = match verdict.effect {
            // A short O_DIRECT read ends at a block of the device, or where the file does.
            Effect::Limit(n) if direct && n > 0 => {
                (n.min(buf.len()) / self.align * self.align).max(self.align.min(buf.len()))
            }
            Effect::Limit(n) => n.min(buf.len()),
            _ => buf.len(),
        };
        let writes_back = state.config.direct_reads_write_back;
        let content = state.content(self.handle.inode);
        let in_file = content.cached.len.saturating_sub(offset).min(limit as u64) as usize;
        let good = content.readable(offset, in_file);
        if good < in_file && (good == 0 || direct) {
            state.seen.insert(("bad sector", "read"));
            return Err(os(libc::EIO));
        }
        if direct && writes_back {
            content.write_back(offset, good);
        }
        let buf = &mut buf[..good];
        Ok(if direct { content.read_direct(offset, buf) } else { content.cached.read(offset, buf) })
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.write(bufs, offset, true)
    }

    fn shares_flushes(&self) -> bool {
        let filesystem = self.handle.shared.state.lock().config.filesystem;
        self.writes_are_durable() && matches!(filesystem, Filesystem::Ext4 | Filesystem::Xfs)
    }

    fn begin_write(self: Arc<Self>, bytes: &Bytes, offset: u64) -> Begun {
        if !self.handle.shared.state.lock().may_hang() {
            return Begun::Done(self.write(&[IoSlice::new((**bytes).as_ref())], offset, false));
        }
        // The others of its batch do not wait for it.
        let (send, result) = std::sync::mpsc::channel();
        let bytes = bytes.clone();
        std::thread::spawn(move || send.send(self.write(&[IoSlice::new((*bytes).as_ref())], offset, false)));
        Begun::Later(result)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, verdict) = self.handle.shared.begin(OpKind::Sync, &self.handle.path, 0, 0)?;
        let forgets = state.config.failed_syncs_forget;
        if self.handle.path.ends_with(super::dir::UNNAMED) {
            state.seen.insert(("shared flush", verdict.what_of("flush")));
        }
        let content = state.content(self.handle.inode);
        let bad_sector = content.flush_meets_bad_sector();
        match verdict.effect {
            // What a power cut during a flush leaves is chosen by the crash itself.
            Effect::Part if verdict.crashed => {}
            Effect::Full | Effect::Limit(_) if !bad_sector => content.flush(),
            Effect::Part | Effect::Full | Effect::Limit(_) if forgets => content.flush_failed(lands(verdict.key)),
            Effect::Lost => content.flush_failed(|_| false),
            _ => {}
        }
        if bad_sector {
            state.seen.insert(("bad sector", "written"));
            return Err(os(libc::EIO));
        }
        match verdict.effect {
            Effect::Full | Effect::Limit(_) => all_files(&mut state, Content::device_flush),
            // The drive has given up what it held, and the next flush says nothing of it.
            Effect::Part if !verdict.crashed && forgets => {
                all_files(&mut state, |content| content.device_flush_failed(lands(verdict.key)));
            }
            _ => {}
        }
        verdict.result(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let (mut state, verdict) = self.handle.shared.begin(OpKind::Allocate, &self.handle.path, 0, len)?;
        if !state.config.can_allocate {
            return Err(os(libc::EOPNOTSUPP));
        }
        if verdict.happens() {
            let missing =
                (0..len.div_ceil(super::state::BLOCK)).filter(|b| !has_block(&state, self.handle.inode, *b)).count();
            if missing as u64 > state.free_blocks() {
                if state.config.filesystem == Filesystem::Ext4 {
                    // It keeps what it got; xfs and btrfs look first.
                    state.take_space(self.handle.inode, 0, len);
                }
                return Err(state.no_space());
            }
            state.take_space(self.handle.inode, 0, len);
            let content = state.content(self.handle.inode);
            content.cached.len = content.cached.len.max(len);
        }
        verdict.result(())
    }

    fn len(&self) -> io::Result<u64> {
        let (mut state, verdict) = self.handle.shared.begin(OpKind::Len, &self.handle.path, 0, 0)?;
        verdict.result(state.content(self.handle.inode).cached.len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut state, verdict) = self.handle.shared.begin(OpKind::Allocate, &self.handle.path, 0, len)?;
        if verdict.happens() {
            state.content(self.handle.inode).cut(len);
        }
        verdict.result(())
    }

    fn drop_cache(&self) {
        let mut state = self.handle.shared.state.lock();
        state.content(self.handle.inode).drop_caches();
    }

    #[allow(clippy::misnamed_getters)] // the inode is what tells files apart, not the handle
    fn id(&self) -> u64 {
        self.handle.inode
    }

    fn writes_are_durable(&self) -> bool {
        self.direct && self.access == Access::Durable
    }
}

fn has_block(state: &State, inode: u64, block: u64) -> bool {
    state.inodes.get(&inode).is_some_and(|i: &Inode| i.blocks.contains(&block))
}

/// A flush goes to the device and covers all files.
fn all_files(state: &mut State, flush: impl Fn(&mut Content)) {
    for inode in state.inodes.values_mut() {
        if let Node::File(content) = &mut inode.node {
            flush(content);
        }
    }
}
