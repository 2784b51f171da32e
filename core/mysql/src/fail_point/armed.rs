//! Fail points that act: configured by the environment, once, at the start of a test's process.
//!
//! `DM_FAIL_POINT` is a list `point=action@n`, joined by commas: at the `n`-th pass (from 1) the process sends itself the
//! action's signal, `kill` (SIGKILL) or `stop` (SIGSTOP; after SIGCONT it goes on where it was). Before that, a line
//! `point=action@n` is added to the file that `DM_FAIL_POINT_LOG` names: a test that cannot find it has proven nothing.
//! `DM_MUTANT` names one [`Mutant`].

use std::{
    fs::OpenOptions,
    io::Write,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use nix::sys::signal::{Signal, raise};

use super::Mutant;

static ARMED: OnceLock<Armed> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    traps: Vec<Trap>,
    log: Option<PathBuf>,
    mutant: Option<Mutant>,
}

#[derive(Debug)]
struct Trap {
    point: String,
    action: Action,
    nth: u64,
    n_passed: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Stop,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
        }
    }
}

/// A text in the environment that says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    #[error("`{text}` is no `point=kill@n` or `point=stop@n` of a known point")]
    Trap { text: String },
    #[error("`{text}` is no mutant")]
    Mutant { text: String },
}

/// Reads the environment. `points` are the names that this process may pass.
///
/// # Errors
/// A text that is not understood, or a point that nobody passes.
pub fn arm(points: &[&str]) -> Result<(), ArmError> {
    let text = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let traps = text("DM_FAIL_POINT").unwrap_or_default();
    let traps =
        traps.split(',').filter(|text| !text.is_empty()).map(|text| parse(text, points)).collect::<Result<_, _>>()?;
    let mutant = text("DM_MUTANT")
        .map(|text| Mutant::ALL.into_iter().find(|mutant| mutant.as_str() == text).ok_or(ArmError::Mutant { text }))
        .transpose()?;
    // a second call changes nothing
    let _ = ARMED.set(Armed { traps, log: text("DM_FAIL_POINT_LOG").map(PathBuf::from), mutant });
    Ok(())
}

fn parse(text: &str, points: &[&str]) -> Result<Trap, ArmError> {
    let trap = || {
        let (point, rest) = text.split_once('=')?;
        let (action, nth) = rest.split_once('@')?;
        let action = [Action::Kill, Action::Stop].into_iter().find(|known| known.as_str() == action)?;
        let nth = nth.parse().ok().filter(|nth| *nth > 0)?;
        points.contains(&point).then(|| Trap { point: point.to_owned(), action, nth, n_passed: AtomicU64::new(0) })
    };
    trap().ok_or_else(|| ArmError::Trap { text: text.to_owned() })
}

/// The process is between two effects.
pub fn pass(point: &str) {
    let Some(armed) = ARMED.get() else { return };
    for trap in armed.traps.iter().filter(|trap| trap.point == point) {
        if trap.n_passed.fetch_add(1, Ordering::SeqCst) + 1 == trap.nth {
            strike(armed, trap);
        }
    }
}

/// Awaits `future`; the point lies where its first bytes are sent and nothing was answered.
pub async fn sent<F: Future>(point: &'static str, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let first = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    match first {
        Poll::Ready(output) => output,
        Poll::Pending => {
            pass(point);
            future.await
        }
    }
}

/// Whether the rule is switched off.
pub fn is_mutant(mutant: Mutant) -> bool {
    ARMED.get().is_some_and(|armed| armed.mutant == Some(mutant))
}

fn strike(armed: &Armed, trap: &Trap) {
    let line = format!("{}={}@{}\n", trap.point, trap.action.as_str(), trap.nth);
    if let Some(path) = &armed.log {
        let written =
            OpenOptions::new().create(true).append(true).open(path).and_then(|mut f| f.write_all(line.as_bytes()));
        if let Err(error) = written {
            eprintln!("cannot write {}: {error}", path.display());
        }
    }
    eprintln!("fail point {}", line.trim_end());
    let signal = match trap.action {
        Action::Kill => Signal::SIGKILL,
        Action::Stop => Signal::SIGSTOP,
    };
    // To this very thread: sent to the process, another thread may take it while this one runs on, past the point.
    if let Err(error) = raise(signal) {
        eprintln!("cannot strike: {error}");
    }
    while trap.action == Action::Kill {
        // the signal is on its way
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_a_known_point_an_action_and_a_count() {
        let trap = parse("acked=stop@7", &["acked"]).unwrap();
        assert_eq!((trap.point.as_str(), trap.action, trap.nth), ("acked", Action::Stop, 7));
        for text in ["", "acked", "acked=kill", "acked=kill@0", "acked=kill@x", "acked=end@1", "other=kill@1"] {
            assert!(parse(text, &["acked"]).is_err(), "{text}");
        }
    }
}
