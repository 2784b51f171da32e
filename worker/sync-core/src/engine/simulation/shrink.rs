//! A failing plan made small: parts are left out as long as some schedule still fails.

use super::{
    history::{Plan, Step},
    mutants::Broken,
    run,
};

/// How many schedules a smaller plan is tried under.
const SCHEDULES: u64 = 8;

/// The smallest plan found, its failure and its schedule, to print.
pub(super) fn shrink(mut plan: Plan, schedule: u64, broken: Option<Broken>) -> String {
    let mut found = run(&plan, schedule, broken).err().map(|what| (schedule, what));
    let mut chunk = plan.steps.len();
    while chunk > 0 {
        let mut at = 0;
        while at < plan.steps.len() {
            let mut smaller = plan.clone();
            smaller.steps.drain(at..(at + chunk).min(plan.steps.len()));
            match fails(&smaller, schedule, broken) {
                Some(failure) => (plan, found) = (smaller, Some(failure)),
                None => at += chunk,
            }
        }
        chunk /= 2;
    }
    for at in 0..plan.steps.len() {
        let mut op = 0;
        while let Step::Transaction(ops) = &plan.steps[at]
            && op < ops.len()
        {
            let mut smaller = plan.clone();
            if let Step::Transaction(ops) = &mut smaller.steps[at] {
                ops.remove(op);
            }
            match fails(&smaller, schedule, broken) {
                Some(failure) => (plan, found) = (smaller, Some(failure)),
                None => op += 1,
            }
        }
    }
    let tables: Vec<String> = plan
        .tables
        .iter()
        .map(|source| format!("{} -> {}", source.table.create(&source.name.table, usize::MAX), source.target))
        .collect();
    let (schedule, what) = found.unwrap_or_default();
    format!(
        "shrunk to {} steps, schedule {schedule}: {what}\n{}\n{:#?}\n{} lanes, {} rows a batch, {} rows a slice, {:?}",
        plan.steps.len(),
        tables.join("\n"),
        plan.steps,
        plan.n_lanes,
        plan.batch_rows,
        plan.slice_rows,
        plan.shape
    )
}

fn fails(plan: &Plan, schedule: u64, broken: Option<Broken>) -> Option<(u64, String)> {
    (schedule..schedule + SCHEDULES).find_map(|schedule| run(plan, schedule, broken).err().map(|what| (schedule, what)))
}
