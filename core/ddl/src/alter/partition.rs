//! Clauses of ALTER TABLE about partitions. They end the statement in every server, so what follows is theirs.

use super::PartitionChange as P;
use crate::error::Error;
use crate::parser::Parser;
use crate::statement::TableRole;

impl Parser<'_> {
    /// The partition clause that starts here, if one does.
    pub(super) fn partition_change(&mut self) -> Result<Option<P>, Error> {
        let word = self.raw(0).to_ascii_uppercase();
        let change = match word.as_str() {
            "EXCHANGE" if self.is_word(1, "PARTITION") => return self.exchange().map(Some),
            "PARTITION" if self.is_word(1, "BY") => P::PartitionBy,
            "PARTITION" => P::Other,
            "REMOVE" if self.is_word(1, "PARTITIONING") => {
                self.at += 2;
                return Ok(Some(P::RemovePartitioning));
            }
            "ADD" if self.is_word(1, "PARTITION") => P::Add,
            "DROP" if self.is_word(1, "PARTITION") => P::Drop,
            "TRUNCATE" if self.is_word(1, "PARTITION") => P::Truncate,
            "REORGANIZE" if self.is_word(1, "PARTITION") => P::Reorganize,
            "REBUILD" if self.is_word(1, "PARTITION") => P::Rebuild,
            "COALESCE" if self.is_word(1, "PARTITION") => P::Coalesce,
            "SPLIT" => P::Split,
            "MERGE" if self.is_any(1, &["FIRST", "PARTITION", "PARTITIONS"]) => P::Reorganize,
            "ANALYZE" | "CHECK" | "OPTIMIZE" | "REPAIR" | "DISCARD" | "IMPORT" | "ALTER"
                if self.is_word(1, "PARTITION") =>
            {
                P::Other
            }
            "FIRST" | "LAST" if self.is_word(1, "PARTITION") => P::Other,
            _ => return Ok(None),
        };
        self.skip_to_end()?;
        Ok(Some(change))
    }

    fn exchange(&mut self) -> Result<P, Error> {
        self.at += 2;
        self.name()?;
        if !self.take(&["WITH", "TABLE"]) {
            return self.expected("WITH TABLE");
        }
        let with = self.table(TableRole::ExchangePartner)?;
        self.skip_to_end()?;
        Ok(P::Exchange { with })
    }

    fn skip_to_end(&mut self) -> Result<(), Error> {
        while !self.ended() && !self.is_symbol(0, ';') {
            self.skip_one()?;
        }
        Ok(())
    }
}
