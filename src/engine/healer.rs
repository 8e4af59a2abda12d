//! A disk's healer: one thread, started when the first partition of the disk has a fault, that tries to bring partitions back, and looks
//! after those that were closed with a fault. It is apart from the workers and the housekeeper, so that a try that hangs in the kernel holds up
//! nobody but other faulted partitions of the same disk.

use super::disk::Disk;
use super::shared::run_chore;
use crate::error::Op;
use crate::io::block_file_size_signal;
use crate::partition::Partition;
use crate::sync::{Condvar, Mutex};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::time::Instant;

enum Job {
    Probe(Weak<Partition>),
    /// A look whether the directories of closed ones are still there.
    Look,
}

#[derive(Default)]
struct Probes {
    due: Vec<(Instant, Job)>,
    running: bool,
    stop: bool,
}

#[derive(Default)]
pub struct Healer {
    probes: Mutex<Probes>,
    wait: Condvar,
}

impl Healer {
    /// Plans a probe, and starts the thread if there is none yet.
    pub fn add(&self, disk: &Arc<Disk>, partition: Weak<Partition>, at: Instant) {
        self.plan(disk, Job::Probe(partition), at);
    }

    pub fn look(&self, disk: &Arc<Disk>) {
        self.plan(disk, Job::Look, Instant::now());
    }

    fn plan(&self, disk: &Arc<Disk>, job: Job, at: Instant) {
        let mut probes = self.probes.lock();
        if probes.stop {
            return;
        }
        probes.due.push((at, job));
        Self::start_if_needed(disk, &mut probes);
        drop(probes);
        self.wait.notify_one();
    }

    /// Called by the timer: starts the thread if there was none to be had when it was needed.
    pub fn tend(&self, disk: &Arc<Disk>) {
        Self::start_if_needed(disk, &mut self.probes.lock());
    }

    fn start_if_needed(disk: &Arc<Disk>, probes: &mut Probes) {
        if !probes.running && !probes.stop && !probes.due.is_empty() {
            let own = disk.clone();
            probes.running = disk.spawn("bulkhead-heal", move || own.healer.run(&own));
        }
    }

    pub fn stop(&self) {
        let mut probes = self.probes.lock();
        probes.stop = true;
        let due = std::mem::take(&mut probes.due);
        drop(probes);
        self.wait.notify_all();
        drop(due);
    }

    fn run(&self, disk: &Disk) {
        block_file_size_signal();
        while let Some(job) = self.next() {
            match job {
                // A panic costs the look, not the thread.
                Job::Look => drop(catch_unwind(AssertUnwindSafe(|| disk.look_for_left()))),
                Job::Probe(partition) => {
                    if let Some(partition) = partition.upgrade() {
                        run_chore(&partition, Op::Recover, Partition::probe);
                    }
                }
            }
        }
    }

    /// Waits for the next job that is due; `None` when the disk stops.
    fn next(&self) -> Option<Job> {
        let mut probes = self.probes.lock();
        loop {
            if probes.stop {
                return None;
            }
            let first = probes.due.iter().enumerate().min_by_key(|(_, p)| p.0).map(|(i, p)| (i, p.0));
            match first {
                None => self.wait.wait(&mut probes),
                Some((_, at)) if at > Instant::now() => {
                    self.wait.wait_until(&mut probes, at);
                }
                Some((i, _)) => return Some(probes.due.swap_remove(i).1),
            }
        }
    }
}
