//! F14 and F15: a whole directory, damaged step by step, is opened, read, verified, written and opened again. No panic, no
//! hang, no memory beyond the documented bound; and what one opening found the next one finds, too.
#![no_main]

use std::sync::{Arc, OnceLock};

use bulkhead::io::sim::{Crash, SimDisk};
use bulkhead::*;
use bulkhead_fuzz::damage;
use bulkhead_fuzz::heap::{peak_of, Counting};
use bulkhead_fuzz::input::Input;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: Counting = Counting;

const MODES: [Mode; 3] = [Mode::Sync, Mode::Interval, Mode::None];
/// What an opening, with all that follows here, takes beside what it reads: windows, threads, queues, a new segment and the
/// simulated disk's copies of it.
const FIXED_BYTES: usize = 6 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let images = images();
    let disk = images[input.below(images.len())].fork();
    let mode = MODES[input.below(3)];
    let known_index = [0, 0, 0, input.value(10)][input.below(4)];
    damage::apply(&disk, &mut input);
    if std::env::var_os("BULKHEAD_FUZZ_SHOW").is_some() {
        show(&disk, mode, known_index);
    }
    let stored: usize = disk.files(damage::DIRECTORY).iter().map(|f| disk.durable_bytes(f).len()).sum();
    let (_, peak, largest) = peak_of(|| visit(&disk, mode, known_index));
    assert!(peak <= FIXED_BYTES + 4 * stored, "{stored} bytes of files made the library take {peak}");
    assert!(largest <= (2 << 20) + 2 * stored, "{stored} bytes of files, and one piece of memory of {largest}");
});

/// `BULKHEAD_FUZZ_SHOW=1 <target> <input>` tells what an input stands for.
fn show(disk: &SimDisk, mode: Mode, known_index: u64) {
    eprintln!("opened in {mode:?} with known index {known_index}");
    for path in disk.files(damage::DIRECTORY) {
        let bytes = disk.durable_bytes(&path);
        eprintln!("{path}: {} bytes", bytes.len());
        match path.ends_with("root") {
            true => eprintln!("  {:?}", format::Root::decode_file(&bytes)),
            false => damage::records_of(&bytes).iter().for_each(|r| eprintln!("  {r:?}")),
        }
    }
}

fn config() -> EngineConfig {
    EngineConfig { segment_min_bytes: 64 << 10, segment_max_bytes: 256 << 10, ..EngineConfig::default() }
}

fn open(disk: &SimDisk, mode: Mode, known_index: u64) -> Result<(Engine, Arc<Partition>)> {
    let engine = Engine::with_storage(config(), Arc::new(disk.clone())).expect("an engine");
    let disposition = Disposition::OpenExisting;
    let partition = engine.open_partition(PartitionConfig {
        mode,
        disposition,
        known_index,
        ..PartitionConfig::new(damage::DIRECTORY, 1)
    })?;
    Ok((engine, partition))
}

/// What a log shows of itself.
#[derive(Debug, PartialEq)]
struct View {
    bounds: (u64, u64),
    hard_state: HardState,
    /// Index, term and data of what can be read.
    entries: Vec<(u64, u64, Vec<u8>)>,
}

fn visit(disk: &SimDisk, mode: Mode, known_index: u64) {
    let Ok((engine, partition)) = open(disk, mode, known_index) else { return };
    poke(&partition);
    let writable = partition.status().state == State::ReadWrite;
    let first = view(&partition);
    let closed = partition.close();
    drop((partition, engine));
    let (true, Some(first), Ok(())) = (writable, first, closed) else { return };

    let (engine, partition) = open(disk, mode, known_index).expect("it was open a moment ago");
    assert_eq!(partition.status().state, State::ReadWrite, "{:?}", partition.last_fault());
    assert_eq!(view(&partition).as_ref(), Some(&first), "the second opening finds something else");
    append_and_lose_power(disk, &engine, &partition, mode, &first);
}

/// Calls that a hostile log could mislead.
fn poke(partition: &Partition) {
    let status = partition.status();
    let (first, last) = (status.first_index, status.last_index);
    for index in [0, first.wrapping_sub(1), first, last, last.wrapping_add(1), u64::MAX] {
        let _ = (partition.term(index), partition.read(index, index.saturating_add(3), 1 << 20));
    }
    let _ = (partition.verify(), partition.bounds(), partition.hard_state());
    if status.state != State::ReadWrite {
        let _ = partition.recover();
    }
}

fn view(partition: &Partition) -> Option<View> {
    let bounds = partition.bounds().ok()?;
    let hard_state = partition.hard_state().ok()?;
    let (first, last) = bounds;
    assert!(first <= last.saturating_add(1), "bounds {bounds:?}");
    let mut entries = Vec::new();
    // A clean root may say that the end is far behind the last record: look at both ends of what there should be.
    for index in (first..=last).take(200).chain(first.max(last.saturating_sub(20))..=last) {
        if let Ok(read) = partition.read(index, index + 1, u64::MAX) {
            assert_eq!((read.len(), read[0].index), (1, index));
            entries.push((index, read[0].term, read[0].data.clone()));
        }
    }
    Some(View { bounds, hard_state, entries })
}

/// What was there stays there, and what is acknowledged in mode sync survives.
fn append_and_lose_power(disk: &SimDisk, engine: &Engine, partition: &Partition, mode: Mode, before: &View) {
    if no_room(disk) {
        return;
    }
    let status = partition.status();
    let index = before.bounds.1 + 1;
    let entry = EntryRef { index, term: status.last_term.max(status.hard_state.term), kind: 1, data: b"new" };
    let appended = partition.append(&[entry]).and_then(|()| partition.sync());
    let disk = disk.crash(Crash::PowerNothing);
    let _ = engine.close();
    if appended.is_err() || status.damaged.2 > 0 {
        return;
    }
    let (_engine, partition) = open(&disk, mode, 0).expect("a log that was just written opens");
    let after = view(&partition).unwrap_or_else(|| panic!("nothing to see: {:?}", partition.last_fault()));
    assert_eq!(after.bounds, (before.bounds.0, index), "{:?}", partition.last_fault());
    assert_eq!(after.hard_state.term, before.hard_state.term);
}

/// Counters so close to the format's bound that the next ones are beyond it: such a log opens, and cannot be written for long.
fn no_room(disk: &SimDisk) -> bool {
    let far = |n: u64| n >= format::MAX_COUNTER / 2;
    disk.files(damage::DIRECTORY).iter().any(|path| {
        let bytes = disk.durable_bytes(path);
        let root = format::Root::decode_file(&bytes).is_ok_and(|r| {
            [r.generation, r.lsn_limit, r.last_segment, r.mark, r.end.index, r.end.lsn].into_iter().any(far)
        });
        root || damage::records_of(&bytes).iter().any(|(_, r)| far(r.lsn) || far(r.index) || far(r.mark))
    })
}

/// Logs of every mode, closed and not, with a compaction, a replaced suffix, votes and several segments.
fn images() -> &'static [SimDisk] {
    static IMAGES: OnceLock<Vec<SimDisk>> = OnceLock::new();
    IMAGES.get_or_init(|| MODES.iter().flat_map(|m| [image(*m, true), image(*m, false)]).collect())
}

fn image(mode: Mode, close: bool) -> SimDisk {
    let disk = SimDisk::new(3);
    let engine = Engine::with_storage(config(), Arc::new(disk.clone())).expect("an engine");
    let p =
        engine.open_partition(PartitionConfig { mode, ..PartitionConfig::new(damage::DIRECTORY, 1) }).expect("a log");
    let append = |first: u64, last: u64, term: u64| {
        let data = [first as u8; 40];
        let batch: Vec<_> = (first..=last).map(|index| EntryRef { index, term, kind: 0, data: &data }).collect();
        p.append(&batch).expect("an append");
    };
    p.set_hard_state(HardState { term: 2, vote: 3, commit: 0 }).expect("a vote");
    append(1, 8, 1);
    append(6, 12, 2);
    p.compact(2).expect("a compaction");
    (13..=16).for_each(|i| append(i, i, 2));
    p.sync().expect("a sync");
    p.set_hard_state(HardState { term: 3, vote: 1, commit: 10 }).expect("a vote");
    if close {
        p.close().expect("a close");
    }
    disk.crash(Crash::PowerNothing)
}
