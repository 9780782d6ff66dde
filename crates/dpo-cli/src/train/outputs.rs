//! What a run leaves behind: the model, its card, the record.

use std::path::Path;

use anyhow::{Context, Result};
use dpo_data::{Clock, FileReport};
use dpo_model::{
    Adapter, Decoder,
    weights::{HfFolder, WeightDtype, WeightSource},
};
use dpo_train::{Ending, Progress, RunDir, StepTimes, Warning, save_decoder, write_atomically};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    device,
    model_source::ModelSource,
    run_file::{RunConfig, choices::SaveDtype},
};

/// `run.json`: what was run, on what, and what it cost.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunRecord {
    /// The command line.
    pub(crate) command: Vec<String>,
    /// `running`, `complete`, `interrupted` or `failed: why`.
    pub(crate) status: String,
    device: String,
    threads: usize,
    seed: u64,
    /// When the first sitting began, in seconds since 1970; what chat templates are told.
    clock: i64,
    versions: Value,
    model: Value,
    /// BLAKE3 of the weights and configuration that training started from.
    pub(crate) base_digest: String,
    /// The training files.
    pub(crate) data: Vec<FileReport>,
    cost: Value,
    warnings: Vec<Warning>,
    /// Cards for the head of the report.
    pub(crate) results: Vec<Value>,
}

impl RunRecord {
    pub(crate) fn new(config: &RunConfig, source: &ModelSource, clock: Clock) -> Self {
        Self {
            command: std::env::args().collect(),
            status: "running".to_owned(),
            device: device::name(config.run.backend).to_owned(),
            threads: rayon::current_num_threads(),
            seed: config.train.seed,
            clock: clock.unix_seconds(),
            versions: json!({ "dpo": env!("CARGO_PKG_VERSION"), "burn": "0.22.1" }),
            model: json!({
                "base": source.name,
                "reference": config.model.reference.as_deref().unwrap_or("the base itself"),
            }),
            base_digest: String::new(),
            data: Vec::new(),
            cost: Value::Null,
            warnings: Vec::new(),
            results: Vec::new(),
        }
    }

    /// Fills in how the run ended and what it cost.
    pub(crate) fn finish(&mut self, progress: &Progress, times: &StepTimes, ending: Ending) {
        self.status = match ending {
            Ending::Complete => "complete".to_owned(),
            Ending::Stopped => format!("interrupted after step {}", progress.step),
        };
        self.warnings.clone_from(&progress.warnings);
        self.cost = json!({
            "seconds": progress.seconds,
            "tokens": progress.n_tokens,
            "tokens_per_second": progress.n_tokens as f64 / progress.seconds.max(1e-9),
            "peak_memory_bytes": peak_memory_bytes(),
            "forward_seconds": times.passes.forward.as_secs_f64(),
            "backward_seconds": times.passes.backward.as_secs_f64(),
            "optimizer_seconds": times.optimizer.as_secs_f64(),
        });
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        Ok(write_atomically(path, &serde_json::to_vec_pretty(self)?)?)
    }
}

/// The largest resident size of this process so far, where the system tells it.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    system_bytes("/proc/self/status", "VmHWM:")
}

/// Bytes that Linux tells under a name in a file of its own.
pub(crate) fn system_bytes(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// Writes `model/`: a Hugging Face folder in the base's number formats or a PEFT folder, with the tokenizer and a card.
///
/// The folder appears whole, under its name, or not at all.
pub(crate) fn save_model(
    dir: &RunDir,
    policy: &Decoder,
    source: &ModelSource,
    record: &RunRecord,
    save_dtype: SaveDtype,
) -> Result<()> {
    let temporary = tempfile::Builder::new().prefix("model.tmp-").tempdir_in(dir.path())?;
    let folder = temporary.path();
    if let Some(adapter) = policy.adapter() {
        Adapter { base: Some(source.name.clone()), ..adapter }.write(folder, policy.config())?;
    } else {
        write_weights(folder, policy, source, save_dtype)?;
        tell_what_rounding_lost(folder, policy, source, save_dtype)?;
    }
    source.write_companions(folder)?;
    write_atomically(&folder.join("README.md"), card(source, record, policy.adapter().is_some()).as_bytes())?;
    give_name(folder, &dir.model()).context("cannot put the model in its place")?;
    let _ = temporary.keep();
    Ok(())
}

/// All weights in this format, with the configuration.
pub(crate) fn write_weights(
    folder: &Path,
    model: &Decoder,
    source: &ModelSource,
    save_dtype: SaveDtype,
) -> Result<()> {
    let dtypes = source.dtypes();
    let dtype = |name: &str| save_dtype.of(dtypes.get(name).copied().unwrap_or(WeightDtype::F32));
    let mut config = source.raw_config().clone();
    if save_dtype != SaveDtype::Base {
        let key = if config.contains_key("torch_dtype") { "torch_dtype" } else { "dtype" };
        config.insert(key.to_owned(), save_dtype.of(WeightDtype::F32).torch_name().into());
    }
    Ok(save_decoder(folder, model, &config, dtype)?)
}

/// Share of what training changed that is to be in the written model, at least.
const KEPT: f64 = 0.9;

/// Says how much of the change is in the written weights, where these have fewer digits than those that were trained and much
/// is not: the projection of the change as written on the change as trained, over all such weights.
fn tell_what_rounding_lost(
    folder: &Path,
    policy: &Decoder,
    source: &ModelSource,
    save_dtype: SaveDtype,
) -> Result<()> {
    let mut halves = source.dtypes();
    halves.values_mut().for_each(|dtype| *dtype = save_dtype.of(*dtype));
    halves.retain(|_, dtype| matches!(dtype, WeightDtype::Bf16 | WeightDtype::F16));
    let Some(format) = halves.values().next().map(|dtype| dtype.torch_name()) else { return Ok(()) };
    let mut weights = Vec::new();
    policy.for_each_weight(|info, tensor| weights.push((info, tensor)));
    weights.retain(|(info, _)| halves.contains_key(&info.name));
    let written = HfFolder::open(folder)?;
    let (mut kept, mut all) = (0.0, 0.0);
    for (info, tensor) in weights {
        let trained = info.to_stored(tensor.to_data().iter::<f32>().collect());
        let (written, base) = (written.read_f32(&info.name)?, source.values(&info.name)?);
        let [written, base] = [&written, &base].map(|values| info.own(values).unwrap_or_default());
        for ((&trained, &written), &base) in trained.iter().zip(written).zip(base) {
            let change = f64::from(trained) - f64::from(base);
            kept += change * (f64::from(written) - f64::from(base));
            all += change * change;
        }
    }
    if all > 0.0 && kept < KEPT * all {
        eprintln!(
            "warning: the model is written in {format}, which has room for {:.0} % of what training changed: smaller steps are \
             rounded away. With --save-dtype f32 they are kept, and in an adapter (--lora-rank)",
            100.0 * kept / all
        );
    }
    Ok(())
}

/// Gives the finished folder its name; one that is there already steps aside until that is done.
pub(crate) fn give_name(from: &Path, to: &Path) -> Result<()> {
    make_readable(from)?;
    let old = to.with_extension("old");
    if old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    if to.exists() {
        std::fs::rename(to, &old)?;
    }
    std::fs::rename(from, to)?;
    if old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    Ok(())
}

/// Temporary folders and files are their owner's alone; a model is for whoever may read the run.
#[cfg(unix)]
pub(crate) fn make_readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}

#[cfg(not(unix))]
pub(crate) fn make_readable(_: &Path) -> Result<()> {
    Ok(())
}

/// The model card: what it was made of, so that it can be made again.
fn card(source: &ModelSource, record: &RunRecord, is_adapter: bool) -> String {
    let library = if is_adapter { "peft" } else { "transformers" };
    let mut text = format!(
        "---\nlibrary_name: {library}\ntags: [dpo, preference-tuning]\n---\n\n# {} tuned on preferences\n\n\
         Made with `dpo` {}.\n\n- base: `{}`, BLAKE3 of weights and configuration `{}`\n",
        Path::new(&source.name)
            .file_name()
            .map_or_else(|| source.name.clone(), |n| n.to_string_lossy().into_owned()),
        env!("CARGO_PKG_VERSION"),
        source.name,
        record.base_digest,
    );
    for file in &record.data {
        let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        text += &format!("- data: `{name}`, {} rows, BLAKE3 `{}`\n", file.rows, file.blake3);
    }
    text + &format!("- seed: {}\n\nThe settings are in `config.toml` of the run.\n", record.seed)
}
