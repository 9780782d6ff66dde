//! KTO against paper and pencil and the established Python trainer; `tests/golden/make_losses_kto.py` says how.

use std::collections::HashMap;

use crate::common::{assert_close, leaf, numbers, tensor};
use burn::tensor::{DType, Tensor};
use dpo_core::{CompletionLogps, CompletionScore, Label, UnpairedLoss, kto_drift, label_means};
use serde::Deserialize;

#[derive(Deserialize)]
struct Inputs {
    completion_mask: Vec<Vec<u8>>,
    per_token_logps: Vec<Vec<f64>>,
    ref_per_token_logps: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Case {
    set: String,
    beta: f64,
    desirable: f64,
    undesirable: f64,
    kl_logps: Vec<f64>,
    ref_kl_logps: Vec<f64>,
    loss: f64,
    grad: Vec<Vec<f64>>,
    metrics: HashMap<String, f64>,
}

#[derive(Deserialize)]
struct Sets {
    sets: HashMap<String, Inputs>,
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

fn golden<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The completion tokens of all sequences end to end, and how many each has.
fn tokens(inputs: &Inputs, values: &[Vec<f64>]) -> (Vec<f64>, Vec<usize>) {
    let of = |(mask, row): (&Vec<u8>, &Vec<f64>)| -> Vec<f64> {
        (0..row.len()).filter(|t| mask[t + 1] == 1).map(|t| row[t]).collect()
    };
    let rows: Vec<Vec<f64>> = inputs.completion_mask.iter().zip(values).map(of).collect();
    (rows.concat(), rows.iter().map(Vec::len).collect())
}

#[test]
fn every_loss_gradient_and_metric_is_that_of_the_python_trainer() {
    let sets: Sets = golden("losses.json");
    let Cases { cases } = golden("losses_kto.json");
    assert_eq!(cases.len(), 3);
    for case in &cases {
        let inputs = &sets.sets[&case.set];
        let (policy, lengths) = tokens(inputs, &inputs.per_token_logps);
        let leaf = leaf(&policy, DType::F64);
        let policy = CompletionLogps::from_tokens(leaf.clone(), &lengths);
        let reference = tokens(inputs, &inputs.ref_per_token_logps).0;
        let reference = CompletionLogps::from_tokens(tensor(&reference, DType::F64), &lengths);
        let n = lengths.len();
        let label = |idx| if idx < n / 2 { Label::Desirable } else { Label::Undesirable };
        let labels: Vec<Label> = (0..n).map(label).collect();
        let log_ratios: Vec<f64> = case.kl_logps.iter().zip(&case.ref_kl_logps).map(|(a, b)| a - b).collect();
        let drift = kto_drift(&log_ratios);
        assert_close(&[drift], &[case.metrics["kl"]], 1e-12);

        let Case { beta, desirable, undesirable, .. } = *case;
        let loss = UnpairedLoss::Kto { beta, desirable, undesirable };
        let loss = loss.loss(policy.sums.clone() - reference.sums.clone(), &labels, drift).mean();
        let gradients = loss.backward();
        assert_close(&numbers(loss.inner()), &[case.loss], 1e-9);
        let found = numbers(leaf.grad(&gradients).unwrap());
        assert_close(&found, &tokens(inputs, &case.grad).0, 1e-9);

        let (policy, reference) = (numbers(policy.sums.inner()), numbers(reference.sums));
        let score = |(idx, label): (usize, Label)| {
            (label, CompletionScore { policy: policy[idx], reference: reference[idx] })
        };
        let scores: Vec<_> = labels.into_iter().enumerate().map(score).collect();
        let means = serde_json::to_value(label_means(&scores, beta).unwrap()).unwrap();
        for (name, value) in case.metrics.iter().filter(|(name, _)| *name != "kl") {
            assert_close(&[means[name].as_f64().unwrap()], &[*value], 1e-9);
        }
    }
}

/// β(Δ − z₀) = 0.1·(2 − 0.5) = 0.15: a desirable completion costs σ(−0.15) = 0.462570155, an undesirable one
/// σ(0.15) = 0.537429845, each by its weight. A mean below 0 is no drift.
#[test]
fn kto_is_what_pencil_says() {
    let loss = UnpairedLoss::Kto { beta: 0.1, desirable: 1.0, undesirable: 2.0 };
    let both = [Label::Desirable, Label::Undesirable];
    let found = numbers(loss.loss(tensor(&[2.0, 2.0], DType::F64), &both, 0.5));
    assert_close(&found, &[0.462_570_154_656_25, 2.0 * 0.537_429_845_343_75], 1e-12);
    assert_eq!((kto_drift(&[1.0, -0.5]), kto_drift(&[-1.0, 0.5]), kto_drift(&[])), (0.25, 0.0, 0.0));
    // Equal models: every completion costs half its weight, to the last bit.
    assert_eq!(numbers(loss.loss(tensor(&[0.0, 0.0], DType::F32), &both, 0.0)), [0.5, 1.0]);
}

#[test]
fn gradients_are_those_of_finite_differences_and_finite_at_extremes() {
    let loss = UnpairedLoss::Kto { beta: 0.3, desirable: 1.3, undesirable: 0.7 };
    let labels = [Label::Desirable, Label::Undesirable, Label::Desirable];
    let total = |values: Tensor<1>| loss.loss(values, &labels, 0.4).sum();
    let values = [1.0, -2.0, 0.4];
    let at = leaf(&values, DType::F64);
    let gradients = total(at.clone()).backward();
    let step = 1e-5;
    let slope = |idx: usize| {
        let shifted = |by: f64| {
            let mut values = values;
            values[idx] += by;
            numbers(total(tensor(&values, DType::F64)))[0]
        };
        (shifted(step) - shifted(-step)) / (2.0 * step)
    };
    let expected: Vec<f64> = (0..3).map(slope).collect();
    assert_close(&numbers(at.grad(&gradients).unwrap()), &expected, 1e-8);
    for dtype in [DType::F32, DType::F64] {
        let at = leaf(&[-1e4, 1e4, 1e4], dtype);
        let losses = total(at.clone());
        let gradients = losses.clone().backward();
        let all = [numbers(losses), numbers(at.grad(&gradients).unwrap())].concat();
        assert!(all.iter().all(|x| x.is_finite()), "{all:?}");
    }
}
