//! The kinds of events a filter rule can name.
//!
//! Owns the names as users write them and which of them are rows, structure changes, or structure changes that old
//! readers cannot digest ("incompatible"). Which statement is which kind is decided where statements are parsed. Fails
//! only on a text that is no name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The text is no event name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event type")]
pub struct UnknownEvent(pub String);

/// What a kind of event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventClass {
    Dml,
    Ddl,
    /// A DDL that the group `incompatible ddl changes` includes.
    IncompatibleDdl,
}

macro_rules! events {
    ($($class:ident { $($variant:ident => $text:literal,)* })*) => {
        /// One kind of binlog event. `create schema` and the like are other spellings of `create database`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventName { $($(#[serde(rename = $text)] $variant,)*)* }

        impl EventName {
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];

            /// The spelling in rules.
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$variant => $text,)*)* }
            }

            pub fn class(self) -> EventClass {
                match self { $($(Self::$variant)|* => EventClass::$class,)* }
            }
        }
    };
}

events! {
    Dml {
        Insert => "insert",
        Update => "update",
        Delete => "delete",
    }
    Ddl {
        CreateDatabase => "create database",
        AlterDatabase => "alter database",
        CreateTable => "create table",
        CreateIndex => "create index",
        CreateView => "create view",
        DropView => "drop view",
        AlterTable => "alter table",
        AddTablePartition => "add table partition",
    }
    IncompatibleDdl {
        DropDatabase => "drop database",
        DropTable => "drop table",
        TruncateTable => "truncate table",
        RenameTable => "rename table",
        DropIndex => "drop index",
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
}

impl FromStr for EventName {
    type Err = UnknownEvent;

    /// Case does not count.
    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let lower = text.to_lowercase();
        let canonical = match lower.as_str() {
            "create schema" => "create database",
            "alter schema" => "alter database",
            "drop schema" => "drop database",
            other => other,
        };
        let found = Self::ALL.iter().find(|event| event.as_str() == canonical);
        found.copied().ok_or_else(|| UnknownEvent(text.to_owned()))
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_in_any_case() {
        for event in EventName::ALL {
            assert_eq!(event.as_str().to_uppercase().parse(), Ok(*event));
        }
        assert_eq!("Drop Schema".parse(), Ok(EventName::DropDatabase));
        assert_eq!("drop".parse::<EventName>(), Err(UnknownEvent("drop".to_owned())));
    }
}
