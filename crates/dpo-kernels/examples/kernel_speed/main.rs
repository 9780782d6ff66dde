//! Milliseconds and GFLOP/s of each operation at the sizes of a 135M model, beside the same written with burn's own
//! operations.
//!
//! ```console
//! cargo run --release -p dpo-kernels --example kernel_speed [part of a name]
//! ```
mod stock;

use std::{sync::Arc, time::Instant};

use burn::tensor::{Device, Distribution, Int, Tensor};
use dpo_kernels::{
    Activation, AdamWStep, AttentionSpec, LogitSpec, Precision, Segment, TreeLayout, TreeRange, adamw,
    completion_logps, gated, layer_norm, linear, rms_norm, rotary, squared_norm, tree_attention,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// SmolLM2-135M, and a batch of four trees: a prompt of 200 tokens and two completions of 60.
const D_MODEL: usize = 576;
const N_HEADS: usize = 9;
const N_KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;
const D_FF: usize = 1536;
const VOCAB: usize = 49_152;
const TREES: usize = 4;
const PROMPT: usize = 200;
const COMPLETION: usize = 60;
const N: usize = TREES * (PROMPT + 2 * COMPLETION);

/// Times each is run; the fastest counts.
const RUNS: usize = 5;

type Op<'a> = &'a dyn Fn(&[Tensor<2>]) -> Tensor<2>;

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    println!("{:<22}{:>34}{:>34}", "", "forward", "forward + backward");
    let heading = format!("{:>11}{:>11}{:>12}", "burn ms", "ms", "GFLOP/s");
    println!("{:<22}{heading}{heading}", "");
    let bench = Bench { only };
    for [d_in, d_out] in [[D_MODEL, D_MODEL], [D_MODEL, 192], [D_MODEL, D_FF], [D_FF, D_MODEL]] {
        let flop = (2 * N * d_in * d_out) as f64;
        let name = format!("linear {d_in} → {d_out}");
        bench.compare(&name, flop, &[[N, d_in], [d_out, d_in]], &|x| stock::linear(x), &|x| {
            linear(x[0].clone(), x[1].clone(), Precision::F32)
        });
    }
    elementwise(&bench);
    attention(&bench);
    head(&bench);
    optimizer(&bench);
}

struct Bench {
    only: String,
}

impl Bench {
    /// Both ways of one operation, forward alone and with its backward.
    fn compare(&self, name: &str, flop: f64, inputs: &[[usize; 2]], stock: Op<'_>, ours: Op<'_>) {
        if !name.contains(&self.only) {
            return;
        }
        let [stock, ours] = [stock, ours].map(|op| [forward(inputs, op), forward_and_backward(inputs, op)]);
        let rate =
            |ms: f64, flop: f64| if flop == 0.0 { String::new() } else { format!("{:.0}", flop / ms / 1e6) };
        println!(
            "{name:<22}{:>11.2}{:>11.2}{:>12}{:>11.2}{:>11.2}{:>12}",
            stock[0],
            ours[0],
            rate(ours[0], flop),
            stock[1],
            ours[1],
            rate(ours[1], 3.0 * flop),
        );
    }
}

fn random(inputs: &[[usize; 2]], device: &Device) -> Vec<Tensor<2>> {
    inputs.iter().map(|dims| Tensor::random(*dims, Distribution::Normal(0.0, 0.5), device)).collect()
}

fn fastest(mut run: impl FnMut()) -> f64 {
    run();
    let mut time = || {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..RUNS).map(|_| time()).fold(f64::INFINITY, f64::min)
}

fn forward(inputs: &[[usize; 2]], op: Op<'_>) -> f64 {
    let inputs = random(inputs, &Device::flex());
    fastest(|| drop(op(&inputs)))
}

fn forward_and_backward(inputs: &[[usize; 2]], op: Op<'_>) -> f64 {
    let inputs = random(inputs, &Device::flex().autodiff());
    fastest(|| {
        let tracked: Vec<_> = inputs.iter().map(|input| input.clone().detach().require_grad()).collect();
        drop(op(&tracked).sum().backward());
    })
}

fn elementwise(bench: &Bench) {
    let row = [N, D_MODEL];
    bench.compare("rms_norm", 0.0, &[row, [1, D_MODEL]], &|x| stock::rms_norm(x), &|x| {
        rms_norm(x[0].clone(), x[1].clone().reshape([D_MODEL]), 1e-5)
    });
    bench.compare("layer_norm", 0.0, &[row, [1, D_MODEL], [1, D_MODEL]], &|x| stock::layer_norm(x), &|x| {
        let [weight, bias] = [1, 2].map(|i: usize| x[i].clone().reshape([D_MODEL]));
        layer_norm(x[0].clone(), weight, bias, 1e-5)
    });
    for activation in [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu] {
        let name = format!("gated {activation:?}");
        bench.compare(&name, 0.0, &[[N, D_FF]; 2], &|x| stock::gated(x, activation), &|x| {
            gated(x[0].clone(), x[1].clone(), activation)
        });
    }
    let angles = random(&[[N, HEAD_DIM / 2]; 2], &Device::flex());
    let on = |x: &Tensor<2>| angles.iter().map(|a| a.clone().to_device(&x.device())).collect::<Vec<_>>();
    bench.compare("rotary", 0.0, &[row], &|x| stock::rotary(x, on(&x[0])), &|x| {
        let [cos, sin]: [Tensor<2>; 2] = on(&x[0]).try_into().expect("two tensors of angles");
        rotary(x[0].clone(), cos, sin, HEAD_DIM)
    });
}

fn attention(bench: &Bench) {
    let tree = |index: usize| {
        let start = index * (PROMPT + 2 * COMPLETION);
        let middle = start + PROMPT;
        let branch = |k: usize| middle + k * COMPLETION..middle + (k + 1) * COMPLETION;
        TreeRange { trunk: start..middle, branches: vec![branch(0), branch(1)] }
    };
    let layout = TreeLayout::new((0..TREES).map(tree).collect());
    let layout = Arc::new(layout);
    for (name, window, softcap) in
        [("", None, None), (", window of 64", Some(64), None), (", soft cap", None, Some(50.0))]
    {
        let pairs: usize = layout.segments().map(|s| visible_pairs(&s, window)).sum();
        let spec = AttentionSpec {
            n_heads: N_HEADS,
            n_kv_heads: N_KV_HEADS,
            head_dim: HEAD_DIM,
            scale: 1.0 / (HEAD_DIM as f64).sqrt(),
            layout: Arc::clone(&layout),
            window,
            softcap,
            precision: Precision::F32,
        };
        let inputs = [[N, N_HEADS * HEAD_DIM], [N, N_KV_HEADS * HEAD_DIM], [N, N_KV_HEADS * HEAD_DIM]];
        let flop = (4 * N_HEADS * HEAD_DIM * pairs) as f64;
        let name = format!("attention{name}");
        bench.compare(&name, flop, &inputs, &|x| stock::tree_attention(x, &spec), &|x| {
            tree_attention(x[0].clone(), x[1].clone(), x[2].clone(), spec.clone())
        });
    }
}

/// Query and key rows of which one sees the other.
fn visible_pairs(segment: &Segment, window: Option<usize>) -> usize {
    let visible = (1..=segment.own.len()).map(|row| segment.trunk.len() + row);
    visible.map(|n_visible| n_visible.min(window.unwrap_or(usize::MAX))).sum()
}

fn head(bench: &Bench) {
    let n = TREES * 2 * COMPLETION;
    let ids: Vec<i32> = (0..n as i32).map(|row| row * 97 % VOCAB as i32).collect();
    let targets = |x: &Tensor<2>| Tensor::<1, Int>::from_ints(ids.as_slice(), &x.device());
    let inputs = [[n, D_MODEL], [VOCAB, D_MODEL]];
    let flop = (2 * n * D_MODEL * VOCAB) as f64;
    for (name, softcap) in [("completion_logps", None), ("logps, soft cap", Some(30.0))] {
        let spec = LogitSpec { softcap, precision: Precision::F32 };
        bench.compare(name, flop, &inputs, &|x| stock::completion_logps(x, targets(&x[0]), softcap), &|x| {
            completion_logps(x[0].clone(), x[1].clone(), targets(&x[0]), spec).reshape([n, 1])
        });
    }
}

fn optimizer(bench: &Bench) {
    if !"adamw squared_norm".contains(&bench.only) {
        return;
    }
    let step = AdamWStep {
        learning_rate: 1e-6,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        time: 1,
        grad_scale: 1.0,
    };
    let tensors = random(&[[VOCAB, D_MODEL]; 2], &Device::flex());
    let grad = tensors[1].clone();
    let norm =
        [fastest(|| drop(stock::squared_norm(grad.clone()))), fastest(|| drop(squared_norm(grad.clone())))];
    println!("{:<22}{:>11.2}{:>11.2}", "squared_norm", norm[0], norm[1]);
    let time = |update: &dyn Fn([Tensor<2>; 4]) -> [Tensor<2>; 3]| {
        let mut state = Some([tensors[0].clone().add_scalar(0.0), grad.zeros_like(), grad.zeros_like()]);
        fastest(|| {
            let [param, first, second] = state.take().expect("the state of the last step");
            state = Some(update([param, grad.clone(), first, second]));
        })
    };
    let stock = time(&|tensors| stock::adamw(tensors, &step));
    let ours = time(&|[param, grad, first, second]| {
        let update = adamw(param, grad, first, second, step);
        [update.param, update.first, update.second]
    });
    println!("{:<22}{stock:>11.2}{ours:>11.2}", "adamw");
}
