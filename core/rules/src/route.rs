//! Routes: the target schema and table of a source table, and the values taken from its names.
//!
//! Owns the matching order: table rules, and only if none matches, schema rules. Two matches on the level that counts are
//! an error, never a guess. Fails while compiling and with an ambiguity while routing.

use dm_model::TableName;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{
    CaseSensitivity, Error,
    pattern::{Pattern, PatternError, compile_regex},
};

/// One entry of `routes` in a task file. A rule without `table-pattern` is a schema rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Rule {
    #[serde(deserialize_with = "crate::null::as_default")]
    pub schema_pattern: String,
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "String::is_empty")]
    pub table_pattern: String,
    #[serde(deserialize_with = "crate::null::as_default")]
    pub target_schema: String,
    /// Empty: the table keeps its name.
    #[serde(deserialize_with = "crate::null::as_default", skip_serializing_if = "String::is_empty")]
    pub target_table: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extract_table: Option<ExtractTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extract_schema: Option<ExtractSchema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extract_source: Option<ExtractSource>,
}

/// Fills `target-column` with what the capture groups of `table-regexp` take from the table name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExtractTable {
    pub table_regexp: String,
    pub target_column: String,
}

/// As [`ExtractTable`], from the schema name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExtractSchema {
    pub schema_regexp: String,
    pub target_column: String,
}

/// As [`ExtractTable`], from the source id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExtractSource {
    pub source_regexp: String,
    pub target_column: String,
}

/// Where a table goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub table: TableName,
    /// Columns to append to every row with their constant values, in the order table, schema, source.
    pub extracted: Vec<(String, String)>,
}

/// Compiled routes. The default routes everything to itself.
#[derive(Debug, Clone, Default)]
pub struct Router {
    table_rules: Vec<(Pattern, Compiled)>,
    schema_rules: Vec<Compiled>,
}

#[derive(Debug, Clone)]
struct Compiled {
    label: String,
    schema: Pattern,
    target_schema: String,
    target_table: Option<String>,
    extractors: Vec<Extractor>,
}

#[derive(Debug, Clone)]
struct Extractor {
    from: From,
    regex: Regex,
    column: String,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Table,
    Schema,
    Source,
}

impl Router {
    pub fn compile(rules: &[Rule], case: CaseSensitivity) -> Result<Self, Error> {
        let mut router = Self::default();
        for rule in rules {
            let compiled = Compiled::new(rule, case)?;
            if rule.table_pattern.is_empty() {
                router.schema_rules.push(compiled);
            } else {
                let pattern = Pattern::compile(&rule.table_pattern, case).map_err(in_field(rule, "table-pattern"))?;
                router.table_rules.push((pattern, compiled));
            }
        }
        Ok(router)
    }

    /// The one target of a table. `source` is the source id, for `extract-source`.
    pub fn route_table(&self, table: &TableName, source: &str) -> Result<Target, Error> {
        let by_table: Vec<&Compiled> = self
            .table_rules
            .iter()
            .filter(|(pattern, rule)| rule.schema.matches(&table.schema) && pattern.matches(&table.table))
            .map(|(_, rule)| rule)
            .collect();
        let matched = if by_table.is_empty() { self.schema_matches(&table.schema) } else { by_table };
        match matched.as_slice() {
            [] => Ok(Target { table: table.clone(), extracted: Vec::new() }),
            [rule] => Ok(rule.target(table, source)),
            several => Err(Error::AmbiguousRoute { table: table.clone(), rules: labels(several) }),
        }
    }

    /// The target of a statement about a schema as a whole. Table rules do not count: users write a schema rule too.
    pub fn route_schema(&self, schema: &str) -> Result<String, Error> {
        match self.schema_matches(schema).as_slice() {
            [] => Ok(schema.to_owned()),
            [rule] => Ok(rule.target_schema.clone()),
            several => Err(Error::AmbiguousSchemaRoute { schema: schema.to_owned(), rules: labels(several) }),
        }
    }

    fn schema_matches(&self, schema: &str) -> Vec<&Compiled> {
        self.schema_rules.iter().filter(|rule| rule.schema.matches(schema)).collect()
    }
}

impl Compiled {
    fn new(rule: &Rule, case: CaseSensitivity) -> Result<Self, Error> {
        if rule.target_schema.is_empty() {
            return Err(in_field(rule, "target-schema")(PatternError::Empty));
        }
        // The regular expressions of extract rules are used as they are written: their values are data.
        let extractor = |from, field, regexp: &str, column: &str| {
            if column.is_empty() {
                return Err(in_field(rule, "target-column")(PatternError::Empty));
            }
            let regex = compile_regex(regexp, CaseSensitivity::Sensitive).map_err(in_field(rule, field))?;
            Ok(Extractor { from, regex, column: column.to_owned() })
        };
        let mut extractors = Vec::new();
        if let Some(extract) = &rule.extract_table {
            extractors.push(extractor(From::Table, "table-regexp", &extract.table_regexp, &extract.target_column)?);
        }
        if let Some(extract) = &rule.extract_schema {
            extractors.push(extractor(From::Schema, "schema-regexp", &extract.schema_regexp, &extract.target_column)?);
        }
        if let Some(extract) = &rule.extract_source {
            extractors.push(extractor(From::Source, "source-regexp", &extract.source_regexp, &extract.target_column)?);
        }
        Ok(Self {
            label: format!("`{}`.`{}`", rule.schema_pattern, rule.table_pattern),
            schema: Pattern::compile(&rule.schema_pattern, case).map_err(in_field(rule, "schema-pattern"))?,
            target_schema: rule.target_schema.clone(),
            target_table: (!rule.target_table.is_empty()).then(|| rule.target_table.clone()),
            extractors,
        })
    }

    fn target(&self, table: &TableName, source: &str) -> Target {
        let name = self.target_table.as_ref().unwrap_or(&table.table);
        let extracted = self.extractors.iter().map(|extractor| {
            let text = match extractor.from {
                From::Table => &table.table,
                From::Schema => &table.schema,
                From::Source => source,
            };
            (extractor.column.clone(), captured(&extractor.regex, text))
        });
        Target { table: TableName::new(&self.target_schema, name), extracted: extracted.collect() }
    }
}

/// All capture groups of the first match in a row; empty when there is no match.
fn captured(regex: &Regex, text: &str) -> String {
    let Some(captures) = regex.captures(text) else { return String::new() };
    captures.iter().skip(1).flatten().map(|group| group.as_str()).collect()
}

fn labels(rules: &[&Compiled]) -> String {
    rules.iter().map(|rule| rule.label.as_str()).collect::<Vec<_>>().join(", ")
}

fn in_field(rule: &Rule, field: &'static str) -> impl FnOnce(PatternError) -> Error {
    let (schema_pattern, table_pattern) = (rule.schema_pattern.clone(), rule.table_pattern.clone());
    move |source| Error::Route { schema_pattern, table_pattern, field, source }
}

#[cfg(test)]
mod tests;
