//! What an undo goes back to is the log that was imported, on the disk.

use super::*;
use bulkhead::io::{write_all_at, Access};

type Harm = fn(&SimDisk, &[String]);

const META: &str = "/wal_7/cubefs-original/META";

/// The log is Bulkhead's, whole and durable, and there may be no other copy of it any more.
#[test]
fn an_original_that_is_not_what_was_imported_is_not_gone_back_to() {
    let older = Log { hard_state: HardState { term: 4, vote: 1, commit: 30 }, ..sample() };
    let voted = Log { hard_state: HardState { vote: 1, ..sample().hard_state }, ..sample() };
    let metas = [older.meta().encode(), voted.meta().encode()];
    let harms: [(&str, Status, Harm); 6] = [
        ("a byte has flipped", Status::Damaged, |disk, logs| disk.flip_bit(&logs[0], 100, 3)),
        ("a file is lost", Status::Damaged, |disk, logs| disk.remove(&logs[1])),
        ("the last file is lost", Status::Damaged, |disk, logs| disk.remove(&logs[2])),
        ("the last entry is lost", Status::Damaged, |disk, logs| {
            let whole = disk.cached_bytes(&logs[2]).len() as u64;
            disk.set_len(&logs[2], whole - (30 + 40 * 37 % 900));
        }),
        ("term and vote are lost", Status::Damaged, |disk, _| disk.set_len(META, 0)),
        ("a sector cannot be read", Status::IoError, |disk, logs| disk.make_unreadable(&logs[0], 0, 512)),
    ];
    let check = |disk: &SimDisk, what: &str, status: Status| {
        let e = convert(disk, |c| c.undo_import()).expect_err(what);
        assert_eq!(e.status, status, "{what}: {e}");
        assert!(e.message.contains("export the log instead"), "{what}: {e}");
        assert_eq!(convert(disk, |c| c.shape()), Ok(Shape::Bulkhead), "{what}");
        assert_eq!(view(disk), sample(), "{what}");
        convert(disk, |c| c.export_in_place()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(read(disk, PATH), sample(), "{what}");
    };
    let imported = imported(1, SimConfig::default());
    let logs: Vec<_> =
        imported.files("/wal_7/cubefs-original").into_iter().filter(|path| path.ends_with(".log")).collect();
    for (what, status, harm) in harms {
        let disk = imported.fork();
        harm(&disk, &logs);
        check(&disk, what, status);
    }
    for meta in metas {
        let disk = imported.fork();
        disk.overwrite(META, 0, &meta);
        check(&disk, "META is another one", Status::Damaged);
    }
}

/// Files as CubeFS leaves them: written, and not synced.
fn write_unsynced(disk: &SimDisk, path: &str, files: &[(String, Vec<u8>)]) {
    let dir = disk.open_dir(path.as_ref()).expect("it is there");
    for (name, bytes) in files {
        let file = dir.create(name, Access::Buffered).expect("there is none");
        write_all_at(&*file, &[bytes], 0).expect("a write");
        assert!(disk.is_dirty(&format!("{path}/{name}")));
    }
}

/// The files of the sample log, by their names.
fn sample_files() -> Vec<(String, Vec<u8>)> {
    let disk = cubefs_disk(1, SimConfig::default(), &sample());
    let name = |path: &str| path.rsplit_once('/').expect("it is in a directory").1.to_string();
    snapshot(&disk, PATH).into_iter().map(|(path, bytes)| (name(&path), bytes)).collect()
}

/// An import makes durable the hard state that it has read, of CubeFS's META as well: an older vote must not be what an undo finds.
#[test]
fn an_import_of_a_log_that_was_not_synced_can_be_undone_after_a_power_cut() {
    let disk = SimDisk::new(1);
    disk.make_dirs(PATH);
    write_unsynced(&disk, PATH, &sample_files());
    convert(&disk, |c| c.import()).expect("an import");
    let left = disk.crash(Crash::PowerNothing);
    assert_eq!(view(&left), sample());
    convert(&left, |c| c.undo_import()).expect("an undo");
    assert_eq!(read(&left.crash(Crash::PowerNothing), PATH), sample());
}

/// Nor must an undo rely on what only the cache has, of an original that somebody has copied there.
#[test]
fn an_undo_goes_back_to_what_is_on_the_disk() {
    let disk = imported(1, SimConfig::default());
    let dir = disk.open_dir("/wal_7/cubefs-original".as_ref()).expect("it is there");
    let files = sample_files();
    files.iter().for_each(|(name, _)| dir.unlink(name).expect("it is there"));
    write_unsynced(&disk, "/wal_7/cubefs-original", &files);
    convert(&disk, |c| c.undo_import()).expect("an undo");
    assert_eq!(read(&disk.crash(Crash::PowerNothing), PATH), sample());
}

/// A file of CubeFS's that cannot be made durable: nothing has changed.
#[test]
fn an_import_whose_source_cannot_be_synced_changes_nothing() {
    let disk = cubefs_disk(1, SimConfig::default(), &sample());
    let before = snapshot(&disk, PATH);
    for (n, path) in before.keys().enumerate() {
        let failing = disk.fork();
        failing.inject(Rule::errno(libc::EIO).on(OpKind::Sync).path(path).once());
        let e = convert(&failing, |c| c.import()).expect_err("it is not durable");
        assert_eq!((e.status, e.errno), (Status::IoError, libc::EIO), "{n}: {e}");
        assert_eq!(snapshot(&failing, PATH), before, "{n}");
    }
}

/// A limit that the engine of the undo has, and an index that is known by now, say nothing of a log that was imported without them.
#[test]
fn limits_that_the_import_did_not_have_do_not_refuse_an_undo() {
    let disk = imported(1, SimConfig::default());
    let small = EngineConfig { max_entry_bytes: 512, ..EngineConfig::default() };
    let engine = Engine::with_storage(small, Arc::new(disk.clone())).expect("an engine");
    Conversion::new(&engine, PATH, 7).known_index(1000).undo_import().expect("nothing has changed since");
    engine.close().expect("nothing hangs");
    assert_eq!(read(&disk, PATH), sample());
}

/// Reading a log of many GiB takes its time: whoever waits is told how far it is.
#[test]
fn a_discard_tells_how_far_it_is() {
    let disk = large_disk(4 << 20);
    let engine = engine(&disk);
    let told = std::cell::RefCell::new(Vec::new());
    let tell = |now: bulkhead::cubefs::Progress| told.borrow_mut().push((now.done_bytes, now.total_bytes));
    Conversion::new(&engine, PATH, 7).progress(&tell).discard_original().expect("a discard");
    let told = told.into_inner();
    assert!(told.len() > 60 && told.windows(2).all(|two| two[0].0 <= two[1].0), "{told:?}");
    assert!(told.last().is_some_and(|(done, total)| done == total && *total >= 4 << 20), "{told:?}");
}
