//! `cargo xtask bench --against-python`: one run of each side after the other, again and again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    built,
    configuration::{Configuration, Dtype, Rows, Settings},
    flags::Flags,
    folder, python,
    ratios::{self, Pair},
    rows,
};
use crate::{
    cargo::{cargo, root},
    process,
};

/// glibc keeps what it was given: the Python trainer is faster so.
const MALLOC: &str =
    "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:glibc.malloc.top_pad=268435456";
/// Steps that tell which number format is the faster one; the first is not counted.
const PROBE_STEPS: usize = 4;

/// Both programs, and what they are given.
struct Bench<'a> {
    flags: &'a Flags,
    folder: PathBuf,
    /// Pairs, which both sides read.
    pairs: PathBuf,
    /// Lists, which ours reads, and their pairs.
    lists: Option<(PathBuf, PathBuf, usize)>,
    dpo: PathBuf,
    python: PathBuf,
}

/// Runs the command.
pub(super) fn run(flags: &Flags) -> Result<ExitCode> {
    if !flags.model.join("config.json").is_file() {
        bail!("{}: no Hugging Face folder, there is no config.json in it", flags.model.display());
    }
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let n_rows = flags.steps * flags.batch_size;
    let pairs = rows::first(&flags.data, n_rows, &folder.join("rows.jsonl"))?;
    let lists = flags.lists.as_deref().filter(|_| flags.only.contains(&Configuration::Lists));
    let lists = lists.map(|lists| rows::lists(lists, n_rows, &folder)).transpose()?;
    let status = process::run(cargo("build").args(["--release", "--package", "dpo-cli"]))?;
    if !status.success() {
        return Ok(process::exit_code(status));
    }
    let python = python::interpreter(flags.python_env.as_deref(), &folder)?;
    let bench = Bench { flags, dpo: built("dpo")?, folder, pairs, lists, python };
    bench.compare()?;
    Ok(ExitCode::SUCCESS)
}

impl Bench<'_> {
    fn compare(&self) -> Result<()> {
        let out = self.flags.out.clone().unwrap_or_else(|| self.folder.join("against-python.json"));
        if let Some(load) = load_average().filter(|load| *load > 0.5) {
            eprintln!(
                "warning: the load average is {load:.1}; figures are only worth something on a quiet machine"
            );
        }
        let plain = Settings { ours: Dtype::F32, python: Dtype::F32, lora_rank: None, rows: Rows::Pairs };
        let probe = self.ours(plain, 2)?;
        let mut result = json!({});
        let mut measured: Vec<(Settings, Vec<Pair>)> = Vec::new();
        for configuration in &self.flags.only {
            let name = configuration.name();
            let settings = self.settings(*configuration, probe["bf16_unit"] == true)?;
            eprintln!("── {name}: ours in {}, TRL in {}", settings.ours.name(), settings.python.name());
            let known = measured.iter().find(|(known, _)| *known == settings).map(|(_, pairs)| pairs.clone());
            let pairs = match known {
                Some(pairs) => pairs,
                None => self.pairs(name, settings)?,
            };
            println!("{name}\n{}", ratios::table(&pairs));
            result[name] = ratios::json(&pairs);
            result["machine"] = machine(&probe, &pairs);
            write(&out, &result)?;
            measured.push((settings, pairs));
        }
        eprintln!("── {}", out.display());
        Ok(())
    }

    /// The number formats of a configuration.
    fn settings(&self, configuration: Configuration, has_bf16_unit: bool) -> Result<Settings> {
        let rows = match &self.lists {
            Some((_, _, pairs)) if configuration == Configuration::Lists => Rows::Lists { pairs: *pairs },
            _ => Rows::Pairs,
        };
        let lora_rank = (configuration == Configuration::LoraBest).then_some(self.flags.lora_rank);
        if configuration == Configuration::FullF32 {
            return Ok(Settings { ours: Dtype::F32, python: Dtype::F32, lora_rank, rows });
        }
        let mut speeds = Vec::new();
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let settings = Settings { ours: dtype, python: dtype, lora_rank, rows: Rows::Pairs };
            let run = self.python(settings, PROBE_STEPS.min(self.flags.steps))?;
            let speed = run["pairs_per_second"].as_f64().context("the Python trainer tells no speed")?;
            eprintln!("── probe: TRL in {}: {speed:.3} pairs/s", dtype.name());
            speeds.push((dtype, speed));
        }
        let python = if speeds[1].1 > speeds[0].1 { Dtype::Bf16 } else { Dtype::F32 };
        Ok(Settings { ours: if has_bf16_unit { Dtype::Bf16 } else { Dtype::F32 }, python, lora_rank, rows })
    }

    fn pairs(&self, name: &str, settings: Settings) -> Result<Vec<Pair>> {
        let mut pairs = Vec::new();
        for idx in 1..=self.flags.pairs {
            let load_average = load_average();
            let python = self.python(settings, self.flags.steps)?;
            let ours = self.ours(settings, self.flags.steps)?;
            let speed = |run: &Value| run["pairs_per_second"].as_f64().unwrap_or(f64::NAN);
            eprintln!(
                "── {name} {idx}/{}: ours {:.3} rows/s, TRL {:.3}",
                self.flags.pairs,
                speed(&ours),
                speed(&python)
            );
            pairs.push(Pair { ours, python, load_average });
        }
        Ok(pairs)
    }

    /// Figures of `dpo bench`; its first step is a warm-up.
    fn ours(&self, settings: Settings, steps: usize) -> Result<Value> {
        let rows = match &self.lists {
            Some((lists, ..)) if settings.rows != Rows::Pairs => lists,
            _ => &self.pairs,
        };
        let mut command = Command::new(&self.dpo);
        command.args(["bench", "--overlong", "keep_start", "--warmup", "1"]);
        command.args([
            "--steps",
            &(steps - 1).to_string(),
            "--batch-size",
            &self.flags.batch_size.to_string(),
        ]);
        self.figures(command, settings.ours, settings.lora_rank, rows)
    }

    /// Figures of TRL; it leaves out its first step. Where a row is a list, all its pairs are one row.
    fn python(&self, settings: Settings, steps: usize) -> Result<Value> {
        let (rows, of_each) = match (&self.lists, settings.rows) {
            (Some((_, pairs, _)), Rows::Lists { pairs: of_each }) => (pairs, of_each),
            _ => (&self.pairs, 1),
        };
        let mut command = Command::new(&self.python);
        command.arg(root().join("tests/python/trl_dpo.py"));
        command.args([
            "--steps",
            &(steps * of_each).to_string(),
            "--batch",
            &self.flags.batch_size.to_string(),
        ]);
        command.args(["--lr", "1e-6", "--precompute"]);
        command.env("GLIBC_TUNABLES", MALLOC).env("HF_HUB_OFFLINE", "1");
        command.env("OMP_NUM_THREADS", self.flags.threads.to_string());
        let mut figures = self.figures(command, settings.python, settings.lora_rank, rows)?;
        for speed in ["pairs_per_second", "reference_rows_per_second"] {
            if let Some(pairs) = figures[speed].as_f64() {
                figures[speed] = json!(pairs / of_each as f64);
            }
        }
        Ok(figures)
    }

    /// Adds the flags that both have, and reads what was written.
    fn figures(
        &self,
        mut command: Command,
        dtype: Dtype,
        lora_rank: Option<usize>,
        rows: &Path,
    ) -> Result<Value> {
        let Flags { model, max_length, threads, .. } = self.flags;
        let out = self.folder.join("run.json");
        command.arg("--model").arg(model).arg("--data").arg(rows).arg("--out").arg(&out);
        command.args(["--dtype", dtype.name(), "--max-length", &max_length.to_string()]);
        command.args(["--threads", &threads.to_string()]);
        if let Some(rank) = lora_rank {
            command.args(["--lora-rank", &rank.to_string()]);
        }
        process::quietly(&mut command)?;
        let text = fs::read(&out).with_context(|| format!("cannot read {}", out.display()))?;
        let mut figures: Value =
            serde_json::from_slice(&text).with_context(|| format!("{}: no JSON", out.display()))?;
        // Where it lies says something of this machine alone.
        figures["model"] = json!(model.file_name().map(|name| name.to_string_lossy()));
        Ok(figures)
    }
}

/// What the figures were measured on and with.
fn machine(probe: &Value, pairs: &[Pair]) -> Value {
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    json!({
        "arithmetic": probe["arithmetic"],
        "bf16_unit": probe["bf16_unit"],
        "threads": probe["threads"],
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_bytes": memory.map(|kib| kib * 1024),
        "dpo": env!("CARGO_PKG_VERSION"),
        "python": pairs.first().map(|pair| &pair.python["versions"]),
    })
}

/// Of the last minute, where the system tells it.
fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn write(path: &Path, result: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(result)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
