//! Prints the configuration and the tensors of a Hugging Face folder or a GGUF file.
//!
//! `cargo run --release --package dpo-model --example inspect_weights -- PATH`

use dpo_model::config::HfConfig;
use dpo_model::error::ModelError;
use dpo_model::gguf::GgufModel;
use dpo_model::weights::{HfFolder, WeightSource};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: inspect_weights FOLDER_OR_GGUF");
        return ExitCode::from(2);
    };
    match inspect(Path::new(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn inspect(path: &Path) -> Result<(), ModelError> {
    if path.is_dir() {
        let config = HfConfig::read(&path.join("config.json"))?;
        return print(&config, &HfFolder::open(path)?);
    }
    let model = GgufModel::open(path)?;
    for (key, value) in model.file().metadata() {
        println!("{key} = {value}");
    }
    print(model.config(), &model)
}

fn print(config: &HfConfig, source: &dyn WeightSource) -> Result<(), ModelError> {
    println!("{:#?}", config.decoder);
    for tensor in source.tensors() {
        let values = source.read_f32(&tensor.name)?;
        let root_mean_square =
            (values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        println!(
            "{:60} {:9} {:?} rms {root_mean_square:.6}",
            tensor.name,
            tensor.dtype.torch_name(),
            tensor.shape
        );
    }
    source.check(&config.decoder)?;
    println!("the tensors fit the configuration");
    Ok(())
}
