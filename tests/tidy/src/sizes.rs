//! Figures about file and function sizes, so that drift is seen.

use std::fmt;

use syn::{spanned::Spanned, visit::Visit};

use crate::tree::Source;

/// Sizes of everything outside tests.
#[derive(Debug, Clone, Default)]
pub struct Sizes {
    pub file_lines: Vec<(usize, String)>,
    pub fn_lines: Vec<(usize, String)>,
    pub n_test_lines: usize,
}

struct Functions<'a> {
    file: &'a str,
    out: &'a mut Vec<(usize, String)>,
}

impl Functions<'_> {
    fn add(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line.saturating_sub(name.span().start().line) + 1;
        self.out.push((lines, format!("{}::{name}", self.file)));
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, f: &'ast syn::ItemFn) {
        self.add(&f.sig.ident, &f.block);
        syn::visit::visit_item_fn(self, f);
    }

    fn visit_impl_item_fn(&mut self, f: &'ast syn::ImplItemFn) {
        self.add(&f.sig.ident, &f.block);
        syn::visit::visit_impl_item_fn(self, f);
    }

    fn visit_item_mod(&mut self, m: &'ast syn::ItemMod) {
        if m.ident != "tests" {
            syn::visit::visit_item_mod(self, m);
        }
    }
}

/// Measures every file; one that does not parse counts as a file only.
pub fn measure(sources: &[Source]) -> Sizes {
    let mut sizes = Sizes::default();
    for source in sources {
        let n_lines = source.text.lines().count();
        if source.is_test() {
            sizes.n_test_lines += n_lines;
            continue;
        }
        let n_prod = source.text.lines().position(|l| l.trim() == "#[cfg(test)]").unwrap_or(n_lines);
        sizes.n_test_lines += n_lines - n_prod;
        let name = source.path.display().to_string();
        sizes.file_lines.push((n_prod, name.clone()));
        if let Ok(file) = syn::parse_file(&source.text) {
            Functions { file: &name, out: &mut sizes.fn_lines }.visit_file(&file);
        }
    }
    sizes.file_lines.sort();
    sizes.fn_lines.sort();
    sizes
}

fn at(sorted: &[(usize, String)], share: f64) -> usize {
    let last = sorted.len().saturating_sub(1);
    let idx = (last as f64 * share).round() as usize;
    sorted.get(idx).map_or(0, |(n, _)| *n)
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.file_lines.iter().map(|(n, _)| n).sum();
        let long = self.fn_lines.iter().filter(|(n, _)| *n > 70).count();
        writeln!(f, "files: {}, lines {total} (+{} of tests)", self.file_lines.len(), self.n_test_lines)?;
        writeln!(
            f,
            "file lines: median {}, p90 {}, max {}",
            at(&self.file_lines, 0.5),
            at(&self.file_lines, 0.9),
            at(&self.file_lines, 1.0)
        )?;
        writeln!(
            f,
            "fn lines: median {}, p90 {}, over 70: {long} of {}",
            at(&self.fn_lines, 0.5),
            at(&self.fn_lines, 0.9),
            self.fn_lines.len()
        )?;
        for (title, list) in [("longest files", &self.file_lines), ("longest functions", &self.fn_lines)] {
            writeln!(f, "{title}:")?;
            for (n, name) in list.iter().rev().take(8) {
                writeln!(f, "  {n:>5} {name}")?;
            }
        }
        Ok(())
    }
}
