//! Rows as a user names them: files or hub data sets, read and tokenised, with an account of every row.

use std::path::PathBuf;

use anyhow::{Result, bail};
use dpo_data::{
    ColumnNames, DataReport, EncodeConfig, Overlong, Purpose, SourceConfig, SpecialText, Strings,
    TextEncoder, TokenTree, encode_all, read_examples,
};
use dpo_model::DecoderConfig;

use crate::{
    hub::Hub,
    run_file::{
        choices,
        config::{DataConfig, Loss},
        values::ColumnName,
    },
    train::note,
};

/// Rows of one set, ready for batches.
pub(crate) struct LoadedData {
    /// The rows that are left.
    pub(crate) trees: Vec<TokenTree>,
    /// What became of all of them.
    pub(crate) report: DataReport,
}

/// How rows are read, whatever set they are of.
pub(crate) struct DataReader<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) encoder: &'a TextEncoder,
    pub(crate) source: SourceConfig,
    pub(crate) encode: EncodeConfig,
}

impl<'a> DataReader<'a> {
    /// As a run file says it.
    pub(crate) fn new(hub: &'a Hub, encoder: &'a TextEncoder, config: &DataConfig, loss: &Loss) -> Self {
        let purpose = match loss {
            Loss::Sft => Purpose::Demonstrations,
            _ => Purpose::Pairs,
        };
        let source = SourceConfig {
            columns: columns(&config.columns),
            strings: strings(config.strings),
            purpose,
            ..SourceConfig::default()
        };
        let encode = EncodeConfig {
            max_length: config.max_length,
            overlong: overlong(config.overlong),
            special_text: special_text(config.special_text),
        };
        Self { hub, encoder, source, encode }
    }

    /// No longer texts than the model can compute at all: positions that are learnt end somewhere.
    #[must_use]
    pub(crate) fn within(mut self, model: &DecoderConfig) -> Self {
        if let Some(longest) = model.longest_text()
            && (self.encode.max_length == 0 || self.encode.max_length > longest)
        {
            note(&format!("max_length {longest}: this model has learnt positions for so many tokens"));
            self.encode.max_length = longest;
        }
        self
    }

    /// Reads and tokenises a set; `split` is the one to take of a hub data set. A set without rows is an error.
    pub(crate) fn load(&self, names: &[String], split: &str) -> Result<LoadedData> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for name in names {
            paths.extend(self.hub.dataset(name, split)?);
        }
        let mut report = DataReport::default();
        let examples = read_examples(&paths, &self.source, &mut report)?;
        let trees = encode_all(self.encoder, &examples, &self.encode.init()?, &mut report)?;
        if trees.is_empty() {
            bail!("{}: no row is left to use:\n  {}", names.join(", "), report.lines().join("\n  "));
        }
        Ok(LoadedData { trees, report })
    }
}

fn columns(names: &[ColumnName]) -> ColumnNames {
    let of = |role: &str| names.iter().find(|name| name.role == role).map(|name| name.column.clone());
    ColumnNames {
        prompt: of("prompt"),
        chosen: of("chosen"),
        rejected: of("rejected"),
        completion: of("completion"),
        system: of("system"),
        weight: of("weight"),
    }
}

fn strings(choice: choices::Strings) -> Strings {
    match choice {
        choices::Strings::Auto => Strings::Auto,
        choices::Strings::Plain => Strings::Plain,
        choices::Strings::Messages => Strings::Messages,
    }
}

fn overlong(choice: choices::Overlong) -> Overlong {
    match choice {
        choices::Overlong::Refuse => Overlong::Refuse,
        choices::Overlong::Drop => Overlong::Drop,
        choices::Overlong::Truncate => Overlong::Truncate,
        choices::Overlong::KeepStart => Overlong::KeepStart,
    }
}

fn special_text(choice: choices::SpecialText) -> SpecialText {
    match choice {
        choices::SpecialText::Literal => SpecialText::Literal,
        choices::SpecialText::Parse => SpecialText::Parse,
    }
}
