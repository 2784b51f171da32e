use proptest::prelude::*;

use super::{Fold, fold_of_collation, push_folded};

fn folded(fold: Fold, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    push_folded(fold, text, &mut out);
    out
}

/// Pairs that servers call equal under collations without accents and case.
const EQUAL: [(&str, &str); 16] = [
    ("a", "A"),
    ("é", "E"),
    ("e\u{301}", "e"),
    ("Ÿ", "y"),
    ("ß", "ss"),
    ("ﬁ", "fi"),
    ("Ａ１", "a1"),
    ("①", "1"),
    ("➀", "1"),
    ("٣", "3"),
    ("ł", "L"),
    ("Ø", "o"),
    ("Æ", "ae"),
    ("a\u{AD}b", "ab"),
    ("a\u{1}b", "ab"),
    ("ひ", "ヒ"),
];

#[test]
fn what_unicode_collations_call_equal_folds_alike() {
    for (left, right) in EQUAL {
        for fold in [Fold::Unicode, Fold::OldUnicode] {
            assert_eq!(folded(fold, left), folded(fold, right), "{left} {right}");
        }
    }
    // Old collations: `ß` is `s`, and all beyond the basic plane are equal.
    assert_eq!(folded(Fold::OldUnicode, "ß"), folded(Fold::OldUnicode, "s"));
    assert_eq!(folded(Fold::OldUnicode, "😀"), folded(Fold::OldUnicode, "\u{1D400}"));
}

#[test]
fn what_swedish_latin1_calls_equal_folds_alike() {
    for (left, right) in
        [("Ä", "["), ("Å", "\\"), ("Ö", "]"), ("ü", "Y"), ("é", "e"), ("ÿ", "y"), ("ñ", "N"), ("ß", "s")]
    {
        assert_eq!(folded(Fold::Latin1, left), folded(Fold::Latin1, right), "{left} {right}");
    }
}

#[test]
fn collations_of_single_languages_are_uncertain() {
    for name in
        ["utf8mb4_da_0900_ai_ci", "utf8mb4_german2_ci", "latin1_german2_ci", "latin2_czech_cs", "cp1250_general_ci"]
    {
        assert_eq!(fold_of_collation(name), Fold::Uncertain, "{name}");
    }
    for (name, fold) in [
        ("utf8mb4_bin", Fold::Bin),
        ("utf8mb4_0900_bin", Fold::Bytes),
        ("utf8mb4_0900_as_cs", Fold::Unicode),
        ("utf8mb4_uca1400_ai_ci", Fold::Unicode),
        ("utf8mb3_general_ci", Fold::OldUnicode),
        ("gbk_chinese_ci", Fold::AsciiCase),
    ] {
        assert_eq!(fold_of_collation(name), fold, "{name}");
    }
}

/// The model: what a collation may do to a text without leaving its class.
fn disguise(text: &str, upper: bool, accent: bool, spaces: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if upper {
            out.extend(c.to_uppercase())
        } else {
            out.push(c)
        }
        if accent && c.is_ascii_alphabetic() {
            out.push('\u{308}');
        }
    }
    out.extend(std::iter::repeat_n(' ', spaces));
    out
}

proptest! {
    #[test]
    fn case_accents_and_trailing_spaces_never_tell_rows_apart(
        text in "[a-zA-Z0-9 éàßøあ漢😀_.-]{0,12}", upper: bool, accent: bool, spaces in 0usize..3,
    ) {
        let other = disguise(&text, upper, accent, spaces);
        for fold in [Fold::Unicode, Fold::OldUnicode] {
            prop_assert_eq!(folded(fold, &text), folded(fold, &other));
        }
        let cased = disguise(&text, upper, false, spaces);
        prop_assert_eq!(folded(Fold::Latin1, &text), folded(Fold::Latin1, &cased));
        // Legacy charsets have one character for each: `ß` stays one.
        let ascii_cased = if upper { text.to_ascii_uppercase() } else { text.clone() };
        prop_assert_eq!(folded(Fold::AsciiCase, &text), folded(Fold::AsciiCase, &ascii_cased));
        prop_assert_eq!(folded(Fold::Bin, &text), folded(Fold::Bin, &disguise(&text, false, false, spaces)));
    }

    #[test]
    fn plain_texts_stay_apart(left in "[b-rt-z0-9_.-]{1,10}", right in "[b-rt-z0-9_.-]{1,10}") {
        prop_assume!(left != right);
        for fold in [Fold::Unicode, Fold::OldUnicode, Fold::AsciiCase, Fold::Bin] {
            prop_assert_ne!(folded(fold, &left), folded(fold, &right));
        }
    }
}
