use dm_model::error::Coded;
use proptest::prelude::*;

use super::*;

fn rule(schema: &str, table: &str, target_schema: &str, target_table: &str) -> Rule {
    Rule {
        schema_pattern: schema.into(),
        table_pattern: table.into(),
        target_schema: target_schema.into(),
        target_table: target_table.into(),
        ..Rule::default()
    }
}

fn router(rules: &[Rule]) -> Router {
    Router::compile(rules, CaseSensitivity::Insensitive).unwrap()
}

fn target(router: &Router, schema: &str, table: &str) -> String {
    router.route_table(&TableName::new(schema, table), "mysql-01").unwrap().table.to_string()
}

#[test]
fn no_match_keeps_both_names() {
    let router = router(&[rule("shop_*", "orders_*", "shop", "orders")]);
    assert_eq!(target(&router, "other", "Orders_1"), "`other`.`Orders_1`");
    assert_eq!(router.route_schema("other").unwrap(), "other");
}

#[test]
fn table_rules_win_over_schema_rules() {
    let router = router(&[rule("shop_*", "orders_*", "shop", "orders"), rule("shop_*", "", "rest", "")]);
    assert_eq!(target(&router, "SHOP_1", "Orders_1"), "`shop`.`orders`");
    assert_eq!(target(&router, "shop_1", "Users"), "`rest`.`Users`");
}

#[test]
fn table_rule_does_not_route_a_schema() {
    let router = router(&[rule("shop_*", "orders_*", "shop", "orders")]);
    assert_eq!(router.route_schema("shop_1").unwrap(), "shop_1");
}

#[test]
fn missing_target_table_keeps_the_name() {
    let router = router(&[rule("shop_*", "orders_*", "shop", "")]);
    assert_eq!(target(&router, "shop_1", "orders_7"), "`shop`.`orders_7`");
}

#[test]
fn two_matches_on_one_level_are_an_error() {
    let router = router(&[
        rule("a*", "t*", "x", ""),
        rule("~^ab", "t1", "y", ""),
        rule("a", "", "x", ""),
        rule("?", "", "y", ""),
    ]);
    let error = router.route_table(&TableName::new("ab", "t1"), "s").unwrap_err();
    assert_eq!(error.code().number, 40080);
    assert_eq!(error.to_string(), "table `ab`.`t1` matches more than one route rule: `a*`.`t*`, `~^ab`.`t1`");
    assert_eq!(router.route_schema("a").unwrap_err().code().number, 40080);
}

#[test]
fn values_are_extracted_in_the_order_table_schema_source() {
    let mut extracting = rule("shop_*", "orders_*", "shop", "orders");
    extracting.extract_source =
        Some(ExtractSource { source_regexp: "(.*)-(.*)".into(), target_column: "c_source".into() });
    extracting.extract_schema =
        Some(ExtractSchema { schema_regexp: "shop_(.*)".into(), target_column: "c_schema".into() });
    extracting.extract_table =
        Some(ExtractTable { table_regexp: "nothing_(.*)".into(), target_column: "c_table".into() });
    let target = router(&[extracting]).route_table(&TableName::new("shop_07", "orders_1"), "mysql-01").unwrap();
    let expected = [("c_table", ""), ("c_schema", "07"), ("c_source", "mysql01")];
    assert_eq!(target.extracted, expected.map(|(column, value)| (column.to_owned(), value.to_owned())));
}

#[test]
fn incomplete_rules_and_bad_patterns_do_not_compile() {
    let mut bad_extract = rule("a", "b", "c", "");
    bad_extract.extract_table = Some(ExtractTable { table_regexp: "(".into(), target_column: "c".into() });
    for rule in [
        rule("", "b", "c", ""),
        rule("a", "b", "", ""),
        rule("a*b", "", "c", ""),
        rule("a", "~[", "c", ""),
        bad_extract,
    ] {
        let error = Router::compile(&[rule], CaseSensitivity::Sensitive).unwrap_err();
        assert_eq!(error.code().number, 20045);
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let pattern = prop::sample::select(vec!["a", "b", "a*", "?", "[ab]", "*", "~^a", "~b$"]);
    let table = prop::sample::select(vec!["", "", "t", "u", "t*", "t?", "~u"]);
    (pattern, table, prop::sample::select(vec!["x", "y"]), prop::sample::select(vec!["", "z"]))
        .prop_map(|(schema, table, target_schema, target_table)| rule(schema, table, target_schema, target_table))
}

proptest! {
    #[test]
    fn every_table_has_exactly_one_target_or_is_ambiguous(
        rules in prop::collection::vec(any_rule(), 0..5),
        schema in "[ab]{1,2}",
        table in "[tu]{1,2}",
    ) {
        let compiled = router(&rules);
        let name = TableName::new(&schema, &table);
        let hit = |text: &str, name: &str| Pattern::compile(text, CaseSensitivity::Insensitive).unwrap().matches(name);
        let by_schema: Vec<&Rule> = rules.iter().filter(|rule| hit(&rule.schema_pattern, &schema)).collect();
        let (tables, schemas): (Vec<&Rule>, Vec<&Rule>) =
            by_schema.into_iter().partition(|rule| !rule.table_pattern.is_empty());
        let tables: Vec<&Rule> = tables.into_iter().filter(|rule| hit(&rule.table_pattern, &table)).collect();
        let counted = if tables.is_empty() { schemas } else { tables };
        match (counted.as_slice(), compiled.route_table(&name, "s")) {
            ([], Ok(target)) => prop_assert_eq!(target.table, name),
            ([rule], Ok(target)) => {
                let expected = if rule.target_table.is_empty() { &table } else { &rule.target_table };
                prop_assert_eq!(target.table, TableName::new(&rule.target_schema, expected));
            }
            ([_, _, ..], Err(Error::AmbiguousRoute { .. })) => {}
            (counted, got) => prop_assert!(false, "{} rules count, got {:?}", counted.len(), got),
        }
    }
}
