//! The flags of `dpo round`: those of `dpo train`, less what follows from the last round.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::run_file::{InvalidRunFile, RunConfig, RunFile, TrainArgs};

/// What a round is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReferenceChoice {
    /// The model that it starts from.
    Previous,
    /// What the first round started from.
    Base,
}

impl ReferenceChoice {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Previous => "previous",
            Self::Base => "base",
        }
    }
}

/// Flags over the settings of the last round.
#[derive(Debug, Clone, Default)]
pub(super) struct RoundFlags(TrainArgs);

impl RoundFlags {
    pub(super) fn is_dry_run(&self) -> bool {
        self.0.dry_run
    }

    pub(super) fn reference(&self) -> ReferenceChoice {
        match self.0.settings.0.model.reference.as_deref() {
            Some("base") => ReferenceChoice::Base,
            _ => ReferenceChoice::Previous,
        }
    }

    /// What was written: the file of `--config`, if any, with the flags over it.
    pub(super) fn run_file(&self) -> Result<RunFile, InvalidRunFile> {
        self.0.run_file()
    }

    /// The flags, and the file of `--config`, over `beneath`.
    pub(super) fn run_config(&self, beneath: &RunFile) -> Result<RunConfig, InvalidRunFile> {
        let mut args = self.0.clone();
        args.settings.0.model.reference = None;
        args.run_config(beneath)
    }
}

/// Which model it is about follows from the last round.
fn of_round(command: Command) -> Command {
    command.mut_args(|arg: Arg| match arg.get_id().as_str() {
        "base" | "adapter" => arg.hide(true).value_parser(refused),
        "reference" => arg
            .value_name("previous|base")
            .value_parser(["previous", "base"])
            .help("What the model is held against: the one it starts from, or the base of the first round")
            .long_help(None),
        _ => arg,
    })
}

/// `--model` and `--adapter`.
fn refused(_: &str) -> Result<String, String> {
    Err("a round goes on with the model of the last one, which --from names".to_owned())
}

impl Args for RoundFlags {
    fn augment_args(command: Command) -> Command {
        of_round(TrainArgs::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        of_round(TrainArgs::augment_args_for_update(command))
    }
}

impl FromArgMatches for RoundFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        TrainArgs::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
