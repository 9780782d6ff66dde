//! The matrix as a picture: four heat-maps in one SVG, complete in itself, for light and dark.

use std::fmt::Write as _;

use super::{
    matrix::{Cell, Matrix},
    table::{NUMBERS, short},
};
use crate::report::html::escape;

const STYLE: &str = include_str!("heatmap.css");
const CELL: [f64; 2] = [92.0, 34.0];
/// Above the cells of a map: its title, a line about it, the names and sizes of its columns.
const HEAD: f64 = 88.0;
const GAP: f64 = 36.0;
/// Width of a letter of a name, about.
const LETTER: f64 = 7.4;
/// Width of the longest note.
const NOTE: f64 = 390.0;
/// Maps of more columns stand under one another, not in pairs.
const MOST_IN_PAIRS: usize = 6;

/// How a number becomes a colour: its distance from `middle`, with the sign that is good.
struct Shade {
    value: fn(&Cell) -> f64,
    middle: f64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// More is better.
    Up,
    /// Less is better.
    Down,
    /// Neither good nor bad.
    Amount,
}

/// In the order of [`NUMBERS`].
const SHADES: [Shade; 4] = [
    Shade { value: |cell| cell.accuracy().unwrap_or(f64::NAN), middle: 0.5, kind: Kind::Up },
    Shade { value: Cell::margin, middle: 0.0, kind: Kind::Up },
    Shade { value: |cell| cell.metrics.loss, middle: std::f64::consts::LN_2, kind: Kind::Down },
    Shade { value: |cell| cell.divergence.kl, middle: 0.0, kind: Kind::Amount },
];

/// The picture.
pub(super) fn svg(matrix: &Matrix) -> String {
    let names = matrix.rows.iter().map(|row| short(&row.name).chars().count()).max().unwrap_or(0);
    let label = 14.0 + LETTER * names as f64;
    let [width, height] =
        [label + CELL[0] * matrix.columns.len() as f64, HEAD + CELL[1] * matrix.rows.len() as f64];
    let stride = [width.max(NOTE) + GAP, height + GAP];
    let across = if matrix.columns.len() > MOST_IN_PAIRS { 1 } else { 2 };
    let mut maps = String::new();
    for (idx, (number, shade)) in NUMBERS.iter().zip(&SHADES).enumerate() {
        let at = [stride[0] * (idx % across) as f64, stride[1] * (idx / across) as f64];
        let _ = write!(maps, "<g transform=\"translate({:.1} {:.1})\">", at[0] + 16.0, at[1] + 16.0);
        let _ = write!(
            maps,
            "<text class=\"vtitle\" y=\"14\">{}</text><text class=\"vnote\" y=\"32\">{}</text>",
            number.title,
            escape(number.note)
        );
        map(&mut maps, matrix, shade, number.shown, label);
        maps += "</g>\n";
    }
    let down = NUMBERS.len() / across;
    let size = [across as f64 * stride[0] - GAP + 32.0, down as f64 * stride[1] - GAP + 32.0];
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"variants\" viewBox=\"0 0 {:.0} {:.0}\" \
         width=\"{0:.0}\" height=\"{1:.0}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n\
         <rect class=\"vpaper\" width=\"100%\" height=\"100%\"/>\n{maps}</svg>\n",
        size[0],
        size[1],
        escape(&format!("Variants of {} on held-out pairs: accuracy, margin, loss, KL", matrix.base)),
    )
}

fn map(svg: &mut String, matrix: &Matrix, shade: &Shade, shown: fn(&Cell) -> String, label: f64) {
    let cells = matrix.rows.iter().flat_map(|row| &row.cells);
    let distances = cells.map(|cell| ((shade.value)(cell) - shade.middle).abs());
    let largest = distances.filter(|x| x.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    for (idx, measured) in matrix.columns.iter().enumerate() {
        let name = measured.column.group.as_ref().unwrap_or(&measured.column.name);
        let _ = write!(
            svg,
            "<text class=\"vname\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}<title>{}</title></text>\
             <text class=\"vnote\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} pairs</text>",
            HEAD - 22.0,
            escape(&clipped(name)),
            escape(name),
            HEAD - 8.0,
            measured.n_pairs,
            x = label + CELL[0] * (idx as f64 + 0.5),
        );
    }
    for (row_idx, row) in matrix.rows.iter().enumerate() {
        let y = HEAD + CELL[1] * row_idx as f64;
        let _ = write!(
            svg,
            "<text class=\"vname\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            label - 10.0,
            y + CELL[1] / 2.0 + 4.0,
            escape(&short(&row.name))
        );
        for (idx, (measured, cell)) in matrix.columns.iter().zip(&row.cells).enumerate() {
            let x = label + CELL[0] * idx as f64;
            let own = if measured.column.is_of(&row.name) { " vown" } else { "" };
            let (class, opacity) = shade.of((shade.value)(cell), largest);
            let _ = write!(
                svg,
                "<g><title>{} on {}: {}</title><rect class=\"vcell {class}{own}\" x=\"{:.1}\" y=\"{:.1}\" \
                 width=\"{:.1}\" height=\"{:.1}\" rx=\"3\" fill-opacity=\"{opacity:.2}\"/>\
                 <text class=\"vnumber\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></g>",
                escape(&row.name),
                escape(&measured.column.name),
                escape(&shown(cell)),
                x + 1.5,
                y + 1.5,
                CELL[0] - 3.0,
                CELL[1] - 3.0,
                x + CELL[0] / 2.0,
                y + CELL[1] / 2.0 + 4.0,
                escape(&shown(cell)),
            );
        }
    }
}

impl Shade {
    /// Colour class and opacity; the number is readable on all of them.
    fn of(&self, value: f64, largest: f64) -> (&'static str, f64) {
        if !value.is_finite() {
            return ("vnone", 0.0);
        }
        let distance = value - self.middle;
        if distance.abs() < 1e-6 {
            return ("vnone", 0.0);
        }
        let class = match (self.kind, distance >= 0.0) {
            (Kind::Amount, _) => "vamount",
            (Kind::Up, true) | (Kind::Down, false) => "vgood",
            (Kind::Up, false) | (Kind::Down, true) => "vbad",
        };
        (class, 0.06 + 0.54 * (distance.abs() / largest).min(1.0))
    }
}

/// A name that fits over its column.
fn clipped(name: &str) -> String {
    let most = (CELL[0] / LETTER) as usize;
    let name = short(name);
    match name.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name,
    }
}
