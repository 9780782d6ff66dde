use std::sync::Arc;

use burn::backend::Flex;

use super::*;
use crate::cpu::{
    attention_block::Block,
    bf16::tests::{on, units},
};
use crate::{
    AttentionSpec, FusedPrimitives, Precision, fixtures::layout_behind, portable, saved::AttentionSaved,
};

fn spec(trees: &[(usize, &[usize])], heads: [usize; 3]) -> AttentionSpec {
    spec_behind(0, trees, heads)
}

fn spec_behind(
    n_shared: usize,
    trees: &[(usize, &[usize])],
    [n_heads, n_kv_heads, head_dim]: [usize; 3],
) -> AttentionSpec {
    let layout = Arc::new(layout_behind(n_shared, trees));
    let scale = 1.0 / (head_dim as f64).sqrt();
    AttentionSpec {
        n_heads,
        n_kv_heads,
        head_dim,
        scale,
        layout,
        window: None,
        softcap: None,
        precision: Precision::F32,
    }
}

/// Query, key, value and the output's gradient.
fn inputs(spec: &AttentionSpec) -> [FlexTensor; 4] {
    let n = spec.layout.n_rows();
    let (wide, narrow) = (spec.n_heads * spec.head_dim, spec.n_kv_heads * spec.head_dim);
    [random([n, wide], 1), random([n, narrow], 2), random([n, narrow], 3), random([n, wide], 4)]
}

fn run([query, key, value, grad]: [FlexTensor; 4], spec: &AttentionSpec) -> [FlexTensor; 5] {
    let (output, log_sum_exp) = Flex::attention_forward(query.clone(), key.clone(), value.clone(), spec);
    let saved =
        AttentionSaved { query, key, value, output: output.clone(), log_sum_exp: log_sum_exp.clone() };
    let [dquery, dkey, dvalue] = Flex::attention_backward(saved, grad, spec, [true; 3]).map(Option::unwrap);
    [output, log_sum_exp, dquery, dkey, dvalue]
}

fn expected(inputs: &[FlexTensor; 4], spec: &AttentionSpec) -> [FlexTensor; 5] {
    let [query, key, value, grad] = inputs.each_ref().map(wide);
    let (output, log_sum_exp) =
        portable::attention::forward::<Flex>(query.clone(), key.clone(), value.clone(), spec);
    let saved =
        AttentionSaved { query, key, value, output: output.clone(), log_sum_exp: log_sum_exp.clone() };
    let grads = portable::attention::backward::<Flex>(saved, grad, spec, [true; 3]);
    let [dquery, dkey, dvalue] = grads.map(Option::unwrap);
    [output, log_sum_exp, dquery, dkey, dvalue]
}

const NAMES: [&str; 5] = ["output", "log-sum-exp", "dquery", "dkey", "dvalue"];
const PAIR: &[usize] = &[5, 9];

/// With and without a window and a cap: a window of one, windows that end within a block and within a branch, one that
/// is wider than any tree.
fn variants(spec: &AttentionSpec) -> impl Iterator<Item = AttentionSpec> + '_ {
    let windows = [None, Some(1), Some(5), Some(40), Some(1000)];
    let pairs = windows.into_iter().flat_map(|window| [(window, None), (window, Some(0.4))]);
    pairs.map(|(window, softcap)| AttentionSpec { window, softcap, ..spec.clone() })
}

/// One to three branches, branches of one token, no trunk, no branch, blocks that end within a segment, several trees.
#[test]
fn agrees_with_the_portable_body_in_f64() {
    let trees: [&[(usize, &[usize])]; 7] = [
        &[(1, &[])],
        &[(7, &[1])],
        &[(17, &[1, 1])],
        &[(0, &[15, 2])],
        &[(33, &[16, 1, 65])],
        &[(130, &[3, 70])],
        &[(9, &[4, 2]), (0, &[1]), (66, &[17]), (2, &[1, 2, 3])],
    ];
    for trees in trees {
        for heads in [[1, 1, 16], [3, 3, 16], [3, 1, 64], [6, 2, 16], [2, 1, 6]] {
            for spec in variants(&spec(trees, heads)) {
                let inputs = inputs(&spec);
                let expected = expected(&inputs, &spec);
                for ((found, expected), name) in run(inputs, &spec).iter().zip(&expected).zip(NAMES) {
                    let AttentionSpec { window, softcap, .. } = spec;
                    let what = format!(
                        "{name}, trees {trees:?}, heads {heads:?}, window {window:?}, softcap {softcap:?}"
                    );
                    assert_close(found, expected, 5e-6, &what);
                }
            }
        }
    }
}

/// Trees behind rows that all of them share: fewer than a block, more than one, with no trunk and with one.
#[test]
fn trees_with_a_shared_start_agree_with_the_portable_body_in_f64() {
    let trees: [&[(usize, &[usize])]; 4] =
        [&[(7, &[1]), (0, &[3, 40])], &[(0, &[5])], &[], &[(70, &[2, 2]), (1, &[])]];
    for (trees, n_shared) in trees.into_iter().flat_map(|trees| [1, 31, 90].map(|n_shared| (trees, n_shared)))
    {
        for spec in variants(&spec_behind(n_shared, trees, [6, 2, 16])) {
            let inputs = inputs(&spec);
            let expected = expected(&inputs, &spec);
            for ((found, expected), name) in run(inputs, &spec).iter().zip(&expected).zip(NAMES) {
                let what = format!("{name}, {n_shared} shared, trees {trees:?}, window {:?}", spec.window);
                assert_close(found, expected, 5e-6, &what);
            }
        }
    }
}

/// The same texts with and without rows in common: every output to the last bit, and what reaches the shared rows is the
/// sum of what reaches their copies, of which one has the gradient of their output.
#[test]
fn sharing_a_start_changes_no_bit() {
    let heads = [6, 2, 16];
    for (n_shared, long, precision) in [
        (1, 3, Precision::F32),
        (24, 70, Precision::F32),
        (24, 650, Precision::F32),
        (24, 70, Precision::Bf16),
    ] {
        let shared: &[(usize, &[usize])] = &[(5, &[1, long]), (0, &[7]), (66, &[2])];
        let apart: &[(usize, &[usize])] =
            &[(n_shared + 5, &[1, long]), (n_shared, &[7]), (n_shared + 66, &[2])];
        for (shared, apart) in variants(&spec_behind(n_shared, shared, heads))
            .zip(variants(&spec(apart, heads)).collect::<Vec<_>>())
        {
            let [shared, apart] = [shared, apart].map(|spec| AttentionSpec { precision, ..spec });
            // The row of the shared batch that each row of the other one is.
            let mut next = n_shared;
            let mut places = Vec::new();
            for tree in apart.layout.trees() {
                let own = tree.rows().len() - n_shared;
                places.extend((0..n_shared).chain(next..next + own));
                next += own;
            }
            let inputs = inputs(&shared);
            let is_second = |place: usize| places[..place].contains(&places[place]);
            let spread = [0, 1, 2, 3].map(|input| {
                let (values, width) = (floats(&inputs[input]), dims2(&inputs[input])[1]);
                let row = |place: usize| {
                    let row = values[places[place] * width..][..width].iter();
                    row.map(move |value| if input == 3 && is_second(place) { 0.0 } else { *value })
                };
                let rows: Vec<f32> = (0..places.len()).flat_map(row).collect();
                matrix(&rows, [places.len(), width])
            });
            let found = run(inputs, &shared);
            let expected = run(spread, &apart);
            for idx in 0..2 {
                let (found, expected, width) =
                    (floats(&found[idx]), floats(&expected[idx]), dims2(&found[idx])[1]);
                for (expected, row) in expected.chunks(width).zip(&places) {
                    assert_eq!(&found[row * width..(row + 1) * width], expected, "{}, row {row}", NAMES[idx]);
                }
            }
            for idx in 2..5 {
                let (found, expected, width) =
                    (floats(&found[idx]), floats(&expected[idx]), dims2(&found[idx])[1]);
                let mut sums = vec![0.0; found.len()];
                for (expected, row) in expected.chunks(width).zip(&places) {
                    sums[row * width..].iter_mut().zip(expected).for_each(|(sum, value)| *sum += value);
                }
                let largest = found.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
                let bound = if precision == Precision::F32 { 1e-5 } else { 1e-2 } * largest;
                for (found, expected) in found.iter().zip(&sums) {
                    assert!((found - expected).abs() <= bound, "{}: {found} is not {expected}", NAMES[idx]);
                }
            }
        }
    }
}

/// On every unit for bfloat16, within what rounding the operands may do.
#[test]
fn rounded_operands_give_nearly_the_same() {
    for unit in units() {
        for spec in variants(&spec_behind(20, &[(40, PAIR), (0, &[70]), (3, &[1])], [6, 2, 16])) {
            let spec = AttentionSpec { precision: Precision::Bf16, ..spec };
            let inputs = inputs(&spec);
            let expected = expected(&inputs, &spec);
            let found = on(Some(unit), || run(inputs, &spec));
            for ((found, expected), name) in found.iter().zip(&expected).zip(NAMES) {
                assert_close(found, expected, 3e-2, &format!("{name}, {}, {:?}", unit.name, spec.window));
                assert!(bits(found) != bits(expected), "{name}: nothing was rounded");
            }
        }
    }
}

/// A window that no row outgrows is none, to the last bit.
#[test]
fn a_window_wider_than_the_trees_changes_no_bit() {
    let all = spec(&[(40, PAIR), (70, &[33, 1])], [6, 2, 16]);
    let expected = run(inputs(&all), &all);
    for window in [103, usize::MAX] {
        let windowed = AttentionSpec { window: Some(window), ..all.clone() };
        for ((found, expected), name) in run(inputs(&all), &windowed).iter().zip(&expected).zip(NAMES) {
            assert_eq!(bits(found), bits(expected), "{name}, window {window}");
        }
    }
}

/// A window of 16: whatever lies before it takes neither memory nor time, in a trunk of 1,000 and a branch of 300.
#[test]
fn a_block_holds_only_the_keys_that_its_rows_see() {
    let spec = spec(&[(1000, &[300])], [1, 1, 16]);
    let blocks: Vec<Block> =
        spec.layout.segments().flat_map(|segment| Block::of(&segment, Some(16))).collect();
    // Cut at a multiple of 64 before them and one of 32 behind them.
    assert!(blocks.iter().all(|block| block.n_visible() <= block.rows.len() + 15 + 63 + 31));
    assert_eq!(blocks.iter().map(|block| block.rows.len()).sum::<usize>(), 1300);
    // The first block of the branch sees the last 15 rows of the trunk, the next nothing of it.
    let of_branch: Vec<_> = blocks.iter().filter(|block| block.rows.start >= 1000).collect();
    assert_eq!(of_branch[0].seen, 960..1088);
    assert_eq!(of_branch[1].seen, 1024..1152);
}

/// What is not asked for is not there, and the rest is the same bits.
#[test]
fn a_gradient_does_not_depend_on_which_others_are_wanted() {
    let spec = spec(&[(40, PAIR), (3, &[70])], [6, 2, 16]);
    let [query, key, value, grad] = inputs(&spec);
    let (output, log_sum_exp) = Flex::attention_forward(query.clone(), key.clone(), value.clone(), &spec);
    let saved = AttentionSaved { query, key, value, output, log_sum_exp };
    let gradients = |wanted| {
        let grads = Flex::attention_backward(saved.clone(), grad.clone(), &spec, wanted);
        grads.map(|grad| grad.as_ref().map(bits))
    };
    let all = gradients([true; 3]);
    for mask in 0..8 {
        let wanted = [0, 1, 2].map(|input| mask >> input & 1 == 1);
        let expected = [0, 1, 2].map(|input| all[input].clone().filter(|_| wanted[input]));
        assert_eq!(gradients(wanted), expected, "{wanted:?}");
    }
}

/// The second tree of three, alone: the same bits.
#[test]
fn a_tree_does_not_depend_on_the_others() {
    let heads = [6, 2, 16];
    let own = 54..158;
    let pairs = variants(&spec(&[(40, PAIR), (70, &[33, 1]), (3, PAIR)], heads))
        .zip(variants(&spec(&[(70, &[33, 1])], heads)).collect::<Vec<_>>())
        .collect::<Vec<_>>();
    for (all, alone) in pairs {
        let inputs = inputs(&all);
        let part = inputs.each_ref().map(|tensor| rows(tensor, own.clone()));
        for ((found, expected), name) in run(part, &alone).iter().zip(&run(inputs, &all)).zip(NAMES) {
            assert_eq!(bits(found), bits(&rows(expected, own.clone())), "{name}, window {:?}", all.window);
        }
    }
}

#[test]
fn threads_change_nothing() {
    for spec in variants(&spec(&[(70, PAIR), (20, &[65])], [6, 2, 16])) {
        assert_same_on_any_number_of_threads(|| run(inputs(&spec), &spec).into());
    }
}

/// Rows of the output that are not a number when row `row` of an input is not.
fn nan_rows(spec: &AttentionSpec, input: usize, row: usize) -> Vec<usize> {
    let mut inputs = inputs(spec);
    let mut values = floats(&inputs[input]);
    let width = values.len() / spec.layout.n_rows();
    values[row * width..(row + 1) * width].fill(f32::NAN);
    inputs[input] = matrix(&values, [spec.layout.n_rows(), width]);
    let [query, key, value, _] = inputs;
    let (output, _) = Flex::attention_forward(query, key, value, spec);
    let outputs = floats(&output);
    let rows = outputs.chunks(spec.n_heads * spec.head_dim).enumerate();
    rows.filter(|(_, values)| values.iter().any(|value| value.is_nan())).map(|(row, _)| row).collect()
}

/// A row of a trunk, then one of a branch, is not a number: whoever sees it is not either, nobody else.
#[test]
fn nan_reaches_the_rows_that_see_it() {
    let all = spec(&[(3, &[4]), (8, PAIR), (2, PAIR)], [2, 1, 16]);
    // Trees start at 0, 7 and 29; the second has its trunk at 7..15 and its branches at 15..20 and 20..29.
    let cases = [
        (None, 11, (11..29).collect::<Vec<_>>()),
        (None, 17, vec![17, 18, 19]),
        // Four positions from there on: the first two rows of both branches follow the end of the trunk.
        (Some(4), 11, vec![11, 12, 13, 14]),
        (Some(4), 13, vec![13, 14, 15, 16, 20, 21]),
        (Some(4), 21, vec![21, 22, 23, 24]),
    ];
    for (window, row, who) in cases {
        for softcap in [None, Some(3.0)] {
            let spec = AttentionSpec { window, softcap, ..all.clone() };
            for input in 0..3 {
                let expected = if input == 0 { vec![row] } else { who.clone() };
                assert_eq!(nan_rows(&spec, input, row), expected, "input {input}, window {window:?}");
            }
        }
    }
}

/// The same across blocks of rows: a trunk of 150, branches at 150..220 and 220..225, a window of 100.
#[test]
fn nan_reaches_the_rows_that_see_it_across_blocks() {
    let spec = AttentionSpec { window: Some(100), ..spec(&[(150, &[70, 5])], [2, 1, 16]) };
    // A row reaches 100 positions; both branches start at position 150.
    let cases = [
        (20, 20..120, 220..220),
        (52, 52..152, 220..222),
        (63, 63..163, 220..225),
        (120, 120..220, 220..225),
        (160, 160..220, 220..220),
        (221, 221..225, 225..225),
    ];
    for (row, first, second) in cases {
        let expected: Vec<usize> = first.chain(second).collect();
        for input in 1..3 {
            assert_eq!(nan_rows(&spec, input, row), expected, "input {input}, row {row}");
        }
    }
}

/// Scores of ±10⁴ leave one weight of 1.
#[test]
fn large_scores_stay_finite() {
    let spec = AttentionSpec { scale: 1.0, ..spec(&[(2, &[])], [1, 1, 1]) };
    let (query, key) = (matrix(&[1.0, 1e4], [2, 1]), matrix(&[-1.0, 1.0], [2, 1]));
    let (output, _) = Flex::attention_forward(query, key, matrix(&[3.0, 5.0], [2, 1]), &spec);
    assert_eq!(floats(&output), [3.0, 5.0]);
}
