//! The list of all keys with what is known of each, taken from the declarations in `sections`.

use clap::{Arg, Args, Command};

use super::{
    RunFile,
    choices::LossKind,
    sections::{
        DataSection, EvalSection, LoraSection, LossSection, ModelSection, ReferenceSection, RunSection,
        TrainSection,
    },
};

/// A key of a run file.
pub(super) struct Key {
    /// Its table.
    pub(super) section: &'static str,
    /// Its name there.
    pub(super) name: String,
    /// What clap calls it: its name, behind its table's where another table has that name too.
    pub(super) id: String,
    /// Its flag, without dashes.
    pub(super) flag: String,
    /// What it means, in sentences without a final full stop at the end of the first.
    pub(super) help: String,
    /// The words it takes and what each means, where it offers a choice.
    pub(super) choices: Vec<(String, String)>,
}

impl Key {
    /// `section.name`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

/// Adds the flags of one table to a command.
type Augment = fn(Command) -> Command;

/// The names of the tables, in the order of the documentation, each with its keys.
const SECTIONS: [(&str, Augment); 8] = [
    ("model", ModelSection::augment_args),
    ("data", DataSection::augment_args),
    ("loss", LossSection::augment_args),
    ("reference", ReferenceSection::augment_args),
    ("lora", LoraSection::augment_args),
    ("train", TrainSection::augment_args),
    ("eval", EvalSection::augment_args),
    ("run", RunSection::augment_args),
];

/// The names of the tables of a run file.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(section, _)| *section)
}

/// Every key, in the order of the documentation.
pub(super) fn keys() -> Vec<Key> {
    let of_section = |&(section, augment): &(&'static str, Augment)| {
        let command = augment(Command::new(section));
        command.get_arguments().map(|arg| key(section, arg)).collect::<Vec<_>>()
    };
    SECTIONS.iter().flat_map(of_section).collect()
}

fn key(section: &'static str, arg: &Arg) -> Key {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    // `true` and `false` explain themselves.
    let choice = |value: &clap::builder::PossibleValue| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        (!["true", "false"].contains(&value.get_name())).then(|| (value.get_name().to_owned(), help))
    };
    let id = arg.get_id().to_string();
    let of_section = id.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'));
    Key {
        section,
        name: of_section.unwrap_or(&id).to_owned(),
        id,
        flag: arg.get_long().unwrap_or_default().to_owned(),
        help,
        choices: arg.get_possible_values().iter().filter_map(choice).collect(),
    }
}

/// The value of every key that has one when nobody sets anything, by section.
pub(super) fn defaults() -> toml::Table {
    let mut defaults = resolved(None, None);
    // Parameters of a loss have defaults too, but not with the default loss; settings of an adapter with a rank.
    let losses = LossKind::ALL.into_iter().map(|kind| resolved(Some(kind), None));
    for (section, keys) in losses.chain([resolved(None, Some(16))]).flatten() {
        let known = defaults.entry(section).or_insert_with(|| toml::Table::new().into());
        if let (Some(known), toml::Value::Table(keys)) = (known.as_table_mut(), keys) {
            for (key, value) in keys {
                known.entry(key).or_insert(value);
            }
        }
    }
    defaults
}

/// What a file that only names a model and data comes to, less what that file said.
fn resolved(kind: Option<LossKind>, rank: Option<u32>) -> toml::Table {
    let mut file = RunFile::default();
    file.model.base = Some("model".to_owned());
    file.data.train = Some(vec!["data".to_owned()]);
    file.loss.kind = kind;
    file.lora.rank = rank;
    let mut config = file.init().expect("the defaults are valid").to_run_file();
    config.model.base = None;
    config.data.train = None;
    config.run.out = None;
    // It follows from the kind.
    config.loss.ties = None;
    (config.lora.rank, config.lora.alpha) = (None, None);
    config.to_table()
}

/// A sentence that names the known word closest to `found`, or all of them when none is close.
pub(super) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let distance = |word: &&&str| strsim::damerau_levenshtein(found, word);
    // Long words of a hostile file are cut by the caller; here every word is short.
    match known.iter().min_by_key(distance) {
        Some(word) if strsim::jaro_winkler(found, word) > 0.75 => format!("did you mean `{word}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

/// A value as TOML writes it, small numbers with an exponent.
pub(super) fn in_toml(value: &toml::Value) -> String {
    match value {
        toml::Value::Float(x) if *x != 0.0 && x.abs() < 1e-3 => format!("{x:e}"),
        other => other.to_string(),
    }
}
