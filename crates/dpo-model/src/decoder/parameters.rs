//! Parameters by name, flat, in one fixed order: what optimizers, checkpoints and savers walk over.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Gradients, Tensor},
};

use super::{
    Decoder,
    gradients::{GradientList, GradientSums},
};
use crate::config::{ParameterInfo, TablePart, TensorNames};

impl Decoder {
    /// Name and shape of everything that is trained, in the fixed order: the adapter where there is one, else all
    /// weights.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        let mut infos = Vec::new();
        self.for_each_parameter(|info, _| infos.push(info));
        infos
    }

    /// Calls `f` with each of [`parameters`](Self::parameters), flat and without autodiff, in the fixed order.
    pub fn for_each_parameter(&self, mut f: impl FnMut(ParameterInfo, Tensor<1>)) {
        self.visit(&mut Walk { path: Path::new(self, self.trained()), f: |info, _, tensor| f(info, tensor) });
    }

    /// As [`for_each_parameter`](Self::for_each_parameter), with what tells parameters apart.
    pub(super) fn for_each_trained(&self, mut f: impl FnMut(ParamId, Tensor<1>)) {
        self.visit(&mut Walk { path: Path::new(self, self.trained()), f: |_, id, tensor| f(id, tensor) });
    }

    /// Calls `f` with each weight of the decoder itself, flat and without autodiff, in the fixed order.
    ///
    /// Packed matrices come last, each as numbers.
    pub fn for_each_weight(&self, mut f: impl FnMut(ParameterInfo, Tensor<1>)) {
        self.visit(&mut Walk {
            path: Path::new(self, Chosen::Weights),
            f: |info, _, tensor| f(info, tensor),
        });
        self.for_each_packed(f);
    }

    fn trained(&self) -> Chosen {
        if self.adapter.is_some() { Chosen::Adapter } else { Chosen::Weights }
    }

    /// Takes each parameter's gradient out of `gradients`; zeros for a parameter that had no part in the loss.
    pub fn take_gradients(&self, gradients: &mut Gradients) -> GradientList {
        let mut sums = GradientSums::default();
        sums.add(self, gradients);
        sums.into_list(self)
    }

    /// Replaces every parameter, flat and without autodiff, by what `f` makes of it, in the fixed order.
    ///
    /// The tensor handed to `f` is the only one of its parameter, provided that no clone of the decoder is kept.
    #[must_use]
    pub fn map_parameters(self, f: impl FnMut(ParameterInfo, Tensor<1>) -> Tensor<1>) -> Self {
        let path = Path::new(&self, self.trained());
        self.map(&mut Replace { path, f })
    }
}

/// Names of the modules around the one being visited.
struct Path {
    names: &'static TensorNames,
    modules: Vec<String>,
    chosen: Chosen,
    /// Rows of the tables, which may lie in parts.
    tables: [(&'static str, usize); 3],
    /// Rows of the parts of a table that were visited.
    n_visited: usize,
}

/// Which parameters a walk is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    Weights,
    Adapter,
}

impl Path {
    fn new(model: &Decoder, chosen: Chosen) -> Self {
        let config = model.config();
        let tables = [
            ("embedding", config.vocab_size),
            ("head", config.vocab_size),
            ("position_table", config.max_position_embeddings),
        ];
        Self { names: config.names(), modules: Vec::new(), chosen, tables, n_visited: 0 }
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

    /// The parameter that is being visited; `None` where the walk is not about it.
    fn info(&mut self, shape: &[usize]) -> Option<ParameterInfo> {
        let info = match self.modules.as_slice() {
            [table, parts, idx] if parts == "parts" => {
                let (table, idx) = (table.clone(), idx.clone());
                self.part_of(&table, idx == "0", shape)
            }
            modules => ParameterInfo::at(self.names, &modules.join("."), shape),
        };
        (info.is_adapter() == (self.chosen == Chosen::Adapter)).then_some(info)
    }

    /// Rows of a table.
    fn part_of(&mut self, table: &str, is_first: bool, shape: &[usize]) -> ParameterInfo {
        let first_row = if is_first { 0 } else { self.n_visited };
        self.n_visited = first_row + shape[0];
        let n_rows = self.tables.iter().find(|(name, _)| *name == table).map_or(shape[0], |(_, n)| *n);
        let part = (shape[0] < n_rows).then_some(TablePart { first_row, n_rows });
        ParameterInfo { part, ..ParameterInfo::at(self.names, &format!("{table}.weight"), shape) }
    }
}

struct Walk<F> {
    path: Path,
    f: F,
}

impl<F: FnMut(ParameterInfo, ParamId, Tensor<1>)> ModuleVisitor for Walk<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(info) = self.path.info(&param.dims()) else { return };
        (self.f)(info, param.id, flat(param.val().inner()));
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
        let Some(info) = self.path.info(&param.dims()) else { return param };
        let f = &mut self.f;
        param.map(|tensor| {
            let (is_autodiff, is_tracked) = (tensor.is_autodiff(), tensor.is_require_grad());
            let shape = tensor.dims();
            let value = f(info, flat(tensor.inner())).reshape(shape);
            let value = if is_autodiff { value.autodiff() } else { value };
            value.set_require_grad(is_tracked)
        })
    }
}

/// The values of tensors, one after the other: of the parts of a table all of its own. Those of a single tensor are not copied again.
pub fn joined_values<'a>(tensors: impl IntoIterator<Item = &'a Tensor<1>>) -> Vec<f32> {
    let values = tensors.into_iter().map(|tensor| tensor.to_data().iter::<f32>().collect::<Vec<_>>());
    let joined = values.reduce(|mut all, part| {
        all.extend(part);
        all
    });
    joined.unwrap_or_default()
}

pub(super) fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    tensor.reshape([-1])
}
