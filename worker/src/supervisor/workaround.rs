//! A way out for every error that pauses a subtask. Errors say it themselves where they know it; here is the rest.

use dm_model::error::{Report, Retry};

/// The report with a workaround, whatever it was raised with.
pub(super) fn complete(mut report: Report) -> Report {
    if report.workaround.is_empty() {
        report.workaround = of(report.code).unwrap_or_else(|| general(report.retry)).to_owned();
    }
    report
}

/// For codes that are raised without one.
pub(super) fn of(code: u32) -> Option<&'static str> {
    Some(match code {
        10005 | 10006 => {
            "Look at RawCause for what the server said. Mend rights, tables or server settings it names; `resume-task` tries again."
        }
        32001 => {
            "Look at Message and RawCause for the table and what the source said. Mend it or leave the table out with `block-allow-list`; `resume-task` goes on where the copy was."
        }
        60004 => {
            "Another dm-worker runs this subtask by now: look with `query-status`. Nothing is to be done unless it keeps coming back."
        }
        _ => return None,
    })
}

fn general(retry: Retry) -> &'static str {
    match retry {
        Retry::Backoff => "It is tried again by itself; if it stays, look at RawCause and at the worker's log.",
        Retry::Never => "Look at Message and RawCause, mend what they name, then `resume-task`.",
    }
}

#[cfg(test)]
mod tests;
