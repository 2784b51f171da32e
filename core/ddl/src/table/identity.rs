//! What identifies a row, and the digest of a structure.

use sha2::{Digest, Sha256};

use crate::table::{Column, ForeignKey, Index, IndexOn, Table};

impl Table {
    /// The column positions of an index whose parts are whole columns, in key order; `None` for keys with prefixes,
    /// expressions or unknown columns.
    pub fn index_columns(&self, index: &Index) -> Option<Vec<usize>> {
        index
            .parts
            .iter()
            .map(|part| match &part.on {
                IndexOn::Column(name) if part.prefix.is_none() => self.column(name).map(|(idx, _)| idx),
                IndexOn::Column(_) | IndexOn::Expression(_) => None,
            })
            .collect()
    }

    /// Indexes that identify a row: the primary key, then unique keys whose columns are whole and NOT NULL.
    pub fn identity_indexes(&self) -> impl Iterator<Item = &Index> {
        self.unique_keys().filter(|index| {
            self.index_columns(index)
                .is_some_and(|columns| !columns.is_empty() && columns.iter().all(|&c| !self.columns[c].nullable))
        })
    }

    /// The columns by which rows are addressed: of the first of [`identity_indexes`](Self::identity_indexes). `None`
    /// for a table whose rows are only known by all their values.
    pub fn identity(&self) -> Option<Vec<usize>> {
        self.identity_indexes().next().and_then(|index| self.index_columns(index))
    }

    /// Generated columns with their positions: present in row images, never written.
    pub fn generated_columns(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, c)| c.generated.is_some())
    }

    pub fn foreign_key(&self, name: &str) -> Option<&ForeignKey> {
        self.foreign_keys.iter().find(|k| k.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name)))
    }

    /// 64 hexadecimal digits that are equal for equal structures. Stable over versions of this program as long as the
    /// first line of what is digested stays; the tail counts, so a change of partitions changes it.
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(b"dm-ddl structure 1\n");
        digest.update(self.definition().as_bytes());
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
