//! Gradients of parameters, added up over backward passes.

use std::collections::HashMap;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    tensor::{Gradients, Tensor},
};

use super::{Decoder, parameters::flat};

/// One gradient a parameter, flat, in the order of [`Decoder::parameters`].
pub type GradientList = Vec<Tensor<1>>;

/// Sums of the gradients that backward passes gave for a decoder's parameters.
#[derive(Debug, Default)]
pub struct GradientSums(HashMap<ParamId, Tensor<1>>);

impl GradientSums {
    /// Takes the gradients of the decoder's parameters out of `gradients` and adds them.
    pub fn add(&mut self, model: &Decoder, gradients: &mut Gradients) {
        self.add_of(model, gradients);
    }

    /// As [`add`](Self::add), of a part of a decoder.
    pub(super) fn add_of(&mut self, part: &impl Module, gradients: &mut Gradients) {
        part.visit(&mut Take { sums: self, gradients });
    }

    /// Adds what another pass came to.
    pub(super) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(id, gradient)| self.add_one(id, gradient));
    }

    /// The sums in the order of the decoder's parameters; zeros for a parameter that had no part in any loss.
    pub fn into_list(mut self, model: &Decoder) -> GradientList {
        let mut list = Vec::new();
        model.for_each_trained(|id, tensor| {
            list.push(self.0.remove(&id).unwrap_or_else(|| tensor.zeros_like()));
        });
        list
    }

    /// In place where backends can: nothing else holds the sum.
    fn add_one(&mut self, id: ParamId, gradient: Tensor<1>) {
        let sum = match self.0.remove(&id) {
            Some(sum) => sum + gradient,
            None => gradient,
        };
        self.0.insert(id, sum);
    }
}

struct Take<'a> {
    sums: &'a mut GradientSums,
    gradients: &'a mut Gradients,
}

impl ModuleVisitor for Take<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.gradients) {
            self.sums.add_one(param.id, flat(gradient));
        }
    }
}

/// Whether any parameter of a part is trained.
pub(super) fn is_trained(part: &impl Module) -> bool {
    struct Any(bool);
    impl ModuleVisitor for Any {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.val().is_require_grad();
        }
    }
    let mut any = Any(false);
    part.visit(&mut any);
    any.0
}
