//! Names that online schema change tools give to their own tables.
//!
//! Owns the test of a name. Never guesses what a tool is doing: what is on a ghost or trash table stops the task unless
//! a rule filters it.

use regex::Regex;

/// What a table's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    Real,
    /// The copy that is being built (`_t_gho`, `_t_new`).
    Ghost,
    /// What is left over (`_t_ghc`, `_t_del`, `_t_old`).
    Trash,
}

/// The patterns of `shadow-table-rules` and `trash-table-rules`.
#[derive(Debug, Clone)]
pub struct OnlineDdl {
    ghost: Vec<Regex>,
    trash: Vec<Regex>,
}

impl OnlineDdl {
    /// DM's default patterns.
    pub const GHOST: &'static str = "^_(.+)_(?:new|gho)$";
    pub const TRASH: &'static str = "^_(.+)_(?:ghc|del|old)$";

    /// Compiles patterns; an empty list means DM's default pattern.
    pub fn compile(ghost: &[String], trash: &[String]) -> Result<Self, regex::Error> {
        let compile = |patterns: &[String], default: &str| -> Result<Vec<Regex>, regex::Error> {
            if patterns.is_empty() {
                return Ok(vec![Regex::new(default)?]);
            }
            patterns.iter().map(|pattern| Regex::new(pattern)).collect()
        };
        Ok(Self { ghost: compile(ghost, Self::GHOST)?, trash: compile(trash, Self::TRASH)? })
    }

    pub fn kind(&self, table: &str) -> TableKind {
        if self.ghost.iter().any(|pattern| pattern.is_match(table)) {
            TableKind::Ghost
        } else if self.trash.iter().any(|pattern| pattern.is_match(table)) {
            TableKind::Trash
        } else {
            TableKind::Real
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_patterns_know_the_names_of_gh_ost_and_pt_osc() {
        let rules = OnlineDdl::compile(&[], &[]).unwrap();
        assert_eq!(rules.kind("_orders_gho"), TableKind::Ghost);
        assert_eq!(rules.kind("_orders_new"), TableKind::Ghost);
        assert_eq!(rules.kind("_orders_ghc"), TableKind::Trash);
        assert_eq!(rules.kind("_orders_old"), TableKind::Trash);
        assert_eq!(rules.kind("orders_new"), TableKind::Real);
        assert_eq!(rules.kind("__new"), TableKind::Real);
    }

    #[test]
    fn own_patterns_replace_the_default() {
        let rules = OnlineDdl::compile(&["^_(.+)_shadow$".into()], &[]).unwrap();
        assert_eq!(rules.kind("_orders_shadow"), TableKind::Ghost);
        assert_eq!(rules.kind("_orders_gho"), TableKind::Real);
    }
}
