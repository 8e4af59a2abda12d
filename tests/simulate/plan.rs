//! What happens in a history: a list of steps that follows from a seed. A step says what it does in terms of the log as it then is, so that
//! a history from which steps are taken out is still a history.

use std::time::Duration;

use bulkhead::io::sim::{mix, Crash, Fault, OpKind, Rule, SimConfig};
use bulkhead::{Limit, LimitChange, LimitScope, Mode, LIMITS};

use super::action::{Action, Batch, Step};
use crate::support::Payload;

/// Numbers that follow from the seed.
pub struct Dice {
    seed: u64,
    rolls: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { seed, rolls: 0 }
    }

    /// Below `n`.
    pub fn roll(&mut self, n: u64) -> u64 {
        self.rolls += 1;
        mix(&[self.seed, self.rolls]) % n.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize].clone()
    }
}

/// All that a history needs.
#[derive(Clone)]
pub struct History {
    pub seed: u64,
    pub config: SimConfig,
    pub modes: Vec<Mode>,
    pub segment_bytes: u32,
    pub cache_bytes: u64,
    /// The engine heals by itself.
    pub heals: bool,
    /// Steps are taken in the middle of an open, too.
    pub wide: bool,
    pub steps: Vec<Step>,
}

fn sim_config(dice: &mut Dice) -> SimConfig {
    let direct_io = !dice.one_in(4);
    SimConfig {
        direct_io,
        journalled: !dice.one_in(3),
        can_allocate: !dice.one_in(8),
        block_bytes: dice.pick(&[512, 4096, 4096]),
        failed_syncs_forget: !dice.one_in(6),
        full_errno: dice.pick(&[libc::ENOSPC, libc::EDQUOT]),
        ..SimConfig::default()
    }
}

pub const ERRNOS: [i32; 9] =
    [libc::EIO, libc::EIO, libc::EIO, libc::ENOSPC, libc::EROFS, libc::EDQUOT, libc::EINTR, libc::ENOMEM, libc::EMFILE];

/// A fault on the Nth operation from now, once, for some time, or for good; of one partition or of all.
pub fn random_rule(dice: &mut Dice, parts: u64) -> Rule {
    let fault = match dice.roll(14) {
        0 => Fault::Short(0),
        1 => Fault::Short(dice.roll(5000) as usize),
        2 => Fault::ErrnoAfter(dice.pick(&ERRNOS)),
        3 => Fault::Delay(Duration::from_millis(dice.pick(&[1, 40, 900, 2500]))),
        4 => Fault::Panic,
        _ => Fault::Errno(dice.pick(&ERRNOS)),
    };
    let skip = dice.pick(&[0, 0, 1, 2, 5, 20]);
    let mut rule = Rule::new(fault).skip(dice.roll(skip + 1)).times(dice.pick(&[1, 1, 1, 2, 10, u64::MAX]));
    if !dice.one_in(3) {
        rule = rule.path(&format!("/p{}", dice.roll(parts) + 1));
    }
    match dice.roll(6) {
        0 => rule.on(OpKind::Write).on(OpKind::Sync),
        1 => rule.on(OpKind::Write),
        2 => rule.on(OpKind::Sync).on(OpKind::SyncDir),
        3 => rule.on(dice.pick(&OpKind::ALL)),
        _ => rule.on_changes(),
    }
}

fn random_lie(dice: &mut Dice, part: u64, parts: u64) -> Rule {
    let shift = dice.pick(&[512, 4096, -4096, 8192, 16 << 10, -(16 << 10), 64 << 10]);
    let fault = match dice.roll(6) {
        0..=2 => Fault::Lost,
        3..=4 => Fault::Misplaced(shift),
        _ => {
            let file = if dice.one_in(4) { "root".to_string() } else { format!("seg-{:016x}", dice.roll(3) + 1) };
            Fault::Misdirected(format!("/p{}/{file}", dice.roll(parts) + 1), dice.roll(4) * 4096)
        }
    };
    let rule = Rule::new(fault).path(&format!("/p{}/seg-", part + 1)).skip(dice.roll(8)).times(dice.pick(&[1, 1, 2]));
    if dice.one_in(3) {
        rule.on(OpKind::Sync)
    } else {
        rule.on(OpKind::Write)
    }
}

fn random_batch(dice: &mut Dice, kind: &Kind) -> Batch {
    if kind.fills {
        return Batch {
            replaces: if dice.one_in(3) { 1 + dice.roll(12) } else { 0 },
            term_up: dice.one_in(10),
            count: dice.pick(&[1, 3, 8]),
            len: dice.pick(&[400, 9000, 20000]),
            payload: dice.pick(&Payload::ALL),
        };
    }
    let long = kind.long;
    Batch {
        replaces: if dice.one_in(kind.replace_one_in) { 1 + dice.roll(12) } else { 0 },
        term_up: dice.one_in(10),
        count: dice.pick(&[1, 1, 1, 2, 5, 20]),
        len: dice.pick(if long { &[0, 30, 400, 4040, 9000, 20000] } else { &[0, 1, 30, 400, 4040, 9000] }),
        payload: dice.pick(&Payload::ALL),
    }
}

/// A value that makes a difference in a history, the limit above taken back, or a value that is out of range.
fn random_limit(dice: &mut Dice) -> LimitChange {
    let row = dice.pick(&LIMITS);
    let usual: &[u64] = match row.limit {
        Limit::MaxEntryBytes => &[4_000, 12_000, 64 << 20],
        Limit::SegmentMinBytes | Limit::SegmentMaxBytes => &[64 << 10, 96 << 10, 128 << 10, 1 << 20],
        Limit::IntervalMs => &[1, 10, 1_000],
        Limit::StallLimitMs => &[100, 2_000, 600_000],
        Limit::SlowDiskMs => &[0, 500],
        Limit::FlushThreadsPerDisk => &[1, 64],
        Limit::HealLimitMs | Limit::SpaceWaitMs => &[0, 300, 2_000],
        // So that what heals by itself has done so when the judge looks.
        Limit::ProbeMs => &[0, 10, 250],
        Limit::ReadCacheBytes => &[0, 4096, 64 << 20],
        Limit::IdleCheckMs => &[0, 250],
    };
    let value = match dice.roll(12) {
        0 => Some(row.low.wrapping_sub(1)),
        1 => Some(row.high.wrapping_add(1)),
        2 | 3 => None,
        _ => Some(dice.pick(usual)),
    };
    LimitChange { limit: row.limit, value }
}

/// What a step may be. A history draws from these with weights of its own.
#[derive(Clone, Copy)]
enum Class {
    Append,
    Submit,
    HardState,
    Compact,
    Reset,
    Sync,
    Read,
    Verify,
    Limits,
    Reopen,
    Recover,
    Backup,
    Repair,
    Work,
    Time,
    Fault,
    Lie,
    Tamper,
    Full,
    SpaceBack,
    DropCaches,
    Mend,
}

const CLASSES: [(Class, u64); 22] = [
    (Class::Append, 40),
    (Class::Submit, 8),
    (Class::HardState, 9),
    (Class::Compact, 4),
    (Class::Reset, 1),
    (Class::Sync, 4),
    (Class::Read, 3),
    (Class::Verify, 1),
    (Class::Limits, 3),
    (Class::Reopen, 4),
    (Class::Recover, 4),
    (Class::Backup, 1),
    (Class::Repair, 1),
    (Class::Work, 6),
    (Class::Time, 4),
    (Class::Fault, 6),
    (Class::Lie, 2),
    (Class::Tamper, 1),
    (Class::Full, 1),
    (Class::SpaceBack, 1),
    (Class::DropCaches, 1),
    (Class::Mend, 1),
];

/// In every other history some kinds of steps are left out and others come often: what needs several of one kind comes up there
/// (swarm testing: Groce and others, ISSTA 2012).
fn random_weights(dice: &mut Dice, kind: &Kind) -> Vec<(Class, u64)> {
    let swarm = dice.one_in(2);
    let weight = |(class, usual): (Class, u64)| {
        let many = if swarm { dice.pick(&[0, 1, 1, 4, 10]) } else { 1 };
        let times = match class {
            Class::Append => many.clamp(1, 4),
            Class::Fault if !kind.faults => 0,
            Class::Lie | Class::Tamper if !kind.lies => 0,
            Class::Full | Class::SpaceBack if !kind.full => 0,
            _ => many,
        };
        (class, usual * times)
    };
    CLASSES.into_iter().map(weight).collect()
}

fn random_action(dice: &mut Dice, part: u64, parts: u64, kind: &Kind) -> Action {
    let mut roll = dice.roll(kind.weights.iter().map(|w| w.1).sum());
    let drawn = kind.weights.iter().find(|w| {
        let hit = roll < w.1;
        roll = roll.wrapping_sub(w.1);
        hit
    });
    action_of(drawn.map_or(Class::Append, |w| w.0), dice, part, parts, kind)
}

fn action_of(class: Class, dice: &mut Dice, part: u64, parts: u64, kind: &Kind) -> Action {
    match class {
        Class::Append => Action::Append(random_batch(dice, kind)),
        Class::Submit => Action::Submit(random_batch(dice, kind)),
        Class::HardState => Action::HardState {
            term_up: u64::from(dice.one_in(kind.term_up_one_in)),
            vote: dice.roll(4),
            commit: dice.pick(&[0, 30, 100, 100]),
        },
        Class::Compact => Action::Compact(dice.pick(&[10, 50, 90, 100])),
        Class::Reset => Action::Reset(dice.roll(30) + 1),
        Class::Sync => Action::Sync,
        Class::Read => Action::Read,
        Class::Verify => Action::Verify,
        Class::Limits => {
            let changes = (0..dice.pick(&[1, 1, 2, 3])).map(|_| random_limit(dice)).collect();
            Action::Limits(dice.pick(&[LimitScope::Engine, LimitScope::Disk, LimitScope::Partition]), changes)
        }
        Class::Reopen => Action::Reopen,
        Class::Recover => Action::Recover,
        Class::Backup => Action::Backup,
        Class::Repair => Action::Repair(kind.lies.then(|| dice.roll(u64::MAX))),
        Class::Work => Action::Work(dice.pick(&[1, 1, 2, 10])),
        Class::Time => Action::Time(Duration::from_millis(dice.pick(&[1, 5, 20, 1100, 3000]))),
        Class::Fault => Action::Inject(random_rule(dice, parts)),
        Class::Lie => Action::Lie(random_lie(dice, part, parts)),
        Class::Tamper => match dice.roll(3) {
            0 => Action::FlipBit(dice.roll(u64::MAX)),
            1 => Action::Unreadable(dice.roll(u64::MAX)),
            _ => Action::Unwritable(dice.roll(u64::MAX)),
        },
        Class::Full => Action::Full(dice.roll(40) << dice.pick(&[12, 14, 16])),
        Class::SpaceBack => Action::SpaceBack,
        Class::DropCaches => Action::DropCaches,
        Class::Mend => dice.pick(&[Action::ClearFaults, Action::Mend]),
    }
}

/// What a history has in it.
struct Kind {
    faults: bool,
    lies: bool,
    full: bool,
    long: bool,
    /// Large batches, many replacements, steps in the middle of background work.
    fills: bool,
    /// One batch in this many replaces a suffix.
    replace_one_in: u64,
    term_up_one_in: u64,
    weights: Vec<(Class, u64)>,
}

type Allowed = fn(&Kind) -> bool;

/// What goes wrong on purpose in half of the lives of a history that has it at all, whatever its weights.
const TROUBLES: [(Allowed, Class); 4] = [
    (|kind| kind.faults, Class::Fault),
    (|kind| kind.lies, Class::Lie),
    (|kind| kind.lies, Class::Tamper),
    (|kind| kind.full, Class::Full),
];

impl History {
    pub fn from_seed(seed: u64) -> History {
        let dice = &mut Dice::new(seed);
        let config = sim_config(dice);
        let parts = match dice.roll(40) {
            0 => 16,
            1..=8 => 1,
            _ => 2 + dice.roll(2) * dice.roll(4),
        };
        let modes = (0..parts).map(|_| dice.pick(&[Mode::Sync, Mode::Sync, Mode::None, Mode::Interval])).collect();
        let length = match dice.roll(20) {
            0 => 150,
            1..=4 => 50,
            _ => 14,
        };
        let lives = 1 + dice.roll(3);
        let mut kind = Kind {
            faults: !dice.one_in(5),
            lies: dice.one_in(3),
            full: dice.one_in(3),
            long: length > 100,
            fills: dice.one_in(8),
            replace_one_in: dice.pick(&[2, 5, 5, 5, 20]),
            term_up_one_in: dice.pick(&[1, 3, 3]),
            weights: Vec::new(),
        };
        kind.weights = random_weights(dice, &kind);
        let mut steps = Vec::new();
        for _ in 0..lives {
            let begin = steps.len();
            for _ in 0..1 + dice.roll(length / lives) {
                let part = dice.roll(parts);
                let action = random_action(dice, part, parts, &kind);
                let during = dice.one_in(if kind.fills { 3 } else { 8 }).then(|| 1 + dice.roll(12));
                steps.push(Step { part: part as usize, action, during });
            }
            if dice.one_in(3) {
                steps.push(Step { part: 0, action: Action::Mend, during: None });
            }
            for (_, class) in TROUBLES.iter().filter(|(allowed, _)| allowed(&kind)) {
                if dice.one_in(2) {
                    let part = dice.roll(parts);
                    let action = action_of(*class, dice, part, parts, &kind);
                    // Early in this life: something has to come after it.
                    let at = begin + dice.roll((steps.len() - begin) as u64 / 2 + 1) as usize;
                    steps.insert(at, Step { part: part as usize, action, during: None });
                }
            }
            if dice.one_in(2) {
                let at = begin + dice.roll((steps.len() - begin) as u64 + 1) as usize;
                let ahead = 1 + dice.roll(40);
                steps.insert(at, Step { part: 0, action: Action::PowerCutAt(ahead), during: None });
            }
            let how = dice.pick(&[
                Crash::Process,
                Crash::PowerNothing,
                Crash::PowerRandom,
                Crash::PowerRandom,
                Crash::PowerEverything,
            ]);
            steps.push(Step { part: 0, action: Action::Crash(how), during: None });
        }
        let segment_bytes = dice.pick(&[64 << 10, 64 << 10, 64 << 10, 128 << 10]);
        let mut history = History {
            seed,
            config,
            modes,
            segment_bytes,
            cache_bytes: dice.pick(&[0, 4096, 64 << 20]),
            heals: !dice.one_in(3),
            wide: false,
            steps,
        };
        history.widen();
        history
    }

    /// Without the last partition, and what is about it.
    pub fn without_last_partition(&self) -> Option<History> {
        let left = self.modes.len().checked_sub(1).filter(|n| *n > 0)?;
        let mut less = self.clone();
        less.modes.truncate(left);
        less.steps.retain(|s| s.part < left);
        Some(less)
    }
}
