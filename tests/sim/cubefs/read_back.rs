//! What is written is read back from the medium, and what does not read back is told before the switch.

use super::*;

/// A disk that says yes and writes nothing, or writes to another place, is found out before the switch.
#[test]
fn a_conversion_onto_a_lying_disk_is_refused_before_the_switch() {
    for (case, path) in [(&CASES[0], "cubefs-import/"), (&CASES[2], "cubefs-export/")] {
        let mut refused = 0;
        let lies = [Fault::Lost, Fault::Misplaced(4096), Fault::Misplaced(-4096)];
        for (lie, skip) in lies.into_iter().flat_map(|lie| (0..40).map(move |skip| (lie.clone(), skip))) {
            let disk = (case.disk)(31, SimConfig::default());
            disk.inject(Rule::new(lie.clone()).on(OpKind::Write).path(path).skip(skip).once());
            let result = convert(&disk, case.call);
            let what = format!("{}, {lie:?}, write {skip}: {:?}", case.name, result.as_ref().map(drop));
            let left = disk.crash(Crash::PowerNothing);
            let is_cubefs = convert(&left, |c| c.shape()) == Ok(Shape::Cubefs);
            assert_eq!(is_cubefs, (case.leaves.0 == Shape::Cubefs) == result.is_ok(), "{what}");
            if let Err(e) = result {
                assert_eq!(e.status, Status::Damaged, "{what}");
                refused += 1;
            }
            let log = if is_cubefs { read(&left, PATH) } else { view(&left) };
            assert_eq!(log, sample(), "{what}");
        }
        println!("{}: {refused} refused", case.name);
        assert!(refused > 0, "{}", case.name);
    }
}

/// The same of a log that is exported to a new directory: CubeFS refuses what is there.
#[test]
fn an_export_elsewhere_onto_a_lying_disk_is_refused() {
    let mut refused = 0;
    let lies = [Fault::Lost, Fault::Misplaced(4096), Fault::Misplaced(-4096)];
    for (lie, skip) in lies.into_iter().flat_map(|lie| (0..6).map(move |skip| (lie.clone(), skip))) {
        let disk = bulkhead_disk(31, SimConfig::default());
        disk.inject(Rule::new(lie.clone()).on(OpKind::Write).path("out/").skip(skip).once());
        let result = convert(&disk, |c| c.export("/out".as_ref()).map(drop));
        let left = disk.crash(Crash::PowerNothing);
        let what = format!("{lie:?}, write {skip}: {result:?}");
        check_target(&left, result.is_ok());
        match result {
            Ok(()) => assert_eq!(read(&left, "/out"), sample(), "{what}"),
            Err(e) => {
                assert_eq!(e.status, Status::Damaged, "{what}");
                assert!(!left.files("/out").iter().any(|f| f == "/out/META"), "{what}: CubeFS opens it");
                refused += 1;
            }
        }
        assert_eq!(view(&left), sample(), "{what}");
    }
    println!("{refused} refused");
    assert!(refused > 0);
}

/// Segments are read back by threads while others are written: what one of them meets is told before the switch, whenever that is.
#[test]
fn an_import_tells_what_its_readers_met() {
    let log = large_log(8 << 20);
    let disk = cubefs_disk(1, SimConfig::default(), &log);
    let mut refused = 0;
    for (kind, fault, statuses) in [
        (OpKind::Write, Fault::Lost, [Status::Damaged; 2]),
        // The survey reads, too.
        (OpKind::Read, Fault::Errno(libc::EIO), [Status::Damaged, Status::IoError]),
    ] {
        for skip in 0..12 {
            let failing = disk.fork();
            let rule = Rule::new(fault.clone()).on(kind).path("cubefs-import/seg-").skip(skip);
            failing.inject(if kind == OpKind::Write { rule.once() } else { rule });
            let config = EngineConfig { segment_max_bytes: 4 << 20, ..EngineConfig::default() };
            let engine = Engine::with_storage(config, Arc::new(failing.clone())).expect("an engine");
            let result = Conversion::new(&engine, PATH, 7).import();
            engine.close().expect("everything is closed");
            let what = format!("{kind:?} {fault:?} from {skip}: {:?}", result.as_ref().map(drop));
            let is_cubefs = convert(&failing, |c| c.shape()) == Ok(Shape::Cubefs);
            assert_eq!(is_cubefs, result.is_err(), "{what}");
            match result {
                Ok(_) => assert_eq!(view(&failing.crash(Crash::PowerNothing)), log, "{what}"),
                Err(e) => {
                    assert!(statuses.contains(&e.status), "{what}");
                    refused += 1;
                }
            }
        }
    }
    println!("{refused} refused");
    assert!(refused > 0);
}
