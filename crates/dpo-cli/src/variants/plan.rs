//! Everything that is decided before the first step: which variants there are, and what they are measured on.

use std::{collections::BTreeMap, path::PathBuf, rc::Rc};

use anyhow::{Result, bail};
use dpo_core::Objective;
use dpo_data::{Needed, TokenTree};
use serde::Serialize;

use super::settings::{Kind, Settings};
use crate::{
    data::{DataReader, LoadedData, Selection},
    run_file::{
        HeldOutBy, RunConfig,
        values::stem,
        variants::{GroupBy, Pooled},
    },
    train::{Session, Workshop, note, printable},
};

/// What will be done.
pub(super) struct Plan {
    /// The directory of all.
    pub(super) out: PathBuf,
    pub(super) variants: Vec<Variant>,
    /// Held-out pairs that every variant is measured on.
    pub(super) columns: Vec<Column>,
    /// Groups that are no variants.
    pub(super) left_out: Vec<LeftOut>,
    /// Training rows that are of no group.
    pub(super) rows_without_group: usize,
    held_out: HeldOutBy,
}

/// An adapter to train.
pub(super) struct Variant {
    /// Its name, and that of its directory.
    pub(super) name: String,
    /// The group it is of.
    pub(super) group: Option<String>,
    pub(super) config: RunConfig,
}

/// Held-out pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// The variant whose pairs they are, or the name of a set that several share.
    pub(super) name: String,
    /// The group whose pairs they are.
    pub(super) group: Option<String>,
    sources: Vec<String>,
    split: &'static str,
    selection: Selection,
}

/// A group with too few rows.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LeftOut {
    pub(super) group: String,
    pub(super) rows: usize,
    pub(super) min_rows: usize,
}

impl Plan {
    /// Reads the rows, and says which variants they make.
    pub(super) fn new(settings: Settings, workshop: &Workshop) -> Result<Self> {
        let Settings { out, kind, held_out, .. } = settings;
        let mut plan = Self {
            out,
            variants: Vec::new(),
            columns: Vec::new(),
            left_out: Vec::new(),
            rows_without_group: 0,
            held_out,
        };
        match kind {
            Kind::Named(named) => named.into_iter().for_each(|(name, config)| plan.push(name, None, config)),
            Kind::Groups { by, template, pooled, min_rows } => {
                plan.of_groups(&by, &template, min_rows, workshop)?;
                if pooled == Pooled::Beside {
                    let name = free_name("pooled", &plan.variants);
                    plan.push(name, None, *template);
                }
            }
        }
        for Variant { name, config, .. } in &plan.variants {
            if matches!(config.loss, Objective::Ranked(_) | Objective::Unpaired(_)) {
                bail!(
                    "variant `{name}`: variants are measured on pairs, and the loss `{}` reads none; take another",
                    config.loss.name()
                );
            }
        }
        plan.columns = columns(&plan.variants);
        Ok(plan)
    }

    fn push(&mut self, name: String, group: Option<String>, mut config: RunConfig) {
        config.run.out = self.out.join(&name);
        config.data.only_group = group.clone().or(config.data.only_group);
        self.variants.push(Variant { name, group, config });
    }

    fn of_groups(
        &mut self,
        by: &GroupBy,
        template: &RunConfig,
        min_rows: usize,
        workshop: &Workshop,
    ) -> Result<()> {
        let (train, held_out) = groups(template, workshop)?;
        self.rows_without_group = train.get(&None).copied().unwrap_or(0);
        let mut sizes: Vec<(&String, usize)> =
            train.iter().filter_map(|(group, n)| Some((group.as_ref()?, *n))).collect();
        sizes.sort_by(|(a, _), (b, _)| in_order(a).partial_cmp(&in_order(b)).unwrap_or(a.cmp(b)));
        for (group, rows) in sizes {
            if rows < min_rows {
                self.left_out.push(LeftOut { group: group.clone(), rows, min_rows });
                continue;
            }
            if !held_out.contains_key(&Some(group.clone())) {
                let remedy = match template.data.held_out {
                    Some(_) => "raise `data.heldout` (0.1 where nothing is named), name files in `data.eval`",
                    None => "add some to the files of `data.eval`",
                };
                bail!(
                    "group `{}` of {by} has {rows} rows to train on and no held-out pair; {remedy}, or \
                     leave it out by raising `variants.min_rows`",
                    printable(group)
                );
            }
            let name = free_name(&directory_name(group), &self.variants);
            self.push(name, Some(group.clone()), template.clone());
        }
        if self.variants.is_empty() {
            let sizes = self.left_out.iter().map(|left| format!("{}: {}", printable(&left.group), left.rows));
            bail!(
                "no group of {by} has {min_rows} rows to train on ({}); lower `variants.min_rows`",
                sizes.collect::<Vec<_>>().join(", ")
            );
        }
        Ok(())
    }

    /// What is about to happen; the rows of every variant are looked at once.
    pub(super) fn introduce(&self, workshop: &Rc<Workshop>) -> Result<()> {
        note(&format!("model      {}", workshop.base.name));
        if self.held_out == HeldOutBy::Default {
            note(
                "held out   a tenth of the prompts, because no held-out pairs are named (`data.heldout`, `data.eval`)",
            );
        }
        for left in &self.left_out {
            let LeftOut { group, rows, min_rows } = left;
            let group = printable(group);
            note(&match rows {
                0 => format!("left out   {group}: none of its rows can be trained on"),
                _ => {
                    format!("left out   {group}: {rows} rows to train on, `variants.min_rows` is {min_rows}")
                }
            });
        }
        if self.rows_without_group > 0 {
            note(&format!("of nobody  {} rows have no group", self.rows_without_group));
        }
        for variant in &self.variants {
            let session = Session::of_workshop(variant.config.clone(), &variant.name, workshop)?;
            note(&format!("variant    {}: {}", variant.name, session.summary()));
        }
        note(&format!("directory  {}", self.out.display()));
        Ok(())
    }
}

/// Training and held-out rows of each group.
type Sizes = BTreeMap<Option<String>, usize>;

fn groups(template: &RunConfig, workshop: &Workshop) -> Result<(Sizes, Sizes)> {
    let reader = reader(template, workshop);
    let data = &template.data;
    let train = reader.load(&data.train, "train", &Selection::training(data).of_all_groups())?;
    let (sources, split) = data.held_out_sources();
    let held_out = reader.load(&sources, split, &Selection::held_out(data).of_all_groups())?;
    train.report.lines().iter().for_each(|line| note(&format!("data       {line}")));
    let mut of_training = sizes(&train.trees);
    // A group whose rows were all dropped has none, and is there to be named.
    for group in train.groups {
        of_training.entry(Some(group)).or_default();
    }
    Ok((of_training, sizes(&held_out.trees)))
}

fn sizes(trees: &[TokenTree]) -> Sizes {
    let mut sizes = Sizes::new();
    for tree in trees {
        *sizes.entry(tree.group.clone()).or_default() += 1;
    }
    sizes
}

fn reader<'a>(config: &RunConfig, workshop: &'a Workshop) -> DataReader<'a> {
    let rows = workshop.rows.clone();
    DataReader::new(&workshop.hub, &workshop.base, &config.data, &config.loss, rows)
}

impl Column {
    /// The pairs.
    pub(super) fn load(&self, config: &RunConfig, workshop: &Workshop) -> Result<LoadedData> {
        let mut reader = reader(config, workshop);
        reader.needs = vec![Needed::Pairs];
        reader.load(&self.sources, self.split, &self.selection)
    }

    /// Whether they are those of `variant` alone.
    pub(super) fn is_of(&self, variant: &str) -> bool {
        self.name == variant
    }
}

/// The held-out pairs of all variants, each once; of a variant on the rows of all groups, those of the groups.
fn columns(variants: &[Variant]) -> Vec<Column> {
    let has_groups = variants.iter().any(|variant| variant.group.is_some());
    let mut columns: Vec<Column> = Vec::new();
    for variant in variants.iter().filter(|variant| !has_groups || variant.group.is_some()) {
        let data = &variant.config.data;
        let (sources, split) = data.held_out_sources();
        let selection = Selection::held_out(data);
        let (name, group) = (variant.name.clone(), data.only_group.clone());
        let column = Column { name, group, sources, split, selection };
        let is_same = |other: &&mut Column| Column { name: other.name.clone(), ..column.clone() } == **other;
        match columns.iter_mut().find(is_same) {
            Some(shared) => shared.name = shared.sources.first().map_or("", |source| stem(source)).to_owned(),
            None => columns.push(column),
        }
    }
    columns
}

/// Numbers in their order, before all texts.
fn in_order(group: &str) -> (bool, f64, &str) {
    let number = group.parse().ok().filter(|x: &f64| x.is_finite());
    (number.is_none(), number.unwrap_or(0.0), group)
}

/// What of a group's name can be a directory's everywhere.
fn directory_name(group: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = group.trim().chars().map(safe).take(40).collect();
    match name.trim_matches('-') {
        "" => "group".to_owned(),
        name => name.to_owned(),
    }
}

/// `name`, or `name-2` and so on where that is taken; case does not tell directories apart everywhere.
fn free_name(name: &str, variants: &[Variant]) -> String {
    let is_taken = |name: &str| {
        let name = name.to_lowercase();
        name == "base" || variants.iter().any(|variant| variant.name.to_lowercase() == name)
    };
    let candidates = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}-{n}")));
    candidates.into_iter().find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_directory_whatever_it_is_called() {
        let names = ["North America", "../../etc", "Zürich", "  ", "a/b", ".hidden"].map(directory_name);
        assert_eq!(names, ["North-America", "etc", "Zürich", "group", "a-b", "hidden"]);
    }

    #[test]
    fn numbers_are_in_their_order() {
        let mut groups = ["10", "b", "9", "a", "-1"];
        groups.sort_by(|a, b| in_order(a).partial_cmp(&in_order(b)).unwrap_or(a.cmp(b)));
        assert_eq!(groups, ["-1", "9", "10", "a", "b"]);
    }
}
