//! Continues token ids by a model of a Hugging Face folder or a GGUF file, greedily.
//!
//! `cargo run --release --package dpo-model --example generate -- PATH N_TOKENS ID… [/ ID…]…`
//!
//! Prompts are separated by `/`; a line of ids comes out for each.

use std::{path::Path, process::ExitCode};

use burn::tensor::Device;
use dpo_model::{Decoder, GenerateConfig, GgufModel, HfConfig, HfFolder, ModelError, Next};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((path, n_tokens, prompts)) = parse(&arguments) else {
        eprintln!("usage: generate FOLDER_OR_GGUF N_TOKENS ID... [/ ID...]...");
        return ExitCode::from(2);
    };
    match generate(Path::new(path), n_tokens, &prompts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<(&String, usize, Vec<Vec<u32>>)> {
    let [path, n_tokens, ids @ ..] = arguments else { return None };
    let prompt = |ids: &[String]| ids.iter().map(|id| id.parse().ok()).collect::<Option<Vec<u32>>>();
    Some((path, n_tokens.parse().ok()?, ids.split(|id| id == "/").map(prompt).collect::<Option<_>>()?))
}

fn generate(path: &Path, n_tokens: usize, prompts: &[Vec<u32>]) -> Result<(), ModelError> {
    let model = load(path)?;
    let stop_ids = model.config().eos_token_ids.clone();
    let config = GenerateConfig { max_new_tokens: n_tokens, stop_ids, ..GenerateConfig::default() };
    let start = std::time::Instant::now();
    let generations = model.generate(prompts, &config, |_| Next::Continue)?;
    let n: usize = generations.iter().map(|generation| generation.tokens.len()).sum();
    for generation in generations {
        let ids: Vec<String> = generation.tokens.iter().map(u32::to_string).collect();
        println!("{}", ids.join(" "));
    }
    eprintln!("{:.1} tokens/s", n as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

fn load(path: &Path) -> Result<Decoder, ModelError> {
    let device = Device::flex();
    if path.is_dir() {
        let config = HfConfig::read(&path.join("config.json"))?;
        return Decoder::load(&config.decoder, &HfFolder::open(path)?, &device);
    }
    let model = GgufModel::open(path)?;
    Decoder::load(&model.config().decoder, &model, &device)
}
