//! Every scenario, every interleaving: S1 to S8 hold in every state, and from every state a run can end.
//!
//! `DM_MODEL_STATES` raises the bound of states per scenario.

use dm_model_check::{
    explore::{Outcome, explore},
    scenario::{self, Scenario},
};

fn bound() -> usize {
    std::env::var("DM_MODEL_STATES").ok().and_then(|text| text.parse().ok()).unwrap_or(720_000)
}

fn holds(scenario: Scenario) {
    let report = explore(&scenario, bound(), true);
    println!("{:<16} {report}", scenario.name);
    println!("{:<16} {:?}", "", report.kinds);
    assert!(
        matches!(report.outcome, Outcome::Holds | Outcome::Bounded),
        "{}: {report}\n{}",
        scenario.name,
        report.trace()
    );
}

macro_rules! scenarios {
    ($($test:ident: $scenario:ident),+ $(,)?) => {$(
        #[test]
        fn $test() {
            holds(scenario::$scenario);
        }
    )+};
}

scenarios! {
    owners_change: OWNERS,
    the_owner_dies: CRASHES,
    three_owners_in_a_row: THREE_OWNERS,
    an_owner_with_fewer_lanes: FEWER_LANES,
    commits_without_an_answer: UNKNOWN,
    commits_without_an_answer_again_and_again: UNKNOWN_AGAIN,
    an_owner_stops_for_good: FROZEN,
    the_target_forgets: POWER,
    the_target_forgets_while_owners_change: POWER_OWNERS,
    the_target_forgets_quickly: QUICK_POWER,
    a_ddl_between_rows: DDL,
    a_ddl_and_crashes: DDL_CRASHES,
    a_ddl_without_an_answer: LOST_DDL,
    a_ddl_and_a_target_that_forgets: DDL_POWER,
    pause_and_resume: PAUSED,
    two_processes_with_one_epoch: TWINS,
    no_right_to_kill: NO_KILL,
}
