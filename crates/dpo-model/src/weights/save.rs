//! Writing a Hugging Face folder: one tensor in memory at a time, each file on the disk before the next.

use super::TensorInfo;
use super::folder::{INDEX, SINGLE};
use crate::error::ModelError;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Weights of a shard where the caller has no other wish; what transformers used for years.
pub const DEFAULT_MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// Files that belong to a model beside its weights and `config.json`, and that training does not change.
pub const COMPANION_FILES: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
];

/// Values converted at a time.
const CHUNK_VALUES: usize = 1 << 18;

/// Writes `config.json` and the weights into `folder`, which exists; `values` is asked for one tensor at a time,
/// which is rounded to nearest even where its format is narrower than `f32`. Which tensors those are, says
/// [`WeightSource::tensors_to_save`].
///
/// [`WeightSource::tensors_to_save`]: super::WeightSource::tensors_to_save
///
/// The files are complete on the disk when this returns. To make the folder itself appear at once, write into a
/// folder beside it and rename that.
pub fn save_folder<'v, E: From<ModelError>>(
    folder: &Path,
    config: &Map<String, Value>,
    tensors: &[TensorInfo],
    max_shard_bytes: u64,
    mut values: impl FnMut(&TensorInfo) -> Result<Cow<'v, [f32]>, E>,
) -> Result<(), E> {
    let shards = into_shards(tensors, max_shard_bytes);
    let names: Vec<String> = match shards.len() {
        0 | 1 => vec![SINGLE.to_owned()],
        n => (1..=n).map(|i| format!("model-{i:05}-of-{n:05}.safetensors")).collect(),
    };
    for (name, shard) in names.iter().zip(&shards) {
        write_shard(&folder.join(name), shard, &mut values)?;
    }
    if shards.len() > 1 {
        write_json(&folder.join(INDEX), &index(&names, &shards))?;
    }
    write_json(&folder.join("config.json"), config)?;
    sync_folder(folder)?;
    Ok(())
}

/// Copies the [`COMPANION_FILES`] that are in `from`, byte for byte, and gives their names.
pub fn copy_companions(from: &Path, to: &Path) -> Result<Vec<&'static str>, ModelError> {
    let mut copied = Vec::new();
    for &name in COMPANION_FILES {
        let (source, target) = (from.join(name), to.join(name));
        if !source.is_file() {
            continue;
        }
        // Not `fs::copy`: permissions of a read-only cache would come along.
        let bytes = std::fs::read(&source).map_err(ModelError::reading(&source))?;
        write_file(&target, &bytes)?;
        copied.push(name);
    }
    Ok(copied)
}

/// Tensors in order, cut before the one that would make a shard too large.
///
/// Within a shard wider formats come first, as the format's library writes them, so that every tensor is aligned.
fn into_shards(tensors: &[TensorInfo], max_bytes: u64) -> Vec<Vec<&TensorInfo>> {
    let (mut shards, mut n_bytes) = (vec![Vec::new()], 0);
    for tensor in tensors {
        if n_bytes > 0 && n_bytes + tensor.n_bytes() > max_bytes {
            shards.push(Vec::new());
            n_bytes = 0;
        }
        n_bytes += tensor.n_bytes();
        shards.last_mut().into_iter().for_each(|shard| shard.push(tensor));
    }
    for shard in &mut shards {
        shard.sort_by_key(|tensor| std::cmp::Reverse(tensor.dtype.size()));
    }
    shards
}

pub(crate) fn write_shard<'v, E: From<ModelError>>(
    path: &Path,
    tensors: &[&TensorInfo],
    values: &mut impl FnMut(&TensorInfo) -> Result<Cow<'v, [f32]>, E>,
) -> Result<(), E> {
    let file = File::create(path).map_err(ModelError::writing(path))?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    writer.write_all(&header(tensors)).map_err(ModelError::writing(path))?;
    for &tensor in tensors {
        write_values(&mut writer, path, tensor, &values(tensor)?)?;
    }
    let file = writer.into_inner().map_err(|error| ModelError::writing(path)(error.into_error()))?;
    file.sync_all().map_err(ModelError::writing(path))?;
    Ok(())
}

fn write_values(
    writer: &mut impl Write,
    path: &Path,
    tensor: &TensorInfo,
    values: &[f32],
) -> Result<(), ModelError> {
    let TensorInfo { name, shape, dtype } = tensor;
    assert_eq!(values.len(), tensor.n_values(), "{name} of shape {shape:?} was given other values");
    if let Some(value) = dtype.first_overflow(values) {
        let problem = format!("{value} does not fit {}; save as float32 or bfloat16", dtype.torch_name());
        return Err(ModelError::bad_tensor(path, name, problem));
    }
    let mut bytes = Vec::with_capacity(CHUNK_VALUES.min(values.len()) * dtype.size());
    for chunk in values.chunks(CHUNK_VALUES) {
        bytes.clear();
        dtype.encode(chunk, &mut bytes);
        writer.write_all(&bytes).map_err(ModelError::writing(path))?;
    }
    Ok(())
}

/// Length and header, padded with spaces so that the data is aligned to 8 bytes.
fn header(tensors: &[&TensorInfo]) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut begin = 0;
    for tensor in tensors {
        let end = begin + tensor.n_bytes();
        let dtype = tensor.dtype.safetensors_name();
        let entry = json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": [begin, end] });
        entries.insert(tensor.name.clone(), entry);
        begin = end;
    }
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    header
}

fn index(names: &[String], shards: &[Vec<&TensorInfo>]) -> Map<String, Value> {
    let files = names.iter().zip(shards);
    let rows =
        files.flat_map(|(file, shard)| shard.iter().map(move |tensor| (tensor.name.clone(), json!(file))));
    let weight_map: Map<String, Value> = rows.collect();
    let all = || shards.iter().flatten();
    let total_size: u64 = all().map(|tensor| tensor.n_bytes()).sum();
    let total_parameters: usize = all().map(|tensor| tensor.n_values()).sum();
    let mut index = Map::new();
    let metadata = json!({ "total_parameters": total_parameters, "total_size": total_size });
    index.insert("metadata".to_owned(), metadata);
    index.insert("weight_map".to_owned(), Value::Object(weight_map));
    index
}

fn write_json(path: &Path, object: &Map<String, Value>) -> Result<(), ModelError> {
    let json = |source| ModelError::Json { path: path.to_path_buf(), source };
    let mut text = serde_json::to_string_pretty(object).map_err(json)?;
    text.push('\n');
    write_file(path, text.as_bytes())
}

pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    let mut file = File::create(path).map_err(ModelError::writing(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(ModelError::writing(path))
}

/// The names of new files are in the folder, which has to reach the disk too; Windows has no such call.
fn sync_folder(folder: &Path) -> Result<(), ModelError> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(ModelError::writing(folder))?;
    }
    Ok(())
}
