use dm_model::Flavor;
use proptest::prelude::*;

use super::*;

fn words(sql: &str, context: &ParseContext) -> Vec<String> {
    match lex(sql, context) {
        Ok(lexed) => lexed.tokens.iter().map(|t| sql[t.span.start..t.span.end].to_owned()).collect(),
        Err(error) => vec![format!("error: {error}")],
    }
}

fn mysql(version: u32) -> ParseContext {
    ParseContext { version: Some(version), tidb_comments: false, ..ParseContext::default() }
}

#[test]
fn executable_comments_open_by_version_and_server() {
    let sql = "a /*!80023 b */ /*!50700 c */ /*M! d */ /*M!100301 e */ /*T! f */ /*T![x] g */ /*! h */ /* i */ j";
    let maria = ParseContext { flavor: Flavor::MariaDb, ..mysql(101_118) };
    assert_eq!(words(sql, &mysql(80_100)), ["a", "b", "c", "h", "j"]);
    assert_eq!(words(sql, &mysql(50_744)), ["a", "c", "h", "j"]);
    assert_eq!(words(sql, &maria), ["a", "d", "e", "h", "j"]);
    assert_eq!(words(sql, &ParseContext::default()), ["a", "b", "c", "d", "e", "f", "g", "h", "j"]);
    assert_eq!(words("/*!99999 a /* b */ c */ d", &mysql(80_000)), ["d"]);
    assert_eq!(words("/*!40101 a /* b */ c */ d", &mysql(80_000)), ["a", "c", "d"]);
}

#[test]
fn sql_mode_decides_quotes_and_escapes() {
    let mode = |sql_mode| ParseContext { sql_mode, ..ParseContext::default() };
    assert_eq!(words(r#"'a\'b' "c""#, &mode(SqlMode::default())), [r"'a\'b'", "\"c\""]);
    assert_eq!(words(r"'a\' b", &mode(SqlMode::NO_BACKSLASH_ESCAPES)), [r"'a\'", "b"]);
    let kinds = |m| lex("\"c\"", &mode(m)).unwrap().tokens[0].kind;
    assert_eq!(kinds(SqlMode::ANSI_QUOTES), TokenKind::QuotedName);
    assert_eq!(kinds(SqlMode::default()), TokenKind::Text);
}

#[test]
fn numbers_and_names_that_begin_with_digits_are_told_apart() {
    let kinds = |sql: &str| -> Vec<(String, TokenKind)> {
        lex(sql, &ParseContext::default())
            .unwrap()
            .tokens
            .iter()
            .map(|t| (sql[t.span.start..t.span.end].to_owned(), t.kind))
            .collect()
    };
    let texts: Vec<String> = kinds("1 1.5 .5 1e5 1e+5 1.5e-3 0x1F x'1f' b'01' 0b01")
        .into_iter()
        .map(|(text, kind)| {
            assert_eq!(kind, TokenKind::Number, "{text}");
            text
        })
        .collect();
    assert_eq!(texts.len(), 10);
    assert_eq!(kinds("1a")[0].1, TokenKind::Word);
    assert_eq!(kinds("d.1e5").len(), 3);
    assert_eq!(kinds("d.1e5")[2].1, TokenKind::Word);
    assert_eq!(kinds("d.1")[2].1, TokenKind::Word);
}

#[test]
fn version_numbers_are_read() {
    assert_eq!(ParseContext::version_number("8.0.36"), Some(80_036));
    assert_eq!(ParseContext::version_number("10.11.18-MariaDB-0+deb12u1-log"), Some(101_118));
    assert_eq!(ParseContext::version_number("5.5.5-10.6.4-MariaDB"), Some(100_604));
    assert_eq!(ParseContext::version_number("x"), None);
}

fn contexts() -> impl Strategy<Value = ParseContext> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(ansi, plain, maria, tidb)| ParseContext {
        sql_mode: SqlMode(u64::from(ansi) << 2 | u64::from(plain) << 20),
        flavor: if maria { Flavor::MariaDb } else { Flavor::MySql },
        version: None,
        tidb_comments: tidb,
    })
}

proptest! {
    #[test]
    fn any_text_gives_tokens_in_order_or_an_error(sql in "[-a-z0-9.*/!`'\"\\\\ éMT\\[\\]();,#\n]{0,60}", context in contexts()) {
        if let Ok(lexed) = lex(&sql, &context) {
            let mut at = 0;
            for token in lexed.tokens {
                prop_assert!(token.span.start >= at && token.span.end > token.span.start);
                prop_assert!(sql.get(token.span.start..token.span.end).is_some());
                at = token.span.end;
            }
        }
    }

    #[test]
    fn random_statements_never_panic(
        head in prop::sample::select(vec![
            "CREATE TABLE t (", "ALTER TABLE t ", "CREATE ", "DROP ", "RENAME TABLE ", "ALTER DATABASE ", "CREATE INDEX i ON t ", "",
        ]),
        words in prop::collection::vec(prop::sample::select(vec![
            "a", "`b`", "'c'", "1", "(", ")", ",", ".", ";", "int", "varchar(3)", "enum('x')", "add", "drop", "column", "modify",
            "change", "default", "null", "not", "primary", "key", "unique", "references", "t", "rename", "to", "partition", "by",
            "/*!80000", "*/", "first", "after", "collate", "charset", "=", "check", "constraint", "foreign", "like", "select", "if", "exists",
            "table", "database", "index", "on", "comment", "as", "generated", "always", "\"q\"", "-", "0x41", "text(3)", "decimal(300)",
        ]), 0..24),
        context in contexts(),
    ) {
        let sql = format!("{head}{}", words.join(" "));
        if let Ok(pieces) = crate::pieces(&sql, &context, "def") {
            for piece in pieces {
                let _ = piece.event_kinds(None);
                let _ = piece.rename(&|name| name.clone());
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics(sql in "\\PC{0,80}", context in contexts()) {
        let _ = crate::pieces(&sql, &context, "def");
        let _ = crate::table::parse_create(&sql, context.sql_mode);
    }
}
