//! The operations as one writes them with burn's own.

use burn::tensor::{
    Int, Tensor, TensorData,
    activation::{gelu, gelu_approximate, log_softmax, relu, silu, softmax},
};
use dpo_kernels::{Activation, AdamWStep, AttentionSpec};

pub(crate) fn linear(x: &[Tensor<2>]) -> Tensor<2> {
    x[0].clone().matmul(x[1].clone().transpose())
}

pub(crate) fn rms_norm(x: &[Tensor<2>]) -> Tensor<2> {
    let rms = (x[0].clone().powi_scalar(2).mean_dim(1) + 1e-5).sqrt();
    x[0].clone() / rms * x[1].clone()
}

pub(crate) fn layer_norm(x: &[Tensor<2>]) -> Tensor<2> {
    let centred = x[0].clone() - x[0].clone().mean_dim(1);
    let std = (centred.clone().powi_scalar(2).mean_dim(1) + 1e-5).sqrt();
    centred / std * x[1].clone() + x[2].clone()
}

pub(crate) fn gated(x: &[Tensor<2>], activation: Activation) -> Tensor<2> {
    let gate = x[0].clone();
    let activated = match activation {
        Activation::Silu => silu(gate),
        Activation::GeluTanh => gelu_approximate(gate),
        Activation::GeluErf => gelu(gate),
        Activation::Relu => relu(gate),
    };
    activated * x[1].clone()
}

pub(crate) fn rotary(x: &[Tensor<2>], angles: Vec<Tensor<2>>) -> Tensor<2> {
    let ([n, width], [_, half]) = (x[0].dims(), angles[0].dims());
    let [cos, sin]: [Tensor<3>; 2] = [0, 1].map(|i: usize| angles[i].clone().reshape([n, 1, half]));
    let heads = x[0].clone().reshape([n, width / (2 * half), 2 * half]);
    let [first, second] = [0, 1].map(|i: usize| heads.clone().narrow(2, i * half, half));
    let turned = vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
    Tensor::cat(turned, 2).reshape([n, width])
}

/// A segment at a time, with dense scores and a bias.
pub(crate) fn tree_attention(x: &[Tensor<2>], spec: &AttentionSpec) -> Tensor<2> {
    let heads = |x: &Tensor<2>, rows: std::ops::Range<usize>, n_heads: usize| {
        let n = rows.len();
        x.clone().slice([rows]).reshape([n, n_heads, spec.head_dim]).swap_dims(0, 1)
    };
    let group = spec.n_heads / spec.n_kv_heads;
    let window = spec.window.unwrap_or(usize::MAX);
    let mut outputs = Vec::new();
    for segment in spec.layout.segments() {
        let (n_own, n_trunk) = (segment.own.len(), segment.trunk.len());
        let n_visible = n_own + n_trunk;
        let visible = |x: &Tensor<2>| {
            let own = heads(x, segment.own.clone(), spec.n_kv_heads);
            let all = if n_trunk == 0 {
                own
            } else {
                Tensor::cat(vec![heads(x, segment.trunk.clone(), spec.n_kv_heads), own], 1)
            };
            all.reshape([spec.n_kv_heads, 1, n_visible, spec.head_dim])
                .expand([spec.n_kv_heads, group, n_visible, spec.head_dim])
                .reshape([spec.n_heads, n_visible, spec.head_dim])
        };
        let bias: Vec<f32> = (0..n_own)
            .flat_map(|row| (0..n_visible).map(move |col| (n_trunk + row, col)))
            .map(|(row, col)| if col > row || row - col >= window { -1e30 } else { 0.0 })
            .collect();
        let bias = Tensor::<3>::from_data(TensorData::new(bias, [1, n_own, n_visible]), &x[0].device());
        let query = heads(&x[0], segment.own.clone(), spec.n_heads);
        let scores = cap(query.matmul(visible(&x[1]).swap_dims(1, 2)) * spec.scale, spec.softcap);
        let output = softmax(scores + bias, 2).matmul(visible(&x[2]));
        outputs.push(output.swap_dims(0, 1).reshape([n_own, spec.n_heads * spec.head_dim]));
    }
    Tensor::cat(outputs, 0)
}

fn cap<const D: usize>(scores: Tensor<D>, softcap: Option<f64>) -> Tensor<D> {
    match softcap {
        Some(softcap) => (scores / softcap).tanh() * softcap,
        None => scores,
    }
}

pub(crate) fn completion_logps(x: &[Tensor<2>], targets: Tensor<1, Int>, softcap: Option<f64>) -> Tensor<2> {
    let n = targets.dims()[0];
    log_softmax(cap(linear(x), softcap), 1).gather(1, targets.reshape([n, 1]))
}

pub(crate) fn squared_norm(x: Tensor<2>) -> Tensor<1> {
    x.powi_scalar(2).sum()
}

pub(crate) fn adamw([param, grad, first, second]: [Tensor<2>; 4], step: &AdamWStep) -> [Tensor<2>; 3] {
    let time = step.time as f64;
    let first = first * step.beta1 + grad.clone() * (1.0 - step.beta1);
    let second = second * step.beta2 + grad.powi_scalar(2) * (1.0 - step.beta2);
    let root = (second.clone() / (1.0 - step.beta2.powf(time))).sqrt();
    let direction = first.clone() / (1.0 - step.beta1.powf(time)) / (root + step.epsilon);
    let param = param * (1.0 - step.learning_rate * step.weight_decay) - direction * step.learning_rate;
    [param, first, second]
}
