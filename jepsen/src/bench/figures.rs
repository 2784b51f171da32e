//! Medians, spreads, and the table of goals.

use std::fmt;

/// Values of one figure over all rounds.
#[derive(Debug, Clone, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// 0 when there is no value.
    pub fn median(&self) -> f64 {
        let n = self.0.len();
        match (n.checked_sub(1).and_then(|last| self.0.get(last / 2)), self.0.get(n / 2)) {
            (Some(below), Some(above)) => (below + above) / 2.0,
            _ => 0.0,
        }
    }

    pub fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or(0.0)
    }

    pub fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }

    /// `median (min–max)` with so many decimals.
    pub fn text(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$}–{:.decimals$})", self.median(), self.min(), self.max())
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut series = Self::default();
        for value in values {
            series.push(value);
        }
        series
    }
}

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Only told.
    None,
}

#[derive(Debug, Clone)]
struct Line {
    what: String,
    goal: Goal,
    unit: &'static str,
    measured: Series,
}

/// One line for each goal, judged by the median.
#[derive(Debug, Clone, Default)]
pub struct Verdicts(Vec<Line>);

impl Verdicts {
    pub fn add(&mut self, what: impl Into<String>, goal: Goal, unit: &'static str, measured: Series) {
        self.0.push(Line { what: what.into(), goal, unit, measured });
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<66} {:>10} {:>26}  verdict", "what", "goal", "median (min–max)")?;
        for Line { what, goal, unit, measured } in &self.0 {
            let (text, verdict) = match *goal {
                Goal::AtLeast(least) => (format!("≥ {least}{unit}"), verdict(measured.median() >= least)),
                Goal::AtMost(most) => (format!("≤ {most}{unit}"), verdict(measured.median() <= most)),
                Goal::None => ("–".to_owned(), "reported"),
            };
            writeln!(f, "{what:<66} {text:>10} {:>26}  {verdict}", measured.text(2))?;
        }
        Ok(())
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "NOT MET" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_counts() {
        let of = |values: &[f64]| values.iter().copied().collect::<Series>().median();
        assert_eq!(of(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(of(&[]), 0.0);
    }

    #[test]
    fn a_goal_is_judged_by_the_median() {
        let mut verdicts = Verdicts::default();
        verdicts.add("fast", Goal::AtLeast(2.0), "×", [1.0, 2.0, 9.0].into_iter().collect());
        verdicts.add("small", Goal::AtMost(2.0), " MB", [1.0, 3.0, 9.0].into_iter().collect());
        let text = verdicts.to_string();
        assert!(text.lines().nth(1).unwrap().ends_with("  met"), "{text}");
        assert!(text.lines().nth(2).unwrap().ends_with("NOT MET"), "{text}");
    }
}
