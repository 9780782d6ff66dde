//! The distribution of margins before and after training.

use std::fmt::Write as _;

use super::{
    axis::{Axis, nice_step},
    html::{count, escape, number, percent, signed},
    series::{quantile, sorted},
};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 14.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = HEIGHT - 26.0;
const N_BINS: f64 = 40.0;

/// The figure and the table beside it; nothing when there are no margins.
pub(super) fn html(before: &[f64], after: &[f64]) -> String {
    let (before, after) = (sorted(before.iter().copied()), sorted(after.iter().copied()));
    if after.is_empty() {
        return String::new();
    }
    format!("<div class=\"pair\">{}{}</div>\n", figure(&before, &after), table(&before, &after))
}

/// What a distribution of pairs is of, for its caption.
pub(crate) struct Words {
    /// What is counted.
    pub(crate) title: &'static str,
    /// What a value above 0 says.
    pub(crate) above: &'static str,
    /// What a value below 0 says.
    pub(crate) below: &'static str,
    /// The axis and its unit.
    pub(crate) axis: &'static str,
}

/// The figure of one number a pair; nothing without pairs.
pub(crate) fn distribution(values: &[f64], words: &Words) -> String {
    let values = sorted(values.iter().copied());
    if values.is_empty() {
        return String::new();
    }
    let bins = Bins::new(&values);
    let counts = bins.count(&values);
    let highest = counts.iter().max().map_or(0.0, |&n| n as f64 / values.len() as f64);
    let x = Axis::new((bins.edge(0), bins.edge(bins.n)), (LEFT, RIGHT));
    let y = Axis::new((0.0, highest), (BOTTOM, TOP));
    let mut svg = String::new();
    for (bin, &n) in counts.iter().enumerate() {
        bar(&mut svg, &bins, bin, n, (&x, &y), values.len());
    }
    frame(&mut svg, &x, &[], true);
    let label = format!(
        "{} of {} pairs: median {}, {} above 0.",
        words.title,
        values.len(),
        signed(quantile(&values, 0.5)),
        percent(share_above_0(&values)),
    );
    format!(
        "<figure class=\"chart\"><figcaption><b>{}</b><span class=\"legend\"><span class=\"chosen\"><i></i>{}</span>\
         <span class=\"rejected\"><i></i>{}</span></span><small>{}</small></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">{svg}</svg></figure>",
        escape(words.title),
        escape(words.above),
        escape(words.below),
        escape(words.axis),
        escape(&label),
    )
}

/// Bins of equal width, one of whose edges is 0; the outermost hold what lies beyond.
struct Bins {
    width: f64,
    /// Index of the first bin: it starts at `first * width`.
    first: i64,
    n: usize,
}

impl Bins {
    fn new(values: &[f64]) -> Self {
        let (low, high) = (quantile(values, 0.005).min(0.0), quantile(values, 0.995).max(0.0));
        let width = if high > low { nice_step((high - low) / N_BINS) } else { 1.0 };
        let (first, last) = ((low / width).floor() as i64, (high / width).ceil() as i64);
        Self { width, first, n: usize::try_from(last - first).unwrap_or(1).max(1) }
    }

    fn edge(&self, bin: usize) -> f64 {
        (self.first + bin as i64) as f64 * self.width
    }

    fn count(&self, values: &[f64]) -> Vec<usize> {
        let mut counts = vec![0; self.n];
        for value in values {
            let bin = (value / self.width).floor() - self.first as f64;
            counts[bin.clamp(0.0, (self.n - 1) as f64) as usize] += 1;
        }
        counts
    }
}

/// Whether there is no distribution to draw: the policy was its own reference.
fn is_one_value(values: &[f64]) -> bool {
    matches!((values.first(), values.last()), (Some(first), Some(last)) if first >= last)
}

fn figure(before: &[f64], after: &[f64]) -> String {
    let is_drawn = !before.is_empty() && !is_one_value(before);
    let all = sorted(after.iter().chain(before.iter().filter(|_| is_drawn)).copied());
    let bins = Bins::new(&all);
    let (counts, earlier) = (bins.count(after), bins.count(before));
    let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
    let highest = counts.iter().map(|&n| share(n, after.len()));
    let highest = highest.chain(earlier.iter().filter(|_| is_drawn).map(|&n| share(n, before.len())));
    let x = Axis::new((bins.edge(0), bins.edge(bins.n)), (LEFT, RIGHT));
    let y = Axis::new((0.0, highest.fold(0.0, f64::max)), (BOTTOM, TOP));
    let mut svg = String::new();
    for (bin, &n) in counts.iter().enumerate() {
        bar(&mut svg, &bins, bin, n, (&x, &y), after.len());
    }
    if is_drawn {
        let heights: Vec<f64> = earlier.iter().map(|&n| y.at(share(n, before.len()))).collect();
        let _ = write!(svg, "<path class=\"outline\" d=\"{}\"/>", outline(&bins, &heights, &x));
    }
    frame(&mut svg, &x, before, is_drawn);
    let legend = if is_drawn { "<span class=\"before\"><i></i>before</span>" } else { "" };
    let label = format!(
        "Margins of {} pairs after training: median {}, {} above 0.",
        after.len(),
        signed(quantile(after, 0.5)),
        percent(share_above_0(after)),
    );
    format!(
        "<figure class=\"chart\"><figcaption><b>Margins after training</b><span class=\"legend\">\
         <span class=\"chosen\"><i></i>prefers chosen</span><span class=\"rejected\"><i></i>prefers rejected</span>\
         {legend}</span><small>pairs by margin, in nats</small></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">{svg}</svg></figure>",
        escape(&label),
    )
}

fn bar(svg: &mut String, bins: &Bins, bin: usize, n: usize, (x, y): (&Axis, &Axis), of: usize) {
    let (low, high) = (bins.edge(bin), bins.edge(bin + 1));
    let (left, top) = (x.at(low), y.at(n as f64 / of as f64));
    let class = if low < 0.0 { "rejected" } else { "chosen" };
    let _ = write!(
        svg,
        "<rect class=\"bar {class}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
         <title>{} to {}\n{} pairs, {}</title></rect>",
        left + 0.5,
        (x.at(high) - left - 1.0).max(0.5),
        BOTTOM - top,
        number(low),
        number(high),
        count(n as f64),
        percent(n as f64 / of as f64),
    );
}

fn outline(bins: &Bins, heights: &[f64], x: &Axis) -> String {
    let mut path = format!("M{:.1} {BOTTOM}", x.at(bins.edge(0)));
    for (bin, height) in heights.iter().enumerate() {
        let _ = write!(path, "V{height:.1}H{:.1}", x.at(bins.edge(bin + 1)));
    }
    let _ = write!(path, "V{BOTTOM}");
    path
}

/// The axis, the line at 0, and where a single earlier value lies.
fn frame(svg: &mut String, x: &Axis, before: &[f64], is_drawn: bool) {
    let _ = write!(svg, "<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>");
    for (value, label) in x.ticks(6) {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            x.at(value),
            BOTTOM + 18.0
        );
    }
    if let (Some(&value), false) = (before.first(), is_drawn)
        && x.holds(value)
    {
        let at = x.at(value);
        let anchor = if at > WIDTH / 2.0 { "end" } else { "start" };
        let shift = if at > WIDTH / 2.0 { -5.0 } else { 5.0 };
        let _ = write!(
            svg,
            "<path class=\"base\" d=\"M{at:.1} {}V{BOTTOM}\"/>\
             <text class=\"basename\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">before: all {}</text>",
            TOP - 16.0,
            at + shift,
            TOP - 8.0,
            number(value),
        );
    }
}

fn share_above_0(values: &[f64]) -> f64 {
    values.iter().filter(|&&value| value > 0.0).count() as f64 / values.len() as f64
}

fn table(before: &[f64], after: &[f64]) -> String {
    let mut rows = String::new();
    let mut row = |name: &str, value: &dyn Fn(&[f64]) -> String| {
        let earlier = if before.is_empty() { "—".to_owned() } else { value(before) };
        let _ =
            write!(rows, "<tr><th scope=\"row\">{name}</th><td>{earlier}</td><td>{}</td></tr>", value(after));
    };
    row("pairs", &|values| count(values.len() as f64));
    row("margin above 0", &|values| percent(share_above_0(values)));
    row("mean", &|values| signed(values.iter().sum::<f64>() / values.len() as f64));
    for (name, q) in [("lowest tenth below", 0.1), ("median", 0.5), ("highest tenth above", 0.9)] {
        row(name, &|values| signed(quantile(values, q)));
    }
    format!(
        "<div class=\"beside\"><table class=\"numbers\"><thead><tr><th></th><th scope=\"col\">before</th>\
         <th scope=\"col\">after</th></tr></thead><tbody>{rows}</tbody></table>\
         <p class=\"quiet\">The margin of a pair is how much more the model has raised the chosen answer than the \
         rejected one, against the reference: the difference of their log-ratios.</p></div>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six values into bins of width 1 from −2 to 3; what lies outside goes to the ends.
    #[test]
    fn bins_hold_every_value_and_have_an_edge_at_0() {
        let bins = Bins { width: 1.0, first: -2, n: 5 };
        assert_eq!(bins.count(&[-9.0, -1.5, -0.5, 0.0, 2.9, 70.0]), [2, 1, 1, 0, 2]);
        let bins = Bins::new(&sorted((0..200).map(|x| f64::from(x) / 10.0 - 7.0)));
        assert!((0..=bins.n).any(|bin| bins.edge(bin).abs() < 1e-12));
    }

    /// A policy that was its own reference had margin 0 everywhere: said in words, not drawn as a spike.
    #[test]
    fn equal_margins_before_are_a_line() {
        let html = html(&[0.0; 4], &[1.0, -0.5, 2.0, 0.25]);
        assert!(html.contains("before: all 0") && !html.contains("outline"), "{html}");
        assert!(html.contains("<td>0\u{2009}%</td><td>75.0\u{2009}%</td>"), "{html}");
        for values in [&[0.0][..], &[5.0, 5.0], &[-1e200, 1e200], &[f64::NAN]] {
            assert!(!super::html(values, values).contains("NaN"));
        }
    }
}
