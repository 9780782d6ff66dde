//! The matrix as text: a table a number.

use super::matrix::{Cell, Matrix};
use crate::{divergence::Divergence, table::aligned, train::printable};

/// Longest name that is shown whole.
const WIDEST: usize = 20;

/// What a table shows of each cell.
pub(super) struct Number {
    pub(super) title: &'static str,
    /// In words.
    pub(super) note: &'static str,
    pub(super) shown: fn(&Cell) -> String,
}

/// The four numbers of a cell.
pub(super) const NUMBERS: [Number; 4] = [
    Number {
        title: "accuracy",
        note: "held-out pairs whose chosen answer gained on the rejected",
        shown: |cell| cell.accuracy().map_or("—".to_owned(), |share| format!("{:.1} %", 100.0 * share)),
    },
    Number {
        title: "margin", note: "β times the mean margin, in nats", shown: |cell| signed(cell.margin())
    },
    Number {
        title: "loss",
        note: "mean −ln σ(margin); 0.693 without a preference",
        shown: |cell| number(cell.metrics.loss),
    },
    Number {
        title: "KL from the base",
        note: "nats per sampled answer to held-out prompts, ± standard error",
        shown: |cell| {
            let Divergence { kl, kl_standard_error, .. } = cell.divergence;
            match (kl == 0.0, kl_standard_error.is_finite()) {
                (true, _) => "0".to_owned(),
                (false, true) => format!("{kl:.2} ± {kl_standard_error:.2}"),
                (false, false) => number(kl),
            }
        },
    },
];

fn number(x: f64) -> String {
    if x.is_finite() { format!("{x:.3}") } else { "—".to_owned() }
}

fn signed(x: f64) -> String {
    if x.is_finite() { format!("{x:+.3}") } else { "—".to_owned() }
}

/// All four tables.
pub(super) fn text(matrix: &Matrix) -> String {
    let mut text = String::new();
    for number in &NUMBERS {
        text += &format!("\n{}: {}\n", number.title, number.note);
        text += &aligned(&grid(matrix, number.shown));
    }
    text.push('\n');
    text
}

/// Headings and numbers.
fn grid(matrix: &Matrix, shown: fn(&Cell) -> String) -> Vec<Vec<String>> {
    let heading = std::iter::once(String::new());
    let heading = heading.chain(matrix.columns.iter().map(|measured| short(&measured.column.name)));
    let pairs = std::iter::once("  pairs".to_owned());
    let pairs = pairs.chain(matrix.columns.iter().map(|measured| measured.n_pairs.to_string()));
    let mut grid = vec![heading.collect(), pairs.collect()];
    for row in &matrix.rows {
        let name = std::iter::once(format!("  {}", short(&row.name)));
        grid.push(name.chain(row.cells.iter().map(shown)).collect());
    }
    grid
}

/// A name that does not stretch its column.
pub(super) fn short(name: &str) -> String {
    let name = printable(name);
    match name.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name,
    }
}
