//! `dpo assets`: makes everything the experiment starts from, out of seeds.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use dpo_data::Clock;
use dpo_model::{Decoder, HfConfig, weights::WeightDtype};
use dpo_train::save_decoder;

use super::{
    corpus::{self, Corpus, CorpusConfig},
    pairs::{self, Judge, Samples},
    rng::Rng,
    sampling::sample,
    shape::LlamaShape,
    tokenizer,
};
use crate::{
    hub::Hub,
    model_source::ModelSource,
    run_file::RunFile,
    train::{Session, note},
};

/// Seeds of the parts; another number gives another, as good a one.
const MODEL_SEED: u64 = 11;
const PROMPT_SEED: u64 = 12;
const SAMPLE_SEED: u64 = 13;
/// Completions sampled for each prompt, of which two are compared.
const SAMPLES_A_PROMPT: u64 = 4;

/// Arguments of `dpo assets`.
#[derive(Debug, Args)]
pub(crate) struct AssetsArgs {
    /// Where the assets go
    #[arg(long, default_value = "assets")]
    out: PathBuf,
    /// Sample pairs from this model, made before, instead of training one
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Passes over the corpus
    #[arg(long, default_value_t = 3.0)]
    epochs: f64,
    /// Training pairs
    #[arg(long, default_value_t = 8000)]
    train_pairs: usize,
    /// Held-out pairs
    #[arg(long, default_value_t = 400)]
    heldout_pairs: usize,
}

/// Runs the command.
pub(crate) fn make(args: &AssetsArgs) -> Result<ExitCode> {
    let model = args.out.join("model");
    match &args.model {
        Some(made) => copy_model(made, &model)?,
        None => train_model(args.epochs, &model)?,
    }
    write_pairs(&model, args)?;
    note(&format!("assets in {}", args.out.display()));
    Ok(ExitCode::SUCCESS)
}

/// Corpus, tokenizer and a model trained on them, saved to `folder`.
fn train_model(epochs: f64, folder: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let corpus = Corpus::generate(CorpusConfig::default());
    corpus.write(&work.path().join("corpus"))?;
    note(&format!("corpus: {} reviews, {} held out", corpus.train.len(), corpus.heldout.len()));
    let start = work.path().join("start");
    write_start(&corpus, &start)?;
    let tuned = fine_tune(work.path(), &start, epochs)?;
    copy_model(&tuned, folder)
}

/// The tokenizer of the corpus and a model with random weights.
fn write_start(corpus: &Corpus, folder: &Path) -> Result<()> {
    let shape = LlamaShape::default();
    let texts: Vec<String> = corpus.train.iter().map(super::grammar::Review::text).collect();
    tokenizer::write(&tokenizer::train(&texts, shape.vocab_size)?, shape.max_len, folder)?;
    let json = shape.config_json();
    let path = folder.join("config.json");
    std::fs::write(&path, serde_json::to_string_pretty(&json)?)?;
    let config = HfConfig::read(&path)?;
    let mut rng = Rng::new(MODEL_SEED, 0);
    let device = crate::device::open(crate::run_file::choices::Backend::Cpu)?;
    let model = Decoder::from_values(&config.decoder, &device, |info| {
        let n = info.shape.iter().product();
        let is_norm = info.shape.len() == 1;
        Ok::<_, anyhow::Error>((0..n).map(|_| if is_norm { 1.0 } else { 0.02 * normal(&mut rng) }).collect())
    })?;
    Ok(save_decoder(folder, &model, &config.raw, |_| WeightDtype::F32)?)
}

/// A standard normal number: Box and Muller.
fn normal(rng: &mut Rng) -> f32 {
    let (u, v) = (1.0 - rng.unit(), rng.unit());
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

/// Supervised fine-tuning on the corpus, with `dpo train` itself.
fn fine_tune(work: &Path, start: &Path, epochs: f64) -> Result<PathBuf> {
    let out = work.join("sft");
    let text = format!(
        "[model]\nbase = {:?}\n[data]\ntrain = [{:?}]\neval = [{:?}]\nmax_length = 256\n[loss]\nkind = \"sft\"\n\
         [train]\nlearning_rate = 3e-3\nschedule = \"cosine\"\nwarmup_ratio = 0.05\nepochs = {epochs:?}\n\
         batch_size = 64\nadam_beta2 = 0.99\nweight_decay = 0.05\n[eval]\nsamples = 3\nsample_tokens = 60\n\
         [run]\nout = {:?}\nsave_every = 0\n",
        start.display().to_string(),
        work.join("corpus/train.jsonl").display().to_string(),
        work.join("corpus/heldout.jsonl").display().to_string(),
        out.display().to_string(),
    );
    let file: RunFile = toml::from_str(&text)?;
    let finished = Session::open(file.init()?)?.train()?;
    if finished.ending != dpo_train::Ending::Complete {
        bail!("stopped before the model was trained");
    }
    Ok(finished.dir.join("model"))
}

/// The tuned model in bf16, with its tokenizer.
fn copy_model(tuned: &Path, folder: &Path) -> Result<()> {
    let hub = Hub::from_env(false)?;
    let source = ModelSource::open(&tuned.display().to_string(), &hub, Clock::at_unix_seconds(0))?;
    let model = source.load(&crate::device::open(crate::run_file::choices::Backend::Cpu)?)?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    dpo_model::weights::copy_companions(tuned, folder)?;
    Ok(save_decoder(folder, &model, source.raw_config(), |_| WeightDtype::Bf16)?)
}

/// Pairs sampled from the model as it was saved, ordered by the noisy judge.
fn write_pairs(model: &Path, args: &AssetsArgs) -> Result<()> {
    let hub = Hub::from_env(false)?;
    let source = ModelSource::open(&model.display().to_string(), &hub, Clock::at_unix_seconds(0))?;
    let decoder = source.load(&crate::device::open(crate::run_file::choices::Backend::Cpu)?)?;
    let wanted = args.train_pairs + args.heldout_pairs;
    // Some prompts give no two completions that differ enough.
    let prompts = corpus::prompts(PROMPT_SEED, wanted + wanted / 4);
    let mut samples: Vec<Samples> =
        prompts.iter().map(|prompt| Samples { prompt: prompt.clone(), completions: Vec::new() }).collect();
    for round in 0..SAMPLES_A_PROMPT {
        for (samples, drawn) in
            samples.iter_mut().zip(sample(&decoder, &source, &prompts, SAMPLE_SEED + round)?)
        {
            samples.completions.push(drawn.completion);
        }
    }
    let labelled = Judge::default().label(&samples);
    note(&format!(
        "pairs: {} of {} prompts ({} without two reviews that differ enough)",
        labelled.pairs.len(),
        prompts.len(),
        labelled.n_dropped
    ));
    if labelled.pairs.len() < wanted {
        bail!("{} pairs, {wanted} were wanted; sample more prompts", labelled.pairs.len());
    }
    let (train, rest) = labelled.pairs.split_at(args.train_pairs);
    pairs::write(&args.out.join("pairs"), train, &rest[..args.heldout_pairs])
}
