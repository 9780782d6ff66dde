//! Layer norm.

use burn::backend::{Backend, tensor::FloatTensor};

use super::{dims2, reshape};
use crate::saved::{LayerNormSaved, RowStatistics};

pub(crate) fn forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    epsilon: f64,
) -> (FloatTensor<B>, RowStatistics<B>) {
    let [_, width] = dims2::<B>(&x);
    let mean = B::float_mean_dim(x.clone(), 1);
    let centred = B::float_sub(x, mean.clone());
    let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), 1);
    let inv_std = B::float_recip(B::float_sqrt(B::float_add_scalar(variance, epsilon.into())));
    let normed = B::float_mul(centred, inv_std.clone());
    let scaled = B::float_mul(normed, reshape::<B, 2>(weight, [1, width]));
    let output = B::float_add(scaled, reshape::<B, 2>(bias, [1, width]));
    (output, RowStatistics { mean, inv_std })
}

/// With `r = 1/std`, `y = r·(x − mean)` and `g` the gradient: `dx = r·(g∘w − mean(g∘w) − y·mean(g∘w∘y))`,
/// `dw = Σ_rows g∘y`, `db = Σ_rows g`.
pub(crate) fn backward<B: Backend>(
    saved: LayerNormSaved<B>,
    grad: FloatTensor<B>,
    [x_wanted, weight_wanted, bias_wanted]: [bool; 3],
) -> [Option<FloatTensor<B>>; 3] {
    let LayerNormSaved { x, weight, statistics: RowStatistics { mean, inv_std } } = saved;
    let [_, width] = dims2::<B>(&x);
    let normed = B::float_mul(B::float_sub(x, mean), inv_std.clone());
    let row_sum = |x: FloatTensor<B>| reshape::<B, 1>(B::float_sum_dim(x, 0), [width]);
    let dweight = weight_wanted.then(|| row_sum(B::float_mul(grad.clone(), normed.clone())));
    let dbias = bias_wanted.then(|| row_sum(grad.clone()));
    let dx = x_wanted.then(|| {
        let scaled = B::float_mul(grad, reshape::<B, 2>(weight, [1, width]));
        let slope = B::float_mean_dim(B::float_mul(scaled.clone(), normed.clone()), 1);
        let centred = B::float_sub(scaled.clone(), B::float_mean_dim(scaled, 1));
        B::float_mul(B::float_sub(centred, B::float_mul(normed, slope)), inv_std)
    });
    [dx, dweight, dbias]
}
