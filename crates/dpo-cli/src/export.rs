//! `dpo export`: a model or an adapter for other tools.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use clap::Args;
use dpo_data::Clock;
use dpo_model::Adapter;

use crate::{
    adapters::AdapterArgs,
    device,
    gguf::{self, Quant},
    hub::Hub,
    model_source::ModelSource,
    run_file::choices::{Backend, SaveDtype},
    terminal::WrongUsage,
    train::{note, write_weights},
};

/// Arguments of `dpo export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// A folder, a hub id, a .gguf file, or the folder of an adapter
    #[arg(long)]
    model: String,
    #[command(flatten)]
    adapters: AdapterArgs,
    /// Put the adapter into the weights, so that any tool can use the model without it
    #[arg(long)]
    merge: bool,
    /// Folder to write: a Hugging Face model, or a PEFT adapter where there is one and it is not merged
    #[arg(long, value_name = "FOLDER", required_unless_present = "gguf", conflicts_with = "gguf")]
    out: Option<PathBuf>,
    /// File to write instead, for llama.cpp and Ollama: the model, or the adapter where it is not merged
    ///
    /// Beside a model goes NAME.Modelfile, for Ollama; another one that is there is not written over.
    #[arg(long, value_name = "FILE.gguf")]
    gguf: Option<PathBuf>,
    /// How the matrices of a GGUF file are stored
    ///
    /// f16 unless it is given.
    #[arg(long, value_enum)]
    quant: Option<Quant>,
}

/// Runs the command.
pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode> {
    if args.quant.is_some() && args.gguf.is_none() {
        let problem = "--quant is for GGUF files; give --gguf FILE or remove it";
        return Err(WrongUsage(problem.to_owned()).into());
    }
    let hub = Hub::from_env(true)?;
    let source = ModelSource::open(&args.model, &hub, Clock::now())?.with_adapters(args.adapters.read(&hub)?);
    let adapter = source.adapter()?;
    if args.merge && adapter.is_none() {
        bail!("--merge does nothing without an adapter; give --adapter FOLDER or remove it");
    }
    let adapter = adapter.filter(|_| !args.merge);
    if let Some(path) = &args.gguf {
        refuse_what_is_there(path, &args.model, &source)?;
        gguf::write(path, args.quant.unwrap_or(Quant::F16), adapter.clone(), &source)?;
        note(&format!("written    {}", path.display()));
    }
    if let Some(folder) = &args.out {
        refuse_what_is_there(folder, &args.model, &source)?;
        write_folder(folder, adapter, &source)?;
        note(&format!("written    {}", folder.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn write_folder(folder: &Path, adapter: Option<Adapter>, source: &ModelSource) -> Result<()> {
    let parent = make_parent(folder)?;
    let temporary = tempfile::Builder::new().prefix(".export-").tempdir_in(parent)?;
    match adapter {
        Some(adapter) => write_adapter(temporary.path(), adapter, source)?,
        None => write_model(temporary.path(), source, &device::open(Backend::Cpu)?)?,
    }
    source.write_companions(temporary.path())?;
    crate::train::give_name(temporary.path(), folder)
        .with_context(|| format!("cannot write {}", folder.display()))?;
    let _ = temporary.keep();
    Ok(())
}

/// The folder that `path` lies in, made where it is not there.
pub(crate) fn make_parent(path: &Path) -> Result<&Path> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    Ok(parent)
}

/// Nothing is written over: neither what is exported nor anything else.
fn refuse_what_is_there(out: &Path, model: &str, source: &ModelSource) -> Result<()> {
    let same = |path: &Path| match (path.canonicalize(), out.canonicalize()) {
        (Ok(path), Ok(out)) => path == out || out.starts_with(&path),
        _ => false,
    };
    if same(&source.path) || same(Path::new(model)) {
        bail!("{} is what is exported; choose another place", out.display());
    }
    let is_empty = || std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if out.exists() && !is_empty() {
        bail!("{} is there already; choose another place, or remove it", out.display());
    }
    Ok(())
}

fn write_adapter(folder: &Path, adapter: Adapter, source: &ModelSource) -> Result<()> {
    let base = Some(source.name.clone());
    Ok(Adapter { base, ..adapter }.write(folder, source.config())?)
}

fn write_model(folder: &Path, source: &ModelSource, device: &Device) -> Result<()> {
    write_weights(folder, &source.load(device)?.merged(), source, SaveDtype::Base)
}
