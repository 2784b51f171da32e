//! What must hold in every reachable state and across every step (S1 to S8 of the control plane's design).
//!
//! S4 is checked where a transaction commits (`target`). S1 and S2 hold by the leader's construction here and are checked
//! against production's state machine in `dm-state`; here a step must not take an epoch back.

use dm_fence::UnitNumber;

use crate::{
    scenario::{Kind, Scenario},
    target::{Effect, Store},
    world::State,
};

/// S1, S3 and S7: nothing goes back. `power`: a target that lost commits may.
pub(crate) fn check_step(before: &State, after: &State, power: bool) -> Result<(), String> {
    if after.leader.epoch < before.leader.epoch {
        return Err("S1: the owner's epoch goes back".to_owned());
    }
    if after.leader.reported < before.leader.reported {
        return Err("S7: the reported watermark goes back".to_owned());
    }
    if power || std::sync::Arc::ptr_eq(&before.target.store, &after.target.store) {
        return Ok(());
    }
    for (lane, row) in &before.target.store.rows {
        match after.target.store.rows.get(lane) {
            None => return Err(format!("S3: the row of lane {lane} is gone")),
            Some(now) if now.epoch < row.epoch => {
                return Err(format!("S3: lane {lane} goes from epoch {} back to {}", row.epoch, now.epoch));
            }
            Some(now) if now.low < row.low => {
                return Err(format!("S3: lane {lane} goes from watermark {} back to {}", row.low, now.low));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

pub(crate) fn check(scenario: &Scenario, state: &State) -> Result<(), String> {
    let store = &state.target.store;
    exactly_once(scenario, store)?;
    if !state.regressed && state.leader.reported > store.max_low() {
        let (reported, low) = (state.leader.reported, store.max_low());
        return Err(format!("S6: unit {reported} is reported, the lane rows say {low}"));
    }
    Ok(())
}

/// S5 and S8.
fn exactly_once(scenario: &Scenario, store: &Store) -> Result<(), String> {
    let rows = store.lane_rows();
    let resume = dm_fence::resume(&rows);
    let is_marked = |unit: UnitNumber| resume.as_ref().is_some_and(|resume| resume.skips(unit));
    for (unit, of) in (1..).map(UnitNumber).zip(scenario.units) {
        let n = store.effects.iter().filter(|effect| number(**effect) == unit).count();
        match (of.kind, n, is_marked(unit)) {
            (Kind::Filtered, 0, _) | (_, 0, false) | (Kind::Rows | Kind::Ddl, 1, true) => {}
            // Executed, and its done transaction still to come.
            (Kind::Ddl, 1, false) if store.intents.contains_key(&(unit, 0)) => {}
            (Kind::Ddl, 1, false) => return Err(format!("S8: DDL {unit} ran without an intent")),
            (Kind::Ddl, 0, true) => return Err(format!("S8: DDL {unit} counts as done and never ran")),
            (Kind::Ddl, _, _) => return Err(format!("S8: DDL {unit} ran {n} times")),
            (Kind::Rows, 0, true) => return Err(format!("S5: unit {unit} is lost")),
            (Kind::Rows, 1, false) => return Err(format!("S5: unit {unit} is applied and will be again")),
            (Kind::Rows | Kind::Filtered, _, _) => return Err(format!("S5: unit {unit} is applied {n} times")),
        }
    }
    for (idx, later) in store.effects.iter().enumerate() {
        for earlier in &store.effects[..idx] {
            let (first, second) = (number(*earlier), number(*later));
            if first > second && conflict(scenario, first, second) {
                return Err(format!("S5: unit {first} took effect before unit {second}"));
            }
        }
    }
    // A unit must not be there without those in conflict before it.
    for effect in &store.effects {
        let unit = number(*effect);
        for before in (1..unit.0).map(UnitNumber).filter(|before| conflict(scenario, *before, unit)) {
            let of = scenario.unit(before);
            if of.is_some_and(|of| of.kind != Kind::Filtered) && !store.effects.iter().any(|it| number(*it) == before) {
                return Err(format!("S5: unit {unit} is applied without unit {before} before it"));
            }
        }
    }
    Ok(())
}

fn number(effect: Effect) -> UnitNumber {
    match effect {
        Effect::Rows(unit) | Effect::Ddl(unit) => unit,
    }
}

fn conflict(scenario: &Scenario, a: UnitNumber, b: UnitNumber) -> bool {
    let (Some(a), Some(b)) = (scenario.unit(a), scenario.unit(b)) else { return false };
    let by_key = a.keys.iter().any(|key| b.keys.contains(key));
    let by_table = (a.kind == Kind::Ddl || b.kind == Kind::Ddl) && a.table == b.table;
    by_key || by_table
}
