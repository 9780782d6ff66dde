//! What every kernel must bear: buffers that begin anywhere, no rows at all, numbers that are none.

use std::sync::Arc;

use burn::backend::Flex;

use super::*;
use crate::{
    Activation, AdamWStep, AttentionSpec, FusedPrimitives, LogitSpec, Precision, TreeLayout, TreeRange,
    backend::Rotation,
    cpu::{bf16::tests::on, buffer::values},
    saved::{AttentionSaved, LayerNormSaved, LogpsSaved},
};

type Run = Box<dyn Fn(Vec<FlexTensor>) -> Vec<FlexTensor>>;

/// Forward and backward of an operation on some inputs.
struct Kernel {
    name: String,
    /// Those with a row for each row of the output come first.
    inputs: Vec<FlexTensor>,
    n_by_row: usize,
    run: Run,
}

fn kernel<const N: usize>(
    name: &str,
    inputs: [FlexTensor; N],
    n_by_row: usize,
    run: impl Fn([FlexTensor; N]) -> Vec<FlexTensor> + 'static,
) -> Kernel {
    let run = move |inputs: Vec<FlexTensor>| run(inputs.try_into().expect("as many as there were"));
    Kernel { name: name.to_owned(), inputs: inputs.into(), n_by_row, run: Box::new(run) }
}

fn all<const N: usize>(first: Vec<FlexTensor>, grads: [Option<FlexTensor>; N]) -> Vec<FlexTensor> {
    first.into_iter().chain(grads.map(Option::unwrap)).collect()
}

/// Every kernel, on `n` rows of odd widths.
fn kernels(n: usize) -> Vec<Kernel> {
    [elementwise(n), norms(n), products(n), vec![attention(n)]].into_iter().flatten().collect()
}

fn elementwise(n: usize) -> Vec<Kernel> {
    let [x, y, grad] = [1, 2, 3].map(|seed| random([n, 33], seed));
    let angles = [random([n, 5], 4), random([n, 5], 5)];
    let [cos, sin] = angles;
    let activations = [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu];
    let of_activations = activations.into_iter().flat_map(|activation| {
        let gated = kernel(
            &format!("gated {activation:?}"),
            [&x, &y, &grad].map(Clone::clone),
            3,
            move |[x, y, grad]| {
                let output = Flex::gated_forward(x.clone(), y.clone(), activation);
                all(vec![output], Flex::gated_backward([x, y], grad, activation, [true; 2]))
            },
        );
        let plain = kernel(&format!("{activation:?}"), [&x, &grad].map(Clone::clone), 2, move |[x, grad]| {
            let output = Flex::activate_forward(x.clone(), activation);
            vec![output, Flex::activate_backward(x, grad, activation)]
        });
        [gated, plain]
    });
    let rotary = kernel("rotary", [x.clone(), cos, sin], 3, |[x, cos, sin]| {
        let turn = |direction| Flex::rotate(x.clone(), [cos.clone(), sin.clone()], 11, direction);
        vec![turn(Rotation::Forward), turn(Rotation::Backward)]
    });
    let rounded = [Precision::Bf16, Precision::F16]
        .map(|precision| kernel("rounded", [x.clone()], 1, move |[x]| vec![Flex::rounded(x, precision)]));
    let second = Flex::float_mul(y.clone(), y.clone());
    let adamw =
        kernel("adamw", [x.clone(), y.clone(), grad.clone(), second], 4, |[param, first, grad, second]| {
            Flex::adamw_update(param, grad, [first, second], &STEP).into()
        });
    let squares = kernel("sum of squares", [x.clone()], 0, |[x]| vec![Flex::sum_of_squares(x)]);
    of_activations.chain(rounded).chain([rotary, adamw, squares]).collect()
}

const STEP: AdamWStep = AdamWStep {
    learning_rate: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.01,
    time: 2,
    grad_scale: 1.0,
};

fn norms(n: usize) -> Vec<Kernel> {
    let ([x, grad], [weight, bias]) =
        ([1, 2].map(|seed| random([n, 33], seed)), [3, 4].map(|seed| vector(&numbers(33, seed))));
    let rms = kernel("rms_norm", [x.clone(), grad.clone(), weight.clone()], 2, |[x, grad, weight]| {
        let (output, inv_rms) = Flex::rms_norm_forward(x.clone(), weight.clone(), 1e-5);
        let saved = [x, weight, inv_rms.clone()];
        all(vec![output, inv_rms], Flex::rms_norm_backward(saved, grad, [true; 2]))
    });
    let layer = kernel("layer_norm", [x, grad, weight, bias], 2, |[x, grad, weight, bias]| {
        let (output, statistics) = Flex::layer_norm_forward(x.clone(), weight.clone(), bias, 1e-5);
        let first = vec![output, statistics.mean.clone(), statistics.inv_std.clone()];
        all(first, Flex::layer_norm_backward(LayerNormSaved { x, weight, statistics }, grad, [true; 3]))
    });
    vec![rms, layer]
}

/// Linear layers and the head: in f32; with rounded operands and no unit, and on each.
fn products(n: usize) -> Vec<Kernel> {
    let settings = precision::settings().into_iter();
    let of_setting = |(precision, unit): (Precision, Option<&'static _>)| {
        let inputs = [random([n, 33], 1), random([n, 17], 2), random([17, 33], 3)];
        let linear = kernel("linear", inputs, 2, move |[x, grad, weight]| {
            on(unit, || {
                let output = Flex::linear_forward(x.clone(), weight.clone(), precision);
                all(vec![output], Flex::linear_backward(x, weight, grad, precision, [true; 2]))
            })
        });
        let inputs = [random([n, 33], 1), random([n, 1], 2), random([301, 33], 3)];
        let head = kernel("head", inputs, 2, move |[hidden, grad, head]| {
            let n = dims2(&hidden)[0];
            let targets = ids(&(0..n).map(|row| (row * 7919 % 301) as i32).collect::<Vec<_>>());
            let (spec, grad) = (LogitSpec { softcap: None, precision }, grad.reshape([n].into()));
            on(unit, || {
                let (logps, log_sum_exp) =
                    Flex::logps_forward(hidden.clone(), head.clone(), targets.clone(), spec);
                let first = vec![logps, log_sum_exp.clone()];
                let saved = LogpsSaved { hidden, head, targets, log_sum_exp, spec };
                all(first, Flex::logps_backward(saved, grad, [true; 2]))
            })
        });
        let name = format!("{precision:?} on {}", unit.map_or("no unit", |unit| unit.name));
        [linear, head].map(|kernel| Kernel { name: format!("{} in {name}", kernel.name), ..kernel })
    };
    settings.flat_map(of_setting).collect()
}

/// Each row is a tree of its own, without a branch, so that none sees another.
fn attention(n: usize) -> Kernel {
    let trees = (0..n).map(|row| TreeRange { trunk: row..row + 1, branches: vec![] }).collect();
    let layout = Arc::new(TreeLayout::new(trees));
    let spec = AttentionSpec {
        n_heads: 3,
        n_kv_heads: 1,
        head_dim: 11,
        scale: 0.3,
        layout,
        window: None,
        softcap: None,
        precision: Precision::F32,
    };
    let [query, grad] = [1, 2].map(|seed| random([n, 33], seed));
    let [key, value] = [3, 4].map(|seed| random([n, 11], seed));
    kernel("attention", [query, grad, key, value], 4, move |[query, grad, key, value]| {
        let (output, log_sum_exp) = Flex::attention_forward(query.clone(), key.clone(), value.clone(), &spec);
        let first = vec![output.clone(), log_sum_exp.clone()];
        let saved = AttentionSaved { query, key, value, output, log_sum_exp };
        all(first, Flex::attention_backward(saved, grad, &spec, [true; 3]))
    })
}

/// The same numbers, so many numbers further on in memory.
fn shifted(tensor: &FlexTensor, by: usize) -> FlexTensor {
    let numbers = [vec![f32::NAN; by], floats(tensor)].concat();
    let moved = rows(&vector(&numbers), by..numbers.len()).reshape(tensor.shape());
    assert!(numbers.len() == by || !values(&moved).as_ptr().addr().is_multiple_of(16), "off alignment");
    moved
}

/// A buffer from the system begins at a multiple of 16 bytes: here it begins 4, 8 and 12 bytes later.
#[test]
fn buffers_may_begin_anywhere() {
    for kernel in kernels(19) {
        let expected: Vec<_> = (kernel.run)(kernel.inputs.clone()).iter().map(bits).collect();
        for by in 1..4 {
            let inputs = kernel.inputs.iter().map(|input| shifted(input, by)).collect();
            let found: Vec<_> = (kernel.run)(inputs).iter().map(bits).collect();
            assert_eq!(found, expected, "{}, by {by}", kernel.name);
        }
    }
}

/// Nothing comes of it but gradients of weights, which are 0.
#[test]
fn no_rows_give_no_rows() {
    for kernel in kernels(0) {
        for (idx, output) in (kernel.run)(kernel.inputs.clone()).iter().enumerate() {
            assert!(floats(output).iter().all(|&number| number == 0.0), "{}, output {idx}", kernel.name);
            let may_have_rows = kernel.n_by_row < kernel.inputs.len() || kernel.n_by_row == 0;
            assert!(may_have_rows || floats(output).is_empty(), "{}, output {idx}", kernel.name);
        }
    }
}

/// Rows of an output that have a number which is none.
fn nan_rows(output: &FlexTensor, n: usize) -> Vec<usize> {
    let numbers = floats(output);
    let rows = numbers.chunks(numbers.len() / n).enumerate();
    rows.filter(|(_, row)| row.iter().any(|number| number.is_nan())).map(|(row, _)| row).collect()
}

/// A number that is none, in any row of any input that has rows, is seen in that row of some output and in no other row of
/// any.
#[test]
fn nan_is_not_lost_and_stays_in_its_row() {
    let n = 19;
    for kernel in kernels(n) {
        for (input, row) in (0..kernel.n_by_row).flat_map(|input| [0, 7, 18].map(|row| (input, row))) {
            let mut inputs = kernel.inputs.clone();
            let (mut numbers, dims) = (floats(&inputs[input]), dims2(&inputs[input]));
            numbers[row * dims[1] + dims[1] / 2] = f32::NAN;
            inputs[input] = matrix(&numbers, dims);
            let outputs = (kernel.run)(inputs);
            let found: Vec<Vec<usize>> = outputs
                .iter()
                .filter(|output| output.shape()[0] == n)
                .map(|output| nan_rows(output, n))
                .collect();
            let what = format!("{}, input {input}, row {row}: {found:?}", kernel.name);
            assert!(found.contains(&vec![row]), "{what}");
            assert!(found.iter().all(|rows| rows.is_empty() || *rows == [row]), "{what}");
        }
    }
}

/// A weight that is none reaches every row.
#[test]
fn nan_of_a_weight_reaches_every_row() {
    let n = 19;
    for kernel in kernels(n) {
        for input in kernel.n_by_row..kernel.inputs.len() {
            let mut inputs = kernel.inputs.clone();
            let (mut numbers, shape) = (floats(&inputs[input]), inputs[input].shape());
            numbers[7] = f32::NAN;
            inputs[input] = vector(&numbers).reshape(shape);
            let outputs = (kernel.run)(inputs);
            let found: Vec<_> = outputs
                .iter()
                .map(|output| if output.shape()[0] == n { nan_rows(output, n) } else { vec![] })
                .collect();
            let everywhere = outputs.iter().any(|output| {
                output.shape()[0] == 1 && floats(output)[0].is_nan()
                    || output.shape()[0] == n && nan_rows(output, n).len() == n
            });
            assert!(everywhere, "{}, input {input}: {found:?}", kernel.name);
        }
    }
}
