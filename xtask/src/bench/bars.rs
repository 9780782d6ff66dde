//! Bars in an SVG, for light and dark.

use std::fmt::Write as _;

/// Bars of one figure.
pub(super) struct Group {
    pub(super) title: &'static str,
    /// Which end is the good one.
    pub(super) better: &'static str,
    pub(super) digits: usize,
    /// Names and values, of at least 0.
    pub(super) bars: Vec<(String, f64)>,
}

const WIDTH: f64 = 640.0;
const MARGIN: f64 = 28.0;
const LABEL: f64 = 84.0;
const VALUE: f64 = 84.0;
const BAR: f64 = 20.0;
const PITCH: f64 = 28.0;
const HEAD: f64 = 30.0;
const GAP: f64 = 22.0;

const STYLE: &str = "\
.paper{fill:#fbfaf7}text{fill:#666a72;font:13px system-ui,sans-serif}.name,.value{font-size:12px}\
.title{fill:#1d1f23;font-weight:600}.bar{fill:#1f7a66}.value{font-variant-numeric:tabular-nums}\
@media(prefers-color-scheme:dark){.paper{fill:#16181c}text{fill:#9a9da5}.title{fill:#e7e5e0}.bar{fill:#5cc3a8}}";

/// The picture; groups without bars are left out.
pub(super) fn svg(groups: &[Group]) -> String {
    let groups: Vec<&Group> = groups.iter().filter(|group| !group.bars.is_empty()).collect();
    let mut body = String::new();
    let mut y = MARGIN;
    for group in groups {
        draw(&mut body, group, y);
        y += HEAD + PITCH * group.bars.len() as f64 + GAP;
    }
    let height = y - GAP + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-label=\"Backends side by side\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n"
    )
}

fn draw(body: &mut String, group: &Group, top: f64) {
    let Group { title, better, digits, bars } = group;
    let _ = writeln!(
        body,
        "<text x=\"{MARGIN}\" y=\"{:.1}\"><tspan class=\"title\">{title}</tspan> <tspan>({better})</tspan></text>",
        top + 13.0
    );
    let largest = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let room = WIDTH - 2.0 * MARGIN - LABEL - VALUE;
    for (idx, (name, value)) in bars.iter().enumerate() {
        let y = top + HEAD + PITCH * idx as f64;
        let length = if largest > 0.0 { room * value / largest } else { 0.0 };
        let (left, text_y) = (MARGIN + LABEL, y + BAR * 0.5 + 4.5);
        let _ = writeln!(
            body,
            "<text class=\"name\" x=\"{MARGIN}\" y=\"{text_y:.1}\">{name}</text>\
             <rect class=\"bar\" x=\"{left}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"3\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{text_y:.1}\">{value:.digits$}</text>",
            left + length + 8.0
        );
    }
}
