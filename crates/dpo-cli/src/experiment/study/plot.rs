//! Frontiers as a picture: true reward above KL, with the deviation over seeds.

use std::fmt::Write as _;

use super::frontier::Frontier;
use crate::report::html::escape;

const STYLE: &str = include_str!("plot.css");
const WIDTH: f64 = 720.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 70.0;
const PLOT: [f64; 2] = [400.0, 300.0];
const LEGEND: f64 = LEFT + PLOT[0] + 20.0;
const HEIGHT: f64 = TOP + PLOT[1] + 52.0;

/// From data to the drawing.
struct Scale {
    kl: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(frontiers: &[Frontier]) -> Self {
        let points = || frontiers.iter().flat_map(|frontier| &frontier.curve);
        let kl = points().map(|[kl, _]| kl.mean + kl.deviation).fold(1.0, f64::max);
        let low = points().map(|[_, reward]| reward.mean - reward.deviation).fold(f64::INFINITY, f64::min);
        let high = points().map(|[_, reward]| reward.mean + reward.deviation).fold(low + 0.5, f64::max);
        Self { kl: kl * 1.05, low: low.floor(), high: high.ceil() }
    }

    fn x(&self, kl: f64) -> f64 {
        LEFT + PLOT[0] * (kl / self.kl).clamp(0.0, 1.0)
    }

    fn y(&self, reward: f64) -> f64 {
        TOP + PLOT[1] * (self.high - reward) / (self.high - self.low)
    }
}

/// The picture, complete in itself, for light and dark.
pub(super) fn svg(title: &str, frontiers: &[Frontier]) -> String {
    let scale = Scale::of(frontiers);
    let mut body = String::new();
    axes(&mut body, &scale);
    for (idx, frontier) in frontiers.iter().enumerate() {
        draw(&mut body, &scale, frontier, idx);
    }
    framed(title, [WIDTH, HEIGHT], &body)
}

/// A picture of that size around its parts, complete in itself, for light and dark.
pub(in crate::experiment) fn framed(title: &str, [width, height]: [f64; 2], body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"study\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{0}\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n<text class=\"head\" x=\"28\" y=\"32\">{0}</text>\n\
         {body}</svg>\n",
        escape(title)
    )
}

fn axes(body: &mut String, scale: &Scale) {
    let (right, bottom) = (LEFT + PLOT[0], TOP + PLOT[1]);
    let step = if scale.high - scale.low > 4.0 { 1.0 } else { 0.5 };
    let mut value = scale.low;
    while value <= scale.high + 1e-9 {
        let y = scale.y(value);
        let _ = writeln!(
            body,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{value:.1}</text>",
            LEFT - 8.0,
            y + 4.0
        );
        value += step;
    }
    let every = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|every| scale.kl / every <= 8.0);
    let every = every.unwrap_or(scale.kl);
    let mut kl = 0.0;
    while kl <= scale.kl {
        let (x, y) = (scale.x(kl), bottom + 18.0);
        let _ = writeln!(
            body,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{y}\">{kl:.0}</text>"
        );
        kl += every;
    }
    let _ = writeln!(
        body,
        "<text x=\"{LEFT}\" y=\"{}\">true reward</text><text text-anchor=\"end\" x=\"{right}\" y=\"{}\">KL from the \
         start, nats a review</text>",
        TOP - 10.0,
        bottom + 38.0
    );
}

fn draw(body: &mut String, scale: &Scale, frontier: &Frontier, idx: usize) {
    let places: Vec<[f64; 2]> =
        frontier.curve.iter().map(|[kl, reward]| [scale.x(kl.mean), scale.y(reward.mean)]).collect();
    let path: Vec<String> = places.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
    let _ =
        writeln!(body, "<g class=\"c{}\"><polyline class=\"line\" points=\"{}\"/>", idx % 5, path.join(" "));
    for ([x, y], [kl, reward]) in places.iter().zip(&frontier.curve) {
        let [low, high] = [-1.0, 1.0].map(|sign| scale.y(reward.mean + sign * reward.deviation));
        let [from, to] = [-1.0, 1.0].map(|sign| scale.x(kl.mean + sign * kl.deviation));
        let _ = writeln!(
            body,
            "<line class=\"bar\" x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" y2=\"{high:.1}\"/>\
             <line class=\"bar\" x1=\"{from:.1}\" y1=\"{y:.1}\" x2=\"{to:.1}\" y2=\"{y:.1}\"/>\
             <circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"
        );
    }
    let y = TOP + 12.0 + 24.0 * idx as f64;
    let _ = writeln!(
        body,
        "<line class=\"line\" x1=\"{LEGEND}\" y1=\"{0:.1}\" x2=\"{1}\" y2=\"{0:.1}\"/></g>\
         <text class=\"name\" x=\"{2}\" y=\"{3:.1}\">{4}</text>",
        y,
        LEGEND + 18.0,
        LEGEND + 26.0,
        y + 4.0,
        escape(frontier.arm)
    );
}
