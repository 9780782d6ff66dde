//! What the model says itself, against the completions that it is to learn from.

use anyhow::Result;
use dpo_data::{FileReport, Label, Relation, RowId, TokenTree};
use dpo_model::{Decoder, GenerateConfig, SampleConfig, Sampling, generate::Next};
use dpo_train::{INFERENCE_TOKENS, token_logps_in_parts};
use serde_json::{Value, json};

use crate::{
    report::{
        html::{percent, signed},
        quantile, sorted,
    },
    score::not_finite,
    train::note,
};

/// Most tokens of an answer; of the completions the first as many are compared.
pub(super) const MOST_TOKENS: usize = 64;

/// Answers of the model to some prompts, beside the best completions of these rows.
pub(crate) struct OwnAnswers {
    /// Rows with a completion to learn.
    pub(crate) n_rows: usize,
    /// The rows that were asked, those whose completion is the least likely beside the answer first.
    pub(crate) rows: Vec<Beside>,
}

/// A completion beside the model's answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Beside {
    pub(crate) row: RowId,
    /// Mean log-prob of the completion's first tokens, in nats.
    pub(crate) completion: f64,
    /// That of the answer's.
    pub(crate) answer: f64,
}

impl Beside {
    /// How much less likely a token of the completion is, in nats.
    pub(crate) fn gap(&self) -> f64 {
        self.answer - self.completion
    }
}

impl OwnAnswers {
    /// Asks `most` of the prompts, evenly spread, each for one answer drawn from the model's own distribution with a fixed seed.
    pub(super) fn new(
        model: &Decoder,
        trees: &[TokenTree],
        most: usize,
        stop_ids: Vec<u32>,
        files: &[FileReport],
    ) -> Result<Self> {
        let longest = model.config().longest_text().unwrap_or(usize::MAX);
        let is_asked = |tree: &&TokenTree| {
            is_to_learn(tree) && !tree.prompt.is_empty() && tree.prompt.len() + MOST_TOKENS <= longest
        };
        let all: Vec<&TokenTree> = trees.iter().filter(is_asked).collect();
        let n = all.len().min(most);
        let asked: Vec<&TokenTree> = (0..n).map(|idx| all[idx * all.len() / n]).collect();
        if asked.is_empty() {
            return Ok(Self { n_rows: all.len(), rows: Vec::new() });
        }
        note(&format!("the model answers {n} of the prompts itself, in at most {MOST_TOKENS} tokens"));
        let config = GenerateConfig {
            max_new_tokens: MOST_TOKENS,
            sampling: Sampling::Sample(SampleConfig::default()),
            stop_ids,
            ..GenerateConfig::default()
        };
        let prompts: Vec<Vec<u32>> = asked.iter().map(|tree| tree.prompt.clone()).collect();
        let answers = model.generate(&prompts, &config, |_| Next::Continue)?;
        let both = asked.iter().zip(answers).map(|(tree, answer)| TokenTree {
            completions: vec![tree.completions[0].iter().take(MOST_TOKENS).copied().collect(), answer.tokens],
            relation: Relation::Pair,
            ..(*tree).clone()
        });
        let both: Vec<TokenTree> = both.collect();
        let logps = token_logps_in_parts(model, &both.iter().collect::<Vec<_>>(), INFERENCE_TOKENS);
        let mean =
            |logps: &[f32]| logps.iter().map(|x| f64::from(*x)).sum::<f64>() / logps.len().max(1) as f64;
        let beside = |(tree, said): (&TokenTree, &Vec<Vec<f32>>)| Beside {
            row: tree.row,
            completion: mean(&said[0]),
            answer: mean(&said[1]),
        };
        let mut rows: Vec<Beside> = both.iter().zip(&logps).map(beside).collect();
        if let Some(bad) = rows.iter().find(|row| !row.gap().is_finite()) {
            return Err(not_finite(files, bad.row, "the model"));
        }
        rows.sort_by(|a, b| b.gap().total_cmp(&a.gap()));
        Ok(Self { n_rows: all.len(), rows })
    }

    /// Rows whose completion is less likely than the answer.
    pub(crate) fn less_likely(&self) -> usize {
        self.rows.iter().filter(|row| row.gap() > 0.0).count()
    }

    pub(crate) fn share(&self) -> f64 {
        self.less_likely() as f64 / self.rows.len().max(1) as f64
    }

    /// Median of the gaps; 0 without rows.
    pub(crate) fn median_gap(&self) -> f64 {
        let gaps = sorted(self.rows.iter().map(Beside::gap));
        if gaps.is_empty() { 0.0 } else { quantile(&gaps, 0.5) }
    }

    pub(super) fn json(&self) -> Value {
        let row = |beside: &Beside| {
            json!({
                "file": beside.row.file, "row": beside.row.row,
                "completion": beside.completion, "own": beside.answer, "gap": beside.gap(),
            })
        };
        json!({
            "asked": self.rows.len(), "of": self.n_rows, "most_tokens": MOST_TOKENS,
            "count": self.less_likely(), "share": self.share(), "median_gap": self.median_gap(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// One sentence.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "asked for an answer of its own to {} of {} prompts (at most {MOST_TOKENS} tokens), it finds {} of the chosen \
             completions less likely a token than that ({}); the median is {} nats a token",
            self.rows.len(),
            self.n_rows,
            self.less_likely(),
            percent(self.share()),
            signed(-self.median_gap()),
        )
    }
}

/// Whether the first completion is one to learn.
fn is_to_learn(tree: &TokenTree) -> bool {
    match &tree.relation {
        Relation::Label(label) => *label == Label::Desirable,
        Relation::Demonstration => true,
        relation => !relation.preferences().is_empty(),
    }
}
