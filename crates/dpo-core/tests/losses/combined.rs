//! Losses without a reference, of whole batches, and what is made of several: paper and pencil, extremes, gradients.

use crate::common::{assert_close, leaf, numbers, tensor};
use burn::tensor::{DType, Tensor};
use dpo_core::{
    BatchScale, CompletionLogps, CoupledLoss, FDivergence, InvalidLoss, IpoReduction, LogRatios, LossConfig,
    LossKind, Modifiers, Objective, PairLogps, PairTokens, PairwiseLoss, Part, PartLoss, PolicyScore,
    ReferenceFreeLoss, RowSize, ScoredLoss, TokenLevelLoss, TokenLogps, VoteShares, VotedLoss, beta_dpo_loss,
    dpo_loss, dynamic_beta, log_odds, odds_ratio_loss, sft_loss,
};

/// Of the first pairs: all for the first, two of three, one of three with a tie, a tie.
const VOTES: [VoteShares; 4] = [
    VoteShares::FIRST,
    VoteShares { first: 2.0 / 3.0, tie: 0.0, second: 1.0 / 3.0 },
    VoteShares { first: 1.0 / 3.0, tie: 2.0 / 3.0, second: 0.0 },
    VoteShares { first: 0.0, tie: 1.0, second: 0.0 },
];

/// How far the scores of the first pairs lie apart.
const GAPS: [f64; 4] = [std::f64::consts::E, 1.0, 0.25, 3.0];

const SIGMOID: PairwiseLoss = PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 };

fn pairwise(loss: PairwiseLoss) -> Part {
    Part { weight: 1.0, loss: PartLoss::Pairwise { loss, divergence: FDivergence::ReverseKl } }
}

fn free(loss: ReferenceFreeLoss) -> Part {
    Part { weight: 1.0, loss: PartLoss::ReferenceFree(loss) }
}

fn voted(loss: VotedLoss, divergence: FDivergence) -> Part {
    Part { weight: 1.0, loss: PartLoss::Voted { loss, divergence } }
}

fn scored(loss: ScoredLoss, divergence: FDivergence) -> Part {
    Part { weight: 1.0, loss: PartLoss::Scored { loss, divergence } }
}

fn tdpo(beta: f64, alpha: f64) -> Part {
    Part { weight: 1.0, loss: PartLoss::TokenLevel(TokenLevelLoss::Tdpo { beta, alpha }) }
}

fn of(parts: Vec<Part>) -> Objective {
    Objective::combined(parts, Modifiers::default()).unwrap()
}

fn diverging(loss: PairwiseLoss, divergence: FDivergence) -> Objective {
    of(vec![Part { weight: 1.0, loss: PartLoss::Pairwise { loss, divergence } }])
}

/// Pairs, chosen and rejected in turn: token log-probs of the policy and of the reference, and their lengths.
struct Rows {
    policy: Vec<f64>,
    reference: Vec<f64>,
    lengths: Vec<usize>,
}

impl Rows {
    /// Four pairs of odd lengths.
    fn some() -> Self {
        let lengths = vec![4, 5, 2, 1, 3, 3, 1, 2];
        let n = 21;
        let policy = (0..n).map(|t| -0.1 - f64::from(t * 7 % 11) * 0.31).collect();
        let reference = (0..n).map(|t| -0.2 - f64::from(t * 5 % 13) * 0.24).collect();
        Self { policy, reference, lengths }
    }

    /// The worked case as single pairs of equal tokens: log π_θ −12/−15, log π_ref −13/−14.5, lengths 4/5.
    fn worked_case() -> Self {
        let tokens = |chosen: f64, rejected: f64| [vec![chosen / 4.0; 4], vec![rejected / 5.0; 5]].concat();
        Self { policy: tokens(-12.0, -15.0), reference: tokens(-13.0, -14.5), lengths: vec![4, 5] }
    }

    fn tokens(&self, per_token: Tensor<1>) -> TokenLogps {
        TokenLogps::new(per_token, &self.lengths, &self.lengths)
    }

    fn scale(&self, objective: &Objective) -> BatchScale {
        let row = |&chosen_tokens: &usize| RowSize { weight: 1.0, chosen_tokens };
        BatchScale::new(objective, self.lengths.iter().step_by(2).map(row))
    }

    /// Losses of the pairs.
    fn losses(&self, objective: &Objective, policy: Tensor<1>) -> Tensor<1> {
        let dtype = policy.dtype();
        let policy = self.tokens(policy);
        let reference = self.tokens(tensor(&self.reference, dtype));
        let squares: Vec<f64> = self.policy.iter().map(|logp| logp * 0.9 - 0.05).collect();
        let squares = tensor(&squares, dtype);
        let apart = self.policy.iter().zip(&self.reference).map(|(policy, reference)| policy - reference);
        let kl: Vec<f64> = apart.map(|apart| 0.3 * apart * apart).collect();
        let kl = tensor(&kl, dtype);
        let n_pairs = self.lengths.len() / 2;
        match objective {
            Objective::Composite(composite) => composite.losses(
                PairTokens {
                    policy: &policy,
                    reference: Some(&reference),
                    log_sum_squares: Some(&squares),
                    kl: Some(&kl),
                    moving_margin: Some(0.5),
                    votes: &VOTES[..n_pairs],
                    gaps: &GAPS[..n_pairs],
                },
                &self.scale(objective),
            ),
            Objective::Pairwise(loss) => {
                let pairs = |tokens: TokenLogps| tokens.completions().into_pairs();
                loss.loss(&LogRatios::new(pairs(policy), pairs(reference)))
            }
            Objective::Sft => sft_loss(&policy.completions().into_pairs().chosen),
            other => panic!("{other:?} has a file of its own"),
        }
    }

    fn values(&self, objective: &Objective, dtype: DType) -> Vec<f64> {
        numbers(self.losses(objective, tensor(&self.policy, dtype)))
    }
}

/// p̄ = −3 and −3: SimPO −ln σ(2·0 − 1) = softplus(1); ORPO 3 + 0.1·ln 2; CPO softplus(−0.3) + 3. Δ = 1 and −0.5: forward
/// KL −ln σ(0.1((1 − e⁻¹) − (1 − e^½))), and so on.
#[test]
fn the_worked_case_has_the_losses_of_the_papers() {
    let simpo = ReferenceFreeLoss::Simpo { beta: 2.0, gamma: 1.0, alpha: 0.0, label_smoothing: 0.0 };
    let cases = [
        (of(vec![free(simpo)]), 1.313_261_688),
        (of(vec![free(ReferenceFreeLoss::Orpo { lambda: 0.1 })]), 3.069_314_718),
        (
            of(vec![free(ReferenceFreeLoss::Cpo { beta: 0.1, alpha: 1.0, label_smoothing: 0.0 })]),
            3.554_355_244,
        ),
        (diverging(SIGMOID, FDivergence::ForwardKl), 0.631_154_384),
        (diverging(SIGMOID, FDivergence::Alpha(0.0)), 0.631_154_384),
        (diverging(SIGMOID, FDivergence::Js), 0.660_652_163),
        (diverging(SIGMOID, FDivergence::Alpha(0.5)), 0.627_690_947),
        (
            of(vec![Part {
                weight: 1.0,
                loss: PartLoss::Coupled(CoupledLoss::Aot { beta: 0.1, label_smoothing: 0.0 }),
            }]),
            0.620_957_048,
        ),
    ];
    for (objective, expected) in cases {
        for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 1e-6)] {
            assert_close(&Rows::worked_case().values(&objective, dtype), &[expected], tolerance);
        }
    }
}

/// ln(p/(1−p)) with p = e^{−ln 3} = 1/3 is −ln 2; of a probability of 1 − 10⁻⁵ it is 11.5129 and of certainty a number.
#[test]
fn log_odds_have_their_digits_everywhere() {
    for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-6)] {
        let found = numbers(log_odds(tensor(&[-(3f64.ln()), -1e-5, -50.0], dtype)));
        assert_close(&found, &[-std::f64::consts::LN_2, 11.512_920_464, -50.0], tolerance);
        assert!(numbers(log_odds(tensor(&[0.0], dtype)))[0].is_finite());
    }
}

/// AlphaPO with α = 0.25 and p̄ = −3: (1 − e^{0.75})/0.25 = −4.468000066; a tiny α is SimPO's p̄.
#[test]
fn rewards_are_those_of_the_losses() {
    let score = PolicyScore { chosen: -12.0, rejected: -15.0, chosen_tokens: 4, rejected_tokens: 10 };
    let simpo = |alpha| ReferenceFreeLoss::Simpo { beta: 2.0, gamma: 1.0, alpha, label_smoothing: 0.0 };
    assert_close(&simpo(0.0).rewards(&score), &[-6.0, -3.0], 1e-12);
    assert_close(&simpo(0.25).rewards(&score)[..1], &[2.0 * -4.468_000_066], 1e-8);
    assert_close(&simpo(1e-3).rewards(&score), &[-6.0, -3.0], 1e-2);
    assert_close(&ReferenceFreeLoss::Orpo { lambda: 0.1 }.rewards(&score), &[-0.3, -0.15], 1e-12);
    let cpo = ReferenceFreeLoss::Cpo { beta: 0.5, alpha: 1.0, label_smoothing: 0.0 };
    assert_close(&cpo.rewards(&score), &[-6.0, -7.5], 1e-12);
}

/// Policy margins u = 3 and −1, reference margins v = −2 and 0.5. In order: −1 meets −2, 3 meets 0.5; so the first pair
/// costs softplus(−2.5) and the second softplus(−1), with β = 1. Unpaired: Δ_w = 4, 1 and Δ_l = 0, 2: in order 1 meets 0,
/// 4 meets 2.
#[test]
fn optimal_transport_pairs_ranks_and_keeps_rows() {
    let softplus = |z: f64| z.exp().ln_1p();
    let pairs = |chosen: &[f64], rejected: &[f64]| PairLogps {
        chosen: CompletionLogps::new(tensor(chosen, DType::F64), tensor(&[1.0, 1.0], DType::F64)),
        rejected: CompletionLogps::new(tensor(rejected, DType::F64), tensor(&[1.0, 1.0], DType::F64)),
    };
    let (beta, label_smoothing) = (1.0, 0.0);
    let aot = CoupledLoss::Aot { beta, label_smoothing };
    let found = aot.loss(&pairs(&[-1.0, -5.0], &[-4.0, -4.0]), &pairs(&[-3.0, -2.0], &[-1.0, -2.5]), None);
    assert_close(&numbers(found), &[softplus(-2.5), softplus(-1.0)], 1e-12);
    let unpaired = CoupledLoss::AotUnpaired { beta, label_smoothing };
    let found =
        unpaired.loss(&pairs(&[-1.0, -1.0], &[-3.0, -1.0]), &pairs(&[-5.0, -2.0], &[-3.0, -3.0]), None);
    assert_close(&numbers(found), &[softplus(-2.0), softplus(-1.0)], 1e-12);
}

/// Margins 3 and −1, mean 1: β = 0.1(1 + 0.6(1 − 0.5)) = 0.13; of the first batch 0.1; never below 0.001.
#[test]
fn the_strength_follows_the_margin() {
    let softplus = |z: f64| z.exp().ln_1p();
    let margin = || tensor(&[3.0, -1.0], DType::F64);
    let found = numbers(beta_dpo_loss(margin(), 0.1, 0.6, Some(0.5)));
    assert_close(&found, &[softplus(-0.39), softplus(0.13)], 1e-12);
    assert_eq!(numbers(beta_dpo_loss(margin(), 0.1, 0.6, None)), numbers(dpo_loss(margin(), 0.1)));
    assert_close(
        &[dynamic_beta(0.1, 0.6, 1.0, 0.5), dynamic_beta(0.1, 0.6, 0.0, 50.0)],
        &[0.13, 1e-3],
        1e-12,
    );
}

/// Lengths 3 and 1, α = ½: −1 + ½(−2 − 4) = −4, and −5 as it is. A first token that nothing predicts counts in the length:
/// of 3 and 2 tokens, 2 and 1 scored, the shared part is one scored token.
#[test]
fn what_is_longer_weighs_less() {
    let tokens = TokenLogps::new(tensor(&[-1.0, -2.0, -4.0, -5.0], DType::F64), &[3, 1], &[3, 1]);
    assert_eq!(numbers(tokens.length_desensitised(0.5).sums), [-4.0, -5.0]);
    assert_eq!(numbers(tokens.length_desensitised(0.0).sums), [-1.0, -5.0]);
    assert_eq!(numbers(tokens.length_desensitised(0.5).token_counts), [3.0, 1.0]);
    let tokens = TokenLogps::new(tensor(&[-1.0, -2.0, -4.0], DType::F64), &[2, 1], &[3, 2]);
    assert_eq!(numbers(tokens.length_desensitised(0.5).sums), [-2.0, -4.0]);
    let empty = TokenLogps::new(tensor(&[-1.0], DType::F64), &[0, 1], &[1, 2]);
    assert_eq!(numbers(empty.length_desensitised(0.5).sums), [0.0, -0.5]);
}

/// ω = exp(mean(ℓ − ln Σ p²)): tokens that are as likely as the policy's own on average weigh 1.
#[test]
fn what_the_policy_would_say_weighs_one() {
    let leaf = leaf(&[-1.0, -3.0, -2.0], DType::F64);
    let tokens = TokenLogps::new(leaf, &[2, 1], &[2, 1]);
    let weights = tokens.likelihoods(tensor(&[-1.0, -3.0, -1.0], DType::F64));
    assert!(!weights.is_autodiff());
    assert_close(&numbers(weights), &[1.0, (-1f64).exp()], 1e-12);
}

fn all_objectives() -> Vec<Objective> {
    let simpo = |alpha, label_smoothing| {
        free(ReferenceFreeLoss::Simpo { beta: 2.0, gamma: 1.0, alpha, label_smoothing })
    };
    let cpo = |label_smoothing| free(ReferenceFreeLoss::Cpo { beta: 0.1, alpha: 1.0, label_smoothing });
    let orpo = free(ReferenceFreeLoss::Orpo { lambda: 0.1 });
    let coupled = |loss| Part { weight: 1.0, loss: PartLoss::Coupled(loss) };
    let aot = coupled(CoupledLoss::Aot { beta: 0.1, label_smoothing: 0.1 });
    let unpaired = coupled(CoupledLoss::AotUnpaired { beta: 0.1, label_smoothing: 0.0 });
    let mut all: Vec<Objective> =
        [simpo(0.0, 0.0), simpo(0.25, 0.1), cpo(0.0), cpo(0.2), orpo, aot, unpaired]
            .map(|part| of(vec![part]))
            .into();
    let of_margin = [
        SIGMOID,
        PairwiseLoss::Ipo { beta: 0.1, reduction: IpoReduction::Mean },
        PairwiseLoss::Ipo { beta: 0.1, reduction: IpoReduction::Sum },
        PairwiseLoss::Hinge { beta: 0.1 },
        PairwiseLoss::SigmoidNorm { beta: 5.0 },
        PairwiseLoss::Robust { beta: 0.1, label_smoothing: 0.1 },
        PairwiseLoss::ExoPair { beta: 0.1, label_smoothing: 1e-3 },
        PairwiseLoss::Discopop { beta: 0.1, tau: 0.05 },
        PairwiseLoss::RDpo { beta: 0.1, alpha: 0.01 },
    ];
    let divergences =
        [FDivergence::ForwardKl, FDivergence::Js, FDivergence::Alpha(0.5), FDivergence::Alpha(2.0)];
    for loss in of_margin {
        all.extend(divergences.map(|divergence| diverging(loss, divergence)));
    }
    let modified = |parts, ld_alpha, sft_weight, wpo| {
        Objective::combined(parts, Modifiers { ld_alpha, sft_weight, wpo }).unwrap()
    };
    let bco = Part { weight: 0.2, ..pairwise(PairwiseLoss::BcoPair { beta: 0.1, delta: 0.0 }) };
    let sft = Part { weight: 1.0, loss: PartLoss::Sft };
    all.extend([
        of(vec![Part { weight: 0.8, ..pairwise(SIGMOID) }, bco, sft]),
        modified(vec![pairwise(SIGMOID)], Some(0.3), Some(0.5), false),
        modified(vec![simpo(0.0, 0.0)], None, Some(0.5), false),
        modified(vec![pairwise(SIGMOID), bco], Some(0.0), None, false),
        of(vec![tdpo(0.1, 0.5)]),
        modified(vec![tdpo(0.2, 1.0), sft], None, None, false),
    ]);
    let (beta, reverse) = (0.1, FDivergence::ReverseKl);
    let soft = VotedLoss::SoftLabel { beta };
    let odpo = ScoredLoss::Odpo { beta, alpha: 1.0 };
    for divergence in divergences {
        all.extend(
            [soft, VotedLoss::RaoKupper { beta, a: 1.1 }, VotedLoss::Davidson { beta, nu: 1.0 }]
                .map(|loss| of(vec![voted(loss, divergence)])),
        );
        all.extend(
            [
                odpo,
                ScoredLoss::RpoSq { beta, eta: 1.0 },
                ScoredLoss::RpoBwdKl { beta, eta: 1.0 },
                ScoredLoss::RpoFwdKl { beta, eta: 1.0 },
                ScoredLoss::Modpo { beta, weight: 0.5 },
            ]
            .map(|loss| of(vec![scored(loss, divergence)])),
        );
    }
    all.extend([
        of(vec![scored(odpo, reverse), voted(soft, reverse), sft]),
        modified(vec![scored(odpo, reverse)], Some(0.3), Some(0.5), false),
        modified(vec![voted(soft, FDivergence::Js), pairwise(SIGMOID)], Some(0.3), None, false),
    ]);
    all
}

/// h = 1.5, votes all for the first, scores e apart: ODPO costs softplus(1 − 0.15), and what it is mixed with its own; the
/// divergence makes DPO's margin of it, WPO weighs it by e^{−½}, and of the first's votes alone a soft label is DPO.
#[test]
fn votes_and_scores_go_with_the_rest() {
    let softplus = |z: f64| z.exp().ln_1p();
    let reverse = FDivergence::ReverseKl;
    let odpo = scored(ScoredLoss::Odpo { beta: 0.1, alpha: 1.0 }, reverse);
    let soft = |divergence| voted(VotedLoss::SoftLabel { beta: 0.1 }, divergence);
    let wpo = Modifiers { wpo: true, ..Modifiers::default() };
    let (with_offset, dpo) = (softplus(0.85), softplus(-0.15));
    let cases = [
        (of(vec![Part { weight: 0.5, ..odpo }, pairwise(SIGMOID)]), 0.5 * with_offset + dpo),
        (of(vec![soft(FDivergence::Js)]), 0.660_652_163),
        (Objective::combined(vec![odpo], wpo).unwrap(), with_offset * (-0.5f64).exp()),
        (
            Objective::combined(vec![soft(reverse)], Modifiers { sft_weight: Some(0.5), ..wpo }).unwrap(),
            dpo * (-0.5f64).exp() + 1.5,
        ),
    ];
    for (objective, expected) in cases {
        for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 1e-6)] {
            assert_close(&Rows::worked_case().values(&objective, dtype), &[expected], tolerance);
        }
    }
}

/// Central differences in f64 by every token's log-prob.
#[test]
fn gradients_are_those_of_finite_differences() {
    let rows = Rows::some();
    let step = 1e-5;
    for objective in all_objectives() {
        let total =
            |policy: &[f64]| numbers(rows.losses(&objective, tensor(policy, DType::F64))).iter().sum::<f64>();
        let leaf = leaf(&rows.policy, DType::F64);
        let gradients = rows.losses(&objective, leaf.clone()).sum().backward();
        let found = numbers(leaf.grad(&gradients).unwrap());
        let slope = |at: usize| {
            let shifted = |sign: f64| {
                let mut policy = rows.policy.clone();
                policy[at] += sign * step;
                total(&policy)
            };
            (shifted(1.0) - shifted(-1.0)) / (2.0 * step)
        };
        let expected: Vec<f64> = (0..rows.policy.len()).map(slope).collect();
        assert_close(&found, &expected, 1e-7);
    }
}

/// What WPO weighs with has no gradient: that of the loss is the weight times that of DPO.
#[test]
fn weights_have_no_gradient() {
    let rows = Rows::worked_case();
    let modifiers = Modifiers { wpo: true, ..Modifiers::default() };
    let weighted = Objective::combined(vec![pairwise(SIGMOID)], modifiers).unwrap();
    let run = |objective: &Objective| {
        let leaf = leaf(&rows.policy, DType::F64);
        let loss = rows.losses(objective, leaf.clone()).sum();
        let gradients = loss.backward();
        [vec![numbers(loss.inner())[0]], numbers(leaf.grad(&gradients).unwrap())].concat()
    };
    // Each token has ℓ = −3 and ln Σ p² = −2.75: ω = e^{−0.25}, twice.
    let expected: Vec<f64> = run(&of(vec![pairwise(SIGMOID)])).iter().map(|x| x * (-0.5f64).exp()).collect();
    assert_close(&run(&weighted), &expected, 1e-12);
}

/// Policies that are certain of a side or hold it for impossible.
#[test]
fn extreme_log_probs_give_finite_losses_and_gradients() {
    for (chosen, rejected) in [(-1e4, 0.0), (0.0, -1e4), (0.0, 0.0), (-1e4, -1e4), (-1e-9, -1e-9)] {
        let rows = Rows {
            policy: vec![chosen, rejected, rejected, chosen],
            reference: vec![-1.0; 4],
            lengths: vec![1; 4],
        };
        for objective in all_objectives() {
            for dtype in [DType::F32, DType::F64] {
                let leaf = leaf(&rows.policy, dtype);
                let losses = rows.losses(&objective, leaf.clone());
                let gradients = losses.clone().sum().backward();
                let all = [numbers(losses.inner()), numbers(leaf.grad(&gradients).unwrap())].concat();
                assert!(all.iter().all(|x| x.is_finite()), "{objective:?} {dtype:?}: {all:?}");
            }
        }
    }
}

/// α = 1 LD-DPO, an `sft_weight` of 0 and an α-divergence of 1 are DPO, to the last bit.
#[test]
fn modifiers_that_change_nothing_change_no_bit() {
    let rows = Rows::some();
    let modified = |ld_alpha, sft_weight| {
        let modifiers = Modifiers { ld_alpha, sft_weight, wpo: false };
        Objective::combined(vec![pairwise(SIGMOID)], modifiers).unwrap()
    };
    for dtype in [DType::F32, DType::F64] {
        let bits = |objective: &Objective| -> Vec<u64> {
            rows.values(objective, dtype).into_iter().map(f64::to_bits).collect()
        };
        let dpo = bits(&Objective::Pairwise(SIGMOID));
        assert_eq!(bits(&modified(Some(1.0), None)), dpo);
        assert_eq!(bits(&modified(None, Some(0.0))), dpo);
        assert_ne!(bits(&modified(Some(0.5), None)), dpo);
    }
    assert_eq!(of(vec![pairwise(SIGMOID)]), Objective::Pairwise(SIGMOID));
    let reverse = LossConfig {
        f_alpha: Some(1.0),
        f_divergence: Some(dpo_core::DivergenceKind::Alpha),
        ..LossConfig::default()
    };
    assert_eq!(reverse.init().unwrap(), Objective::Pairwise(SIGMOID));
}

/// Of equal models every objective that has a value costs that value to the last bit; those that read what the policy says
/// have none.
#[test]
fn equal_models_cost_the_loss_at_zero_margin_to_the_last_bit() {
    let mut rows = Rows::some();
    rows.reference = rows.policy.clone();
    // `r_dpo` has its value for completions of one length.
    let mut even = Rows { lengths: vec![3, 3, 2, 2, 1, 1], ..Rows::some() };
    even.policy.truncate(12);
    even.reference = even.policy.clone();
    let mut with_value = 0;
    for objective in all_objectives() {
        let Some(expected) = objective.at_zero_margin() else {
            let reads_policy = !objective.needs_reference()
                || objective.modifiers().sft_weight.is_some()
                || objective.parts().iter().any(|part| part.loss == PartLoss::Sft);
            assert!(reads_policy || !objective.is_of_plain_pairs(), "{objective:?}");
            continue;
        };
        with_value += 1;
        for found in even.values(&objective, DType::F32) {
            assert_eq!(found.to_bits(), expected.to_bits(), "{objective:?}");
        }
        if objective.name() != "r_dpo" {
            let all = rows.values(&objective, DType::F32);
            assert!(all.iter().all(|found| found.to_bits() == expected.to_bits()), "{objective:?}");
        }
    }
    assert_eq!(with_value, 2 + 36 + 1 + 1);
}

/// 0.8·DPO + 0.2·BCO + SFT over the tokens of the batch, in two parts: their losses add up to that of the batch.
#[test]
fn a_mixture_adds_up_over_micro_batches() {
    let rows = Rows::some();
    let sft = Part { weight: 1.0, loss: PartLoss::Sft };
    let objective = of(vec![Part { weight: 0.8, ..pairwise(SIGMOID) }, sft]);
    let scale = rows.scale(&objective);
    let whole = numbers(
        scale
            .reduce(rows.losses(&objective, tensor(&rows.policy, DType::F64)), tensor(&[1.0; 4], DType::F64)),
    )[0];
    let Objective::Composite(composite) = &objective else { panic!("{objective:?}") };
    let mut sum = 0.0;
    for (pairs, tokens) in [(0..1, 0..9), (1..4, 9..21)] {
        let lengths = &rows.lengths[2 * pairs.start..2 * pairs.end];
        let of =
            |values: &[f64]| TokenLogps::new(tensor(&values[tokens.clone()], DType::F64), lengths, lengths);
        let (policy, reference) = (of(&rows.policy), of(&rows.reference));
        let part = PairTokens {
            policy: &policy,
            reference: Some(&reference),
            log_sum_squares: None,
            kl: None,
            moving_margin: None,
            votes: &[],
            gaps: &[],
        };
        let losses = composite.losses(part, &scale);
        sum += numbers(scale.reduce(losses, tensor(&vec![1.0; pairs.len()], DType::F64)))[0];
    }
    assert_close(&[sum], &[whole], 1e-12);
    // By its definition: the mean of DPO over pairs, and the mean over the 10 chosen tokens.
    let dpo: f64 = rows.values(&Objective::Pairwise(SIGMOID), DType::F64).iter().sum::<f64>() / 4.0;
    let chosen = [0..4, 9..11, 12..15, 18..19].into_iter().flat_map(|range| rows.policy[range].to_vec());
    let nll = -chosen.sum::<f64>() / 10.0;
    assert_close(&[whole], &[0.8 * dpo + nll], 1e-12);
}

/// What makes no sense together is refused with a reason, and the setting that is at fault.
#[test]
fn unsound_combinations_are_refused() {
    let at_fault = |result: Result<Objective, InvalidLoss>| match result {
        Err(InvalidLoss::Unsound { parameter, .. }) => parameter,
        other => panic!("{other:?}"),
    };
    let with = |kind, modifiers| {
        let part = LossConfig { kind, ..LossConfig::default() }.part().unwrap();
        at_fault(Objective::combined(vec![Part { weight: 1.0, loss: part }], modifiers))
    };
    let (ld, sft, wpo) = (
        Modifiers { ld_alpha: Some(0.5), ..Modifiers::default() },
        Modifiers { sft_weight: Some(1.0), ..Modifiers::default() },
        Modifiers { wpo: true, ..Modifiers::default() },
    );
    for kind in [LossKind::Simpo, LossKind::Orpo, LossKind::Cpo] {
        assert_eq!(with(kind, ld), "ld_alpha");
    }
    for kind in [LossKind::Orpo, LossKind::Cpo] {
        assert_eq!(with(kind, sft), "sft_weight");
    }
    for kind in [LossKind::Aot, LossKind::AotUnpaired, LossKind::BetaDpo] {
        assert_eq!(with(kind, wpo), "wpo");
    }
    assert_eq!(with(LossKind::Tdpo, ld), "ld_alpha");
    let aot = LossConfig { kind: LossKind::Aot, ..LossConfig::default() }.part().unwrap();
    let coupled = vec![tdpo(0.1, 0.5), Part { weight: 1.0, loss: aot }];
    assert_eq!(at_fault(Objective::combined(coupled, Modifiers::default())), "mix");
    for modifiers in [ld, sft, wpo] {
        assert_eq!(with(LossKind::Sft, modifiers), "mix");
    }
    // What is no mean over pairs has nothing beside it; ties have no chosen completion.
    for kind in [LossKind::PlackettLuce, LossKind::Lipo, LossKind::Kto, LossKind::GroupRobust] {
        assert_eq!([with(kind, ld), with(kind, sft), with(kind, wpo)], ["ld_alpha", "sft_weight", "wpo"]);
        let loss = LossConfig { kind, ..LossConfig::default() }.part().unwrap();
        let beside = vec![pairwise(SIGMOID), Part { weight: 1.0, loss }];
        assert_eq!(at_fault(Objective::combined(beside, Modifiers::default())), "mix");
        assert_eq!(
            at_fault(Objective::combined(vec![Part { weight: 2.0, loss }], Modifiers::default())),
            "mix"
        );
    }
    for kind in [LossKind::RaoKupper, LossKind::Davidson] {
        assert_eq!(with(kind, sft), "sft_weight");
        let loss = LossConfig { kind, ..LossConfig::default() }.part().unwrap();
        let beside =
            |other| Objective::combined(vec![Part { weight: 1.0, loss }, other], Modifiers::default());
        assert_eq!(at_fault(beside(pairwise(SIGMOID))), "mix");
        let soft = voted(VotedLoss::SoftLabel { beta: 0.1 }, FDivergence::ReverseKl);
        assert!(beside(soft).is_ok());
    }
    let out_of_range = Modifiers { ld_alpha: Some(1.5), ..Modifiers::default() };
    assert_eq!(with(LossKind::Sigmoid, out_of_range), "ld_alpha");
    assert_eq!(at_fault(Objective::combined(vec![Part { weight: 0.0, ..pairwise(SIGMOID) }], ld)), "mix");
    for kind in LossKind::ALL {
        let config =
            LossConfig { kind, f_divergence: Some(dpo_core::DivergenceKind::Js), ..LossConfig::default() };
        let takes_it = [
            "sigmoid",
            "ipo",
            "hinge",
            "sigmoid_norm",
            "robust",
            "exo_pair",
            "discopop",
            "r_dpo",
            "soft_label",
            "rao_kupper",
            "davidson",
            "odpo",
            "rpo_sq",
            "rpo_bwd_kl",
            "rpo_fwd_kl",
            "modpo",
        ];
        match takes_it.contains(&kind.name()) {
            true => assert!(config.init().is_ok(), "{kind}"),
            false => assert_eq!(at_fault(config.init()), "f_divergence", "{kind}"),
        }
    }
    let alone = LossConfig { f_alpha: Some(0.5), ..LossConfig::default() };
    assert_eq!(at_fault(alone.init()), "f_alpha");
}

/// The odds ratio of equal sides is 1, whatever they are.
#[test]
fn equal_sides_have_even_odds() {
    let of = || CompletionLogps::new(tensor(&[-6.0], DType::F64), tensor(&[4.0], DType::F64));
    let loss = odds_ratio_loss(&PairLogps { chosen: of(), rejected: of() });
    assert_close(&numbers(loss), &[std::f64::consts::LN_2], 1e-15);
}
