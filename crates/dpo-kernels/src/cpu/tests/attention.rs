use std::sync::Arc;

use burn::backend::Flex;

use super::*;
use crate::{AttentionSpec, FusedPrimitives, TreeLayout, TreeRange, backend::AttentionSaved, portable};

/// Trees given as their trunk's length and their branches' lengths.
fn layout(trees: &[(usize, &[usize])]) -> TreeLayout {
    let mut end = 0;
    let mut next = |len: usize| {
        end += len;
        end - len..end
    };
    let tree = |(trunk, branches): &(usize, &[usize])| TreeRange {
        trunk: next(*trunk),
        branches: branches.iter().map(|len| next(*len)).collect(),
    };
    TreeLayout::new(trees.iter().map(tree).collect())
}

fn spec(trees: &[(usize, &[usize])], [n_heads, n_kv_heads, head_dim]: [usize; 3]) -> AttentionSpec {
    let layout = Arc::new(layout(trees));
    let scale = 1.0 / (head_dim as f64).sqrt();
    AttentionSpec { n_heads, n_kv_heads, head_dim, scale, layout, window: None, softcap: None }
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
            let spec = spec(trees, heads);
            let inputs = inputs(&spec);
            let expected = expected(&inputs, &spec);
            for ((found, expected), name) in run(inputs, &spec).iter().zip(&expected).zip(NAMES) {
                assert_close(found, expected, 5e-6, &format!("{name}, trees {trees:?}, heads {heads:?}"));
            }
        }
    }
}

/// The second tree of three, alone: the same bits.
#[test]
fn a_tree_does_not_depend_on_the_others() {
    let heads = [6, 2, 16];
    let all = spec(&[(40, PAIR), (70, &[33, 1]), (3, PAIR)], heads);
    let own = 54..158;
    let alone = spec(&[(70, &[33, 1])], heads);
    let inputs = inputs(&all);
    let part = inputs.each_ref().map(|tensor| rows(tensor, own.clone()));
    for ((found, expected), name) in run(part, &alone).iter().zip(&run(inputs, &all)).zip(NAMES) {
        assert_eq!(bits(found), bits(&rows(expected, own.clone())), "{name}");
    }
}

#[test]
fn threads_change_nothing() {
    let spec = spec(&[(70, PAIR), (20, &[65])], [6, 2, 16]);
    assert_same_on_any_number_of_threads(|| run(inputs(&spec), &spec).into());
}

/// A row of a trunk, then one of a branch, is not a number: whoever sees it is not either, nobody else.
#[test]
fn nan_reaches_the_rows_that_see_it() {
    let spec = spec(&[(3, &[4]), (8, PAIR), (2, PAIR)], [2, 1, 16]);
    // Trees start at 0, 7 and 29; the second has its trunk at 7..15 and its branches at 15..20 and 20..29.
    for (row, who) in [(11, (11..29).collect::<Vec<_>>()), (17, vec![17, 18, 19])] {
        for input in 0..3 {
            let mut inputs = inputs(&spec);
            let width = floats(&inputs[input]).len() / spec.layout.n_rows();
            let mut values = floats(&inputs[input]);
            values[row * width..(row + 1) * width].fill(f32::NAN);
            inputs[input] = matrix(&values, [spec.layout.n_rows(), width]);
            let [query, key, value, _] = inputs;
            let (output, _) = Flex::attention_forward(query, key, value, &spec);
            let rows_of = floats(&output);
            let found: Vec<usize> = rows_of
                .chunks(32)
                .enumerate()
                .filter(|(_, values)| values.iter().any(|value| value.is_nan()))
                .map(|(row, _)| row)
                .collect();
            let expected = if input == 0 { vec![row] } else { who.clone() };
            assert_eq!(found, expected, "input {input}");
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
