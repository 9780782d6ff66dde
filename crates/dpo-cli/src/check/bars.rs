//! Named bars that lie on top of each other, as inline SVG.

use std::fmt::Write as _;

use crate::report::html::escape;

const WIDTH: f64 = 900.0;
/// Room for names on the left and notes on the right.
const LEFT: f64 = 170.0;
const RIGHT: f64 = WIDTH - 190.0;
const STEP: f64 = 26.0;

/// One of them.
pub(super) struct Bar {
    pub(super) name: String,
    /// Between 0 and 1.
    pub(super) share: f64,
    /// Behind its end.
    pub(super) note: String,
}

/// The figure, or nothing without bars.
pub(super) fn bars(title: &str, note: &str, bars: &[Bar]) -> String {
    if bars.is_empty() {
        return String::new();
    }
    let height = STEP * bars.len() as f64 + 6.0;
    let mut svg = String::new();
    for (idx, Bar { name, share, note }) in bars.iter().enumerate() {
        let top = STEP * idx as f64 + 4.0;
        let width = (share.clamp(0.0, 1.0) * (RIGHT - LEFT)).max(1.0);
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"bar main\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"18\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 9.0,
            top + 13.0,
            escape(name),
            LEFT + width + 8.0,
            top + 13.0,
            escape(note),
        );
    }
    let said: Vec<String> = bars.iter().map(|bar| format!("{}: {}", bar.name, bar.note)).collect();
    format!(
        "<figure class=\"chart\"><figcaption><b>{}</b><small>{}</small></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{svg}</svg></figure>",
        escape(title),
        escape(note),
        escape(&said.join("; ")),
    )
}
