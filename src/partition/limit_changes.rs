//! What changes of limits come to, for the event that tells of them.

use super::limits::{Limit, LimitChange, LimitScope, Limits};
use std::fmt::Write;

/// What setting something made of one limit, where it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitChanged {
    pub limit: Limit,
    /// Set for the engine, a disk or a partition.
    pub changed_for: LimitScope,
    /// `st_dev` if that is a disk, otherwise 0.
    pub device: u64,
    /// In force there before and after; 0 means never, where that may be.
    pub before: u64,
    pub after: u64,
    /// What the value after it was set for: something wider if one was taken back.
    pub set_for: LimitScope,
}

/// What these changes made of what was in force.
pub(crate) fn changed(
    changes: &[LimitChange],
    changed_for: LimitScope,
    device: u64,
    before: &Limits,
    after: &Limits,
) -> Vec<LimitChanged> {
    let one = |change: &LimitChange| LimitChanged {
        limit: change.limit,
        changed_for,
        device,
        before: before.get(change.limit),
        after: after.get(change.limit),
        set_for: after.set_for(change.limit),
    };
    changes.iter().map(one).collect()
}

/// Two such changes as one.
pub(crate) fn joined(first: &[LimitChanged], second: &[LimitChanged]) -> Vec<LimitChanged> {
    let mut out = first.to_vec();
    for change in second {
        match out.iter_mut().find(|c| c.limit == change.limit) {
            Some(earlier) => *earlier = LimitChanged { before: earlier.before, ..*change },
            None => out.push(*change),
        }
    }
    out
}

/// As the log says it: `heal_limit_ms 300 to 500, probe_ms 250 to never`; of an engine or a disk with its name before it.
pub(crate) fn in_words(changed: &[LimitChanged]) -> String {
    let mut out = match changed.first() {
        Some(one) if one.changed_for == LimitScope::Engine => "the engine: ".to_string(),
        Some(one) if one.changed_for == LimitScope::Disk => {
            format!("disk {}:{}: ", libc::major(one.device), libc::minor(one.device))
        }
        _ => String::new(),
    };
    for (i, one) in changed.iter().enumerate() {
        let info = one.limit.info();
        let word = |value: u64| if info.never && value == 0 { "never".to_string() } else { value.to_string() };
        let comma = if i == 0 { "" } else { ", " };
        let taken_back = if one.set_for == one.changed_for { "" } else { " (taken back)" };
        let _ = write!(out, "{comma}{} {} to {}{taken_back}", info.name, word(one.before), word(one.after));
    }
    out
}
