//! Matrices that are not trained and are kept in a smaller form than floating-point numbers.

use std::{fmt, ops::Range, sync::Arc};

use burn::{
    backend::{Backend, tensor::FloatTensor},
    tensor::TensorData,
};
use rayon::prelude::*;

/// A matrix in whatever form it is kept, such as quantised blocks.
pub trait FrozenMatrix: fmt::Debug + Send + Sync {
    /// `[d_out, d_in]`
    fn dims(&self) -> [usize; 2];

    /// Writes the values of some rows, `[rows, d_in]`.
    fn rows(&self, rows: Range<usize>, values: &mut [f32]);
}

/// A shared [`FrozenMatrix`].
#[derive(Debug, Clone)]
pub struct Frozen(Arc<dyn FrozenMatrix>);

/// Rows that a thread unpacks at a time.
const ROWS: usize = 64;

impl Frozen {
    /// Shares a matrix.
    pub fn new(matrix: impl FrozenMatrix + 'static) -> Self {
        Self(Arc::new(matrix))
    }

    /// `[d_out, d_in]`
    pub fn dims(&self) -> [usize; 2] {
        self.0.dims()
    }

    /// All values, row by row, unpacked on all threads.
    pub fn values(&self) -> Vec<f32> {
        let [d_out, d_in] = self.dims();
        let mut values = vec![0.0; d_out * d_in];
        values.par_chunks_mut((ROWS * d_in).max(1)).enumerate().for_each(|(idx, chunk)| {
            let first = idx * ROWS;
            self.0.rows(first..first + chunk.len() / d_in.max(1), chunk);
        });
        values
    }

    /// The matrix on the device of `like`, in its number format; nobody keeps it.
    pub(crate) fn on_device_of<B: Backend>(&self, like: &FloatTensor<B>) -> FloatTensor<B> {
        use burn::backend::TensorMetadata;
        let data = TensorData::new(self.values(), self.dims()).convert_dtype(like.dtype());
        B::float_from_data(data, &like.device())
    }
}
