//! The flags of `dpo train`: every key of a run file, and what belongs to one call only.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::{
    InvalidRunFile, RunConfig, RunFile,
    keys::{defaults, in_toml, keys},
    parse::{self, Parsed},
    problem::locate,
};

/// Flags of `dpo train`. A flag wins over the run file, the run file over the defaults.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TrainArgs {
    /// Run file to start from; `dpo config` prints one with every key
    #[arg(long, value_name = "RUN.TOML")]
    pub(crate) config: Option<PathBuf>,
    /// Check everything, show one row as the model sees it, estimate memory and time, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A flag for every key of the run file.
    #[command(flatten)]
    pub(crate) settings: Flags,
}

/// A run file given as flags; their help has the defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags(pub RunFile);

impl TrainArgs {
    /// What was written: the file of `--config`, if any, with the flags over it.
    pub(crate) fn run_file(&self) -> Result<RunFile, InvalidRunFile> {
        Ok(self.parsed()?.file.apply(&self.settings.0))
    }

    /// What is to be run: `beneath`, the file over it and the flags over both, checked.
    ///
    /// `beneath` takes the place of the defaults where it sets something; [`RunFile::default`] sets nothing.
    pub(crate) fn run_config(&self, beneath: &RunFile) -> Result<RunConfig, InvalidRunFile> {
        let Parsed { file, mut places } = self.parsed()?;
        let flags = self.settings.0.to_table();
        for key in keys() {
            if flags.get(key.section).is_some_and(|set| set.get(&key.name).is_some()) {
                places.insert(key.path(), format!("--{}", key.flag));
            }
        }
        let merged = beneath.apply(&file).apply(&self.settings.0);
        merged.init().map_err(|mut invalid| {
            locate(&mut invalid.problems, &places);
            invalid
        })
    }

    fn parsed(&self) -> Result<Parsed, InvalidRunFile> {
        self.config.as_deref().map_or_else(|| Ok(Parsed::default()), parse::read)
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        with_defaults(RunFile::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        with_defaults(RunFile::augment_args_for_update(command))
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        RunFile::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Says the default of each flag, which clap does not know: an absent flag must stay absent.
fn with_defaults(command: Command) -> Command {
    let mut shown_defaults = BTreeMap::new();
    let defaults = defaults();
    for key in keys() {
        let default = defaults.get(key.section).and_then(|keys| keys.get(&key.name));
        if let Some(default) = default.and_then(shown) {
            shown_defaults.insert(key.id, default);
        }
    }
    // `mut_arg` would move each flag to the end.
    command.mut_args(|arg| match shown_defaults.get(arg.get_id().as_str()) {
        Some(default) => with_default(arg, default),
        None => arg,
    })
}

fn with_default(arg: Arg, default: &str) -> Arg {
    let short = format!("{} [default: {default}]", arg.get_help().cloned().unwrap_or_default());
    match arg.get_long_help().map(|help| format!("{help}\n\n[default: {default}]")) {
        Some(long) => arg.help(short).long_help(long),
        None => arg.help(short),
    }
}

/// A value as a flag takes it; nothing for an empty list or table.
fn shown(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(word) => Some(word.clone()),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
        number => Some(in_toml(number)),
    }
}
