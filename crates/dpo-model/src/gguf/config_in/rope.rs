//! The rotation's settings, out of metadata and the tensors of its factors.

use super::{Keys, ROPE_TENSORS};
use crate::config::{HfConfig, RopeConfig, RopeVariant};
use crate::error::ModelError;
use crate::gguf::{GgufFile, GgufTensor, GgufValue};
use serde_json::{Map, Value, json};

impl Keys<'_> {
    /// `rope_parameters` as transformers 5 has them.
    pub(super) fn rope_parameters(&self) -> Result<Map<String, Value>, ModelError> {
        let mut rope = Map::new();
        let default = if self.architecture == "gemma3" { 1e6 } else { 10_000.0 };
        let theta = match self.number("rope.freq_base")? {
            Value::Null => json!(default),
            theta => theta,
        };
        rope.insert("rope_theta".to_owned(), theta);
        self.refuse_other_scaling()?;
        let kind = self.of("rope.scaling.type");
        let (name, keys): (_, &[(&str, &str)]) = match self.file.get(&kind).map(GgufValue::as_str) {
            None | Some(Some("none")) if self.tensor(ROPE_TENSORS[1]).is_some() => {
                self.put_long_factors(&mut rope)?;
                ("longrope", &[])
            }
            None | Some(Some("none")) => ("default", &[]),
            Some(Some("linear")) => ("linear", &[("factor", "rope.scaling.factor")]),
            Some(Some("longrope")) => {
                self.put_long_factors(&mut rope)?;
                ("longrope", &[])
            }
            Some(Some("yarn")) => (
                "yarn",
                &[
                    ("factor", "rope.scaling.factor"),
                    ("original_max_position_embeddings", "rope.scaling.original_context_length"),
                ],
            ),
            Some(_) => return Err(self.file.wrong(&kind, "`none`, `linear`, `yarn` or `longrope`")),
        };
        rope.insert("rope_type".to_owned(), json!(name));
        for (key, from) in keys {
            rope.insert((*key).to_owned(), self.required(from)?);
        }
        Ok(rope)
    }

    fn refuse_other_scaling(&self) -> Result<(), ModelError> {
        let known = ["type", "factor", "original_context_length", "finetuned", "attn_factor"];
        let prefix = self.of("rope.scaling.");
        for (key, _) in self.file.metadata() {
            if key.strip_prefix(&prefix).is_some_and(|name| !known.contains(&name)) {
                return Err(self.file.wrong(key, "none: this kind of stretching is not known"));
            }
        }
        Ok(())
    }

    fn put_long_factors(&self, rope: &mut Map<String, Value>) -> Result<(), ModelError> {
        for (key, name) in [("long_factor", ROPE_TENSORS[1]), ("short_factor", ROPE_TENSORS[2])] {
            let tensor = self.tensor(name).ok_or_else(|| {
                ModelError::bad_tensor(self.file.path(), name, "is absent, and LongRoPE needs it")
            })?;
            // The shortest decimals: 1.1 and not 1.100000023841858.
            let decimals = |x: f32| x.to_string().parse::<f64>().unwrap_or(f64::from(x));
            let factors: Vec<f64> = self.file.read_f32(tensor)?.into_iter().map(decimals).collect();
            rope.insert(key.to_owned(), json!(factors));
        }
        Ok(())
    }
}

/// llama.cpp stores Llama 3's stretching as one divisor a frequency; its settings are found again and verified.
pub(super) fn with_llama3(
    config: HfConfig,
    file: &GgufFile,
    factors: &GgufTensor,
) -> Result<HfConfig, ModelError> {
    let HfConfig { decoder, mut raw } = config;
    let stored = file.read_f32(factors)?;
    let factor = stored.iter().copied().fold(1.0, f32::max);
    let Some(plain) = decoder.ropes.first() else { return Ok(HfConfig { decoder, raw }) };
    let rope = json!({
        "factor": factor,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_theta": plain.theta,
        "rope_type": "llama3",
    });
    raw.insert("rope_parameters".to_owned(), rope);
    let stretched = HfConfig::from_json(raw, file.path())?;
    let plain = RopeConfig { variant: RopeVariant::Default, ..plain.clone() }.frequencies(0);
    let frequencies = stretched.decoder.ropes[0].frequencies(0);
    let computed =
        plain.inv_freq.iter().zip(&frequencies.inv_freq).map(|(plain, stretched)| plain / stretched);
    let same = |(computed, stored): (f32, &f32)| (computed - stored).abs() <= 1e-3 * stored;
    if stored.len() == plain.inv_freq.len() && computed.zip(&stored).all(same) {
        return Ok(stretched);
    }
    let problem = "does not hold Llama 3's factors; convert from the original folder instead";
    Err(ModelError::bad_tensor(file.path(), &factors.name, problem))
}
