//! Sums over spans of a vector.

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::{Shape, TensorData},
};

use super::slice;

pub(crate) fn forward<B: Backend>(x: FloatTensor<B>, lengths: &[usize]) -> FloatTensor<B> {
    let mut start = 0;
    let mut sum = |&length: &usize| {
        let span = start..start + length;
        start = span.end;
        match length {
            0 => B::float_zeros(Shape::new([1]), &x.device(), x.dtype().into()),
            _ => B::float_sum(B::float_slice(x.clone(), &[slice(span)])),
        }
    };
    B::float_cat(lengths.iter().map(&mut sum).collect(), 0)
}

pub(crate) fn backward<B: Backend>(grad: FloatTensor<B>, lengths: &[usize]) -> FloatTensor<B> {
    let spans = lengths.iter().enumerate();
    let span_of: Vec<i32> =
        spans.flat_map(|(span, &length)| std::iter::repeat_n(span as i32, length)).collect();
    let n = span_of.len();
    let span_of = B::int_from_data(TensorData::new(span_of, [n]), &grad.device());
    B::float_select(grad, 0, span_of)
}
