//! The smallest parts: embedding, projection, norm.

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor, TensorData},
};
use dpo_kernels::{linear, rms_norm};

/// Where parameters come from while a decoder is built.
pub(super) struct Init<'a, F> {
    pub(super) device: &'a Device,
    /// Values of a tensor by name and shape.
    pub(super) values: &'a mut F,
}

impl<E, F: FnMut(&str, &[usize]) -> Result<Vec<f32>, E>> Init<'_, F> {
    fn param<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, E> {
        let data = TensorData::new((self.values)(name, &shape)?, shape);
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
        name: &str,
        vocab: usize,
        d_model: usize,
        init: &mut Init<impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        Ok(Self { weight: init.param(&format!("{name}.weight"), [vocab, d_model])? })
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
    weight: Param<Tensor<2>>,
    /// `[d_out]`
    bias: Option<Param<Tensor<1>>>,
}

impl Projection {
    pub(super) fn new<E>(
        name: &str,
        [d_out, d_in]: [usize; 2],
        has_bias: bool,
        init: &mut Init<impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        let weight = init.param(&format!("{name}.weight"), [d_out, d_in])?;
        let bias = if has_bias { Some(init.param(&format!("{name}.bias"), [d_out])?) } else { None };
        Ok(Self { weight, bias })
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = linear(x, self.weight.val());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}

/// Root-mean-square norm with a learnt scale.
#[derive(Module, Debug)]
pub(super) struct Norm {
    /// `[d_model]`
    pub(super) weight: Param<Tensor<1>>,
    epsilon: f64,
}

impl Norm {
    pub(super) fn new<E>(
        name: &str,
        d_model: usize,
        epsilon: f64,
        init: &mut Init<impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        Ok(Self { weight: init.param(&format!("{name}.weight"), [d_model])?, epsilon })
    }

    pub(super) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        rms_norm(x, self.weight.val(), self.epsilon)
    }
}
