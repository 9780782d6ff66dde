//! `variants.html`: the picture, and what it was made of, on one page that loads nothing.

use super::matrix::Matrix;
use crate::report::html::{self, escape};

/// The page.
pub(super) fn html(matrix: &Matrix, picture: &str) -> String {
    let name = matrix.base.trim_end_matches('/').rsplit('/').next().unwrap_or(&matrix.base);
    let title = format!("Variants of {name}");
    let body = format!(
        "<header><p class=\"kicker\">{} adapters on one base</p><h1>{}</h1>\
         <p class=\"lead\">Each row is a model, each column the held-out pairs of one group; a model's own pairs are \
         outlined.</p></header>\n<figure>{picture}</figure>\n{}",
        matrix.rows.len().saturating_sub(1),
        escape(&title),
        notes(matrix),
    );
    html::page(&title, "", &body)
}

fn notes(matrix: &Matrix) -> String {
    let mut items = vec![
        "Accuracy, margin and loss are those of <code>dpo eval</code> with the base as reference and each variant's \
         β. The base is its own reference: its margins are 0, and it has no preference."
            .to_owned(),
        "KL is the mean of log π(y|x) − log π_base(y|x) over answers y that the model samples with its \
         <code>train.seed</code>, at most 64 tokens each; beside it is its standard error."
            .to_owned(),
    ];
    items.extend(matrix.left_out.iter().map(|left| {
        format!(
            "{} was left out: {} rows to train on, {} needed.",
            escape(&left.group),
            left.rows,
            left.min_rows
        )
    }));
    if matrix.rows_without_group > 0 {
        items.push(format!("{} rows are of no group.", matrix.rows_without_group));
    }
    let paragraph = |html: String, item: &String| html + "<p class=\"quiet\">" + item + "</p>";
    let items = items.iter().fold(String::new(), paragraph);
    format!("<section><h2>How it was measured</h2>{items}</section>\n")
}
