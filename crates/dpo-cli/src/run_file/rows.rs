//! `[data]`: which rows there are, and which of them are taken.

use std::collections::BTreeSet;

use dpo_data::HeldOut;

use super::{
    check::Check,
    choices::{Annotators, Overlong, Pairs, Preset, SpecialText, Strings},
    config::DataConfig,
    keys::nearest,
    sections::DataSection,
    values::{COLUMN_ROLES, ColumnName, EvalSet, is_name},
};

/// Share of the prompts that is held out where measuring needs pairs and none are named.
const SHARE: f64 = 0.1;
/// What it is drawn with.
const SEED: u32 = 42;

/// Who decided what is held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeldOutBy {
    File,
    Default,
}

impl DataConfig {
    /// Holds something out in any case: what a model was trained on says little of it.
    pub(crate) fn hold_out(&mut self) -> HeldOutBy {
        if !self.eval.is_empty() || self.held_out.is_some() {
            return HeldOutBy::File;
        }
        self.held_out = Some(HeldOut::new(SHARE, u64::from(SEED)));
        HeldOutBy::Default
    }

    /// The files of the held-out rows, and the split that they are of a hub data set.
    pub(crate) fn held_out_sources(&self) -> (Vec<String>, &'static str) {
        match self.held_out {
            Some(_) => (self.train.clone(), "train"),
            None => (self.eval.iter().map(|set| set.source.clone()).collect(), "test"),
        }
    }
}

/// Fills in the defaults and checks everything.
pub(super) fn data(section: &DataSection, check: &mut Check) -> DataConfig {
    let train = section.train.clone().unwrap_or_default();
    if train.is_empty() {
        check.missing("data.train", "at least one file or hub dataset id");
    }
    if train.iter().any(|source| source.trim().is_empty()) {
        check.problem("data.train", "has an empty path; remove it".to_owned());
    }
    let columns = columns(section.columns.as_deref().unwrap_or_default(), check);
    let annotators = annotators(section, &columns, check);
    DataConfig {
        train,
        eval: eval_sets(section.eval.as_deref().unwrap_or_default(), check),
        max_length: max_length(section, check),
        overlong: section.overlong.unwrap_or(Overlong::Drop),
        only_group: only_group(section, &columns, check),
        annotators,
        held_out: held_out(section, check),
        columns,
        preset: section.preset,
        pairing: section.pairs.map(Pairs::pairing),
        stream: stream(section, check),
        stream_check: section.stream_check.unwrap_or_default(),
        strings: section.strings.unwrap_or(Strings::Auto),
        special_text: section.special_text.unwrap_or(SpecialText::Literal),
    }
}

/// A vote has one annotator, and nothing is said of all votes beside it.
fn annotators(section: &DataSection, columns: &[ColumnName], check: &mut Check) -> Annotators {
    let annotators = section.annotators.unwrap_or_default();
    let is_of_all = |name: &&ColumnName| ["group", "votes", "verdict", "tie"].contains(&name.role.as_str());
    if let (Annotators::Each, Some(name)) = (annotators, columns.iter().find(is_of_all)) {
        let text = format!(
            "is `each`, which makes every row one annotator's vote, and `data.columns` names a column for {:?} beside it; \
             remove one of them",
            name.role
        );
        check.problem("data.annotators", text);
    }
    annotators
}

fn only_group(section: &DataSection, columns: &[ColumnName], check: &mut Check) -> Option<String> {
    let group = check.text("data.only_group", section.only_group.as_ref());
    let has_groups =
        section.annotators == Some(Annotators::Each) || columns.iter().any(|name| name.role == "group");
    if group.is_some() && !has_groups {
        let text = "is set, but no column of groups is named; add `group` to `data.columns`, or set `data.annotators` to `each`";
        check.problem("data.only_group", text.to_owned());
    }
    group
}

fn held_out(section: &DataSection, check: &mut Check) -> Option<HeldOut> {
    let has_sets = section.eval.as_ref().is_some_and(|sets| !sets.is_empty());
    check.exclusive(("data.heldout", section.heldout.is_some()), ("data.eval", has_sets));
    if section.heldout.is_none() && section.heldout_seed.is_some() {
        let text = "is set, but nothing is drawn; set `data.heldout` or remove it";
        check.problem("data.heldout_seed", text.to_owned());
    }
    let is_share = |share| 0.0 < share && share < 1.0;
    let share = section.heldout?;
    let share = check.number("data.heldout", Some(share), share, "a share above 0 and below 1", is_share);
    Some(HeldOut::new(share, u64::from(section.heldout_seed.unwrap_or(SEED))))
}

/// Rows of a window. A share of the prompts is drawn, and a list made of neighbours, when all rows are there.
fn stream(section: &DataSection, check: &mut Check) -> Option<usize> {
    if section.stream != Some(true) {
        let of_streams = [
            ("data.stream_buffer", section.stream_buffer.is_some()),
            ("data.stream_check", section.stream_check.is_some()),
        ];
        for (key, _) in of_streams.iter().filter(|(_, is_set)| *is_set) {
            let text = "is set, but all rows are read first; set `data.stream` or remove it";
            check.problem(key, text.to_owned());
        }
        return None;
    }
    if section.heldout.is_some() {
        let text = "is set beside `data.stream`: a share of all prompts is known when all were read; give held-out rows in \
                    `data.eval`";
        check.problem("data.heldout", text.to_owned());
    }
    if section.preset == Some(Preset::Helpsteer) {
        let text = "is `helpsteer` beside `data.stream`: its lists are made of rows that follow each other; read it as a whole";
        check.problem("data.preset", text.to_owned());
    }
    Some(check.count("data.stream_buffer", section.stream_buffer, 8192, 1))
}

/// A sequence of one token predicts nothing.
fn max_length(section: &DataSection, check: &mut Check) -> usize {
    match section.max_length {
        Some(0) => 0,
        length => check.count("data.max_length", length, 1024, 2),
    }
}

/// Names every set where there are several.
fn eval_sets(sets: &[EvalSet], check: &mut Check) -> Vec<EvalSet> {
    let is_several = sets.len() > 1;
    let mut names = BTreeSet::new();
    for set in sets.iter().filter(|set| is_several || set.name.is_some()) {
        let name = set.name_or_stem();
        if !is_name(name) {
            let text = format!("has a set named {name:?}; expected letters, digits, `_` and `-`: NAME=PATH");
            check.problem("data.eval", text);
        }
        if !names.insert(name) {
            check.problem("data.eval", format!("has two sets named {name:?}; name them apart: NAME=PATH"));
        }
    }
    if sets.iter().any(|set| set.source.trim().is_empty()) {
        check.problem("data.eval", "has an empty path; remove it".to_owned());
    }
    // A table of a run file comes back in the order of its names, so they are put in that order here.
    let mut sets = sets.to_vec();
    if is_several {
        for set in &mut sets {
            set.name = Some(set.name_or_stem().to_owned());
        }
        sets.sort_by(|a, b| a.name.cmp(&b.name));
    }
    sets
}

fn columns(names: &[ColumnName], check: &mut Check) -> Vec<ColumnName> {
    let mut roles = BTreeSet::new();
    for ColumnName { role, column } in names {
        if !COLUMN_ROLES.contains(&role.as_str()) {
            let near = nearest(role, COLUMN_ROLES.iter().copied());
            check.problem("data.columns", format!("has no role {role:?}; {near}"));
        }
        if !roles.insert(role) {
            check.problem("data.columns", format!("names the column of {role:?} twice; remove one"));
        }
        if column.is_empty() {
            check.problem("data.columns", format!("has an empty name for {role:?}; name a column"));
        }
    }
    let mut names = names.to_vec();
    names.sort_by(|a, b| a.role.cmp(&b.role));
    names
}
