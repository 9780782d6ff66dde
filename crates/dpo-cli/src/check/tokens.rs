//! What shows once the rows are tokens of a model.

use anyhow::Result;
use dpo_data::{
    DataReport, EncodeConfig, Findings, LengthBias, PreferenceExample, SpecialText, TokenTree,
    check::{Truncation, token_faults, token_length_bias, truncation},
    encode_all,
};
use serde_json::{Map, Value, json};

use super::text::length_sentence;
use crate::{
    model_source::ModelSource,
    report::{
        html::{count, percent},
        quantile, sorted,
    },
    table::aligned,
};

/// Limits that are tried; beyond the longest row there is nothing to cut.
const LIMITS: [usize; 7] = [128, 256, 512, 1024, 2048, 4096, 8192];

/// The rows as tokens, and what a limit on their length would cut.
pub(crate) struct TokenChecks {
    /// Encoded without a limit.
    pub(crate) trees: Vec<TokenTree>,
    /// By limit, up to the first that cuts nothing.
    pub(crate) truncation: Vec<Truncation>,
    pub(crate) length: Option<LengthBias>,
    /// Lengths of the rows: prompt and longest completion, ascending.
    pub(crate) lengths: Vec<f64>,
}

impl TokenChecks {
    /// Tokenises the rows; straddles and the like go into `report`, starts and ends into `findings`.
    pub(super) fn new(
        model: &ModelSource,
        examples: &[PreferenceExample],
        special_text: SpecialText,
        report: &mut DataReport,
        findings: &mut Findings,
    ) -> Result<Self> {
        let encoder = &model.encoder;
        let options = EncodeConfig { max_length: 0, special_text, ..EncodeConfig::default() }.init()?;
        let trees = encode_all(encoder, examples, &options, report)?;
        token_faults(&trees, encoder, &model.stop_ids(), findings);
        let mut truncation = truncation(&trees, encoder, &LIMITS)?;
        let n_used =
            truncation.iter().position(|limit| limit.rows == 0).map_or(truncation.len(), |at| at + 1);
        truncation.truncate(n_used);
        let lengths = sorted(trees.iter().map(|tree| tree.max_length() as f64));
        Ok(Self { truncation, length: token_length_bias(&trees), lengths, trees })
    }

    /// Tokens of a text, the share `q` of which is no longer.
    pub(crate) fn length_at(&self, q: f64) -> f64 {
        if self.lengths.is_empty() { 0.0 } else { quantile(&self.lengths, q) }
    }

    pub(super) fn json(&self) -> Map<String, Value> {
        let at = |q| self.length_at(q);
        let mut object = Map::new();
        object.insert("truncation".to_owned(), json!(self.truncation));
        object.insert("length_bias_tokens".to_owned(), json!(self.length));
        let lengths = json!({ "median": at(0.5), "q90": at(0.9), "q99": at(0.99), "longest": at(1.0) });
        object.insert("tokens".to_owned(), lengths);
        object
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(length) = &self.length {
            text += &format!("           {}\n", length_sentence(length));
        }
        let at = |q| count(self.length_at(q));
        text += &format!(
            "tokens     prompt and longer completion: median {}, 90 % within {}, 99 % within {}, longest {}\n",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0),
        );
        format!("{text}\n{}", aligned(&self.truncation_table()))
    }

    /// With titles; a row a limit.
    pub(crate) fn truncation_table(&self) -> Vec<Vec<String>> {
        let titles =
            ["max_length", "rows cut", "", "prompts cut", "completions cut", "completion tokens lost"];
        let n_rows = self.trees.len().max(1) as f64;
        let row = |cut: &Truncation| {
            vec![
                cut.max_length.to_string(),
                cut.rows.to_string(),
                percent(cut.rows as f64 / n_rows),
                cut.prompts_cut.to_string(),
                cut.completions_cut.to_string(),
                cut.completion_tokens_cut.to_string(),
            ]
        };
        std::iter::once(titles.map(str::to_owned).to_vec()).chain(self.truncation.iter().map(row)).collect()
    }
}
