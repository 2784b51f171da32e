use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, name: &str) -> bool {
    Pattern::compile(pattern, CaseSensitivity::Insensitive).unwrap().matches(name)
}

#[test]
fn star_stands_for_any_ending_and_only_there() {
    assert!(matches("shop_*", "shop_"));
    assert!(matches("shop_*", "shop_01"));
    assert!(!matches("shop_*", "shop"));
    assert!(matches("*", ""));
    assert_eq!(
        Wildcard::compile("a*b", CaseSensitivity::Insensitive),
        Err(PatternError::StarNotLast { pattern: "a*b".to_owned() })
    );
    assert!(Wildcard::compile("a**", CaseSensitivity::Insensitive).is_err());
}

#[test]
fn question_mark_stands_for_one_character() {
    assert!(matches("t?", "t1"));
    assert!(matches("t?", "tä"));
    assert!(!matches("t?", "t"));
    assert!(!matches("t?", "t12"));
}

#[test]
fn sets_take_ranges_members_and_negation() {
    assert!(matches("t[0-9a]", "t5"));
    assert!(matches("t[0-9a]", "tA"));
    assert!(!matches("t[0-9a]", "tb"));
    assert!(matches("t[!0-9]", "tb"));
    assert!(!matches("t[!0-9]", "t7"));
    assert!(matches("t[!]", "t!"));
    assert!(matches("t[-a]", "t-"));
}

#[test]
fn an_unclosed_bracket_is_a_character() {
    assert!(matches("t[0", "t[0"));
    assert!(!matches("t[0", "t0"));
}

#[test]
fn empty_patterns_are_errors() {
    for text in ["", "~"] {
        assert!(matches!(Pattern::compile(text, CaseSensitivity::Sensitive), Err(PatternError::Empty)));
    }
    assert!(matches!(Pattern::compile("a[]", CaseSensitivity::Sensitive), Err(PatternError::EmptySet { .. })));
}

#[test]
fn tilde_makes_an_unanchored_regular_expression() {
    assert!(matches("~shop_[0-9]+", "my_SHOP_12_x"));
    assert!(!matches("~^shop_[0-9]+$", "my_shop_12"));
    assert!(matches!(Pattern::compile("~(", CaseSensitivity::Sensitive), Err(PatternError::Regex { .. })));
}

#[test]
fn case_counts_only_when_asked() {
    let pattern = Pattern::compile("Shop_[A-C]*", CaseSensitivity::Sensitive).unwrap();
    assert!(pattern.matches("Shop_B1"));
    assert!(!pattern.matches("shop_B1"));
    assert!(!pattern.matches("Shop_b1"));
    assert!(matches("Shop_[A-C]*", "sHOP_b1"));
    let regex = Pattern::compile("~^Shop", CaseSensitivity::Sensitive).unwrap();
    assert!(!regex.matches("shop"));
}

/// Decides by definition: tries every way a pattern could spell the name.
fn naive(pattern: &[char], name: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        '*' => (0..=name.len()).any(|n| naive(rest, &name[n..])),
        '?' => !name.is_empty() && naive(rest, &name[1..]),
        '[' if rest.contains(&']') => {
            let end = rest.iter().position(|c| *c == ']').unwrap();
            let (negated, set) = match &rest[..end] {
                ['!', set @ ..] if !set.is_empty() => (true, set),
                set => (false, set),
            };
            let mut members = Vec::new();
            let mut i = 0;
            while i < set.len() {
                if i + 2 < set.len() && set[i + 1] == '-' {
                    members.extend(set[i]..=set[i + 2]);
                    i += 3;
                } else {
                    members.push(set[i]);
                    i += 1;
                }
            }
            !name.is_empty() && members.contains(&name[0]) != negated && naive(&rest[end + 1..], &name[1..])
        }
        literal => name.first() == Some(literal) && naive(rest, &name[1..]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn wildcards_agree_with_a_naive_matcher(pattern in r"[abc\-!?\[\]]{0,7}\*?", name in "[abcd!\\[\\]-]{0,6}") {
        if let Ok(wildcard) = Wildcard::compile(&pattern, CaseSensitivity::Sensitive) {
            let pattern: Vec<char> = pattern.chars().collect();
            let name_characters: Vec<char> = name.chars().collect();
            prop_assert_eq!(wildcard.matches(&name), naive(&pattern, &name_characters));
        }
    }

    #[test]
    fn compiling_never_panics(pattern in ".{0,12}", name in ".{0,8}") {
        if let Ok(pattern) = Pattern::compile(&pattern, CaseSensitivity::Insensitive) {
            pattern.matches(&name);
        }
    }
}
