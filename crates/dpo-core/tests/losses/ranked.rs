//! Losses of ranked lists.

use crate::common::{assert_close, leaf, numbers, tensor};
use burn::tensor::{DType, Tensor};
use dpo_core::{CompletionLogps, ListRatios, RankedLoss, dpo_loss, lipo_loss, plackett_luce_loss};

fn lists(log_ratios: Tensor<1>, lengths: &[usize]) -> ListRatios {
    let n = log_ratios.dims()[0];
    let zeros = || tensor(&vec![0.0; n], log_ratios.dtype());
    let scores = lengths.iter().map(|n| (0..*n).rev().map(|score| score as f64).collect()).collect();
    let policy = CompletionLogps::new(log_ratios.clone(), zeros());
    ListRatios::new(policy, CompletionLogps::new(zeros(), zeros()), lengths.to_vec(), scores)
}

/// Values and gradients, over margins of both signs.
#[test]
fn a_list_of_two_is_dpo_to_the_last_bit() {
    for dtype in [DType::F32, DType::F64] {
        for i in -300..=300 {
            let pair = [f64::from(i) * 0.37, f64::from(i * i % 17) * 1.9 - 11.0];
            let bits = |loss: &dyn Fn(Tensor<1>) -> Tensor<1>| {
                let leaf = leaf(&pair, dtype);
                let losses = loss(leaf.clone());
                let gradients = losses.clone().backward();
                let all = [numbers(losses), numbers(leaf.grad(&gradients).unwrap())].concat();
                all.into_iter().map(f64::to_bits).collect::<Vec<_>>()
            };
            let listwise = bits(&|list| plackett_luce_loss(list, 0.1));
            let pairwise = bits(&|list| dpo_loss(list.clone().narrow(0, 0, 1) - list.narrow(0, 1, 1), 0.1));
            assert_eq!(listwise, pairwise, "{pair:?} {dtype:?}");
        }
    }
}

/// Every order is as likely as any other: ln 2! = 0.693…, ln 3! = 1.791…, ln 9! = 12.801….
#[test]
fn a_list_of_equals_costs_ln_k_factorial() {
    for (n, expected) in [(2, std::f64::consts::LN_2), (3, 1.791_759_469_228_055), (9, 12.801_827_480_081_47)]
    {
        let found = numbers(plackett_luce_loss(tensor(&vec![-7.5; n], DType::F64), 0.1));
        assert_close(&found, &[expected], 1e-12);
    }
}

/// Of three with βΔ = ln 4, ln 2, ln 1 the best is drawn first with 4/7, then the second with 2/3: −ln(8/21).
#[test]
fn a_list_of_three_is_what_pencil_says() {
    let list = [4f64.ln() / 0.1, 2f64.ln() / 0.1, 0.0];
    let found = numbers(plackett_luce_loss(tensor(&list, DType::F64), 0.1));
    assert_close(&found, &[(21f64 / 8.0).ln()], 1e-12);
}

/// Two with scores 1 and 0 that the policy does not tell apart: |2 − 1|·(1/ln 2 − 1/ln 3)·ln 2 = 1 − ln 2/ln 3. With the worse
/// one ahead by 1/β the discounts are the same and the softplus is that of 1: 1.313261688.
#[test]
fn lipo_is_what_pencil_says() {
    let (ln_2, ln_3) = (2f64.ln(), 3f64.ln());
    let of = |list: &[f64], scores: &[f64]| numbers(lipo_loss(tensor(list, DType::F64), scores, 0.1));
    assert_close(&of(&[3.0, 3.0], &[1.0, 0.0]), &[1.0 - ln_2 / ln_3], 1e-12);
    let weight = 1.0 / ln_2 - 1.0 / ln_3;
    assert_close(&of(&[0.0, 10.0], &[1.0, 0.0]), &[weight * 1.313_261_687_518_223], 1e-12);
    // Equal scores are no pair: of three with scores 1, 1, 0 two pairs are left, with places 1 and 2 against 3.
    let third = 1.0 / 4f64.ln();
    let expected = ((1.0 / ln_2 - third) + (1.0 / ln_3 - third)) * ln_2;
    assert_close(&of(&[0.0, 0.0, 0.0], &[1.0, 1.0, 0.0]), &[expected], 1e-12);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let list = [1.0, -3.0, 0.2, 9.0, 0.25];
    let step = 1e-5;
    for loss in [RankedLoss::PlackettLuce { beta: 0.3 }, RankedLoss::Lipo { beta: 0.3 }] {
        let total = |list: Tensor<1>| loss.loss(&lists(list, &[3, 2])).sum();
        let leaf = leaf(&list, DType::F64);
        let gradients = total(leaf.clone()).backward();
        let slope = |at: usize| {
            let shifted = |by: f64| {
                let mut list = list;
                list[at] += by;
                numbers(total(tensor(&list, DType::F64)))[0]
            };
            (shifted(step) - shifted(-step)) / (2.0 * step)
        };
        let expected: Vec<f64> = (0..5).map(slope).collect();
        assert_close(&numbers(leaf.grad(&gradients).unwrap()), &expected, 1e-8);
    }
}

#[test]
fn extreme_lists_give_finite_losses_and_gradients() {
    for dtype in [DType::F32, DType::F64] {
        for loss in [RankedLoss::PlackettLuce { beta: 1.0 }, RankedLoss::Lipo { beta: 1.0 }] {
            for list in [[-1e4, 0.0, 1e4], [1e4, 0.0, -1e4], [0.0, 0.0, 0.0]] {
                let leaf = leaf(&list, dtype);
                let losses = loss.loss(&lists(leaf.clone(), &[3]));
                let gradients = losses.clone().sum().backward();
                let all = [numbers(losses), numbers(leaf.grad(&gradients).unwrap())].concat();
                assert!(all.iter().all(|x| x.is_finite()), "{loss:?} {dtype:?}: {all:?}");
            }
        }
    }
}

/// Lists of 3, 2 and 4 in one batch and each alone.
#[test]
fn a_batch_equals_its_lists_to_the_last_bit() {
    let all: Vec<f64> = (0..9).map(|i| f64::from(i * i % 7) * 1.3 - 2.0).collect();
    for loss in [RankedLoss::PlackettLuce { beta: 0.1 }, RankedLoss::Lipo { beta: 0.1 }] {
        let batch = numbers(loss.loss(&lists(tensor(&all, DType::F32), &[3, 2, 4])));
        let alone = [0..3, 3..5, 5..9].into_iter().flat_map(|range| {
            let n = range.len();
            numbers(loss.loss(&lists(tensor(&all[range], DType::F32), &[n])))
        });
        assert_eq!(batch, alone.collect::<Vec<_>>(), "{loss:?}");
    }
}
