//! What an earlier export has kept is not taken for one that was cut short: another log has been there since.

use super::*;

/// Bulkhead's log in segments of high numbers, which those of a later import do not meet.
fn exported(log: &Log) -> SimDisk {
    let disk = cubefs_disk(1, SimConfig::default(), log);
    convert(&disk, |c| c.import()).expect("an import");
    for _ in 0..4 {
        let (engine, p) = open(&disk).unwrap();
        let (first, last) = p.bounds().unwrap();
        let kept = p.term(last).unwrap();
        let next = EntryRef { index: last + 1, term: kept, kind: 0, data: &[7; 100] };
        p.append(&[next]).unwrap();
        p.set_hard_state(HardState { commit: last, ..log.hard_state }).unwrap();
        if first <= last {
            p.compact(last).unwrap();
        }
        p.close().unwrap();
        engine.close().unwrap();
    }
    convert(&disk, |c| c.export_in_place()).expect("an export");
    disk
}

/// CubeFS has gone on after the export.
fn gone_on(disk: &SimDisk, log: &Log) {
    disk.files(PATH).iter().filter(|f| f.ends_with(".log") && f.matches('/').count() == 2).for_each(|f| disk.remove(f));
    put(disk, PATH, log, 3);
}

/// The log of before the export would come back, with an older vote and without what was acknowledged since.
#[test]
fn a_log_whose_root_is_lost_is_not_replaced_by_an_older_one() {
    let empty = Log { compaction: (0, 0), entries: Vec::new(), hard_state: HardState { term: 5, vote: 3, commit: 0 } };
    let cases = [(sample(), Status::Damaged, Status::Foreign), (empty, Status::Foreign, Status::NotFound)];
    for (log, opened, imported) in cases {
        let disk = exported(&sample());
        gone_on(&disk, &log);
        convert(&disk, |c| c.import()).expect("an import");
        disk.remove("/wal_7/root");
        let before = snapshot(&disk, PATH);
        let told = match open(&disk) {
            Ok((_engine, p)) => p.last_fault().expect("it has no root"),
            Err(e) => e,
        };
        assert_eq!(told.status, opened, "{told}");
        assert_eq!(convert(&disk, |c| c.import()).map_err(|e| e.status).map(drop), Err(imported));
        assert_eq!(snapshot(&disk, PATH), before);
    }
}

/// An import was taken back, and a power cut brings the exchange again: CubeFS's log is the one that goes on.
#[test]
fn an_import_that_was_taken_back_is_not_an_older_export() {
    let log = Log { entries: (11..=45).map(|i| (i, 5, 0, vec![i as u8; 200])).collect(), ..sample() };
    let mut taken_back = 0;
    for nth in 0..20 {
        let disk = exported(&sample());
        gone_on(&disk, &log);
        disk.inject(Rule::errno(libc::EIO).on(OpKind::SyncDir).skip(nth).once());
        let failed = convert(&disk, |c| c.import()).is_err();
        let is_stock = convert(&disk, |c| c.shape()) == Ok(Shape::Cubefs);
        if !failed || !is_stock || !disk.exists("/wal_7/cubefs-original/META") {
            continue;
        }
        taken_back += 1;
        assert_eq!(read(&disk, PATH), log);
        let dir = disk.open_dir(PATH.as_ref()).expect("it is there");
        dir.exchange("META", "cubefs-original/META").expect("both are there");
        drop(dir);
        convert(&disk, |c| c.import()).unwrap_or_else(|e| panic!("{nth}: {e}"));
        assert_eq!(view(&disk), log, "{nth}");
    }
    assert!(taken_back > 0);
}
