//! Matrix products on slices: the one door to the `gemm` crate.

use gemm::Parallelism;

/// A matrix to read: element `(i, j)` lies at `i · row_stride + j · col_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that lie `stride` apart.
    pub(crate) fn new(data: &'a [f32], [rows, cols]: [usize; 2], stride: usize) -> Self {
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// Rows and columns exchanged; nothing moves.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Rows and columns.
    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// Whether the elements of a row are neighbours in memory; else those of a column are.
    #[cfg(any(test, target_arch = "x86_64"))]
    pub(crate) fn has_contiguous_rows(&self) -> bool {
        self.col_stride == 1
    }

    /// `N` elements of a row, which lie side by side in memory, from column `col` on; zeros where the matrix has none.
    #[cfg(any(test, target_arch = "x86_64"))]
    #[inline(always)]
    pub(crate) fn row_part<const N: usize>(&self, row: usize, col: usize) -> [f32; N] {
        let mut part = [0.0; N];
        if row < self.rows && col < self.cols {
            let (start, len) = (row * self.row_stride + col, N.min(self.cols - col));
            let source = &self.data[start..start + len];
            match source.first_chunk() {
                Some(whole) => part = *whole,
                None => part[..len].copy_from_slice(source),
            }
        }
        part
    }

    fn last(&self) -> usize {
        (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride
    }
}

/// Where a product goes: rows that lie `stride` apart.
pub(crate) struct Target<'a> {
    /// From the first element of the first row on.
    pub(crate) data: &'a mut [f32],
    /// Distance of two rows.
    pub(crate) stride: usize,
    /// What becomes of the values that are there.
    pub(crate) write: Write,
}

/// What becomes of the values of a [`Target`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// They are overwritten, unread.
    Replace,
    /// The product is added to them.
    Add,
}

/// `lhs · rhs` on the calling thread: the operations here cut their own tasks.
pub(crate) fn multiply(target: Target<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    assert_eq!(k, rhs.rows, "inner dimensions of a product");
    if m == 0 || n == 0 {
        return;
    }
    assert!(target.stride >= n && (m - 1) * target.stride + n <= target.data.len(), "target of a product");
    assert!(k == 0 || (lhs.last() < lhs.data.len() && rhs.last() < rhs.data.len()), "operands of a product");
    let add = target.write == Write::Add;
    #[allow(unsafe_code)]
    // SAFETY: the assertions above keep every element that is read or written inside its slice, rows of the target
    // do not overlap since its stride is at least `n`, and `target.data` is borrowed mutably, so nothing aliases it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            target.data.as_mut_ptr(),
            1,
            target.stride as isize,
            add,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            if add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[1 2; 3 4] · [5 6; 7 8]ᵀ = [17 23; 39 53]`, into rows 3 apart, then added once more.
    #[test]
    fn a_product_is_written_and_added() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
        let mut out = [f32::NAN, f32::NAN, 9.0, f32::NAN, f32::NAN];
        for (write, factor) in [(Write::Replace, 1.0), (Write::Add, 2.0)] {
            multiply(
                Target { data: &mut out, stride: 3, write },
                Matrix::new(&a, [2, 2], 2),
                Matrix::new(&b, [2, 2], 2).transposed(),
            );
            assert_eq!(out, [17.0 * factor, 23.0 * factor, 9.0, 39.0 * factor, 53.0 * factor]);
        }
    }

    #[test]
    #[should_panic(expected = "operands of a product")]
    fn a_matrix_larger_than_its_slice_is_refused() {
        let mut out = [0.0; 4];
        multiply(
            Target { data: &mut out, stride: 2, write: Write::Replace },
            Matrix::new(&[1.0; 3], [2, 2], 2),
            Matrix::new(&[1.0; 4], [2, 2], 2),
        );
    }
}
