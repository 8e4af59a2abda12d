//! Plays a history: an engine on a simulated disk, its partitions, and a model beside each of them. Everything is checked on the way.

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bulkhead::io::sim::{mix, Crash, Seen, SimDisk};
use bulkhead::{Engine, EngineConfig, Error, Mode, Op, Partition, State, Status};

use super::action::{Action, Step, Trouble};
use super::limits::{Own, Settings};
use super::plan::History;
use crate::support::driver::is_fault;
use crate::support::judge::After;
use crate::support::model::Model;
use crate::support::{config, healing_config, partition_config};

pub struct Part {
    pub path: String,
    pub id: u64,
    pub model: Model,
    pub handle: Option<Arc<Partition>>,
    /// What latched it, as far as the owner knows.
    pub fault: Option<Error>,
    /// What happened since the log was last looked at whole.
    pub since: After,
    /// The disk lied about its files, or changed them: what is missing must be reported, and nothing else than what was written is served.
    pub tainted: bool,
    /// Not by sectors alone that cannot be read or written: those take nothing without a word.
    pub lied: bool,
    /// Flushes that were acknowledged since the last lie, and whether entries wait for one.
    pub solid: u64,
    pub unflushed: bool,
    pub lies_seen: u64,
    /// Reads of the disk that had failed when it was opened.
    pub failed_reads: u64,
    /// The last state that an event told.
    pub told: State,
    /// When the last call began.
    pub called_in: State,
    /// An operation hung during the last call.
    pub hung: bool,
    /// Events told of a fault that no call has noticed yet.
    pub unwell: bool,
    /// Set for this opening.
    pub limits: Own,
    /// A conversion may have left a directory that is CubeFS's, or nobody's.
    pub converted: bool,
    /// A copy that is kept aside: where, and what it holds.
    pub aside: Option<(String, Model)>,
    /// What was there before an older copy was put back. If nothing of it had come to the disk but what the copy has, what memory has besides
    /// belongs to the copy as well.
    pub before: Option<Model>,
}

impl Part {
    /// The disk lies about its files from now on.
    pub fn not_trusted(&mut self) {
        self.tainted = true;
        self.lied = true;
    }
}

pub struct World {
    pub history: Rc<History>,
    pub disk: RefCell<SimDisk>,
    pub engine: RefCell<Option<Rc<Engine>>>,
    pub parts: Vec<RefCell<Part>>,
    pub settings: RefCell<Settings>,
    engines: Cell<u64>,
    pub tokens: Cell<u64>,
    /// Partitions with a call on the stack.
    pub calls: RefCell<Vec<usize>>,
    /// Steps to take in the middle of an operation: its number, the step's.
    pub ahead: RefCell<Vec<(u64, usize)>>,
    pub quiet: Cell<bool>,
    pub nested: Cell<bool>,
    /// The next step to take.
    pub next: Cell<usize>,
    /// An operation hangs: whoever is further down on this stack waits for it.
    pub hanging: Cell<bool>,
    pub hangs: Cell<u64>,
    /// The partition with an append on the stack.
    pub appending: Cell<Option<usize>>,
    /// What goes wrong at the next restart.
    at_start: RefCell<Vec<Trouble>>,
    /// While a partition is copied: which, and what it held at the beginning and after each step that came between.
    pub moments: RefCell<Option<(usize, Vec<Model>)>>,
    pub violation: RefCell<Option<String>>,
    story: Option<RefCell<Vec<String>>>,
    /// Faults, full disks and crashes that took place, and restarts that were judged: a history without them proves nothing.
    pub troubles: Cell<u64>,
    pub restarts: Cell<u64>,
    /// What took place, each once.
    seen: RefCell<Seen>,
}

pub type Verdict<T = ()> = Result<T, String>;

thread_local! {
    static CURRENT: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// The disk's hook.
fn in_operation() {
    let world = CURRENT.with(|w| w.borrow().clone());
    if let Some(world) = world {
        world.in_operation();
    }
}

fn new_part(i: usize, mode: Mode) -> Part {
    let mut model = Model::new(mode);
    model.keeps_all = true;
    Part {
        path: format!("/p{}", i + 1),
        id: i as u64 + 1,
        model,
        handle: None,
        fault: None,
        since: After::Recover,
        tainted: false,
        lied: false,
        solid: 0,
        unflushed: false,
        lies_seen: 0,
        failed_reads: 0,
        told: State::ReadWrite,
        called_in: State::ReadWrite,
        hung: false,
        unwell: false,
        limits: Own::new(),
        converted: false,
        aside: None,
        before: None,
    }
}

/// Plays a history to its end. Gives the story so far with the violation, if there is one and `tells`.
pub fn play(history: &Rc<History>, tells: bool) -> (Verdict, Rc<World>) {
    let disk = SimDisk::with_config(history.seed, history.config.clone());
    disk.keep_log(if tells { 50_000 } else { 0 });
    disk.set_hook(Some(in_operation));
    let world = Rc::new(World {
        history: history.clone(),
        disk: RefCell::new(disk),
        engine: RefCell::default(),
        settings: RefCell::default(),
        parts: history.modes.iter().enumerate().map(|(i, m)| RefCell::new(new_part(i, *m))).collect(),
        engines: Cell::default(),
        tokens: Cell::default(),
        calls: RefCell::default(),
        ahead: RefCell::default(),
        quiet: Cell::new(true),
        nested: Cell::new(false),
        next: Cell::default(),
        hanging: Cell::default(),
        hangs: Cell::default(),
        appending: Cell::default(),
        at_start: RefCell::default(),
        moments: RefCell::default(),
        violation: RefCell::default(),
        story: tells.then(RefCell::default),
        troubles: Cell::default(),
        restarts: Cell::default(),
        seen: RefCell::default(),
    });
    CURRENT.with(|w| *w.borrow_mut() = Some(world.clone()));
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    CURRENT.with(|w| *w.borrow_mut() = None);
    world.quiet.set(true);
    (outcome.unwrap_or_else(|_| Err("a panic in the library or in the judge".into())), world)
}

impl World {
    fn run(self: &Rc<Self>) -> Verdict {
        self.start_engine();
        self.open_all(After::Close)?;
        while let Some((i, step)) = self.next_step() {
            let crash = matches!(step.action, Action::Crash(_));
            if self.disk().is_dead() && !crash {
                continue;
            }
            match step.during {
                Some(ahead) => self.ahead.borrow_mut().push((self.disk().ops() + ahead, i)),
                None => self.take(step)?,
            }
            if let Some(violation) = self.violation.borrow_mut().take() {
                return Err(violation);
            }
        }
        self.at_start.take();
        self.crash(Crash::Process)?;
        self.everything_works()?;
        self.crash(Crash::PowerNothing)
    }

    /// The next step, with its number.
    fn next_step(&self) -> Option<(usize, &Step)> {
        let i = self.next.get();
        self.next.set(i + 1);
        self.history.steps.get(i).map(|step| (i, step))
    }

    /// True if nothing stands in the way of an operation.
    pub fn is_calm(&self) -> bool {
        self.disk().is_calm() && !self.hanging.get()
    }

    /// To compare with later; `None` if something stands in the way now.
    pub fn calm(&self) -> Option<u64> {
        self.is_calm().then(|| self.hangs.get())
    }

    /// True if nothing has stood in the way since.
    pub fn stayed_calm(&self, since: Option<u64>) -> bool {
        since.is_some() && self.calm() == since
    }

    /// What has gone wrong with operations so far.
    pub fn faults(&self) -> u64 {
        self.disk().faults_fired() + self.hangs.get()
    }

    pub fn plan_start(&self, trouble: &Trouble) {
        self.at_start.borrow_mut().push(trouble.clone());
    }

    fn start_badly(&self) {
        for trouble in self.at_start.take() {
            match trouble {
                Trouble::Fault(rule) => self.disk().inject(rule),
                Trouble::PowerCut(ahead) => self.disk().crash_at(self.disk().ops() + ahead),
                Trouble::Full(free) => self.disk().set_free(free),
                Trouble::Mode(mode) => {
                    self.parts.iter().for_each(|part| part.borrow_mut().model.opened_in = Some(mode));
                }
            }
        }
    }

    pub fn disk(&self) -> SimDisk {
        self.disk.borrow().clone()
    }

    pub fn engine(&self) -> Rc<Engine> {
        self.engine.borrow().clone().expect("an engine runs")
    }

    pub fn start_engine(&self) {
        self.engines.set(self.engines.get() + 1);
        let config = EngineConfig {
            segment_min_bytes: self.history.segment_bytes,
            read_cache_bytes: self.history.cache_bytes,
            idle_check_ms: [0, 250, 250][self.history.seed as usize % 3],
            ..if self.history.heals { healing_config() } else { config() }
        };
        let seed = mix(&[self.history.seed, self.engines.get(), 0xE4]);
        let engine = Engine::stepped(config, &self.disk(), seed).expect("an engine opens without touching a disk");
        *self.settings.borrow_mut() = Settings::new(&engine.limits());
        *self.engine.borrow_mut() = Some(Rc::new(engine));
    }

    pub fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            story.borrow_mut().push(format!("{:6} {}", self.disk().ops() + 1, line()));
        }
    }

    pub fn story(&self) -> Vec<String> {
        self.story.as_ref().map(|s| s.borrow().clone()).unwrap_or_default()
    }

    /// A violation that nothing excuses.
    pub fn convict(&self, what: String) {
        self.violation.borrow_mut().get_or_insert(what);
    }

    pub fn saw(&self, what: &'static str, how: &'static str) {
        self.seen.borrow_mut().insert((what, how));
    }

    /// What took place in this history, on the disk and above it.
    pub fn seen(&self) -> Seen {
        let mut all = self.disk().seen();
        all.append(&mut self.seen.borrow_mut());
        all
    }

    pub fn trouble(&self) {
        self.troubles.set(self.troubles.get() + 1);
    }

    /// A call by an owner: a panic in it is caught at the boundary, and latches.
    pub fn call<T>(&self, n: usize, f: impl FnOnce(&Partition) -> Result<T, Error>) -> Result<T, Error> {
        let handle = self.handle(n);
        let (called_in, hangs) = (handle.status().state, self.hangs.get());
        self.calls.borrow_mut().push(n);
        let quiet = self.quiet.replace(false);
        let result = catch_unwind(AssertUnwindSafe(|| f(&handle)));
        self.quiet.set(quiet);
        self.calls.borrow_mut().pop();
        self.parts[n].borrow_mut().called_in = called_in;
        self.parts[n].borrow_mut().hung = self.hangs.get() > hangs;
        result.unwrap_or_else(|_| {
            handle.latch_panic(Op::Append);
            Err(handle.last_fault().unwrap_or_else(|| Error::new(Status::Panic, Op::Append, "a panic was caught")))
        })
    }

    /// Background work between calls.
    pub fn work(&self, pieces: u64) {
        let quiet = self.quiet.replace(false);
        for _ in 0..pieces {
            if !self.engine().step() {
                break;
            }
        }
        self.quiet.set(quiet);
    }

    pub fn pass_time(&self, time: Duration) {
        if self.calls.borrow().is_empty() || self.hanging.get() {
            let quiet = self.quiet.replace(false);
            self.engine().pass_time(time);
            self.quiet.set(quiet);
        } else {
            self.disk().clock().pass(time);
        }
    }

    pub fn handle(&self, n: usize) -> Arc<Partition> {
        self.parts[n].borrow().handle.clone().expect("the partition is open")
    }

    /// Opens what is not open. On a disk without a fault everything must come up.
    fn open_all(&self, after: After) -> Verdict {
        for n in 0..self.parts.len() {
            if self.parts[n].borrow().handle.is_none() {
                self.open(n, after)?;
            }
        }
        Ok(())
    }

    /// Opens a partition; `Ok(false)` if a fault is in the way.
    pub fn open(&self, n: usize, after: After) -> Verdict<bool> {
        let (path, id, mode) = {
            let mut part = self.parts[n].borrow_mut();
            // A failed flush has told the owner that what was not durable may be gone.
            let after = if part.model.may_report_loss && after == After::Process { After::Power } else { after };
            part.since = part.since.max(after);
            part.failed_reads = self.disk().failed_reads();
            (part.path.clone(), part.id, part.model.next_mode())
        };
        // What the opening before had to say is over.
        self.drain_events()?;
        let calm = self.calm();
        if self.parts[n].borrow().converted && !self.bring_back(n)? {
            return Ok(false);
        }
        let engine = self.engine();
        let opened = self.among_others(n, || engine.open_partition(partition_config(&path, id, mode)));
        let calm = self.stayed_calm(calm);
        self.tell(|| match &opened {
            Ok(p) => format!("      {path} opened after {after:?}: {:?}", p.status().state),
            Err(e) => format!("      {path} not opened after {after:?}: {e}"),
        });
        let mut part = self.parts[n].borrow_mut();
        match opened {
            Err(e) if part.tainted => {
                drop(part);
                self.tell(|| format!("      {path} is given up: {e}"));
                if calm {
                    self.start_anew(n)?;
                }
                Ok(false)
            }
            Err(e) if is_fault(&e) && !calm => Ok(false),
            // By its last opening, an operation of which hangs or has just come back; a fault kept the engine from seeing that it is its own.
            Err(e) if e.status == Status::Locked && (self.hanging.get() || !calm) => Ok(false),
            Err(e) => Err(format!("{path} cannot be opened: {e}")),
            Ok(handle) => {
                let status = handle.status();
                part.told = status.state;
                part.unwell = false;
                part.limits.clear();
                part.fault = if status.state == State::ReadWrite { None } else { handle.last_fault() };
                // So has an open whose flush failed.
                part.model.may_report_loss |= part.fault.is_some() && part.model.mode != Mode::Sync;
                part.handle = Some(handle);
                drop(part);
                self.check_limits()?;
                self.drain_events()?;
                if status.state != State::ReadWrite && !calm {
                    return Ok(false);
                }
                self.judge(n)
            }
        }
    }

    /// Something that an owner does with a directory that is not open, others in the middle of it.
    pub fn among_others<T>(&self, n: usize, f: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.calls.borrow_mut().push(n);
        let quiet = self.quiet.replace(!self.history.wide);
        let result = catch_unwind(AssertUnwindSafe(f));
        self.quiet.set(quiet);
        self.calls.borrow_mut().pop();
        result.unwrap_or_else(|_| Err(Error::new(Status::Panic, Op::Open, "a panic was caught")))
    }

    pub fn close(&self, n: usize) -> Verdict<After> {
        let Some(handle) = self.parts[n].borrow().handle.clone() else { return Ok(After::Process) };
        self.settle(n)?;
        let whole = handle.status().state == State::ReadWrite;
        let closed = self.call(n, Partition::close);
        self.tell(|| format!("      closed: {:?}", closed.as_ref().map_err(|e| e.to_string())));
        // A panic has left it open; what is told of that may be a fault before it.
        if !handle.is_closed() {
            let _ = handle.close();
        }
        self.drain_events()?;
        self.drain_completions()?;
        let mut part = self.parts[n].borrow_mut();
        part.handle = None;
        if !part.model.pending.is_empty() {
            return Err(format!("{} is closed and completions {:?} never came", part.path, part.model.pending));
        }
        // What was accepted and is not acknowledged by now is not: it may be there after a restart, or not.
        part.model.rolled_back();
        part.model.may_report_loss |= closed.is_err() && part.model.mode != Mode::Sync;
        let clean = whole && closed.is_ok() && part.fault.is_none();
        part.fault = None;
        Ok(if clean { After::Close } else { After::Process })
    }

    /// Ends the run as `how` says, and starts the next one on what is left.
    pub fn crash(&self, how: Crash) -> Verdict {
        for n in 0..self.parts.len() {
            self.settle(n)?;
            // What has no handle was closed; its descriptors are gone as well.
        }
        self.ahead.borrow_mut().clear();
        self.quiet.set(true);
        self.saw("restart after", if how == Crash::Process { "kill" } else { "power cut" });
        if self.disk().is_dead() || self.disk().faults_fired() > 0 {
            self.trouble();
        }
        let next = self.disk().crash(how);
        for part in &self.parts {
            let mut part = part.borrow_mut();
            part.handle = None;
            part.fault = None;
            part.model.pending.clear();
            part.model.rolled_back();
        }
        let old = self.engine.borrow_mut().take();
        if let Some(old) = old {
            let _ = old.close();
        }
        next.set_capacity(u64::MAX);
        *self.disk.borrow_mut() = next;
        self.start_engine();
        self.start_badly();
        self.trouble();
        self.restarts.set(self.restarts.get() + 1);
        self.open_all(if how == Crash::Process { After::Process } else { After::Power })
    }

    /// Gives a partition up, as its owner would that rejoins as an empty replica.
    pub fn start_anew(&self, n: usize) -> Verdict {
        self.saw("found", "a loss that is reported");
        self.trouble();
        self.clear(n)
    }

    /// Removes a partition's directory, and begins with an empty log.
    pub fn clear(&self, n: usize) -> Verdict {
        let handle = self.parts[n].borrow_mut().handle.take();
        if let Some(handle) = handle {
            let _ = catch_unwind(AssertUnwindSafe(|| handle.close()));
        }
        // What was accepted before ends at the latest with the close.
        self.drain_completions()?;
        let mode = self.parts[n].borrow().model.next_mode();
        // A lie that is still to come hits the new one.
        let tainted = self.parts[n].borrow().tainted && !self.disk().is_calm();
        let path = self.parts[n].borrow().path.clone();
        *self.parts[n].borrow_mut() = Part { tainted, lied: tainted, path: path.clone(), ..new_part(n, mode) };
        if self.disk().exists(&path) {
            self.disk().remove(&path);
        }
        Ok(())
    }
}
