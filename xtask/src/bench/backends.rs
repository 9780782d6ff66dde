//! `cargo xtask bench --backend A --backend B`: the same steps on each, side by side.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{bars, folder};
use crate::{
    dpo, process,
    split::{Backend, WrongUsage, names_out},
};

/// A figure of the table.
struct Figure {
    name: &'static str,
    of: fn(&Value) -> Option<f64>,
    digits: usize,
}

const GIB: f64 = (1_u64 << 30) as f64;

const FIGURES: [Figure; 13] = [
    Figure { name: "pairs/s", of: |run| run["pairs_per_second"].as_f64(), digits: 3 },
    Figure {
        name: "  median of steps",
        of: |run| run["step_pairs_per_second"]["median"].as_f64(),
        digits: 3,
    },
    Figure {
        name: "  first quartile",
        of: |run| run["step_pairs_per_second"]["quartiles"][0].as_f64(),
        digits: 3,
    },
    Figure {
        name: "  third quartile",
        of: |run| run["step_pairs_per_second"]["quartiles"][1].as_f64(),
        digits: 3,
    },
    Figure { name: "tokens/s", of: |run| run["tokens_per_second"].as_f64(), digits: 0 },
    Figure { name: "reference rows/s", of: |run| run["reference_rows_per_second"].as_f64(), digits: 2 },
    Figure { name: "forward, s", of: |run| part(run, "forward_share"), digits: 3 },
    Figure { name: "backward, s", of: |run| part(run, "backward_share"), digits: 3 },
    Figure { name: "optimizer, s", of: |run| part(run, "optimizer_share"), digits: 3 },
    Figure { name: "first step, s", of: |run| run["first_step_seconds"].as_f64(), digits: 2 },
    Figure {
        name: "device memory, GiB",
        of: |run| Some(run["device_memory_bytes"].as_f64()? / GIB),
        digits: 2,
    },
    Figure {
        name: "process memory, GiB",
        of: |run| Some(run["peak_memory_bytes"].as_f64()? / GIB),
        digits: 2,
    },
    Figure { name: "loss differs by", of: |run| run["max_loss_difference"].as_f64(), digits: 7 },
];

/// Seconds of a part of the median step.
fn part(run: &Value, share: &str) -> Option<f64> {
    Some(run[share].as_f64()? * run["step_seconds"]["median"].as_f64()?)
}

/// Builds all, then runs one after the other, each in a process of its own.
pub(super) fn run(backends: &[Backend], rest: &[OsString]) -> Result<ExitCode> {
    if names_out(rest) {
        let problem = "--out: figures of several backends go to target/bench/backends.json";
        return Err(WrongUsage(problem.to_owned()).into());
    }
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for backend in backends {
        let status = process::run(&mut dpo::build(*backend)?)?;
        if !status.success() {
            return Ok(process::exit_code(status));
        }
    }
    let mut runs = Vec::new();
    for backend in backends {
        eprintln!("── {}", backend.name());
        let out = folder.join(format!("backend-{}.json", backend.name()));
        let program =
            dpo::folder(*backend)?.join("release/dpo").with_extension(std::env::consts::EXE_EXTENSION);
        let mut command = Command::new(program);
        command.args(["bench", "--backend", backend.name()]).args(rest).arg("--out").arg(&out);
        let status = process::run(&mut command)?;
        if !status.success() {
            return Ok(process::exit_code(status));
        }
        let text = fs::read(&out).with_context(|| format!("cannot read {}", out.display()))?;
        runs.push(serde_json::from_slice(&text).with_context(|| format!("{}: no JSON", out.display()))?);
    }
    compare(&mut runs);
    print!("{}", table(&runs));
    let result = json!({ "backends": runs });
    write(&folder.join("backends.json"), &serde_json::to_string_pretty(&result)?)?;
    write(&folder.join("backends.svg"), &bars::svg(&bars_of(&runs)))?;
    eprintln!("── {0}/backends.json and {0}/backends.svg", folder.display());
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Says of each run how far its losses and the norms of its gradients are from those of the first.
fn compare(runs: &mut [Value]) {
    let Some(first) = runs.first().cloned() else { return };
    for run in runs {
        run["max_loss_difference"] = json!(largest(&run["losses"], &first["losses"], |a, b| (a - b).abs()));
        run["max_gradient_norm_difference"] =
            json!(largest(&run["gradient_norms"], &first["gradient_norms"], |a, b| (a - b).abs() / b.abs()));
    }
}

/// Of the differences of two lists; `None` where they are not as long, or where one has no number.
fn largest(ours: &Value, theirs: &Value, difference: fn(f64, f64) -> f64) -> Option<f64> {
    let (ours, theirs) = (ours.as_array()?, theirs.as_array()?);
    if ours.len() != theirs.len() {
        return None;
    }
    let pairs = ours.iter().zip(theirs);
    pairs
        .map(|(a, b)| Some(difference(a.as_f64()?, b.as_f64()?)))
        .try_fold(0.0, |max: f64, next| Some(max.max(next?)))
}

/// A column for each backend, a line for each figure.
fn table(runs: &[Value]) -> String {
    let mut text = format!("{:<24}", "");
    for run in runs {
        text += &format!("{:>14}", run["backend"].as_str().unwrap_or("?"));
    }
    for Figure { name, of, digits } in &FIGURES {
        text += &format!("\n{name:<24}");
        for run in runs {
            let value = of(run).map_or_else(|| "—".to_owned(), |value| format!("{value:.digits$}"));
            text += &format!("{value:>14}");
        }
    }
    text + "\n"
}

fn bars_of(runs: &[Value]) -> Vec<bars::Group> {
    let group = |title: &'static str, figure: &Figure, better: &'static str| bars::Group {
        title,
        better,
        digits: figure.digits,
        bars: runs
            .iter()
            .filter_map(|run| Some((run["backend"].as_str()?.to_owned(), (figure.of)(run)?)))
            .collect(),
    };
    let by = |name: &str| FIGURES.iter().find(|figure| figure.name == name).expect("a figure of the table");
    vec![
        group("training, pairs a second", by("pairs/s"), "more is better"),
        group("reference, rows a second", by("reference rows/s"), "more is better"),
        group("first step, seconds", by("first step, s"), "less is better"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Vec<Value> {
        let mut runs = vec![
            json!({ "backend": "cpu", "pairs_per_second": 2.0, "losses": [0.75, 0.5], "gradient_norms": [4.0, 2.0] }),
            json!({ "backend": "wgpu", "pairs_per_second": 8.5, "losses": [0.75, 0.25], "gradient_norms": [5.0, 2.0] }),
        ];
        compare(&mut runs);
        runs
    }

    #[test]
    fn a_backend_is_compared_with_the_first() {
        let runs = runs();
        assert_eq!(runs[0]["max_loss_difference"], 0.0);
        assert_eq!(runs[1]["max_loss_difference"], 0.25);
        assert_eq!(runs[1]["max_gradient_norm_difference"], 0.25);
    }

    #[test]
    fn what_cannot_be_compared_says_so() {
        assert_eq!(largest(&json!([1.0]), &json!([1.0, 2.0]), |a, b| a - b), None);
        assert_eq!(largest(&json!([null]), &json!([1.0]), |a, b| a - b), None);
    }

    #[test]
    fn the_table_has_a_column_for_each() {
        let table = table(&runs());
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["cpu", "wgpu"]);
        assert_eq!(lines[1], ["pairs/s", "2.000", "8.500"]);
        assert_eq!(lines[5], ["tokens/s", "—", "—"]);
    }

    #[test]
    fn the_picture_names_each_backend_and_its_figure() {
        let svg = bars::svg(&bars_of(&runs()));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        for text in ["cpu", "wgpu", "8.500", "2.000", "training, pairs a second"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }
}
