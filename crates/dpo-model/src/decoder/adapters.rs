//! A decoder with an adapter: put on, taken off, merged.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::{Device, Tensor, TensorData},
};

use super::{
    Decoder,
    block::Block,
    lora::{Dropout, Lora, row_lengths},
    parts::Projection,
};
use crate::{
    ModelError, ParameterInfo,
    adapter::{Adapter, AdapterModule, LoraKind},
};

impl Decoder {
    /// Puts an adapter beside the decoder's matrices and freezes everything else: from now on the adapter is what
    /// [`parameters`](Self::parameters) are.
    ///
    /// The decoder is on a plain device and has no adapter yet. An adapter of another base is an error that names the
    /// matrices.
    pub fn with_adapter(self, adapter: &Adapter) -> Result<Self, ModelError> {
        assert!(self.adapter.is_none(), "the decoder has an adapter already");
        adapter.check(self.config())?;
        let device = self.device();
        let mut model = self.map(&mut Freeze);
        let places = model.config().linear_modules();
        let find = |path: &str| {
            let place = places.iter().position(|known| known.path == path)?;
            let module = adapter.modules.iter().find(|module| module.name == places[place].name)?;
            Some((place, module))
        };
        for (path, projection) in model.projections() {
            projection.freeze();
            let Some((place, module)) = find(&path) else { continue };
            let dropout = Dropout { rate: adapter.config.dropout, place: place as u64 };
            let module = with_magnitude(module, projection, adapter.config.kind, &device);
            projection.adapter = Some(Lora::new(&module, adapter.config.scale(), dropout, &device));
        }
        model.adapter = Some(adapter.config.clone());
        Ok(model)
    }

    /// The adapter as it is now; `None` where there is none.
    pub fn adapter(&self) -> Option<Adapter> {
        let config = self.adapter.clone()?;
        let mut modules: Vec<AdapterModule> = Vec::new();
        let known = self.config().linear_modules();
        self.for_each_parameter(|info, tensor| {
            let Some((path, part)) = info.path.rsplit_once(".adapter.") else { return };
            let Some(place) = known.iter().find(|known| known.path == path) else { return };
            let values: Vec<f32> = tensor.to_data().iter::<f32>().collect();
            if modules.last().is_none_or(|last| last.name != place.name) {
                modules.push(AdapterModule {
                    name: place.name.clone(),
                    rank: info.shape[0],
                    d_in: place.d_in,
                    d_out: place.d_out,
                    down: Vec::new(),
                    up: Vec::new(),
                    magnitude: None,
                });
            }
            let Some(module) = modules.last_mut() else { return };
            match part {
                "down" => module.down = values,
                "up" => module.up = values,
                _ => module.magnitude = Some(values),
            }
        });
        Some(Adapter { config, base: None, modules })
    }

    /// The decoder without its adapter, if it has one.
    #[must_use]
    pub fn without_adapter(mut self) -> Self {
        for (_, projection) in self.projections() {
            projection.adapter = None;
        }
        self.adapter = None;
        self
    }

    /// The decoder with the adapter in its matrices: `W + s·B·A`, rounded once.
    #[must_use]
    pub fn merged(mut self) -> Self {
        let device = self.device();
        for (_, projection) in self.projections() {
            if let Some(adapter) = projection.adapter.take() {
                let weight = adapter.merged(projection.dense(&device));
                projection.replace(weight);
            }
        }
        self.adapter = None;
        self
    }

    /// How many matrices of the blocks are packed, and how many there are.
    pub fn n_packed(&self) -> (usize, usize) {
        let mut model = self.clone();
        let projections = model.projections();
        let packed = projections.iter().filter(|(_, projection)| projection.packed().is_some());
        (packed.count(), projections.len())
    }

    /// Calls `f` with each packed matrix as numbers, and where it is.
    pub(super) fn for_each_packed(&self, mut f: impl FnMut(ParameterInfo, Tensor<1>)) {
        // The paths are found on a clone: parameters are shared, not copied.
        let mut model = self.clone();
        let (names, device) = (self.config().names(), self.device().inner());
        for (path, projection) in model.projections() {
            let Some(packed) = projection.packed() else { continue };
            let values = packed.values();
            let n_values = values.len();
            let info = ParameterInfo::at(names, &format!("{path}.weight"), &packed.dims());
            f(info, Tensor::from_data(TensorData::new(values, [n_values]), &device));
        }
    }

    /// The matrices of all blocks with their paths.
    fn projections(&mut self) -> Vec<(String, &mut Projection)> {
        self.layers.iter_mut().enumerate().flat_map(of_block).collect()
    }
}

fn of_block((layer_idx, block): (usize, &mut Block)) -> Vec<(String, &mut Projection)> {
    let mut all = block.attention.projections(&format!("layers.{layer_idx}.attention"));
    all.extend(block.feed_forward.projections(&format!("layers.{layer_idx}.feed_forward")));
    all
}

/// A new DoRA adapter begins with the lengths of the rows as they are, so that it changes nothing.
fn with_magnitude(
    module: &AdapterModule,
    projection: &Projection,
    kind: LoraKind,
    device: &Device,
) -> AdapterModule {
    let mut module = module.clone();
    if kind == LoraKind::Dora && module.magnitude.is_none() {
        let lengths = row_lengths(projection.dense(device));
        module.magnitude = Some(lengths.to_data().iter::<f32>().collect());
    }
    module
}

/// Takes every parameter out of training.
struct Freeze;

impl ModuleMapper for Freeze {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad(false)
    }
}
