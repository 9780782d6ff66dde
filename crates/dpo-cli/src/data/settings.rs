//! From what a run file says of rows to what their readers are told.

use dpo_data::{ColumnNames, Overlong, SourceConfig, SpecialText, Strings};
use dpo_model::DecoderConfig;

use crate::{
    run_file::{choices, config::DataConfig, values::ColumnName},
    train::note,
};

/// Says so where it is the model that limits the length of texts.
pub(crate) fn note_max_length(config: &DataConfig, model: &DecoderConfig) {
    let max_length = max_length(config, model);
    if max_length != config.max_length {
        note(&format!("max_length {max_length}: this model has learnt positions for so many tokens"));
    }
}

/// Tokens of the longest text, 0 for no limit: positions that are learnt end somewhere.
pub(super) fn max_length(config: &DataConfig, model: &DecoderConfig) -> usize {
    match model.longest_text() {
        Some(longest) if config.max_length == 0 || config.max_length > longest => longest,
        _ => config.max_length,
    }
}

/// How the rows of a run file are read from their files.
pub(crate) fn source_config(config: &DataConfig) -> SourceConfig {
    SourceConfig {
        columns: columns(&config.columns),
        preset: config.preset.map(choices::Preset::of_data),
        annotators: config.annotators.of_data(),
        strings: strings(config.strings),
        ..SourceConfig::default()
    }
}

pub(crate) fn columns(names: &[ColumnName]) -> ColumnNames {
    let of = |role: &str| names.iter().find(|name| name.role == role).map(|name| name.column.clone());
    ColumnNames {
        prompt: of("prompt"),
        chosen: of("chosen"),
        rejected: of("rejected"),
        completion: of("completion"),
        system: of("system"),
        weight: of("weight"),
        group: of("group"),
        score_chosen: of("score_chosen"),
        score_rejected: of("score_rejected"),
        margin: of("margin"),
        votes: of("votes"),
        annotators: of("annotators"),
        tie: of("tie"),
        label: of("label"),
        first: of("first"),
        second: of("second"),
        verdict: of("verdict"),
        completions: of("completions"),
        ranks: of("ranks"),
        scores: of("scores"),
    }
}

pub(crate) fn strings(choice: choices::Strings) -> Strings {
    match choice {
        choices::Strings::Auto => Strings::Auto,
        choices::Strings::Plain => Strings::Plain,
        choices::Strings::Messages => Strings::Messages,
    }
}

pub(super) fn overlong(choice: choices::Overlong) -> Overlong {
    match choice {
        choices::Overlong::Refuse => Overlong::Refuse,
        choices::Overlong::Drop => Overlong::Drop,
        choices::Overlong::Truncate => Overlong::Truncate,
        choices::Overlong::KeepStart => Overlong::KeepStart,
    }
}

pub(crate) fn special_text(choice: choices::SpecialText) -> SpecialText {
    match choice {
        choices::SpecialText::Literal => SpecialText::Literal,
        choices::SpecialText::Parse => SpecialText::Parse,
    }
}
