//! Reads what a user names on the command line: task and source files, with their TLS files inlined, because the masters
//! cannot read this machine's disk.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use regex::{Captures, Regex};

/// The text of a config file, `ssl-ca`, `ssl-cert` and `ssl-key` replaced by their contents.
///
/// # Errors
/// The file, or a TLS file it names, cannot be read.
pub(crate) fn read_config(path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read file {path}"))?;
    inline_tls(&text)
}

fn inline_tls(text: &str) -> Result<String> {
    let pattern = Regex::new(r#"(?m)\b(ssl-(?:ca|cert|key))[ \t]*:[ \t]*("[^"\n]*"|'[^'\n]*'|[^\s,}#"']+)"#)
        .context("compile the pattern of TLS keys")?;
    let mut failure = None;
    let inlined = pattern.replace_all(text, |found: &Captures<'_>| {
        let path = found[2].trim_matches(['"', '\'']);
        if path.is_empty() {
            return found[0].to_owned();
        }
        match std::fs::read(path) {
            Ok(bytes) => format!("{}-base64: \"{}\"", &found[1], STANDARD.encode(bytes)),
            Err(error) => {
                failure.get_or_insert(format!("can't read {} file {path}: {error}", &found[1]));
                found[0].to_owned()
            }
        }
    });
    match failure {
        Some(failure) => bail!(failure),
        None => Ok(inlined.into_owned()),
    }
}

/// A task's name: as given, or the `name` of the task file that is given instead.
///
/// # Errors
/// The file exists and has no readable name.
pub(crate) fn task_name(argument: &str) -> Result<String> {
    let is_yaml = argument.ends_with(".yaml") || argument.ends_with(".yml");
    if !is_yaml || !Path::new(argument).is_file() {
        return Ok(argument.to_owned());
    }
    let text = std::fs::read_to_string(argument).with_context(|| format!("can't read file {argument}"))?;
    let pattern = Regex::new(r#"(?m)^name[ \t]*:[ \t]*("[^"\n]*"|'[^'\n]*'|[^\s#]+)"#).context("compile pattern")?;
    match pattern.captures(&text) {
        Some(found) => Ok(found[1].trim_matches(['"', '\'']).to_owned()),
        None => bail!("file {argument} has no task name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_files_become_their_contents_in_both_styles() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, "PEM").unwrap();
        let block = format!("security:\n  ssl-ca: \"{}\"\n  ssl-cert: \"\"\n", ca.display());
        assert_eq!(inline_tls(&block).unwrap(), "security:\n  ssl-ca-base64: \"UEVN\"\n  ssl-cert: \"\"\n");
        let flow = format!("security: {{ssl-ca: {}, x: 1}}", ca.display());
        assert_eq!(inline_tls(&flow).unwrap(), "security: {ssl-ca-base64: \"UEVN\", x: 1}");
    }

    #[test]
    fn a_missing_tls_file_is_an_error_that_names_it() {
        let error = inline_tls("ssl-key: /nowhere/key.pem").unwrap_err().to_string();
        assert!(error.contains("/nowhere/key.pem"), "{error}");
    }

    #[test]
    fn a_task_file_stands_for_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("task.yaml");
        std::fs::write(&file, "# x\nname: \"shop\" # the task\ntask-mode: all\n").unwrap();
        assert_eq!(task_name(file.to_str().unwrap()).unwrap(), "shop");
        assert_eq!(task_name("shop").unwrap(), "shop");
        assert_eq!(task_name("no-such.yaml").unwrap(), "no-such.yaml");
    }
}
