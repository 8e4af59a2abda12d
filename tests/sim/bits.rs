//! F14: any single flipped bit anywhere in a directory is found or harmless.

use crate::support::*;
use bulkhead::io::sim::mix;
use bulkhead::{Engine, Entry, HardState, Mode, State, Status};

/// Opens a tampered directory; `Some(complaint)` if something is wrong with it and nobody says so.
fn judge(engine: &Engine, mode: Mode, log: &[Entry], state_before: HardState) -> Option<String> {
    let p = match try_open(engine, "/t", 1, mode) {
        Ok(p) => p,
        Err(_) => return None, // refused, with a reason
    };
    let status = p.status();
    let reported = |i: u64| {
        let within = |r: (u64, u64)| (r.0..=r.1).contains(&i);
        status.state != State::ReadWrite
            || within((status.damaged.0, status.damaged.1))
            || within(status.maybe_acknowledged)
            || within(status.lost)
    };
    let complaint = (|| {
        for wanted in log {
            match p.read(wanted.index, wanted.index + 1, u64::MAX) {
                Ok(found) if found[0] == *wanted => {}
                Ok(found) => {
                    return Some(format!(
                        "entry {} came back as another: {:?}",
                        wanted.index,
                        (found[0].index, found[0].term)
                    ))
                }
                // What no open scans the read itself finds.
                Err(e) if matches!(e.status, Status::Damaged | Status::IoError) || reported(wanted.index) => {}
                Err(e) => return Some(format!("entry {} is gone and nobody says so: {e}", wanted.index)),
            }
        }
        if p.bounds().is_ok_and(|b| b.1 > 16) {
            return Some("entries that nobody wrote".into());
        }
        match p.hard_state() {
            Ok(h) if (h.term, h.vote) != (state_before.term, state_before.vote) => Some(format!("another vote: {h:?}")),
            Ok(h) if h.commit > 16 => Some(format!("commit {} beyond the log", h.commit)),
            _ => None,
        }
    })();
    let _ = p.close();
    complaint
}

#[test]
fn f14_any_single_flipped_bit_is_found_or_harmless() {
    for (mode, close) in [Mode::Sync, Mode::Interval, Mode::None].into_iter().flat_map(|m| [(m, false), (m, true)]) {
        let (disk, log, state) = small_log(mode, close);
        let engine = engine(&disk);
        for path in disk.files("/p1") {
            let bytes = disk.durable_bytes(&path);
            let target = path.replacen("/p1", "/t", 1);
            for byte in 0..bytes.len() {
                // Every bit of what was written; a few of the padding and the space not used yet.
                let near = bytes[byte.saturating_sub(8)..(byte + 8).min(bytes.len())].iter().any(|b| *b != 0);
                if !near && byte % 509 != 0 {
                    continue;
                }
                // All eight bits of each byte would take minutes; which one changes from byte to byte.
                let bit = (mix(&[byte as u64, mode as u64, close as u64]) % 8) as u8;
                disk.copy_dir("/p1", "/t");
                disk.flip_bit(&target, byte as u64, bit);
                if let Some(complaint) = judge(&engine, mode, &log, state) {
                    panic!("{mode:?}, closed: {close}, {path}, byte {byte}, bit {bit}: {complaint}");
                }
                disk.remove("/t");
            }
        }
    }
}
