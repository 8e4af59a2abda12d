//! What came to histories later: a stream of numbers of its own adds it to every other history. The rest of each, and the other half, are what
//! their seeds have always said.

use std::time::Duration;

use bulkhead::io::sim::{mix, Crash, Fault, OpKind, Rule};
use bulkhead::{Mode, State};

use super::action::{Action, Batch, Conversion, Place, Step, Trouble};
use super::plan::{random_rule, Dice, History};
use crate::support::Payload;

/// What storage says besides: a bad medium, a device that is gone, a filesystem that has found itself damaged, no descriptors in the system.
const MORE_ERRNOS: [i32; 6] =
    [libc::ENODATA, libc::EREMOTEIO, libc::EUCLEAN, libc::ETIMEDOUT, libc::ENFILE, libc::EAGAIN];

const MODES: [Mode; 3] = [Mode::Sync, Mode::None, Mode::Interval];

#[derive(Clone, Copy)]
enum Class {
    AtStart,
    Hang,
    Convert,
    Place,
    Restart,
    Wrong,
    Survey,
    Fence,
    Mode,
    Snapshot,
    Large,
    Errno,
}

const CLASSES: [(Class, u64); 12] = [
    (Class::AtStart, 6),
    (Class::Hang, 8),
    (Class::Convert, 4),
    (Class::Place, 5),
    (Class::Restart, 2),
    (Class::Wrong, 2),
    (Class::Survey, 2),
    (Class::Fence, 3),
    (Class::Mode, 3),
    (Class::Snapshot, 2),
    (Class::Large, 2),
    (Class::Errno, 2),
];

fn class(dice: &mut Dice) -> Class {
    let mut roll = dice.roll(CLASSES.iter().map(|c| c.1).sum());
    let hit = CLASSES.iter().find(|c| {
        let hit = roll < c.1;
        roll = roll.wrapping_sub(c.1);
        hit
    });
    hit.map_or(Class::Hang, |c| c.0)
}

impl History {
    /// Puts a few steps between those that are there.
    pub fn widen(&mut self) {
        let dice = &mut Dice::new(mix(&[self.seed, 0x71DE]));
        if dice.one_in(2) {
            return;
        }
        self.wide = true;
        let few = 1 + dice.roll(if self.steps.len() > 60 { 8 } else { 4 });
        for _ in 0..few {
            match class(dice) {
                Class::AtStart => self.add_start(dice),
                Class::Hang if dice.one_in(2) => self.add_hang(dice),
                class => {
                    let at = dice.roll(self.steps.len() as u64) as usize;
                    let step = self.step(class, dice);
                    let (part, puts_back) = (step.part, matches!(step.action, Action::Place(Place::PutBack)));
                    self.steps.insert(at, step);
                    if puts_back {
                        let step = Step { part, action: Action::Place(Place::Keep), during: None };
                        self.steps.insert(dice.roll(at as u64 + 1) as usize, step);
                    }
                }
            }
        }
    }

    fn step(&self, class: Class, dice: &mut Dice) -> Step {
        let parts = self.modes.len() as u64;
        let part = dice.roll(parts) as usize;
        let during = matches!(class, Class::Hang).then(|| 1 + dice.roll(12));
        let action = match class {
            Class::Hang | Class::AtStart => {
                let time = dice.pick(&[150, 900, 2_500, 2_500, 2_500, 6_000, 60_000]);
                Action::Hang(Duration::from_millis(time), dice.roll(6))
            }
            Class::Convert => Action::Convert((0..1 + dice.roll(4)).map(|_| random_conversion(dice)).collect()),
            Class::Place => Action::Place(dice.pick(&[
                Place::OpenTwice,
                Place::Move,
                Place::Anew,
                Place::Copy,
                Place::PutBack,
                Place::PutBack,
            ])),
            Class::Restart => Action::Restart,
            Class::Wrong => Action::Wrong,
            Class::Survey => Action::Survey,
            Class::Fence => Action::Fence(dice.pick(&[Some(State::ReadOnly), Some(State::Unavailable), None, None])),
            Class::Mode => Action::Mode(dice.pick(&MODES)),
            Class::Snapshot => Action::Snapshot(dice.pick(&[0, 30, 60, 100])),
            Class::Large => Action::Append(Batch {
                replaces: dice.pick(&[0, 0, 1, 5]),
                term_up: dice.one_in(4),
                count: dice.pick(&[1, 1, 2]),
                len: dice.pick(&[64 << 10, 70_000, 150_000, 300_000]),
                payload: dice.pick(&Payload::ALL),
            }),
            Class::Errno => {
                let kinds = [OpKind::Write, OpKind::Sync, OpKind::SyncDir, OpKind::Create, OpKind::Read, OpKind::Open];
                let rule = Rule::new(Fault::Errno(dice.pick(&MORE_ERRNOS))).on(dice.pick(&kinds));
                Action::Inject(rule.skip(dice.roll(4)).times(dice.pick(&[1, 1, 3, u64::MAX])))
            }
        };
        Step { part, action, during }
    }

    /// A call that hangs, and what its owner does meanwhile.
    fn add_hang(&mut self, dice: &mut Dice) {
        let at = dice.roll(self.steps.len() as u64) as usize;
        let mut steps = vec![self.step(Class::Hang, dice)];
        let part = steps[0].part;
        let batch = |dice: &mut Dice| Batch {
            replaces: dice.pick(&[0, 0, 3]),
            term_up: dice.one_in(4),
            count: dice.pick(&[1, 3, 8]),
            len: dice.pick(&[30, 4040, 9000, 20000]),
            payload: dice.pick(&Payload::ALL),
        };
        let vote = |dice: &mut Dice| Action::HardState { term_up: 1, vote: dice.roll(4), commit: 100 };
        for _ in 0..1 + dice.roll(2) {
            let hangs = match dice.roll(10) {
                0..=3 => Action::Append(batch(dice)),
                4 => vote(dice),
                5 => Action::Compact(50),
                6 => Action::Sync,
                7 => Action::Reopen,
                8 => Action::Recover,
                _ => Action::Time(Duration::from_millis(1_100)),
            };
            steps.push(Step { part, action: hangs, during: None });
        }
        for _ in 0..1 + dice.roll(3) {
            let meanwhile = match dice.roll(8) {
                0 | 1 => Action::Recover,
                2..=4 => Action::Reopen,
                5 => Action::Append(batch(dice)),
                6 => vote(dice),
                _ => Action::Time(Duration::from_millis(3_000)),
            };
            steps.push(Step { part, action: meanwhile, during: None });
        }
        self.steps.splice(at..at, steps);
    }

    /// Something goes wrong while a restart opens the partitions; of a power cut there is another restart at once.
    fn add_start(&mut self, dice: &mut Dice) {
        let crashes: Vec<usize> =
            (0..self.steps.len()).filter(|i| matches!(self.steps[*i].action, Action::Crash(_))).collect();
        let at = dice.pick(&crashes);
        let step = |action| Step { part: 0, action, during: None };
        let trouble = match dice.roll(7) {
            0..=2 => {
                let how =
                    dice.pick(&[Crash::PowerNothing, Crash::PowerRandom, Crash::PowerRandom, Crash::PowerEverything]);
                self.steps.insert(at + 1, step(Action::Crash(how)));
                Trouble::PowerCut(1 + dice.roll(40 * self.modes.len() as u64))
            }
            3 => Trouble::Mode(dice.pick(&MODES)),
            4 => Trouble::Full(dice.roll(8) << dice.pick(&[12, 14])),
            _ => Trouble::Fault(random_rule(dice, self.modes.len() as u64)),
        };
        self.steps.insert(at, step(Action::AtStart(trouble)));
    }
}

fn random_conversion(dice: &mut Dice) -> Conversion {
    dice.pick(&[
        Conversion::Export,
        Conversion::Export,
        Conversion::Import,
        Conversion::Undo,
        Conversion::Discard,
        Conversion::Inspect,
    ])
}
