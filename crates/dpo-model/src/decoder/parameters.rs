//! Parameters by name, flat, in one fixed order: what optimizers, checkpoints and savers walk over.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Gradients, Tensor},
};

use super::Decoder;
use crate::config::{ParameterInfo, TensorNames};

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
        self.visit(&mut Walk { path: Path::new(self), f });
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
        let path = Path::new(&self);
        self.map(&mut Replace { path, f })
    }
}

/// Names of the modules around the one being visited.
struct Path {
    names: &'static TensorNames,
    modules: Vec<String>,
}

impl Path {
    fn new(model: &Decoder) -> Self {
        Self { names: model.config().names(), modules: Vec::new() }
    }

    /// The variants of an enum are alternatives and no part of a path.
    fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.modules.push(name.to_owned());
        }
    }

    fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.modules.pop();
        }
    }

    fn info(&self, shape: &[usize]) -> ParameterInfo {
        ParameterInfo::at(self.names, &self.modules.join("."), shape)
    }
}

struct Walk<F> {
    path: Path,
    f: F,
}

impl<F: FnMut(ParameterInfo, Tensor<1>)> ModuleVisitor for Walk<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        let info = self.path.info(&tensor.dims());
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
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (path, f) = (&self.path, &mut self.f);
        param.map(|tensor| {
            let (is_autodiff, is_tracked) = (tensor.is_autodiff(), tensor.is_require_grad());
            let shape = tensor.dims();
            let value = f(path.info(&shape), flat(tensor.inner())).reshape(shape);
            let value = if is_autodiff { value.autodiff() } else { value };
            value.set_require_grad(is_tracked)
        })
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    tensor.reshape([-1])
}
