//! Each rule that data-plane.md 4.1 has for the fence, broken on purpose: the model must see it, in the scenario that is made for it.

use dm_model_check::{
    explore::{Outcome, explore},
    rules::Mutant::{self, *},
    scenario::{self, Scenario},
};

const BOUND: usize = 3_000_000;

/// Where a mutant must be caught, and by what.
struct Case {
    mutant: Mutant,
    scenario: Scenario,
    /// The property, as the message begins; `stuck`: no end can be reached.
    by: &'static [&'static str],
}

const fn case(mutant: Mutant, scenario: Scenario, by: &'static [&'static str]) -> Case {
    Case { mutant, scenario, by }
}

const CASES: &[Case] = &[
    case(WindowOfOwner, scenario::THREE_OWNERS, &["S5"]),
    case(ResumeFromLowest, scenario::OWNERS, &["S5", "a lane row refuses"]),
    case(CommitWithFence, scenario::OWNERS, &["S4"]),
    case(NoFence, scenario::OWNERS, &["S4"]),
    case(UnknownIsFailure, scenario::UNKNOWN, &["S5"]),
    case(UnknownIsSuccess, scenario::UNKNOWN, &["S5"]),
    case(RemembersAcrossRestart, scenario::POWER, &["S5"]),
    case(SleepsOn, scenario::QUICK_POWER, &["stuck"]),
    case(NoRollback, scenario::UNKNOWN, &["S5"]),
    case(ClaimsOwnLanes, scenario::FEWER_LANES, &["S5"]),
    case(ReadsWithoutLocks, scenario::OWNERS, &["S3", "S4"]),
    case(Unregistered, scenario::LOST_DDL, &["S8"]),
    case(EndsNobody, scenario::LOST_DDL, &["S8"]),
    case(IntentIsDone, scenario::DDL, &["S8"]),
    case(LostDdlIsDone, scenario::LOST_DDL, &["S8"]),
    case(LostDdlAgain, scenario::LOST_DDL, &["S8"]),
    case(LooksTooSoon, scenario::LOST_DDL, &["S8"]),
    case(ReadyWhenSent, scenario::OWNERS, &["S5"]),
    case(ReportsMemory, scenario::OWNERS, &["S6"]),
    case(NoSeqGuard, scenario::TWINS, &["S4"]),
];

#[test]
fn every_mutant_is_caught() {
    let mut missed = Vec::new();
    println!("{:<24} {:<16} {:>9} {:>6}  caught by", "mutant", "scenario", "states", "steps");
    for Case { mutant, scenario, by } in CASES {
        let scenario = scenario.with(*mutant);
        let report = explore(&scenario, BOUND, by.contains(&"stuck"));
        let (what, n_steps) = match &report.outcome {
            Outcome::Broken { what, trace } => (what.clone(), trace.len()),
            Outcome::Stuck { trace } => ("stuck: no end can be reached".to_owned(), trace.len()),
            Outcome::Holds | Outcome::Bounded => (format!("MISSED: {report}"), 0),
        };
        println!("{:<24} {:<16} {:>9} {n_steps:>6}  {what}", format!("{mutant:?}"), scenario.name, report.n_states);
        if !by.iter().any(|property| what.starts_with(property)) {
            missed.push(format!("{mutant:?}: {report}\n{}", report.trace()));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}
