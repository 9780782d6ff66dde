//! A model as a user names it: a folder, a hub id or a GGUF file, with its tokenizer.

use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    rc::Rc,
};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use dpo_data::{Clock, GgufVocabulary, TextEncoder};
use dpo_model::{
    Adapter, Decoder, DecoderConfig, GgufModel, GgufTokenizer, HfConfig, HfFolder, ModelError, Precision,
    WeightSource,
    gguf::GgmlType,
    weights::{WeightDtype, copy_companions, with_prefix},
};
use dpo_train::write_atomically;
use serde_json::{Map, Value};

use crate::{adapters, device, hub::Hub};

/// A model's files, opened and checked; no weight is in memory. Clones share what was read of them.
#[derive(Clone)]
pub(crate) struct ModelSource {
    /// As the user named it.
    pub(crate) name: String,
    /// Its folder or file.
    pub(crate) path: PathBuf,
    /// Its tokenizer and chat template.
    pub(crate) encoder: Rc<TextEncoder>,
    hf: HfConfig,
    weights: Rc<dyn WeightSource>,
    /// Adapters that belong to it, with their strengths.
    adapters: Vec<(Adapter, f64)>,
    /// What it computes in once it is loaded.
    precision: Precision,
}

impl ModelSource {
    /// Finds and opens a model, from the hub if there is no such path.
    pub(crate) fn open(name: &str, hub: &Hub, clock: Clock) -> Result<Self> {
        let path = hub.model(name)?;
        if adapters::is_adapter(&path) {
            return Self::of_adapter(name, &path, hub, clock);
        }
        refuse_other_kinds(&path)?;
        let (hf, weights, encoder): (_, Box<dyn WeightSource>, _) = if path.is_dir() {
            let config = path.join("config.json");
            if !config.exists() {
                bail!(
                    "{}: no config.json here; expected a Hugging Face folder (config.json, model.safetensors, \
                     tokenizer.json), a .gguf file, or a hub id like `org/name`",
                    path.display()
                );
            }
            let hf = HfConfig::read(&config)?;
            let weights = with_prefix(Box::new(HfFolder::open(&path)?), &hf.decoder);
            (hf, weights, TextEncoder::from_folder(&path, clock)?)
        } else {
            let gguf = GgufModel::open(&path)?;
            let vocabulary = vocabulary(gguf.tokenizer()?);
            let encoder = TextEncoder::from_gguf(&vocabulary, &path, clock)?;
            (gguf.config().clone(), Box::new(gguf), encoder)
        };
        let (encoder, weights) = (Rc::new(encoder), weights.into());
        let (adapters, precision) = (Vec::new(), Precision::F32);
        let source = Self { name: name.to_owned(), path, encoder, hf, weights, adapters, precision };
        source.check_vocabulary()?;
        Ok(source)
    }

    /// A folder with an adapter stands for its base with the adapter on it.
    fn of_adapter(name: &str, folder: &Path, hub: &Hub, clock: Clock) -> Result<Self> {
        let adapter = Adapter::read(folder)?;
        let Some(base) = &adapter.base else {
            bail!(
                "{}: an adapter that does not name its base; give --model BASE --adapter {name}",
                folder.display()
            );
        };
        let source = Self::open(base, hub, clock)
            .with_context(|| format!("cannot open the base of the adapter {}", folder.display()))?;
        Ok(source.with_adapters(vec![(adapter, 1.0)]))
    }

    /// The model with these adapters too.
    pub(crate) fn with_adapters(mut self, adapters: Vec<(Adapter, f64)>) -> Self {
        self.adapters.extend(adapters);
        self
    }

    /// The model with matrix products of such operands.
    pub(crate) fn in_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The operands of its matrix products.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// How many adapters it has.
    pub(crate) fn n_adapters(&self) -> usize {
        self.adapters.len()
    }

    /// The adapter that it has, strengths applied; `None` without any.
    pub(crate) fn adapter(&self) -> Result<Option<Adapter>> {
        Ok(if self.adapters.is_empty() { None } else { Some(Adapter::mixed(&self.adapters)?) })
    }

    /// The model on `device`, with its adapters.
    pub(crate) fn load(&self, device: &Device) -> Result<Decoder> {
        let base = self.load_base(device)?;
        Ok(match self.adapter()? {
            Some(adapter) => base.with_adapter(&adapter)?,
            None => base,
        })
    }

    /// The model on `device` with the matrices of the blocks packed, without adapters.
    pub(crate) fn load_base_packed(&self, device: &Device, ggml_type: GgmlType) -> Result<Decoder> {
        let place = device::place(device, &self.hf.decoder)?;
        self.loaded(Decoder::load_packed(&self.hf.decoder, self.weights.as_ref(), place, ggml_type))
    }

    /// The model on `device`, without adapters.
    pub(crate) fn load_base(&self, device: &Device) -> Result<Decoder> {
        let place = device::place(device, &self.hf.decoder)?;
        self.loaded(Decoder::load(&self.hf.decoder, self.weights.as_ref(), place))
    }

    fn loaded(&self, model: Result<Decoder, ModelError>) -> Result<Decoder> {
        let model = model.with_context(|| format!("cannot load the model `{}`", self.name))?;
        Ok(model.with_precision(self.precision))
    }

    pub(crate) fn config(&self) -> &DecoderConfig {
        &self.hf.decoder
    }

    /// `config.json` with every key it came with.
    pub(crate) fn raw_config(&self) -> &Map<String, Value> {
        &self.hf.raw
    }

    /// The number format that each tensor came in.
    pub(crate) fn dtypes(&self) -> HashMap<String, WeightDtype> {
        self.weights.tensors().iter().map(|info| (info.name.clone(), info.dtype)).collect()
    }

    /// The values of a tensor, as they came.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.weights.read_f32(name)?)
    }

    /// The folder whose companion files belong to the model; a GGUF has none.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.path.is_dir().then_some(self.path.as_path())
    }

    /// Writes what belongs to the model beside its weights: the tokenizer, the chat template and the like.
    pub(crate) fn write_companions(&self, folder: &Path) -> Result<()> {
        if let Some(base) = self.folder() {
            copy_companions(base, folder)?;
        } else {
            for file in self.encoder.files() {
                write_atomically(&folder.join(&file.name), &file.bytes)?;
            }
        }
        Ok(())
    }

    /// Tokens that end an answer: the tokenizer's and the model's.
    pub(crate) fn stop_ids(&self) -> Vec<u32> {
        let mut ids = self.encoder.eos_ids().to_vec();
        ids.extend(self.encoder.eos_id());
        ids.extend(&self.hf.decoder.eos_token_ids);
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// An id that the embedding does not have would be read out of bounds.
    fn check_vocabulary(&self) -> Result<()> {
        let (tokenizer, model) = (self.encoder.vocab_size(), self.hf.decoder.vocab_size);
        if tokenizer > model {
            bail!(
                "the tokenizer of `{}` has ids up to {}, its model an embedding of {model} rows (`vocab_size` of \
                 config.json); they do not belong together: take the tokenizer that came with these weights",
                self.name,
                tokenizer - 1
            );
        }
        Ok(())
    }
}

/// A file that is no GGUF by its name, and what to give instead.
fn refuse_other_kinds(path: &Path) -> Result<()> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref().filter(|_| path.is_file()) {
        Some("bin" | "pt" | "pth" | "ckpt" | "pkl") => bail!(
            "{}: a pickle can run code when opened, and is never read here; convert it once with transformers: \
             `AutoModelForCausalLM.from_pretrained(…).save_pretrained(…)` writes safetensors",
            path.display()
        ),
        Some("safetensors") => bail!(
            "{}: weights without a model; name the folder that has them beside config.json and tokenizer.json",
            path.display()
        ),
        Some("gguf") | None => Ok(()),
        Some(_) if starts_as_gguf(path) => Ok(()),
        Some(_) => bail!(
            "{}: no model; expected a Hugging Face folder, a .gguf file, or a hub id like `org/name`",
            path.display()
        ),
    }
}

fn starts_as_gguf(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"GGUF"
}

/// The GGUF reader's fields under the tokenizer's names.
fn vocabulary(tokenizer: GgufTokenizer) -> GgufVocabulary {
    GgufVocabulary {
        model: tokenizer.model,
        pre: tokenizer.pre.unwrap_or_default(),
        tokens: tokenizer.tokens,
        scores: tokenizer.scores.unwrap_or_default(),
        token_types: tokenizer.token_types.unwrap_or_default(),
        merges: tokenizer.merges.unwrap_or_default(),
        bos_id: tokenizer.bos,
        eos_id: tokenizer.eos,
        eot_id: tokenizer.eot,
        unk_id: tokenizer.unk,
        pad_id: tokenizer.pad,
        add_bos: tokenizer.add_bos,
        add_eos: tokenizer.add_eos,
        add_space_prefix: tokenizer.add_space_prefix,
        chat_template: tokenizer.chat_template,
    }
}
