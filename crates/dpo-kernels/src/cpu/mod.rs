//! Faster bodies for the processor (burn's `flex` backend), in f32; any other type falls back.
//!
//! Work is cut into pieces whose size does not depend on the number of threads, and every sum has a fixed order, so
//! results are the same bits however many threads there are.

// The bodies that `simd!` compiles must be inlined into functions with the features they are compiled for.
#![allow(clippy::inline_always)]

mod activation;
mod adamw;
mod attention;
mod attention_backward;
mod attention_block;
pub(crate) mod bf16;
mod buffer;
mod curves;
mod divergence;
mod exp;
mod feed_forward;
mod gemm;
mod head;
mod head_backward;
mod layer_norm;
mod linear;
mod logps;
mod lora;
mod norm;
mod normal;
mod pick;
mod recent;
mod rotary;
mod round;
mod rows;
mod simd;
mod tanh;
#[cfg(test)]
mod tests;

use burn::backend::{
    Flex,
    tensor::{FloatTensor, IntTensor},
};

use self::{
    attention_block::{Heads, Inputs},
    buffer::{all_f32, contiguous, dims2, row_numbers, tensor, values, whole},
    linear::Factor,
};
use crate::{
    Activation, AdamWStep, AttentionSpec, DivergenceSpec, FeedForwardSpec, FusedPrimitives, LogitSpec,
    LoraSpec, Precision,
    backend::Rotation,
    portable,
    saved::{
        AttentionSaved, FeedForwardSaved, FeedForwardWeights, KlOutput, KlSaved, LayerNormSaved, LogpsOutput,
        LogpsSaved, LoraSaved, ReferenceHead, RowStatistics,
    },
};

impl FusedPrimitives for Flex {
    fn rounded(x: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        if precision == Precision::F32 || !all_f32([&x]) {
            return portable::linear::rounded::<Self>(x, precision);
        }
        linear::rounded(x, precision)
    }

    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        if !all_f32([&x, &weight]) {
            return portable::linear::forward::<Self>(x, weight, precision);
        }
        let [x, weight] = linear::operands([x, weight], precision);
        linear::product(Factor::activation(&x), Factor::weight(&weight).transposed(), precision)
    }

    fn linear_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        precision: Precision,
        [x_wanted, weight_wanted]: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        if !all_f32([&x, &weight, &grad]) {
            let wanted = [x_wanted, weight_wanted];
            return portable::linear::backward::<Self>(x, weight, grad, precision, wanted);
        }
        let [x, weight, grad] = linear::operands([x, weight, grad], precision);
        let (x, grad) = (Factor::activation(&x), Factor::activation(&grad));
        let dx = x_wanted.then(|| linear::product(grad, Factor::weight(&weight), precision));
        let dweight = weight_wanted.then(|| linear::product(grad.transposed(), x, precision));
        [dx, dweight]
    }

    fn linear_input_backward(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        if !all_f32([&weight, &grad]) {
            return portable::linear::input_backward::<Self>(weight, grad, precision);
        }
        let [weight, grad] = linear::operands([weight, grad], precision);
        linear::product(Factor::activation(&grad), Factor::weight(&weight), precision)
    }

    fn linear_inputs_backward(
        products: Vec<(FloatTensor<Self>, FloatTensor<Self>)>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        linear::inputs_backward(products, precision)
    }

    fn lora_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        [down, up]: [FloatTensor<Self>; 2],
        spec: LoraSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !all_f32([&x, &weight, &down, &up]) {
            return portable::lora::forward::<Self>(x, weight, [down, up], spec);
        }
        lora::forward(x, weight, [down, up], spec)
    }

    fn lora_backward(
        saved: LoraSaved<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3] {
        if !all_f32([&saved.x, &saved.narrow, &saved.down, &saved.up, &weight, &grad]) {
            return portable::lora::backward::<Self>(saved, weight, grad, wanted);
        }
        lora::backward(saved, weight, grad, wanted)
    }

    fn rows_forward(matrix: FloatTensor<Self>, rows: IntTensor<Self>) -> FloatTensor<Self> {
        let [n_rows, width] = dims2(&matrix);
        let Some(picked) = row_numbers(&rows, n_rows).filter(|_| all_f32([&matrix])) else {
            return portable::rows::forward::<Self>(matrix, rows);
        };
        let matrix = contiguous(matrix);
        tensor(pick::forward(values(&matrix), &picked, width), [picked.len(), width])
    }

    fn rows_backward(rows: IntTensor<Self>, grad: FloatTensor<Self>, n_rows: usize) -> FloatTensor<Self> {
        let Some(picked) = row_numbers(&rows, n_rows).filter(|_| all_f32([&grad])) else {
            return portable::rows::backward::<Self>(rows, grad, n_rows);
        };
        let [_, width] = dims2(&grad);
        let grad = contiguous(grad);
        tensor(pick::backward(&picked, values(&grad), [n_rows, width]), [n_rows, width])
    }

    fn add_rows(
        mut matrix: FloatTensor<Self>,
        rows: IntTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [n_rows, width] = dims2(&matrix);
        let is_plain = all_f32([&matrix, &grad]) && matrix.is_contiguous() && width > 0;
        let Some(picked) = row_numbers(&rows, n_rows).filter(|_| is_plain) else {
            return portable::rows::add::<Self>(matrix, rows, grad);
        };
        let start = matrix.layout().start_offset();
        let grad = contiguous(grad);
        pick::add(&mut matrix.storage_mut::<f32>()[start..], &picked, values(&grad), width);
        matrix
    }

    fn rms_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !all_f32([&x, &weight]) {
            return portable::norm::forward::<Self>(x, weight, epsilon);
        }
        let [n, width] = dims2(&x);
        let (x, weight) = (contiguous(x), contiguous(weight));
        let (output, inv_rms) = norm::forward(values(&x), values(&weight), epsilon);
        (tensor(output, [n, width]), tensor(inv_rms, [n, 1]))
    }

    fn rms_norm_backward(
        saved: [FloatTensor<Self>; 3],
        grad: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        if !all_f32(saved.each_ref()) || !all_f32([&grad]) {
            return portable::norm::backward::<Self>(saved, grad, wanted);
        }
        let [n, width] = dims2(&saved[0]);
        let ([x, weight, inv_rms], grad) = (saved.map(contiguous), contiguous(grad));
        let inputs = [values(&x), values(&weight), values(&inv_rms), values(&grad)];
        let [dx, dweight] = norm::backward(inputs, wanted);
        [dx.map(|dx| tensor(dx, [n, width])), dweight.map(|dweight| tensor(dweight, [width]))]
    }

    fn layer_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, RowStatistics<Self>) {
        if !all_f32([&x, &weight, &bias]) {
            return portable::layer_norm::forward::<Self>(x, weight, bias, epsilon);
        }
        let [n, width] = dims2(&x);
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        let [output, mean, inv_std] =
            layer_norm::forward(values(&x), [values(&weight), values(&bias)], epsilon);
        let statistics = RowStatistics { mean: tensor(mean, [n, 1]), inv_std: tensor(inv_std, [n, 1]) };
        (tensor(output, [n, width]), statistics)
    }

    fn layer_norm_backward(
        saved: LayerNormSaved<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3] {
        let LayerNormSaved { x, weight, statistics: RowStatistics { mean, inv_std } } = &saved;
        if !all_f32([x, weight, mean, inv_std, &grad]) {
            return portable::layer_norm::backward::<Self>(saved, grad, wanted);
        }
        let [n, width] = dims2(x);
        let LayerNormSaved { x, weight, statistics: RowStatistics { mean, inv_std } } = saved;
        let [x, weight, mean, inv_std, grad] = [x, weight, mean, inv_std, grad].map(contiguous);
        let statistics = layer_norm::Statistics { mean: values(&mean), inv_std: values(&inv_std) };
        let [dx, dweight, dbias] =
            layer_norm::backward([values(&x), values(&weight), values(&grad)], statistics, wanted);
        let vector = |values| tensor(values, [width]);
        [dx.map(|dx| tensor(dx, [n, width])), dweight.map(vector), dbias.map(vector)]
    }

    fn rotate(
        x: FloatTensor<Self>,
        angles: [FloatTensor<Self>; 2],
        head_dim: usize,
        direction: Rotation,
    ) -> FloatTensor<Self> {
        if !all_f32([&x, &angles[0], &angles[1]]) {
            return portable::rotary::rotate::<Self>(x, angles, head_dim, direction);
        }
        let ([n, width], [_, half]) = (dims2(&x), dims2(&angles[0]));
        let (x, angles) = (contiguous(x), angles.map(contiguous));
        let sizes = rotary::Sizes { width, head_dim, half };
        tensor(rotary::rotate(values(&x), angles.each_ref().map(values), sizes, direction), [n, width])
    }

    fn gated_forward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        if !all_f32([&gate, &up]) {
            return portable::activation::gated::<Self>(gate, up, activation);
        }
        let dims = dims2(&gate);
        let (gate, up) = (contiguous(gate), contiguous(up));
        tensor(activation::gated(values(&gate), values(&up), activation), dims)
    }

    fn gated_backward(
        inputs: [FloatTensor<Self>; 2],
        grad: FloatTensor<Self>,
        activation: Activation,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        if !all_f32(inputs.each_ref()) || !all_f32([&grad]) {
            return portable::activation::gated_backward::<Self>(inputs, grad, activation, wanted);
        }
        let dims = dims2(&grad);
        let ([gate, up], grad) = (inputs.map(contiguous), contiguous(grad));
        let inputs = [values(&gate), values(&up), values(&grad)];
        activation::gated_backward(inputs, activation, wanted).map(|grad| grad.map(|grad| tensor(grad, dims)))
    }

    fn feed_forward(
        x: FloatTensor<Self>,
        weights: FeedForwardWeights<Self>,
        spec: FeedForwardSpec,
        is_kept: bool,
    ) -> (FloatTensor<Self>, Option<[FloatTensor<Self>; 2]>) {
        feed_forward::forward(x, weights, spec, is_kept)
    }

    fn feed_forward_backward(
        saved: FeedForwardSaved<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 4],
    ) -> [Option<FloatTensor<Self>>; 4] {
        feed_forward::backward(saved, grad, wanted)
    }

    fn activate_forward(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        if !all_f32([&x]) {
            return portable::activation::forward::<Self>(x, activation);
        }
        tensor(activation::forward(values(&contiguous(x.clone())), activation), dims2(&x))
    }

    fn activate_backward(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        if !all_f32([&x, &grad]) {
            return portable::activation::backward::<Self>(x, grad, activation);
        }
        let dims = dims2(&x);
        let (x, grad) = (contiguous(x), contiguous(grad));
        tensor(activation::backward(values(&x), values(&grad), activation), dims)
    }

    fn attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: &AttentionSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !all_f32([&query, &key, &value]) {
            return portable::attention::forward::<Self>(query, key, value, spec);
        }
        let dims = dims2(&query);
        let [query, key, value] = [query, key, value].map(contiguous);
        let inputs = Inputs::new(values(&query), values(&key), values(&value), spec);
        let (output, log_sum_exp) = attention::forward(inputs, spec);
        (tensor(output, dims), tensor(log_sum_exp, [dims[0], spec.n_heads]))
    }

    fn attention_backward(
        saved: AttentionSaved<Self>,
        grad: FloatTensor<Self>,
        spec: &AttentionSpec,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3] {
        let AttentionSaved { query, key, value, output, log_sum_exp } = &saved;
        if !all_f32([query, key, value, output, log_sum_exp, &grad]) {
            return portable::attention::backward::<Self>(saved, grad, spec, wanted);
        }
        let (query_dims, key_dims) = (dims2(query), dims2(key));
        let AttentionSaved { query, key, value, output, log_sum_exp } = saved;
        let [query, key, value, output, log_sum_exp, grad] =
            [query, key, value, output, log_sum_exp, grad].map(contiguous);
        let heads = |values| Heads { values, count: spec.n_heads, head_dim: spec.head_dim };
        let saved = attention_backward::Saved {
            inputs: Inputs::new(values(&query), values(&key), values(&value), spec),
            output: heads(values(&output)),
            log_sum_exp: values(&log_sum_exp),
            grad: heads(values(&grad)),
        };
        let [dquery, dkey, dvalue] = attention_backward::backward(saved, spec, wanted);
        [(dquery, query_dims), (dkey, key_dims), (dvalue, key_dims)]
            .map(|(grad, dims)| grad.map(|grad| tensor(grad, dims)))
    }

    fn logps_forward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: LogitSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        logps::forward(hidden, head, targets, spec)
    }

    fn logps_squares_forward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
        spec: LogitSpec,
    ) -> LogpsOutput<Self> {
        logps::forward_with_squares(hidden, head, targets, spec)
    }

    fn logps_backward(
        saved: LogpsSaved<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        logps::backward(saved, grad, wanted)
    }

    fn logps_kl_forward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        reference: ReferenceHead<Self>,
        targets: IntTensor<Self>,
        spec: DivergenceSpec,
    ) -> KlOutput<Self> {
        logps::forward_with_kl(hidden, head, reference, targets, spec)
    }

    fn logps_kl_backward(
        saved: KlSaved<Self>,
        grads: [FloatTensor<Self>; 2],
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        logps::backward_with_kl(saved, grads, wanted)
    }

    fn adamw_update(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        [first, second]: [FloatTensor<Self>; 2],
        step: &AdamWStep,
    ) -> [FloatTensor<Self>; 3] {
        if !all_f32([&param, &grad, &first, &second]) {
            return portable::adamw::update::<Self>(param, grad, [first, second], step);
        }
        let [mut param, mut first, mut second] = [param, first, second].map(whole);
        let grad = contiguous(grad);
        // Copies first what another tensor still holds.
        let moments = [first.storage_mut(), second.storage_mut()];
        adamw::update(param.storage_mut(), values(&grad), moments, step);
        [param, first, second]
    }

    fn sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if !all_f32([&x]) {
            return portable::adamw::sum_of_squares::<Self>(x);
        }
        tensor(vec![adamw::sum_of_squares(values(&contiguous(x)))], [1])
    }
}
