//! Low-rank adapters on the host: made anew, read from and written to PEFT's folders, mixed.

mod config;
mod mix;
mod peft;

pub use config::{LoraConfig, LoraKind, LoraScaling, LoraTargets};
pub use peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS};

use crate::{DecoderConfig, ModelError};

/// An adapter: what it adds to each matrix that it was put beside.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// Its settings.
    pub config: LoraConfig,
    /// The base that it was trained on, as far as it is known.
    pub base: Option<String>,
    /// Its matrices, in the order of the base's.
    pub modules: Vec<AdapterModule>,
}

/// An adapter's part beside one matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterModule {
    /// The matrix's name in a checkpoint, without `.weight`.
    pub name: String,
    /// Width of the product.
    pub rank: usize,
    /// Numbers that the matrix reads.
    pub d_in: usize,
    /// Numbers that the matrix gives.
    pub d_out: usize,
    /// `A`, `[rank, d_in]`.
    pub down: Vec<f32>,
    /// `B`, `[d_out, rank]`.
    pub up: Vec<f32>,
    /// DoRA's lengths of rows, `[d_out]`; taken from the base where they are absent from a new adapter.
    pub magnitude: Option<Vec<f32>>,
}

impl Adapter {
    /// A new adapter, which adds nothing yet: `A` is uniform in `±1/√d_in`, as PEFT draws it, and `B` is 0.
    pub fn new(config: LoraConfig, base: &DecoderConfig, seed: u64) -> Result<Self, ModelError> {
        let targets = config.modules_of(base)?;
        let module = |(idx, target): (usize, crate::config::LinearModule)| {
            let bound = (target.d_in as f64).powf(-0.5);
            let mut random = crate::generate::SplitMix64::of_sequence(seed, idx);
            let draw = |_| ((2.0 * random.uniform() - 1.0) * bound) as f32;
            AdapterModule {
                rank: config.rank,
                d_in: target.d_in,
                d_out: target.d_out,
                down: (0..config.rank * target.d_in).map(draw).collect(),
                up: vec![0.0; target.d_out * config.rank],
                magnitude: None,
                name: target.name,
            }
        };
        let modules = targets.into_iter().enumerate().map(module).collect();
        Ok(Self { config, base: None, modules })
    }

    /// Numbers that are trained.
    pub fn n_parameters(&self) -> usize {
        let of_module = |module: &AdapterModule| {
            module.down.len() + module.up.len() + module.magnitude.as_ref().map_or(0, Vec::len)
        };
        self.modules.iter().map(of_module).sum()
    }

    /// An error that names the matrices that `base` does not have, or has in another shape.
    pub(crate) fn check(&self, base: &DecoderConfig) -> Result<(), ModelError> {
        let known = base.linear_modules();
        let problem = |module: &AdapterModule| match known.iter().find(|known| known.name == module.name) {
            None => Some(format!("`{}` is not there", module.name)),
            Some(known) if [known.d_out, known.d_in] != [module.d_out, module.d_in] => Some(format!(
                "`{}` is [{}, {}] and the adapter's [{}, {}]",
                module.name, known.d_out, known.d_in, module.d_out, module.d_in
            )),
            Some(_) => None,
        };
        let problems: Vec<String> = self.modules.iter().filter_map(problem).collect();
        if problems.is_empty() {
            return Ok(());
        }
        let base = self.base.clone().unwrap_or_else(|| "unknown".to_owned());
        Err(ModelError::OtherBase { base, problems: crate::error::some_of(&problems) })
    }
}
