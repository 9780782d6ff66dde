//! The points as a picture: a row for each thing that grows, complete in itself, for light and dark.

use std::fmt::Write as _;

use super::{
    Growth, Point,
    panel::{Dot, HEIGHT, Panel, Scale, WIDTH},
};
use crate::report::html::{count, escape};

const STYLE: &str = include_str!("plot.css");
const MARGIN: f64 = 28.0;
/// Above the first row.
const HEAD: f64 = 62.0;
/// Between the title of a row and its panels.
const ROW_HEAD: f64 = 22.0;
const GAP: [f64; 2] = [34.0, 44.0];

/// What grows along a row of panels.
struct Row<'a> {
    title: String,
    points: &'a [Point],
    /// Where a point lies, and what is written there.
    at: fn(&Point) -> (f64, String),
    scale: Scale,
}

/// The picture; rows without points are left out.
pub(super) fn svg(growth: &Growth) -> String {
    let rows: Vec<Row<'_>> = rows(growth).into_iter().filter(|row| !row.points.is_empty()).collect();
    let row_height = ROW_HEAD + HEIGHT + GAP[1];
    let [width, height] = [
        2.0 * MARGIN + 3.0 * WIDTH + 2.0 * GAP[0],
        HEAD + row_height * rows.len() as f64 - GAP[1] + 2.0 * MARGIN,
    ];
    let mut body = String::new();
    for (idx, row) in rows.iter().enumerate() {
        let y = MARGIN + HEAD + row_height * idx as f64;
        let _ =
            writeln!(body, "<text class=\"row\" x=\"{MARGIN}\" y=\"{y:.1}\">{}</text>", escape(&row.title));
        for (column, panel) in row.panels().iter().enumerate() {
            let x = MARGIN + (WIDTH + GAP[0]) * column as f64;
            let _ = write!(body, "<g transform=\"translate({x:.1} {:.1})\">", y + ROW_HEAD);
            panel.draw(&mut body);
            body += "</g>\n";
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"growth\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" \
         aria-label=\"Time, speed and memory of a training step against batch, length and model\">\n\
         <style>{STYLE}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"{:.1}\">How an optimizer step grows</text>\
         <text x=\"{MARGIN}\" y=\"{:.1}\">{}</text>\n{body}</svg>\n",
        MARGIN + 12.0,
        MARGIN + 32.0,
        escape(&subtitle(growth)),
    )
}

fn subtitle(growth: &Growth) -> String {
    let n_threads = growth.points().next().map_or(0, |point| point.threads);
    let threads = if n_threads == 1 { "one thread".to_owned() } else { format!("{n_threads} threads") };
    format!(
        "DPO with AdamW, {}, {threads}, {}; lines join medians, bars reach from quartile to quartile",
        growth.setting.dtype.precision().name(),
        growth.arithmetic
    )
}

fn rows(growth: &Growth) -> [Row<'_>; 3] {
    let model = |points: &[Point]| points.first().map_or_else(String::new, |point| point.model.clone());
    let length = |points: &[Point]| points.first().map_or(0, |point| point.pair_length);
    let pairs = growth.models.first().map_or(0, |point| point.pairs);
    [
        Row {
            title: format!(
                "Pairs per batch: {} parameters, pairs of {} tokens",
                model(&growth.pairs),
                count(length(&growth.pairs) as f64)
            ),
            points: &growth.pairs,
            at: |point| (point.pairs as f64, point.pairs.to_string()),
            scale: Scale::Linear,
        },
        Row {
            title: format!("Tokens of a pair: {} parameters, one pair per batch", model(&growth.lengths)),
            points: &growth.lengths,
            at: |point| (point.pair_length as f64, count(point.pair_length as f64)),
            scale: Scale::Linear,
        },
        Row {
            title: format!(
                "Parameters: {pairs} pairs of {} tokens per batch, both axes logarithmic",
                count(length(&growth.models) as f64)
            ),
            points: &growth.models,
            at: |point| (point.parameters as f64, point.model.clone()),
            scale: Scale::Logarithmic,
        },
    ]
}

impl Growth {
    fn points(&self) -> impl Iterator<Item = &Point> {
        self.pairs.iter().chain(&self.lengths).chain(&self.models)
    }
}

/// A figure of a point, and its quartiles.
type Figure = (f64, [f64; 2]);

impl Row<'_> {
    /// Time, speed and memory.
    fn panels(&self) -> [Panel; 3] {
        let seconds = |point: &Point| Some((point.step_seconds.median, point.step_seconds.quartiles));
        let speed = |point: &Point| {
            let of = |seconds: f64| point.tokens as f64 / seconds;
            let [fast, slow] = point.step_seconds.quartiles;
            Some((of(point.step_seconds.median), [of(slow), of(fast)]))
        };
        let memory = |point: &Point| {
            let gib = point.peak_memory_bytes? as f64 / f64::from(1 << 30);
            Some((gib, [gib; 2]))
        };
        let panel = |title, class, dots| Panel { title, class, dots, scale: self.scale };
        [
            panel("seconds a step", "time", self.dots(seconds)),
            panel("tokens a second", "speed", self.dots(speed)),
            panel("peak memory, GiB", "memory", self.dots(memory)),
        ]
    }

    /// The points that have the figure.
    fn dots(&self, figure: impl Fn(&Point) -> Option<Figure>) -> Vec<Dot> {
        let dot = |point: &Point| {
            let ((x, label), (y, spread)) = ((self.at)(point), figure(point)?);
            Some(Dot { x, label, y, spread })
        };
        self.points.iter().filter_map(dot).collect()
    }
}
