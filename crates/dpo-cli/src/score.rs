//! `dpo score`: the log-probability of every completion.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Error, Result, anyhow};
use burn::tensor::Device;
use clap::Args;
use dpo_core::Objective;
use dpo_data::{Clock, FileReport, Needed, Purpose, RowId, TokenTree, micro_batches};
use dpo_train::{INFERENCE_TOKENS, token_logps};
use serde_json::json;

use crate::{
    adapters::AdapterArgs,
    data::{DataReader, RowCache, Selection, note_max_length},
    device,
    hub::Hub,
    model_source::ModelSource,
    run_file::{
        RowArgs,
        choices::{Backend, Dtype, Overlong},
        config::DataConfig,
    },
    terminal::written,
    train::note,
};

/// Arguments of `dpo score`.
#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// File for the lines, written over if it is there; without it, they go to the terminal
    #[arg(long, value_name = "F.jsonl")]
    out: Option<PathBuf>,
    /// Rows are demonstrations (prompt and completion, or messages) instead of pairs
    #[arg(long)]
    demonstrations: bool,
}

/// A model and rows to put through it.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// A folder, a hub id or a .gguf file
    #[arg(long)]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) adapters: AdapterArgs,
    /// Files or hub data sets
    #[arg(long, required = true, num_args = 1..)]
    pub(crate) data: Vec<String>,
    /// Longest sequence in tokens; 0 for no limit
    #[arg(long, default_value_t = 0, value_parser = length)]
    pub(crate) max_length: usize,
    /// What becomes of longer ones
    #[arg(long, value_enum, default_value_t = Overlong::Refuse)]
    pub(crate) overlong: Overlong,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Take the rows of this group alone; the column `group` has to be named, or `--annotators` be each
    #[arg(long, value_name = "GROUP")]
    pub(crate) only_group: Option<String>,
    /// Operands of matrix products
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub(crate) dtype: Dtype,
    /// What computes
    #[arg(long, value_enum, default_value_t = Backend::Cpu)]
    pub(crate) backend: Backend,
    /// Threads; 0 takes one for each core
    #[arg(long, default_value_t = 0)]
    pub(crate) threads: usize,
}

/// A model on its device and rows as tokens.
pub(crate) struct Input {
    pub(crate) hub: Hub,
    pub(crate) source: ModelSource,
    pub(crate) trees: Vec<TokenTree>,
    pub(crate) files: Vec<FileReport>,
    pub(crate) device: Device,
}

impl InputArgs {
    /// Opens the model, reads the rows and says what became of them.
    pub(crate) fn open(&self, purpose: Purpose, needed: Needed) -> Result<Input> {
        let config = self.rows.config(&self.data, self.only_group.as_ref())?;
        let config = DataConfig { max_length: self.max_length, overlong: self.overlong, ..config };
        let device = device::open(self.backend)?;
        device::set_threads(self.threads)?;
        let hub = Hub::from_env(true)?;
        let source = ModelSource::open(&self.model, &hub, Clock::now())?
            .with_adapters(self.adapters.read(&hub)?)
            .in_precision(device::precision(&device, self.dtype)?);
        note_max_length(&config, source.config());
        let mut reader = DataReader::new(&hub, &source, &config, &Objective::Sft, RowCache::default());
        (reader.source.purpose, reader.needs) = (purpose, vec![needed]);
        let data = reader.load(&self.data, "test", &Selection::held_out(&config))?;
        data.report.lines().iter().for_each(|line| note(line));
        Ok(Input { hub, trees: data.trees, files: data.report.files, source, device })
    }
}

/// Runs the command.
pub(crate) fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let purpose = if args.demonstrations { Purpose::Demonstrations } else { Purpose::Pairs };
    let input = args.input.open(purpose, Needed::Anything)?;
    let model = input.source.load(&input.device)?;
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        )),
        None => Box::new(std::io::stdout().lock()),
    };
    let trees: Vec<&TokenTree> = input.trees.iter().collect();
    // Rows that were computed before one that stands before them.
    let mut early = BTreeMap::new();
    let mut n_written = 0;
    for indices in micro_batches(&trees, INFERENCE_TOKENS) {
        let part: Vec<&TokenTree> = indices.iter().map(|idx| trees[*idx]).collect();
        early.extend(indices.into_iter().zip(token_logps(&model, &part)));
        while let Some(logps) = early.remove(&n_written) {
            let tree = trees[n_written];
            if logps.iter().flatten().any(|logp| !logp.is_finite()) {
                written(out.flush())?;
                return Err(not_finite(&input.files, tree.row, "the model"));
            }
            written(writeln!(out, "{}", line(tree, &logps))).context("cannot write the scores")?;
            n_written += 1;
        }
    }
    written(out.flush()).context("cannot write the scores")?;
    Ok(ExitCode::SUCCESS)
}

/// `--max-length`: one token has no prompt to follow.
fn length(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(1) => Err("one token has no prompt to follow; expected 2 or more, or 0 for no limit".to_owned()),
        Ok(length) => Ok(length),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

/// That what `who` makes of a row is no number.
pub(crate) fn not_finite(files: &[FileReport], row: RowId, who: &str) -> Error {
    let file =
        files.get(row.file as usize).map_or_else(String::new, |file| format!("{}: ", file.path.display()));
    anyhow!(
        "{file}row {}: a log-prob of {who} is no finite number; its weights hold NaN or infinities, or overflow: \
         take other weights, or an earlier checkpoint",
        row.row
    )
}

/// `{"row":0,"prompt_tokens":n,"completions":[{"tokens":n,"logp":x},…]}`, with the row's `group` if it is of one.
fn line(tree: &TokenTree, logps: &[Vec<f32>]) -> serde_json::Value {
    let completion = |(tokens, logps): (&Vec<u32>, &Vec<f32>)| {
        let logp: f64 = logps.iter().map(|logp| f64::from(*logp)).sum();
        json!({ "tokens": tokens.len(), "logp": logp })
    };
    let completions: Vec<_> = tree.completions.iter().zip(logps).map(completion).collect();
    // Messages count rows from 1, as editors do; programs that read these lines count from 0.
    let row = tree.row.row.saturating_sub(1);
    let mut line = json!({ "row": row, "prompt_tokens": tree.prompt.len(), "completions": completions });
    if let Some(group) = &tree.group {
        line["group"] = group.as_str().into();
    }
    line
}
