//! Losses against paper and pencil, at extremes, and their gradients against finite differences.

use crate::common::{assert_close, leaf, numbers, ratios, tensor};
use burn::tensor::{DType, Tensor};
use dpo_core::{
    CompletionLogps, IpoReduction, LogRatios, Objective, PairLogps, PairwiseLoss, conservative_dpo_loss,
    dpo_loss, log_sigmoid,
};

fn all_losses(beta: f64) -> [PairwiseLoss; 18] {
    [
        PairwiseLoss::Sigmoid { beta, label_smoothing: 0.0 },
        PairwiseLoss::Sigmoid { beta, label_smoothing: 0.1 },
        PairwiseLoss::Ipo { beta, reduction: IpoReduction::Mean },
        PairwiseLoss::Ipo { beta, reduction: IpoReduction::Sum },
        PairwiseLoss::Hinge { beta },
        PairwiseLoss::SigmoidNorm { beta },
        PairwiseLoss::Robust { beta, label_smoothing: 0.1 },
        PairwiseLoss::ExoPair { beta, label_smoothing: 1e-3 },
        PairwiseLoss::NcaPair { beta },
        PairwiseLoss::BcoPair { beta, delta: 0.0 },
        PairwiseLoss::BcoPair { beta, delta: 0.3 },
        PairwiseLoss::SppoHard { beta },
        PairwiseLoss::ApoZero { beta },
        PairwiseLoss::ApoDown { beta },
        PairwiseLoss::Discopop { beta, tau: 0.05 },
        PairwiseLoss::Dpop { beta, lambda: 5.0 },
        PairwiseLoss::CalDpo { beta },
        PairwiseLoss::RDpo { beta, alpha: 0.01 },
    ]
}

/// log π_θ −12 and −15, log π_ref −13 and −14.5, lengths 4 and 5, β 0.1: Δ = 1 and −0.5, h = 1.5,
/// h̄ = 0.25 + 0.1 = 0.35. softplus(−0.15) = 0.620957…; (0.35 − 5)² = 21.6225; (1.5 − 5)² = 12.25; 1 − 0.15 = 0.85.
#[test]
fn the_worked_case_has_the_losses_of_the_papers() {
    for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 1e-6)] {
        let of = |chosen, rejected| PairLogps {
            chosen: CompletionLogps::new(tensor(&[chosen], dtype), tensor(&[4.0], dtype)),
            rejected: CompletionLogps::new(tensor(&[rejected], dtype), tensor(&[5.0], dtype)),
        };
        let ratios = LogRatios::new(of(-12.0, -15.0), of(-13.0, -14.5));
        let found: Vec<f64> = all_losses(0.1).iter().flat_map(|l| numbers(l.loss(&ratios))).collect();
        let expected = [
            0.620_957_048,
            0.635_957_048,
            21.6225,
            12.25,
            0.85,
            0.675_800_298,
            0.602_207_048,
            2.505_516_555,
            1.350_824_814,
            1.312_856_308,
            1.331_521_025,
            36.25,
            0.962_523_416,
            0.987_549_342,
            0.849_337_579,
            0.620_957_048,
            36.451_413_278,
            0.625_595_182,
        ];
        assert_close(&found, &expected, tolerance);
        assert_close(&numbers(ratios.rewards(0.1).chosen), &[0.1], tolerance);
        assert_close(&numbers(ratios.rewards(0.1).margins()), &[0.15], tolerance);
    }
}

/// ∂/∂log π(y_w) = −βσ(−βh) and ∂/∂log π(y_l) = +βσ(−βh): Eq. 7's gradient, §4 of the paper. With βh = 0.15
/// σ(−0.15) is 0.462570155.
#[test]
fn the_gradient_of_dpo_is_one_number_per_completion() {
    let (chosen, rejected) = (leaf(&[1.0], DType::F64), leaf(&[-0.5], DType::F64));
    let loss = dpo_loss(chosen.clone() - rejected.clone(), 0.1);
    let gradients = loss.backward();
    assert_close(&numbers(chosen.grad(&gradients).unwrap()), &[-0.046_257_015_5], 1e-9);
    assert_close(&numbers(rejected.grad(&gradients).unwrap()), &[0.046_257_015_5], 1e-9);
}

/// Where every run begins: the slope at h = 0 is −β/2, neither 0 nor −β.
#[test]
fn the_gradient_at_zero_margin_is_half_of_beta() {
    for dtype in [DType::F32, DType::F64] {
        let margin = leaf(&[0.0], dtype);
        let gradients = dpo_loss(margin.clone(), 0.1).backward();
        assert_close(&numbers(margin.grad(&gradients).unwrap()), &[-0.05], 1e-8);
    }
}

/// Central differences in f64 of every loss by both log-probs, on both sides of the hinge.
#[test]
fn gradients_are_those_of_finite_differences() {
    let (chosen, rejected) = ([1.0, -3.0, 0.2, 9.0], [-0.5, 2.0, 0.1, -8.0]);
    let lengths: (&[f64], &[f64]) = (&[4.0, 2.0, 7.0, 3.0], &[5.0, 1.0, 7.0, 9.0]);
    let step = 1e-5;
    for loss in all_losses(0.3) {
        let total = |chosen: &[f64], rejected: &[f64]| {
            let ratios = ratios(tensor(chosen, DType::F64), tensor(rejected, DType::F64), lengths);
            numbers(loss.loss(&ratios)).iter().sum::<f64>()
        };
        let (c, r) = (leaf(&chosen, DType::F64), leaf(&rejected, DType::F64));
        let gradients = loss.loss(&ratios(c.clone(), r.clone(), lengths)).sum().backward();
        let (by_chosen, by_rejected) = (c.grad(&gradients).unwrap(), r.grad(&gradients).unwrap());
        let slope = |at: usize, of_chosen: f64, of_rejected: f64| {
            let shifted = |sign: f64| {
                let (mut c, mut r) = (chosen, rejected);
                c[at] += sign * step * of_chosen;
                r[at] += sign * step * of_rejected;
                total(&c, &r)
            };
            (shifted(1.0) - shifted(-1.0)) / (2.0 * step)
        };
        let expected_chosen: Vec<f64> = (0..4).map(|at| slope(at, 1.0, 0.0)).collect();
        let expected_rejected: Vec<f64> = (0..4).map(|at| slope(at, 0.0, 1.0)).collect();
        assert_close(&numbers(by_chosen), &expected_chosen, 1e-8);
        assert_close(&numbers(by_rejected), &expected_rejected, 1e-8);
    }
}

/// −ln σ(−10⁴) = 10⁴ and −ln σ(10⁴) = 0; nothing overflows on the way, forward or backward.
#[test]
fn extreme_margins_give_finite_losses_and_gradients() {
    let lengths: (&[f64], &[f64]) = (&[1.0, 1.0], &[1.0, 1.0]);
    for dtype in [DType::F32, DType::F64] {
        let found = numbers(log_sigmoid(tensor(&[-1e4, 1e4, -110.0], dtype)));
        assert_eq!(found, [-1e4, 0.0, -110.0]);
        for loss in all_losses(1.0) {
            let (chosen, rejected) = (leaf(&[-1e4, 1e4], dtype), leaf(&[0.0, 0.0], dtype));
            let losses = loss.loss(&ratios(chosen.clone(), rejected, lengths));
            let gradients = losses.clone().sum().backward();
            let all = [numbers(losses), numbers(chosen.grad(&gradients).unwrap())].concat();
            assert!(all.iter().all(|x| x.is_finite()), "{loss:?} {dtype:?}: {all:?}");
        }
    }
}

/// ln σ(z) for large z is −e^{−z}, which 1 + e^{−z} cannot hold: no digits are lost there.
#[test]
fn log_sigmoid_keeps_its_digits_where_it_is_almost_zero() {
    let found = numbers(log_sigmoid(tensor(&[20.0, 40.0, 80.0], DType::F32)));
    for (f, z) in found.iter().zip([20f64, 40.0, 80.0]) {
        let expected = -(-z).exp().ln_1p();
        assert!((f / expected - 1.0).abs() < 1e-6, "at {z}: {f} against {expected}");
    }
}

/// Equal models have h = 0, and every loss then is what `at_zero_margin` says, bit for bit, whatever the
/// log-probs, lengths and parameters.
#[test]
fn equal_models_cost_the_loss_at_zero_margin_to_the_last_bit() {
    let sums = [-12.345_678, -0.1, -987.654_3];
    let of = |counts: &[f64]| CompletionLogps::new(tensor(&sums, DType::F32), tensor(counts, DType::F32));
    let lengths = [3.0, 7.0, 11.0];
    let ratios_of = |rejected: &[f64]| {
        let model = || PairLogps { chosen: of(&lengths), rejected: of(rejected) };
        LogRatios::new(model(), model())
    };
    for beta in [0.1, 0.3, 0.07, 5.0, 1e-3] {
        let others = [
            PairwiseLoss::Sigmoid { beta, label_smoothing: 0.37 },
            PairwiseLoss::Robust { beta, label_smoothing: 0.37 },
            PairwiseLoss::ExoPair { beta, label_smoothing: 0.37 },
            PairwiseLoss::BcoPair { beta, delta: -1.7 },
        ];
        for loss in all_losses(beta).into_iter().chain(others) {
            let is_of_lengths = matches!(loss, PairwiseLoss::RDpo { .. });
            let ratios = ratios_of(if is_of_lengths { &lengths } else { &[1.0, 9.0, 13.0] });
            for found in numbers(loss.loss(&ratios)) {
                assert_eq!(found.to_bits(), loss.at_zero_margin().to_bits(), "{loss:?}");
            }
        }
    }
    let ln_2 = f64::from(std::f32::consts::LN_2);
    assert_eq!(Objective::Pairwise(all_losses(0.1)[0]).at_zero_margin(), Some(ln_2));
    assert_eq!(Objective::Sft.at_zero_margin(), None);
}

/// ε = 0 is DPO to the last bit, both as an objective and as the written-out formula.
#[test]
fn unsmoothed_cdpo_is_dpo_to_the_last_bit() {
    let margins: Vec<f64> = (-400..=400).map(|i| f64::from(i) * 0.37).collect();
    for dtype in [DType::F32, DType::F64] {
        let margin = || tensor(&margins, dtype);
        let bits = |t: Tensor<1>| numbers(t).into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(conservative_dpo_loss(margin(), 0.1, 0.0)), bits(dpo_loss(margin(), 0.1)));
    }
}

/// ε = 0 robust, λ = 0 DPOP and α = 0 R-DPO are DPO to the last bit.
#[test]
fn losses_without_their_parameter_are_dpo_to_the_last_bit() {
    let chosen: Vec<f64> = (-50..=50).map(|i| f64::from(i) * 0.83).collect();
    let rejected: Vec<f64> = (-50..=50).map(|i| f64::from(i * i % 17) * 1.9 - 11.0).collect();
    let (long, short) = (vec![9.0; 101], vec![2.0; 101]);
    for dtype in [DType::F32, DType::F64] {
        let ratios = ratios(tensor(&chosen, dtype), tensor(&rejected, dtype), (&long, &short));
        let bits = |loss: PairwiseLoss| {
            numbers(loss.loss(&ratios)).into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        let dpo = bits(PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 });
        assert_eq!(bits(PairwiseLoss::Robust { beta: 0.1, label_smoothing: 0.0 }), dpo);
        assert_eq!(bits(PairwiseLoss::Dpop { beta: 0.1, lambda: 0.0 }), dpo);
        assert_eq!(bits(PairwiseLoss::RDpo { beta: 0.1, alpha: 0.0 }), dpo);
    }
}

/// A batch is its rows: nothing here couples pairs.
#[test]
fn a_batch_equals_its_rows_to_the_last_bit() {
    let (chosen, rejected) = ([1.0, -3.0, 0.2], [-0.5, 2.0, 0.1]);
    let (chosen_len, rejected_len) = ([4.0, 2.0, 7.0], [5.0, 1.0, 7.0]);
    for loss in all_losses(0.1) {
        let batch =
            ratios(tensor(&chosen, DType::F32), tensor(&rejected, DType::F32), (&chosen_len, &rejected_len));
        let rows = (0..3).flat_map(|i| {
            let lengths = (&chosen_len[i..=i], &rejected_len[i..=i]);
            numbers(loss.loss(&ratios(
                tensor(&chosen[i..=i], DType::F32),
                tensor(&rejected[i..=i], DType::F32),
                lengths,
            )))
        });
        assert_eq!(numbers(loss.loss(&batch)), rows.collect::<Vec<_>>(), "{loss:?}");
    }
}
