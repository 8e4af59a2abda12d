//! F24: fail the Nth I/O, for every N of a full life cycle, in every way, once and from then on. A model judges each run.

use std::sync::mpsc;
use std::time::Duration;

use crate::support::driver::Driver;
use crate::support::judge::After;
use crate::support::*;
use bulkhead::io::sim::{Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::Mode;

/// Everything a partition does in its life. Goes on after refusals, as an owner would that retries.
fn life(d: &mut Driver) -> Result<(), String> {
    let opened = d.open(0, After::Close)?;
    if !opened && d.parts[0].handle.is_none() {
        return Ok(());
    }
    d.set_hard_state(0, hard(1, 1, 0))?;
    for round in 0..5u64 {
        let first = d.parts[0].model.last() + 1;
        d.append(0, &entries(first, first + 7, round + 1, 2600))?;
        d.check(0)?;
    }
    let last = d.parts[0].model.last();
    if last > 10 {
        d.append(0, &entries(last - 3, last, 7, 700))?;
        d.set_hard_state(0, hard(8, 2, last - 5))?;
        d.compact(0, last - 6)?;
        d.check(0)?;
    }
    d.sync(0)?;
    let after = d.close(0);
    if d.open(0, after)? {
        let last = d.parts[0].model.last();
        d.append(0, &entries(last + 1, last + 4, 9, 100))?;
        d.reset(0, last + 50, 9)?;
        let last = d.parts[0].model.last();
        d.append(0, &entries(last + 1, last + 2, 9, 100))?;
        d.check(0)?;
    }
    Ok(())
}

/// One run: the fault, the life, then what is left must be right, by recovery, by reopening or after a crash.
fn run(d: &mut Driver, rule: Rule, ending: u64) -> Result<bool, String> {
    d.disk.inject(rule);
    life(d)?;
    let fired = d.disk.faults_fired() > 0;
    d.disk.clear_faults();
    let sound = match ending % 4 {
        0 if d.parts[0].fault.is_some() && d.parts[0].handle.is_some() => d.recover(0)?,
        0 | 1 => {
            let after = d.close(0);
            d.open(0, after)?
        }
        2 => {
            let after = d.crash(Crash::Process);
            d.open(0, after)?
        }
        _ => {
            let after = d.crash(Crash::PowerRandom);
            d.open(0, after)?
        }
    };
    if sound {
        // And it works again. A fault that a background thread met may latch only now: that is one recovery more.
        if !(works(d)? || fired && d.recover(0)? && works(d)?) {
            return Err(format!("a partition that is ReadWrite on a good disk fails: {:?}", d.parts[0].fault));
        }
        d.check(0)?;
        let after = d.crash(Crash::PowerNothing);
        d.open(0, after)?;
    }
    Ok(fired)
}

fn works(d: &mut Driver) -> Result<bool, String> {
    let last = d.parts[0].model.last();
    Ok(d.append(0, &entries(last + 1, last + 3, 20, 1000))? && d.set_hard_state(0, hard(30, 1, last))? && d.sync(0)?)
}

/// All N for one kind of fault, of the operations that it can hit. A run that hangs is a failure as well.
fn every_io(name: &str, rule: &Rule, once: bool, stride: u64) {
    for (mode, direct_io) in [(Mode::Sync, true), (Mode::Sync, false), (Mode::None, true), (Mode::Interval, true)] {
        let mut at = 1;
        loop {
            let what = format!(
                "{name} {} at operation {at}, mode {mode:?}, direct I/O {direct_io}",
                if once { "once" } else { "from then on" }
            );
            let (send, receive) = mpsc::channel();
            let (rule, seed) = (rule.clone().skip(at - 1), at);
            std::thread::spawn(move || {
                // Without direct I/O nobody can look behind a page cache that differs from the medium.
                let disk = SimDisk::with_config(
                    seed,
                    SimConfig { direct_io, failed_syncs_forget: direct_io, ..SimConfig::default() },
                );
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let mut d = Driver::new(disk, &[mode]);
                    let result = run(&mut d, if once { rule.once() } else { rule }, at);
                    result.map_err(|e| format!("{e}\n{}", d.story()))
                }));
                let _ = send.send(outcome);
            });
            match receive.recv_timeout(Duration::from_secs(30)) {
                Ok(Ok(Ok(fired))) if !fired => break, // past the end of the life cycle
                Ok(Ok(Ok(_))) => {}
                Ok(Ok(Err(e))) => panic!("{what}: {e}"),
                Ok(Err(_)) => panic!("{what}: panicked"),
                Err(_) => panic!("{what}: hangs"),
            }
            at += stride;
        }
        assert!(at > 20, "{name}: the life cycle has only {at} operations");
    }
}

/// What is read or written comes up short; other kinds of operation cannot.
fn short(bytes: usize) -> Rule {
    Rule::new(Fault::Short(bytes)).on(OpKind::Read).on(OpKind::Write)
}

macro_rules! rows {
    ($($test:ident: $rule:expr, $stride:expr;)*) => { $(
        #[test]
        fn $test() {
            every_io(stringify!($test), &$rule, true, 1);
            every_io(stringify!($test), &$rule, false, $stride);
        }
    )* };
}

rows! {
    f24_every_io_gives_eio: Rule::errno(libc::EIO), 2;
    f24_every_io_gives_eio_after_it_happened: Rule::new(Fault::ErrnoAfter(libc::EIO)), 2;
    f24_every_io_gives_enospc: Rule::errno(libc::ENOSPC), 2;
    f24_every_io_gives_erofs: Rule::errno(libc::EROFS), 2;
    f24_every_io_gives_edquot: Rule::errno(libc::EDQUOT), 2;
    f24_every_io_gives_eintr: Rule::errno(libc::EINTR), 2;
    f24_every_io_gives_enomem: Rule::errno(libc::ENOMEM), 2;
    f24_every_io_gives_emfile: Rule::errno(libc::EMFILE), 2;
    f24_every_io_transfers_nothing: short(0), 2;
    f24_every_io_transfers_one_byte: short(1), 5;
    f24_every_io_ends_within_a_sector: short(511), 2;
    f24_every_io_ends_at_a_block: short(4096), 2;
}
