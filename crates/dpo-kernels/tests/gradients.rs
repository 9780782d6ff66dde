//! Gradients in f32 through autodiff against central differences of the same operation in f64.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use dpo_kernels::{
    Activation, AttentionSpec, DivergenceSpec, FeedForwardSpec, LogitSpec, LoraSpec, Precision,
    ReferenceRows, TreeLayout, TreeRange, activate, attention_layer, completion_logps,
    completion_logps_and_kl, gated, gated_feed_forward, gated_lora_linear, layer_norm, linear, lora_linear,
    rms_norm, rotary, select_rows, span_sums, tree_attention,
};

type Op<'a> = &'a dyn Fn(&[Tensor<2>]) -> Tensor<2>;

/// Numbers between −1 and 1.
fn numbers(n: usize, seed: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 37 + seed * 101) as f64 * 0.7351).sin()).collect()
}

/// `Σ output · weights`, so that every element of the output counts differently.
fn loss(op: Op<'_>, inputs: &[Tensor<2>]) -> Tensor<1> {
    let output = op(inputs);
    let dims = output.dims();
    let weights = TensorData::new(numbers(dims[0] * dims[1], 9), dims);
    (output.clone() * Tensor::from_data(weights, (&output.device(), output.dtype()))).sum()
}

fn values_of(data: TensorData) -> Vec<f64> {
    data.convert::<f64>().try_to_vec().unwrap()
}

fn tensors(values: &[Vec<f64>], shapes: &[[usize; 2]], device: &Device, dtype: DType) -> Vec<Tensor<2>> {
    let data = values.iter().zip(shapes).map(|(values, dims)| TensorData::new(values.clone(), *dims));
    data.map(|data| Tensor::from_data(data, (device, dtype))).collect()
}

fn check(name: &str, shapes: &[[usize; 2]], op: Op<'_>) {
    let seeds = shapes.iter().enumerate();
    let values: Vec<Vec<f64>> = seeds.map(|(i, dims)| numbers(dims[0] * dims[1], i)).collect();
    let tracked = tensors(&values, shapes, &Device::flex().autodiff(), DType::F32);
    let tracked: Vec<Tensor<2>> = tracked.into_iter().map(Tensor::require_grad).collect();
    let grads = loss(op, &tracked).backward();
    let step = 1e-5;
    for (input, tensor) in tracked.iter().enumerate() {
        for (element, found) in values_of(tensor.grad(&grads).unwrap().into_data()).into_iter().enumerate() {
            let moved = |by: f64| {
                let mut values = values.clone();
                values[input][element] += by;
                values_of(loss(op, &tensors(&values, shapes, &Device::flex(), DType::F64)).into_data())[0]
            };
            let expected = (moved(step) - moved(-step)) / (2.0 * step);
            let close = (found - expected).abs() <= 1e-4 * (1.0 + expected.abs());
            assert!(close, "{name}, input {input}, element {element}: {found} is not {expected}");
        }
    }
}

#[test]
fn linear_has_its_gradient() {
    check("linear", &[[3, 5], [4, 5]], &|x| linear(x[0].clone(), x[1].clone(), Precision::F32));
}

#[test]
fn gated_feed_forward_has_its_gradient() {
    check("gated_feed_forward", &[[3, 4], [5, 4], [5, 4], [4, 5]], &|x| {
        let spec = FeedForwardSpec { activation: Activation::GeluTanh, precision: Precision::F32 };
        gated_feed_forward(x[0].clone(), x[1].clone(), x[2].clone(), x[3].clone(), spec)
    });
}

/// Of the input and of the adapter; the matrix beside it has none.
#[test]
fn lora_linear_has_its_gradient() {
    check("lora_linear", &[[3, 5], [2, 5], [4, 2]], &|x| {
        let weight = TensorData::new(numbers(20, 5), [4, 5]);
        let weight = Tensor::from_data(weight, (&x[0].device(), x[0].dtype()));
        let spec = LoraSpec { scale: 1.7, precision: Precision::F32 };
        lora_linear(x[0].clone(), weight, x[1].clone(), x[2].clone(), spec)
    });
}

#[test]
fn gated_lora_linear_has_its_gradient() {
    check("gated_lora_linear", &[[3, 5], [3, 5], [2, 5], [4, 2]], &|x| {
        let weight = TensorData::new(numbers(20, 5), [4, 5]);
        let weight = Tensor::from_data(weight, (&x[0].device(), x[0].dtype()));
        let spec = LoraSpec { scale: 1.7, precision: Precision::F32 };
        let (inputs, adapter) = ([x[0].clone(), x[1].clone()], [x[2].clone(), x[3].clone()]);
        gated_lora_linear(inputs, weight, adapter, Activation::Silu, spec)
    });
}

#[test]
fn rms_norm_has_its_gradient() {
    check("rms_norm", &[[17, 6], [1, 6]], &|x| rms_norm(x[0].clone(), x[1].clone().reshape([6]), 1e-3));
}

#[test]
fn layer_norm_has_its_gradient() {
    check("layer_norm", &[[17, 6], [1, 6], [1, 6]], &|x| {
        layer_norm(x[0].clone(), x[1].clone().reshape([6]), x[2].clone().reshape([6]), 1e-3)
    });
}

/// Heads of 4 that turn as a whole, and heads of 8 of which half turns.
#[test]
fn rotary_has_its_gradient() {
    for head_dim in [4, 8] {
        check("rotary", &[[3, 8]], &|x| {
            let angles = TensorData::new(numbers(6, 5), [3, 2]);
            let angles = Tensor::<2>::from_data(angles, (&x[0].device(), x[0].dtype()));
            rotary(x[0].clone(), angles.clone().cos(), angles.sin(), head_dim)
        });
    }
}

const ACTIVATIONS: [Activation; 4] =
    [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu];

/// Away from 0, where ReLU has none.
#[test]
fn gated_has_its_gradient() {
    for activation in ACTIVATIONS {
        check(&format!("gated {activation:?}"), &[[3, 7], [3, 7]], &|x| {
            gated(x[0].clone() * 3.0 + 0.1, x[1].clone(), activation)
        });
    }
}

#[test]
fn activate_has_its_gradient() {
    for activation in ACTIVATIONS {
        check(&format!("activate {activation:?}"), &[[3, 7]], &|x| {
            activate(x[0].clone() * 3.0 + 0.1, activation)
        });
    }
}

/// A trunk with two branches, one of a single token, and a tree without a trunk; two query heads share a key head.
fn attention_spec() -> AttentionSpec {
    let trees = vec![
        TreeRange { trunk: 0..4, branches: vec![4..7, 7..8] },
        TreeRange { trunk: 8..8, branches: std::iter::once(8..10).collect() },
    ];
    let layout = Arc::new(TreeLayout::new(trees));
    AttentionSpec {
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 4,
        scale: 0.5,
        layout,
        window: None,
        softcap: None,
        precision: Precision::F32,
    }
}

fn check_attention(name: &str, spec: &AttentionSpec) {
    check(name, &[[10, 16], [10, 8], [10, 8]], &|x| {
        tree_attention(x[0].clone(), x[1].clone(), x[2].clone(), spec.clone())
    });
}

#[test]
fn tree_attention_has_its_gradient() {
    check_attention("tree_attention", &attention_spec());
}

/// Of the input and of the four matrices; queries and keys are turned by three angles, half of a head of 6 each.
#[test]
fn attention_layer_has_its_gradient() {
    let spec = AttentionSpec { head_dim: 6, ..attention_spec() };
    check("attention_layer", &[[10, 5], [24, 5], [12, 5], [12, 5], [5, 24]], &|x| {
        let table = |part: fn(f64) -> f64| {
            let angles = (0..30).map(|place| part(0.3 * f64::from(place))).collect::<Vec<f64>>();
            Tensor::<2>::from_data(TensorData::new(angles, [10, 3]), (&x[0].device().inner(), x[0].dtype()))
        };
        let weights = [1, 2, 3, 4].map(|input: usize| x[input].clone());
        attention_layer(x[0].clone(), weights, [table(f64::cos), table(f64::sin)], spec.clone())
    });
}

/// What a matrix that is embedding and head gets from both, whichever is first in the graph.
#[test]
fn a_matrix_whose_rows_are_taken_and_that_multiplies_has_its_gradient() {
    let rows = || Tensor::<1, Int>::from_data(TensorData::new(vec![2_i32, 0, 2], [3]), &Device::flex());
    check("rows and product", &[[4, 5]], &|x| {
        let taken = select_rows(x[0].clone(), rows());
        linear(taken, x[0].clone(), Precision::F32)
    });
    check("product and rows", &[[4, 4]], &|x| {
        let product = linear(x[0].clone(), x[0].clone(), Precision::F32);
        select_rows(x[0].clone(), rows()).matmul(product)
    });
}

/// Three numbers, none, four.
#[test]
fn span_sums_have_their_gradient() {
    check("span_sums", &[[1, 7]], &|x| {
        let sums = span_sums(x[0].clone().reshape([7]), &[3, 0, 4]);
        (sums.clone() * sums).reshape([1, 3])
    });
}

#[test]
fn tree_attention_with_a_window_has_its_gradient() {
    for window in [1, 2, 4] {
        let spec = AttentionSpec { window: Some(window), ..attention_spec() };
        check_attention(&format!("window {window}"), &spec);
    }
}

/// Scores reach ±1, where a cap of ½ bends them strongly.
#[test]
fn tree_attention_with_a_cap_has_its_gradient() {
    for window in [None, Some(3)] {
        check_attention("softcap", &AttentionSpec { softcap: Some(0.5), window, ..attention_spec() });
    }
}

#[test]
fn completion_logps_have_their_gradient() {
    for softcap in [None, Some(0.7)] {
        let spec = LogitSpec { softcap, precision: Precision::F32 };
        check("completion_logps", &[[3, 4], [9, 4]], &|x| {
            let targets = Tensor::<1, Int>::from_ints([8, 0, 3], &x[0].device());
            completion_logps(x[0].clone(), x[1].clone(), targets, spec).reshape([3, 1])
        });
    }
}

/// Of the log-probabilities and of the divergences at once, against a reference of another width and another cap.
#[test]
fn completion_logps_and_kl_have_their_gradient() {
    for softcap in [None, Some(0.7)] {
        let logits = LogitSpec { softcap, precision: Precision::F32 };
        let spec = DivergenceSpec { logits, reference_softcap: softcap.map(|cap| 2.0 * cap) };
        check("completion_logps_and_kl", &[[3, 4], [9, 4]], &|x| {
            let (device, dtype) = (x[0].device().inner(), x[0].dtype());
            let constant = |dims: [usize; 2], seed| {
                Tensor::from_data(TensorData::new(numbers(dims[0] * dims[1], seed), dims), (&device, dtype))
            };
            let reference = ReferenceRows { hidden: constant([3, 5], 5), head: constant([9, 5], 6) };
            let targets = Tensor::<1, Int>::from_ints([8, 0, 3], &x[0].device());
            let said = completion_logps_and_kl(x[0].clone(), x[1].clone(), reference, targets, spec);
            Tensor::stack::<2>(vec![said.logps, said.kl], 0)
        });
    }
}

/// A frozen weight has no gradient, and that of what flows through it is the same as beside one that learns.
#[test]
fn a_frozen_weight_changes_no_other_gradient() {
    let device = Device::flex().autodiff();
    let tensor = |dims, seed| {
        let [rows, cols]: [usize; 2] = dims;
        Tensor::<2>::from_data(TensorData::new(numbers(rows * cols, seed), dims), (&device, DType::F32))
    };
    let gradient = |frozen: bool| {
        let x = tensor([5, 6], 1).require_grad();
        let weights = [tensor([1, 6], 2), tensor([1, 6], 3), tensor([4, 6], 4)];
        let weights = weights.map(|weight| if frozen { weight } else { weight.require_grad() });
        let [scale, shift, projection] = weights.clone();
        let normed = rms_norm(x.clone(), scale.clone().reshape([6]), 1e-5);
        let normed = layer_norm(normed, scale.reshape([6]), shift.reshape([6]), 1e-5);
        let grads = gated(normed.clone(), normed, Activation::GeluErf);
        let grads = linear(grads, projection, Precision::F32).sum().backward();
        assert!(weights.iter().all(|weight| weight.grad(&grads).is_none() == frozen));
        values_of(x.grad(&grads).unwrap().into_data())
    };
    assert_eq!(gradient(true), gradient(false));
}
