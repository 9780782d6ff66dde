//! Line charts over steps, as inline SVG.

use std::fmt::Write as _;

use super::{
    axis::Axis,
    html::{count, escape, number},
    series::{Points, quantile, smooth, sorted},
};

/// The drawing's size in its own units; the page stretches it to its column.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 216.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 26.0;
/// Places that answer to the pointer.
const MOST_HINTS: usize = 96;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    /// As it is.
    Plain,
    /// Faint as it is, and smoothed over that.
    Smoothed,
    /// Points joined by a thin line.
    Marked,
}

/// A line of a chart.
pub(super) struct Line {
    pub(super) name: String,
    /// Class of the style sheet that colours it.
    pub(super) class: &'static str,
    pub(super) points: Points,
    pub(super) stroke: Stroke,
}

/// A chart of one or more lines that share their axes.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// What the values are, under the title.
    pub(super) note: String,
    pub(super) lines: Vec<Line>,
    /// A value to compare with, and its name.
    pub(super) baseline: Option<(f64, &'static str)>,
    /// How a value is written where the pointer rests.
    pub(super) shown: fn(f64) -> String,
    /// A factor for the labels, 100 for percentages.
    pub(super) scale: f64,
}

impl Chart {
    /// The figure, or nothing when there is no point to draw.
    pub(super) fn html(mut self) -> String {
        for line in &mut self.lines {
            line.points.iter_mut().for_each(|(_, y)| *y *= self.scale);
        }
        self.lines.retain(|line| !line.points.is_empty());
        if self.lines.is_empty() {
            return String::new();
        }
        let drawn: Vec<Drawn<'_>> = self.lines.iter().map(Drawn::new).collect();
        let x = Axis::new(self.steps(), (LEFT, RIGHT));
        let y = Axis::new(self.range(&drawn), (BOTTOM, TOP));
        let mut svg = String::new();
        grid(&mut svg, &x, &y);
        self.baseline(&mut svg, &y);
        for line in &drawn {
            line.draw(&mut svg, &x, &y);
        }
        hints(&mut svg, &drawn, &x, &y, self.shown, self.scale);
        let description = format!("{}. {}", self.title, self.summary());
        format!(
            "<figure class=\"chart\"><figcaption><b>{}</b>{}<small>{}</small></figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">{svg}</svg></figure>\n",
            self.title,
            self.legend(),
            escape(&self.note),
            escape(&description),
        )
    }

    fn steps(&self) -> (f64, f64) {
        let steps = sorted(self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)));
        (steps.first().copied().unwrap_or(0.0).min(1.0), steps.last().copied().unwrap_or(1.0))
    }

    /// Room for every smoothed value and all but the wildest raw ones.
    fn range(&self, drawn: &[Drawn<'_>]) -> (f64, f64) {
        let mut ends: Vec<f64> = self.baseline.iter().map(|(value, _)| value * self.scale).collect();
        for line in drawn {
            ends.extend(line.smoothed.iter().flatten().map(|point| point.1));
            let raw = sorted(line.raw.iter().map(|point| point.1));
            let cut = if line.smoothed.is_some() { 0.01 } else { 0.0 };
            ends.extend([cut, 1.0 - cut].map(|q| quantile(&raw, q)));
        }
        let ends = sorted(ends);
        let (low, high) = (ends[0], ends[ends.len() - 1]);
        let room = (high - low) * 0.05;
        // A range that starts at 0 or lies between 0 and 100 % has no use for room beyond.
        let low_end = if low >= 0.0 { (low - room).max(0.0) } else { low - room };
        (low_end, if self.scale > 1.0 { (high + room).min(100.0) } else { high + room })
    }

    fn baseline(&self, svg: &mut String, y: &Axis) {
        let Some((value, name)) = self.baseline else { return };
        let at = y.at(value * self.scale);
        let _ = write!(
            svg,
            "<path class=\"base\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>\
             <text class=\"basename\" x=\"{RIGHT}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            if at < TOP + 16.0 { at + 12.0 } else { at - 4.0 },
        );
    }

    fn legend(&self) -> String {
        if self.lines.len() < 2 {
            return String::new();
        }
        let entry =
            |line: &Line| format!("<span class=\"{}\"><i></i>{}</span>", line.class, escape(&line.name));
        format!("<span class=\"legend\">{}</span>", self.lines.iter().map(entry).collect::<String>())
    }

    /// For those who cannot see it: from where to where.
    fn summary(&self) -> String {
        let ends = |line: &Line| {
            let (first, last) = (line.points[0], line.points[line.points.len() - 1]);
            let [from, to] = [first.1, last.1].map(|value| (self.shown)(value / self.scale));
            format!("{} from {from} at step {} to {to} at step {}.", line.name, count(first.0), count(last.0))
        };
        self.lines.iter().map(ends).collect::<Vec<_>>().join(" ")
    }
}

/// A line with what is made of it.
struct Drawn<'a> {
    line: &'a Line,
    raw: &'a [(f64, f64)],
    smoothed: Option<Points>,
}

impl<'a> Drawn<'a> {
    fn new(line: &'a Line) -> Self {
        let is_smoothed = line.stroke == Stroke::Smoothed && line.points.len() >= 12;
        Self { line, raw: &line.points, smoothed: is_smoothed.then(|| smooth(&line.points)) }
    }

    fn draw(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let class = self.line.class;
        let open = |svg: &mut String, style: &str, points: &[(f64, f64)]| {
            let _ = write!(svg, "<path class=\"{style} {class}\" d=\"{}\"/>", path(points, x, y));
        };
        match &self.smoothed {
            Some(smoothed) => {
                open(svg, "raw", self.raw);
                open(svg, "line", smoothed);
            }
            None => open(svg, if self.line.stroke == Stroke::Marked { "thin" } else { "line" }, self.raw),
        }
        if self.line.stroke == Stroke::Marked || self.raw.len() == 1 {
            for &(step, value) in self.raw {
                let (cx, cy) = (x.at(step), y.at(value));
                let _ = write!(svg, "<circle class=\"mark {class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\"/>");
            }
        }
    }

    /// The point whose step is closest to `step`.
    fn closest(&self, step: f64) -> usize {
        let after = self.raw.partition_point(|point| point.0 < step).min(self.raw.len() - 1);
        let before = after.saturating_sub(1);
        if (self.raw[before].0 - step).abs() < (self.raw[after].0 - step).abs() { before } else { after }
    }
}

/// Values outside of the frame are drawn at its edge.
fn path(points: &[(f64, f64)], x: &Axis, y: &Axis) -> String {
    let mut path = String::with_capacity(points.len() * 12);
    for (idx, &(step, value)) in points.iter().enumerate() {
        let command = if idx == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", x.at(step), y.at(value).clamp(TOP - 4.0, BOTTOM + 2.0));
    }
    path
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    for (value, label) in y.ticks(5) {
        let at = y.at(value);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 7.0,
            at + 4.0,
        );
    }
    let is_whole = |value: &f64| (value - value.round()).abs() < 1e-9;
    for (value, label) in x.ticks(5).into_iter().filter(|(value, _)| is_whole(value)) {
        let at = x.at(value);
        let label = label.split('.').next().unwrap_or_default();
        let anchor = if at > RIGHT - 12.0 { "end" } else { "middle" };
        let _ = write!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
            BOTTOM + 18.0
        );
    }
}

/// Narrow bands that show a cross line and the values when the pointer is over them.
fn hints(svg: &mut String, drawn: &[Drawn<'_>], x: &Axis, y: &Axis, shown: fn(f64) -> String, scale: f64) {
    let Some(longest) = drawn.iter().max_by_key(|line| line.raw.len()) else { return };
    let every = longest.raw.len().div_ceil(MOST_HINTS);
    let steps: Vec<f64> = longest.raw.iter().step_by(every).map(|point| point.0).collect();
    let place: Vec<f64> = steps.iter().map(|&step| x.at(step)).collect();
    for (idx, &step) in steps.iter().enumerate() {
        let left = if idx == 0 { LEFT } else { f64::midpoint(place[idx - 1], place[idx]) };
        let right = place.get(idx + 1).map_or(RIGHT, |next| f64::midpoint(place[idx], *next));
        let (mut text, mut dots) = (format!("step {}", count(step)), String::new());
        for line in drawn {
            let at = line.closest(step);
            let raw = line.raw[at];
            let value = line.smoothed.as_ref().map_or(raw.1, |smoothed| smoothed[at].1);
            let _ = write!(text, "\n{}: {}", line.line.name, shown(raw.1 / scale));
            if line.smoothed.is_some() {
                let _ = write!(text, " (smoothed {})", shown(value / scale));
            }
            if y.holds(value) {
                let (class, cx, cy) = (line.line.class, x.at(raw.0), y.at(value));
                let _ = write!(dots, "<circle class=\"{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\"/>");
            }
        }
        let _ = write!(
            svg,
            "<g class=\"hint\"><title>{}</title><rect x=\"{left:.1}\" y=\"0\" width=\"{:.1}\" height=\"{BOTTOM}\"/>\
             <path d=\"M{at:.1} {TOP}V{BOTTOM}\"/>{dots}</g>",
            escape(&text),
            (right - left).max(0.5),
            at = place[idx],
        );
    }
}

/// A chart of plain numbers.
pub(super) fn plain(title: &'static str, note: impl Into<String>, lines: Vec<Line>) -> Chart {
    Chart { title, note: note.into(), lines, baseline: None, shown: number, scale: 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Points) -> String {
        let line = Line { name: "<b>".to_owned(), class: "ink", points, stroke: Stroke::Smoothed };
        plain("Loss", "x < y", vec![line]).html()
    }

    #[test]
    fn a_chart_of_nothing_is_nothing() {
        assert_eq!(chart(Vec::new()), "");
    }

    /// One point, a constant, a thousand points and a wild value: always a figure, always escaped, never NaN.
    #[test]
    fn any_line_can_be_drawn() {
        let constant = (0..40).map(|x| (f64::from(x), 0.5)).collect();
        let wild = (0..1000).map(|x| (f64::from(x), if x == 500 { 1e9 } else { f64::from(x) })).collect();
        for points in [vec![(1.0, 2.0)], constant, wild] {
            let html = chart(points);
            assert!(html.contains("<svg") && !html.contains("NaN") && !html.contains("inf"), "{html}");
            assert!(html.contains("&lt;b&gt;: ") && !html.contains("<b>: "), "{html}");
            assert!(html.matches("class=\"hint\"").count() <= MOST_HINTS);
        }
    }
}
