//! F29: every sequence of valid, stale, closed, concurrent and invented handles is a status. A handle that reached the wrong
//! partition would mix two raft groups' logs; one that reached freed memory would be anything.

mod ffi_support;

use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bulkhead::ffi::*;
use ffi_support::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    OpenEngine,
    CloseEngine(usize),
    OpenPartition {
        engine: usize,
    },
    ClosePartition(usize),
    Use {
        partition: usize,
        function: usize,
    },
    UseEngine {
        engine: usize,
        function: usize,
    },
    /// A handle that was issued, or close to one, with some bits flipped.
    Invent {
        near: usize,
        flip: u64,
        function: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0..1000usize;
    let step = prop_oneof![
        2 => Just(Step::OpenEngine),
        1 => n.clone().prop_map(Step::CloseEngine),
        4 => n.clone().prop_map(|engine| Step::OpenPartition { engine }),
        3 => n.clone().prop_map(Step::ClosePartition),
        8 => (n.clone(), n.clone()).prop_map(|(partition, function)| Step::Use { partition, function }),
        3 => (n.clone(), n.clone()).prop_map(|(engine, function)| Step::UseEngine { engine, function }),
        4 => (n.clone(), any_flip(), n).prop_map(|(near, flip, function)| Step::Invent { near, flip, function }),
    ];
    proptest::collection::vec(step, 1..40)
}

fn any_flip() -> impl Strategy<Value = u64> {
    prop_oneof![(0..64u32).prop_map(|bit| 1 << bit), any::<u64>()]
}

type Call = fn(u64) -> bulkhead_status;

/// Every function that takes a partition, with arguments that no partition refuses to look at.
const ON_PARTITION: &[(&str, Call)] = &[
    ("append", |p| append(p, u64::MAX, b"", null_mut())),
    ("append_packed", |p| {
        let entry = bulkhead_entry { index: u64::MAX, term: 1, data: std::ptr::null(), length: 0, kind: 0 };
        // SAFETY: here and below, pointers are null or to local variables.
        unsafe { bulkhead_append_packed(p, &entry, 1, std::ptr::null(), 0, null_mut()) }
    }),
    ("submit_packed", |p| {
        let entry = bulkhead_entry { index: u64::MAX, term: 1, data: std::ptr::null(), length: 0, kind: 0 };
        unsafe { bulkhead_submit_packed(p, &entry, 1, std::ptr::null(), 0, 1, null_mut()) }
    }),
    ("read", |p| unsafe { bulkhead_read(p, 1, 2, 0, null_mut(), 0, null_mut(), 0, &mut sized(), null_mut()) }),
    ("term", |p| unsafe { bulkhead_term(p, 1, &mut 0, null_mut()) }),
    ("bounds", |p| bounds(p).0),
    ("compact", |p| unsafe { bulkhead_compact(p, 0, null_mut()) }),
    ("set_hard_state", |p| {
        let beyond = bulkhead_hard_state { term: 1, vote: 1, commit: u64::MAX };
        unsafe { bulkhead_set_hard_state(p, &beyond, null_mut()) }
    }),
    ("get_hard_state", |p| unsafe { bulkhead_get_hard_state(p, &mut Default::default(), null_mut()) }),
    ("sync", |p| unsafe { bulkhead_sync(p, null_mut()) }),
    ("recover", |p| unsafe { bulkhead_recover(p, null_mut()) }),
    ("verify", |p| unsafe { bulkhead_verify(p, &mut sized(), null_mut()) }),
    ("get_status", |p| unsafe { bulkhead_get_status(p, &mut sized(), null_mut()) }),
    ("last_fault", |p| unsafe { bulkhead_last_fault(p, &mut new_error()) }),
];

const ON_ENGINE: &[(&str, Call)] = &[
    ("event_fd", |e| unsafe { bulkhead_engine_event_fd(e, &mut 0, null_mut()) }),
    ("completion_fd", |e| unsafe { bulkhead_engine_completion_fd(e, &mut 0, null_mut()) }),
    ("events", |e| unsafe { bulkhead_engine_events(e, &mut bulkhead_event::default(), 1, &mut 0, null_mut()) }),
    ("completions", |e| unsafe {
        bulkhead_engine_completions(e, &mut bulkhead_completion::default(), 1, &mut 0, null_mut())
    }),
    ("partition_open", |e| open_partition(e, &PathBuf::from("/nonexistent/partition"), 1).0),
];

/// The judge: which handles there are, and whether they are open.
#[derive(Default)]
struct Model {
    engines: Vec<(u64, bool)>,
    /// Handle, position of its engine, open, entries appended.
    partitions: Vec<(u64, usize, bool, u64)>,
}

impl Model {
    fn expect(&self, handle: u64, partition: bool, got: bulkhead_status, what: &str) {
        let known = if partition {
            self.partitions.iter().find(|p| p.0 == handle).map(|p| p.2)
        } else {
            self.engines.iter().find(|e| e.0 == handle).map(|e| e.1)
        };
        let handle_refused = [BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED].contains(&got);
        match known {
            Some(true) => assert!(!handle_refused, "{what} on an open handle: {}", name(got)),
            Some(false) => assert_eq!(got, BULKHEAD_CLOSED, "{what} on a closed handle"),
            // An invented one may name an earlier use of a slot of another test: closed then, as far as anyone can tell.
            None => assert!(handle_refused, "{what} on an invented handle: {}", name(got)),
        }
    }

    fn step(&mut self, step: &Step, directory: &tempfile::TempDir) {
        let pick = |n: usize, len: usize| (len > 0).then(|| n % len.max(1));
        match *step {
            Step::OpenEngine => self.engines.push((open_engine(), true)),
            Step::CloseEngine(n) => {
                let Some(n) = pick(n, self.engines.len()) else { return };
                self.expect(self.engines[n].0, false, close_engine(self.engines[n].0), "engine_close");
                self.engines[n].1 = false;
                self.partitions.iter_mut().filter(|p| p.1 == n).for_each(|p| p.2 = false);
            }
            Step::OpenPartition { engine } => {
                let Some(n) = pick(engine, self.engines.len()) else { return };
                let path = directory.path().join(format!("{}", self.partitions.len()));
                let (status, handle) = open_partition(self.engines[n].0, &path, 1);
                self.expect(self.engines[n].0, false, status, "partition_open");
                if self.engines[n].1 {
                    assert_eq!(status, BULKHEAD_OK);
                    assert!(!self.partitions.iter().any(|p| p.0 == handle), "issued twice");
                    self.partitions.push((handle, n, true, 0));
                }
            }
            Step::ClosePartition(n) => {
                let Some(n) = pick(n, self.partitions.len()) else { return };
                self.expect(self.partitions[n].0, true, close_partition(self.partitions[n].0), "partition_close");
                self.partitions[n].2 = false;
            }
            Step::Use { partition, function } => {
                let Some(n) = pick(partition, self.partitions.len()) else { return };
                let (what, call) = ON_PARTITION[function % ON_PARTITION.len()];
                self.expect(self.partitions[n].0, true, call(self.partitions[n].0), what);
                if self.partitions[n].2 {
                    self.partitions[n].3 += 1;
                    assert_eq!(append(self.partitions[n].0, self.partitions[n].3, b"mine", null_mut()), BULKHEAD_OK);
                }
            }
            Step::UseEngine { engine, function } => {
                let Some(n) = pick(engine, self.engines.len()) else { return };
                let (what, call) = ON_ENGINE[function % ON_ENGINE.len()];
                self.expect(self.engines[n].0, false, call(self.engines[n].0), what);
            }
            Step::Invent { near, flip, function } => {
                let issued = self.engines.iter().map(|e| e.0).chain(self.partitions.iter().map(|p| p.0));
                let handle = issued.cycle().nth(near).unwrap_or(0) ^ flip;
                let (what, call) = ON_PARTITION[function % ON_PARTITION.len()];
                self.expect(handle, true, call(handle), what);
                let (what, call) = ON_ENGINE[function % ON_ENGINE.len()];
                self.expect(handle, false, call(handle), what);
            }
        }
    }
}

// Cases open real engines and directories. Only this test may open handles while it runs: the others of this file hold the lock.
static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_handles_is_a_status(steps in steps()) {
        let _alone = ALONE.lock();
        let directory = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        for step in &steps {
            model.step(step, &directory);
        }
        for &(handle, _, open, last) in &model.partitions {
            if open {
                assert_eq!(bounds(handle), (BULKHEAD_OK, 1, last), "a call reached another partition");
            }
        }
        for &(handle, open) in &model.engines {
            assert_eq!(close_engine(handle), if open { BULKHEAD_OK } else { BULKHEAD_CLOSED });
        }
    }
}

/// Threads open, use and close the same few handles at random. Use after free would show as a crash here, and under the sanitizers.
#[test]
fn concurrent_open_use_and_close_are_statuses() {
    let _alone = ALONE.lock();
    let directory = tempfile::tempdir().unwrap();
    let engines: Vec<AtomicU64> = (0..2).map(|_| AtomicU64::new(open_engine())).collect();
    let partitions: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
    let (opened, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for seed in 1..=4u64 {
            let (engines, partitions, directory) = (&engines, &partitions, &directory);
            let (opened, closed) = (&opened, &closed);
            scope.spawn(move || {
                let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                for _ in 0..2_000 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let place = (random >> 8) as usize % partitions.len();
                    let handle = partitions[place].load(Ordering::Relaxed);
                    let engine = &engines[place % engines.len()];
                    match random % 16 {
                        0 | 1 => {
                            let path = directory.path().join(place.to_string());
                            let (status, handle) = open_partition(engine.load(Ordering::Relaxed), &path, place as u64);
                            if status == BULKHEAD_OK {
                                opened.fetch_add(1, Ordering::Relaxed);
                                partitions[place].store(handle, Ordering::Relaxed);
                            } else {
                                let fine = [BULKHEAD_ALREADY_OPEN, BULKHEAD_CLOSED, BULKHEAD_LOCKED, BULKHEAD_BUSY];
                                assert!(fine.contains(&status), "open: {}", name(status));
                            }
                        }
                        2 => {
                            let status = close_partition(handle);
                            closed.fetch_add((status == BULKHEAD_OK) as usize, Ordering::Relaxed);
                            let fine = [BULKHEAD_OK, BULKHEAD_CLOSED, BULKHEAD_INVALID_HANDLE];
                            assert!(fine.contains(&status), "close: {}", name(status));
                        }
                        3 if random & 0x7000 == 0 => {
                            let old = engine.swap(open_engine(), Ordering::Relaxed);
                            let status = close_engine(old);
                            assert!([BULKHEAD_OK, BULKHEAD_CLOSED].contains(&status), "engine: {}", name(status));
                        }
                        n => {
                            let (what, call) = ON_PARTITION[(random >> 16) as usize % ON_PARTITION.len()];
                            let status = call(handle ^ u64::from(n == 4));
                            assert_ne!(status, BULKHEAD_PANIC, "{what}");
                        }
                    }
                }
            });
        }
    });
    assert!(opened.load(Ordering::Relaxed) > 10, "the test did not get to open anything");
    assert!(closed.load(Ordering::Relaxed) > 0, "the test did not get to close anything");
    for engine in engines {
        assert_eq!(close_engine(engine.into_inner()), BULKHEAD_OK);
    }
    for partition in partitions {
        assert_ne!(bounds(partition.into_inner()).0, BULKHEAD_OK, "closing the engine closes its partitions' handles");
    }
}

/// F30 for handles: what opening takes, closing gives back.
#[test]
fn descriptors_and_threads_return_to_their_level() {
    let _alone = ALONE.lock();
    let directory = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // The library's own threads: the test runner's come and go.
    let threads = || {
        let names = std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|t| t.path().join("comm"));
        names.filter(|n| std::fs::read_to_string(n).is_ok_and(|n| n.starts_with("bulkhead"))).count()
    };
    let round = |n: usize| {
        let engine = open_engine();
        let (status, partition) = open_partition(engine, &directory.path().join((n % 3).to_string()), (n % 3) as u64);
        assert_eq!(status, BULKHEAD_OK);
        // One engine closes its partition, the next one finds it closed.
        if n % 2 == 0 {
            assert_eq!(close_partition(partition), BULKHEAD_OK);
        }
        assert_eq!(close_engine(engine), BULKHEAD_OK);
    };
    round(0);
    let before = files();
    (0..60).for_each(round);
    // A thread that was joined stays in /proc for a moment.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while threads() > 0 && std::time::Instant::now() < patience {
        std::thread::yield_now();
    }
    assert_eq!((files(), threads()), (before, 0), "descriptors and threads before and after");
}
