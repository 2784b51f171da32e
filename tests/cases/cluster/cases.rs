//! Cases in a row: each is run and named, a failing one does not end the others.
//!
//! Themes take turns, for each starts several processes and servers.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Result;

static TURN: Mutex<()> = Mutex::new(());

pub(crate) struct Cases {
    theme: &'static str,
    only: Option<String>,
    failures: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

impl Cases {
    pub(crate) fn begin(theme: &'static str) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { theme, only: std::env::var("DM_CASES").ok(), failures: Vec::new(), _turn: turn }
    }

    /// Runs a case, unless another is asked for.
    pub(crate) async fn run(&mut self, name: &str, case: impl Future<Output = Result<()>>) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        let begun = Instant::now();
        match case.await {
            Ok(()) => println!("{}: {name}: ok ({:.1?})", self.theme, begun.elapsed()),
            Err(error) => {
                println!("{}: {name}: FAILED ({:.1?}): {error:#}", self.theme, begun.elapsed());
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    /// # Panics
    /// Some case failed.
    pub(crate) fn end(self) {
        assert!(self.failures.is_empty(), "{} failed:\n{}", self.theme, self.failures.join("\n\n"));
    }
}
