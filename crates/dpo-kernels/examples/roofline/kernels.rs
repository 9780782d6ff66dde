//! The operations of a model's blocks, head and optimizer.

use std::{sync::Arc, time::Instant};

use burn::tensor::{Device, Int, Tensor};
use dpo_kernels::{
    Activation, AdamWStep, AttentionSpec, FeedForwardSpec, LogitSpec, Precision, TreeLayout, TreeRange,
    adamw, completion_logps, gated, gated_feed_forward, linear, rms_norm, rotary, squared_norm,
    tree_attention,
};

use crate::timing::{Bench, Kernel, Run};

const D_MODEL: usize = 576;
const N_HEADS: usize = 9;
const N_KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;
const D_FF: usize = 1536;
const VOCAB: usize = 49_152;
/// Trees of a batch.
const TREES: usize = 4;
/// Rows and columns of a product that no shape of the model favours.
const LARGE: usize = 2048;

/// Sizes of a batch: prompts are three fifths of its tokens, and two answers share what is left.
pub(crate) struct Sizes {
    tokens: usize,
    scored: usize,
    layout: Arc<TreeLayout>,
}

impl Sizes {
    /// About `tokens` in four trees alike.
    pub(crate) fn new(tokens: usize) -> Self {
        let answer = tokens / TREES / 5;
        let (tree, prompt) = (tokens / TREES, tokens / TREES - 2 * answer);
        let ranges = |idx: usize| {
            let (start, middle) = (idx * tree, idx * tree + prompt);
            let branches = vec![middle..middle + answer, middle + answer..start + tree];
            TreeRange { trunk: start..middle, branches }
        };
        let layout = Arc::new(TreeLayout::new((0..TREES).map(ranges).collect()));
        Self { tokens: TREES * tree, scored: TREES * 2 * answer, layout }
    }

    /// Query and key rows of which one sees the other.
    fn visible_pairs(&self) -> usize {
        let segments = self.layout.segments();
        segments.map(|s| s.own.len() * s.trunk.len() + s.own.len() * (s.own.len() + 1) / 2).sum()
    }
}

/// Measures all of them.
pub(crate) fn measure(bench: &mut Bench, sizes: &Sizes) {
    let n = sizes.tokens;
    for precision in [Precision::F32, Precision::Bf16] {
        for [d_in, d_out] in [[D_MODEL, D_MODEL], [D_MODEL, 192], [D_MODEL, D_FF], [D_FF, D_MODEL]] {
            products(bench, [n, d_in, d_out], precision);
        }
        products(bench, [LARGE; 3], precision);
        feed_forward(bench, n, precision);
        attention(bench, sizes, precision);
        head(bench, sizes.scored, precision);
    }
    elementwise(bench, n);
    optimizer(bench);
}

fn kernel(name: impl Into<String>, shape: impl Into<String>, flop: usize, numbers: usize) -> Kernel {
    Kernel {
        name: name.into(),
        shape: shape.into(),
        precision: Precision::F32,
        flop: flop as f64,
        bytes: 4.0 * numbers as f64,
    }
}

/// `x · Wᵀ` and both of its gradients.
fn products(bench: &mut Bench, [n, d_in, d_out]: [usize; 3], precision: Precision) {
    let shape = format!("{n} × {d_in} → {d_out}");
    let inputs = [[n, d_in], [d_out, d_in]];
    let of = |part: &str, numbers| Kernel {
        precision,
        ..kernel(format!("linear {part} {}", precision.name()), &shape, 2 * n * d_in * d_out, numbers)
    };
    let op = |x: &[Tensor<2>]| linear(x[0].clone(), x[1].clone(), precision);
    let operands = n * d_in + d_in * d_out;
    bench.forward(of("forward", operands + n * d_out), &inputs, &op);
    // One operand is read, and the gradient of the other is written.
    bench.backward(of("dx", operands), &inputs, &[0], &op);
    bench.backward(of("dW", operands), &inputs, &[1], &op);
}

/// Backward makes the logits again: three products in place of one.
fn head(bench: &mut Bench, scored: usize, precision: Precision) {
    let ids: Vec<i32> = (0..scored as i32).map(|row| row * 97 % VOCAB as i32).collect();
    let op = |x: &[Tensor<2>]| {
        let targets = Tensor::<1, Int>::from_ints(ids.as_slice(), &x[0].device());
        let spec = LogitSpec { softcap: None, precision };
        completion_logps(x[0].clone(), x[1].clone(), targets, spec).reshape([scored, 1])
    };
    let shape = format!("{scored} × {D_MODEL} → {VOCAB}");
    let inputs = [[scored, D_MODEL], [VOCAB, D_MODEL]];
    let (flop, numbers) = (2 * scored * D_MODEL * VOCAB, (scored + VOCAB) * D_MODEL);
    let of = |part: &str, flop, numbers| Kernel {
        precision,
        ..kernel(format!("logps {part} {}", precision.name()), &shape, flop, numbers)
    };
    bench.forward(of("forward", flop, numbers + scored), &inputs, &op);
    bench.backward(of("backward", 3 * flop, 2 * numbers), &inputs, &[0, 1], &op);
}

/// Two products forward; backward makes the scores again and has four gradients: five products.
fn attention(bench: &mut Bench, sizes: &Sizes, precision: Precision) {
    let spec = AttentionSpec {
        n_heads: N_HEADS,
        n_kv_heads: N_KV_HEADS,
        head_dim: HEAD_DIM,
        scale: 1.0 / (HEAD_DIM as f64).sqrt(),
        layout: Arc::clone(&sizes.layout),
        window: None,
        softcap: None,
        precision,
    };
    let (n, q, kv) = (sizes.tokens, N_HEADS * HEAD_DIM, N_KV_HEADS * HEAD_DIM);
    let inputs = [[n, q], [n, kv], [n, kv]];
    let shape = format!("{n} × {N_HEADS} heads of {HEAD_DIM}");
    let product = 2 * N_HEADS * HEAD_DIM * sizes.visible_pairs();
    let (numbers, statistics) = (n * (q + 2 * kv), n * N_HEADS);
    let op = |x: &[Tensor<2>]| tree_attention(x[0].clone(), x[1].clone(), x[2].clone(), spec.clone());
    let of = |part: &str, flop, numbers| Kernel {
        precision,
        ..kernel(format!("attention {part} {}", precision.name()), &shape, flop, numbers)
    };
    bench.forward(of("forward", 2 * product, numbers + n * q + statistics), &inputs, &op);
    bench.backward(of("backward", 5 * product, 2 * numbers + n * q + statistics), &inputs, &[0, 1, 2], &op);
}

/// Three products forward; backward has six, and reads what the forward pass kept of the middle.
fn feed_forward(bench: &mut Bench, n: usize, precision: Precision) {
    let spec = FeedForwardSpec { activation: Activation::Silu, precision };
    let inputs = [[n, D_MODEL], [D_FF, D_MODEL], [D_FF, D_MODEL], [D_MODEL, D_FF]];
    let op =
        |x: &[Tensor<2>]| gated_feed_forward(x[0].clone(), x[1].clone(), x[2].clone(), x[3].clone(), spec);
    let shape = format!("{n} × {D_MODEL} → {D_FF} → {D_MODEL}");
    let (product, rows, weights) = (2 * n * D_MODEL * D_FF, n * D_MODEL, 3 * D_MODEL * D_FF);
    let of = |part: &str, flop, numbers| Kernel {
        precision,
        ..kernel(format!("feed-forward {part} {}", precision.name()), &shape, flop, numbers)
    };
    bench.forward(of("forward", 3 * product, 2 * rows + weights), &inputs, &op);
    let numbers = 2 * (rows + weights) + 2 * n * D_FF;
    bench.backward(of("backward", 6 * product, numbers), &inputs, &[0, 1, 2, 3], &op);
}

/// What reads and writes rows and multiplies no matrices.
fn elementwise(bench: &mut Bench, n: usize) {
    let shape = |width: usize| format!("{n} × {width}");
    let (row, wide) = (n * D_MODEL, n * D_FF);
    let norm = |x: &[Tensor<2>]| rms_norm(x[0].clone(), x[1].clone().reshape([D_MODEL]), 1e-5);
    let inputs = [[n, D_MODEL], [1, D_MODEL]];
    bench.forward(kernel("rms_norm forward", shape(D_MODEL), 0, 2 * row + n + D_MODEL), &inputs, &norm);
    let backward = kernel("rms_norm backward", shape(D_MODEL), 0, 2 * row + n + 2 * D_MODEL);
    bench.backward(backward, &inputs, &[0, 1], &norm);

    let turn = |x: &[Tensor<2>]| {
        let angles = [1, 2].map(|idx: usize| x[idx].clone());
        let [cos, sin] = angles;
        rotary(x[0].clone(), cos, sin, HEAD_DIM)
    };
    let inputs = [[n, D_MODEL], [n, HEAD_DIM / 2], [n, HEAD_DIM / 2]];
    let angles = n * HEAD_DIM;
    bench.forward(kernel("rotary forward", shape(D_MODEL), 0, 2 * row + angles), &inputs, &turn);
    bench.backward(kernel("rotary backward", shape(D_MODEL), 0, row + angles), &inputs, &[0], &turn);

    let swiglu = |x: &[Tensor<2>]| gated(x[0].clone(), x[1].clone(), Activation::Silu);
    bench.forward(kernel("gated SiLU forward", shape(D_FF), 0, 3 * wide), &[[n, D_FF]; 2], &swiglu);
    bench.backward(
        kernel("gated SiLU backward", shape(D_FF), 0, 5 * wide),
        &[[n, D_FF]; 2],
        &[0, 1],
        &swiglu,
    );
}

/// One pass over the parameters of the embedding, in place.
fn optimizer(bench: &mut Bench) {
    let (shape, numbers) = (format!("{VOCAB} × {D_MODEL}"), VOCAB * D_MODEL);
    let (inputs, device) = ([[VOCAB, D_MODEL]], Device::flex());
    let norm = kernel("squared_norm", &shape, 0, numbers);
    bench.run(norm, &inputs, &device, 0.0, &mut |x| {
        let start = Instant::now();
        let norm = squared_norm(x[0].clone());
        Run { elapsed: start.elapsed(), made: vec![norm.reshape([1, 1])] }
    });
    let step = AdamWStep {
        learning_rate: 1e-6,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        time: 1,
        grad_scale: 1.0,
    };
    let mut state = None;
    bench.run(kernel("adamw", &shape, 0, 7 * numbers), &inputs, &device, 0.0, &mut |x| {
        let new = || [x[0].clone().add_scalar(0.0), x[0].zeros_like(), x[0].zeros_like()];
        let [param, first, second] = state.take().unwrap_or_else(new);
        let grad = x[0].clone();
        let start = Instant::now();
        let update = adamw(param, grad, first, second, step);
        let elapsed = start.elapsed();
        state = Some([update.param, update.first, update.second]);
        Run { elapsed, made: Vec::new() }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 700 tokens are four trees of 105 and twice 35. A prompt sees 105·106/2 = 5565 pairs, an answer 35·105 + 35·36/2 = 4305.
    #[test]
    fn a_batch_has_its_tokens() {
        let sizes = Sizes::new(700);
        assert_eq!((sizes.tokens, sizes.scored, sizes.layout.n_rows()), (700, 280, 700));
        assert_eq!(sizes.visible_pairs(), 4 * (5565 + 2 * 4305));
        assert_eq!(Sizes::new(43).layout.n_rows(), 40);
    }
}
