//! What lies in a run directory, read as far as it can be: a report is wanted most when something went wrong.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde_json::{Map, Value};

use super::series::Thinned;

/// No line or small file of a run is longer.
const MAX_BYTES: u64 = 64 << 20;

/// The keys of a metrics line that are drawn; the step comes first.
pub(super) const METRICS: [&str; 15] = [
    "step",
    "epoch",
    "loss",
    "grad_norm",
    "learning_rate",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
    "kl/chosen",
    "kl/rejected",
    "num_tokens",
    "tokens_per_second",
];

/// A run as far as it is there.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// `config.toml` as text.
    pub(super) config_text: Option<String>,
    /// The same, parsed.
    pub(super) config: toml::Table,
    /// Rows of [`METRICS`], NaN where a value is missing.
    pub(super) metrics: Vec<[f64; METRICS.len()]>,
    /// Logged steps that each row stands for.
    pub(super) stride: usize,
    /// `eval.jsonl`, by set and step.
    pub(super) evals: Vec<Evaluation>,
    /// `run.json`, or null.
    pub(super) facts: Value,
    /// `data_report.json`, or null.
    pub(super) data_report: Value,
    /// `samples.jsonl`.
    pub(super) samples: Vec<Sample>,
    /// Margins of the untrained model, in nats.
    pub(super) margins_before: Vec<f64>,
    /// Margins of the trained model, in nats.
    pub(super) margins_after: Vec<f64>,
    /// What could not be read.
    pub(super) notes: Vec<String>,
}

/// One set measured once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evaluation {
    /// Its name; empty when there is but one.
    pub(super) set: String,
    pub(super) step: f64,
    pub(super) loss: Option<f64>,
    pub(super) accuracy: Option<f64>,
    pub(super) margin: Option<f64>,
}

/// A prompt with the answers before and after training.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) prompt: String,
    pub(super) before: String,
    pub(super) after: String,
}

impl Run {
    /// Reads `dir`; what is missing or broken becomes a note.
    pub(super) fn read(dir: &Path) -> Self {
        let mut run = Self { stride: 1, ..Self::default() };
        run.config_text = run.text(&dir.join("config.toml"));
        run.config = run.parsed_config();
        run.read_metrics(&dir.join("metrics.jsonl"));
        run.read_evals(&dir.join("eval.jsonl"));
        run.facts = run.json(&dir.join("run.json"));
        run.data_report = run.json(&dir.join("data_report.json"));
        run.read_samples(&dir.join("samples.jsonl"));
        let margins = run.json(&dir.join("margins.json"));
        run.margins_before = numbers(&margins["before"]);
        run.margins_after = numbers(&margins["after"]);
        run
    }

    /// The values of the metric `name` over the steps, without gaps.
    pub(super) fn metric(&self, name: &str) -> Vec<(f64, f64)> {
        let column = METRICS.iter().position(|metric| *metric == name);
        let point = |row: &[f64; METRICS.len()]| Some((row[0], row[column?]));
        let is_there = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        self.metrics.iter().filter_map(point).filter(is_there).collect()
    }

    /// A text of `config.toml`.
    pub(super) fn setting(&self, section: &str, key: &str) -> Option<&toml::Value> {
        self.config.get(section)?.get(key)
    }

    fn text(&mut self, path: &Path) -> Option<String> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => {
                self.note(path, &reason(&error));
                None
            }
        }
    }

    fn note(&mut self, path: &Path, what: &str) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.notes.push(format!("{name} {what}"));
    }

    fn parsed_config(&mut self) -> toml::Table {
        match self.config_text.as_deref().map(toml::from_str) {
            Some(Ok(table)) => table,
            Some(Err(_)) => {
                self.notes.push("config.toml is not TOML".to_owned());
                toml::Table::new()
            }
            None => toml::Table::new(),
        }
    }

    fn json(&mut self, path: &Path) -> Value {
        let Some(text) = self.text(path) else { return Value::Null };
        serde_json::from_str(&text).unwrap_or_else(|_| {
            self.note(path, "is not JSON");
            Value::Null
        })
    }

    fn read_metrics(&mut self, path: &Path) {
        let mut thinned = Thinned::new();
        self.json_lines(path, |object| {
            thinned
                .push(METRICS.map(|metric| object.get(metric).and_then(Value::as_f64).unwrap_or(f64::NAN)));
        });
        (self.metrics, self.stride) = thinned.finish();
    }

    fn read_evals(&mut self, path: &Path) {
        let mut evals = Vec::new();
        self.json_lines(path, |object| evals.extend(evaluations(&object)));
        self.evals = evals;
    }

    fn read_samples(&mut self, path: &Path) {
        let mut samples = Vec::new();
        self.json_lines(path, |object| {
            let text = |key: &str| object.get(key).map(shown).unwrap_or_default();
            samples.push(Sample { prompt: text("prompt"), before: text("before"), after: text("after") });
        });
        self.samples = samples;
    }

    /// Hands on every line that is an object and notes how many are not.
    fn json_lines(&mut self, path: &Path, mut each: impl FnMut(Map<String, Value>)) {
        let mut reader = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) => return self.note(path, &reason(&error)),
        };
        let (mut line, mut n_bad) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            match (&mut reader).take(MAX_BYTES).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(_) => match serde_json::from_slice(&line) {
                    Ok(object) => each(object),
                    Err(_) => n_bad += 1,
                },
                Err(error) => return self.note(path, &reason(&error)),
            }
        }
        if n_bad > 0 {
            let lines = if n_bad == 1 { "1 line".to_owned() } else { format!("{n_bad} lines") };
            self.note(path, &format!("has {lines} that cannot be read"));
        }
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// The sets of a line of `eval.jsonl`: `eval_loss` for the only one, `eval_<name>_loss` for each of several.
fn evaluations(object: &Map<String, Value>) -> Vec<Evaluation> {
    let get = |key: &str| object.get(key).and_then(Value::as_f64);
    let Some(step) = get("step") else { return Vec::new() };
    let mut sets: Vec<&str> = object
        .keys()
        .filter_map(|key| key.strip_prefix("eval_"))
        .filter_map(|key| key.strip_suffix("rewards/accuracies").or_else(|| key.strip_suffix("loss")))
        .map(|set| set.strip_suffix('_').unwrap_or(set))
        .collect();
    sets.sort_unstable();
    sets.dedup();
    let of_set = |set: &str| {
        let metric = |name: &str| match set {
            "" => get(&format!("eval_{name}")),
            set => get(&format!("eval_{set}_{name}")),
        };
        Evaluation {
            set: set.to_owned(),
            step,
            loss: metric("loss"),
            accuracy: metric("rewards/accuracies"),
            margin: metric("rewards/margins"),
        }
    };
    sets.into_iter().map(of_set).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// A text as it is; messages as `role: content`; anything else as JSON.
fn shown(value: &Value) -> String {
    let message = |message: &Value| {
        let role = message.get("role")?.as_str()?;
        Some(format!("{role}: {}", message.get("content")?.as_str()?))
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        // A single turn needs no name.
        Value::Array(messages) if messages.len() == 1 && message(&messages[0]).is_some() => {
            messages[0]["content"].as_str().unwrap_or_default().to_owned()
        }
        Value::Array(messages) if messages.iter().all(|m| message(m).is_some()) => {
            messages.iter().filter_map(message).collect::<Vec<_>>().join("\n\n")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TRL's names, with one set and with two.
    #[test]
    fn evaluation_sets_are_found_by_their_metrics() {
        let read = |text: &str| evaluations(&serde_json::from_str(text).unwrap_or_default());
        let one =
            read(r#"{"step": 0, "eval_loss": 0.5, "eval_rewards/accuracies": 0.75, "eval_runtime": 3}"#);
        assert_eq!(one.len(), 1);
        assert_eq!((one[0].set.as_str(), one[0].loss, one[0].accuracy), ("", Some(0.5), Some(0.75)));
        let two = read(r#"{"step": 5, "eval_a_loss": 1, "eval_b_c_rewards/margins": 2, "eval_b_c_loss": 3}"#);
        let sets: Vec<_> = two.iter().map(|e| (e.set.as_str(), e.loss, e.margin)).collect();
        assert_eq!(sets, [("a", Some(1.0), None), ("b_c", Some(3.0), Some(2.0))]);
    }
}
