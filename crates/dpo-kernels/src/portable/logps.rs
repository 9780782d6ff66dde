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
    FusedPrimitives, LogitSpec, Precision,
    saved::{LogpsOutput, LogpsSaved},
};

/// Logits that exist at a time: 64 MiB in f32, half of what any device binds at once.
pub(crate) const CHUNK: usize = 1 << 24;

/// Rows of `hidden` whose logits exist at a time.
pub(super) fn chunks<B: FusedPrimitives>(
    hidden: &FloatTensor<B>,
    vocab: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> + use<B> {
    let n = hidden.shape()[0];
    let n_rows = B::rows_at_a_time(hidden, vocab);
    (0..n).step_by(n_rows).map(move |start| start..(start + n_rows).min(n))
}

pub(super) fn targets_of<B: Backend>(targets: &IntTensor<B>, rows: &std::ops::Range<usize>) -> IntTensor<B> {
    B::int_reshape(B::int_slice(targets.clone(), &[slice(rows.clone())]), Shape::new([rows.len(), 1]))
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
    let vocab = head.shape()[0];
    let head = B::float_transpose(head);
    let (mut logps, mut sums, mut squares) = (Vec::new(), Vec::new(), Vec::new());
    for rows in chunks::<B>(&hidden, vocab) {
        let h = B::float_slice(hidden.clone(), &[slice(rows.clone())]);
        let logits = B::product(h, head.clone(), precision);
        let of_rows = B::logit_rows(logits, targets_of::<B>(&targets, &rows), softcap, has_squares);
        logps.push(of_rows.logps);
        sums.push(of_rows.log_sum_exp);
        squares.extend(of_rows.log_sum_squares);
    }
    LogpsOutput {
        logps: B::float_cat(logps, 0),
        log_sum_exp: B::float_cat(sums, 0),
        log_sum_squares: has_squares.then(|| B::float_cat(squares, 0)),
    }
}

/// What rows of logits, `[rows, vocab]`, say of their targets, `[rows, 1]`.
pub(crate) fn logit_rows<B: Backend>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
    softcap: Option<f64>,
    has_squares: bool,
) -> LogpsOutput<B> {
    let [n, _] = dims2::<B>(&logits);
    let logits = capped::<B>(logits, softcap);
    let picked = B::float_gather(1, logits.clone(), targets);
    let max = B::float_max_dim(logits.clone(), 1);
    let exps = B::float_exp(B::float_sub(logits, max.clone()));
    let log_sum = B::float_log(B::float_sum_dim(exps.clone(), 1));
    let log_sum_squares = has_squares.then(|| {
        // Of p = e/Σe the sum of squares is Σe²/(Σe)².
        let of_exps = B::float_log(B::float_sum_dim(B::float_mul(exps.clone(), exps), 1));
        let twice = B::float_add(log_sum.clone(), log_sum.clone());
        reshape::<B, 1>(B::float_sub(of_exps, twice), [n])
    });
    let log_sum_exp = B::float_add(log_sum, max);
    LogpsOutput {
        logps: reshape::<B, 1>(B::float_sub(picked, log_sum_exp.clone()), [n]),
        log_sum_exp: reshape::<B, 1>(log_sum_exp, [n]),
        log_sum_squares,
    }
}

pub(super) fn capped<B: Backend>(logits: FloatTensor<B>, softcap: Option<f64>) -> FloatTensor<B> {
    match softcap {
        Some(softcap) => softcap::forward::<B>(logits, softcap),
        None => logits,
    }
}

/// `d logp / d logits = onehot − softmax`, times the gradient of each row, `[rows]`, and the slope of the cap.
pub(crate) fn logit_gradient<B: Backend>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
    [log_sum_exp, grad]: [FloatTensor<B>; 2],
    softcap: Option<f64>,
) -> FloatTensor<B> {
    let [n, _] = dims2::<B>(&logits);
    let column = |x: FloatTensor<B>| reshape::<B, 2>(x, [n, 1]);
    let g = column(grad);
    let logits = capped::<B>(logits, softcap);
    let cap_slope = softcap.map(|softcap| softcap::slope::<B>(logits.clone(), softcap));
    let softmax = B::float_exp(B::float_sub(logits, column(log_sum_exp)));
    let d = B::float_mul(softmax, B::float_neg(g.clone()));
    let d = B::float_scatter(1, d, targets, g, IndexingUpdateOp::Add);
    match cap_slope {
        Some(slope) => B::float_mul(d, slope),
        None => d,
    }
}

/// Gradients of the hidden rows and of the head, where wanted, of those of logits, chunk after chunk.
pub(super) struct OfLogits<B: FusedPrimitives> {
    hidden: Option<Vec<FloatTensor<B>>>,
    head: Option<FloatTensor<B>>,
    head_wanted: bool,
}

impl<B: FusedPrimitives> OfLogits<B> {
    pub(super) fn wanted([hidden_wanted, head_wanted]: [bool; 2]) -> Self {
        Self { hidden: hidden_wanted.then(Vec::new), head: None, head_wanted }
    }

    /// Adds the gradient of the logits that the next hidden rows have under the head.
    pub(super) fn add(
        &mut self,
        of_logits: FloatTensor<B>,
        hidden: FloatTensor<B>,
        head: &FloatTensor<B>,
        precision: Precision,
    ) {
        if let Some(rows) = &mut self.hidden {
            rows.push(B::product(of_logits.clone(), head.clone(), precision));
        }
        if self.head_wanted {
            let part = B::product(B::float_transpose(of_logits), hidden, precision);
            self.head = Some(match self.head.take() {
                Some(sum) => B::float_add(sum, part),
                None => part,
            });
        }
    }

    pub(super) fn into_gradients(self) -> [Option<FloatTensor<B>>; 2] {
        [self.hidden.map(|rows| B::float_cat(rows, 0)), self.head]
    }
}

/// A chunk's logits are made again and turned into their gradient.
pub(crate) fn backward<B: FusedPrimitives>(
    saved: LogpsSaved<B>,
    grad: FloatTensor<B>,
    wanted: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let LogpsSaved { hidden, head, targets, log_sum_exp, spec: LogitSpec { softcap, precision } } = saved;
    let vocab = head.shape()[0];
    let mut gradients = OfLogits::<B>::wanted(wanted);
    for rows in chunks::<B>(&hidden, vocab) {
        let of_rows = |x: &FloatTensor<B>| B::float_slice(x.clone(), &[slice(rows.clone())]);
        let h = of_rows(&hidden);
        let logits = B::product(h.clone(), B::float_transpose(head.clone()), precision);
        let row_numbers = [of_rows(&log_sum_exp), of_rows(&grad)];
        let d = B::logit_gradient(logits, targets_of::<B>(&targets, &rows), row_numbers, softcap);
        gradients.add(d, h, &head, precision);
    }
    gradients.into_gradients()
}
