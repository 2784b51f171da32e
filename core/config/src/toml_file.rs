//! TOML files of our programs: unknown keys are errors, keys of old versions are warnings.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::Warning;

/// What is wrong with a TOML file; each program has its own code for each case.
pub(crate) enum Problem {
    Syntax(Box<toml::de::Error>),
    UnknownKeys(String),
}

/// Keys a program knows, besides those of its config struct.
pub(crate) struct Keys {
    /// Keys of the struct; nested ones as `table.key`.
    pub(crate) known: &'static [&'static str],
    /// Accepted and ignored, with the reason.
    pub(crate) ignored: &'static [(&'static str, &'static str)],
}

pub(crate) fn parse<T: DeserializeOwned>(text: &str, keys: &Keys) -> Result<(T, Vec<Warning>), Problem> {
    let mut table: Table = text.parse().map_err(|error| Problem::Syntax(Box::new(error)))?;
    let mut warnings = Vec::new();
    table.retain(|key, _| match keys.ignored.iter().find(|(ignored, _)| *ignored == key) {
        Some((key, reason)) => {
            warnings.push(Warning(format!("`{key}` is ignored: {reason}")));
            false
        }
        None => true,
    });
    let unknown = unknown(&table, keys.known);
    if !unknown.is_empty() {
        return Err(Problem::UnknownKeys(unknown.join(", ")));
    }
    // Deserializing from the text keeps lines in messages; it is only possible when nothing was taken out.
    let parsed = if warnings.is_empty() { toml::from_str(text) } else { table.try_into() };
    let parsed = parsed.map_err(|error| Problem::Syntax(Box::new(error)))?;
    Ok((parsed, warnings))
}

fn unknown(table: &Table, known: &[&str]) -> Vec<String> {
    let mut unknown = Vec::new();
    for (key, value) in table {
        let nested = format!("{key}.");
        match value {
            Value::Table(inner) if known.iter().any(|known| known.starts_with(&nested)) => {
                let paths = inner.keys().map(|inner| format!("{nested}{inner}"));
                unknown.extend(paths.filter(|path| !known.contains(&path.as_str())));
            }
            _ if known.contains(&key.as_str()) => {}
            _ => unknown.push(key.clone()),
        }
    }
    unknown
}
