//! An export and its threads.

use super::*;

/// A log that is wanted whole is read once, not a first time to know where its entries are.
#[test]
fn an_export_reads_a_segment_once() {
    const BYTES: u64 = 4 << 20;
    let disk = large_disk(BYTES);
    disk.keep_log(1 << 20);
    let from = disk.ops();
    convert(&disk, |c| c.export("/out".as_ref())).expect("an export");
    let own = |op: &OpRecord| op.number > from && op.kind == OpKind::Read && op.path.contains("seg-");
    let reads = disk.log().into_iter().filter(own);
    let read: u64 = reads.map(|op| op.len).sum();
    println!("{read} bytes are read for a log of {BYTES}");
    // Windows overlap, and an open looks at heads and ends.
    assert!(read < BYTES * 7 / 4, "{read} bytes are read for a log of {BYTES}");
}

/// What stops the thread that writes is what the owner is told, and nobody waits for ever.
#[test]
fn an_export_tells_what_its_thread_met() {
    let faults = [
        (Fault::Errno(libc::ENOSPC), Status::NoSpace),
        (Fault::Errno(libc::EIO), Status::IoError),
        (Fault::Panic, Status::Panic),
    ];
    let disk = large_disk(8 << 20);
    for (fault, status) in faults {
        for (kind, skip) in [(OpKind::Write, 0), (OpKind::Write, 3), (OpKind::Sync, 0)] {
            let failing = disk.fork();
            failing.inject(Rule::new(fault.clone()).on(kind).path("out/").skip(skip));
            let config = EngineConfig { segment_min_bytes: 64 << 10, ..EngineConfig::default() };
            let engine = Engine::with_storage(config, Arc::new(failing.clone())).expect("an engine");
            let result = Conversion::new(&engine, PATH, 7).export("/out".as_ref());
            assert_eq!(result.map_err(|e| e.status), Err(status), "{kind:?} {skip}");
            engine.close().expect("everything is closed");
            assert!(!failing.exists("/out/META.new"), "{kind:?} {skip}: it goes on");
            convert(&failing, |c| c.export("/again".as_ref())).expect("the log is as good as before");
        }
    }
}

/// A log that is exported because its disk is full must not fill it the more: whatever finds no space, what was written goes.
#[test]
fn an_export_that_finds_no_space_leaves_nothing() {
    type Call = fn(&Conversion<'_>) -> Result<()>;
    let calls: [(&str, Call); 2] =
        [("in place", |c| c.export_in_place().map(drop)), ("elsewhere", |c| c.export("/out".as_ref()).map(drop))];
    for (name, call) in calls {
        let disk = bulkhead_disk(1, SimConfig::default());
        let mut failed = 0;
        for kind in [OpKind::Create, OpKind::Allocate, OpKind::Write] {
            for nth in 0.. {
                let full = disk.fork();
                let part = if name == "in place" { "/cubefs-export/" } else { "/out/" };
                full.inject(Rule::errno(libc::ENOSPC).on(kind).path(part).skip(nth).once());
                let Err(e) = convert(&full, call) else { break };
                assert_eq!(e.status, Status::NoSpace, "{name}, {kind:?} {nth}: {e}");
                failed += 1;
                assert!(!full.exists("/out"), "{name}, {kind:?} {nth}: the target stays");
                assert!(!full.exists(&format!("{PATH}/cubefs-export")), "{name}, {kind:?} {nth}: files stay");
                let left = full.crash(Crash::PowerNothing);
                assert!(!left.exists("/out"), "{name}, {kind:?} {nth}: a power cut brings the target back");
                assert_eq!(view(&left), sample(), "{name}, {kind:?} {nth}");
                convert(&left, call).unwrap_or_else(|e| panic!("{name}, {kind:?} {nth}: the same call again: {e}"));
            }
        }
        println!("{name}: {failed} failed");
        assert!(failed > 3, "{name}: {failed}");
    }
}
