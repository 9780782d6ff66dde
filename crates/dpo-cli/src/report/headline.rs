//! The top of a report: what was trained on what, and what came of it.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    html::{bytes, count, duration, escape, number, percent, signed},
    input::{Evaluation, Run},
    series::smooth,
};

/// Title, one sentence, one result.
pub(super) fn html(run: &Run) -> String {
    format!(
        "<header><p class=\"kicker\">{}</p><h1>{}</h1>{}</header>\n{}",
        escape(&kicker(run)),
        escape(&title(run)),
        result(run).map(|text| format!("<p class=\"lead\">{text}</p>")).unwrap_or_default(),
        cards(run),
    )
}

/// The model and the data by their short names.
pub(super) fn title(run: &Run) -> String {
    let model = run.setting("model", "base").and_then(toml::Value::as_str).map(short_name);
    let data: Vec<String> = match run.setting("data", "train") {
        Some(toml::Value::Array(sources)) => {
            sources.iter().filter_map(toml::Value::as_str).map(short_name).collect()
        }
        Some(toml::Value::String(source)) => vec![short_name(source)],
        _ => Vec::new(),
    };
    let on = match data.as_slice() {
        [] => String::new(),
        [one] => format!(" on {one}"),
        [one, other] => format!(" on {one} and {other}"),
        [one, rest @ ..] => format!(" on {one} and {} more", rest.len()),
    };
    format!("{}{on}", model.unwrap_or_else(|| "A training run".to_owned()))
}

/// The last part of a path or id.
fn short_name(source: &str) -> String {
    source.trim_end_matches('/').rsplit('/').next().unwrap_or(source).to_owned()
}

fn kicker(run: &Run) -> String {
    let mut parts = Vec::new();
    if let Some(kind) = run.setting("loss", "kind").and_then(toml::Value::as_str) {
        let beta = run.setting("loss", "beta").and_then(toml::Value::as_float);
        parts.push(beta.map_or(format!("{kind} loss"), |beta| format!("{kind} loss, β {beta}")));
    } else if let Some(mix) = run.setting("loss", "mix").and_then(toml::Value::as_array) {
        let part =
            |part: &toml::Value| Some(format!("{} {}", part.get("weight")?, part.get("kind")?.as_str()?));
        parts.push(mix.iter().filter_map(part).collect::<Vec<_>>().join(" + "));
    }
    if let Some(row) = run.metrics.last() {
        let epoch = if row[1].is_finite() { format!(", epoch {:.2}", row[1]) } else { String::new() };
        parts.push(format!("{} steps{epoch}", count(row[0])));
    }
    parts.extend(seconds(run).map(duration));
    parts.extend(run.facts["device"].as_str().map(str::to_owned));
    let status = run.facts["status"].as_str().filter(|status| *status != "complete");
    parts.extend(status.map(str::to_owned));
    parts.join(" · ")
}

/// The first and the last evaluation of a set.
fn ends<'a>(run: &'a Run, set: &str) -> Option<(Option<&'a Evaluation>, &'a Evaluation)> {
    let mut of_set: Vec<&Evaluation> = run.evals.iter().filter(|e| e.set == set).collect();
    of_set.sort_by(|a, b| a.step.total_cmp(&b.step));
    let last = of_set.pop()?;
    Some((of_set.first().copied(), last))
}

/// One sentence a held-out set, or one on the training pairs when nothing was held out.
fn result(run: &Run) -> Option<String> {
    let sentence = |set: &String| {
        let (first, last) = ends(run, set)?;
        let of =
            if set.is_empty() { "held-out pairs".to_owned() } else { format!("pairs of {}", escape(set)) };
        let before = match first.map(|e| (e.accuracy, e.margin)) {
            Some((Some(accuracy), margin)) if margin != Some(0.0) => {
                format!("from <b>{}</b> to ", percent(accuracy))
            }
            Some((_, Some(_))) => "from no preference to ".to_owned(),
            _ => String::new(),
        };
        let after = last.accuracy.map(percent)?;
        let margin = last.margin.map(|m| format!(", with a reward margin of <b>{}</b>", signed(m)));
        Some(format!("Accuracy on {of}: {before}<b>{after}</b>{}.", margin.unwrap_or_default()))
    };
    let sentences: Vec<String> = run.sets().iter().filter_map(sentence).collect();
    if !sentences.is_empty() {
        return Some(sentences.join("<br>"));
    }
    let last = |metric: &str| smooth(&run.metric(metric)).last().map(|point| point.1);
    let (accuracy, margin) = (last("rewards/accuracies")?, last("rewards/margins")?);
    Some(format!(
        "Accuracy on the training pairs at the end: <b>{}</b>, with a reward margin of <b>{}</b>. \
         No pairs were held out.",
        percent(accuracy),
        signed(margin)
    ))
}

/// Pairs that were held out, where they are of one set.
fn n_pairs(run: &Run) -> Option<f64> {
    let n = run.margins_after.len();
    (n > 0 && run.sets().len() == 1).then_some(n as f64)
}

/// How long training took.
pub(super) fn seconds(run: &Run) -> Option<f64> {
    ["seconds", "train_seconds", "total_seconds", "wall_seconds"]
        .iter()
        .find_map(|key| run.facts["cost"][key].as_f64())
}

fn cards(run: &Run) -> String {
    let mut cards = String::new();
    let mut card = |name: &str, value: &str, note: &str| {
        let (name, value, note) = (escape(name), escape(value), escape(note));
        let _ = write!(cards, "<div><dt>{name}</dt><dd><b>{value}</b><small>{note}</small></dd></div>");
    };
    for entry in run.facts["results"].as_array().into_iter().flatten() {
        let text = |key: &str| entry[key].as_str().map(str::to_owned).or(entry[key].as_f64().map(number));
        if let (Some(name), Some(after)) = (text("name"), text("after")) {
            card(
                &name,
                &after,
                &text("before").map(|before| format!("before: {before}")).unwrap_or_default(),
            );
        }
    }
    for set in run.sets() {
        let Some((first, last)) = ends(run, &set) else { continue };
        let suffix = if set.is_empty() { String::new() } else { format!(", {set}") };
        if let Some(accuracy) = last.accuracy {
            let before = first.filter(|e| e.margin != Some(0.0)).and_then(|e| e.accuracy);
            let note =
                before.map_or("chance is 50\u{2009}%".to_owned(), |b| format!("before: {}", percent(b)));
            let note = n_pairs(run).map_or(note.clone(), |n| format!("of {} pairs; {note}", count(n)));
            card(&format!("Held-out accuracy{suffix}"), &percent(accuracy), &note);
        }
        if let Some(margin) = last.margin {
            let before = first.and_then(|e| e.margin).map(|b| format!("before: {}", signed(b)));
            card(&format!("Reward margin{suffix}"), &signed(margin), &before.unwrap_or_default());
        }
    }
    if let (Some(first), Some(last)) = (run.metric("loss").first(), smooth(&run.metric("loss")).last()) {
        card("Training loss", &number(last.1), &format!("at first: {}", number(first.1)));
    }
    cost_cards(run, &mut card);
    if cards.is_empty() { cards } else { format!("<dl class=\"cards\">{cards}</dl>\n") }
}

fn cost_cards(run: &Run, card: &mut impl FnMut(&str, &str, &str)) {
    let cost = |keys: &[&str]| keys.iter().find_map(|key| run.facts["cost"].get(key).and_then(Value::as_f64));
    let tokens = cost(&["tokens", "num_tokens"]).or(run.metric("num_tokens").last().map(|point| point.1));
    if let Some(seconds) = seconds(run) {
        card("Time", &duration(seconds), "");
    }
    let speeds = run.metric("tokens_per_second");
    let mean = speeds.iter().map(|point| point.1).sum::<f64>() / speeds.len().max(1) as f64;
    if let Some(speed) = cost(&["tokens_per_second"]).or((mean > 0.0).then_some(mean)) {
        let note = tokens.map(|tokens| format!("{} tokens in all", count(tokens)));
        card("Tokens per second", &count(speed), &note.unwrap_or_default());
    }
    if let Some(peak) = cost(&["peak_memory_bytes", "peak_rss_bytes"]) {
        card("Peak memory", &bytes(peak), "");
    }
}
