//! Random tables, their values, and how a server compares them.

use super::dice::Dice;

/// A value. Texts are short, so that they meet often.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Datum {
    Null,
    Int(i32),
    Text(String),
}

impl Datum {
    pub(super) fn literal(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Text(text) => format!("'{text}'"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Kind {
    Int,
    /// `utf8mb4_general_ci`: case, accents and trailing spaces do not count.
    Folded,
    /// `utf8mb4_bin`: trailing spaces do not count.
    Exact,
}

/// Texts of which many are equal under one collation or prefix and not under another.
const TEXTS: [&str; 10] = ["a", "A", "b", "á", "ab", "aB", "a ", "abc", "b ", "ac"];

impl Kind {
    pub(super) fn random(dice: &mut Dice) -> Self {
        [Self::Int, Self::Int, Self::Folded, Self::Exact][dice.roll(4)]
    }

    pub(super) fn value(self, choice: u8, n_values: u8) -> Datum {
        match self {
            Self::Int => Datum::Int(i32::from(choice % n_values)),
            Self::Folded | Self::Exact => Datum::Text(TEXTS[usize::from(choice) % TEXTS.len()].to_owned()),
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::Folded => "VARCHAR(8) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            Self::Exact => "VARCHAR(8) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        }
    }

    /// What two values must share to be equal in a key; `None` for NULL, which equals nothing.
    pub(super) fn compared(self, value: &Datum, prefix: Option<usize>) -> Option<Datum> {
        let Datum::Text(text) = value else { return (*value != Datum::Null).then(|| value.clone()) };
        let text: String = text.chars().take(prefix.unwrap_or(usize::MAX)).collect();
        let text = text.trim_end_matches(' ');
        Some(Datum::Text(match self {
            Self::Folded => text.to_lowercase().replace('á', "a"),
            Self::Int | Self::Exact => text.to_owned(),
        }))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

/// A unique key: columns with prefixes.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) primary: bool,
    pub(super) parts: Vec<(usize, Option<usize>)>,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) keys: Vec<Key>,
}

impl Table {
    pub(super) fn random(dice: &mut Dice) -> Self {
        let n_columns = 2 + dice.roll(3);
        let mut columns: Vec<Column> = (0..n_columns)
            .map(|idx| Column { name: format!("c{idx}"), kind: Kind::random(dice), nullable: dice.one_in(2) })
            .collect();
        let mut keys = Vec::new();
        // One table in five is keyless, one has nothing but keys that may be NULL.
        let primary = match dice.roll(5) {
            0 => Vec::new(),
            1 if n_columns > 2 => vec![0, 1],
            _ => vec![0],
        };
        if !primary.is_empty() {
            for idx in &primary {
                columns[*idx].nullable = false;
            }
            keys.push(Key { primary: true, parts: primary.iter().map(|idx| (*idx, None)).collect() });
        }
        for _ in 0..dice.roll(3) {
            let mut parts: Vec<(usize, Option<usize>)> = Vec::new();
            for _ in 0..1 + dice.roll(2) {
                let idx = dice.roll(n_columns);
                let prefix = (columns[idx].kind != Kind::Int && dice.one_in(2)).then(|| 1 + dice.roll(2));
                if parts.iter().all(|(other, _)| *other != idx) {
                    parts.push((idx, prefix));
                }
            }
            keys.push(Key { primary: false, parts });
        }
        Self { columns, keys }
    }

    /// `n_keys`: so many of the keys only.
    pub(super) fn create(&self, name: &str, n_keys: usize) -> String {
        let mut parts: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let null = if column.nullable { "NULL" } else { "NOT NULL" };
                format!("`{}` {} {null}", column.name, column.kind.sql())
            })
            .collect();
        for (idx, key) in self.keys.iter().take(n_keys).enumerate() {
            let columns: Vec<String> = key
                .parts
                .iter()
                .map(|(column, prefix)| {
                    let prefix = prefix.map(|n| format!("({n})")).unwrap_or_default();
                    format!("`{}`{prefix}", self.columns[*column].name)
                })
                .collect();
            let columns = columns.join(", ");
            parts.push(if key.primary {
                format!("PRIMARY KEY ({columns})")
            } else {
                format!("UNIQUE KEY u{idx} ({columns})")
            });
        }
        format!("CREATE TABLE `{name}` ({}) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci", parts.join(", "))
    }

    /// What a row occupies in each key; nothing where a part is NULL.
    pub(super) fn claims(&self, row: &[Datum]) -> Vec<(usize, Vec<Datum>)> {
        let claim = |(idx, key): (usize, &Key)| {
            let values =
                key.parts.iter().map(|(column, prefix)| self.columns[*column].kind.compared(&row[*column], *prefix));
            Some((idx, values.collect::<Option<Vec<Datum>>>()?))
        };
        self.keys.iter().enumerate().filter_map(claim).collect()
    }

    /// True when two rows cannot stand beside each other.
    pub(super) fn collide(&self, a: &[Datum], b: &[Datum]) -> bool {
        let claims = self.claims(b);
        self.claims(a).iter().any(|claim| claims.contains(claim))
    }
}
