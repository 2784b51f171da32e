//! `mysql-instances`: names of sections become the sections themselves.
//!
//! Owns the checks of names: unknown, repeated, in conflict with an inline section, and sections nobody uses.

use std::collections::BTreeSet;

use dm_model::SourceId;
use dm_rules::{block_allow, event_filter, route};

use super::{
    DumpOptions, ExpressionFilter, Instance, LoadOptions, Meta, Sections, SyncOptions, TaskMode, ValidateOptions, raw,
    unit::non_empty,
};
use crate::{Error, Warning};

/// Everything an instance can name.
struct Named {
    routes: Sections<route::Rule>,
    filters: Sections<event_filter::Rule>,
    expressions: Sections<ExpressionFilter>,
    block_allow: Sections<block_allow::Rule>,
    dumps: Sections<raw::Dump>,
    loads: Sections<raw::Load>,
    syncs: Sections<raw::Sync>,
    validators: Sections<raw::Validate>,
}

pub(super) fn check(raw: &mut raw::Task, mode: TaskMode, warnings: &mut Vec<Warning>) -> Result<Vec<Instance>, Error> {
    let mut named = Named::take(raw)?;
    let given = raw.mysql_instances.take().unwrap_or_default();
    if given.is_empty() {
        return Err(Error::NoInstance {});
    }
    let mut instances: Vec<Instance> = Vec::with_capacity(given.len());
    let mut repeated = Vec::new();
    for (index, raw) in given.into_iter().enumerate() {
        let raw = raw.ok_or(Error::EmptyInstance { index })?;
        repeated.extend(names_twice(index, &raw));
        let instance = named.resolve(index, raw, mode, warnings)?;
        if let Some(first) = instances.iter().position(|earlier| earlier.source_id == instance.source_id) {
            let source_id = instance.source_id.to_string();
            return Err(Error::SameSource { first, second: index, source_id });
        }
        instances.push(instance);
    }
    if !repeated.is_empty() {
        return Err(Error::NamedTwice { items: repeated.join("; ") });
    }
    named.all_used()?;
    Ok(instances)
}

impl Named {
    fn take(raw: &mut raw::Task) -> Result<Self, Error> {
        let lists = raw.block_allow_list.take().filter(|lists| !lists.is_empty());
        let old_lists = raw.black_white_list.take();
        let expressions = raw.expression_filter.take().unwrap_or_default();
        let expressions = expressions.into_iter().map(|(name, filter)| {
            let checked = ExpressionFilter::check(&name, filter.unwrap_or_default())?;
            Ok((name, checked))
        });
        Ok(Self {
            routes: Sections::new("routes", raw.routes.take()),
            filters: Sections::new("filters", raw.filters.take()),
            expressions: Sections {
                kind: "expression-filter",
                by_name: expressions.collect::<Result<_, Error>>()?,
                used: BTreeSet::new(),
            },
            block_allow: Sections::new("block-allow-list", lists.or(old_lists)),
            dumps: Sections::new("mydumpers", raw.mydumpers.take()),
            loads: Sections::new("loaders", raw.loaders.take()),
            syncs: Sections::new("syncers", raw.syncers.take()),
            validators: Sections::new("validators", raw.validators.take()),
        })
    }

    fn resolve(
        &mut self,
        index: usize,
        raw: raw::Instance,
        mode: TaskMode,
        warnings: &mut Vec<Warning>,
    ) -> Result<Instance, Error> {
        let source_id = match raw.source_id.as_deref() {
            None | Some("") => return Err(Error::InstanceSourceIdEmpty { index }),
            Some(text) => SourceId::parse(text).map_err(|source| Error::InstanceSourceId { index, source })?,
        };
        let meta = raw.meta.map(|meta| check_meta(index, meta)).transpose()?;
        if meta.is_some() && mode != TaskMode::Incremental {
            warnings.push(Warning(format!("`meta` of mysql-instances[{index}] is ignored: `task-mode` is `{mode}`")));
        }
        if let Some(name) = raw.column_mapping_rules.unwrap_or_default().into_iter().next() {
            return Err(Error::NoColumnMapping { index, name });
        }
        let routes = self.routes.all(raw.route_rules, |name| Error::NoRoute { index, name })?;
        let filters = self.filters.all(raw.filter_rules, |name| Error::NoFilter { index, name })?;
        let expression_filters =
            self.expressions.all(raw.expression_filters, |name| Error::NoExpression { index, name })?;
        let list = non_empty(raw.block_allow_list).or(non_empty(raw.black_white_list));
        let block_allow_list = self.block_allow.one(list, |name| Error::NoBlockAllow { index, name })?;

        let (name, inline) = (non_empty(raw.mydumper_config_name), raw.mydumper);
        if name.is_some() && inline.is_some() {
            return Err(Error::DumpTwice { index });
        }
        let dump = self.dumps.one(name, |name| Error::NoDump { index, name })?.or(inline).unwrap_or_default();
        let dump = DumpOptions::check(dump, raw.mydumper_thread)?;
        if mode.has_dump() && dump.mydumper_path.is_empty() {
            return Err(Error::DumpPath { index });
        }

        let (name, inline) = (non_empty(raw.loader_config_name), raw.loader);
        if name.is_some() && inline.is_some() {
            return Err(Error::LoadTwice { index });
        }
        let load = self.loads.one(name, |name| Error::NoLoad { index, name })?.or(inline).unwrap_or_default();

        let (name, inline) = (non_empty(raw.syncer_config_name), raw.syncer);
        if name.is_some() && inline.is_some() {
            return Err(Error::SyncTwice { index });
        }
        let sync = self.syncs.one(name, |name| Error::NoSync { index, name })?.or(inline).unwrap_or_default();
        warn_about_old_sync_keys(index, &sync, warnings);

        let validator = non_empty(raw.validator_config_name);
        let validate = self.validators.one(validator, |name| Error::NoValidator { index, name })?.unwrap_or_default();
        Ok(Instance {
            source_id,
            meta,
            block_allow_list: block_allow_list.unwrap_or_default(),
            routes,
            filters,
            expression_filters,
            dump,
            load: LoadOptions::check(load, raw.loader_thread)?,
            sync: SyncOptions::check(sync, raw.syncer_thread)?,
            validate: ValidateOptions::check(validate)?,
        })
    }

    /// A section that no instance names is most likely a typing error, so it refuses the task. Block-allow lists are
    /// exempt, as in DM.
    fn all_used(&self) -> Result<(), Error> {
        let unused: Vec<String> = [
            self.routes.unused(),
            self.filters.unused(),
            self.dumps.unused(),
            self.loads.unused(),
            self.syncs.unused(),
            self.expressions.unused(),
            self.validators.unused(),
        ]
        .concat();
        if unused.is_empty() { Ok(()) } else { Err(Error::Unused { names: unused.join(", ") }) }
    }
}

impl<T> Sections<T> {
    fn new(kind: &'static str, given: Option<raw::Named<T>>) -> Self
    where
        T: Default,
    {
        let given = given.unwrap_or_default().into_iter();
        let by_name = given.map(|(name, section)| (name, section.unwrap_or_default())).collect();
        Self { kind, by_name, used: BTreeSet::new() }
    }

    fn one(&mut self, name: Option<String>, unknown: impl Fn(String) -> Error) -> Result<Option<T>, Error>
    where
        T: Clone,
    {
        let Some(name) = name else { return Ok(None) };
        let section = self.by_name.get(&name).cloned().ok_or_else(|| unknown(name.clone()))?;
        self.used.insert(name);
        Ok(Some(section))
    }

    fn all(&mut self, names: Option<Vec<String>>, unknown: impl Fn(String) -> Error) -> Result<Vec<T>, Error>
    where
        T: Clone,
    {
        let names = names.unwrap_or_default().into_iter();
        let sections = names.map(|name| self.one(Some(name), &unknown)).collect::<Result<Vec<_>, _>>()?;
        Ok(sections.into_iter().flatten().collect())
    }

    fn unused(&self) -> Vec<String> {
        let unused = self.by_name.keys().filter(|name| !self.used.contains(*name));
        unused.map(|name| format!("{}.{name}", self.kind)).collect()
    }
}

fn check_meta(index: usize, raw: raw::Meta) -> Result<Meta, Error> {
    let meta = Meta {
        binlog_name: raw.binlog_name.unwrap_or_default(),
        binlog_pos: raw.binlog_pos.unwrap_or(0),
        binlog_gtid: raw.binlog_gtid.unwrap_or_default(),
    };
    if meta.binlog_name.is_empty() && meta.binlog_gtid.is_empty() {
        return Err(Error::Meta { index });
    }
    Ok(meta)
}

fn names_twice(index: usize, raw: &raw::Instance) -> Vec<String> {
    let lists = [
        ("route-rules", &raw.route_rules),
        ("filter-rules", &raw.filter_rules),
        ("expression-filters", &raw.expression_filters),
        ("column-mapping-rules", &raw.column_mapping_rules),
    ];
    let mut repeated = Vec::new();
    for (key, names) in lists {
        let mut seen = BTreeSet::new();
        for name in names.iter().flatten() {
            if !seen.insert(name) {
                repeated.push(format!("`{name}` in `{key}` of mysql-instances[{index}]"));
            }
        }
    }
    repeated
}

fn warn_about_old_sync_keys(index: usize, raw: &raw::Sync, warnings: &mut Vec<Warning>) {
    let given = [
        ("meta-file", raw.meta_file.is_some()),
        ("max-retry", raw.max_retry.is_some()),
        ("auto-fix-gtid", raw.auto_fix_gtid.is_some()),
        ("disable-detect", raw.disable_detect.is_some()),
        ("enable-ansi-quotes", raw.enable_ansi_quotes.is_some()),
        ("enable-gtid", raw.enable_gtid.is_some()),
    ];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        warnings.push(Warning(format!("`{key}` in the syncer of mysql-instances[{index}] is deprecated and ignored")));
    }
}
