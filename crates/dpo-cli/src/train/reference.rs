//! The reference's log-probs: from the cache where they are, computed where they are not.

use std::{ops::ControlFlow, path::PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::{Device, Tensor};
use dpo_data::TokenTree;
use dpo_model::{Decoder, ParameterInfo};
use dpo_train::{CacheScope, CacheUse, INFERENCE_TOKENS, ReferenceLogps, TrainError};

use super::progress::{Bar, StopFlag, note};
use crate::model_source::ModelSource;

/// The model that the policy is held against.
pub(crate) struct Reference {
    model: Decoder,
    scope: CacheScope,
    cache: PathBuf,
}

impl Reference {
    /// A model of this digest: the starting policy itself.
    pub(crate) fn of(model: Decoder, digest: &str, backend: &str) -> Result<Self> {
        // Every version of this program may add up in another order.
        let precision = model.precision();
        let kernels = dpo_kernels::arithmetic(precision);
        let arithmetic = format!("{}, {backend}, {}, {kernels}", precision.name(), env!("CARGO_PKG_VERSION"));
        Ok(Self {
            model,
            scope: CacheScope::new(digest, &arithmetic),
            cache: cache_root()?.join("reference"),
        })
    }

    /// Another model, which is gone again when this is.
    pub(crate) fn load(source: &ModelSource, device: &Device, backend: &str) -> Result<Self> {
        let model = source.load(device)?;
        let digest = digest(&model, source)?;
        Self::of(model, &digest, backend)
    }

    /// The model itself.
    pub(crate) fn model(&self) -> &Decoder {
        &self.model
    }

    /// Log-probs of these rows, unless somebody stops it.
    pub(crate) fn logps(&self, what: &str, trees: &[TokenTree], stop: &StopFlag) -> Result<ReferenceLogps> {
        let bar = Bar::hidden_until_used(&format!("reference log-probs of {what}"), "rows");
        let result = ReferenceLogps::cached(
            &self.cache,
            &self.scope,
            trees,
            INFERENCE_TOKENS,
            || Ok::<_, TrainError>(self.model.clone()),
            |done, of| {
                bar.set(done, of);
                if stop.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        bar.finish();
        let (logps, used) = result?;
        report(what, used);
        Ok(logps)
    }
}

fn report(what: &str, used: CacheUse) {
    let CacheUse { hits, computed, damaged } = used;
    note(&format!("reference log-probs of {what}: {hits} rows from the cache, {computed} computed"));
    if damaged > 0 {
        note(&format!("{damaged} damaged entries of the cache were left out and computed again"));
    }
}

/// BLAKE3 of a model's weights, of its adapter and of the configuration that they are computed with.
pub(crate) fn digest(model: &Decoder, source: &ModelSource) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&serde_json::to_vec(source.config())?);
    let mut add = |info: ParameterInfo, tensor: Tensor<1>| {
        // Whole or in parts, a table is the same.
        if info.is_first() {
            hasher.update(info.name.as_bytes());
        }
        let data = tensor.into_data();
        hasher.update(data.as_bytes());
    };
    model.for_each_weight(&mut add);
    if let Some(adapter) = model.adapter() {
        model.for_each_parameter(&mut add);
        hasher.update(&adapter.config.scale().to_le_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// `$DPO_CACHE_DIR`, or `dpo` in the user's cache folder.
pub(crate) fn cache_root() -> Result<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")));
    let base = var("DPO_CACHE_DIR").or_else(|| user().map(|dir| dir.join("dpo")));
    base.context("no place for the cache; set DPO_CACHE_DIR")
}

/// A reference reads the policy's rows: it must have the policy's tokenizer, and positions for the longest of them.
pub(crate) fn check_reference<'a>(
    reference: &ModelSource,
    policy: &ModelSource,
    rows: impl IntoIterator<Item = &'a TokenTree>,
) -> Result<()> {
    let mut rows = rows.into_iter().peekable();
    if let Some(sample) = rows.peek() {
        same_tokens(reference, policy, sample)?;
    }
    let Some(limit) = reference.config().longest_text() else { return Ok(()) };
    if let Some(row) = rows.find(|row| row.max_length() > limit) {
        bail!(
            "row {} has {} tokens; the reference `{}` has learnt positions for {limit}: set `max_length` to that",
            row.row.row,
            row.max_length(),
            reference.name
        );
    }
    Ok(())
}

fn same_tokens(reference: &ModelSource, policy: &ModelSource, sample: &TokenTree) -> Result<()> {
    let text = |source: &ModelSource| {
        let decode = |ids: &[u32]| source.encoder.decode_with_special_tokens(ids);
        Ok::<_, anyhow::Error>((decode(&sample.prompt)?, decode(&sample.completions[0])?))
    };
    let same_size = reference.encoder.vocab_size() == policy.encoder.vocab_size();
    if !same_size || text(reference)? != text(policy)? {
        bail!(
            "the reference `{}` has another tokenizer than `{}`: it would read other texts; take a reference of the \
             same family",
            reference.name,
            policy.name
        );
    }
    Ok(())
}
