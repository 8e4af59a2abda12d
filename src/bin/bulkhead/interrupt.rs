//! Ctrl-C and SIGTERM: the first one is a wish to end, the second one ends.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static WISHED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on `is_set` tells. Where it cannot be arranged a signal ends the command, as without it.
pub fn watch() {
    let wished = WISHED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds what the first has set.
        let _ = flag::register_conditional_default(signal, wished.clone());
        let _ = flag::register(signal, wished.clone());
    }
}

pub fn is_set() -> bool {
    WISHED.get().is_some_and(|wished| wished.load(Ordering::Relaxed))
}
