//! Settings of an adapter, and the matrices that they mean.

use crate::{DecoderConfig, ModelError, config::LinearModule};
use regex::Regex;

/// Settings of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Width of the product, `r`.
    pub rank: usize,
    /// `α`: what is added is multiplied by `α/r`, or by `α/√r`.
    pub alpha: f64,
    /// Which of the two.
    pub scaling: LoraScaling,
    /// The matrices it is put beside.
    pub targets: LoraTargets,
    /// Share of the numbers it reads that are dropped in training, below 1.
    pub dropout: f64,
    /// Whether directions and lengths are learnt apart.
    pub kind: LoraKind,
}

/// What the product is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoraScaling {
    /// `α/r`.
    ByRank,
    /// `α/√r`, <https://arxiv.org/abs/2312.03732>.
    ByRootOfRank,
}

/// What an adapter learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoraKind {
    /// `W + s·B·A`, <https://arxiv.org/abs/2106.09685>.
    Lora,
    /// Rows of `W + s·B·A` with lengths of their own, <https://arxiv.org/abs/2402.09353>.
    Dora,
}

/// The matrices that an adapter is put beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoraTargets {
    /// All matrices of all blocks.
    AllLinear,
    /// Those whose name is one of these or ends in a dot and one of these.
    Names(Vec<String>),
    /// Those whose whole name a regular expression matches.
    Pattern(String),
}

impl LoraConfig {
    /// What `B·A` is multiplied by.
    pub fn scale(&self) -> f64 {
        match self.scaling {
            LoraScaling::ByRank => self.alpha / self.rank as f64,
            LoraScaling::ByRootOfRank => self.alpha / (self.rank as f64).sqrt(),
        }
    }

    /// Numbers of a new adapter on `base`, counted without drawing one: those of `A`, `B` and DoRA's lengths.
    pub fn n_parameters(&self, base: &DecoderConfig) -> Result<usize, ModelError> {
        let lengths = |module: &LinearModule| if self.kind == LoraKind::Dora { module.d_out } else { 0 };
        let beside = |module: &LinearModule| self.rank * (module.d_in + module.d_out) + lengths(module);
        Ok(self.modules_of(base)?.iter().map(beside).sum())
    }

    /// The matrices of `base` that a new adapter is put beside; an error where a setting is wrong.
    pub(super) fn modules_of(&self, base: &DecoderConfig) -> Result<Vec<LinearModule>, ModelError> {
        self.check()?;
        self.targets.select(&base.linear_modules())
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        let bad = |setting, found: String, expected| Err(ModelError::BadSetting { setting, found, expected });
        if self.rank == 0 || self.rank > 1 << 16 {
            return bad("rank", self.rank.to_string(), "a whole number from 1 to 65536");
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return bad("alpha", self.alpha.to_string(), "a number above 0");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return bad("dropout", self.dropout.to_string(), "a share from 0 to below 1");
        }
        Ok(())
    }
}

impl LoraTargets {
    /// Those of `modules` that are meant, in their order; an error when a name or the pattern means none.
    pub(super) fn select(&self, modules: &[LinearModule]) -> Result<Vec<LinearModule>, ModelError> {
        let known = || leaves(modules.iter().map(|module| module.name.as_str())).join(", ");
        let nothing = |target: &str| ModelError::NoSuchTarget { target: target.to_owned(), known: known() };
        let chosen = |is_meant: &dyn Fn(&str) -> bool| {
            modules.iter().filter(|module| is_meant(&module.name)).cloned().collect::<Vec<_>>()
        };
        match self {
            Self::AllLinear => Ok(modules.to_vec()),
            Self::Names(names) => {
                let is_one = |module: &str, name: &str| {
                    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                };
                let absent = |name: &&String| !modules.iter().any(|module| is_one(&module.name, name));
                match names.iter().find(absent) {
                    Some(name) => Err(nothing(name)),
                    None => Ok(chosen(&|module| names.iter().any(|name| is_one(module, name)))),
                }
            }
            Self::Pattern(pattern) => {
                let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|_| nothing(pattern))?;
                let chosen = chosen(&|module| whole.is_match(module));
                if chosen.is_empty() { Err(nothing(pattern)) } else { Ok(chosen) }
            }
        }
    }
}

/// The last parts of the names, each once, as they come: `q_proj`, `k_proj`, ….
pub(super) fn leaves<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut leaves = Vec::new();
    for name in names {
        let leaf = name.rsplit('.').next().unwrap_or(name);
        if !leaves.contains(&leaf) {
            leaves.push(leaf);
        }
    }
    leaves
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Adapter, HfConfig};
    use serde_json::{Value, json};
    use std::path::Path;

    fn modules() -> Vec<LinearModule> {
        let module = |name: &str| LinearModule { path: String::new(), name: name.into(), d_out: 1, d_in: 1 };
        ["h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_proj", "h.1.attn.c_attn"].map(module).to_vec()
    }

    fn names(targets: LoraTargets) -> Vec<String> {
        targets.select(&modules()).unwrap().into_iter().map(|module| module.name).collect()
    }

    /// As PEFT matches: a list by the end of a name, a string as a regular expression of the whole.
    #[test]
    fn targets_are_matched_as_peft_does() {
        let list = |names: &[&str]| LoraTargets::Names(names.iter().map(ToString::to_string).collect());
        assert_eq!(names(LoraTargets::AllLinear).len(), 4);
        assert_eq!(names(list(&["c_proj"])), ["h.0.attn.c_proj", "h.0.mlp.c_proj"]);
        assert_eq!(names(list(&["mlp.c_proj", "1.attn.c_attn"])), ["h.0.mlp.c_proj", "h.1.attn.c_attn"]);
        assert_eq!(names(LoraTargets::Pattern(r".*\.0\.attn\..*".into())).len(), 2);
    }

    #[test]
    fn targets_that_mean_nothing_are_named_with_what_there_is() {
        for targets in [LoraTargets::Names(vec!["proj".into()]), LoraTargets::Pattern("c_attn".into())] {
            let error = targets.select(&modules()).unwrap_err().to_string();
            assert!(error.contains("c_attn, c_proj"), "{error}");
        }
    }

    fn of_rank_16(scaling: LoraScaling) -> LoraConfig {
        LoraConfig {
            rank: 16,
            alpha: 8.0,
            scaling,
            targets: LoraTargets::AllLinear,
            dropout: 0.0,
            kind: LoraKind::Lora,
        }
    }

    #[test]
    fn scales_are_those_of_the_papers() {
        assert_eq!(of_rank_16(LoraScaling::ByRank).scale(), 0.5);
        assert_eq!(of_rank_16(LoraScaling::ByRootOfRank).scale(), 2.0);
    }

    /// `[d_out, d_in]` of a block are `[32, 32]` twice, `[16, 32]` twice, `[48, 32]` twice and `[32, 48]`:
    /// 2 blocks · 16 · (2·64 + 2·48 + 3·80). DoRA has the lengths of 224 rows a block more.
    #[test]
    fn a_new_adapter_has_as_many_numbers_as_were_counted() {
        let Value::Object(raw) = json!({
            "model_type": "llama", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "rms_norm_eps": 1e-5,
        }) else {
            panic!("an object")
        };
        let base = HfConfig::from_json(raw, Path::new("config.json")).unwrap().decoder;
        let config = of_rank_16(LoraScaling::ByRank);
        assert_eq!(config.n_parameters(&base).unwrap(), 14_848);
        let dora = LoraConfig { kind: LoraKind::Dora, ..config.clone() };
        assert_eq!(dora.n_parameters(&base).unwrap(), 14_848 + 2 * 224);
        assert_eq!(Adapter::new(config, &base, 0).unwrap().n_parameters(), 14_848);
    }
}
