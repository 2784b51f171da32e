//! What an error means to an operator: DM's code, class, scope and level, the message, the cause and the way out.
//!
//! There is no list of errors here. Each crate declares the codes it raises as [`Code`] constants next to its error
//! enum and implements [`Coded`]; [`Report`] is the value that reaches users, logs and the wire.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $text)] $variant,)* }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named!(
    /// DM's error class: the part of the system that raised it.
    Class {
        Database => "database",
        Functional => "functional",
        Config => "config",
        BinlogOp => "binlog-op",
        Checkpoint => "checkpoint",
        TaskCheck => "task-check",
        RelayEventLib => "relay-event-lib",
        RelayUnit => "relay-unit",
        DumpUnit => "dump-unit",
        LoadUnit => "load-unit",
        SyncUnit => "sync-unit",
        DmMaster => "dm-master",
        DmWorker => "dm-worker",
        Ha => "ha",
        Validator => "validator",
        SchemaTracker => "schema-tracker",
        Scheduler => "scheduler",
        Dmctl => "dmctl",
        Openapi => "openapi",
        NotSet => "not-set",
    }
);

named!(
    /// Which side the trouble is on.
    Scope {
        NotSet => "not-set",
        Upstream => "upstream",
        Downstream => "downstream",
        Internal => "internal",
    }
);

named!(
    /// How bad it is.
    Level {
        Low => "low",
        Medium => "medium",
        High => "high",
    }
);

/// A stable error code with its meaning. Numbers of DM keep DM's class, scope and level; errors of features DM does
/// not have use 60000–60999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub number: u32,
    pub class: Class,
    pub scope: Scope,
    pub level: Level,
    /// What an operator can do about it; empty when there is nothing general to say.
    pub workaround: &'static str,
}

impl Code {
    pub const fn new(number: u32, class: Class, scope: Scope, level: Level, workaround: &'static str) -> Self {
        Self { number, class, scope, level, workaround }
    }
}

/// An error that has a code. The code comes from a `match` over the error's variants, never from its text.
pub trait Coded: std::error::Error {
    fn code(&self) -> Code;
}

/// What may be done about a failed operation without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Retry {
    /// The same operation may succeed later: lost connections, deadlocks, restarting servers.
    Backoff,
    /// Only a person can help: the same input will fail in the same way.
    Never,
}

/// An error as users see it, detached from the Rust error it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub code: u32,
    pub class: Class,
    pub scope: Scope,
    pub level: Level,
    pub message: String,
    pub raw_cause: String,
    pub workaround: String,
    pub retry: Retry,
}

impl Report {
    /// A report that was not raised from an error value.
    pub fn new(code: Code, retry: Retry, message: impl Into<String>) -> Self {
        Self {
            code: code.number,
            class: code.class,
            scope: code.scope,
            level: code.level,
            message: message.into(),
            raw_cause: String::new(),
            workaround: code.workaround.to_owned(),
            retry,
        }
    }

    /// Message from the error itself, raw cause from the innermost source of its chain.
    pub fn of(error: &dyn Coded, retry: Retry) -> Self {
        let mut report = Self::new(error.code(), retry, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            report.raw_cause = cause.to_string();
            source = cause.source();
        }
        report
    }

    pub fn with_cause(mut self, raw_cause: impl Into<String>) -> Self {
        self.raw_cause = raw_cause.into();
        self
    }

    pub fn with_workaround(mut self, workaround: impl Into<String>) -> Self {
        self.workaround = workaround.into();
        self
    }
}

/// DM's form: `[code=…:class=…:scope=…:level=…], Message: …, RawCause: …, Workaround: …`; empty parts are left out.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[code={}:class={}:scope={}:level={}]", self.code, self.class, self.scope, self.level)?;
        for (title, text) in
            [("Message", &self.message), ("RawCause", &self.raw_cause), ("Workaround", &self.workaround)]
        {
            if !text.is_empty() {
                write!(f, ", {title}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// Prints an error with all its causes: `a: b: c`. For logs; the parts do not print their own causes.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: Code = Code::new(46014, Class::Scheduler, Scope::Internal, Level::Medium, "stop it first");

    #[test]
    fn report_prints_as_dm_does_and_leaves_empty_parts_out() {
        let report = Report::new(CODE, Retry::Never, "subtasks exist");
        assert_eq!(
            report.to_string(),
            "[code=46014:class=scheduler:scope=internal:level=medium], Message: subtasks exist, Workaround: stop it first"
        );
    }

    #[test]
    fn raw_cause_is_the_innermost_source() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot open file")]
        struct Outer(#[source] std::num::ParseIntError);
        impl Coded for Outer {
            fn code(&self) -> Code {
                CODE
            }
        }
        let outer = Outer("x".parse::<u8>().unwrap_err());
        let report = Report::of(&outer, Retry::Never);
        assert_eq!(report.message, "cannot open file");
        assert_eq!(report.raw_cause, "invalid digit found in string");
    }
}
