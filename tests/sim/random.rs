//! F25 once more, with the engine's real threads: interleavings that a simulation without threads does not have. The judge proper, which
//! replays exactly and runs by the million, is `simulate.rs`; here a run follows from its seed but for the timing of the threads.
//!
//! `BULKHEAD_SEED=n` runs one, `BULKHEAD_SEEDS=n` that many fresh ones; without either it runs the same hundred every time.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::support::driver::Driver;
use crate::support::judge::After;
use crate::support::*;
use bulkhead::io::sim::{mix, Crash, Fault, OpKind, Rule, SimConfig, SimDisk};
use bulkhead::{Entry, HardState, Mode};

/// Numbers that follow from the seed.
struct Dice {
    seed: u64,
    rolls: u64,
}

impl Dice {
    /// Below `n`.
    fn roll(&mut self, n: u64) -> u64 {
        self.rolls += 1;
        mix(&[self.seed, self.rolls]) % n.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize].clone()
    }
}

fn sim_config(dice: &mut Dice) -> SimConfig {
    let direct_io = !dice.one_in(4);
    SimConfig {
        direct_io,
        journalled: !dice.one_in(3),
        can_allocate: !dice.one_in(8),
        block_bytes: dice.pick(&[512, 4096, 4096]),
        // Without direct I/O nobody can look behind a page cache that differs from the medium.
        failed_syncs_forget: direct_io && !dice.one_in(6),
        full_errno: dice.pick(&[libc::ENOSPC, libc::EDQUOT]),
        ..SimConfig::default()
    }
}

/// A fault for some time: any errno, short results, delays, on one partition or all.
fn random_rule(dice: &mut Dice) -> Rule {
    let errnos = [
        libc::EIO,
        libc::EIO,
        libc::EIO,
        libc::ENOSPC,
        libc::EROFS,
        libc::EDQUOT,
        libc::EINTR,
        libc::ENOMEM,
        libc::EMFILE,
    ];
    let fault = match dice.roll(10) {
        0 => Fault::Short(dice.roll(5000) as usize),
        1 => Fault::ErrnoAfter(dice.pick(&errnos)),
        2 => Fault::Delay(Duration::from_micros(dice.roll(500))),
        _ => Fault::Errno(dice.pick(&errnos)),
    };
    let mut rule = Rule::new(fault).skip(dice.roll(20)).times(dice.pick(&[1, 1, 2, 10]));
    if dice.one_in(2) {
        rule = rule.path(&format!("/p{}", dice.roll(3) + 1));
    }
    match dice.roll(4) {
        0 => rule.on(OpKind::Write).on(OpKind::Sync),
        1 => rule.on(dice.pick(&OpKind::ALL)),
        _ => rule.on_changes(),
    }
}

fn random_append(dice: &mut Dice, d: &mut Driver, n: usize) -> Result<(), String> {
    let model = &d.parts[n].model;
    // What is committed is never replaced.
    let (last, point) = (model.last(), model.compaction().0.max(model.hard().commit));
    let mut first = last + 1;
    let mut term = model.last_term().max(model.hard().term);
    if dice.one_in(6) && last > point {
        // A new leader replaces a suffix.
        first = last - dice.roll((last - point).min(12));
        term += 1;
    } else if dice.one_in(10) {
        term += 1;
    }
    let payload = dice.pick(&Payload::ALL);
    let count = dice.pick(&[1, 1, 1, 2, 5, 20]);
    let batch: Vec<Entry> = (first..first + count)
        .map(|index| {
            let len = dice.pick(&[0, 1, 30, 400, 4040, 9000]);
            Entry { index, term, kind: dice.roll(256) as u8, data: payload.bytes(index, term, len) }
        })
        .collect();
    if term > model.hard().term {
        let hard = HardState { term, vote: dice.roll(4), commit: model.hard().commit };
        if !d.set_hard_state(n, hard)? {
            return Ok(());
        }
    }
    d.append(n, &batch).map(drop)
}

fn random_step(dice: &mut Dice, d: &mut Driver, n: usize) -> Result<(), String> {
    if d.parts[n].handle.is_none() {
        let after = d.close(n);
        return d.open(n, after).map(drop);
    }
    let (last, hard, point) = (d.parts[n].model.last(), d.parts[n].model.hard(), d.parts[n].model.compaction().0);
    match dice.roll(100) {
        0..=54 => random_append(dice, d, n)?,
        55..=66 => {
            let commit = hard.commit.max(point) + dice.roll(1 + last.saturating_sub(hard.commit.max(point)));
            let base = hard.term.max(d.parts[n].model.last_term());
            let term = base + dice.one_in(3) as u64;
            let vote = if term > hard.term { dice.roll(4) } else { hard.vote };
            d.set_hard_state(n, HardState { term, vote, commit })?;
        }
        67..=74 if last > point => drop(d.compact(n, point + 1 + dice.roll(last - point))?),
        75..=76 => {
            let term = d.parts[n].model.last_term().max(hard.term).max(1);
            d.reset(n, last + dice.roll(30) + 1, term)?;
        }
        77..=82 => drop(d.sync(n)?),
        83..=87 => {
            let after = d.close(n);
            d.open(n, after)?;
        }
        88..=91 if d.parts[n].fault.is_some() => drop(d.recover(n)?),
        _ => d.check(n)?,
    }
    Ok(())
}

fn history(d: &mut Driver, dice: &mut Dice) -> Result<(), String> {
    let count = d.parts.len();
    for _ in 0..1 + dice.roll(4) {
        for n in 0..count {
            if d.parts[n].handle.is_none() && !d.open(n, After::Close)? {
                return Err(format!("{} does not open on a good disk", d.parts[n].path));
            }
        }
        if dice.one_in(2) {
            let at = d.disk.ops() + 1 + dice.roll(200);
            d.disk.crash_at(at);
        }
        if dice.one_in(3) {
            d.disk.set_free(dice.roll(3) << 20);
        }
        for _ in 0..dice.roll(60) {
            if dice.one_in(25) {
                d.disk.inject(random_rule(dice));
            }
            let n = dice.roll(count as u64) as usize;
            random_step(dice, d, n)?;
            if d.disk.is_dead() {
                break;
            }
        }
        let how = dice.pick(&[
            Crash::Process,
            Crash::PowerNothing,
            Crash::PowerRandom,
            Crash::PowerRandom,
            Crash::PowerEverything,
        ]);
        let after = d.crash(how);
        d.disk.set_capacity(u64::MAX);
        for n in 0..count {
            if !d.open(n, after)? && d.parts[n].fault.is_some() {
                return Err(format!("{} is faulted on a good disk: {:?}", d.parts[n].path, d.parts[n].fault));
            }
        }
    }
    Ok(())
}

/// One run. What went wrong, if something did.
fn run(seed: u64) -> Result<(), String> {
    let mut dice = Dice { seed, rolls: 0 };
    let disk = SimDisk::with_config(seed, sim_config(&mut dice));
    let modes: Vec<Mode> =
        (0..1 + dice.roll(3)).map(|_| dice.pick(&[Mode::Sync, Mode::Sync, Mode::None, Mode::Interval])).collect();
    let mut d = Driver::new(disk, &modes);
    history(&mut d, &mut dice).map_err(|e| format!("{e}\nmodes {modes:?}, {}", d.story()))
}

fn run_within(seed: u64, limit: Duration) -> Result<(), String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(seed)));
        let _ = send.send(outcome.unwrap_or_else(|_| Err("panicked".into())));
    });
    receive.recv_timeout(limit).unwrap_or_else(|_| Err(format!("hangs for {limit:?}")))
}

#[test]
fn f25_random_histories() {
    let report = |seed: u64, e: String| {
        panic!("{e}\nreplay: BULKHEAD_SEED={seed:#x} cargo test --test sim random:: -- --nocapture")
    };
    if let Some(seed) = env_number("BULKHEAD_SEED") {
        return run_within(seed, Duration::from_secs(300)).unwrap_or_else(|e| report(seed, e));
    }
    let wanted = env_number("BULKHEAD_SEEDS");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
    let (base, wanted) = wanted.map_or((1, 100), |n| (now, n));
    let (began, next, failure) = (Instant::now(), AtomicU64::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= wanted || failure.lock().unwrap().is_some() {
                    return;
                }
                let seed = mix(&[base, n]);
                if let Err(e) = run_within(seed, Duration::from_secs(60)) {
                    failure.lock().unwrap().get_or_insert((seed, e));
                }
            });
        }
    });
    if let Some((seed, e)) = failure.into_inner().unwrap() {
        report(seed, e);
    }
    println!("{} histories in {:?}, none with a violation", next.load(Ordering::Relaxed) - 2, began.elapsed());
}
