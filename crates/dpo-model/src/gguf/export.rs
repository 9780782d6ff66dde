//! Writing a decoder or an adapter as a GGUF file that llama.cpp and what is built on it load.

use super::architecture::{Architecture, Change, EMBEDDING, HEAD, gguf_module, gguf_name};
use super::config_out::{architecture, model_metadata, rope_tensors};
use super::{GgmlType, GgufModel, GgufTensorSpec, GgufValue, GgufWriter};
use crate::adapter::{Adapter, AdapterModule, LoraKind};
use crate::config::{DecoderConfig, ParameterInfo};
use crate::decoder::{Decoder, joined_values};
use crate::error::ModelError;
use crate::weights::WeightSource;
use burn::tensor::Tensor;
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap, path::Path};

/// Writes `model`, which has no adapter, to `path`: matrices as `matrices` where their rows are whole blocks, else in
/// f16, everything else in f32.
///
/// `tokenizer` is the metadata of its tokenizer, see [`GgufTokenizer::to_metadata`](super::GgufTokenizer::to_metadata).
/// What the format cannot say about the model is an error, and then the file is removed again.
pub fn write_model(
    path: &Path,
    model: &Decoder,
    name: &str,
    matrices: GgmlType,
    tokenizer: Vec<(String, GgufValue)>,
) -> Result<(), ModelError> {
    let config = model.config();
    let architecture = architecture(config)?;
    refuse_what_is_not_computed(architecture, config)?;
    let mut writer = GgufWriter::new(path);
    for (key, value) in model_metadata(config, name, matrices)?.into_iter().chain(tokenizer) {
        writer = writer.metadata(&key, value);
    }
    let factors = rope_tensors(config);
    let mut specs: Vec<GgufTensorSpec> = factors
        .iter()
        .map(|(name, values)| spec((*name).to_owned(), vec![values.len()], GgmlType::F32))
        .collect();
    // Of a table in parts, each part.
    let mut weights: HashMap<String, Vec<(ParameterInfo, Tensor<1>)>> = HashMap::new();
    model.for_each_weight(|info, tensor| {
        let Some(name) = gguf_name(&info.path) else { unreachable!("no name for {}", info.path) };
        let names = match name.as_str() {
            EMBEDDING if copies_head(architecture, config) => vec![name, HEAD.to_owned()],
            _ => vec![name],
        };
        for name in names {
            if info.is_first() {
                specs.push(spec(name.clone(), info.whole_shape(), stored_type(&info, matrices)));
            }
            weights.entry(name).or_default().push((info.clone(), tensor.clone()));
        }
    });
    writer.write(&specs, |spec| {
        if let Some((_, values)) = factors.iter().find(|(name, _)| *name == spec.name) {
            return Ok(Cow::Borrowed(values.as_slice()));
        }
        let parts = &weights[&spec.name];
        let values = joined_values(parts.iter().map(|(_, tensor)| tensor));
        let info = &parts[0].0;
        let change = Change::of(architecture, config, info);
        Ok::<_, ModelError>(Cow::Owned(change.write(values, info.whole_shape()[0])))
    })?;
    verify(path, config).inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

/// Writes an adapter as llama.cpp's `--lora` takes it.
pub fn write_adapter(
    path: &Path,
    adapter: &Adapter,
    base: &DecoderConfig,
    stored: GgmlType,
) -> Result<(), ModelError> {
    if adapter.config.kind == LoraKind::Dora {
        return Err(ModelError::NotInGguf { what: "a DoRA adapter; merge it instead".to_owned() });
    }
    let architecture = architecture(base)?;
    let text = |text: &str| GgufValue::String(text.to_owned());
    // llama.cpp multiplies by alpha/rank.
    let rank = adapter.modules.first().map_or(1, |module| module.rank);
    let alpha = adapter.config.scale() * rank as f64;
    if adapter.modules.iter().any(|module| module.rank != rank) {
        return Err(ModelError::NotInGguf {
            what: "an adapter of several ranks; merge it instead".to_owned(),
        });
    }
    let writer = GgufWriter::new(path)
        .metadata("general.architecture", text(architecture.name))
        .metadata("general.type", text("adapter"))
        .metadata("adapter.type", text("lora"))
        .metadata("adapter.lora.alpha", GgufValue::Float32(alpha as f32));
    let known = base.linear_modules();
    let (mut specs, mut values) = (Vec::new(), HashMap::new());
    for module in &adapter.modules {
        let Some(place) = known.iter().find(|known| known.name == module.name) else { continue };
        let Some(name) = gguf_module(&place.path) else { unreachable!("no name for {}", place.path) };
        let AdapterModule { rank, d_in, d_out, down, up, .. } = module;
        let info = ParameterInfo::at(base.names(), &format!("{}.weight", place.path), &[*d_out, *d_in]);
        // Rows of the matrix that are in another order are so in the half that gives them.
        let up = Change::of(architecture, base, &info).write(up.clone(), *d_out);
        for (half, shape, numbers) in
            [("lora_a", vec![*rank, *d_in], down.clone()), ("lora_b", vec![*d_out, *rank], up)]
        {
            let spec = spec(
                format!("{name}.weight.{half}"),
                shape,
                fitting(stored, if half == "lora_a" { *d_in } else { *rank }),
            );
            values.insert(spec.name.clone(), numbers);
            specs.push(spec);
        }
    }
    writer.write(&specs, |spec| Ok::<_, ModelError>(Cow::Borrowed(values[&spec.name].as_slice())))
}

fn spec(name: String, shape: Vec<usize>, ggml_type: GgmlType) -> GgufTensorSpec {
    GgufTensorSpec { name, shape, ggml_type }
}

/// Norms, biases and learnt positions stay exact.
fn stored_type(info: &ParameterInfo, matrices: GgmlType) -> GgmlType {
    if info.shape.len() < 2 || info.path.starts_with("position_table") {
        return GgmlType::F32;
    }
    fitting(matrices, info.shape[1])
}

/// The type, or f16 where rows of this length are no whole blocks of it.
fn fitting(ggml_type: GgmlType, row_len: usize) -> GgmlType {
    if row_len.is_multiple_of(ggml_type.block_len()) { ggml_type } else { GgmlType::F16 }
}

/// llama.cpp wants a head of these architectures even where it is the embedding.
fn copies_head(architecture: &Architecture, config: &DecoderConfig) -> bool {
    config.tie_word_embeddings && matches!(architecture.name, "gptneox" | "olmo2")
}

/// What a file can say and llama.cpp then does not load, or does not compute.
fn refuse_what_is_not_computed(
    architecture: &Architecture,
    config: &DecoderConfig,
) -> Result<(), ModelError> {
    let name = architecture.name;
    let refuse =
        |what: &str| Err(ModelError::NotInGguf { what: format!("{what} in the architecture `{name}`") });
    let has_biases = config.attention.output_bias || config.feed_forward.bias;
    if has_biases && !matches!(name, "llama" | "granite" | "gpt2" | "gptneox") {
        return refuse("biases after attention or in the feed-forward part");
    }
    if !config.tie_word_embeddings && matches!(name, "gemma" | "gemma2") {
        return refuse("a head that is not the embedding");
    }
    let max_positions = config.max_position_embeddings;
    let is_windowed = config.layers.iter().any(|layer| layer.window.is_some_and(|len| len < max_positions));
    if is_windowed && name == "phi3" {
        return refuse("a sliding window shorter than `max_position_embeddings`");
    }
    Ok(())
}

/// What a reader makes of the file must be the model that was written: llama.cpp takes some numbers for granted.
fn verify(path: &Path, config: &DecoderConfig) -> Result<(), ModelError> {
    let read = GgufModel::open(path)?;
    read.check(&read.config().decoder)?;
    let fields = |config: &DecoderConfig| serde_json::to_value(config).unwrap_or_default();
    let (mut written, found) = (fields(config), fields(&read.config().decoder));
    if let Some(object) = written.as_object_mut() {
        let by_itself = ["family", "weight_dtype", "bos_token_id", "eos_token_ids", "pad_token_id"];
        object.retain(|key, _| !by_itself.contains(&key.as_str()));
    }
    let mut differences = Vec::new();
    list_differences("", &written, &found, &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    let more =
        if differences.len() > 3 { format!("; and {} more", differences.len() - 3) } else { String::new() };
    differences.truncate(3);
    let what = format!("these settings of the model: {}{more}", differences.join("; "));
    Err(ModelError::NotInGguf { what })
}

/// Every number and word of `written` that `found` has otherwise, with its place.
fn list_differences(place: &str, written: &Value, found: &Value, differences: &mut Vec<String>) {
    match (written, found) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, value) in ours {
                let dot = if place.is_empty() { "" } else { "." };
                let other = theirs.get(key).unwrap_or(&Value::Null);
                list_differences(&format!("{place}{dot}{key}"), value, other, differences);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (idx, (value, other)) in ours.iter().zip(theirs).enumerate() {
                list_differences(&format!("{place}[{idx}]"), value, other, differences);
            }
        }
        _ if written == found => {}
        _ => differences.push(format!("`{place}` is {written} and would be read as {found}")),
    }
}
