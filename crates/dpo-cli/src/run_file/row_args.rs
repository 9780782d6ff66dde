//! How rows are read, for commands that have no run file.

use clap::Args;

use super::{
    InvalidRunFile,
    check::Check,
    choices::{Annotators, Preset, SpecialText, Strings},
    config::DataConfig,
    problem::verdict,
    rows,
    sections::DataSection,
    values::ColumnName,
};

/// Flags of `dpo train` that say how rows are meant; they mean the same everywhere.
#[derive(Debug, Clone, Args)]
pub(crate) struct RowArgs {
    /// The column of a role that has another name than usual, `chosen=winner`, `group=annotator`; once for each
    #[arg(long = "column", alias = "columns", value_name = "ROLE=NAME")]
    columns: Vec<ColumnName>,
    /// What becomes of the votes of several annotators, who have a column each
    #[arg(long, value_enum, default_value_t = Annotators::Together)]
    pub(crate) annotators: Annotators,
    /// The well-known set that the rows are of, where their columns alone do not say how they are meant; most sets need none
    #[arg(long, value_name = "SET")]
    preset: Option<Preset>,
    /// What strings are read as
    #[arg(long, value_enum, default_value_t = Strings::Auto)]
    strings: Strings,
    /// What special tokens mean that are written out in a row
    #[arg(long, value_enum, default_value_t = SpecialText::Literal)]
    pub(crate) special_text: SpecialText,
}

impl RowArgs {
    /// What a run file says in `[data]` that says this of `files`, checked as that is; rows of `only_group` alone, if it is
    /// given.
    pub(crate) fn config(
        &self,
        files: &[String],
        only_group: Option<&String>,
    ) -> Result<DataConfig, InvalidRunFile> {
        let section = DataSection {
            train: Some(files.to_vec()),
            columns: Some(self.columns.clone()),
            annotators: Some(self.annotators),
            only_group: only_group.cloned(),
            preset: self.preset,
            strings: Some(self.strings),
            special_text: Some(self.special_text),
            ..DataSection::default()
        };
        let mut check = Check::default();
        let config = rows::data(&section, &mut check);
        verdict(config, check.problems)
    }
}
