//! From a variants file to the settings of each variant, as far as the file alone says them.

use std::path::PathBuf;

use anyhow::Result;

use crate::run_file::{
    HeldOutBy, InvalidRunFile, RunConfig, RunFile,
    problem::Problem,
    values::ColumnName,
    variants::{GroupBy, Layer, Origin, Pooled, VariantsFile},
};

/// Checked settings.
pub(super) struct Settings {
    /// The directory of all.
    pub(super) out: PathBuf,
    /// What they are taken from.
    pub(super) kind: Kind,
    /// Whether the share that is held out was chosen here.
    pub(super) held_out: HeldOutBy,
    first: RunConfig,
}

/// Variants that were written down, or one for each group.
pub(super) enum Kind {
    Named(Vec<(String, RunConfig)>),
    Groups {
        /// What tells them apart.
        by: GroupBy,
        /// Settings of all groups, without the group.
        template: Box<RunConfig>,
        pooled: Pooled,
        min_rows: usize,
    },
}

impl Settings {
    /// `shared` are the file's settings with flags over them.
    pub(super) fn new(file: &VariantsFile, shared: &Layer) -> Result<Self, InvalidRunFile> {
        let mut held_out = HeldOutBy::File;
        let mut with_held_out = |mut config: RunConfig| {
            if config.data.hold_out() == HeldOutBy::Default {
                held_out = HeldOutBy::Default;
            }
            config
        };
        let kind = match &file.origin {
            Origin::Named(named) => {
                let configs = named_configs(shared, named)?.into_iter();
                Kind::Named(configs.map(|(name, config)| (name, with_held_out(config))).collect())
            }
            Origin::Groups { by, pooled, min_rows } => Kind::Groups {
                by: by.clone(),
                template: Box::new(with_held_out(of_groups(shared, by)?)),
                pooled: *pooled,
                min_rows: *min_rows,
            },
        };
        let first = match &kind {
            Kind::Named(named) => named[0].1.clone(),
            Kind::Groups { template, .. } => (**template).clone(),
        };
        let out = out(shared.file(), &first);
        Ok(Self { out, kind, held_out, first })
    }

    /// Settings of any of the variants, for what they have in common.
    pub(super) fn first(&self) -> &RunConfig {
        &self.first
    }

    /// Run directories that are there from an earlier sitting.
    pub(super) fn directories(&self) -> impl Iterator<Item = PathBuf> {
        std::fs::read_dir(&self.out).into_iter().flatten().flatten().map(|entry| entry.path())
    }
}

/// The settings of each variant that has a name; what is wrong with several is said once.
fn named_configs(
    shared: &Layer,
    named: &[(String, Layer)],
) -> Result<Vec<(String, RunConfig)>, InvalidRunFile> {
    let (mut configs, mut problems): (_, Vec<(&str, Problem)>) = (Vec::new(), Vec::new());
    for (name, own) in named {
        match shared.apply(own).init() {
            Ok(config) => configs.push((name.clone(), config)),
            Err(invalid) => problems.extend(invalid.problems.into_iter().map(|p| (name.as_str(), p))),
        }
    }
    if problems.is_empty() {
        return Ok(configs);
    }
    let mut said: Vec<Problem> = Vec::new();
    for (name, problem) in &problems {
        let is_everywhere = problems.iter().filter(|(_, other)| other == problem).count() == named.len();
        let place = match &problem.place {
            None if !is_everywhere => Some(format!("variant `{name}`")),
            place => place.clone(),
        };
        let problem = Problem { place, ..problem.clone() };
        if !said.contains(&problem) {
            said.push(problem);
        }
    }
    Err(InvalidRunFile { problems: said })
}

/// The shared settings with the column of groups, if there is one.
fn of_groups(shared: &Layer, by: &GroupBy) -> Result<RunConfig, InvalidRunFile> {
    if shared.file().data.only_group.is_some() {
        let text = "is set, but one variant is trained for each group; remove it";
        return Err(shared.problem("data.only_group", text));
    }
    let GroupBy::Column(column) = by else { return shared.init() };
    let mut columns = shared.file().data.columns.clone().unwrap_or_default();
    columns.retain(|name| name.role != "group");
    columns.push(ColumnName { role: "group".to_owned(), column: column.clone() });
    let mut own = RunFile::default();
    own.data.columns = Some(columns);
    shared.apply(&Layer::of(own)).init()
}

/// The directory that was named, or `runs/<model>-variants`.
fn out(shared: &RunFile, config: &RunConfig) -> PathBuf {
    if let Some(out) = &shared.run.out {
        return PathBuf::from(out);
    }
    let default = config.run.out.to_string_lossy();
    let model = default.strip_suffix(config.loss.name()).unwrap_or(&default);
    PathBuf::from(format!("{model}variants"))
}
