//! PEFT's folders: `adapter_config.json` and `adapter_model.safetensors`.

use super::{Adapter, AdapterModule, LoraConfig, LoraKind, LoraScaling, LoraTargets, config::leaves};
use crate::ModelError;
use crate::config::{DecoderConfig, StoredAs};
use crate::weights::{
    SafetensorsFile, TensorInfo, WeightDtype, WeightSource, read_small_file, write_file, write_tensors,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{borrow::Cow, path::Path};

/// The settings of an adapter.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The tensors of an adapter.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// What PEFT puts before the names of the base.
const PREFIX: &str = "base_model.model.";
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// The keys of `adapter_config.json` that decide what is computed; the others are kept out of it.
#[derive(Debug, Deserialize)]
struct Settings {
    peft_type: Option<String>,
    base_model_name_or_path: Option<String>,
    r: Option<usize>,
    lora_alpha: Option<f64>,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Option<Value>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    /// Everything else.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Settings that change what is computed and are not known here, with the value that changes nothing.
const MUST_BE_UNSET: [&str; 17] = [
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "target_parameters",
    "use_qalora",
    "lora_bias",
    "corda_config",
    "eva_config",
    "loftq_config",
    "megatron_config",
    "layers_to_transform",
    "layers_pattern",
    "arrow_config",
    "use_bdlora",
];

impl Adapter {
    /// Reads a folder that PEFT or [`write`](Self::write) wrote; whether it fits a base is seen when it is put on one.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(ADAPTER_CONFIG);
        let weights = folder.join(ADAPTER_WEIGHTS);
        if !weights.exists() && folder.join("adapter_model.bin").exists() {
            return Err(ModelError::PickleOnly {
                folder: folder.to_path_buf(),
                file: "adapter_model.bin".to_owned(),
            });
        }
        let text = read_small_file(&path, MAX_CONFIG_BYTES)?;
        let json = |source| ModelError::Json { path: path.clone(), source };
        let settings: Settings = serde_json::from_slice(&text).map_err(json)?;
        let config = settings.config(&path)?;
        let file = SafetensorsFile::open(&weights)?;
        let modules = modules(&file, &config)?;
        Ok(Self { config, base: settings.base_model_name_or_path, modules })
    }

    /// Writes a folder that PEFT loads on the model `self.base`; `folder` exists.
    pub fn write(&self, folder: &Path, base: &DecoderConfig) -> Result<(), ModelError> {
        let mut tensors: Vec<(TensorInfo, &[f32])> = Vec::new();
        for module in &self.modules {
            let mut push = |part: &str, shape: Vec<usize>, values| {
                let name = format!("{PREFIX}{}.{part}", module.name);
                tensors.push((TensorInfo { name, shape, dtype: WeightDtype::F32 }, values));
            };
            push("lora_A.weight", vec![module.rank, module.d_in], &module.down);
            push("lora_B.weight", vec![module.d_out, module.rank], &module.up);
            if let Some(magnitude) = &module.magnitude {
                push("lora_magnitude_vector", vec![module.d_out], magnitude);
            }
        }
        let infos: Vec<&TensorInfo> = tensors.iter().map(|(info, _)| info).collect();
        write_tensors(&folder.join(ADAPTER_WEIGHTS), &infos, &mut |wanted: &TensorInfo| {
            let values = tensors
                .iter()
                .find(|(info, _)| info.name == wanted.name)
                .map_or(&[][..], |(_, values)| values);
            Ok::<_, ModelError>(Cow::Borrowed(values))
        })?;
        let path = folder.join(ADAPTER_CONFIG);
        let json = |source| ModelError::Json { path: path.clone(), source };
        let mut text = serde_json::to_string_pretty(&self.settings(base)).map_err(json)?;
        text.push('\n');
        write_file(&path, text.as_bytes())
    }

    /// The last parts of its matrices' names, sorted.
    fn leaves(&self) -> Vec<&str> {
        let mut leaves = leaves(self.modules.iter().map(|module| module.name.as_str()));
        leaves.sort_unstable();
        leaves
    }

    /// Only keys that every PEFT since 0.9 knows.
    fn settings(&self, base: &DecoderConfig) -> Value {
        let LoraConfig { rank, alpha, scaling, targets, dropout, kind } = &self.config;
        let targets = match targets {
            LoraTargets::AllLinear => json!(self.leaves()),
            LoraTargets::Names(names) => json!(names),
            LoraTargets::Pattern(pattern) => json!(pattern),
        };
        // PEFT wants a whole number, and takes any.
        let alpha = if alpha.fract() == 0.0 { json!(*alpha as u64) } else { json!(alpha) };
        json!({
            "auto_mapping": null,
            "base_model_name_or_path": self.base,
            "bias": "none",
            "fan_in_fan_out": base.names().matrices == StoredAs::InOut,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": alpha,
            "lora_dropout": dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": rank,
            "revision": null,
            "target_modules": targets,
            "task_type": "CAUSAL_LM",
            "use_dora": *kind == LoraKind::Dora,
            "use_rslora": *scaling == LoraScaling::ByRootOfRank,
        })
    }
}

impl Settings {
    fn config(&self, path: &Path) -> Result<LoraConfig, ModelError> {
        let wrong = |key: &str, found: String, expected: &str| ModelError::Config {
            path: path.to_path_buf(),
            key: key.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        let kind = self.peft_type.as_deref().unwrap_or("absent");
        if kind != "LORA" {
            return Err(wrong(
                "peft_type",
                kind.to_owned(),
                "`LORA`: the only kind of adapter that is known here",
            ));
        }
        for key in MUST_BE_UNSET {
            if self.others.get(key).is_some_and(|value| !is_unset(value)) {
                return Err(wrong(key, "set".to_owned(), "unset: this part of PEFT is not known here"));
            }
        }
        if let Some(bias) = self.others.get("bias").filter(|bias| *bias != "none") {
            return Err(wrong("bias", bias.to_string(), "`none`: biases are not trained here"));
        }
        let names = |list: &Vec<Value>| {
            list.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>()
        };
        let targets = match &self.target_modules {
            Some(Value::Array(list)) => names(list).map(LoraTargets::Names),
            Some(Value::String(text)) if text == "all-linear" => Some(LoraTargets::AllLinear),
            Some(Value::String(pattern)) => Some(LoraTargets::Pattern(pattern.clone())),
            _ => None,
        };
        let config = LoraConfig {
            rank: self.r.unwrap_or(8),
            alpha: self.lora_alpha.unwrap_or(8.0),
            scaling: if self.use_rslora { LoraScaling::ByRootOfRank } else { LoraScaling::ByRank },
            targets: targets.ok_or_else(|| {
                wrong("target_modules", "absent".to_owned(), "a list of names or a pattern")
            })?,
            dropout: self.lora_dropout,
            kind: if self.use_dora { LoraKind::Dora } else { LoraKind::Lora },
        };
        config.check()?;
        Ok(config)
    }
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The tensors of a file by the matrix that they belong to, in the file's order of names.
fn modules(file: &SafetensorsFile, config: &LoraConfig) -> Result<Vec<AdapterModule>, ModelError> {
    let bad = |name: &str, problem: &str| ModelError::bad_tensor(file.path(), name, problem);
    let parts = ["lora_A.weight", "lora_B.weight", "lora_magnitude_vector", "lora_magnitude_vector.weight"];
    let mut names: Vec<String> = Vec::new();
    for TensorInfo { name, .. } in file.tensors() {
        let module = name.strip_prefix(PREFIX).and_then(|rest| {
            parts.iter().find_map(|part| rest.strip_suffix(part).and_then(|rest| rest.strip_suffix('.')))
        });
        let module = module.ok_or_else(|| {
            bad(name, "is no part of a LoRA adapter; expected `base_model.model.<matrix>.lora_A.weight` and `lora_B`")
        })?;
        if !names.iter().any(|known| known == module) {
            names.push(module.to_owned());
        }
    }
    let find = |module: &str, part: &str| file.info(&format!("{PREFIX}{module}.{part}"));
    let module = |name: String| {
        let pair = (find(&name, parts[0]), find(&name, parts[1]));
        let (Some(down), Some(up)) = pair else {
            return Err(bad(
                &format!("{PREFIX}{name}"),
                "has not both of `lora_A.weight` and `lora_B.weight`",
            ));
        };
        let (&[rank, d_in], &[d_out, same]) = (down.shape.as_slice(), up.shape.as_slice()) else {
            return Err(bad(&down.name, "is no matrix"));
        };
        if rank != same || rank != config.rank {
            return Err(bad(
                &down.name,
                &format!("has rank {rank}, its other half {same}, the settings {}", config.rank),
            ));
        }
        let magnitude = find(&name, parts[2]).or_else(|| find(&name, parts[3]));
        if magnitude.is_some() != (config.kind == LoraKind::Dora) {
            return Err(bad(&down.name, "has DoRA's magnitude or not, and `use_dora` says otherwise"));
        }
        if let Some(info) = magnitude.filter(|info| info.shape != [d_out]) {
            return Err(bad(&info.name, &format!("has shape {:?}, expected [{d_out}]", info.shape)));
        }
        Ok(AdapterModule {
            rank,
            d_in,
            d_out,
            down: file.read_f32(&down.name)?,
            up: file.read_f32(&up.name)?,
            magnitude: magnitude.map(|info| file.read_f32(&info.name)).transpose()?,
            name,
        })
    };
    if names.is_empty() {
        return Err(ModelError::bad_file(file.path(), "has no tensors"));
    }
    names.into_iter().map(module).collect()
}
