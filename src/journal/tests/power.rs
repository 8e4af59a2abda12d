//! Power cuts while a journal is made, named and written.

use super::*;
use std::collections::BTreeMap;

#[derive(Default)]
struct History {
    linked: Vec<u8>,
    attempted: Vec<Part>,
    /// Acknowledged, with a ticket that lives.
    needed: Vec<(Ticket, Part)>,
}

/// Parts of all segments, in order and without a gap, of odd lengths.
struct Ahead(BTreeMap<(u8, u64), u64>);

impl Ahead {
    fn next(&mut self, key: u64) -> Part {
        let (partition, segment) = ((key % 3) as u8 + 1, key / 3 % 2 + 1);
        let offset = self.0.entry((partition, segment)).or_insert(4096);
        let len = (mix(&[key, 1]) % 2500) as usize + 1;
        let part = Part { partition, segment, offset: *offset, len };
        *offset = crate::format::align8(*offset + len as u64);
        part
    }
}

/// Goes on until the power goes.
fn run(disk: &SimDisk, key: u64) -> History {
    let mut history = History::default();
    let Ok(home) = disk.open_dir(Path::new("/1")) else { return history };
    let Ok(journal) = Journal::create_sized(&*home, ID, REGION / 4) else { return history };
    for partition in 1..=3 {
        let dir = disk.open_dir(Path::new(&format!("/{partition}")));
        if dir.and_then(|dir| journal.link_into(&*dir)).is_err() {
            return history;
        }
        history.linked.push(partition);
    }
    let mut ahead = Ahead(BTreeMap::new());
    for n in 0..16 {
        let parts: Vec<Part> = (0..1 + n % 4).map(|m| ahead.next(mix(&[key, n, m]))).collect();
        history.attempted.extend(&parts);
        match write(&journal, &parts) {
            Ok(Some(ticket)) => history.needed.extend(parts.iter().map(|p| (ticket.clone(), *p))),
            Ok(None) => panic!("each turn fits into a region, and those before are given up"),
            Err(_) => return history,
        }
        let turn = journal.turn();
        history.needed.retain(|(ticket, _)| ticket.turn() == turn);
    }
    assert!(journal.turn() >= 2, "no region was written over");
    history
}

#[test]
fn what_was_acknowledged_is_read_after_a_power_cut_at_any_operation_and_nothing_else() {
    let mut torn = 0;
    for seed in 0..3 {
        let calm = disk(seed, SimConfig::default());
        let begin = calm.ops();
        run(&calm, seed);
        for op in begin + 1..=calm.ops() + 1 {
            for how in [Crash::PowerNothing, Crash::PowerRandom, Crash::PowerEverything] {
                let disk = disk(seed, SimConfig::default());
                disk.crash_at(op);
                let history = run(&disk, seed);
                let after = disk.crash(how);
                for partition in 1..=3 {
                    torn += u64::from(check(&after, partition, &history));
                }
            }
        }
    }
    assert!(torn > 20, "writes that were cut in the middle: {torn}");
}

/// True if a write that was not acknowledged has left a part.
fn check(disk: &SimDisk, partition: u8, history: &History) -> bool {
    let journaled = match open(disk, partition) {
        Ok(journaled) => journaled,
        Err(e) => {
            let unborn = matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData);
            assert!(unborn && !history.linked.contains(&partition), "{partition}: {e}");
            return false;
        }
    };
    assert!(journaled.unreadable().is_none() || !history.linked.contains(&partition));
    let there = shown(&journaled, partition, &history.attempted);
    for (_, part) in history.needed.iter().filter(|n| n.1.partition == partition) {
        assert!(there.contains(part), "acknowledged and gone: {part:?}");
    }
    there.iter().any(|p| !history.needed.iter().any(|n| n.1 == *p))
}
