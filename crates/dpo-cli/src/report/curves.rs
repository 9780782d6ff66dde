//! The charts of a report.

use super::{
    chart::{Chart, Line, Stroke, plain},
    html::{count, percent},
    input::{Evaluation, Run},
    series::Points,
};

/// Colours of held-out sets, in turn.
const HELD_OUT: [&str; 3] = ["held", "held2", "held3"];

/// Every curve there are points for.
pub(super) fn html(run: &Run) -> String {
    let charts = [
        loss(run),
        accuracy(run),
        plain("Reward margin", "chosen less rejected", with_held_out(run, "rewards/margins", |e| e.margin)),
        plain("Rewards", rewards_note(run), both(run, "rewards")),
        plain("Log-probabilities", "of whole answers, in nats", both(run, "logps")),
        plain("Divergence", "Σ KL(reference ‖ policy) over an answer's tokens, in nats", both(run, "kl")),
        plain("Gradient norm", "before clipping", one(run, "grad_norm", Stroke::Smoothed)),
        plain("Learning rate", "", one(run, "learning_rate", Stroke::Plain)),
        Chart {
            shown: count,
            ..plain("Tokens per second", "", one(run, "tokens_per_second", Stroke::Smoothed))
        },
    ];
    let figures: String = charts.into_iter().map(Chart::html).collect();
    if figures.is_empty() { figures } else { format!("<div class=\"charts\">{figures}</div>\n") }
}

fn rewards_note(run: &Run) -> &'static str {
    match run.setting("reference", "update_every") {
        Some(_) => "β times the log-ratio to the reference as it was then: it followed the policy",
        None => "β times the log-ratio to the reference",
    }
}

fn loss(run: &Run) -> Chart {
    let kind = run.setting("loss", "kind").and_then(toml::Value::as_str);
    let is_sigmoid = matches!(kind, Some("sigmoid" | "tdpo"));
    Chart {
        // −ln σ(0): the loss of a model that has no preference.
        baseline: is_sigmoid.then_some((std::f64::consts::LN_2, "no preference, ln 2")),
        ..plain("Loss", "", with_held_out(run, "loss", |e| e.loss))
    }
}

/// A pair whose margin is exactly 0 is undecided: the strict count calls it wrong, which would be misread.
fn accuracy(run: &Run) -> Chart {
    let undecided: Vec<f64> =
        run.metric("rewards/margins").iter().filter(|point| point.1 == 0.0).map(|point| point.0).collect();
    let mut lines =
        with_held_out(run, "rewards/accuracies", |e| e.accuracy.filter(|_| e.margin != Some(0.0)));
    for line in lines.iter_mut().filter(|line| line.class == "main") {
        line.points.retain(|point| !undecided.contains(&point.0));
    }
    let note = "pairs whose chosen answer has the higher reward, in %";
    let chart = plain("Preference accuracy", note, lines);
    Chart { baseline: Some((0.5, "chance")), shown: percent, scale: 100.0, ..chart }
}

fn one(run: &Run, metric: &str, stroke: Stroke) -> Vec<Line> {
    vec![Line { name: metric.replace('_', " "), class: "main", points: run.metric(metric), stroke }]
}

fn both(run: &Run, metric: &str) -> Vec<Line> {
    let line = |class: &'static str| Line {
        name: class.to_owned(),
        class,
        points: run.metric(&format!("{metric}/{class}")),
        stroke: Stroke::Smoothed,
    };
    vec![line("chosen"), line("rejected")]
}

fn with_held_out(run: &Run, metric: &str, value: impl Fn(&Evaluation) -> Option<f64>) -> Vec<Line> {
    let points = run.metric(metric);
    let mut lines =
        vec![Line { name: "training".to_owned(), class: "main", points, stroke: Stroke::Smoothed }];
    for (idx, set) in run.sets().into_iter().enumerate() {
        let of_set = run.evals.iter().filter(|evaluation| evaluation.set == set);
        let mut points: Points = of_set.filter_map(|e| Some((e.step, value(e)?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let name = if set.is_empty() { "held out".to_owned() } else { format!("held out: {set}") };
        lines.push(Line { name, class: HELD_OUT[idx % HELD_OUT.len()], points, stroke: Stroke::Marked });
    }
    lines
}
