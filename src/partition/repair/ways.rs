//! What can be made of the pieces, and what each way costs. An offer is one that an open was tried on, in memory.

use super::base::Base;
use super::pieces::{Piece, Pieces};
use super::{check, RepairFacts, RepairLoss, RepairOffer, RepairWay};
use crate::format::{BeginData, LogEnd, Root, SNAPSHOT_PENDING};
use crate::io::Dir;

/// The ways that lead to a log which opens, the one that keeps most first.
pub fn offers(dir: &dyn Dir, base: &Base, pieces: &Pieces, facts: RepairFacts) -> Vec<RepairOffer> {
    let c = base.root.compaction_index;
    let missing = pieces.missing(c);
    let first = pieces.list.first().filter(|p| p.first <= c + 1);
    let last = pieces.list.last().filter(|p| p.last == pieces.known && !pieces.open_end);
    let mut offers = Vec::new();
    match (missing.is_empty(), pieces.list.as_slice()) {
        (true, []) => offers.push((RepairWay::Keep, cut(base, None))),
        (true, [whole]) => offers.push((RepairWay::Keep, cut(base, Some(whole)))),
        _ => {
            offers.push((RepairWay::Cut, cut(base, first)));
            offers.extend(last.map(|piece| (RepairWay::Compact, compact(base, piece))));
        }
    }
    let mut offers: Vec<RepairOffer> = offers
        .into_iter()
        .map(|(way, root)| (way, with_hard_state(base, pieces, without_gaps(root), facts)))
        .filter(|(_, root)| check(dir, root).is_ok_and(|f| f.last.0 == root.end.index.max(root.compaction_index)))
        .map(|(way, root)| offer(way, root, base, pieces, facts))
        .collect();
    offers.sort_by_key(|o| std::cmp::Reverse(o.last_index + 1 - o.first_index));
    offers
}

/// The log up to the end of a piece that begins it; without one it is empty behind its compaction point.
fn cut(base: &Base, piece: Option<&Piece>) -> Root {
    let root = Root { clean: true, ..base.root };
    match piece {
        Some(p) => Root { end: end(p.end, p.last, p.last_term()), ..root },
        None => {
            let end = end(BeginData::default(), root.compaction_index, root.compaction_term);
            Root { first_segment: root.last_segment + 1, end, ..root }
        }
    }
}

/// The log from a piece on that ends it. Without the term of the entry before it, its first entry goes, too.
fn compact(base: &Base, piece: &Piece) -> Root {
    let (compaction_index, compaction_term) = piece.before.unwrap_or((piece.first, piece.term(piece.first)));
    let end = end(piece.end, piece.last, piece.last_term());
    Root { clean: true, compaction_index, compaction_term, first_segment: piece.first_segment, end, ..base.root }
}

/// The root's range has no number without a file: behind the log's end some are gone, or go.
fn without_gaps(root: Root) -> Root {
    Root { last_segment: root.end.segment.max(root.first_segment.saturating_sub(1)), ..root }
}

fn end(end: BeginData, index: u64, term: u64) -> LogEnd {
    LogEnd { segment: end.segment, offset: end.end_offset, lsn: end.last_lsn, index, term }
}

/// A commit beyond the log would be damage again.
fn with_hard_state(base: &Base, pieces: &Pieces, root: Root, facts: RepairFacts) -> Root {
    let last = root.end.index.max(root.compaction_index);
    let told = pieces.list.iter().map(|p| p.commit).chain([base.root.commit, root.compaction_index]).max();
    let commit = told.unwrap_or(0).min(last);
    // A vote that is lost was cast in a term that others have seen, or for this node itself, which nobody counts any more: in the term
    // after that it may vote again. A log that an older root hides stays hidden until a snapshot has arrived, for the second time perhaps.
    let (term, vote) = match base.lost {
        Some(_) => (facts.term.saturating_add(1), base.root.vote & SNAPSHOT_PENDING),
        None => (base.root.term, base.root.vote),
    };
    Root { commit, term, vote, ..root }
}

fn offer(way: RepairWay, root: Root, base: &Base, pieces: &Pieces, facts: RepairFacts) -> RepairOffer {
    let (first_index, last_index) = (root.compaction_index + 1, root.end.index.max(root.compaction_index));
    let refusal = refusal(way, &root, base, pieces, facts);
    RepairOffer {
        way,
        first_index,
        last_index,
        last_term: root.end.term,
        term: root.term,
        vote: root.vote,
        commit: root.commit,
        losses: losses(base.root.compaction_index, (first_index, last_index), pieces),
        refusal,
        root,
    }
}

/// What of the log is not in `kept` any more, in order: each range is one that can be read, or one that cannot; acknowledged as a whole, or not.
fn losses(compaction_index: u64, kept: (u64, u64), pieces: &Pieces) -> Vec<RepairLoss> {
    let missing = pieces.missing(compaction_index).into_iter().map(|(first, last)| (first, last, None));
    let mut ranges: Vec<_> = missing.chain(pieces.list.iter().map(|p| (p.first, p.last, Some(p)))).collect();
    ranges.sort_by_key(|r| r.0);
    let mut losses = Vec::new();
    for (first, last, piece) in ranges {
        let first = first.max(compaction_index + 1);
        // The log that stays is one range: what a range loses lies before it, or behind it.
        let (before, behind) = ((first, last.min(kept.0 - 1)), (first.max(kept.1 + 1), last));
        for (first, last) in if kept.0 > kept.1 { [(first, last), (1, 0)] } else { [before, behind] } {
            let sure = pieces.acknowledged.clamp(first - 1, last.max(first - 1));
            for (first, last, acknowledged) in [(first, sure.min(last), true), (sure + 1, last, false)] {
                if first <= last {
                    let terms = piece.map_or((0, 0), |p| (p.term(first), p.term(last)));
                    losses.push(RepairLoss { first, last, terms, readable: piece.is_some(), acknowledged });
                }
            }
        }
    }
    losses
}

fn refusal(way: RepairWay, root: &Root, base: &Base, pieces: &Pieces, facts: RepairFacts) -> Option<String> {
    let highest = pieces.list.last().map_or(0, Piece::last_term).max(base.root.term);
    let last = root.end.index.max(root.compaction_index);
    if base.lost.is_some() && facts.term < highest.max(1) {
        return Some(format!(
            "the vote is lost with the root: give the highest term that any member of the group has seen, {} or more",
            highest.max(1)
        ));
    }
    if (way == RepairWay::Compact || base.compaction_unknown) && facts.applied < root.compaction_index {
        return Some(format!(
            "entries up to {} are gone from the log: only an owner that has applied them, durably, can do without",
            root.compaction_index
        ));
    }
    (facts.applied > last).then(|| {
        format!(
            "the owner has applied entries up to {}, the log would end at {last}: remove the replica and let it join again, empty",
            facts.applied
        )
    })
}
