//! Losses, gradients and metrics against the established Python trainer; `tests/golden/make_losses.py` says how.

use crate::common::{assert_close, leaf, numbers, tensor};
use burn::tensor::{DType, Tensor};
use dpo_core::{
    BatchScale, CompletionLogps, LogRatios, LossConfig, LossKind, Objective, PairLogps, PairMetrics,
    PairScore, RowSize, sft_loss,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    sets: std::collections::HashMap<String, Inputs>,
    cases: Vec<Case>,
}

/// Rows are sequences, the chosen ones first; masks are a token longer than log-probs.
#[derive(Deserialize)]
struct Inputs {
    completion_mask: Vec<Vec<u8>>,
    per_token_logps: Vec<Vec<f64>>,
    ref_per_token_logps: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Case {
    set: String,
    options: Options,
    f32_loss: f64,
    loss: f64,
    grad: Vec<Vec<f64>>,
    metrics: std::collections::HashMap<String, f64>,
}

#[derive(Deserialize)]
struct Options {
    loss_type: String,
    beta: f64,
    label_smoothing: f64,
}

impl Options {
    fn objective(&self) -> Objective {
        // `aot` of one pair is `sigmoid` with label smoothing, which `sigmoid` itself ignores there.
        let kind = if self.loss_type == "aot" { LossKind::Sigmoid } else { self.loss_type.parse().unwrap() };
        let config = LossConfig {
            kind,
            beta: (kind != LossKind::Sft).then_some(self.beta),
            label_smoothing: kind.reads("label_smoothing").then_some(self.label_smoothing),
            ..LossConfig::default()
        };
        config.init().unwrap()
    }
}

impl Inputs {
    /// Indices of the log-probs of each sequence's completion tokens.
    fn positions(&self) -> Vec<Vec<usize>> {
        let of = |mask: &Vec<u8>| (0..mask.len() - 1).filter(|&t| mask[t + 1] == 1).collect();
        self.completion_mask.iter().map(of).collect()
    }

    /// The completion tokens' log-probs of the chosen (0) or the rejected (1) half, end to end.
    fn half(&self, logps: &[Vec<f64>], half: usize) -> (Vec<f64>, Vec<usize>) {
        let n_pairs = logps.len() / 2;
        let rows = half * n_pairs..(half + 1) * n_pairs;
        let positions = self.positions();
        let tokens =
            rows.clone().flat_map(|row| positions[row].iter().map(move |&t| logps[row][t])).collect();
        (tokens, rows.map(|row| positions[row].len()).collect())
    }
}

struct Result {
    loss: f64,
    grad: [Vec<f64>; 2],
    means: dpo_core::MetricMeans,
}

/// The whole path, from token log-probs to the loss of the batch, its gradient and its metrics.
fn run(inputs: &Inputs, options: &Options, dtype: DType) -> Result {
    let halves = [0, 1].map(|half| inputs.half(&inputs.per_token_logps, half));
    let reference = [0, 1].map(|half| {
        let (tokens, lengths) = inputs.half(&inputs.ref_per_token_logps, half);
        CompletionLogps::from_tokens(tensor(&tokens, dtype), &lengths)
    });
    let leaves = halves.each_ref().map(|(tokens, _)| leaf(tokens, dtype));
    let [chosen, rejected] =
        [0, 1].map(|half| CompletionLogps::from_tokens(leaves[half].clone(), &halves[half].1));
    let policy = PairLogps { chosen, rejected };
    let [chosen, rejected] = reference;
    let reference = PairLogps { chosen, rejected };

    let mut metrics = PairMetrics::default();
    let read = |logps: &CompletionLogps| numbers(logps.sums.clone().inner());
    let constant = |logps: &CompletionLogps| numbers(logps.sums.clone());
    for i in 0..halves[0].1.len() {
        let score = PairScore {
            policy_chosen: read(&policy.chosen)[i],
            policy_rejected: read(&policy.rejected)[i],
            reference_chosen: constant(&reference.chosen)[i],
            reference_rejected: constant(&reference.rejected)[i],
        };
        metrics.push(&score, options.beta);
    }

    let objective = options.objective();
    let losses = match objective {
        Objective::Pairwise(loss) => loss.loss(&LogRatios::new(policy, reference)),
        Objective::Sft => sft_loss(&policy.chosen),
        other => panic!("{other:?} has a file of its own"),
    };
    let rows = halves[0].1.iter().map(|&chosen_tokens| RowSize { weight: 1.0, chosen_tokens });
    let weights = tensor(&vec![1.0; halves[0].1.len()], dtype);
    let loss = BatchScale::new(&objective, rows).reduce(losses, weights);
    let gradients = loss.backward();
    let grad = leaves.each_ref().map(|leaf| {
        leaf.grad(&gradients).map_or_else(|| vec![0.0; leaf.dims()[0]], |g: Tensor<1>| numbers(g))
    });
    Result { loss: numbers(loss.inner())[0], grad, means: metrics.means().unwrap() }
}

#[test]
fn every_loss_gradient_and_metric_is_that_of_the_python_trainer() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/losses.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(golden.cases.len(), 66);
    for case in &golden.cases {
        let inputs = &golden.sets[&case.set];
        let expected_grad = [0, 1].map(|half| inputs.half(&case.grad, half).0);

        // Its `exo_pair` takes logarithms of ε in f32, whatever the rest is computed in.
        let tolerance = if case.options.loss_type == "exo_pair" { 1e-7 } else { 1e-9 };
        let found = run(inputs, &case.options, DType::F64);
        assert_close(&[found.loss], &[case.loss], tolerance);
        for (found, expected) in found.grad.iter().zip(&expected_grad) {
            assert_close(found, expected, tolerance);
        }
        let means = serde_json::to_value(found.means).unwrap();
        for (name, value) in &case.metrics {
            assert_close(&[means[name].as_f64().unwrap()], &[*value], 1e-9);
        }

        let found = run(inputs, &case.options, DType::F32);
        assert_close(&[found.loss], &[case.loss], 1e-6);
        // Its own f32 is up to 6e-6 from its f64.
        assert_close(&[found.loss], &[case.f32_loss], 1e-5);
        for (found, expected) in found.grad.iter().zip(&expected_grad) {
            assert_close(found, expected, 3e-6);
        }
    }
}
