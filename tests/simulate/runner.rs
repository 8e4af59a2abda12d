//! Runs many histories on all cores, tells how far it is, and reports the first violation as something to read and to repeat.

use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bulkhead::io::sim::mix;
use bulkhead::Mode;

use super::plan::History;
use super::shrink::shrink;
use super::world::{play, World};
use crate::support::{env_number, tail_of_log};

/// A history that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(60);
/// Unless BULKHEAD_SHRINK says for how many seconds.
const SHRINK_FOR: Duration = Duration::from_secs(40);

/// How many histories, or for how long.
#[derive(Clone, Copy)]
pub enum Amount {
    Count(u64),
    Time(Duration),
}

#[derive(Default)]
pub struct Totals {
    pub runs: u64,
    pub steps: u64,
    pub restarts: u64,
    pub elapsed: Duration,
    /// How many histories had what.
    pub seen: BTreeMap<(&'static str, &'static str), u64>,
}

impl Totals {
    fn add(&mut self, history: &History, world: &World) {
        // Counts only if something went wrong in it and a restart was judged.
        self.runs += u64::from(world.troubles.get() > 0 && world.restarts.get() > 0);
        self.steps += history.steps.len() as u64;
        self.restarts += world.restarts.get();
        let parts = match history.modes.len() {
            1 => "1",
            2..=5 => "2 to 5",
            _ => "16",
        };
        let modes = [(Mode::Sync, "sync"), (Mode::None, "none"), (Mode::Interval, "interval")];
        let modes = modes.iter().filter(|m| history.modes.contains(&m.0)).map(|m| ("a partition in mode", m.1));
        let heals = if history.heals { "on" } else { "off" };
        let shape = [("partitions", parts), ("healing by itself", heals)];
        for what in world.seen().into_iter().chain(modes).chain(shape) {
            *self.seen.entry(what).or_default() += 1;
        }
    }

    /// One line for each thing, with its kinds and how many histories had them.
    pub fn table(&self) -> String {
        let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((what, how), count) in &self.seen {
            rows.entry(what).or_default().push(format!("{how} {count}"));
        }
        rows.iter().map(|(what, kinds)| format!("{what:>29} | {}\n", kinds.join(", "))).collect()
    }
}

/// Runs histories with seeds that follow from `base`. Panics with the report at the first violation.
pub fn run_many(base: u64, amount: Amount, shows_progress: bool) -> Totals {
    let (began, next, stop) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let failed: Mutex<Option<u64>> = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get());
    // Which seed each worker is at, and since when: a history that hangs is found.
    let current: Vec<Mutex<(u64, Instant)>> = (0..workers).map(|_| Mutex::new((0, Instant::now()))).collect();
    std::thread::scope(|scope| {
        for slot in &current {
            let (next, stop, totals, failed) = (&next, &stop, &totals, &failed);
            scope.spawn(move || loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let enough = match amount {
                    Amount::Count(count) => n >= count,
                    Amount::Time(time) => began.elapsed() >= time,
                };
                if enough || stop.load(Ordering::Relaxed) {
                    *slot.lock().unwrap() = (0, Instant::now() + Duration::from_secs(1 << 30));
                    return;
                }
                let seed = mix(&[base, n]);
                *slot.lock().unwrap() = (seed, Instant::now());
                let history = Rc::new(History::from_seed(seed));
                let (verdict, world) = play(&history, false);
                if verdict.is_err() {
                    failed.lock().unwrap().get_or_insert(seed);
                    stop.store(true, Ordering::Relaxed);
                    continue;
                }
                totals.lock().unwrap().add(&history, &world);
            });
        }
        watch(&current, &next, &totals, &stop, began, shows_progress);
    });
    if let Some(seed) = failed.into_inner().unwrap() {
        report(seed);
    }
    Totals { elapsed: began.elapsed(), ..totals.into_inner().unwrap() }
}

/// A line per second, until all workers are done.
fn watch(
    current: &[Mutex<(u64, Instant)>],
    next: &AtomicU64,
    totals: &Mutex<Totals>,
    stop: &AtomicBool,
    began: Instant,
    shows_progress: bool,
) {
    let mut told = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(2));
        let slots: Vec<(u64, Instant)> = current.iter().map(|c| *c.lock().unwrap()).collect();
        let done = next.load(Ordering::Relaxed) > 0 && slots.iter().all(|(seed, _)| *seed == 0);
        if let Some((seed, _)) = slots.iter().find(|(seed, since)| *seed != 0 && since.elapsed() > HANGS) {
            eprintln!("hangs for {HANGS:?}\nreplay: {}", command(*seed));
            std::process::exit(1); // a thread that hangs cannot be joined
        }
        if shows_progress && (done || told.elapsed() > Duration::from_secs(1)) {
            told = Instant::now();
            let runs = totals.lock().unwrap().runs;
            let rate = runs as f64 / began.elapsed().as_secs_f64();
            let violations = u64::from(stop.load(Ordering::Relaxed));
            eprint!("\r{runs} histories, {rate:.0} per second, {violations} violations    ");
            let _ = std::io::stderr().flush();
        }
        if done {
            if shows_progress {
                eprintln!();
            }
            return;
        }
    }
}

fn command(seed: u64) -> String {
    format!("make simulate SEED={seed:#x}")
}

/// One history by its seed. Panics with the report if it fails.
pub fn replay(seed: u64) {
    if play(&Rc::new(History::from_seed(seed)), false).0.is_err() {
        report(seed);
    }
}

/// Tells what fails, how to run it again, and the shortest history that fails.
pub fn report(seed: u64) -> ! {
    let history = History::from_seed(seed);
    let limit = env_number("BULKHEAD_SHRINK").map_or(SHRINK_FOR, Duration::from_secs);
    let (shortest, tries) = shrink(&history, limit);
    let shortest = Rc::new(shortest);
    let (verdict, world) = play(&shortest, true);
    let what = verdict.err().unwrap_or_else(|| "fails, and does not fail again: a bug of the simulation".into());
    let story: String = world.story().iter().map(|line| format!("{line}\n")).collect();
    let whole = play(&Rc::new(history.clone()), true).0.err().unwrap_or_default();
    panic!(
        "{whole}\nreplay: {}\n\nShortened from {} steps to {} in {tries} tries: {what}\n{:?}, segments of {} bytes, cache of {} bytes, heals by itself: {}, {:?}\n\
         Each step with the number of the operation before which it comes:\n{story}operations:\n{}",
        command(seed),
        history.steps.len(),
        shortest.steps.len(),
        shortest.modes,
        shortest.segment_bytes,
        shortest.cache_bytes,
        shortest.heals,
        shortest.config,
        tail_of_log(&world.disk())
    )
}
