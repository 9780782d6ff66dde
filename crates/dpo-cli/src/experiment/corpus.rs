//! The corpus: reviews split into a training and a held-out part that share none.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::grammar::Review;

/// How many reviews, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CorpusConfig {
    /// Rows of `train.jsonl`.
    pub(crate) n_train: usize,
    /// Rows of `heldout.jsonl`.
    pub(crate) n_heldout: usize,
    /// Which reviews are drawn.
    pub(crate) seed: u64,
}

impl Default for CorpusConfig {
    fn default() -> Self {
        Self { n_train: 20_000, n_heldout: 1_000, seed: 20_230_529 }
    }
}

/// A row of the corpus: what `loss = "sft"` reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The first words.
    pub(crate) prompt: String,
    /// The rest, beginning with a space.
    pub(crate) completion: String,
}

/// Distinct reviews in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Corpus {
    /// What the model and its tokenizer are trained on.
    pub(crate) train: Vec<Review>,
    /// What they never see.
    pub(crate) heldout: Vec<Review>,
}

impl Corpus {
    /// The corpus of `config`: reviews in the generator's order, each text once, the held-out ones first.
    pub(crate) fn generate(config: CorpusConfig) -> Self {
        let mut seen = HashSet::new();
        let mut fresh =
            (0..).map(|idx| Review::generate(config.seed, idx)).filter(|review| seen.insert(review.text()));
        let heldout = fresh.by_ref().take(config.n_heldout).collect();
        Self { train: fresh.take(config.n_train).collect(), heldout }
    }

    /// Writes `train.jsonl` and `heldout.jsonl` into `folder`, which is made when it is absent.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        write_rows(&folder.join("train.jsonl"), self.train.iter().map(row))?;
        write_rows(&folder.join("heldout.jsonl"), self.heldout.iter().map(row))
    }
}

/// The first `n` distinct prompts of the stream `seed`: give it a seed of its own, and they are drawn afresh.
pub(crate) fn prompts(seed: u64, n: usize) -> Vec<String> {
    let mut seen = HashSet::new();
    let most = n as u64 * 20 + 1_000; // There are some 15,000 prompts; asking for more than that ends all the same.
    let drawn = (0..most).map(|idx| Review::generate(seed, idx).prompt);
    drawn.filter(|prompt| seen.insert(prompt.clone())).take(n).collect()
}

/// Writes one JSON object a line; the folder is made when it is absent.
pub(crate) fn write_rows(path: &Path, rows: impl Iterator<Item = impl Serialize>) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        for row in rows {
            serde_json::to_writer(&mut file, &row)?;
            file.write_all(b"\n")?;
        }
        Ok(file.flush()?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn row(review: &Review) -> Row {
    Row { prompt: review.prompt.clone(), completion: review.completion.clone() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SMALL: CorpusConfig = CorpusConfig { n_train: 3_000, n_heldout: 500, seed: 5 };

    #[test]
    fn the_parts_share_no_review() {
        let corpus = Corpus::generate(SMALL);
        let train: HashSet<String> = corpus.train.iter().map(Review::text).collect();
        assert_eq!((corpus.train.len(), train.len(), corpus.heldout.len()), (3_000, 3_000, 500));
        assert!(corpus.heldout.iter().all(|review| !train.contains(&review.text())));
    }

    #[test]
    fn files_hold_a_row_a_line_and_are_the_same_twice() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| {
            Corpus::generate(SMALL).write(&folder.path().join(name)).unwrap();
            std::fs::read_to_string(folder.path().join(name).join("train.jsonl")).unwrap()
        };
        let (once, twice) = (read("a"), read("b"));
        assert_eq!(once, twice);
        let rows: Vec<Row> = once.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(rows.len() == 3_000 && rows.iter().all(|row| row.completion.starts_with(' ')));
    }

    #[test]
    fn prompts_are_distinct_and_end() {
        let prompts = prompts(7, 1_000);
        assert_eq!(prompts.iter().collect::<HashSet<_>>().len(), 1_000);
    }
}
