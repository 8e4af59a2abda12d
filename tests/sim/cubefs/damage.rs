//! Damage of the original is found, and nothing is changed.

use super::*;
use bulkhead::cubefs::FindingKind;

/// Imports; returns what damage is found, if it is refused for that, and whether anything was changed.
fn refused(disk: &SimDisk) -> (Option<FindingKind>, bool) {
    let before = snapshot(disk, PATH);
    let found = convert(disk, |c| c.inspect()).expect("an inspection").report;
    let damage = found.damage().map(|f| f.kind);
    assert_eq!(convert(disk, |c| c.import()).is_err(), damage.is_some());
    (damage, snapshot(disk, PATH) != before)
}

/// Found by reading: notes filled the report, and damage behind them was left out, a vote that is lost first of all.
#[test]
fn damage_is_found_behind_any_number_of_notes() {
    let entries = (1..=5).map(|i| (i, 2, 0, vec![i as u8; 9])).collect();
    let disk = cubefs_disk(1, SimConfig::default(), &Log { compaction: (0, 0), entries, ..sample() });
    disk.put_file(&format!("{PATH}/META"), &[]);
    (0..150).for_each(|i| disk.put_file(&format!("{PATH}/{:016x}-{:016x}.log.bak", i, i), b"x"));
    assert_eq!(refused(&disk), (Some(FindingKind::VoteLost), false));
    let found = convert(&disk, |c| c.inspect()).unwrap().report.findings;
    assert_eq!(found.iter().filter(|f| !f.damage).count(), 100);
}

/// Found by reading: the name of a file behind the first one says that there were entries, and of these nothing is left but bytes.
#[test]
fn entries_that_were_all_in_a_first_file_of_junk_are_missing() {
    let disk = SimDisk::new(1);
    disk.make_dirs(PATH);
    disk.put_file(&format!("{PATH}/META"), &[]);
    disk.put_file(&format!("{PATH}/{:016x}-{:016x}.log", 1, 1), &[7; 5000]);
    disk.put_file(&format!("{PATH}/{:016x}-{:016x}.log", 2, 101), &[]);
    assert_eq!(refused(&disk), (Some(FindingKind::MissingEntries), false));
}

/// Found by reading: with the entry at the compaction point rotten, the terms behind it were compared with those before it alone. What goes back
/// behind the compaction point was called whole, and the import refused it.
#[test]
fn a_term_below_the_compaction_points_is_damage_also_behind_bad_bytes() {
    for (term, rotten, damage) in [
        (3, true, Some(FindingKind::OutOfOrder)),
        (5, true, None),
        (3, false, Some(FindingKind::SnapshotConflict)),
        (6, false, Some(FindingKind::SnapshotConflict)),
    ] {
        let entries: Vec<_> = (490..=505).map(|i| (i, if i < 500 { 3 } else { term }, 0, vec![7; 9])).collect();
        let hard_state = HardState { term: 6, vote: 1, commit: 500 };
        let disk = SimDisk::new(1);
        let paths = put(&disk, PATH, &Log { hard_state, compaction: (500, 5), entries: vec![] }, 1);
        let (mut bytes, offsets) = file_bytes(&entries, false);
        bytes[offsets[10] + 28] ^= u8::from(rotten);
        disk.put_file(&paths[0], &bytes);
        assert_eq!(refused(&disk), (damage, damage.is_none()), "term {term}, rotten: {rotten}");
    }
}

/// An entry over the limit is no damage, and must not hide any: whoever raises the limit for it has a log that is not whole.
#[test]
fn damage_is_told_before_what_is_too_large() {
    for (commit, status) in [(38, Status::EntryTooLarge), (99, Status::Damaged)] {
        let hard_state = HardState { commit, ..sample().hard_state };
        let disk = cubefs_disk(1, SimConfig::default(), &Log { hard_state, ..sample() });
        let config = EngineConfig { max_entry_bytes: 100, ..EngineConfig::default() };
        let engine = Engine::stepped(config, &disk, disk.ops() + 1).expect("an engine");
        let told = Conversion::new(&engine, PATH, 7).import().map(drop).map_err(|e| e.status);
        assert_eq!(told, Err(status), "committed up to {commit}");
    }
}
