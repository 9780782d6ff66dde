//! The smallest parts: embedding, projection, norm.

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor, TensorData},
};
use dpo_kernels::{layer_norm, linear, rms_norm};

use super::{lora::Lora, pass::Pass};
use crate::config::{NormConfig, NormKind, ParameterInfo, TensorNames};

/// Where parameters come from while a decoder is built.
pub(super) struct Init<'a, F> {
    pub(super) device: &'a Device,
    pub(super) names: &'static TensorNames,
    /// Values of a parameter.
    pub(super) values: &'a mut F,
}

impl<E, F: FnMut(&ParameterInfo) -> Result<Vec<f32>, E>> Init<'_, F> {
    fn param<const D: usize>(&mut self, path: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, E> {
        let info = ParameterInfo::at(self.names, path, &shape);
        let data = TensorData::new((self.values)(&info)?, shape);
        Ok(Param::from_tensor(Tensor::from_data(data, self.device)))
    }
}

/// A row of numbers for each token.
#[derive(Module, Debug)]
pub(super) struct Embedding {
    /// `[vocab_size, d_model]`
    pub(super) weight: Param<Tensor<2>>,
}

impl Embedding {
    pub(super) fn new<E>(
        path: &str,
        shape: [usize; 2],
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        Ok(Self { weight: init.param(&format!("{path}.weight"), shape)? })
    }

    /// `[n]` ids to `[n, d_model]`. No gradient flows through rows where `constant`, `[n, 1]`, is 1.
    pub(super) fn lookup(&self, ids: Tensor<1, Int>, constant: Option<Tensor<2>>) -> Tensor<2> {
        let rows = self.weight.val().select(0, ids);
        match constant {
            Some(constant) => rows.clone() * (1.0 - constant.clone()) + rows.detach() * constant,
            None => rows,
        }
    }
}

/// `x · Wᵀ + b`.
#[derive(Module, Debug)]
pub(super) struct Projection {
    /// `[d_out, d_in]`
    pub(super) weight: Param<Tensor<2>>,
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
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        let weight = init.param(&format!("{path}.weight"), [d_out, d_in])?;
        let bias = if has_bias { Some(init.param(&format!("{path}.bias"), [d_out])?) } else { None };
        Ok(Self { weight, bias, adapter: None })
    }

    pub(super) fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let y = linear(x.clone(), self.weight.val());
        let y = match &self.adapter {
            Some(adapter) => adapter.add(y, x, &self.weight, pass),
            None => y,
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
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Vec<f32>, E>>,
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
