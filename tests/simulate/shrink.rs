//! Makes a failing history short: partitions, steps and details are taken out as long as it still fails, for a bounded time.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::action::Action;
use super::plan::History;
use super::world::play;

struct Shrinker {
    best: History,
    end: Instant,
    tries: u64,
}

/// The shortest failing history that was found, and how many were tried.
pub fn shrink(history: &History, limit: Duration) -> (History, u64) {
    let mut shrinker = Shrinker { best: history.clone(), end: Instant::now() + limit, tries: 0 };
    loop {
        let before = shrinker.size();
        while shrinker.best.without_last_partition().is_some_and(|less| shrinker.fails(less)) {}
        shrinker.drop_steps();
        shrinker.simplify();
        if shrinker.size() == before || Instant::now() > shrinker.end {
            return (shrinker.best, shrinker.tries);
        }
    }
}

impl Shrinker {
    fn size(&self) -> (usize, usize, usize) {
        let inner = self.best.steps.iter().filter(|s| s.during.is_some()).count();
        (self.best.steps.len(), self.best.modes.len(), inner)
    }

    /// Keeps it if it fails.
    fn fails(&mut self, candidate: History) -> bool {
        if Instant::now() > self.end {
            return false;
        }
        self.tries += 1;
        let candidate = Rc::new(candidate);
        let failed = play(&candidate, false).0.is_err();
        if failed {
            self.best = (*candidate).clone();
        }
        failed
    }

    /// Takes out runs of steps, long ones first.
    fn drop_steps(&mut self) {
        let mut run = self.best.steps.len().next_power_of_two();
        while run > 0 {
            let mut at = 0;
            while at < self.best.steps.len() {
                let mut less = self.best.clone();
                less.steps.drain(at..(at + run).min(less.steps.len()));
                if !self.fails(less) {
                    at += run;
                }
            }
            run /= 2;
        }
    }

    /// Steps in the middle of an operation come after it, batches get one short entry, and conversions become fewer, if that fails as well.
    fn simplify(&mut self) {
        for at in 0..self.best.steps.len() {
            let mut plain = self.best.clone();
            if plain.steps[at].during.take().is_some() {
                self.fails(plain);
            }
            let mut small = self.best.clone();
            if let Action::Append(batch) | Action::Submit(batch) = &mut small.steps[at].action {
                if batch.count > 1 {
                    batch.count = 1;
                    self.fails(small);
                }
            }
            let calls = if let Action::Convert(calls) = &self.best.steps[at].action { calls.len() } else { 0 };
            for i in (0..calls).rev() {
                let mut fewer = self.best.clone();
                if let Action::Convert(calls) = &mut fewer.steps[at].action {
                    calls.remove(i);
                }
                self.fails(fewer);
            }
        }
    }
}
