//! The smallest parts: embedding, projection, norm.

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor, TensorData},
};
use dpo_kernels::{
    Frozen, LoraSpec, Precision, layer_norm, linear, linear_constant, linear_frozen, lora_linear,
    lora_linear_frozen, rms_norm, select_rows,
};

use super::{lora::Lora, pass::Pass, table};
use crate::config::{NormConfig, NormKind, ParameterInfo, TensorNames};

/// Where parameters come from while a decoder is built, and where they go.
pub(super) struct Init<'a, F> {
    pub(super) device: &'a Device,
    /// Bytes that one tensor may take there.
    pub(super) largest_tensor: Option<u64>,
    pub(super) names: &'static TensorNames,
    /// Values of a parameter.
    pub(super) values: &'a mut F,
}

/// The values of a parameter, or a frozen matrix in their place.
pub(super) enum Values {
    Numbers(Vec<f32>),
    Packed(Frozen),
}

impl<E, F: FnMut(&ParameterInfo) -> Result<Values, E>> Init<'_, F> {
    fn values(&mut self, path: &str, shape: &[usize]) -> Result<Values, E> {
        (self.values)(&ParameterInfo::at(self.names, path, shape))
    }

    fn param<const D: usize>(&mut self, path: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, E> {
        let values = match self.values(path, &shape)? {
            Values::Numbers(values) => values,
            Values::Packed(matrix) => matrix.values(),
        };
        Ok(Param::from_tensor(lasting(TensorData::new(values, shape), self.device)))
    }

    /// Rows of a table, in as many nearly equal parts as the device makes necessary.
    fn table(&mut self, path: &str, [n_rows, width]: [usize; 2]) -> Result<Vec<Param<Tensor<2>>>, E> {
        let row_bytes = (width * size_of::<f32>()) as u64;
        let rows_at_most = self.largest_tensor.map_or(n_rows, |bytes| (bytes / row_bytes).max(1) as usize);
        if n_rows <= rows_at_most {
            return Ok(vec![self.param(path, [n_rows, width])?]);
        }
        let values = match self.values(path, &[n_rows, width])? {
            Values::Numbers(values) => values,
            Values::Packed(matrix) => matrix.values(),
        };
        let rows = n_rows.div_ceil(n_rows.div_ceil(rows_at_most));
        let part = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [values.len() / width, width]);
            Param::from_tensor(lasting(data, self.device))
        };
        Ok(values.chunks(rows * width).map(part).collect())
    }

    fn matrix(&mut self, path: &str, shape: [usize; 2]) -> Result<Weight, E> {
        Ok(match self.values(path, &shape)? {
            Values::Packed(matrix) => Weight { dense: None, packed: Some(matrix) },
            Values::Numbers(values) => {
                let tensor = lasting(TensorData::new(values, shape), self.device);
                Weight { dense: Some(Param::from_tensor(tensor)), packed: None }
            }
        })
    }
}

/// A tensor that lives as long as the model: a GPU keeps it apart from those that come and go, among which it looks for room.
fn lasting<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    device.memory_persistent_allocations(data, |data| Tensor::from_data(data, device))
}

/// A matrix as numbers, or packed.
struct Weight {
    dense: Option<Param<Tensor<2>>>,
    packed: Option<Frozen>,
}

/// A row of numbers for each token.
#[derive(Module, Debug)]
pub(super) struct Embedding {
    /// `[vocab_size, d_model]`, whole, or rows that follow each other where no buffer of the device holds all of them.
    pub(super) parts: Vec<Param<Tensor<2>>>,
}

impl Embedding {
    pub(super) fn new<E>(
        path: &str,
        shape: [usize; 2],
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Values, E>>,
    ) -> Result<Self, E> {
        Ok(Self { parts: init.table(&format!("{path}.weight"), shape)? })
    }

    /// Its parts, in order.
    pub(super) fn tables(&self) -> Vec<Tensor<2>> {
        self.parts.iter().map(Param::val).collect()
    }

    /// `[n]` ids to `[n, d_model]`. No gradient flows through rows where `constant`, `[n, 1]`, is 1.
    pub(super) fn lookup(&self, ids: Tensor<1, Int>, constant: Option<Tensor<2>>) -> Tensor<2> {
        let rows = match self.parts.as_slice() {
            [whole] => select_rows(whole.val(), ids),
            _ => table::rows_of(&self.tables(), &ids),
        };
        match constant {
            Some(constant) => rows.clone() * (1.0 - constant.clone()) + rows.detach() * constant,
            None => rows,
        }
    }
}

/// `x · Wᵀ + b`.
#[derive(Module, Debug)]
pub(super) struct Projection {
    /// `[d_out, d_in]`; `None` where the matrix is packed.
    weight: Option<Param<Tensor<2>>>,
    #[module(skip)]
    packed: Option<Frozen>,
    /// What has no gradient is not kept for one.
    is_frozen: bool,
    /// `[d_out]`
    bias: Option<Param<Tensor<1>>>,
    /// What is added by an adapter.
    pub(super) adapter: Option<Lora>,
}

impl Projection {
    pub(super) fn new<E>(
        path: &str,
        [d_out, d_in]: [usize; 2],
        has_bias: bool,
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Values, E>>,
    ) -> Result<Self, E> {
        let Weight { dense, packed } = init.matrix(&format!("{path}.weight"), [d_out, d_in])?;
        let bias = if has_bias { Some(init.param(&format!("{path}.bias"), [d_out])?) } else { None };
        Ok(Self { weight: dense, is_frozen: packed.is_some(), packed, bias, adapter: None })
    }

    /// The matrix as numbers on a device like that of `device`.
    pub(super) fn dense(&self, device: &Device) -> Tensor<2> {
        match (&self.weight, &self.packed) {
            (Some(weight), _) => weight.val(),
            (None, Some(packed)) => {
                Tensor::from_data(TensorData::new(packed.values(), packed.dims()), &device.clone().inner())
            }
            (None, None) => unreachable!("a projection has a matrix"),
        }
    }

    /// The matrix, where it is all there is: numbers that are trained, no bias, no adapter.
    pub(super) fn plain(&self) -> Option<Tensor<2>> {
        let is_plain = !self.is_frozen && self.bias.is_none() && self.adapter.is_none();
        self.weight.as_ref().filter(|_| is_plain).map(Param::val)
    }

    /// The matrix and the adapter beside it, where the one is numbers that are not trained and the other is added as it is, and
    /// there is no bias.
    pub(super) fn plain_adapted(&self, pass: &Pass) -> Option<(Tensor<2>, [Tensor<2>; 2], LoraSpec)> {
        let adapter = self.adapter.as_ref().filter(|_| self.is_frozen && self.bias.is_none())?;
        Some((self.weight.as_ref()?.val(), adapter.matrices(), adapter.plain(pass)?))
    }

    /// The packed matrix, if it is.
    pub(super) fn packed(&self) -> Option<&Frozen> {
        self.packed.as_ref()
    }

    /// Takes the matrix out of training.
    pub(super) fn freeze(&mut self) {
        self.is_frozen = true;
    }

    /// Another matrix in its place.
    pub(super) fn replace(&mut self, weight: Tensor<2>) {
        (self.weight, self.packed, self.is_frozen) = (Some(Param::from_tensor(weight)), None, false);
    }

    fn product(&self, x: Tensor<2>, precision: Precision) -> Tensor<2> {
        match (&self.weight, &self.packed) {
            (Some(weight), _) if self.is_frozen => linear_constant(x, weight.val(), precision),
            (Some(weight), _) => linear(x, weight.val(), precision),
            (None, Some(packed)) => linear_frozen(x, packed, precision),
            (None, None) => unreachable!("a projection has a matrix"),
        }
    }

    fn adapted(&self, adapter: &Lora, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let (plain, [down, up]) = (adapter.plain(pass), adapter.matrices());
        match (plain, &self.weight, &self.packed) {
            (Some(spec), Some(weight), _) if self.is_frozen => lora_linear(x, weight.val(), down, up, spec),
            (Some(spec), None, Some(packed)) => lora_linear_frozen(x, packed, down, up, spec),
            _ => adapter.add(self.product(x.clone(), pass.precision), x, self, pass),
        }
    }

    pub(super) fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let y = match &self.adapter {
            Some(adapter) => self.adapted(adapter, x, pass),
            None => self.product(x, pass.precision),
        };
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}

/// A norm with a learnt scale.
#[derive(Module, Debug)]
pub(super) struct Norm {
    /// `[width]`
    pub(super) weight: Param<Tensor<1>>,
    /// `[width]`; that of a layer norm.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: NormConfig,
}

impl Norm {
    pub(super) fn new<E>(
        path: &str,
        width: usize,
        config: NormConfig,
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Values, E>>,
    ) -> Result<Self, E> {
        let weight = init.param(&format!("{path}.weight"), [width])?;
        let bias = match config.kind {
            NormKind::Layer => Some(init.param(&format!("{path}.bias"), [width])?),
            NormKind::Rms | NormKind::RmsOnePlus => None,
        };
        Ok(Self { weight, bias, config })
    }

    /// `[n, width]` to the same.
    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let (weight, epsilon) = (self.weight.val(), self.config.epsilon);
        match (self.config.kind, &self.bias) {
            (NormKind::Layer, Some(bias)) => layer_norm(x, weight, bias.val(), epsilon),
            (NormKind::RmsOnePlus, _) => rms_norm(x, weight + 1.0, epsilon),
            (NormKind::Rms | NormKind::Layer, _) => rms_norm(x, weight, epsilon),
        }
    }

    /// Each run of as many numbers as the weight has, by itself: `[n, runs · width]` to the same.
    pub(super) fn forward_runs(&self, x: Tensor<2>) -> Tensor<2> {
        let [n, all] = x.dims();
        let [width] = self.weight.dims();
        self.forward(x.reshape([n * all / width, width])).reshape([n, all])
    }
}
