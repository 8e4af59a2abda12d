//! A disk's healer: one thread, started when the first partition of the disk has a fault, that tries to bring partitions back.
//! It is apart from the workers and the housekeeper, so that a try that hangs in the kernel holds up nobody but other faulted partitions
//! of the same disk.

use super::disk::Disk;
use super::shared::run_chore;
use crate::error::Op;
use crate::io::real::block_file_size_signal;
use crate::partition::Partition;
use crate::sync::{Condvar, Mutex};
use std::sync::{Arc, Weak};
use std::time::Instant;

#[derive(Default)]
struct Probes {
    due: Vec<(Instant, Weak<Partition>)>,
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
        let mut probes = self.probes.lock();
        if probes.stop {
            return;
        }
        probes.due.push((at, partition));
        if !probes.running {
            let own = disk.clone();
            // Without a thread `recover` is still there; the next fault tries again.
            probes.running = disk.spawn("bulkhead-heal", move || own.healer.run());
        }
        drop(probes);
        self.wait.notify_one();
    }

    pub fn stop(&self) {
        let mut probes = self.probes.lock();
        probes.stop = true;
        let due = std::mem::take(&mut probes.due);
        drop(probes);
        self.wait.notify_all();
        drop(due);
    }

    fn run(&self) {
        block_file_size_signal();
        while let Some(partition) = self.next() {
            run_chore(&partition, Op::Recover, Partition::probe);
        }
    }

    /// Waits for the next probe that is due; `None` when the disk stops.
    fn next(&self) -> Option<Arc<Partition>> {
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
                Some((i, _)) => {
                    if let Some(partition) = probes.due.swap_remove(i).1.upgrade() {
                        return Some(partition);
                    }
                }
            }
        }
    }
}
