//! Accuracies as a picture: for each annotator a dot for each adapter, with the deviation over seeds.

use std::fmt::Write as _;

use super::tally::Cell;
use crate::{
    experiment::study::{Spread, framed},
    report::html::escape,
};

const WIDTH: f64 = 720.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 82.0;
/// Width and height of each half.
const PANEL: [f64; 2] = [240.0, 260.0];
const GAP: f64 = 40.0;
const LEGEND: f64 = LEFT + 2.0 * PANEL[0] + GAP + 16.0;
const HEIGHT: f64 = TOP + PANEL[1] + 44.0;

/// The picture, complete in itself, for light and dark: all votes, and those where annotators differ.
pub(super) fn svg(cells: &[Cell], annotators: &[String]) -> String {
    let mut body = String::new();
    let scale = tenths(cells);
    panel(&mut body, LEFT, "all held-out votes", (cells, annotators), scale, &|cell| Some(cell.all));
    let second = LEFT + PANEL[0] + GAP;
    panel(&mut body, second, "where annotators differ", (cells, annotators), scale, &|cell| cell.divided);
    for (idx, cell) in cells.chunks(annotators.len()).map(|row| &row[0]).enumerate() {
        let y = TOP + 12.0 + 24.0 * idx as f64;
        let _ = writeln!(
            body,
            "<g class=\"c{}\"><circle class=\"dot\" cx=\"{LEGEND}\" cy=\"{y}\" r=\"3.5\"/></g><text class=\"name\" x=\"{}\" \
             y=\"{}\">{}</text>",
            idx % 5,
            LEGEND + 12.0,
            y + 4.0,
            escape(&cell.arm)
        );
    }
    framed("Each annotator's adapter, and one of all", [WIDTH, HEIGHT], &body)
}

/// The tenths that all dots and bars lie between.
fn tenths(cells: &[Cell]) -> [u32; 2] {
    let spreads = || cells.iter().flat_map(|cell| [Some(cell.all), cell.divided]).flatten();
    let low = spreads().map(|spread| spread.mean - spread.deviation).fold(1.0, f64::min);
    let high = spreads().map(|spread| spread.mean + spread.deviation).fold(low, f64::max);
    let low = (10.0 * low.clamp(0.0, 0.9)).floor() as u32;
    [low, ((10.0 * high.min(1.0)).ceil() as u32).max(low + 1)]
}

fn panel(
    body: &mut String,
    left: f64,
    title: &str,
    (cells, annotators): (&[Cell], &[String]),
    [low, high]: [u32; 2],
    spread: &dyn Fn(&Cell) -> Option<Spread>,
) {
    let y = |share: f64| {
        let place = (10.0 * share - f64::from(low)) / f64::from(high - low);
        TOP + PANEL[1] * (1.0 - place.clamp(0.0, 1.0))
    };
    for tenth in low..=high {
        let (at, percent) = (y(f64::from(tenth) / 10.0), 10 * tenth);
        let _ = writeln!(
            body,
            "<line class=\"grid\" x1=\"{left}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\"/><text text-anchor=\"end\" x=\"{}\" \
             y=\"{:.1}\">{percent} %</text>",
            left + PANEL[0],
            left - 6.0,
            at + 4.0
        );
    }
    let _ = writeln!(body, "<text x=\"{left}\" y=\"{}\">{title}, right on</text>", TOP - 14.0);
    let width = PANEL[0] / annotators.len() as f64;
    for (idx, annotator) in annotators.iter().enumerate() {
        let middle = left + width * (idx as f64 + 0.5);
        let name = escape(annotator);
        let _ = writeln!(
            body,
            "<text text-anchor=\"middle\" x=\"{middle:.1}\" y=\"{}\">{name}</text>",
            TOP + PANEL[1] + 20.0
        );
        let of_annotator: Vec<&Cell> = cells.iter().filter(|cell| cell.annotator == *annotator).collect();
        for (arm, cell) in of_annotator.iter().enumerate() {
            let Some(Spread { mean, deviation }) = spread(cell) else { continue };
            let x = middle + 0.7 * width * ((arm as f64 + 0.5) / of_annotator.len() as f64 - 0.5);
            let (from, to, at) = (y(mean - deviation), y(mean + deviation), y(mean));
            let _ = writeln!(
                body,
                "<g class=\"c{}\"><line class=\"bar\" x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\"/>\
                 <circle class=\"dot\" cx=\"{x:.1}\" cy=\"{at:.1}\" r=\"3.5\"/></g>",
                arm % 5
            );
        }
    }
}
