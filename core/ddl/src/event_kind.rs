//! Which kind of event a DDL is to the binlog event filter. Spellings are those of rules; where the structure before
//! the change decides (a shorter type, a lost default), it is an argument.

use crate::alter::{AlterTable, Change, PartitionChange, Place};
use crate::column::ColumnDef;
use crate::create_table::TableOption;
use crate::index::Constraint;
use crate::statement::{Body, Statement, StatementKind};
use crate::table::{Column, IndexKind, Table};

mod range;
#[cfg(test)]
mod tests;

macro_rules! event_kinds {
    ($($variant:ident => $text:literal,)*) => {
        /// One kind of DDL event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind { $($variant,)* }

        impl EventKind {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The spelling in filter rules, lower case.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

event_kinds! {
    CreateDatabase => "create database",
    AlterDatabase => "alter database",
    DropDatabase => "drop database",
    CreateTable => "create table",
    DropTable => "drop table",
    TruncateTable => "truncate table",
    RenameTable => "rename table",
    CreateIndex => "create index",
    DropIndex => "drop index",
    CreateView => "create view",
    DropView => "drop view",
    AlterTable => "alter table",
    AddTablePartition => "add table partition",
    DropTablePartition => "drop table partition",
    TruncateTablePartition => "truncate table partition",
    ValueRangeDecrease => "value range decrease",
    PrecisionDecrease => "precision decrease",
    ModifyColumn => "modify column",
    RenameColumn => "rename column",
    RenameIndex => "rename index",
    DropColumn => "drop column",
    DropPrimaryKey => "drop primary key",
    DropUniqueKey => "drop unique key",
    ModifyDefaultValue => "modify default value",
    ModifyConstraint => "modify constraint",
    ModifyColumnsOrder => "modify columns order",
    ModifyCharset => "modify charset",
    ModifyCollation => "modify collation",
    RemoveAutoIncrement => "remove auto increment",
    ModifyStorageEngine => "modify storage engine",
    ReorganizePartition => "reorganize table partition",
    RebuildPartition => "rebuild table partition",
    CoalescePartition => "coalesce table partition",
    SplitPartition => "split table partition",
    ExchangePartition => "exchange table partition",
    AddForeignKey => "add foreign key",
    DropForeignKey => "drop foreign key",
    ModifySchemaCharsetAndCollate => "modify schema charset and collate",
    ModifyTableCharsetAndCollate => "modify table charset and collate",
    ModifyTableComment => "modify table comment",
    RecoverTable => "recover table",
    AlterTablePartitioning => "alter table partitioning",
    RemovePartitioning => "remove table partitioning",
    AddColumn => "add column",
    SetDefaultValue => "set default value",
    RebaseAutoId => "rebase auto id",
    AddPrimaryKey => "add primary key",
    AlterIndexVisibility => "alter index visibility",
    AlterTtlInfo => "alter ttl info",
    AlterTtlRemove => "alter ttl remove",
    MultiSchemaChange => "multi schema change",
}

/// All kinds that fit, the finest first; empty when filters have no name for the statement.
pub(crate) fn kinds(statement: &Statement, before: Option<&Table>) -> Vec<EventKind> {
    use EventKind as E;
    match statement.kind {
        StatementKind::CreateDatabase => vec![E::CreateDatabase],
        StatementKind::AlterDatabase => match &statement.body {
            Body::Database(d) if d.charset.is_some() || d.collation.is_some() => {
                vec![E::ModifySchemaCharsetAndCollate, E::AlterDatabase]
            }
            _ => vec![E::AlterDatabase],
        },
        StatementKind::DropDatabase => vec![E::DropDatabase],
        StatementKind::CreateTable | StatementKind::CreateTemporaryTable => vec![E::CreateTable],
        StatementKind::DropTable | StatementKind::DropTemporaryTable => vec![E::DropTable],
        StatementKind::RenameTable => vec![E::RenameTable],
        StatementKind::TruncateTable => vec![E::TruncateTable],
        StatementKind::CreateIndex => vec![E::CreateIndex],
        StatementKind::DropIndex => match &statement.body {
            Body::DropIndex { name, .. } => dropped_index(name, before),
            _ => vec![E::DropIndex],
        },
        StatementKind::CreateView => vec![E::CreateView],
        StatementKind::DropView => vec![E::DropView],
        StatementKind::Recover => vec![E::RecoverTable],
        StatementKind::AlterTable => match &statement.body {
            Body::AlterTable(alter) => altered(alter, before),
            _ => vec![E::AlterTable],
        },
        StatementKind::AlterView
        | StatementKind::Trigger
        | StatementKind::Procedure
        | StatementKind::Function
        | StatementKind::Event
        | StatementKind::Tablespace
        | StatementKind::Sequence
        | StatementKind::Server
        | StatementKind::ResourceGroup
        | StatementKind::PlacementPolicy
        | StatementKind::User
        | StatementKind::Grant
        | StatementKind::Revoke
        | StatementKind::Flush
        | StatementKind::MaintainTable
        | StatementKind::LockTables
        | StatementKind::Savepoint
        | StatementKind::Begin
        | StatementKind::Commit
        | StatementKind::Rollback
        | StatementKind::XaStart
        | StatementKind::XaEnd
        | StatementKind::XaPrepare
        | StatementKind::XaCommit
        | StatementKind::XaRollback
        | StatementKind::Dml
        | StatementKind::Session => Vec::new(),
    }
}

fn altered(alter: &AlterTable, before: Option<&Table>) -> Vec<EventKind> {
    let mut clauses = alter.clauses.iter().filter(|c| c.change != Change::Hint);
    let kinds = match (clauses.next(), clauses.next()) {
        (Some(clause), None) => change(&clause.change, before),
        (Some(_), Some(_)) => vec![EventKind::MultiSchemaChange],
        (None, _) => Vec::new(),
    };
    if kinds.is_empty() { vec![EventKind::AlterTable] } else { kinds }
}

fn change(change: &Change, before: Option<&Table>) -> Vec<EventKind> {
    use EventKind as E;
    match change {
        Change::AddColumn { place: Place::First | Place::After(_), .. } => vec![E::AddColumn, E::ModifyColumnsOrder],
        Change::AddColumn { place: Place::Same, .. } | Change::AddList { .. } => vec![E::AddColumn],
        Change::AddConstraint(constraint) => match constraint {
            Constraint::Index(def) if def.index.kind == IndexKind::Primary => vec![E::AddPrimaryKey],
            Constraint::ForeignKey(_) => vec![E::AddForeignKey],
            Constraint::Check { .. } => vec![E::ModifyConstraint],
            Constraint::Index(_) | Constraint::Other => Vec::new(),
        },
        Change::DropColumn { .. } => vec![E::DropColumn],
        Change::ModifyColumn { def, place, .. } => modified(&def.column.name, def, place, before),
        Change::ChangeColumn { old, def, place, .. } => {
            let mut kinds = modified(old, def, place, before);
            if *old != def.column.name {
                kinds.insert(0, E::RenameColumn);
            }
            kinds
        }
        Change::RenameColumn { .. } => vec![E::RenameColumn],
        Change::SetDefault { .. } => vec![E::SetDefaultValue, E::ModifyDefaultValue],
        Change::DropIndex { name, .. } => dropped_index(name, before),
        Change::DropPrimaryKey => vec![E::DropPrimaryKey],
        Change::DropForeignKey { .. } => vec![E::DropForeignKey],
        Change::DropConstraint { name } => match before {
            Some(table) if table.index(name).is_some() => dropped_index(name, before),
            Some(table) if table.foreign_key(name).is_some() => vec![E::DropForeignKey],
            _ => vec![E::ModifyConstraint],
        },
        Change::Check => vec![E::ModifyConstraint],
        Change::RenameIndex { .. } => vec![E::RenameIndex],
        Change::IndexVisibility { .. } => vec![E::AlterIndexVisibility],
        Change::RenameTable { .. } => vec![E::RenameTable],
        Change::ConvertCharset { .. } => vec![E::ModifyTableCharsetAndCollate, E::ModifyCharset],
        Change::Options(options) => {
            let mut kinds: Vec<EventKind> = options.iter().filter_map(option).collect();
            kinds.dedup();
            kinds
        }
        Change::Partition(change) => match change {
            PartitionChange::Add => vec![E::AddTablePartition],
            PartitionChange::Drop => vec![E::DropTablePartition],
            PartitionChange::Truncate => vec![E::TruncateTablePartition],
            PartitionChange::Reorganize => vec![E::ReorganizePartition],
            PartitionChange::Rebuild => vec![E::RebuildPartition],
            PartitionChange::Coalesce => vec![E::CoalescePartition],
            PartitionChange::Split => vec![E::SplitPartition],
            PartitionChange::Exchange { .. } => vec![E::ExchangePartition],
            PartitionChange::PartitionBy => vec![E::AlterTablePartitioning],
            PartitionChange::RemovePartitioning => vec![E::RemovePartitioning],
            PartitionChange::Other => Vec::new(),
        },
        Change::Ttl { remove: true } => vec![E::AlterTtlRemove],
        Change::Ttl { remove: false } => vec![E::AlterTtlInfo],
        Change::SetVisibility { .. } | Change::Hint | Change::Inert | Change::NotModelled => Vec::new(),
    }
}

fn option(option: &TableOption) -> Option<EventKind> {
    match option {
        TableOption::Charset(_) | TableOption::Collation(_) => Some(EventKind::ModifyTableCharsetAndCollate),
        TableOption::Engine(_) => Some(EventKind::ModifyStorageEngine),
        TableOption::Comment(_) => Some(EventKind::ModifyTableComment),
        TableOption::AutoIncrement => Some(EventKind::RebaseAutoId),
        TableOption::Other(_) => None,
    }
}

fn dropped_index(name: &str, before: Option<&Table>) -> Vec<EventKind> {
    if name.eq_ignore_ascii_case("PRIMARY") {
        return vec![EventKind::DropPrimaryKey];
    }
    match before.and_then(|table| table.index(name)).map(|index| index.kind) {
        Some(IndexKind::Unique) => vec![EventKind::DropUniqueKey, EventKind::DropIndex],
        _ => vec![EventKind::DropIndex],
    }
}

fn modified(old: &str, def: &ColumnDef, place: &Place, before: Option<&Table>) -> Vec<EventKind> {
    use EventKind as E;
    let mut kinds = Vec::new();
    if let Some(table) = before
        && let Some((idx, old)) = table.column(old)
    {
        let (new, _) = table.resolve(def);
        if range::value_range_decreases(old, &new) {
            kinds.push(E::ValueRangeDecrease);
        }
        if range::precision_decreases(&old.data_type, &new.data_type) {
            kinds.push(E::PrecisionDecrease);
        }
        if old.data_type.has_charset() && new.data_type.has_charset() {
            let charset_of = |c: &Column| {
                let collation = c.collation.as_deref().and_then(crate::table::of_collation);
                c.charset.as_deref().or(collation).or(table.default_charset()).map(str::to_owned)
            };
            if charset_of(old) != charset_of(&new) {
                kinds.push(E::ModifyCharset);
            } else if new.collation.is_some() && new.collation.as_deref() != table.column_collation(idx) {
                kinds.push(E::ModifyCollation);
            }
        }
        if old.auto_increment && !new.auto_increment {
            kinds.push(E::RemoveAutoIncrement);
        }
        if old.default != new.default {
            kinds.push(E::ModifyDefaultValue);
        }
    }
    if *place != Place::Same {
        kinds.push(E::ModifyColumnsOrder);
    }
    kinds.push(E::ModifyColumn);
    kinds
}
