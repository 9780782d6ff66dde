//! What a GPU comes to against the processor, on whatever adapter there is; without one the tests say so and pass.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn::tensor::{DType, Device, DeviceType, Gradients, Int, Tensor, TensorData};

use crate::{
    AdamWStep, AttentionSpec, DivergenceSpec, LogitSpec, Precision, ReferenceRows, adamw, completion_logps,
    completion_logps_and_kl, completion_logps_and_squares,
    fixtures::{layout_behind, numbers},
    linear, rms_norm, rotary, span_sums, squared_norm, tree_attention,
};

/// The first adapter of a backend that was built in.
fn device() -> Option<Device> {
    #[cfg(feature = "cuda")]
    let found = Device::enumerate(DeviceType::Cuda).into_iter().next();
    #[cfg(not(feature = "cuda"))]
    let found = None;
    #[cfg(feature = "wgpu")]
    let found = found.or_else(|| Device::enumerate(DeviceType::Wgpu).into_iter().next());
    let demanded = std::env::var("DPO_TEST_BACKENDS").is_ok_and(|backends| !backends.is_empty());
    assert!(found.is_some() || !demanded, "an adapter is demanded and there is none");
    if found.is_none() {
        eprintln!("SKIPPED: this machine has no adapter for a GPU backend of this build");
    }
    found
}

/// How far products of f32 may be from the processor's: tensor cores round operands to TF32, of 10 bits.
fn tolerance(device: &Device) -> f32 {
    if format!("{device:?}").contains("Cuda") { 2e-3 } else { 2e-5 }
}

fn random(dims: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    let data = TensorData::new(numbers(dims[0] * dims[1], seed), dims);
    Tensor::from_data(data, &device.clone().autodiff())
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn gradient(of: &Tensor<2>, gradients: &mut Gradients) -> Vec<f32> {
    floats(of.grad_remove(gradients).unwrap())
}

/// `found` equals `expected` within `tolerance` of the largest element, or of 0.1 where all are smaller.
fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (which, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}, {which}");
        let largest = expected.iter().fold(0.1_f32, |max, x| max.max(x.abs()));
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            let difference = (a - b).abs();
            assert!(
                difference <= tolerance * largest,
                "{what}, tensor {which}, element {i}: {a} is not {b}, largest {largest}"
            );
        }
    }
}

/// Output and gradients for query, key and value.
fn attended(spec: &AttentionSpec, device: &Device) -> Vec<Vec<f32>> {
    let n = spec.layout.n_rows();
    let (wide, narrow) = (spec.n_heads * spec.head_dim, spec.n_kv_heads * spec.head_dim);
    let input = |width, seed| random([n, width], seed, device).require_grad();
    let (query, key, value) = (input(wide, 1), input(narrow, 2), input(narrow, 3));
    let output = tree_attention(query.clone(), key.clone(), value.clone(), spec.clone());
    let mut gradients = (output.clone() * random([n, wide], 4, device)).sum().backward();
    let of = |input: &Tensor<2>, gradients: &mut Gradients| gradient(input, gradients);
    vec![floats(output), of(&query, &mut gradients), of(&key, &mut gradients), of(&value, &mut gradients)]
}

/// Blocks that end within a segment, branches of one token, no trunk, several trees, a start that all of them share; windows and
/// caps; heads of several parts; heads of 6, which the portable body attends.
#[test]
fn attention_is_that_of_the_processor() {
    let Some(device) = device() else { return };
    let several: &[(usize, &[usize])] = &[(9, &[4, 2]), (0, &[1]), (66, &[17]), (2, &[1, 2, 3])];
    let layouts: [(usize, &[(usize, &[usize])]); 4] =
        [(0, &[(17, &[1, 1])]), (0, &[(0, &[15, 2])]), (0, several), (37, several)];
    let kinds = [
        ([3, 1, 64], None, None),
        ([6, 2, 8], Some(5), None),
        ([6, 2, 8], Some(40), Some(0.4)),
        ([4, 4, 48], None, Some(0.4)),
        ([2, 1, 6], None, None),
        ([2, 1, 160], None, None),
    ];
    for (n_shared, trees) in layouts {
        for ([n_heads, n_kv_heads, head_dim], window, softcap) in kinds {
            let scale = 1.0 / (head_dim as f64).sqrt();
            let layout = Arc::new(layout_behind(n_shared, trees));
            let spec = AttentionSpec {
                n_heads,
                n_kv_heads,
                head_dim,
                scale,
                layout,
                window,
                softcap,
                precision: Precision::F32,
            };
            let (found, expected) = (attended(&spec, &device), attended(&spec, &Device::flex()));
            let what = format!(
                "{n_shared} and {trees:?}, {n_heads} heads of {head_dim}, window {window:?}, cap {softcap:?}"
            );
            // Heads of 6 go through burn's products.
            assert_close(&found, &expected, if head_dim == 6 { tolerance(&device) } else { 2e-5 }, &what);
        }
    }
}

/// Log-probs, and gradients for the hidden rows and the head.
fn scored([n, d_model, vocab]: [usize; 3], softcap: Option<f64>, device: &Device) -> Vec<Vec<f32>> {
    let hidden = random([n, d_model], 1, device).require_grad();
    let head = random([vocab, d_model], 2, device).require_grad();
    let targets: Vec<i32> = (0..n).map(|row| (row * 7919 % vocab) as i32).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [n]), &device.clone());
    let spec = LogitSpec { softcap, precision: Precision::F32 };
    let of_pass = completion_logps_and_squares(hidden.clone(), head.clone(), targets.clone(), spec);
    let logps = completion_logps(hidden.clone(), head.clone(), targets, spec);
    let weights = random([1, n], 3, device).reshape([n]);
    let mut gradients = (logps.clone() * weights).sum().backward();
    let of = |input: &Tensor<2>, gradients: &mut Gradients| gradient(input, gradients);
    vec![
        floats(logps),
        floats(of_pass.logps),
        floats(of_pass.log_sum_squares),
        of(&hidden, &mut gradients),
        of(&head, &mut gradients),
    ]
}

/// Vocabularies that are no multiple of a cube's units, one that takes several chunks of rows, and a cap.
#[test]
fn log_probs_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    for (dims, softcap) in
        [([5, 16, 257], None), ([1, 8, 3], None), ([33, 16, 4096], Some(2.0)), ([300, 4, 100_003], None)]
    {
        let (found, expected) = (scored(dims, softcap, &device), scored(dims, softcap, &Device::flex()));
        assert_close(&found, &expected, tolerance(&device), &format!("{dims:?}, cap {softcap:?}"));
    }
}

/// Log-probs and divergences from a reference of another width, and gradients for the hidden rows and the head.
fn compared([n, d_model, vocab]: [usize; 3], softcap: Option<f64>, device: &Device) -> Vec<Vec<f32>> {
    let hidden = random([n, d_model], 1, device).require_grad();
    let head = random([vocab, d_model], 2, device).require_grad();
    let constant = |dims, seed| random(dims, seed, device).inner();
    let reference =
        ReferenceRows { hidden: constant([n, d_model + 1], 4), head: constant([vocab, d_model + 1], 5) };
    let targets: Vec<i32> = (0..n).map(|row| (row * 7919 % vocab) as i32).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [n]), &device.clone());
    let logits = LogitSpec { softcap, precision: Precision::F32 };
    let spec = DivergenceSpec { logits, reference_softcap: softcap.map(|cap| 2.0 * cap) };
    let said = completion_logps_and_kl(hidden.clone(), head.clone(), reference, targets, spec);
    let weights = random([2, n], 3, device);
    let both = Tensor::stack::<2>(vec![said.logps.clone(), said.kl.clone()], 0);
    let mut gradients = (both * weights).sum().backward();
    let of = |input: &Tensor<2>, gradients: &mut Gradients| gradient(input, gradients);
    vec![floats(said.logps), floats(said.kl), of(&hidden, &mut gradients), of(&head, &mut gradients)]
}

/// Several chunks of rows, of which the first is a multiple of a vector: what burn fuses of the portable body is wrong there
/// on Mesa's software Vulkan.
#[test]
fn divergences_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    for (dims, softcap) in
        [([5, 16, 257], None), ([1, 8, 3], None), ([33, 16, 4096], Some(2.0)), ([300, 4, 75_968], None)]
    {
        let (found, expected) = (compared(dims, softcap, &device), compared(dims, softcap, &Device::flex()));
        assert_close(&found, &expected, tolerance(&device), &format!("{dims:?}, cap {softcap:?}"));
    }
}

/// Turned heads, and their gradient.
fn turned([n, n_heads, head_dim, half]: [usize; 4], device: &Device) -> Vec<Vec<f32>> {
    let x = random([n, n_heads * head_dim], 1, device).require_grad();
    let angles = random([n, half], 2, device).inner();
    let output = rotary(x.clone(), angles.clone().cos(), angles.sin(), head_dim);
    let mut gradients = (output.clone() * random([n, n_heads * head_dim], 3, device)).sum().backward();
    vec![floats(output), gradient(&x, &mut gradients)]
}

/// Whole heads, and heads of which a part passes through.
#[test]
fn angles_turn_as_on_the_processor() {
    let Some(device) = device() else { return };
    for dims in [[5, 3, 16, 8], [130, 2, 6, 2], [1, 1, 2, 1]] {
        assert_close(&turned(dims, &device), &turned(dims, &Device::flex()), 1e-6, &format!("{dims:?}"));
    }
}

/// Product of `[n, k]` and `[m, k]` of such sizes, and gradients for both operands, by the size that they have.
fn multiplied(
    [n, k, m]: [usize; 3],
    [x_size, weight_size]: [f64; 2],
    precision: Precision,
    device: &Device,
) -> Vec<Vec<f32>> {
    let x = (random([n, k], 1, device) * x_size).require_grad();
    let weight = (random([m, k], 2, device) * weight_size).require_grad();
    let output = linear(x.clone(), weight.clone(), precision);
    let grad = random([n, m], 3, device) * weight_size;
    let mut gradients = (output.clone() * grad).sum().backward();
    let [dx, dweight] = [&x, &weight].map(|operand| operand.grad_remove(&mut gradients).unwrap());
    let sized =
        [output / x_size / weight_size, dx / weight_size / weight_size, dweight / x_size / weight_size];
    sized.map(floats).into()
}

/// Tiles that are not filled, depths that fall into parts, rows that no vector divides.
const PRODUCTS: [[usize; 3]; 7] =
    [[70, 96, 50], [129, 36, 260], [1, 8, 3], [1500, 20, 132], [2111, 64, 32], [5, 2052, 140], [33, 7, 9]];

#[test]
fn products_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    for dims in PRODUCTS {
        let found = multiplied(dims, [1.0; 2], Precision::F32, &device);
        let expected = multiplied(dims, [1.0; 2], Precision::F32, &Device::flex());
        assert_close(&found, &expected, tolerance(&device), &format!("{dims:?}"));
    }
}

/// Rounded operands, added up in f32: the same products on both, of numbers far beyond the range of f16 too.
#[test]
fn rounded_products_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    let sizes = [[1.0; 2], [1e-12, 1e7], [1e9, 1e-14]];
    for (precision, number) in [(Precision::Bf16, DType::BF16), (Precision::F16, DType::F16)] {
        if !device.supports_dtype(number) {
            eprintln!("SKIPPED: the adapter has no {}", precision.name());
            continue;
        }
        for (dims, sizes) in PRODUCTS.into_iter().flat_map(|dims| sizes.map(|sizes| (dims, sizes))) {
            let found = multiplied(dims, sizes, precision, &device);
            let expected = multiplied(dims, sizes, precision, &Device::flex());
            assert_close(&found, &expected, 2e-5, &format!("{dims:?} of {sizes:?} in {precision:?}"));
        }
    }
}

/// Rows of the same size, and gradients for them and their weight.
fn normed([n, width]: [usize; 2], device: &Device) -> Vec<Vec<f32>> {
    let x = random([n, width], 1, device).require_grad();
    let weight = random([1, width], 2, device).reshape([width]).require_grad();
    let output = rms_norm(x.clone(), weight.clone(), 1e-5);
    let mut gradients = (output.clone() * random([n, width], 3, device)).sum().backward();
    let dweight = floats(weight.grad_remove(&mut gradients).unwrap());
    vec![floats(output), gradient(&x, &mut gradients), dweight]
}

#[test]
fn norms_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    // The last has more rows than WebGPU launches cubes in a dimension.
    for dims in [[5, 576], [130, 20], [3, 7], [1, 1030], [65_540, 4]] {
        assert_close(&normed(dims, &device), &normed(dims, &Device::flex()), 2e-5, &format!("{dims:?}"));
    }
}

/// Three updates of a parameter, its moments, and the sum of its squares. What was before an update is looked at after it.
fn updated(dims: [usize; 2], device: &Device) -> Vec<Vec<f32>> {
    let tensor = |seed| random(dims, seed, device).inner();
    let (mut param, mut moments) = (tensor(1), [tensor(2) * 0.0, tensor(2) * 0.0]);
    let mut before = Vec::new();
    for time in 1..=3 {
        let step = AdamWStep {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.1,
            time,
            grad_scale: 0.5,
        };
        before.extend([param.clone(), moments[0].clone()]);
        let [first, second] = moments;
        let update = adamw(param, tensor(2 + time), first, second, step);
        (param, moments) = (update.param, [update.first, update.second]);
    }
    let squares = squared_norm(param.clone()).sum().reshape([1, 1]);
    let [first, second] = moments;
    let of_end = [param, first, second, squares];
    of_end.into_iter().chain(before).map(floats).collect()
}

#[test]
fn updates_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    for dims in [[3, 7], [65, 260], [10, 576]] {
        assert_close(&updated(dims, &device), &updated(dims, &Device::flex()), 2e-5, &format!("{dims:?}"));
    }
}

/// Sums over spans of every kind of length, and their gradient.
fn summed(lengths: &[usize], device: &Device) -> Vec<Vec<f32>> {
    let n = lengths.iter().sum();
    let x = random([1, n], 1, device).require_grad();
    let sums = span_sums(x.clone().reshape([n]), lengths);
    let weights = random([1, lengths.len()], 2, device).reshape([lengths.len()]);
    let mut gradients = (sums.clone() * weights).sum().backward();
    vec![floats(sums), gradient(&x, &mut gradients)]
}

#[test]
fn sums_of_spans_are_those_of_the_processor() {
    let Some(device) = device() else { return };
    for lengths in [&[3, 0, 1][..], &[1], &[700, 1, 0, 129]] {
        assert_close(
            &summed(lengths, &device),
            &summed(lengths, &Device::flex()),
            2e-5,
            &format!("{lengths:?}"),
        );
    }
}
