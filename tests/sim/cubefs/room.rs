//! What an import takes of the disk.

use super::*;

/// Its last segment is no longer than what is in it: the log goes on in a new one, and no space waits in the old one for nothing.
#[test]
fn an_imports_last_segment_ends_with_its_log() {
    const SEGMENT: u64 = 1 << 20;
    let log = large_log(5 << 19);
    let disk = cubefs_disk(1, SimConfig::default(), &log);
    let config = EngineConfig { segment_max_bytes: SEGMENT as u32, ..EngineConfig::default() };
    let engine = Engine::stepped(config, &disk, disk.ops() + 1).expect("an engine");
    Conversion::new(&engine, PATH, 7).import().expect("an import");
    let segments = || -> Vec<(String, Vec<u8>)> {
        let files = disk.files(PATH).into_iter().filter(|f| f.starts_with("/wal_7/seg-"));
        files.map(|f| (f.clone(), disk.cached_bytes(&f))).collect()
    };
    let imported = segments();
    let bytes: u64 = imported.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let payload: u64 = log.entries.iter().map(|e| e.3.len() as u64).sum();
    println!("{payload} bytes of payload in {bytes} of segments, the last one of {}", imported.last().unwrap().1.len());
    assert!(imported.len() > 2 && imported.iter().all(|(_, b)| b.len() as u64 <= SEGMENT));
    // A header, a begin record and less than a block at the end of each, and 64 bytes for each entry.
    assert!(bytes < payload + 64 * log.entries.len() as u64 + 3 * 4096 * imported.len() as u64, "{bytes}");
    let config = PartitionConfig { disposition: Disposition::OpenExisting, ..PartitionConfig::new(PATH, 7) };
    let p = engine.open_partition(config).expect("it opens");
    let next = log.entries.len() as u64 + 1;
    p.append(&[EntryRef { index: next, term: 1, kind: 0, data: &[7; 64 << 10] }]).expect("an append");
    assert_eq!(p.read(next - 1, next + 1, u64::MAX).unwrap().len(), 2);
    let after = segments();
    assert!(after.len() > imported.len(), "it goes on in a segment of its own");
    assert_eq!(after[..imported.len()], imported, "what was imported is not written to again");
    p.close().unwrap();
    engine.close().unwrap();
}
