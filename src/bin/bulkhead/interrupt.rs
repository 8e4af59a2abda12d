//! Ctrl-C and SIGTERM end the command at once, whatever it waits for. Where something is to be put in order first, the first one is a wish
//! to end, and the second one ends.

use crate::exit::Exit;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// The next signal ends the command.
static ENDS: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(true)));
static ORDERLY: AtomicBool = AtomicBool::new(false);

/// From now on a signal ends the command with the exit code for that. Where it cannot be arranged it ends it as without.
pub fn end_at_once() {
    for signal in listened() {
        let _ = flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, ENDS.clone());
    }
}

/// From now on the first signal is what `is_set` tells.
pub fn watch() {
    for signal in listened() {
        let _ = flag::register(signal, ENDS.clone()); // behind what ends it: that finds what an earlier signal has set
    }
    ENDS.store(false, Ordering::Relaxed);
    ORDERLY.store(true, Ordering::Relaxed);
}

/// Those that whoever started the command did not have it ignore, as a shell does with Ctrl-C for what runs in the background.
fn listened() -> impl Iterator<Item = i32> {
    static IGNORED: LazyLock<u64> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    });
    SIGNALS.into_iter().filter(|signal| *IGNORED >> (signal - 1) & 1 == 0)
}

pub fn is_set() -> bool {
    ORDERLY.load(Ordering::Relaxed) && ENDS.load(Ordering::Relaxed)
}
