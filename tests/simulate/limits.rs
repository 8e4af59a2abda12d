//! Limits that are set while a history runs. What must be in force is worked out here once more, from what was set and accepted; what is refused
//! must have changed nothing.

use bulkhead::{Limit, LimitChange, LimitScope, Limits, Status, LIMITS};

use super::world::{Verdict, World};

/// Of the simulated disk.
const DEVICE: u64 = 1;

/// What was set for one engine, disk or partition.
pub type Own = Vec<(Limit, u64)>;

/// What holds for all partitions of an engine. They are on one disk.
#[derive(Default)]
pub struct Settings {
    opened: Own,
    engine: Own,
    disk: Own,
}

impl Settings {
    /// Of an engine that was opened with these.
    pub fn new(opened: &Limits) -> Settings {
        let opened = LIMITS.iter().map(|row| (row.limit, opened.get(row.limit))).collect();
        Settings { opened, ..Settings::default() }
    }

    /// What is in force at this level, with what `part` has of its own, and where it comes from: the narrowest that says something.
    fn in_force(&self, limit: Limit, scope: LimitScope, part: &Own) -> (u64, LimitScope) {
        let levels = [
            (LimitScope::Partition, part),
            (LimitScope::Disk, &self.disk),
            (LimitScope::Engine, &self.engine),
            (LimitScope::Open, &self.opened),
        ];
        let said = |own: &Own| own.iter().find(|(l, _)| *l == limit).map(|(_, value)| *value);
        let mut there = levels.into_iter().filter(|(level, _)| *level <= scope);
        there.find_map(|(level, own)| said(own).map(|value| (value, level))).expect("an engine runs")
    }
}

/// What is wrong with changes taken alone, by the documented rules.
fn is_wrong(scope: LimitScope, changes: &[LimitChange]) -> bool {
    let twice = |c: &LimitChange| changes.iter().filter(|d| d.limit == c.limit).count() > 1;
    let bad = |c: &LimitChange| {
        let row = LIMITS.iter().find(|row| row.limit == c.limit).expect("every limit has a row");
        scope > row.narrowest || c.value.is_some_and(|v| v < row.low || v > row.high)
    };
    changes.is_empty() || changes.iter().any(|c| twice(c) || bad(c))
}

fn changed(own: &Own, changes: &[LimitChange]) -> Own {
    let mut out: Own = own.iter().filter(|(l, _)| changes.iter().all(|c| c.limit != *l)).copied().collect();
    out.extend(changes.iter().filter_map(|c| Some((c.limit, c.value?))));
    out
}

impl World {
    /// What a partition's limit is, by what was set.
    pub fn limit(&self, n: usize, limit: Limit) -> u64 {
        self.settings.borrow().in_force(limit, LimitScope::Partition, &self.parts[n].borrow().limits).0
    }

    /// What the disk's is: a conversion has nothing of a partition's own.
    pub fn disk_limit(&self, limit: Limit) -> u64 {
        self.settings.borrow().in_force(limit, LimitScope::Disk, &Own::new()).0
    }

    pub fn set_limits(&self, n: usize, scope: LimitScope, changes: &[LimitChange]) -> Verdict {
        let engine = self.engine();
        let handle = self.parts[n].borrow().handle.clone();
        let result = match (scope, handle) {
            (LimitScope::Engine, _) => engine.set_limits(changes),
            (LimitScope::Disk, _) => engine.set_disk_limits(DEVICE, changes),
            (_, Some(handle)) => handle.set_limits(changes),
            (_, None) => return Ok(()),
        };
        self.tell(|| format!("      {:?}", result.as_ref().map_err(|e| e.to_string())));
        self.saw("limits", if result.is_ok() { "set" } else { "refused" });
        let allowed = self.try_to_set(n, scope, changes);
        match result.map_err(|e| e.status) {
            Ok(()) if allowed => {}
            Err(Status::InvalidConfig | Status::InvalidArgument) if !allowed => {}
            other => return Err(format!("limits {changes:?} of {scope:?} {n}, allowed {allowed}: {other:?}")),
        }
        self.check_limits()
    }

    /// Takes the changes over if they are allowed.
    fn try_to_set(&self, n: usize, scope: LimitScope, changes: &[LimitChange]) -> bool {
        let settings = &mut *self.settings.borrow_mut();
        let part = &mut self.parts[n].borrow_mut().limits;
        let own = match scope {
            LimitScope::Engine => &mut settings.engine,
            LimitScope::Disk => &mut settings.disk,
            _ => &mut *part,
        };
        let new = changed(own, changes);
        let old = std::mem::replace(own, new);
        let (low, high) = (Limit::SegmentMinBytes, Limit::SegmentMaxBytes);
        let sizes = [low, high].map(|limit| settings.in_force(limit, scope, part).0);
        let contradict = sizes[0] > sizes[1] && changes.iter().any(|c| [low, high].contains(&c.limit));
        let allowed = !is_wrong(scope, changes) && !contradict;
        if !allowed {
            match scope {
                LimitScope::Engine => settings.engine = old,
                LimitScope::Disk => settings.disk = old,
                _ => *part = old,
            }
        }
        allowed
    }

    /// What the engine, its disk and every open partition say is in force.
    pub fn check_limits(&self) -> Verdict {
        let (settings, engine) = (self.settings.borrow(), self.engine());
        let mut all = vec![
            (LimitScope::Engine, "the engine".to_string(), engine.limits(), Own::new()),
            (LimitScope::Disk, "the disk".to_string(), engine.disk_limits(DEVICE), Own::new()),
        ];
        for part in &self.parts {
            let part = part.borrow();
            let handle = part.handle.iter();
            all.extend(handle.map(|p| (LimitScope::Partition, part.path.clone(), p.limits(), part.limits.clone())));
        }
        for (scope, who, limits, own) in &all {
            for row in LIMITS {
                let (found, wanted) =
                    ((limits.get(row.limit), limits.set_for(row.limit)), settings.in_force(row.limit, *scope, own));
                if found != wanted {
                    return Err(format!("{} of {who} is {found:?}, and {wanted:?} was set", row.name));
                }
            }
        }
        Ok(())
    }
}
