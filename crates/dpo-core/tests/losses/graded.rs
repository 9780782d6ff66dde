//! Losses of votes and of scores.

use crate::common::{assert_close, leaf, numbers, ratios, tensor};
use burn::tensor::{DType, Tensor};
use dpo_core::{
    LogRatios, PairwiseLoss, ScoredLoss, VoteShares, VotedLoss, davidson_losses, rao_kupper_losses,
};

const LN_3: f64 = 1.098_612_288_668_109_8;
const TIE: VoteShares = VoteShares { first: 0.0, tie: 1.0, second: 0.0 };
const DIVIDED: VoteShares = VoteShares { first: 0.5, tie: 0.3, second: 0.2 };

fn voted(beta: f64) -> [VotedLoss; 3] {
    [
        VotedLoss::SoftLabel { beta },
        VotedLoss::RaoKupper { beta, a: LN_3 },
        VotedLoss::Davidson { beta, nu: 1.0 },
    ]
}

fn scored(beta: f64) -> [ScoredLoss; 5] {
    [
        ScoredLoss::Odpo { beta, alpha: 1.0 },
        ScoredLoss::RpoSq { beta, eta: 1.0 },
        ScoredLoss::RpoBwdKl { beta, eta: 1.0 },
        ScoredLoss::RpoFwdKl { beta, eta: 1.0 },
        ScoredLoss::Modpo { beta, weight: 0.5 },
    ]
}

/// Pairs of these chosen log-ratios against 0.
fn of(chosen: Tensor<1>) -> LogRatios {
    let n = chosen.dims()[0];
    let zeros = tensor(&vec![0.0; n], chosen.dtype());
    ratios(chosen, zeros, (&vec![4.0; n], &vec![5.0; n]))
}

/// h = 1.5 and β = 0.1, so that d = 0.15. With a = ln 3: win softplus(ln 3 − 0.15), tie softplus(ln 3 − 0.15) +
/// softplus(ln 3 + 0.15) − ln 8; with a gap of e and α = 1 the offset of `odpo` is 1; a = σ(1) and (0.15 − 1)² = 0.7225.
#[test]
fn the_worked_case_has_the_losses_of_the_papers() {
    for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 1e-6)] {
        let ratios = of(tensor(&[1.5], dtype));
        let vote = |loss: VotedLoss, votes| numbers(loss.loss(&ratios, &[votes]))[0];
        let [_, rao_kupper, _] = voted(0.1);
        let found = [vote(rao_kupper, TIE), vote(rao_kupper, VoteShares::FIRST)];
        assert_close(&found, &[0.697_364_939, 1.275_955_901], tolerance);
        let score = |loss: ScoredLoss, gap: f64| numbers(loss.loss(&ratios, &[gap]))[0];
        let [odpo, sq, bwd, ..] = scored(0.1);
        let found = [score(odpo, std::f64::consts::E), score(sq, 1.0), score(bwd, 1.0)];
        assert_close(&found, &[1.205_865_068, 0.722_5, 0.079_095_152], tolerance);
    }
}

/// Pencil: at d = 0 Davidson's Z is 2 + 2ν = 4, so that a win costs ln 4 and a tie ln 4 − ln 2; of ν = 1 half of equal pairs
/// are ties, as of Rao and Kupper's a = ln 3. A half and a half costs ln 2 whatever the model says of h = 0.
#[test]
fn at_zero_margin_half_of_the_pairs_are_ties() {
    let ratios = of(tensor(&[0.0], DType::F64));
    let ln_2 = std::f64::consts::LN_2;
    for loss in &voted(0.1)[1..] {
        let cost = |votes| numbers(loss.loss(&ratios, &[votes]));
        assert_close(&cost(TIE), &[ln_2], 1e-12);
        assert_close(&cost(VoteShares::FIRST), &[2.0 * ln_2], 1e-12);
    }
    assert_close(&numbers(voted(0.1)[0].loss(&ratios, &[DIVIDED])), &[ln_2], 1e-12);
}

/// KL(p‖a) with p = σ(0.15) = 0.537429845 and a = σ(1) = 0.731058579:
/// 0.537429845·ln(0.537429845/0.731058579) + 0.462570155·ln(0.462570155/0.268941421) = 0.085536287.
#[test]
fn the_forward_divergence_is_that_of_the_policy_from_the_scores() {
    let found = numbers(scored(0.1)[3].loss(&of(tensor(&[1.5], DType::F64)), &[1.0]));
    let (p, a) = (0.537_429_845_343_75_f64, 0.731_058_578_630_004_9_f64);
    let expected = p * (p / a).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - a)).ln();
    assert_close(&found, &[expected], 1e-9);
}

/// Half for each: (0.15 − ½·(−0.2))/½ = 0.5, and −ln σ(0.5) = 0.474076984.
#[test]
fn another_reward_takes_its_share_of_the_margin() {
    let found = numbers(scored(0.1)[4].loss(&of(tensor(&[1.5], DType::F64)), &[-0.2]));
    assert_close(&found, &[0.474_076_984_180_107], 1e-12);
}

#[test]
fn win_tie_and_loss_are_all_there_is() {
    let margins: Vec<f64> = (-40..=40).map(|i| f64::from(i) * 0.7).collect();
    for width in [0.01, 1.0, 20.0] {
        let models = [
            rao_kupper_losses(tensor(&margins, DType::F64), 0.5, width),
            davidson_losses(tensor(&margins, DType::F64), 0.5, width),
        ];
        for model in models {
            let all = (-model.win).exp() + (-model.tie).exp() + (-model.loss).exp();
            assert_close(&numbers(all), &vec![1.0; margins.len()], 1e-12);
        }
    }
}

/// Everybody for the first, and no weight on the offset: values and gradients are DPO's to the last bit.
#[test]
fn one_voice_and_no_offset_are_dpo_to_the_last_bit() {
    let chosen: Vec<f64> = (-300..=300).map(|i| f64::from(i) * 0.37).collect();
    let dpo = PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 };
    for dtype in [DType::F32, DType::F64] {
        let bits = |loss: &dyn Fn(&LogRatios) -> Tensor<1>| {
            let leaf = leaf(&chosen, dtype);
            let losses = loss(&of(leaf.clone()));
            let gradients = losses.clone().sum().backward();
            let all = [numbers(losses), numbers(leaf.grad(&gradients).unwrap())].concat();
            all.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        let expected = bits(&|ratios| dpo.loss(ratios));
        let votes = vec![VoteShares::FIRST; chosen.len()];
        assert_eq!(bits(&|ratios| VotedLoss::SoftLabel { beta: 0.1 }.loss(ratios, &votes)), expected);
        let gaps = vec![0.3; chosen.len()];
        let modpo = ScoredLoss::Modpo { beta: 0.1, weight: 1.0 };
        assert_eq!(bits(&|ratios| modpo.loss(ratios, &gaps)), expected);
        let odpo = ScoredLoss::Odpo { beta: 0.1, alpha: 0.0 };
        assert_eq!(bits(&|ratios| odpo.loss(ratios, &gaps)), expected);
    }
}

type Loss = Box<dyn Fn(&LogRatios) -> Tensor<1>>;

/// Every loss of these rows, with what they read.
fn all(beta: f64, n: usize) -> Vec<(String, Loss)> {
    let votes: Vec<VoteShares> = (0..n).map(|i| [DIVIDED, TIE, VoteShares::FIRST][i % 3]).collect();
    let gaps: Vec<f64> = (0..n).map(|i| 0.5 + i as f64).collect();
    let of_votes = voted(beta).map(|loss| {
        let votes = votes.clone();
        let of: Loss = Box::new(move |ratios| loss.loss(ratios, &votes));
        (format!("{loss:?}"), of)
    });
    let of_scores = scored(beta).map(|loss| {
        let gaps = gaps.clone();
        let of: Loss = Box::new(move |ratios| loss.loss(ratios, &gaps));
        (format!("{loss:?}"), of)
    });
    of_votes.into_iter().chain(of_scores).collect()
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let chosen = [1.0, -3.0, 0.2, 0.0];
    let step = 1e-5;
    for (name, loss) in all(0.3, 4) {
        let leaf = leaf(&chosen, DType::F64);
        let gradients = loss(&of(leaf.clone())).sum().backward();
        let slope = |at: usize| {
            let shifted = |by: f64| {
                let mut chosen = chosen;
                chosen[at] += by;
                numbers(loss(&of(tensor(&chosen, DType::F64)))).iter().sum::<f64>()
            };
            (shifted(step) - shifted(-step)) / (2.0 * step)
        };
        let expected: Vec<f64> = (0..4).map(slope).collect();
        println!("{name}");
        assert_close(&numbers(leaf.grad(&gradients).unwrap()), &expected, 1e-8);
    }
}

#[test]
fn extreme_margins_give_finite_losses_and_gradients() {
    for dtype in [DType::F32, DType::F64] {
        for (name, loss) in all(1.0, 3) {
            let leaf = leaf(&[-1e4, 1e4, 0.0], dtype);
            let losses = loss(&of(leaf.clone()));
            let gradients = losses.clone().sum().backward();
            let all = [numbers(losses), numbers(leaf.grad(&gradients).unwrap())].concat();
            assert!(all.iter().all(|x| x.is_finite()), "{name} {dtype:?}: {all:?}");
        }
    }
}
