//! `dpo export --gguf`: a file for llama.cpp and what is built on it, with a Modelfile for Ollama beside it.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use dpo_data::GgufVocabulary;
use dpo_model::{
    Adapter, GgufTokenizer,
    gguf::{GgmlType, GgufValue, write_adapter, write_model},
};
use dpo_train::write_atomically;

use crate::{
    device, export::make_parent, model_source::ModelSource, run_file::choices::Backend, train::note,
};

/// How the matrices of a GGUF file are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quant {
    /// Single precision
    F32,
    /// Half precision
    F16,
    /// The upper half of single precision
    Bf16,
    /// 8 bits a number and a factor for every 32
    #[value(name = "q8_0")]
    Q80,
    /// 4 bits a number and a factor for every 32
    #[value(name = "q4_0")]
    Q40,
}

impl Quant {
    fn ggml_type(self) -> GgmlType {
        match self {
            Self::F32 => GgmlType::F32,
            Self::F16 => GgmlType::F16,
            Self::Bf16 => GgmlType::Bf16,
            Self::Q80 => GgmlType::Q8_0,
            Self::Q40 => GgmlType::Q4_0,
        }
    }
}

/// Writes the adapter alone where there is one that is not merged, else the model.
pub(crate) fn write(path: &Path, quant: Quant, adapter: Option<Adapter>, source: &ModelSource) -> Result<()> {
    let parent = make_parent(path)?;
    let temporary =
        tempfile::Builder::new().prefix(".export-").suffix(".gguf").tempfile_in(parent)?.into_temp_path();
    if let Some(adapter) = adapter {
        write_adapter(&temporary, &adapter, source.config(), quant.ggml_type())?;
    } else {
        let (modelfile, text) = (modelfile(path), modelfile_text(path, source)?);
        refuse_another(&modelfile, &text)?;
        let tokenizer = tokenizer_metadata(source)?;
        let model = source.load(&device::open(Backend::Cpu)?)?.merged();
        write_model(&temporary, &model, &model_name(source), quant.ggml_type(), tokenizer)?;
        write_atomically(&modelfile, text.as_bytes())?;
    }
    crate::train::make_readable(&temporary)?;
    temporary.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

fn model_name(source: &ModelSource) -> String {
    let name = Path::new(&source.name).file_stem();
    name.map_or_else(|| source.name.clone(), |name| name.to_string_lossy().into_owned())
}

fn tokenizer_metadata(source: &ModelSource) -> Result<Vec<(String, GgufValue)>> {
    let export = source.encoder.to_gguf_vocabulary(source.config().vocab_size)?;
    export.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
    Ok(tokenizer(export.vocabulary).to_metadata())
}

/// The tokenizer's fields under the GGUF writer's names; what is empty is not written.
fn tokenizer(vocabulary: GgufVocabulary) -> GgufTokenizer {
    let unless_empty = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    GgufTokenizer {
        model: vocabulary.model,
        pre: Some(vocabulary.pre).filter(|pre| !pre.is_empty()),
        tokens: vocabulary.tokens,
        scores: Some(vocabulary.scores).filter(|list| !list.is_empty()),
        token_types: Some(vocabulary.token_types).filter(|list| !list.is_empty()),
        merges: unless_empty(vocabulary.merges),
        bos: vocabulary.bos_id,
        eos: vocabulary.eos_id,
        eot: vocabulary.eot_id,
        unk: vocabulary.unk_id,
        pad: vocabulary.pad_id,
        add_bos: vocabulary.add_bos,
        add_eos: vocabulary.add_eos,
        add_space_prefix: vocabulary.add_space_prefix,
        chat_template: vocabulary.chat_template,
    }
}

/// `NAME.Modelfile` beside `NAME.gguf`.
fn modelfile(path: &Path) -> PathBuf {
    path.with_extension("Modelfile")
}

/// A Modelfile that says something else is not written over: it belongs to another file, or somebody changed it.
fn refuse_another(modelfile: &Path, text: &str) -> Result<()> {
    match std::fs::read(modelfile) {
        Ok(found) if found == text.as_bytes() => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        _ => bail!(
            "{} is there already and is not the Modelfile of this export; choose another name for the GGUF file, or \
             remove it",
            modelfile.display()
        ),
    }
}

/// What Ollama needs beside the file: it finds the chat template in it.
fn modelfile_text(path: &Path, source: &ModelSource) -> Result<String> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut text =
        format!("# ollama create NAME -f {}\nFROM ./{file}\n", modelfile(Path::new(&file)).display());
    for id in source.stop_ids() {
        let stop = source.encoder.decode_with_special_tokens(&[id])?;
        text += &format!("PARAMETER stop {}\n", serde_json::to_string(&stop)?);
    }
    Ok(text)
}
