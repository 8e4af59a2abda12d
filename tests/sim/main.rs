//! The log on the simulated disk: a fault, a crash, a bad byte at a time. One program, so that it links once; what measures threads or memory
//! of its process is a program of its own (sim_level, sim_memory, sim_hostile, sim_stall_threads).

#[path = "../cubefs_support/mod.rs"]
mod cubefs_support;
#[path = "../support/mod.rs"]
mod support;

mod backup;
mod beside;
mod bits;
mod close;
mod cubefs;
mod every_io;
mod full;
mod hang;
mod heal;
mod idle;
mod interleaved;
mod kept;
mod known;
mod latch;
mod limits;
mod lost_root;
mod lying;
mod marks;
mod open;
mod orphans;
mod probe;
mod random;
mod recovery;
mod repair;
mod repairs;
mod rescue;
mod resume;
mod sectors;
mod shared;
mod space;
mod spare;
mod stale;
mod stall;
mod state;
mod terms;
mod unread;
mod verify;
