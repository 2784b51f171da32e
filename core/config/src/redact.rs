//! Config texts for people: the user's own text with the passwords replaced.
//!
//! Owns finding passwords in YAML. Everything else stays byte by byte: comments, order, quoting. A text that is not YAML
//! is treated line by line, so that nothing leaks from a broken file either.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

const HIDDEN: &str = "******";

/// The text with every `password` of `from` and `target-database` as `******`. An empty password stays empty.
pub fn passwords(text: &str) -> String {
    match spans(text) {
        Ok(spans) => splice(text, spans, |_| HIDDEN.to_owned()),
        Err(values) => {
            let hidden = hide_lines(text);
            values.iter().filter(|value| !value.is_empty()).fold(hidden, |text, value| text.replace(value, HIDDEN))
        }
    }
}

/// The text with `with(password)` in the place of each password; for exporting passwords encrypted. `None` when the text
/// is no YAML, or writes a password in a way that cannot be replaced (over several lines, or by an alias).
pub fn replace(text: &str, with: impl FnMut(&str) -> String) -> Option<String> {
    Some(splice(text, spans(text).ok()?, with))
}

/// Where a password stands in the text, and its value.
type Place = (std::ops::Range<usize>, String);

fn splice(text: &str, places: Vec<Place>, mut with: impl FnMut(&str) -> String) -> String {
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    for (span, password) in places {
        result.push_str(&text[at..span.start]);
        result.push_str(&quoted(&with(&password)));
        at = span.end;
    }
    result.push_str(&text[at..]);
    result
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Holder {
    from: Option<Db>,
    target_database: Option<Db>,
}

#[derive(Deserialize)]
struct Db {
    password: Option<Spanned<String>>,
}

/// Where the passwords stand, in order. When a place is not certain, the values that are known.
fn spans(text: &str) -> Result<Vec<Place>, Vec<String>> {
    let options = serde_saphyr::options! { with_snippet: false };
    let holder: Holder = serde_saphyr::from_str_with_options(text, options).map_err(|_| Vec::new())?;
    let dbs = [holder.from, holder.target_database].into_iter().flatten();
    let passwords: Vec<_> = dbs.filter_map(|db| db.password).filter(|password| !password.value.is_empty()).collect();
    let places: Option<BTreeMap<usize, Place>> =
        passwords.iter().map(|password| place(text, password).map(|place| (place.0.start, place))).collect();
    let values = || passwords.iter().map(|password| password.value.clone()).collect::<Vec<String>>();
    Ok(places.ok_or_else(values)?.into_values().collect())
}

fn place(text: &str, password: &Spanned<String>) -> Option<Place> {
    let span = password.defined.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    let written = text.get(start..end)?;
    let enclosed =
        ['"', '\''].iter().any(|quote| written.len() >= 2 && written.starts_with(*quote) && written.ends_with(*quote));
    let certain =
        password.defined == password.referenced && !written.contains('\n') && (enclosed || written == password.value);
    certain.then(|| (start..end, password.value.clone()))
}

/// In single quotes every character stands for itself, except the quote.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Hides what follows `password:` up to the end of the line, and leaves out the lines that continue it: those that are
/// deeper than the key.
fn hide_lines(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut hidden_depth = None;
    for line in text.split_inclusive('\n') {
        let depth = line.len() - line.trim_start_matches([' ', '-']).len();
        if hidden_depth.is_some_and(|hidden| depth > hidden && !line.trim().is_empty()) {
            continue;
        }
        hidden_depth = None;
        let key = line.find("password").and_then(|at| Some(at + line[at..].find(':')?));
        match key {
            Some(colon) => {
                hidden_depth = Some(depth);
                result.push_str(&format!("{}: '{HIDDEN}'\n", &line[..colon]));
            }
            None => result.push_str(line),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_order_and_quotes_stay() {
        let text = "# mine\nsource-id: a\nfrom:\n  user: u   # who\n  password: \"s'ecret\" # hush\n  host: h\n";
        let expected = "# mine\nsource-id: a\nfrom:\n  user: u   # who\n  password: '******' # hush\n  host: h\n";
        assert_eq!(passwords(text), expected);
    }

    #[test]
    fn flow_mappings_and_plain_scalars_work() {
        assert_eq!(
            passwords("target-database: {host: h, password: 00123, port: 1}\n"),
            "target-database: {host: h, password: '******', port: 1}\n"
        );
        assert_eq!(passwords("ä: ö\nfrom: {password: 'ä''b'}"), "ä: ö\nfrom: {password: '******'}");
        assert_eq!(passwords("from: {password: \"a\\\"b\"}"), "from: {password: '******'}");
    }

    #[test]
    fn an_empty_password_stays_empty() {
        for text in ["from: {password: \"\"}", "from: {password: }", "from:\n  password:\n"] {
            assert_eq!(passwords(text), text);
        }
    }

    #[test]
    fn a_broken_text_leaks_no_password_either() {
        assert_eq!(passwords("from: {\n  password: secret\n"), "from: {\n  password: '******'\n");
        assert!(!passwords("from:\n  password: a\n  password: secret\n").contains("secret"));
    }

    #[test]
    fn passwords_can_be_replaced_by_their_encrypted_form() {
        let text = replace("from: {password: x}", |plain| format!("<{plain}>"));
        assert_eq!(text.as_deref(), Some("from: {password: '<x>'}"));
        assert_eq!(replace("from:\n  password: |-\n    secret\n", str::to_owned), None);
    }

    #[test]
    fn block_scalars_and_aliases_do_not_leak() {
        for text in [
            "from:\n  password: |-\n    secret\n",
            "x: &p secret\nfrom:\n  password: *p\n",
            "from:\n  password: >\n    secret\n  host: h\n",
            "from: {password: \"sec\\\n  ret\"}\n",
        ] {
            let shown = passwords(text);
            assert!(!shown.contains("secret") && !shown.contains("sec\\"), "{shown}");
        }
    }
}
