//! Results that pencil or a table gives.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dpo_kernels::{
    Activation, AttentionSpec, DivergenceSpec, LogitSpec, Precision, ReferenceRows, TreeLayout, TreeRange,
    activate, completion_logps, completion_logps_and_kl, completion_logps_and_squares, gated, layer_norm,
    rotary, span_sums, tree_attention,
};

fn matrix<const R: usize, const C: usize>(rows: [[f32; C]; R]) -> Tensor<2> {
    Tensor::from_floats(rows, &Device::flex())
}

fn vector<const N: usize>(values: [f32; N]) -> Tensor<1> {
    Tensor::from_floats(values, &Device::flex())
}

fn assert_values(found: TensorData, expected: &[f32]) {
    let found: Vec<f32> = found.try_to_vec().unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 2e-7 * expected.abs().max(1.0), "{found} is not {expected}");
    }
}

#[test]
fn sums_of_spans() {
    let sums = span_sums(vector([1.0, 2.0, 4.0, -8.0]), &[3, 0, 1]);
    assert_values(sums.into_data(), &[7.0, 0.0, -8.0]);
}

/// `gelu(1) = Φ(1) = 0.8413447`, `gelu(−1) = −(1 − Φ(1))`; the approximation gives 0.8411920 and −0.1588080;
/// `silu(1) = 1/(1 + 1/e) = 0.7310586`.
#[test]
fn activations_at_0_and_1() {
    let cases = [
        (Activation::GeluErf, [-0.158_655_25, 0.0, 0.841_344_7]),
        (Activation::GeluTanh, [-0.158_808_02, 0.0, 0.841_192]),
        (Activation::Silu, [-0.268_941_43, 0.0, 0.731_058_6]),
        (Activation::Relu, [0.0, 0.0, 1.0]),
    ];
    for (activation, expected) in cases {
        let x = matrix([[-1.0, 0.0, 1.0]]);
        assert_values(activate(x.clone(), activation).into_data(), &expected);
        let doubled = expected.map(|value| 2.0 * value);
        assert_values(gated(x, matrix([[2.0; 3]]), activation).into_data(), &doubled);
    }
}

/// `gelu′(x) = Φ(x) + x·φ(x)`: ½ at 0 and `0.8413447 + 0.2419707` at 1; `relu′(0) = 0`, as PyTorch has it.
#[test]
fn slopes_of_activations_at_0_and_1() {
    let cases = [
        (Activation::GeluErf, [0.5, 1.083_315_5]),
        (Activation::GeluTanh, [0.5, 1.082_964_1]),
        (Activation::Silu, [0.5, 0.927_670_5]),
        (Activation::Relu, [0.0, 1.0]),
    ];
    for (activation, expected) in cases {
        let x = Tensor::<2>::from_floats([[0.0, 1.0]], &Device::flex().autodiff()).require_grad();
        let grads = activate(x.clone(), activation).sum().backward();
        assert_values(x.grad(&grads).unwrap().into_data(), &expected);
    }
}

/// Mean 2, variance ⅔: `[1, 2, 3]` becomes `±√1.5` and 0, then times 2 plus `[10, 20, 30]`.
#[test]
fn layer_norm_of_1_2_3() {
    let x = matrix([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]);
    let output = layer_norm(x, vector([2.0; 3]), vector([10.0, 20.0, 30.0]), 1e-12);
    let spread = 2.0 * 1.5_f32.sqrt();
    assert_values(output.into_data(), &[10.0 - spread, 20.0, 30.0 + spread, 10.0, 20.0, 30.0]);
}

/// A quarter turn takes (1, 2) to (−2, 1); the other two numbers of each head pass.
#[test]
fn partial_rotary_turns_the_start_of_each_head() {
    let x = matrix([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]);
    let turned = rotary(x, matrix([[0.0]]), matrix([[1.0]]), 4);
    assert_values(turned.into_data(), &[-2.0, 1.0, 3.0, 4.0, -6.0, 5.0, 7.0, 8.0]);
}

fn spec(trunk: usize, branches: &[std::ops::Range<usize>]) -> AttentionSpec {
    let tree = TreeRange { trunk: 0..trunk, branches: branches.to_vec() };
    let layout = Arc::new(TreeLayout::new(vec![tree]));
    AttentionSpec {
        n_heads: 1,
        n_kv_heads: 1,
        head_dim: 1,
        scale: 1.0,
        layout,
        window: None,
        softcap: None,
        precision: Precision::F32,
    }
}

/// Equal scores average what is seen. A trunk of 2 with branches of 2 and 1, a window of 2: the first row of either
/// branch sees the last of the trunk and itself, the second row of the first branch its own branch alone.
#[test]
fn a_window_follows_positions_from_the_trunk_into_each_branch() {
    let value = matrix([[1.0], [2.0], [4.0], [8.0], [16.0]]);
    let zeros = value.zeros_like();
    let attend = |window| {
        let spec = AttentionSpec { window, ..spec(2, &[2..4, 4..5]) };
        tree_attention(zeros.clone(), zeros.clone(), value.clone(), spec).into_data()
    };
    assert_values(attend(Some(2)), &[1.0, 1.5, 3.0, 6.0, 9.0]);
    assert_values(attend(Some(1)), &[1.0, 2.0, 4.0, 8.0, 16.0]);
    assert_values(attend(None), &[1.0, 1.5, 7.0 / 3.0, 15.0 / 4.0, 19.0 / 3.0]);
}

/// Scores 100 and 0 under a cap of 1 are 1 and 0: weights `e/(e + 1) = 0.7310586` and the rest.
#[test]
fn a_cap_bounds_scores() {
    let (query, key) = (matrix([[0.0], [1.0]]), matrix([[100.0], [0.0]]));
    let spec = AttentionSpec { softcap: Some(1.0), ..spec(2, &[]) };
    let output = tree_attention(query, key, matrix([[1.0], [0.0]]), spec);
    assert_values(output.into_data(), &[1.0, 0.731_058_6]);
}

/// Logits 50 and 0 under a cap of 50: `50·tanh 1 = 38.079708`, beside which the other word costs as much.
#[test]
fn a_cap_bounds_logits() {
    let targets = Tensor::<1, Int>::from_ints([0, 1], &Device::flex());
    let spec = LogitSpec { softcap: Some(50.0), ..LogitSpec::default() };
    let logps = completion_logps(matrix([[1.0], [1.0]]), matrix([[50.0], [0.0]]), targets, spec);
    assert_values(logps.into_data(), &[0.0, -38.079_71]);
}

/// Logits ln 3 and 0 are probabilities ¾ and ¼, whose squares sum to 10/16: ln 0.625 = −0.470004.
#[test]
fn squares_of_probabilities_are_summed() {
    let targets = Tensor::<1, Int>::from_ints([0, 1], &Device::flex());
    let head = matrix([[3f32.ln()], [0.0]]);
    let found = completion_logps_and_squares(matrix([[1.0], [1.0]]), head, targets, LogitSpec::default());
    assert_values(found.logps.into_data(), &[0.75f32.ln(), 0.25f32.ln()]);
    assert_values(found.log_sum_squares.into_data(), &[-0.470_003_6; 2]);
}

/// Policies of ½ and ½ and of ¾ and ¼, both held against ¾ and ¼: ¾·ln(¾/½) + ¼·ln(¼/½) = 0.130812, and 0.
#[test]
fn distributions_are_held_against_a_reference() {
    let ln_3 = 3f32.ln();
    let head = || matrix([[1.0], [0.0]]);
    let reference = ReferenceRows { hidden: matrix([[ln_3], [ln_3]]), head: head() };
    let targets = Tensor::<1, Int>::from_ints([0, 1], &Device::flex());
    let spec = DivergenceSpec::default();
    let found = completion_logps_and_kl(matrix([[0.0], [ln_3]]), head(), reference, targets, spec);
    assert_values(found.logps.into_data(), &[-std::f32::consts::LN_2, -2.0 * std::f32::consts::LN_2]);
    assert_values(found.kl.into_data(), &[0.130_812, 0.0]);
}

#[test]
#[should_panic(expected = "a window of 0 leaves a row nothing to see")]
fn a_window_of_0_is_refused() {
    let x = matrix([[1.0]]);
    tree_attention(x.clone(), x.clone(), x, AttentionSpec { window: Some(0), ..spec(1, &[]) });
}
