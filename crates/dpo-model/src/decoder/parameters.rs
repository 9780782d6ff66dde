//! Parameters by name, flat, in one fixed order: what optimizers, checkpoints and savers walk over.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Gradients, Tensor},
};

use super::Decoder;

/// Name and shape of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Its tensor's name in a Hugging Face checkpoint.
    pub name: String,
    /// Its axes, outermost first.
    pub shape: Vec<usize>,
}

impl ParameterInfo {
    /// Whether weight decay applies, as transformers decides it: not to norms and biases.
    pub fn is_decayed(&self) -> bool {
        self.shape.len() > 1
    }
}

/// One gradient a parameter, flat, in the order of [`Decoder::parameters`].
pub type GradientList = Vec<Tensor<1>>;

impl Decoder {
    /// Every parameter's name and shape, in the fixed order.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        let mut infos = Vec::new();
        self.for_each_parameter(|info, _| infos.push(info));
        infos
    }

    /// Calls `f` with each parameter, flat and without autodiff, in the fixed order.
    pub fn for_each_parameter(&self, f: impl FnMut(ParameterInfo, Tensor<1>)) {
        self.visit(&mut Walk { path: Path::default(), f });
    }

    /// Takes each parameter's gradient out of `gradients`; zeros for a parameter that had no part in the loss.
    pub fn take_gradients(&self, gradients: &mut Gradients) -> GradientList {
        let mut taker = TakeGradients { gradients, list: Vec::new() };
        self.visit(&mut taker);
        taker.list
    }

    /// Replaces every parameter, flat and without autodiff, by what `f` makes of it, in the fixed order.
    ///
    /// The tensor handed to `f` is the only one of its parameter, provided that no clone of the decoder is kept.
    #[must_use]
    pub fn map_parameters(self, f: impl FnMut(ParameterInfo, Tensor<1>) -> Tensor<1>) -> Self {
        self.map(&mut Replace { path: Path::default(), f })
    }
}

/// Names of the modules around the one being visited.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn info(&self, shape: Vec<usize>) -> ParameterInfo {
        let path = self.0.join(".");
        let prefix = if path.starts_with("lm_head") { "" } else { "model." };
        ParameterInfo { name: format!("{prefix}{path}"), shape }
    }
}

struct Walk<F> {
    path: Path,
    f: F,
}

impl<F: FnMut(ParameterInfo, Tensor<1>)> ModuleVisitor for Walk<F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        let info = self.path.info(tensor.dims().to_vec());
        (self.f)(info, flat(tensor));
    }
}

struct TakeGradients<'a> {
    gradients: &'a mut Gradients,
    list: GradientList,
}

impl ModuleVisitor for TakeGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let gradient = tensor.grad_remove(self.gradients).unwrap_or_else(|| tensor.inner().zeros_like());
        self.list.push(flat(gradient));
    }
}

struct Replace<F> {
    path: Path,
    f: F,
}

impl<F: FnMut(ParameterInfo, Tensor<1>) -> Tensor<1>> ModuleMapper for Replace<F> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (path, f) = (&self.path, &mut self.f);
        param.map(|tensor| {
            let (is_autodiff, is_tracked) = (tensor.is_autodiff(), tensor.is_require_grad());
            let shape = tensor.dims();
            let value = f(path.info(shape.to_vec()), flat(tensor.inner())).reshape(shape);
            let value = if is_autodiff { value.autodiff() } else { value };
            value.set_require_grad(is_tracked)
        })
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    tensor.reshape([-1])
}
