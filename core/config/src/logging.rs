//! The logging keys that all programs share.

use serde::Deserialize;

use crate::Error;

/// As written in a file or on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RawLog {
    pub log_level: Option<String>,
    pub log_file: Option<String>,
    pub log_format: Option<String>,
    pub log_rotate: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    pub level: LogLevel,
    /// `None`: standard error.
    pub file: Option<String>,
    pub format: LogFormat,
    pub rotate: LogRotate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogRotate {
    Hour,
    Day,
    Never,
}

impl LogLevel {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl RawLog {
    /// Values of `over` win.
    pub(crate) fn merge(&mut self, over: Self) {
        crate::flags::overlay(&mut self.log_level, over.log_level);
        crate::flags::overlay(&mut self.log_file, over.log_file);
        crate::flags::overlay(&mut self.log_format, over.log_format);
        crate::flags::overlay(&mut self.log_rotate, over.log_rotate);
    }

    pub fn finish(self) -> Result<LogOptions, Error> {
        let level = self.log_level.unwrap_or_default().to_lowercase();
        let format = self.log_format.unwrap_or_default().to_lowercase();
        let rotate = self.log_rotate.unwrap_or_default().to_lowercase();
        Ok(LogOptions {
            level: match level.as_str() {
                "trace" => LogLevel::Trace,
                "debug" => LogLevel::Debug,
                "" | "info" => LogLevel::Info,
                "warn" | "warning" => LogLevel::Warn,
                "error" | "fatal" | "panic" | "dpanic" => LogLevel::Error,
                _ => return Err(refuse("log-level", level, "one of debug, info, warn, error, fatal")),
            },
            file: self.log_file.filter(|file| !file.is_empty()),
            format: match format.as_str() {
                "" | "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(refuse("log-format", format, "`text` or `json`")),
            },
            rotate: match rotate.as_str() {
                "" | "day" => LogRotate::Day,
                "hour" => LogRotate::Hour,
                "never" => LogRotate::Never,
                _ => return Err(refuse("log-rotate", rotate, "one of day, hour, never")),
            },
        })
    }
}

fn refuse(key: &'static str, text: String, expected: &'static str) -> Error {
    Error::Value { key, text, expected }
}
