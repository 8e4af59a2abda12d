//! `bulkhead repair`.

use crate::args;
use crate::exit::Exit;
use crate::{find, say, show};
use bulkhead::io::real::RealStorage;
use bulkhead::{Repair, RepairFacts, RepairLoss, RepairOffer, RepairWay, Result};
use serde_json::json;
use std::path::Path;

pub fn repair(args: &args::Repair, json: bool) -> Result<Exit> {
    let path = &args.directory;
    match run(args, json) {
        Err(error) => {
            show::error(path, &error, json);
            Ok(Exit::of(&error))
        }
        done => done,
    }
}

fn run(args: &args::Repair, json: bool) -> Result<Exit> {
    let path = &args.directory;
    let facts = RepairFacts { applied: args.applied, term: args.term };
    find::look(path)?;
    let repair = Repair::plan(&RealStorage, path, facts)?;
    let mut kept = Vec::new();
    if let Some(way) = args.apply.filter(|_| !repair.damage().is_empty()) {
        if json {
            kept = repair.apply(way.into())?;
        } else {
            tell(path, &repair);
            kept = repair.apply(way.into())?;
            say!("{}: repaired ({}), and read back", path.display(), name(way.into()));
            say!("  what it left out is kept: {}", kept.join(", "));
        }
    } else if !json {
        tell(path, &repair);
    }
    if json {
        say!("{}", as_json(path, &repair, args.apply.map(RepairWay::from), &kept));
    } else if args.apply.is_none() && !repair.offers().is_empty() {
        say!("  nothing was changed; --apply WAY does it");
    }
    Ok(if repair.damage().is_empty() || args.apply.is_some() { Exit::Fine } else { Exit::Damage })
}

fn name(way: RepairWay) -> &'static str {
    match way {
        RepairWay::Keep => "keep",
        RepairWay::Cut => "cut",
        RepairWay::Compact => "compact",
    }
}

fn tell(path: &Path, repair: &Repair) {
    let name = path.display();
    if repair.damage().is_empty() {
        say!("{name}: sound, nothing to repair");
        return;
    }
    say!("{name}: partition {}: damaged", repair.partition_id());
    for error in repair.damage() {
        say!("  {}{}", error.message, show::system(error));
    }
    if repair.offers().is_empty() {
        say!("  what is left makes no log: remove the replica and let it join again, empty, or restore a backup");
    }
    repair.offers().iter().for_each(tell_offer);
}

fn tell_offer(offer: &RepairOffer) {
    let what = match offer.way {
        RepairWay::Keep => "the root is made anew, all entries stay",
        RepairWay::Cut => "the entries before the damage stay",
        RepairWay::Compact => "the entries behind the damage stay",
    };
    say!("  --apply {}: {what}", name(offer.way));
    let entries = match offer.first_index > offer.last_index {
        true => format!("none, from {}", show::number(offer.first_index)),
        false => show::range((offer.first_index, offer.last_index)),
    };
    let [term, commit] = [offer.term, offer.commit].map(show::number);
    let vote = show::vote(offer.vote);
    say!("    the log then: entries {entries}; term {term}, vote {vote}, commit {commit}");
    offer.losses.iter().for_each(|loss| say!("    gone: {}", loss_text(loss)));
    if let Some(refusal) = &offer.refusal {
        say!("    refused: {refusal}");
    }
}

fn loss_text(loss: &RepairLoss) -> String {
    let range = match loss.last {
        u64::MAX => format!("entry {} and all behind it", show::number(loss.first)),
        last if last == loss.first => format!("entry {}", show::number(last)),
        last => format!("entries {}", show::range((loss.first, last))),
    };
    let terms = match loss.terms {
        (0, 0) => String::new(),
        (a, b) if a == b => format!(" of term {}", show::number(a)),
        (a, b) => format!(" of terms {} to {}", show::number(a), show::number(b)),
    };
    let sure = if loss.acknowledged { "acknowledged" } else { "possibly acknowledged" };
    let readable = if loss.readable { "readable, goes to kept/" } else { "not readable" };
    format!("{range}{terms}, {sure}; {readable}")
}

fn as_json(path: &Path, repair: &Repair, applied: Option<RepairWay>, kept: &[String]) -> serde_json::Value {
    let damage = |e: &bulkhead::Error| json!({"status": format!("{:?}", e.status), "errno": e.errno, "first_index": e.range.0, "last_index": last(e.range.1), "message": e.message});
    let loss = |l: &RepairLoss| json!({"first_index": l.first, "last_index": last(l.last), "first_term": l.terms.0, "last_term": l.terms.1, "readable": l.readable, "acknowledged": l.acknowledged});
    let offer = |o: &RepairOffer| {
        json!({
            "way": name(o.way), "first_index": o.first_index, "last_index": o.last_index, "last_term": o.last_term, "term": o.term,
            "vote": o.vote, "commit": o.commit, "losses": o.losses.iter().map(loss).collect::<Vec<_>>(), "refusal": o.refusal,
        })
    };
    json!({
        "path": path.to_string_lossy(), "partition_id": repair.partition_id(), "damage": repair.damage().iter().map(damage).collect::<Vec<_>>(),
        "offers": repair.offers().iter().map(offer).collect::<Vec<_>>(), "applied": applied.filter(|_| !repair.damage().is_empty()).map(name), "kept": kept,
    })
}

/// Null where nobody knows the last.
fn last(index: u64) -> Option<u64> {
    (index != u64::MAX).then_some(index)
}
