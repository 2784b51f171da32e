//! Strict YAML: unknown and repeated keys are errors that name the key and its place. Never prints the text around an
//! error, because passwords stand there.

use serde::de::DeserializeOwned;

use crate::Error;

pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        Error::Yaml { line, column, problem: problem(&error) }
    })
}

fn problem(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::SerdeUnknownField { field, .. } => format!("unknown key `{field}`"),
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => format!("key `{key}` is given twice"),
        other => other.render().trim().to_owned(),
    }
}
