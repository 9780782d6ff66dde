//! The commented run file that `dpo config` prints, and the page of the documentation.

use std::fmt::Write as _;

use super::keys::{Key, defaults, in_toml, keys, sections};

/// What to show for a key that has no default.
const EXAMPLES: [(&str, &str); 30] = [
    ("model.base", r#""HuggingFaceTB/SmolLM2-135M-Instruct""#),
    ("model.reference", r#""path/to/model""#),
    ("data.train", r#"["pairs.jsonl"]"#),
    ("data.eval", r#"{ helpful = "helpful.jsonl", harmless = "harmless.jsonl" }"#),
    ("data.columns", r#"{ chosen = "winner", rejected = "loser" }"#),
    ("data.only_group", r#""alice""#),
    ("data.heldout", "0.1"),
    ("data.heldout_seed", "42"),
    ("loss.ties", r#""davidson""#),
    ("loss.f_divergence", r#""js""#),
    ("loss.f_alpha", "0.5"),
    ("loss.ld_alpha", "0.5"),
    ("loss.sft_weight", "1.0"),
    ("loss.wpo", "true"),
    ("loss.mix", r#"[{ kind = "sigmoid", weight = 0.8 }, { kind = "sft" }]"#),
    ("data.preset", r#""helpsteer3""#),
    ("data.pairs", r#""best-worst""#),
    ("reference.update_every", "512"),
    ("reference.mix", "0.6"),
    ("data.stream", "true"),
    ("data.stream_buffer", "8192"),
    ("data.stream_check", r#""all""#),
    ("lora.rank", "16"),
    ("lora.alpha", "32.0"),
    ("lora.base_quant", r#""q8_0""#),
    ("lora.adapter", r#""path/to/adapter""#),
    ("train.warmup_steps", "150"),
    ("train.max_steps", "1000"),
    ("train.tokens_per_batch", "4096"),
    ("run.out", r#""runs/my-run""#),
];

const WIDTH: usize = 96;

/// A key's value as TOML: its default, or an example.
enum Shown {
    Default(String),
    Example(&'static str),
}

fn shown(key: &Key, defaults: &toml::Table) -> Option<Shown> {
    if let Some((_, example)) = EXAMPLES.iter().find(|(path, _)| *path == key.path()) {
        return Some(Shown::Example(example));
    }
    let default = defaults.get(key.section)?.get(&key.name)?;
    Some(Shown::Default(in_toml(default)))
}

/// A run file with every key, each explained and commented out at its default.
pub(crate) fn template() -> String {
    let defaults = defaults();
    let mut text = String::from(
        "# A run file of `dpo train --config`. Every setting is shown with its default, commented out:\n\
         # remove the `#` before a key to change it. `[model] base` and `[data] train` must be set.\n\n",
    );
    for section in sections() {
        let _ = writeln!(text, "[{section}]");
        for key in keys().iter().filter(|key| key.section == section) {
            template_key(&mut text, key, &defaults);
        }
    }
    text.truncate(text.trim_end().len() + 1);
    text
}

fn template_key(text: &mut String, key: &Key, defaults: &toml::Table) {
    for paragraph in key.help.split("\n\n") {
        for line in wrap(&sentence(paragraph), WIDTH) {
            let _ = writeln!(text, "# {line}");
        }
    }
    for (word, help) in &key.choices {
        let _ = writeln!(text, "#   {word}: {help}");
    }
    match shown(key, defaults) {
        Some(Shown::Default(value)) => {
            let _ = writeln!(text, "#{} = {value}", key.name);
        }
        Some(Shown::Example(value)) => {
            let _ = writeln!(text, "# Not set; for example:\n#{} = {value}", key.name);
        }
        None => {}
    }
    text.push('\n');
}

/// `docs/run-file.md`.
#[cfg(test)]
pub(crate) fn reference_page() -> String {
    let defaults = defaults();
    let mut page = String::from(INTRODUCTION);
    for section in sections() {
        let _ = write!(page, "\n## `[{section}]`\n\n| key | flag | default | meaning |\n|---|---|---|---|\n");
        for key in keys().iter().filter(|key| key.section == section) {
            let _ = writeln!(page, "{}", row(key, &defaults));
        }
    }
    page
}

#[cfg(test)]
const INTRODUCTION: &str = "# The run file

<!-- Written by the program from its own declarations; a test compares the two. -->

`dpo train --config run.toml` reads a TOML file. `dpo config` prints one with every key, commented out at its default.
Every key is also a flag: a flag wins over the file, the file over the defaults. What a run came to is written to
`config.toml` in its run directory, and that file starts the same run again.

```toml
[model]
base = \"HuggingFaceTB/SmolLM2-135M-Instruct\"

[data]
train = [\"pairs.jsonl\"]
eval = { helpful = \"helpful.jsonl\", harmless = \"harmless.jsonl\" }

[loss]
kind = \"ipo\"
beta = 0.2
```

Everything wrong is said at once, with its place, before anything is loaded:

| mistake | what is said |
|---|---|
| a misspelt key | ``run.toml:9:1: unknown key `bta` in `[loss]`; did you mean `beta`?`` |
| a key in the wrong table | ``run.toml:3:1: unknown key `beta` in `[train]`; did you mean `beta` in `[loss]`?`` |
| a wrong type | ``run.toml:9:8: `loss.beta`: invalid type: string \"high\", expected f64`` |
| a value out of range | ``run.toml:9:8: `loss.beta` is -1; expected a number above 0`` |
| a setting the loss does not read | ``--label-smoothing: `loss.label_smoothing` is set, but the loss `ipo` does not read it; remove it`` |
| two settings that exclude each other | ``run.toml:5:10: `train.epochs` and `train.max_steps` are both set; remove one of them`` |

Of two settings that exclude each other, a flag takes the place of the file's: `--max-steps 20` over `epochs = 3` takes 20 steps.
";

#[cfg(test)]
fn row(key: &Key, defaults: &toml::Table) -> String {
    let value = match shown(key, defaults) {
        Some(Shown::Default(value)) => format!("`{value}`"),
        Some(Shown::Example(_)) | None => "not set".to_owned(),
    };
    let mut meaning = key.help.split("\n\n").map(sentence).collect::<Vec<_>>().join(" ");
    for (word, help) in &key.choices {
        let _ = write!(meaning, "<br>`{word}`: {}", sentence(help));
    }
    let meaning = meaning.replace('|', "\\|");
    format!("| `{}` | `--{}` | {value} | {meaning} |", key.name, key.flag)
}

/// The paragraph on one line with a full stop at its end.
fn sentence(paragraph: &str) -> String {
    let mut line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    if !line.ends_with(['.', ':', '?']) {
        line.push('.');
    }
    line
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
