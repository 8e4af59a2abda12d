//! F15 for CubeFS's format: a directory of its WAL, harmed step by step with checksums that match, is inspected and imported. No panic, no hang,
//! no memory beyond a bound; what an inspection calls whole is imported as it says, what it calls damage is left as it is.
#![no_main]

use bulkhead::cubefs::{Conversion, Shape};
use bulkhead::format::cubefs::{encode_seal, record_at, Entry, IndexItem, LogName, Meta};
use bulkhead::io::sim::SimDisk;
use bulkhead::*;
use bulkhead_fuzz::heap::{peak_of, Counting};
use bulkhead_fuzz::input::Input;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: Counting = Counting;

const PATH: &str = "/wal_1";
/// What a scan takes beside what it reads.
const FIXED_BYTES: usize = 4 << 20;
const STEPS_MAX: usize = 12;

fuzz_target!(|bytes: &[u8]| {
    // As they are, too: a parser that runs out of what it was promised is found soonest that way.
    let _ = record_at(bytes, bytes.len() as u64);
    let _ = (Meta::decode(bytes), Entry::decode(bytes), std::str::from_utf8(bytes).map(LogName::parse));
    let mut input = Input::new(bytes);
    let disk = SimDisk::new(5);
    disk.make_dirs(PATH);
    let mut log = whole();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        harm(&mut log, &mut input);
    }
    let mut stored = 0;
    for (name, bytes) in &log {
        disk.put_file(&format!("{PATH}/{name}"), bytes);
        stored += bytes.len();
    }
    let engine = Engine::with_storage(EngineConfig::default(), std::sync::Arc::new(disk.clone())).expect("an engine");
    let conversion = Conversion::new(&engine, PATH, 1);
    let (found, peak, _) = peak_of(|| conversion.inspect());
    assert!(peak <= FIXED_BYTES + 4 * stored, "{stored} bytes of files made an inspection take {peak}");
    let Ok(found) = found else { return };
    if found.shape != Shape::Cubefs {
        return;
    }
    let report = found.report;
    match conversion.import() {
        Ok(imported) => {
            assert!(report.damage().is_none(), "imported in spite of {:?}", report.damage());
            assert_eq!(imported.report, report);
            let p = engine.open_partition(PartitionConfig::new(PATH, 1)).expect("an imported log opens");
            assert_eq!(p.bounds().ok(), Some((report.first_index, report.last_index)));
            assert_eq!(p.hard_state().ok(), Some(report.hard_state));
            p.close().expect("a close");
            conversion.undo_import().expect("an undo");
        }
        Err(e) => assert!(report.damage().is_some(), "refused without a reason: {e}"),
    }
    for (name, bytes) in &log {
        assert_eq!(&disk.cached_bytes(&format!("{PATH}/{name}")), bytes, "{name} has changed");
    }
});

type Files = Vec<(String, Vec<u8>)>;

/// Entries 4 to 23 in three files, compacted up to 3.
fn whole() -> Files {
    let meta = Meta { term: 4, commit: 20, vote: 2, compaction_index: 3, compaction_term: 1 };
    let mut files = vec![("META".to_string(), meta.encode().to_vec())];
    for (i, indexes) in [4..=9u64, 10..=16, 17..=23].into_iter().enumerate() {
        let (mut bytes, mut items) = (Vec::new(), Vec::new());
        let name = LogName { sequence: 2 + i as u64, first: *indexes.start() }.to_string();
        for index in indexes {
            let term = 1 + index / 8;
            items.push(IndexItem { index, term, offset: bytes.len() as u32 });
            Entry { kind: (index % 2) as u8, term, index, data: &vec![index as u8; 5 * index as usize] }
                .encode_record(&mut bytes);
        }
        if i < 2 {
            encode_seal(&items, bytes.len() as u64, &mut bytes);
        }
        files.push((name, bytes));
    }
    files
}

fn harm(log: &mut Files, input: &mut Input<'_>) {
    let which = input.below(log.len());
    let step = input.u8();
    let Some((name, bytes)) = log.get_mut(which) else { return };
    let at = input.below(bytes.len() + 1);
    match step % 9 {
        0 => bytes.truncate(at),
        1 => bytes.extend_from_slice(input.take(64)),
        2 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << (step % 8)),
        // A record with a checksum that matches, and numbers that need not.
        3 | 4 => {
            let entry = Entry { kind: input.u8(), term: input.value(4), index: input.value(23), data: &[step; 20] };
            let mut record = Vec::new();
            entry.encode_record(&mut record);
            if step % 2 == 0 {
                bytes.splice(at..at, record);
            } else {
                bytes.extend(record);
            }
        }
        5 => {
            let items = [IndexItem { index: input.value(9), term: input.value(2), offset: input.u16().into() }];
            let mut seal = Vec::new();
            encode_seal(&items, input.value(at as u64), &mut seal);
            bytes.splice(at..at, seal);
        }
        6 => {
            let to = at + input.below(40);
            let to = to.min(bytes.len());
            bytes.drain(at..to);
        }
        7 if name != "META" => {
            let renamed = LogName { sequence: input.value(3), first: input.value(10) }.to_string();
            if log.iter().all(|(other, _)| *other != renamed) {
                log[which].0 = renamed;
            }
        }
        8 if name == "META" => {
            let fields = [4, 20, 2, 3, 1].map(|now| input.value(now));
            let [term, commit, vote, compaction_index, compaction_term] = fields;
            *bytes = Meta { term, commit, vote, compaction_index, compaction_term }.encode().to_vec();
        }
        _ if log.len() > 1 => drop(log.remove(which)),
        _ => {}
    }
}
