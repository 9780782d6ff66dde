//! Losses, gradients and metrics against the established Python trainer; `tests/golden/make_losses.py` says how.

use crate::common::{assert_close, leaf, numbers, tensor};
use burn::tensor::DType;
use dpo_core::{
    BatchScale, DivergenceKind, LogRatios, LossConfig, LossKind, MetricMeans, Modifiers, Objective,
    PairMetrics, PairScore, PairTokens, Part, PartLoss, RowSize, TokenLogps, sft_loss,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    sets: std::collections::HashMap<String, Inputs>,
    cases: Vec<Case>,
}

/// Rows are sequences, the chosen ones first; masks are a token longer than log-probs.
#[derive(Deserialize)]
pub(crate) struct Inputs {
    completion_mask: Vec<Vec<u8>>,
    pub(crate) per_token_logps: Vec<Vec<f64>>,
    pub(crate) ref_per_token_logps: Vec<Vec<f64>>,
    log_sum_sq_probs: Option<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Case {
    set: String,
    options: Options,
    f32_loss: f64,
    /// It was computed in f32 alone.
    #[serde(default)]
    is_f32: bool,
    loss: f64,
    grad: Vec<Vec<f64>>,
    metrics: std::collections::HashMap<String, f64>,
}

/// Those of the Python trainer, under its names; what is not given is its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    loss_type: Vec<String>,
    loss_weights: Option<Vec<f64>>,
    #[serde(default = "one_tenth")]
    beta: f64,
    #[serde(default)]
    label_smoothing: f64,
    discopop_tau: Option<f64>,
    f_divergence_type: Option<String>,
    f_alpha_divergence_coef: Option<f64>,
    ld_alpha: Option<f64>,
    #[serde(default)]
    use_weighting: bool,
    /// Of an older version: the reference says nothing.
    #[serde(default)]
    reference_free: bool,
}

fn one_tenth() -> f64 {
    0.1
}

impl Options {
    fn objective(&self) -> Objective {
        let weights = self.loss_weights.clone().unwrap_or_else(|| vec![1.0; self.loss_type.len()]);
        let part = |(loss_type, weight): (&String, f64)| Part { weight, loss: self.part(loss_type) };
        let modifiers =
            Modifiers { ld_alpha: self.ld_alpha, wpo: self.use_weighting, ..Modifiers::default() };
        // `sft` reads neither of them there, and refuses them here.
        match self.loss_type.iter().all(|loss_type| loss_type == "sft") {
            true => Objective::Sft,
            false => Objective::combined(self.loss_type.iter().zip(weights).map(part).collect(), modifiers)
                .unwrap(),
        }
    }

    fn part(&self, loss_type: &str) -> PartLoss {
        let kind: LossKind = loss_type.parse().unwrap();
        // There `sigmoid` ignores it.
        let is_smoothed = kind.reads("label_smoothing") && kind != LossKind::Sigmoid;
        let divergence = self.f_divergence_type.as_ref().map(|name| match name.as_str() {
            "forward_kl" => DivergenceKind::ForwardKl,
            "js_divergence" => DivergenceKind::Js,
            "alpha_divergence" => DivergenceKind::Alpha,
            other => panic!("{other}"),
        });
        let divergence = divergence.filter(|_| kind != LossKind::Sft);
        let config = LossConfig {
            kind,
            beta: kind.reads("beta").then_some(self.beta),
            label_smoothing: is_smoothed.then_some(self.label_smoothing),
            discopop_tau: self.discopop_tau,
            f_divergence: divergence,
            f_alpha: self.f_alpha_divergence_coef.filter(|_| divergence == Some(DivergenceKind::Alpha)),
            ..LossConfig::default()
        };
        config.part().unwrap()
    }
}

impl Inputs {
    /// Indices of the log-probs of each sequence's completion tokens.
    fn positions(&self) -> Vec<Vec<usize>> {
        let of = |mask: &Vec<u8>| (0..mask.len() - 1).filter(|&t| mask[t + 1] == 1).collect();
        self.completion_mask.iter().map(of).collect()
    }

    /// Numbers of the completion tokens, the completions of a pair one after the other, end to end.
    pub(crate) fn in_pairs(&self, values: &[Vec<f64>]) -> Vec<f64> {
        let positions = self.positions();
        let of_row = |row: usize| positions[row].iter().map(move |&t| values[row][t]).collect::<Vec<_>>();
        self.sequences().flat_map(of_row).collect()
    }

    /// Tokens of each completion, in that order.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        let positions = self.positions();
        self.sequences().map(|row| positions[row].len()).collect()
    }

    fn sequences(&self) -> impl Iterator<Item = usize> {
        let n_pairs = self.completion_mask.len() / 2;
        (0..n_pairs).flat_map(move |pair| [pair, n_pairs + pair])
    }
}

pub(crate) struct Found {
    pub(crate) loss: f64,
    pub(crate) grad: Vec<f64>,
    means: dpo_core::MetricMeans,
}

/// The whole path, from token log-probs to the loss of the batch, its gradient and its metrics.
pub(crate) fn run(inputs: &Inputs, options: &Options, dtype: DType) -> Found {
    let lengths = inputs.lengths();
    let of = |per_token| TokenLogps::new(per_token, &lengths, &lengths);
    let leaf = leaf(&inputs.in_pairs(&inputs.per_token_logps), dtype);
    let mut reference = inputs.in_pairs(&inputs.ref_per_token_logps);
    if options.reference_free {
        reference.fill(0.0);
    }
    let (policy, reference) = (of(leaf.clone()), of(tensor(&reference, dtype)));
    let squares = inputs.log_sum_sq_probs.as_ref().map(|values| tensor(&inputs.in_pairs(values), dtype));

    let objective = options.objective();
    let means = metrics(&objective, &policy, &reference, options.beta);
    let sizes = lengths.iter().step_by(2).map(|&chosen_tokens| RowSize { weight: 1.0, chosen_tokens });
    let scale = BatchScale::new(&objective, sizes);
    let pairs = |tokens: &TokenLogps| tokens.completions().into_pairs();
    let losses = match &objective {
        Objective::Pairwise(loss) => loss.loss(&LogRatios::new(pairs(&policy), pairs(&reference))),
        Objective::Sft => sft_loss(&pairs(&policy).chosen),
        Objective::Composite(composite) => {
            let (reference, log_sum_squares) = (Some(&reference), squares.as_ref());
            composite.losses(
                PairTokens {
                    policy: &policy,
                    reference,
                    log_sum_squares,
                    kl: None,
                    moving_margin: None,
                    votes: &[],
                    gaps: &[],
                },
                &scale,
            )
        }
        other => panic!("{other:?} has a file of its own"),
    };
    let loss = scale.reduce(losses, tensor(&vec![1.0; lengths.len() / 2], dtype));
    let gradients = loss.backward();
    let grad = numbers(leaf.grad(&gradients).unwrap());
    Found { loss: numbers(loss.inner())[0], grad, means }
}

fn metrics(objective: &Objective, policy: &TokenLogps, reference: &TokenLogps, beta: f64) -> MetricMeans {
    let sums = |tokens: &TokenLogps| match objective {
        Objective::Composite(composite) => numbers(composite.compared(tokens).sums.inner()),
        _ => numbers(tokens.completions().sums.inner()),
    };
    let mut metrics = PairMetrics::default();
    for (policy, reference) in sums(policy).chunks_exact(2).zip(sums(reference).chunks_exact(2)) {
        let score = PairScore {
            policy_chosen: policy[0],
            policy_rejected: policy[1],
            reference_chosen: reference[0],
            reference_rejected: reference[1],
        };
        metrics.push(&score, beta);
    }
    metrics.means().unwrap()
}

/// Its α-divergence is computed in f32 alone, and its `exo_pair` takes logarithms of ε in f32.
pub(crate) fn tolerance(options: &Options, is_f32: bool) -> f64 {
    let is_exo = options.loss_type.iter().any(|loss_type| loss_type == "exo_pair");
    if is_f32 {
        3e-6
    } else if is_exo {
        1e-7
    } else {
        1e-9
    }
}

#[test]
fn every_loss_gradient_and_metric_is_that_of_the_python_trainer() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/losses.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(golden.cases.len(), 151);
    for case in &golden.cases {
        let inputs = &golden.sets[&case.set];
        let expected_grad = inputs.in_pairs(&case.grad);
        let tolerance = tolerance(&case.options, case.is_f32);
        let found = run(inputs, &case.options, DType::F64);
        assert_close(&[found.loss], &[case.loss], tolerance);
        assert_close(&found.grad, &expected_grad, tolerance);
        let means = serde_json::to_value(found.means).unwrap();
        for (name, value) in &case.metrics {
            assert_close(&[means[name].as_f64().unwrap()], &[*value], tolerance.max(1e-9));
        }

        let found = run(inputs, &case.options, DType::F32);
        assert_close(&[found.loss], &[case.loss], 1e-6);
        // Its own f32 is up to 6e-6 from its f64.
        assert_close(&[found.loss], &[case.f32_loss], 1e-5);
        assert_close(&found.grad, &expected_grad, 3e-6);
    }
}
