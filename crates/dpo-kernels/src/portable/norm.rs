//! Root-mean-square norm.

use burn::backend::{Backend, tensor::FloatTensor};

use super::{dims2, reshape};

pub(crate) fn forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    epsilon: f64,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [_, width] = dims2::<B>(&x);
    let mean_square = B::float_mean_dim(B::float_mul(x.clone(), x.clone()), 1);
    let inv_rms = B::float_recip(B::float_sqrt(B::float_add_scalar(mean_square, epsilon.into())));
    let output = B::float_mul(B::float_mul(x, inv_rms.clone()), reshape::<B, 2>(weight, [1, width]));
    (output, inv_rms)
}

/// With `r = 1/rms` and `g` the gradient: `dx = r·(g∘w) − x·r³·mean(g∘w∘x)`, `dw = Σ_rows g∘x·r`.
pub(crate) fn backward<B: Backend>(
    [x, weight, inv_rms]: [FloatTensor<B>; 3],
    grad: FloatTensor<B>,
    [x_wanted, weight_wanted]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let [_, width] = dims2::<B>(&x);
    let normed = B::float_mul(x, inv_rms.clone());
    let dweight = weight_wanted.then(|| {
        let sum = B::float_sum_dim(B::float_mul(grad.clone(), normed.clone()), 0);
        reshape::<B, 1>(sum, [width])
    });
    let dx = x_wanted.then(|| {
        let scaled = B::float_mul(grad, reshape::<B, 2>(weight, [1, width]));
        let mean = B::float_mean_dim(B::float_mul(scaled.clone(), normed.clone()), 1);
        B::float_mul(B::float_sub(scaled, B::float_mul(normed, mean)), inv_rms)
    });
    [dx, dweight]
}
