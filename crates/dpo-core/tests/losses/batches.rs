//! Sums over completions, pairs, and the loss of a batch in parts.

use crate::common::{assert_close, leaf, numbers, ratios, tensor};
use burn::tensor::DType;
use dpo_core::{BatchScale, CompletionLogps, Objective, PairwiseLoss, RowSize, sft_loss};

const ROWS: [RowSize; 4] = [
    RowSize { weight: 1.0, chosen_tokens: 4 },
    RowSize { weight: 0.5, chosen_tokens: 2 },
    RowSize { weight: 2.0, chosen_tokens: 7 },
    RowSize { weight: 1.0, chosen_tokens: 3 },
];
const CHOSEN: [f64; 4] = [1.0, -3.0, 0.2, 9.0];
const REJECTED: [f64; 4] = [-0.5, 2.0, 0.1, -8.0];
const REJECTED_LEN: [f64; 4] = [5.0, 1.0, 7.0, 9.0];

/// Loss of the rows in this range as a part of the batch, and its gradient by the chosen log-probs.
fn part(objective: &Objective, range: std::ops::Range<usize>, dtype: DType) -> (f64, Vec<f64>) {
    let lengths: Vec<f64> = ROWS[range.clone()].iter().map(|row| row.chosen_tokens as f64).collect();
    let weights: Vec<f64> = ROWS[range.clone()].iter().map(|row| row.weight).collect();
    let chosen = leaf(&CHOSEN[range.clone()], dtype);
    let losses = match objective {
        Objective::Pairwise(loss) => {
            let rejected = tensor(&REJECTED[range.clone()], dtype);
            loss.loss(&ratios(chosen.clone(), rejected, (&lengths, &REJECTED_LEN[range])))
        }
        other @ (Objective::Ranked(_)
        | Objective::Voted(_)
        | Objective::Scored(_)
        | Objective::Unpaired(_)
        | Objective::GroupRobust(_)) => panic!("{other:?} has a file of its own"),
        Objective::Sft => sft_loss(&CompletionLogps::new(chosen.clone(), tensor(&lengths, dtype))),
        Objective::Composite(_) => panic!("of tokens"),
    };
    let loss = BatchScale::new(objective, ROWS).reduce(losses, tensor(&weights, dtype));
    let gradients = loss.backward();
    (numbers(loss.inner())[0], numbers(chosen.grad(&gradients).unwrap()))
}

/// Micro-batches of 1 and 3 rows, whose weights and tokens are not in that proportion.
#[test]
fn micro_batches_add_up_to_the_batch() {
    let dpo = Objective::Pairwise(PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 });
    for objective in [dpo, Objective::Sft] {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
            let whole = part(&objective, 0..4, dtype);
            let (first, rest) = (part(&objective, 0..1, dtype), part(&objective, 1..4, dtype));
            assert_close(&[first.0 + rest.0], &[whole.0], tolerance);
            assert_close(&[first.1, rest.1].concat(), &whole.1, tolerance);
        }
    }
}

/// Σ w·(−log π) = −1 + 1.5 − 0.4 − 9 = −8.9 over Σ w·|y| = 4 + 1 + 14 + 3 = 22 tokens.
#[test]
fn sft_is_the_mean_over_the_tokens_of_the_batch() {
    assert_close(&[BatchScale::new(&Objective::Sft, ROWS).denominator()], &[22.0], 0.0);
    assert_close(&[part(&Objective::Sft, 0..4, DType::F64).0], &[-8.9 / 22.0], 1e-12);
}

#[test]
fn a_batch_that_weighs_nothing_costs_nothing() {
    let objective = Objective::Sft;
    let scale = BatchScale::new(&objective, [RowSize { weight: 0.0, chosen_tokens: 3 }]);
    let loss = scale.reduce(tensor(&[5.0], DType::F32), tensor(&[0.0], DType::F32));
    assert_eq!(numbers(loss), [0.0]);
}

#[test]
fn token_log_probs_add_up_per_completion_and_pair_up() {
    let tokens = tensor(&[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0], DType::F64);
    let logps = CompletionLogps::from_tokens(tokens, &[2, 1, 3, 1]);
    assert_eq!(logps.len(), 4);
    assert!(!logps.is_empty());
    assert_eq!(logps.sums.dtype(), logps.token_counts.dtype());
    let pairs = logps.into_pairs();
    assert_eq!(numbers(pairs.chosen.sums), [-3.0, -15.0]);
    assert_eq!(numbers(pairs.rejected.sums), [-3.0, -7.0]);
    assert_eq!(numbers(pairs.chosen.token_counts), [2.0, 3.0]);
    assert_eq!(numbers(pairs.rejected.token_counts), [1.0, 1.0]);
}

#[test]
#[should_panic(expected = "3 completions are not pairs")]
fn an_odd_number_of_completions_is_no_pairs() {
    let _ = CompletionLogps::from_tokens(tensor(&[-1.0, -2.0, -3.0], DType::F32), &[1, 1, 1]).into_pairs();
}

/// A completion of one token without a prompt: nothing predicts it, yet it has a length. Its gradient is none, and
/// that of the others stays in place.
#[test]
fn a_token_that_nothing_predicts_counts_and_costs_nothing() {
    for (n_scored, expected) in [([0, 2, 1], [0.0, -3.0, -4.0]), ([1, 2, 0], [-1.0, -6.0, 0.0])] {
        let tokens = leaf(&[-1.0, -2.0, -4.0], DType::F64);
        let logps = CompletionLogps::from_scored_tokens(tokens.clone(), &n_scored, &[1, 2, 2]);
        assert_eq!(numbers(logps.token_counts), [1.0, 2.0, 2.0]);
        assert_eq!(numbers(logps.sums.clone()), expected);
        let gradients = logps.sums.sum().backward();
        assert_eq!(numbers(tokens.grad(&gradients).unwrap()), [1.0; 3]);
    }
}
