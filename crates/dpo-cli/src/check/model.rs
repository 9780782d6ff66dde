//! What a model says of the pairs before it is trained on them.

use anyhow::Result;
use dpo_data::{FileReport, RowId, TokenTree, micro_batches};
use dpo_model::Decoder;
use dpo_train::{INFERENCE_TOKENS, SidesSaid, said_of_sides};
use serde_json::{Map, Value, json};

use crate::{
    report::{
        html::{percent, signed},
        quantile, sorted,
    },
    score::not_finite,
    train::Bar,
};

/// Cosine from which on two sides are nearly the same to the model.
const NEARLY_THE_SAME: f64 = 0.99;
/// Robust standard deviations below the median from which on a margin is a surprise.
const SURPRISING: f64 = 3.0;
/// A normal distribution's standard deviation in median absolute deviations.
const DEVIATIONS: f64 = 1.4826;

/// The model on pairs.
pub(crate) struct ModelChecks {
    /// Pairs that it read, and pairs that there are.
    pub(crate) n_read: usize,
    pub(crate) n_pairs: usize,
    /// Margin of each, in nats.
    pub(crate) margins: Vec<f64>,
    /// The rows whose margin a token lies far below the others', the lowest first.
    pub(crate) surprises: Vec<(RowId, SidesSaid)>,
    /// The rows whose sides are nearly the same to it, the closest first.
    pub(crate) displacement: Vec<(RowId, SidesSaid)>,
}

impl ModelChecks {
    /// Reads `most` of the pairs, of which one side is preferred, evenly spread over all that are no longer than `longest` tokens, if the model has such a
    /// limit.
    pub(super) fn new(
        model: &Decoder,
        trees: &[TokenTree],
        most: usize,
        longest: Option<usize>,
        files: &[FileReport],
    ) -> Result<Self> {
        let is_read = |tree: &&TokenTree| {
            let is_pair = tree.completions.len() == 2 && !tree.relation.preferences().is_empty();
            is_pair && longest.is_none_or(|longest| tree.max_length() <= longest)
        };
        let pairs: Vec<&TokenTree> = trees.iter().filter(is_read).collect();
        let n_read = pairs.len().min(most);
        let read: Vec<&TokenTree> = (0..n_read).map(|at| pairs[at * pairs.len() / n_read]).collect();
        let said = said(model, &read);
        if let Some(at) = said.iter().position(|said| !said.margin().is_finite() || said.similarity.is_nan())
        {
            return Err(not_finite(files, read[at].row, "the model"));
        }
        let rows: Vec<(RowId, SidesSaid)> = read.iter().map(|tree| tree.row).zip(said).collect();
        let margins = rows.iter().map(|(_, said)| said.margin()).collect();
        let mut surprises = surprises(&rows);
        surprises.sort_by(|a, b| a.1.margin_per_token().total_cmp(&b.1.margin_per_token()));
        let is_close = |row: &&(RowId, SidesSaid)| row.1.similarity >= NEARLY_THE_SAME;
        let mut displacement: Vec<(RowId, SidesSaid)> = rows.iter().filter(is_close).copied().collect();
        displacement.sort_by(|a, b| b.1.similarity.total_cmp(&a.1.similarity));
        Ok(Self { n_read, n_pairs: pairs.len(), margins, surprises, displacement })
    }

    /// The share of the pairs whose chosen side it finds likelier already.
    pub(crate) fn already_right(&self) -> f64 {
        self.margins.iter().filter(|margin| **margin > 0.0).count() as f64 / self.n_read.max(1) as f64
    }

    /// These rows as a share of those that were read.
    pub(super) fn share_of(&self, rows: &[(RowId, SidesSaid)]) -> f64 {
        rows.len() as f64 / self.n_read.max(1) as f64
    }

    pub(super) fn json(&self) -> Map<String, Value> {
        let margins = sorted(self.margins.iter().copied());
        let at = |q: f64| if margins.is_empty() { 0.0 } else { quantile(&margins, q) };
        let mut object = Map::new();
        let quantiles = json!({ "q10": at(0.1), "median": at(0.5), "q90": at(0.9) });
        let right = self.margins.iter().filter(|margin| **margin > 0.0).count();
        object.insert("model_pairs_read".to_owned(), json!(self.n_read));
        object.insert("reference_margins".to_owned(), quantiles);
        object.insert("already_right".to_owned(), json!({ "count": right, "share": self.already_right() }));
        object.insert("surprises".to_owned(), rows_json(&self.surprises));
        object.insert("displacement_risk".to_owned(), rows_json(&self.displacement));
        object
    }

    pub(super) fn text(&self) -> String {
        let margins = sorted(self.margins.iter().copied());
        if margins.is_empty() {
            return String::new();
        }
        let at = |q| signed(quantile(&margins, q));
        let named = |rows: &[(RowId, SidesSaid)]| {
            let mut names: Vec<String> = rows.iter().take(8).map(|(row, _)| row.row.to_string()).collect();
            names.extend((rows.len() > 8).then(|| "…".to_owned()));
            if names.is_empty() { String::new() } else { format!(" (rows {})", names.join(", ")) }
        };
        format!(
            "\nmodel      read {} of {} pairs; margin before training: median {} nats, a tenth below {}, a tenth above {}\n\
             \x20          right already {}: the chosen side is likelier\n\
             \x20          surprised by {}: the rejected side is much likelier than elsewhere; mislabelled?{}\n\
             \x20          nearly the same {}: both sides are alike to the model, and the chosen one may fall with the \
             rejected one{}\n",
            self.n_read,
            self.n_pairs,
            at(0.5),
            at(0.1),
            at(0.9),
            percent(self.already_right()),
            self.surprises.len(),
            named(&self.surprises),
            self.displacement.len(),
            named(&self.displacement),
        )
    }
}

/// `{"count": n, "rows": [{"file", "row", "margin", "margin_per_token", "similarity", "ches"}, …]}`
fn rows_json(rows: &[(RowId, SidesSaid)]) -> Value {
    let row = |(row, said): &(RowId, SidesSaid)| {
        json!({
            "file": row.file, "row": row.row, "margin": said.margin(), "margin_per_token": said.margin_per_token(),
            "similarity": said.similarity, "ches": said.ches,
        })
    };
    json!({ "count": rows.len(), "rows": rows.iter().map(row).collect::<Vec<_>>() })
}

fn said(model: &Decoder, trees: &[&TokenTree]) -> Vec<SidesSaid> {
    let bar = Bar::hidden_until_used("the model reads the pairs", "rows");
    let mut said = vec![None; trees.len()];
    let mut n_done = 0;
    for indices in micro_batches(trees, INFERENCE_TOKENS) {
        let part: Vec<&TokenTree> = indices.iter().map(|idx| trees[*idx]).collect();
        for (idx, sides) in indices.iter().zip(said_of_sides(model, &part)) {
            said[*idx] = Some(sides);
        }
        n_done += indices.len();
        bar.set(n_done, trees.len());
    }
    bar.finish();
    said.into_iter().flatten().collect()
}

/// Rows whose margin a token lies far below the median, and below 0.
fn surprises(rows: &[(RowId, SidesSaid)]) -> Vec<(RowId, SidesSaid)> {
    let margins = sorted(rows.iter().map(|(_, said)| said.margin_per_token()));
    if margins.is_empty() {
        return Vec::new();
    }
    let median = quantile(&margins, 0.5);
    let distances = sorted(margins.iter().map(|margin| (margin - median).abs()));
    let lowest = median - SURPRISING * DEVIATIONS * quantile(&distances, 0.5);
    let is_low = |margin: f64| margin < lowest && margin < 0.0;
    rows.iter().filter(|(_, said)| is_low(said.margin_per_token())).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: u64, margin: f64) -> (RowId, SidesSaid) {
        let said = SidesSaid { logps: [margin, 0.0], n_scored: [1, 1], similarity: 0.5, ches: 0.0 };
        (RowId { file: 0, row }, said)
    }

    /// Margins −2, −1, 0, 1, 2: median 0, median distance 1, so the limit is −4.45; only −9 lies below.
    #[test]
    fn a_surprise_lies_far_below_the_others() {
        let mut rows: Vec<_> = (0..50).map(|n| row(n, f64::from(n as u32 % 5) - 2.0)).collect();
        assert_eq!(surprises(&rows), []);
        rows.push(row(77, -9.0));
        rows.push(row(78, 9.0));
        let found: Vec<u64> = surprises(&rows).iter().map(|(row, _)| row.row).collect();
        assert_eq!(found, [77]);
        assert_eq!(surprises(&[]), []);
    }
}
