//! TDPO against paper and pencil; `tests/golden/make_tdpo.py` has whole steps of it.

use crate::common::{assert_close, leaf, numbers, tensor};
use burn::tensor::DType;
use dpo_core::{dpo_loss, tdpo_loss};

/// h = 1.5, D_w = 0.4, D_l = 1.2, β = 0.1, α = ½: softplus(−0.1·(1.5 − 0.5·0.8)) = softplus(−0.11). With α = 0 it is DPO.
#[test]
fn the_worked_case() {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
        let of = |value: f64| tensor(&[value], dtype);
        let found = numbers(tdpo_loss(of(1.5), of(0.4), of(1.2), 0.1, 0.5));
        assert_close(&found, &[(-0.11f64).exp().ln_1p()], tolerance);
        let without = numbers(tdpo_loss(of(1.5), of(0.4), of(1.2), 0.1, 0.0));
        assert_eq!(without, numbers(dpo_loss(of(1.5), 0.1)));
    }
}

/// dL/dh = −β·σ(−z) and dL/dD_l = αβ·σ(−z) with z = 0.11; what the chosen completion moved is a constant.
#[test]
fn the_chosen_divergence_has_no_gradient() {
    let [margin, chosen, rejected] = [1.5, 0.4, 1.2].map(|value| leaf(&[value], DType::F64));
    let gradients = tdpo_loss(margin.clone(), chosen.clone(), rejected.clone(), 0.1, 0.5).sum().backward();
    let slope = 0.1 / (1.0 + 0.11f64.exp());
    assert_close(&numbers(margin.grad(&gradients).unwrap()), &[-slope], 1e-12);
    assert_close(&numbers(rejected.grad(&gradients).unwrap()), &[0.5 * slope], 1e-12);
    assert!(chosen.grad(&gradients).is_none_or(|gradient| numbers(gradient) == [0.0]));
}

/// Divergences without bound on either side leave a loss and a gradient that are numbers.
#[test]
fn extremes_stay_finite() {
    for (chosen, rejected) in [(0.0, 1e6), (1e6, 0.0), (1e30, 1e30)] {
        let (margin, kl) = (leaf(&[-3.0], DType::F32), leaf(&[rejected], DType::F32));
        let loss = tdpo_loss(margin.clone(), tensor(&[chosen], DType::F32), kl.clone(), 0.1, 0.5).sum();
        let gradients = loss.backward();
        let found = [loss.inner(), margin.grad(&gradients).unwrap(), kl.grad(&gradients).unwrap()];
        assert!(found.into_iter().flat_map(numbers).all(f64::is_finite), "{chosen} {rejected}");
    }
}
