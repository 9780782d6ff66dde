//! Which rows of its files a set takes.

use dpo_data::Cause;

use crate::run_file::config::DataConfig;

/// Which rows of its files a set takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Those of this group alone.
    pub(crate) group: Option<String>,
    pub(super) part: Part,
}

/// The side of a [`HeldOut`] share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// All rows: no share is held out of these files.
    #[default]
    Whole,
    /// Those that are left to train on.
    Training,
    /// Those that are held out.
    HeldOut,
}

impl Selection {
    /// The rows to train on.
    pub(crate) fn training(config: &DataConfig) -> Self {
        Self::of(config, Part::Training)
    }

    /// The rows to measure on: of sets of their own, or of the training rows' files.
    pub(crate) fn held_out(config: &DataConfig) -> Self {
        Self::of(config, Part::HeldOut)
    }

    /// The same of all groups.
    #[must_use]
    pub(crate) fn of_all_groups(self) -> Self {
        Self { group: None, ..self }
    }

    /// `part` of a share, if there is one.
    fn of(config: &DataConfig, part: Part) -> Self {
        let part = if config.held_out.is_some() { part } else { Part::Whole };
        Self { group: config.only_group.clone(), part }
    }

    /// Why a row of this group is not taken.
    pub(crate) fn refusal(&self, group: Option<&str>, is_held_out: bool) -> Option<Cause> {
        match (self.group.as_deref(), group) {
            (Some(_), None) => return Some(Cause::NoGroup),
            (Some(wanted), Some(found)) if wanted != found => return Some(Cause::OtherGroup),
            _ => {}
        }
        match self.part {
            Part::Training if is_held_out => Some(Cause::HeldOut),
            Part::HeldOut if !is_held_out => Some(Cause::NotHeldOut),
            _ => None,
        }
    }
}
