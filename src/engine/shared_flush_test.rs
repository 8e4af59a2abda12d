//! What one shared flush does to another beside it; tests/sim/shared.rs has what becomes of the log.

use super::*;
use crate::engine::Engine;
use crate::io::sim::{Crash, Fault, OpKind, Rule, SimDisk};
use crate::io::{Access, Storage};
use crate::partition::test_host::TestHost;
use crate::partition::{EntryRef, Host, Mode, State};
use crate::EngineConfig;
use std::path::Path;

/// Does something before each of its flushes.
struct Before<F>(Arc<dyn File>, Mutex<F>);

impl<F: FnMut() + Send> File for Before<F> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.0.write_at(bufs, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.lock()();
        self.0.sync()
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn writes_are_durable(&self) -> bool {
        self.0.writes_are_durable()
    }
    fn drop_cache(&self) {
        self.0.drop_cache();
    }
    fn id(&self) -> u64 {
        self.0.id()
    }
}

fn submit(p: &Partition, index: u64) {
    p.submit(&[EntryRef { index, term: 1, kind: 0, data: b"data" }], index).unwrap();
}

/// The drive gives up what it held for both, and says so to one of them.
#[test]
fn a_flush_that_fails_fails_those_whose_writes_it_was_to_make_durable_too() {
    let disk = SimDisk::new(1);
    let engine = Engine::with_storage(EngineConfig::default(), Arc::new(disk.clone())).unwrap();
    let host = Arc::new(TestHost::default());
    let (p, q) = (host.open(&disk, "/p", 1, Mode::Sync), host.open(&disk, "/q", 2, Mode::Sync));
    for p in [&p, &q] {
        submit(p, 1);
        p.work();
    }
    let file = disk.open_dir(Path::new("/p")).unwrap().create_unnamed(Access::Durable).unwrap();
    let flushes = Arc::<DiskFlushes>::default();
    let new = || SharedFlush::new(engine.shared.clone(), flushes.clone());
    let (mut one, mut other) = (new(), new());
    let beside = Before(file.clone(), {
        let (disk, q, file) = (disk.clone(), q.clone(), file.clone());
        Mutex::new(move || {
            disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).once());
            assert!(other.turn(vec![q.clone()], &*file, |_| panic!("it can share")).flush_failed);
        })
    });
    submit(&p, 2);
    submit(&q, 2);
    assert!(!one.turn(vec![p.clone()], &beside, |_| panic!("it can share")).flush_failed, "its own did not fail");
    assert_eq!((q.status().state, p.status().state), (State::Unavailable, State::Unavailable));
    assert_eq!(p.bounds().unwrap(), (1, 1), "acknowledged, and the drive may have lost it");
    // What came later is not held against it.
    let r = host.open(&disk, "/r", 3, Mode::Sync);
    submit(&r, 1);
    r.work();
    submit(&r, 2);
    assert_eq!(one.turn(vec![r.clone()], &*file, |_| panic!("it can share")).groups, 1);
    assert_eq!((r.status().state, r.bounds().unwrap()), (State::ReadWrite, (1, 2)));
}

fn writes(disk: &SimDisk) -> usize {
    disk.log().iter().filter(|op| op.kind == OpKind::Write && op.path.starts_with("/p/seg")).count()
}

/// The drive has given up what it held of a group, says so to another's own flush, and the shared flush that follows hears nothing.
#[test]
fn a_group_is_written_again_if_anothers_own_flush_failed_beside_it() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let engine = Engine::with_storage(EngineConfig::default(), Arc::new(disk.clone())).unwrap();
        let host = Arc::new(TestHost::default());
        let p = host.open(&disk, "/p", 1, Mode::Sync);
        submit(&p, 1);
        p.work();
        let file = disk.open_dir(Path::new("/p")).unwrap().create_unnamed(Access::Durable).unwrap();
        let others: Vec<_> =
            (0..1 + seed % 4).map(|i| host.open(&disk, &format!("/q{i}"), 2 + i, Mode::None)).collect();
        others.iter().for_each(|q| submit(q, 1));
        let (written, tries) = (writes(&disk), others.len() + 1);
        let beside = Before(file, {
            let (disk, mut others) = (disk.clone(), others.into_iter());
            Mutex::new(move || {
                let Some(q) = others.next() else { return };
                disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path("/q").once());
                q.sync().unwrap_err();
            })
        });
        let flushes = Arc::new(DiskFlushes::new(host.counts().failed_flushes.clone()));
        let mut flush = SharedFlush::new(engine.shared.clone(), flushes);
        submit(&p, 2);
        let turn = flush.turn(vec![p.clone()], &beside, |_| panic!("it can share"));
        assert!(!turn.flush_failed);
        assert_eq!((p.status().state, p.bounds().unwrap()), (State::ReadWrite, (1, 2)));
        assert_eq!(writes(&disk) - written, tries.min(TRIES as usize), "one more with each, and then by itself");
        let after = disk.fork().crash(Crash::PowerNothing);
        let again = host.open(&after, "/p", 1, Mode::Sync);
        assert_eq!(again.bounds().unwrap(), (1, 2), "seed {seed}: acknowledged, and lost");
    }
}

/// While a write hangs, others would wait for a turn that only waits for it.
#[test]
fn f05_a_turn_without_groups_of_its_own_waits_for_none() {
    let disk = SimDisk::new(1);
    let engine = Engine::with_storage(EngineConfig::default(), Arc::new(disk.clone())).unwrap();
    let p = Arc::new(TestHost::default()).open(&disk, "/p", 1, Mode::Sync);
    submit(&p, 1);
    p.work();
    submit(&p, 2);
    let file = disk.open_dir(Path::new("/p")).unwrap().create_unnamed(Access::Durable).unwrap();
    let mut flush = SharedFlush::new(engine.shared.clone(), Arc::default());
    disk.inject(Rule::new(Fault::Hang).on(OpKind::Write).path("/p/seg").once());
    let mut turn = |partitions| flush.turn(partitions, &*file, |_| panic!("it can share")).groups;
    assert_eq!(turn(vec![p.clone()]), 0);
    let began = Instant::now();
    assert_eq!((0..50).map(|_| turn(Vec::new())).sum::<usize>(), 0);
    assert!(began.elapsed() < 25 * STRAGGLERS, "{:?}", began.elapsed());
    disk.release();
    let end = Instant::now() + Duration::from_secs(10);
    while turn(Vec::new()) == 0 {
        assert!(Instant::now() < end, "it has come back");
    }
    assert_eq!(p.bounds().unwrap(), (1, 2));
}

/// Where others have all asynchronous I/O that the kernel gives, flushes one after the other on this thread would be slower than their own.
#[test]
fn a_turn_says_that_the_kernel_had_no_room() {
    let disk = SimDisk::new(1);
    let engine = Engine::with_storage(EngineConfig::default(), Arc::new(disk.clone())).unwrap();
    let p = Arc::new(TestHost::default()).open(&disk, "/p", 1, Mode::Sync);
    submit(&p, 1);
    p.work();
    let file = disk.open_dir(Path::new("/p")).unwrap().create_unnamed(Access::Durable).unwrap();
    let mut flush = SharedFlush::new(engine.shared.clone(), Arc::default());
    for (index, no_room) in [(2, true), (3, false)] {
        submit(&p, index);
        if no_room {
            disk.inject(Rule::errno(libc::EAGAIN).on(OpKind::Write).path("/p/seg").once());
        }
        let turn = flush.turn(vec![p.clone()], &*file, |_| panic!("it can share"));
        assert_eq!((turn.groups, turn.no_room), (1, no_room));
        assert_eq!(p.bounds().unwrap(), (1, index));
    }
}

/// A thread may be held up between a flush that has failed and counting it.
#[test]
fn a_flush_looks_at_those_beside_it_once_they_have_ended() {
    let disk = SimDisk::new(1);
    disk.make_dirs("/p");
    let file = disk.open_dir(Path::new("/p")).unwrap().create_unnamed(Access::Durable).unwrap();
    let flushes = DiskFlushes::default();
    let (begins, has_begun) = std::sync::mpsc::channel();
    let fails = Before(file.clone(), Mutex::new(|| ()));
    std::thread::scope(|scope| {
        let slow = Before(
            file.clone(),
            Mutex::new(|| {
                begins.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(100));
                disk.inject(Rule::errno(libc::EIO).on(OpKind::Sync).once());
            }),
        );
        let flushes = &flushes;
        scope.spawn(move || assert!(flushes.flush(&slow).0.unwrap().is_err()));
        has_begun.recv().unwrap();
        let (flushed, failed) = flushes.flush(&fails);
        assert!((flushed.unwrap().is_ok(), failed) == (true, 1), "the other's failure is known by then");
    });
}
