//! What the checks found, and DM's text and JSON of it.

use dm_model::error::{Class, Code, Level, Report, Retry, Scope};
use serde::Serialize;

const FAILED: Code = Code::new(
    26005,
    Class::TaskCheck,
    Scope::Internal,
    Level::Medium,
    "Please check the detail and correct the configuration, the servers, or `ignore-checking-items`.",
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Success,
    Warn,
    Fail,
}

/// One thing a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: State,
    pub short_error: String,
    #[serde(rename = "self", skip_serializing_if = "String::is_empty")]
    pub own: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub other: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instruction: String,
}

impl Finding {
    pub fn warn(text: impl Into<String>) -> Self {
        Self::new(State::Warn, text)
    }

    pub fn fail(text: impl Into<String>) -> Self {
        Self::new(State::Fail, text)
    }

    fn new(severity: State, text: impl Into<String>) -> Self {
        Self {
            severity,
            short_error: text.into(),
            own: String::new(),
            other: String::new(),
            instruction: String::new(),
        }
    }
}

/// One check with its findings; without findings it succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub desc: &'static str,
    pub findings: Vec<Finding>,
    pub instruction: &'static str,
    pub extra: String,
}

impl Check {
    pub fn new(
        name: &'static str,
        desc: &'static str,
        findings: Vec<Finding>,
        instruction: &'static str,
        extra: String,
    ) -> Self {
        Self { name, desc, findings, instruction, extra }
    }

    pub fn failed(name: &'static str, desc: &'static str, text: impl Into<String>, extra: impl Into<String>) -> Self {
        Self::new(name, desc, vec![Finding::fail(text)], "", extra.into())
    }

    pub fn state(&self) -> State {
        self.findings.iter().map(|finding| finding.severity).max().unwrap_or(State::Success)
    }
}

/// How many findings of each kind are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub errors: usize,
    pub warnings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { errors: 10, warnings: 10 }
    }
}

impl Limits {
    /// Of a request; 0 and less: the default.
    pub fn of(errors: i64, warnings: i64) -> Self {
        let or_ten = |n: i64| usize::try_from(n).ok().filter(|n| *n > 0).unwrap_or(10);
        Self { errors: or_ten(errors), warnings: or_ten(warnings) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    checks: Vec<Check>,
    limits: Limits,
    is_skipped: bool,
}

#[derive(Serialize)]
struct Listing<'a> {
    results: Vec<One<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct One<'a> {
    id: usize,
    name: &'a str,
    desc: &'a str,
    state: State,
    errors: Vec<&'a Finding>,
    #[serde(skip_serializing_if = "str::is_empty")]
    instruction: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    extra: &'a str,
}

#[derive(Serialize)]
struct Summary {
    passed: bool,
    total: usize,
    successful: usize,
    failed: usize,
    warning: usize,
}

impl Verdict {
    pub fn new(checks: Vec<Check>, limits: Limits) -> Self {
        Self { checks, limits, is_skipped: false }
    }

    /// `ignore-checking-items: [all]`.
    pub fn skipped() -> Self {
        Self { checks: Vec::new(), limits: Limits::default(), is_skipped: true }
    }

    pub fn is_passed(&self) -> bool {
        self.count(State::Fail) == 0
    }

    fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state() == state).count()
    }

    /// What start-task and check-task answer.
    pub fn text(&self) -> String {
        let warnings = self.count(State::Warn);
        if !self.is_passed() {
            let message = format!(
                "fail to check synchronization configuration with type: check was failed, please see detail\n\tdetail: {}",
                self.json()
            );
            return Report::new(FAILED, Retry::Never, message).to_string();
        }
        if warnings > 0 {
            return format!(
                "fail to check synchronization configuration with type: no errors but some warnings\n\tdetail: {}",
                self.json()
            );
        }
        if self.is_skipped { String::new() } else { "pre-check is passed. ".to_owned() }
    }

    /// Failing and warning results only; ids are places in the order of running.
    pub fn json(&self) -> String {
        let (mut errors_left, mut warnings_left) = (self.limits.errors, self.limits.warnings);
        let mut results = Vec::new();
        for (id, check) in self.checks.iter().enumerate().filter(|(_, check)| check.state() != State::Success) {
            let mut errors = Vec::new();
            for finding in &check.findings {
                let left = match finding.severity {
                    State::Fail => &mut errors_left,
                    State::Warn | State::Success => &mut warnings_left,
                };
                if *left > 0 {
                    *left -= 1;
                    errors.push(finding);
                }
            }
            if errors.is_empty() {
                continue;
            }
            results.push(One {
                id,
                name: check.name,
                desc: check.desc,
                state: check.state(),
                errors,
                instruction: check.instruction,
                extra: &check.extra,
            });
        }
        let summary = Summary {
            passed: self.is_passed(),
            total: self.checks.len(),
            successful: self.count(State::Success),
            failed: self.count(State::Fail),
            warning: self.count(State::Warn),
        };
        serde_json::to_string_pretty(&Listing { results, summary }).unwrap_or_else(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(findings: Vec<Finding>) -> Check {
        Check::new("mysql_version", "check the version", findings, "use another", "address - h:1".into())
    }

    #[test]
    fn all_green_says_dms_words() {
        let verdict = Verdict::new(vec![check(Vec::new())], Limits::default());
        assert!(verdict.is_passed());
        assert_eq!(verdict.text(), "pre-check is passed. ");
    }

    #[test]
    fn a_failure_is_26005_with_the_detail() {
        let verdict = Verdict::new(
            vec![check(Vec::new()), check(vec![Finding::fail("no"), Finding::warn("hm")])],
            Limits::of(1, 0),
        );
        assert!(!verdict.is_passed());
        let text = verdict.text();
        assert!(text.starts_with("[code=26005:class=task-check:scope=internal:level=medium], Message: fail to check"));
        let json: serde_json::Value = serde_json::from_str(&verdict.json()).unwrap();
        assert_eq!(json["results"][0]["id"], 1);
        assert_eq!(json["results"][0]["state"], "fail");
        assert_eq!(json["results"][0]["errors"][0]["severity"], "fail");
        assert_eq!(json["summary"]["failed"], 1);
        assert_eq!(json["summary"]["successful"], 1);
    }

    #[test]
    fn warnings_pass_and_are_capped() {
        let many = (0..5).map(|n| Finding::warn(n.to_string())).collect();
        let verdict = Verdict::new(vec![check(many)], Limits::of(10, 2));
        assert!(verdict.is_passed());
        assert!(verdict.text().contains("no errors but some warnings"));
        let json: serde_json::Value = serde_json::from_str(&verdict.json()).unwrap();
        assert_eq!(json["results"][0]["errors"].as_array().unwrap().len(), 2);
    }
}
