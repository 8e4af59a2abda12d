use super::super::tests::event;
use super::*;

fn back(id: u64) -> Event {
    Event { from: State::Unavailable, to: State::ReadWrite, cause: Cause::None, op: Op::Recover, ..event(id) }
}

fn repeat(limit: &mut Limit, event: &Event, times: u32, now: Instant) {
    for _ in 0..times {
        limit.admit(event, true, now);
    }
}

/// A partition that flaps must not fill the owner's log, and what is left out is counted.
#[test]
fn repeated_lines_are_bounded() {
    let (mut limit, now) = (Limit::default(), Instant::now());
    let given = (0..1000).filter(|_| limit.admit(&event(1), true, now).is_some()).count();
    assert_eq!(given, BURST as usize);
    assert_eq!(limit.admit(&event(2), true, now), Some(0), "another partition is no repetition");
    let elsewhere = Event { path: "/data/another/wal_1".into(), ..event(1) };
    assert_eq!(limit.admit(&elsewhere, true, now), Some(0), "nor is one of the same id");
    assert_eq!(limit.admit(&event(1), true, now + WINDOW), Some(1000 - u64::from(BURST)));
    assert_eq!(limit.left_out(), 1000 - u64::from(BURST));
    let met = Event { from: State::Unavailable, ..event(3) };
    assert_eq!(limit.admit(&met, false, now), None);
    assert_eq!(limit.take_crowded(), 1, "what found no room is counted");
    assert_eq!(limit.admit(&event(3), true, now), Some(0));
    let set = Event { op: Op::SetLimits, ..event(0) };
    assert!((0..100).all(|_| limit.admit(&set, true, now) == Some(0)), "no two settings of limits are the same");
    for id in 0..3 * KINDS_MAX as u64 {
        limit.admit(&event(id), true, now);
    }
    assert!(limit.kinds.len() <= KINDS_MAX, "{} kinds in memory", limit.kinds.len());
}

/// Up and down again and again, then nothing: the log must not end with a state that is over.
#[test]
fn the_last_change_is_told_when_its_time_is_over() {
    let (mut limit, now) = (Limit::default(), Instant::now());
    let mut given = 0;
    for i in 0..20 {
        let at = now + Duration::from_millis(i);
        given += [event(1), back(1)].iter().filter_map(|event| limit.admit(event, true, at)).count();
    }
    assert_eq!(given, 2 * BURST as usize);
    let due = limit.next_due().expect("the last one is held back");
    assert!(due <= now + WINDOW + Duration::from_millis(20), "for its kind's time at most");
    assert_eq!(limit.take_due(due - Duration::from_millis(1), false), None);
    let (last, left_out) = limit.take_due(due, false).unwrap();
    assert_eq!((last.to, left_out, given as u64 + 1 + left_out), (State::ReadWrite, 33, 40), "each told or counted");
    assert_eq!((limit.left_out(), limit.next_due()), (33, None));
    // It was a line like the others: the next ones of its kind are bounded as before.
    let again = (0..10).filter(|_| limit.admit(&back(1), true, due).is_some()).count();
    assert_eq!(again, BURST as usize - 1);
}

/// A line that comes late must not say what another one has made untrue meanwhile.
#[test]
fn what_is_old_is_not_told_late() {
    let (mut limit, now) = (Limit::default(), Instant::now());
    repeat(&mut limit, &event(1), 5, now);
    let slow = Event { from: State::Unavailable, cause: Cause::Stalled, ..event(1) };
    assert_eq!(limit.admit(&slow, true, now), Some(1), "what it meets is no news of its state");
    assert!(limit.next_due().is_some());
    assert_eq!(limit.admit(&back(1), true, now), Some(1));
    assert_eq!((limit.take_due(now + WINDOW, false), limit.left_out()), (None, 2));
}

/// A disk dies under more partitions than lines can wait: each has its line once there is room, with what it came to last.
#[test]
fn a_change_that_finds_no_room_waits_for_it() {
    let (mut limit, now) = (Limit::default(), Instant::now());
    for id in 0..100 {
        assert_eq!(limit.admit(&event(id), false, now), None);
    }
    assert_eq!(limit.admit(&back(7), false, now), None);
    let told: Vec<_> = std::iter::from_fn(|| limit.take_due(now, false)).collect();
    assert_eq!((told.len(), limit.take_crowded(), limit.left_out()), (100, 0, 1));
    assert!(told.contains(&(back(7), 1)), "its line says that there was another");
    // They were lines like others, and what has had its lines for now waits for its time as well.
    let given = (0..10).filter(|_| limit.admit(&event(1), true, now).is_some()).count();
    assert_eq!(given, BURST as usize - 1);
    repeat(&mut limit, &event(200), BURST, now);
    limit.admit(&event(200), false, now);
    assert_eq!(limit.take_due(now, false), None);
}

/// The same where there is no room for the other one: it takes the place of the one that is held back.
#[test]
fn what_finds_no_room_makes_a_line_old_all_the_same() {
    let (mut limit, now) = (Limit::default(), Instant::now());
    repeat(&mut limit, &event(1), BURST + 1, now);
    assert_eq!(limit.admit(&back(1), false, now), None);
    assert_eq!(limit.take_crowded(), 0);
    assert_eq!(limit.take_due(now + WINDOW, false), Some((back(1), 1)));
}

/// An end that is held back is news until something else is met.
#[test]
fn a_limit_that_is_set_says_nothing_of_what_was_met() {
    let (mut limit, now) = (Limit::default(), Instant::now());
    let healed = Event { from: State::ReadWrite, to: State::ReadWrite, cause: Cause::None, ..event(1) };
    let set = Event { op: Op::SetLimits, ..healed.clone() };
    let slow = Event { cause: Cause::Stalled, ..healed.clone() };
    let met = Event { cause: Cause::IoError, ..healed.clone() };
    repeat(&mut limit, &healed, BURST + 1, now);
    assert_eq!([&set, &slow].map(|event| limit.admit(event, true, now)), [Some(0); 2]);
    assert!(limit.next_due().is_some());
    assert_eq!(limit.admit(&met, true, now), Some(1));
    assert_eq!(limit.next_due(), None);
}

/// What a partition has met, again and again, does not take the place of what it came to.
#[test]
fn a_change_is_held_back_before_what_was_met() {
    let (mut limit, now) = (Limit::default(), Instant::now());
    let slow = Event { from: State::Unavailable, cause: Cause::Stalled, ..event(1) };
    repeat(&mut limit, &slow, 5, now);
    repeat(&mut limit, &event(1), 5, now);
    repeat(&mut limit, &slow, 5, now);
    assert_eq!(limit.take_due(now + WINDOW, false), Some((event(1), 6)));
    assert_eq!(limit.left_out(), 8);
}

#[test]
fn what_is_held_back_is_bounded() {
    let (mut limit, now) = (Limit::default(), Instant::now());
    let partitions = HELD_MAX as u64 + 100;
    for id in 0..partitions {
        repeat(&mut limit, &event(id), BURST + 1, now);
    }
    assert_eq!((limit.held.len(), limit.due.len()), (HELD_MAX, HELD_MAX));
    assert_eq!((limit.take_crowded(), limit.left_out()), (100, 100));
    assert_eq!(std::iter::from_fn(|| limit.take_due(now, true)).count(), HELD_MAX, "the end of a hook gives them all");
    assert_eq!((limit.next_due(), limit.held.len()), (None, 0));
}
