//! What the runs of one program share: the device, the model's files, rows that were read, the way out.

use std::cell::OnceCell;

use anyhow::Result;
use burn::tensor::Device;
use dpo_data::Clock;
use dpo_model::Decoder;
use indicatif::MultiProgress;

use super::{
    progress::{StopFlag, note},
    reference,
};
use crate::{
    data::{RowCache, note_max_length},
    device,
    hub::Hub,
    model_source::ModelSource,
    run_file::{RunConfig, choices::BaseQuant},
};

/// One for a single run, and one for many that start from the same base.
pub(crate) struct Workshop {
    pub(crate) device: Device,
    pub(crate) hub: Hub,
    /// What chat templates are told.
    pub(crate) clock: Clock,
    /// The model as run files name it.
    pub(crate) base: ModelSource,
    /// How its matrices are kept below adapters.
    pub(crate) base_quant: Option<BaseQuant>,
    /// Rows that were read so far.
    pub(crate) rows: RowCache,
    /// Bars of the runs that are under way.
    pub(crate) bars: MultiProgress,
    /// Weights that stay in memory, without adapters.
    kept: OnceCell<Decoder>,
    /// Digest of the base without adapters.
    digest: OnceCell<String>,
    stop: OnceCell<StopFlag>,
}

impl Workshop {
    /// Opens the device and the model of `config`, and says how long its texts can be; no weight is read yet.
    pub(crate) fn open(config: &RunConfig, clock: Clock) -> Result<Self> {
        let device = device::open(config.run.backend)?;
        device::set_threads(config.run.threads)?;
        let hub = Hub::from_env(true)?;
        let precision = device::precision(&device, config.model.dtype)?;
        let base = ModelSource::open(&config.model.base, &hub, clock)?.in_precision(precision);
        device::recommend(config.run.backend, config.model.dtype);
        note_max_length(&config.data, base.config());
        let (kept, digest, stop) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Ok(Self {
            device,
            hub,
            clock,
            base,
            base_quant: config.base_quant,
            rows: RowCache::default(),
            bars: MultiProgress::new(),
            kept,
            digest,
            stop,
        })
    }

    /// With rows that were read already.
    pub(super) fn with_rows(self, rows: RowCache) -> Self {
        Self { rows, ..self }
    }

    /// Reads the weights of the base and keeps them for all runs: adapters leave them as they are.
    pub(crate) fn keep_weights(&self) -> Result<()> {
        if self.kept.get().is_none() {
            let _ = self.kept.set(self.weights_of(&self.base)?);
        }
        Ok(())
    }

    /// The model of `source`, which is the base with its adapters or others, and its digest.
    pub(crate) fn load(&self, source: &ModelSource) -> Result<(Decoder, String)> {
        let base = match self.kept.get() {
            Some(kept) => kept.clone(),
            None => self.weights_of(source)?,
        };
        let Some(adapter) = source.adapter()? else {
            let digest = self.plain_digest(&base, source)?;
            return Ok((base, digest));
        };
        let model = base.with_adapter(&adapter)?;
        let digest = reference::digest(&model, source)?;
        Ok((model, digest))
    }

    fn weights_of(&self, source: &ModelSource) -> Result<Decoder> {
        match self.base_quant {
            Some(quant) => {
                let base = source.load_base_packed(&self.device, quant.ggml_type())?;
                let (n_packed, n) = base.n_packed();
                if n_packed < n {
                    note(&format!(
                        "{} of {n} frozen matrices stay in float32: the width of their input is no multiple of the {} numbers of \
                         a block",
                        n - n_packed,
                        quant.ggml_type().block_len()
                    ));
                }
                Ok(base)
            }
            None => source.load_base(&self.device),
        }
    }

    /// Once for all runs.
    fn plain_digest(&self, base: &Decoder, source: &ModelSource) -> Result<String> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest.clone());
        }
        let digest = reference::digest(base, source)?;
        let _ = self.digest.set(digest.clone());
        Ok(digest)
    }

    /// Set when somebody wants to stop; listens from the first call on.
    pub(crate) fn stop(&self) -> Result<StopFlag> {
        if let Some(stop) = self.stop.get() {
            return Ok(stop.clone());
        }
        let stop = StopFlag::install()?;
        let _ = self.stop.set(stop.clone());
        Ok(stop)
    }
}
