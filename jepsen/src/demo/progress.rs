//! What a person sees while the demo runs: phases with their times, and bars for the snapshot.
//!
//! On a terminal bars and a spinner move; anywhere else plain lines are printed, one for each phase and one every few seconds.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::place::Subtask;

const PLAIN_PACE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct Console {
    begun: Instant,
    /// `None`: no terminal.
    terminal: Option<MultiProgress>,
}

impl Default for Console {
    fn default() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let terminal = terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout()));
        Self { begun: Instant::now(), terminal }
    }
}

impl Console {
    /// Begins a phase. It is printed when it is done.
    pub fn phase(&self, what: &str) -> Phase<'_> {
        let spinner = self.terminal.as_ref().map(|terminal| {
            let spinner = terminal.add(ProgressBar::new_spinner().with_message(what.to_owned()));
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        Phase { console: self, what: what.to_owned(), begun: Instant::now(), spinner }
    }

    pub fn line(&self, text: &str) {
        let line = format!("[{:5.1} s] {text}", self.begun.elapsed().as_secs_f64());
        match &self.terminal {
            // A terminal that went away is no reason to stop.
            Some(terminal) => drop(terminal.println(line)),
            None => println!("{line}"),
        }
    }

    /// A bar for each source.
    pub fn bars<'a>(&self, sources: impl Iterator<Item = &'a str>) -> Bars<'_> {
        let bars = sources.map(|source| (source.to_owned(), self.bar(source))).collect();
        Bars { console: self, bars, begun: Instant::now(), printed: Mutex::new(Instant::now()) }
    }

    fn bar(&self, source: &str) -> ProgressBar {
        let Some(terminal) = &self.terminal else { return ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{prefix} {bar:36} {human_pos} of {human_len} rows, {msg}");
        let bar = ProgressBar::new(0).with_prefix(source.to_owned());
        terminal.add(style.map_or(bar.clone(), |style| bar.with_style(style)))
    }
}

/// A phase under way.
#[derive(Debug)]
pub struct Phase<'a> {
    console: &'a Console,
    what: String,
    begun: Instant,
    spinner: Option<ProgressBar>,
}

impl Phase<'_> {
    pub fn done(self, result: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        let Self { console, what, begun, .. } = &self;
        console.line(&format!("{what}: {result} ({:.1} s)", begun.elapsed().as_secs_f64()));
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

/// The snapshot's bars.
#[derive(Debug)]
pub struct Bars<'a> {
    console: &'a Console,
    bars: BTreeMap<String, ProgressBar>,
    begun: Instant,
    printed: Mutex<Instant>,
}

impl Bars<'_> {
    pub fn show(&self, states: &[Subtask]) {
        for state in states {
            let Some(bar) = self.bars.get(&state.source) else { continue };
            let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
            if state.unit == "Load" && state.n_to_load > 0 {
                bar.set_length(state.n_to_load.max(state.n_loaded));
                bar.set_position(state.n_loaded);
                let rate = state.n_loaded as f64 / seconds;
                bar.set_message(format!("{rate:.0} rows/s by {}", state.worker));
            } else if state.unit == "Sync" {
                bar.set_position(bar.length().unwrap_or_default());
                bar.set_message(format!("copied; {} replicates", state.worker));
            }
        }
        if self.console.terminal.is_some() {
            return;
        }
        let Ok(mut printed) = self.printed.lock() else { return };
        if printed.elapsed() >= PLAIN_PACE {
            *printed = Instant::now();
            let parts: Vec<String> = states.iter().map(plain).collect();
            self.console.line(&format!("snapshot: {}", parts.join("; ")));
        }
    }

    /// A line between.
    pub fn line(&self, text: &str) {
        self.console.line(text);
    }

    pub fn finish(self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
    }
}

fn plain(state: &Subtask) -> String {
    let Subtask { source, worker, stage, unit, n_loaded, n_to_load, .. } = state;
    if unit == "Load" {
        format!("{source} {n_loaded} of {n_to_load} rows by {worker}")
    } else {
        format!("{source} {unit} {stage} by {worker}")
    }
}
