//! One small chart of a few measured points.

use std::fmt::Write as _;

use crate::report::{
    axis::Axis,
    html::{escape, number},
};

/// Size of a panel with its labels.
pub(super) const WIDTH: f64 = 320.0;
pub(super) const HEIGHT: f64 = 210.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = HEIGHT - 24.0;

/// How both axes of a panel go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0 on: what is proportional is a straight line.
    Linear,
    /// Every power of ten as wide as the next.
    Logarithmic,
}

/// A measured point.
pub(super) struct Dot {
    pub(super) x: f64,
    /// Written below the axis.
    pub(super) label: String,
    pub(super) y: f64,
    /// First and third quartile of `y`.
    pub(super) spread: [f64; 2],
}

/// A chart of one line.
pub(super) struct Panel {
    pub(super) title: &'static str,
    /// Class of the style sheet that colours it.
    pub(super) class: &'static str,
    pub(super) dots: Vec<Dot>,
    pub(super) scale: Scale,
}

/// Where values lie on the page.
struct Axes {
    scale: Scale,
    x: Axis,
    y: Axis,
}

impl Panel {
    /// Writes its elements, from the origin on.
    pub(super) fn draw(&self, svg: &mut String) {
        let _ =
            write!(svg, "<g class=\"{}\"><text class=\"title\" y=\"12\">{}</text>", self.class, self.title);
        if self.dots.is_empty() {
            let _ = write!(svg, "<text y=\"{TOP}\">not known on this system</text></g>");
            return;
        }
        let axes = self.axes();
        self.grid(svg, &axes);
        let points: Vec<[f64; 2]> = self.dots.iter().map(|dot| axes.at(dot.x, dot.y)).collect();
        line(svg, &points);
        for (dot, at) in self.dots.iter().zip(&points) {
            self.dot(svg, &axes, dot, *at);
        }
        *svg += "</g>";
    }

    fn axes(&self) -> Axes {
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
        };
        let x = range(&mut self.dots.iter().map(|dot| dot.x));
        let y = range(&mut self.dots.iter().flat_map(|dot| [dot.y, dot.spread[0], dot.spread[1]]));
        let (x, y) = match self.scale {
            Scale::Linear => ((0.0, x.1), (0.0, y.1 * 1.08)),
            Scale::Logarithmic => ((x.0.log10(), x.1.log10()), (y.0.log10() - 0.1, y.1.log10() + 0.1)),
        };
        Axes { scale: self.scale, x: Axis::new(x, (LEFT + 10.0, RIGHT)), y: Axis::new(y, (BOTTOM, TOP)) }
    }

    fn grid(&self, svg: &mut String, axes: &Axes) {
        for (value, label) in axes.heights() {
            let y = axes.y.at(value);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 7.0,
                y + 4.0,
            );
        }
        let mut free = f64::NEG_INFINITY;
        for dot in &self.dots {
            let [x, _] = axes.at(dot.x, dot.y);
            let half = 3.6 * dot.label.chars().count() as f64;
            // A label that would lie on its neighbour is left out.
            if x - half > free {
                free = x + half + 3.0;
                let _ = write!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    BOTTOM + 18.0,
                    escape(&dot.label)
                );
            }
        }
    }

    fn dot(&self, svg: &mut String, axes: &Axes, dot: &Dot, [x, y]: [f64; 2]) {
        let [low, high] = dot.spread.map(|y| axes.at(dot.x, y)[1]);
        let is_last = self.dots.last().is_some_and(|last| last.x == dot.x);
        let shown = number(dot.y);
        if (low - high).abs() > 1.0 {
            let _ = write!(svg, "<path class=\"spread\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
        }
        let _ = write!(
            svg,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\"><title>{}: {shown} {}</title></circle>",
            escape(&dot.label),
            self.title
        );
        if is_last {
            let _ = write!(
                svg,
                "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{shown}</text>",
                x + 6.0,
                if y < TOP + 12.0 { y + 20.0 } else { y - 10.0 }
            );
        }
    }
}

/// The line through the points, and the area below it.
fn line(svg: &mut String, points: &[[f64; 2]]) {
    let mut path = String::new();
    for (idx, [x, y]) in points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if idx == 0 { 'M' } else { 'L' });
    }
    let (first, last) = (points[0], points[points.len() - 1]);
    let _ = write!(
        svg,
        "<path class=\"area\" d=\"{path}L{:.1} {BOTTOM}L{:.1} {BOTTOM}Z\"/><path class=\"line\" d=\"{path}\"/>",
        last[0], first[0]
    );
}

impl Axes {
    fn at(&self, x: f64, y: f64) -> [f64; 2] {
        match self.scale {
            Scale::Linear => [self.x.at(x), self.y.at(y)],
            Scale::Logarithmic => [self.x.at(x.log10()), self.y.at(y.log10())],
        }
    }

    /// Values of the grid's lines on the axis, and their labels.
    fn heights(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => self.y.ticks(4),
            Scale::Logarithmic => {
                let digits = |digits: &'static [f64]| {
                    let decade = move |power: i32| digits.iter().map(move |digit| digit * 10f64.powi(power));
                    let values = (-9..12).flat_map(decade).map(|value| (value.log10(), plain(value)));
                    values.filter(|(value, _)| self.y.holds(*value)).collect::<Vec<_>>()
                };
                let powers = digits(&[1.0]);
                if powers.len() > 2 { powers } else { digits(&[1.0, 2.0, 5.0]) }
            }
        }
    }
}

/// A round number without needless digits.
fn plain(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        _ => format!("{}", (value * 1e9).round() / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(dots: Vec<Dot>, scale: Scale) -> String {
        let mut svg = String::new();
        Panel { title: "seconds", class: "time", dots, scale }.draw(&mut svg);
        svg
    }

    fn dot(x: f64, y: f64) -> Dot {
        Dot { x, label: x.to_string(), y, spread: [0.9 * y, 1.1 * y] }
    }

    /// One point, many, and values over many powers of ten: always numbers, on both scales.
    #[test]
    fn any_points_can_be_drawn() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            for dots in
                [vec![dot(1.0, 2.0)], vec![dot(1.0, 1e-6), dot(2.0, 1e6)], vec![dot(3.0, 5.0), dot(3.0, 5.0)]]
            {
                let svg = drawn(dots, scale);
                assert!(
                    svg.contains("class=\"line\"") && !svg.contains("NaN") && !svg.contains("inf"),
                    "{svg}"
                );
                assert!(svg.contains("class=\"grid\""), "{svg}");
            }
        }
    }

    #[test]
    fn what_the_system_does_not_tell_is_said() {
        assert!(drawn(Vec::new(), Scale::Linear).contains("not known"));
    }

    /// A straight line through the origin stays one: (1, 2) lies in the middle of (0, 0) and (2, 4).
    #[test]
    fn what_is_proportional_is_straight() {
        let panel = Panel {
            title: "",
            class: "time",
            dots: vec![dot(1.0, 2.0), dot(2.0, 4.0)],
            scale: Scale::Linear,
        };
        let axes = panel.axes();
        let [[x0, y0], [x1, y1], [x2, y2]] = [(0.0, 0.0), (1.0, 2.0), (2.0, 4.0)].map(|(x, y)| axes.at(x, y));
        assert!((2.0 * x1 - x0 - x2).abs() < 1e-9 && (2.0 * y1 - y0 - y2).abs() < 1e-9);
    }
}
