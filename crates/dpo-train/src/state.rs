//! What a checkpoint holds, and how it is written and read.

use std::{borrow::Cow, path::Path};

use burn::tensor::{Device, Tensor, TensorData};
use dpo_model::{
    Decoder, ModelError, ParameterInfo, WeightSource, joined_values,
    weights::{DEFAULT_MAX_SHARD_BYTES, HfFolder, TensorInfo, WeightDtype, save_folder},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    AdamW, AdamWConfig, GroupShares, MovingMargin, TrainError, displacement::DisplacementWatch,
    files::read_bounded, optimizer::Moments, write_atomically,
};

/// Folders and files of a checkpoint.
const MODEL: &str = "model";
const OPTIMIZER: &str = "optimizer";
/// The reference, where it has followed the policy.
const REFERENCE: &str = "reference";
const PROGRESS: &str = "progress.json";

/// Everything about a run but tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps made.
    pub step: u64,
    /// Tokens trained on.
    pub n_tokens: u64,
    /// Seconds spent, over all sittings.
    pub seconds: f64,
    /// The held-out rows were not measured after the last step: somebody wanted to stop.
    #[serde(default)]
    pub evaluation_due: bool,
    /// Warnings given so far.
    pub warnings: Vec<Warning>,
    /// What β-DPO follows.
    #[serde(default)]
    pub margin: MovingMargin,
    /// The last steps' log-ratios, which a warning may follow from.
    #[serde(default)]
    pub displacement: DisplacementWatch,
    /// What each group counts, where the objective asks; none before the first step.
    #[serde(default)]
    pub groups: GroupShares,
}

/// Something the user should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// Step after which it was noticed.
    pub step: u64,
    /// One sentence.
    pub message: String,
}

/// Writes a checkpoint's content into `folder`: the policy in f32, the reference if it has moved, the moments, the progress.
pub(crate) fn write(
    folder: &Path,
    policy: &Decoder,
    reference: Option<&Decoder>,
    hf_config: &Map<String, Value>,
    optimizer: &AdamW,
    progress: &Progress,
) -> Result<(), TrainError> {
    let make = |name: &str| {
        let path = folder.join(name);
        std::fs::create_dir(&path).map_err(TrainError::io("make the directory", &path))?;
        Ok::<_, TrainError>(path)
    };
    save_parameters(&make(MODEL)?, policy, hf_config)?;
    if let Some(reference) = reference {
        save_parameters(&make(REFERENCE)?, reference, hf_config)?;
    }
    let moments = make(OPTIMIZER)?;
    // Before the first step there are none.
    if !optimizer.moments().is_empty() {
        write_moments(&moments, policy, optimizer)?;
    }
    let json = serde_json::to_vec_pretty(progress).map_err(TrainError::Json)?;
    write_atomically(&folder.join(PROGRESS), &json)
}

/// Writes what is trained, in f32: all weights, or the adapter.
fn save_parameters(folder: &Path, policy: &Decoder, config: &Map<String, Value>) -> Result<(), TrainError> {
    let mut tensors = Vec::new();
    policy.for_each_parameter(|info, tensor| {
        tensors.push(ToSave { dtype: WeightDtype::F32, name: info.name.clone(), info, tensor });
    });
    save_tensors(folder, config, &tensors)
}

/// Writes `config.json` and the weights, each tensor in the format that `dtype` gives for its name.
pub fn save_decoder(
    folder: &Path,
    policy: &Decoder,
    hf_config: &Map<String, Value>,
    dtype: impl Fn(&str) -> WeightDtype,
) -> Result<(), TrainError> {
    let mut tensors = Vec::new();
    policy.for_each_weight(|info, tensor| {
        tensors.push(ToSave { dtype: dtype(&info.name), name: info.name.clone(), info, tensor });
    });
    save_tensors(folder, hf_config, &tensors)
}

/// A tensor on its way to a file.
struct ToSave {
    /// Its name there.
    name: String,
    info: ParameterInfo,
    tensor: Tensor<1>,
    dtype: WeightDtype,
}

/// Tensors are read from the device one at a time, in the order they are asked for; the parts of a table become one.
fn save_tensors(folder: &Path, config: &Map<String, Value>, tensors: &[ToSave]) -> Result<(), TrainError> {
    let stored = |ToSave { name, info, dtype, .. }: &ToSave| TensorInfo {
        name: name.clone(),
        shape: info.stored_shape(),
        dtype: *dtype,
    };
    let infos: Vec<TensorInfo> = tensors.iter().filter(|save| save.info.is_first()).map(stored).collect();
    save_folder(folder, config, &infos, DEFAULT_MAX_SHARD_BYTES, |wanted: &TensorInfo| {
        let mut parts = tensors.iter().filter(|save| save.name == wanted.name).peekable();
        let Some(first) = parts.peek().copied() else {
            unreachable!("{} is one of those to save", wanted.name)
        };
        let values = joined_values(parts.map(|save| &save.tensor));
        Ok::<_, ModelError>(Cow::Owned(first.info.to_stored(values)))
    })
    .map_err(TrainError::from_model)
}

fn write_moments(folder: &Path, policy: &Decoder, optimizer: &AdamW) -> Result<(), TrainError> {
    let mut tensors = Vec::new();
    for (info, moments) in policy.parameters().into_iter().zip(optimizer.moments()) {
        for (moment, tensor) in [("first", &moments.first), ("second", &moments.second)] {
            let name = format!("{moment}.{}", info.name);
            let (info, tensor) = (info.clone(), tensor.clone());
            tensors.push(ToSave { name, info, tensor, dtype: WeightDtype::F32 });
        }
    }
    let config = Map::from_iter([("time".to_owned(), Value::from(optimizer.time()))]);
    save_tensors(folder, &config, &tensors)
}

/// What [`write`] wrote.
pub(crate) struct Restored {
    pub(crate) policy: Decoder,
    pub(crate) reference: Option<Decoder>,
    pub(crate) optimizer: AdamW,
    pub(crate) progress: Progress,
}

/// Reads a checkpoint whose manifest was verified; `like` gives the model's shape and device, and `reference` is asked for
/// those of a reference that has moved after so many steps, `None` if it has not.
pub(crate) fn read(
    folder: &Path,
    like: Decoder,
    reference: impl FnOnce(u64) -> Option<Decoder>,
    adamw: AdamWConfig,
) -> Result<Restored, TrainError> {
    let progress: Progress = json(&folder.join(PROGRESS))?;
    let device = like.device().inner();
    let model = open(&folder.join(MODEL))?;
    let mut failure = None;
    let mut values = |name: &str, source: &HfFolder, info: &ParameterInfo| {
        tensor(source, name, info, &device).unwrap_or_else(|error| {
            failure.get_or_insert(error);
            Tensor::zeros([info.n_values()], &device)
        })
    };
    let policy = like.map_parameters(|info, _| values(&info.name, &model, &info));
    let parameters = policy.parameters();
    let reference = match reference(progress.step) {
        Some(like) => {
            let source = open(&folder.join(REFERENCE))?;
            Some(like.map_parameters(|info, _| values(&info.name, &source, &info)))
        }
        None => None,
    };
    let (time, moments) = if folder.join(OPTIMIZER).join("model.safetensors").exists() {
        let source = open(&folder.join(OPTIMIZER))?;
        let moments = parameters.iter().map(|info| {
            let mut moment = |which: &str| values(&format!("{which}.{}", info.name), &source, info);
            Moments { first: moment("first"), second: moment("second") }
        });
        let moments = moments.collect();
        (json::<OptimizerConfig>(&folder.join(OPTIMIZER).join("config.json"))?.time, moments)
    } else {
        (0, Vec::new())
    };
    match failure {
        Some(error) => Err(error),
        None => Ok(Restored { policy, reference, optimizer: AdamW::restore(adamw, time, moments), progress }),
    }
}

#[derive(Deserialize)]
struct OptimizerConfig {
    time: u64,
}

fn open(folder: &Path) -> Result<HfFolder, TrainError> {
    HfFolder::open(folder).map_err(TrainError::Model)
}

fn tensor(
    source: &HfFolder,
    name: &str,
    info: &ParameterInfo,
    device: &Device,
) -> Result<Tensor<1>, TrainError> {
    let values = source.read_f32(name).map_err(TrainError::Model)?;
    let len = info.n_values();
    let Some(own) = info.own(&values) else {
        let wanted: usize = info.whole_shape().iter().product();
        let what = format!("`{name}` has {} values instead of {wanted}", values.len());
        return Err(TrainError::CheckpointDamaged { path: source.path().to_owned(), what });
    };
    let own = if own.len() == values.len() { values } else { own.to_vec() };
    Ok(Tensor::from_data(TensorData::new(info.from_stored(own), [len]), device))
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, TrainError> {
    let bytes = read_bounded(path, 64 << 20).map_err(TrainError::io("read", path))?.unwrap_or_default();
    serde_json::from_slice(&bytes)
        .map_err(|error| TrainError::CheckpointDamaged { path: path.to_owned(), what: error.to_string() })
}
