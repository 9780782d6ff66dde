//! Log-probabilities of targets, a chunk of rows at a time.

use burn::{
    backend::{
        Backend, TensorMetadata,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{IndexingUpdateOp, Shape},
};

use super::{dims2, reshape, slice, softcap};
use crate::{
    FusedPrimitives, LogitSpec,
    saved::{LogpsOutput, LogpsSaved},
};

/// Rows whose logits exist at a time.
const CHUNK: usize = 128;

fn chunks(n: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..n).step_by(CHUNK).map(move |start| start..(start + CHUNK).min(n))
}

fn targets_of<B: Backend>(targets: &IntTensor<B>, rows: &std::ops::Range<usize>) -> IntTensor<B> {
    B::int_reshape(B::int_slice(targets.clone(), &[slice(rows.clone())]), Shape::new([rows.len(), 1]))
}

/// `h · headᵀ`, under the cap where there is one.
fn logits<B: Backend>(
    h: FloatTensor<B>,
    transposed_head: FloatTensor<B>,
    softcap: Option<f64>,
) -> FloatTensor<B> {
    let logits = B::float_matmul(h, transposed_head);
    match softcap {
        Some(softcap) => softcap::forward::<B>(logits, softcap),
        None => logits,
    }
}

pub(crate) fn forward<B: FusedPrimitives>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    targets: IntTensor<B>,
    spec: LogitSpec,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let LogpsOutput { logps, log_sum_exp, .. } = outputs::<B>(hidden, head, targets, spec, false);
    (logps, log_sum_exp)
}

/// As [`forward`], with the logarithm of the sum of the squared probabilities of each row.
pub(crate) fn forward_with_squares<B: FusedPrimitives>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    targets: IntTensor<B>,
    spec: LogitSpec,
) -> LogpsOutput<B> {
    outputs::<B>(hidden, head, targets, spec, true)
}

fn outputs<B: FusedPrimitives>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    targets: IntTensor<B>,
    LogitSpec { softcap, precision }: LogitSpec,
    has_squares: bool,
) -> LogpsOutput<B> {
    let [n, _] = dims2::<B>(&hidden);
    let [hidden, head] = [hidden, head].map(|operand| B::rounded(operand, precision));
    let head = B::float_transpose(head);
    let (mut logps, mut sums, mut squares) = (Vec::new(), Vec::new(), Vec::new());
    for rows in chunks(n) {
        let h = B::float_slice(hidden.clone(), &[slice(rows.clone())]);
        let logits = logits::<B>(h, head.clone(), softcap);
        let picked = B::float_gather(1, logits.clone(), targets_of::<B>(&targets, &rows));
        let max = B::float_max_dim(logits.clone(), 1);
        let exps = B::float_exp(B::float_sub(logits, max.clone()));
        let log_sum = B::float_log(B::float_sum_dim(exps.clone(), 1));
        if has_squares {
            // Of p = e/Σe the sum of squares is Σe²/(Σe)².
            let of_exps = B::float_log(B::float_sum_dim(B::float_mul(exps.clone(), exps), 1));
            let twice = B::float_add(log_sum.clone(), log_sum.clone());
            squares.push(reshape::<B, 1>(B::float_sub(of_exps, twice), [rows.len()]));
        }
        let log_sum_exp = B::float_add(log_sum, max);
        logps.push(reshape::<B, 1>(B::float_sub(picked, log_sum_exp.clone()), [rows.len()]));
        sums.push(reshape::<B, 1>(log_sum_exp, [rows.len()]));
    }
    LogpsOutput {
        logps: B::float_cat(logps, 0),
        log_sum_exp: B::float_cat(sums, 0),
        log_sum_squares: has_squares.then(|| B::float_cat(squares, 0)),
    }
}

/// `d logp / d logits = onehot − softmax`, so a chunk's logits are made again and turned into that in place; the slope
/// of the cap is a factor on it.
pub(crate) fn backward<B: FusedPrimitives>(
    saved: LogpsSaved<B>,
    grad: FloatTensor<B>,
    [hidden_wanted, head_wanted]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let LogpsSaved { hidden, head, targets, log_sum_exp, spec: LogitSpec { softcap, precision } } = saved;
    let n = hidden.shape()[0];
    let [hidden, head] = [hidden, head].map(|operand| B::rounded(operand, precision));
    let (mut dhidden, mut dhead) = (Vec::new(), None);
    for rows in chunks(n) {
        let h = B::float_slice(hidden.clone(), &[slice(rows.clone())]);
        let column = |x: &FloatTensor<B>| {
            reshape::<B, 2>(B::float_slice(x.clone(), &[slice(rows.clone())]), [rows.len(), 1])
        };
        let g = column(&grad);
        let logits = logits::<B>(h.clone(), B::float_transpose(head.clone()), softcap);
        let cap_slope = softcap.map(|softcap| softcap::slope::<B>(logits.clone(), softcap));
        let softmax = B::float_exp(B::float_sub(logits, column(&log_sum_exp)));
        let d = B::float_mul(softmax, B::float_neg(g.clone()));
        let d = B::float_scatter(1, d, targets_of::<B>(&targets, &rows), g, IndexingUpdateOp::Add);
        let d = match cap_slope {
            Some(slope) => B::float_mul(d, slope),
            None => d,
        };
        let d = B::rounded(d, precision);
        if hidden_wanted {
            dhidden.push(B::float_matmul(d.clone(), head.clone()));
        }
        if head_wanted {
            let part = B::float_matmul(B::float_transpose(d), h);
            dhead = Some(match dhead {
                Some(sum) => B::float_add(sum, part),
                None => part,
            });
        }
    }
    [hidden_wanted.then(|| B::float_cat(dhidden, 0)), dhead]
}
