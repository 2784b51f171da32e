//! From rows of values to statements: literals, key hashes, grouping and text, as sync does it for each fold.

use std::io::Write;

use anyhow::{Context, Result};
use dm_binlog::{Value, value::DecimalText};
use dm_ddl::{SqlMode, table::parse_create};
use dm_model::TableName;
use dm_sync_core::{
    change::RowChange,
    literal::Dialect,
    mapping::{Mapping, Spec},
    sqlgen::{self, Mode},
};

use super::Pace;

const ORDERS: &str = "CREATE TABLE orders_1 (id BIGINT NOT NULL PRIMARY KEY, customer VARCHAR(64) NOT NULL, note VARCHAR(160), \
     amount DECIMAL(14,4) NOT NULL, state ENUM('new','paid','sent','returned') NOT NULL, placed_at DATETIME(6) NOT NULL, \
     attributes TEXT, weight DOUBLE, token VARBINARY(32) NOT NULL) DEFAULT CHARSET=utf8mb4";

/// Rows of a fold.
const N_ROWS: i64 = 200;

/// # Errors
/// The structure or a row is refused.
pub fn run(pace: Pace, out: &mut dyn Write) -> Result<()> {
    let mut best = [0.0_f64; 3];
    for _ in 0..pace.n_rounds {
        for (best, kind) in best.iter_mut().zip([Kind::Inserts, Kind::Updates, Kind::Mixed]) {
            let work = Work::new(kind)?;
            *best = best.max(pace.rows_per_second(|| work.round())?);
        }
    }
    for (best, kind) in best.iter().zip([Kind::Inserts, Kind::Updates, Kind::Mixed]) {
        let work = Work::new(kind)?;
        let (n_statements, n_bytes) = work.size()?;
        let us = 1e6 / best;
        writeln!(
            out,
            "  {kind:<8?} {best:>12.0} rows/CPU s ({us:.2} µs a row; {N_ROWS} rows become {n_statements} statements, {n_bytes} bytes)"
        )?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Inserts,
    Updates,
    Mixed,
}

struct Work {
    kind: Kind,
    mapping: std::sync::Arc<Mapping>,
}

impl Work {
    fn new(kind: Kind) -> Result<Self> {
        let (_, _, structure) = parse_create(ORDERS, SqlMode(0)).context("parse the table")?;
        let mapping = Mapping::build(&Spec {
            source: &TableName::new("shop_1", "orders_1"),
            source_structure: &structure,
            target: &TableName::new("shop", "orders"),
            target_structure: &structure,
            extracted: &[],
            dialect: Dialect::MariaDb,
            parent_keys: false,
        })
        .context("map the table")?;
        Ok(Self { kind, mapping })
    }

    fn statements(&self) -> Result<Vec<sqlgen::Statement>> {
        let mut changes: Vec<RowChange> = Vec::with_capacity(N_ROWS as usize);
        for id in 0..N_ROWS {
            let (old, new) = (row(id, 1), row(id, 2));
            let (before, after) = match (self.kind, id % 3) {
                (Kind::Inserts, _) | (Kind::Mixed, 0) => (None, Some(&new[..])),
                (Kind::Updates, _) | (Kind::Mixed, 1) => (Some(&old[..]), Some(&new[..])),
                (Kind::Mixed, _) => (Some(&old[..]), None),
            };
            changes.push(self.mapping.change(before, after).context("render a row")?);
        }
        Ok(sqlgen::statements(&changes.iter().collect::<Vec<_>>(), Mode::NORMAL))
    }

    fn round(&self) -> Result<u64> {
        std::hint::black_box(self.statements()?);
        Ok(N_ROWS as u64)
    }

    fn size(&self) -> Result<(usize, usize)> {
        let statements = self.statements()?;
        Ok((statements.len(), statements.iter().map(|statement| statement.sql.len()).sum()))
    }
}

fn row(id: i64, state: u16) -> [Value<'static>; 9] {
    let mut amount = DecimalText::new();
    let fits = amount.push(b"1234567.8900");
    debug_assert!(fits, "a decimal has room for 12 characters");
    [
        Value::Int { value: id, width: 8 },
        Value::Bytes("Łukasz 123456".as_bytes()),
        Value::Bytes("deliver to 🏡 \"quick\" 'soft'".as_bytes()),
        Value::Decimal(amount),
        Value::Enum(state),
        Value::DateTime { year: 2024, month: 2, day: 29, hour: 23, minute: 59, second: 59, micros: 1, fsp: 6 },
        Value::Bytes(b"{\"n\": 17, \"tags\": [\"a\", \"b\"]}"),
        Value::Double(1234.5678),
        Value::Bytes(b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_work_becomes_statements() {
        for kind in [Kind::Inserts, Kind::Updates, Kind::Mixed] {
            let (n_statements, n_bytes) = Work::new(kind).unwrap().size().unwrap();
            assert!(n_statements > 0 && n_bytes > 1000, "{kind:?}");
        }
    }
}
