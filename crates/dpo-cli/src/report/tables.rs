//! The lower half of a report: samples, warnings, cost, and what is needed to do it again.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    html::{bytes, count, duration, escape, number},
    input::Run,
};

const MOST_SAMPLES: usize = 24;
const MOST_CHARACTERS: usize = 6000;

/// The prompts with both answers.
pub(super) fn samples(run: &Run) -> String {
    let mut html = String::new();
    for (idx, sample) in run.samples.iter().take(MOST_SAMPLES).enumerate() {
        let _ = write!(
            html,
            "<article class=\"sample\"><h3>Prompt {}</h3><div class=\"text prompt\" dir=\"auto\">{}</div>\
             <div class=\"answers\"><div><h3>Before</h3>{}</div><div><h3>After</h3>{}</div></div></article>",
            idx + 1,
            clipped(&sample.prompt),
            answer(&sample.before),
            answer(&sample.after),
        );
    }
    if run.samples.len() > MOST_SAMPLES {
        let rest = run.samples.len() - MOST_SAMPLES;
        let _ = write!(html, "<p class=\"quiet\">{rest} more are in samples.jsonl.</p>");
    }
    html
}

fn answer(text: &str) -> String {
    if text.trim().is_empty() {
        return "<div class=\"empty\">(nothing: it ended at once)</div>".to_owned();
    }
    format!("<div class=\"text\" dir=\"auto\">{}</div>", clipped(text))
}

fn clipped(text: &str) -> String {
    let text = text.trim_matches('\n');
    match text.char_indices().nth(MOST_CHARACTERS) {
        None => escape(text),
        Some((at, _)) => format!("{} … ({} bytes more)", escape(&text[..at]), text.len() - at),
    }
}

/// Warnings of the run, if it gave any.
pub(super) fn warnings(run: &Run) -> String {
    let text = |warning: &Value| match warning {
        Value::String(text) => text.clone(),
        other => {
            let message = ["message", "text"].iter().find_map(|key| other[key].as_str());
            let step = other["step"].as_u64().map(|step| format!("step {step}: ")).unwrap_or_default();
            message.map_or_else(|| other.to_string(), |message| format!("{step}{message}"))
        }
    };
    let warnings: Vec<String> = run.facts["warnings"].as_array().into_iter().flatten().map(text).collect();
    if warnings.is_empty() {
        return String::new();
    }
    let items =
        warnings.iter().fold(String::new(), |items, warning| items + "<li>" + &escape(warning) + "</li>");
    let title = if warnings.len() == 1 { "A warning" } else { "Warnings" };
    format!("<aside class=\"warnings\"><h2>{title}</h2><ul>{items}</ul></aside>\n")
}

/// Everything `run.json` has under `cost`.
pub(super) fn cost(run: &Run) -> String {
    let shown = |key: &str, value: &Value| match value.as_f64() {
        Some(x) if key.ends_with("seconds") => duration(x),
        Some(x) if key.ends_with("bytes") => bytes(x),
        Some(x) if x.fract() == 0.0 || x >= 1000.0 => count(x),
        Some(x) => number(x),
        None => text_of(value),
    };
    facts(flat(&run.facts["cost"]).iter().map(|(key, value)| (words(key), escape(&shown(key, value)))))
}

/// `peak_memory_bytes` as `peak memory`.
fn words(key: &str) -> String {
    let key = key.strip_suffix("_bytes").unwrap_or(key);
    let key = if key == "seconds" { "time" } else { key.strip_suffix("_seconds").unwrap_or(key) };
    escape(&key.replace('_', " "))
}

/// The command, then every digest, version and seed.
pub(super) fn reproducibility(run: &Run) -> String {
    let command = match &run.facts["command"] {
        Value::Array(words) => {
            words.iter().filter_map(Value::as_str).map(quoted).collect::<Vec<_>>().join(" ")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let mut html = String::new();
    if !command.is_empty() {
        let _ = write!(html, "<pre>{}</pre>", escape(&command));
    }
    let elsewhere = ["cost", "warnings", "command", "results"];
    let fields = run.facts.as_object().into_iter().flatten();
    let fields = fields.filter(|(key, _)| !elsewhere.contains(&key.as_str()));
    let rows = fields.flat_map(|(key, value)| {
        let name = |sub: &str| if sub.is_empty() { key.clone() } else { format!("{key} {sub}") };
        flat(value).into_iter().map(move |(sub, value)| (name(&sub), value)).collect::<Vec<_>>()
    });
    let code = |value: &Value| format!("<code>{}</code>", escape(&text_of(value)));
    html += &facts(rows.map(|(key, value)| (escape(&key.replace('_', " ")), code(&value))));
    html
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The leaves of a JSON value with their paths; a value that is a leaf has an empty path.
fn flat(value: &Value) -> Vec<(String, Value)> {
    let below = |key: &str, value: &Value| {
        let join = |sub: String| if sub.is_empty() { key.to_owned() } else { format!("{key} {sub}") };
        flat(value).into_iter().map(|(sub, leaf)| (join(sub), leaf)).collect::<Vec<_>>()
    };
    match value {
        Value::Null => Vec::new(),
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().flat_map(|(idx, item)| below(&(idx + 1).to_string(), item)).collect()
        }
        leaf => vec![(String::new(), leaf.clone())],
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A list of names and values, both already safe.
fn facts(rows: impl Iterator<Item = (String, String)>) -> String {
    let row = |rows: String, (name, value)| rows + &format!("<dt>{name}</dt><dd>{value}</dd>");
    let rows = rows.fold(String::new(), row);
    if rows.is_empty() { rows } else { format!("<dl class=\"facts\">{rows}</dl>\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pasted into a shell it is the command that ran.
    #[test]
    fn the_command_is_quoted() {
        assert_eq!(["--a=b", "", "it's $x"].map(quoted), ["--a=b", "''", r"'it'\''s $x'"]);
    }
}
