//! Matrix products on slices: the one door to the `gemm` crate.

use gemm::Parallelism;

/// A matrix to read: element `(i, j)` lies at `i · row_stride + j · col_stride`.
#[derive(Debug, Clone, Copy)]
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

    /// Rows and columns that lie anywhere: element `(0, 0)` is the first of `data`.
    pub(crate) fn strided(
        data: &'a [f32],
        [rows, cols]: [usize; 2],
        [row_stride, col_stride]: [usize; 2],
    ) -> Self {
        Self { data, rows, cols, row_stride, col_stride }
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

    /// Distances of two rows, and of two columns.
    pub(crate) fn strides(&self) -> [usize; 2] {
        [self.row_stride, self.col_stride]
    }

    /// Whether the elements of a row are neighbours in memory; else those of a column are.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn has_contiguous_rows(&self) -> bool {
        self.col_stride == 1
    }

    /// The elements of a row, which lie side by side in memory, from column `col` on; none where the matrix has none.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn rest_of_row(&self, row: usize, col: usize) -> &'a [f32] {
        if row < self.rows && col < self.cols {
            let start = row * self.row_stride;
            &self.data[start + col..start + self.cols]
        } else {
            &[]
        }
    }

    /// An element; zero where the matrix has none.
    pub(crate) fn number(&self, row: usize, col: usize) -> f32 {
        let is_there = row < self.rows && col < self.cols;
        if is_there { self.data[row * self.row_stride + col * self.col_stride] } else { 0.0 }
    }

    fn is_empty(&self) -> bool {
        self.rows == 0 || self.cols == 0
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
    let (m, n) = (lhs.rows, rhs.cols);
    check_operands(lhs, rhs);
    if m == 0 || n == 0 {
        return;
    }
    assert!(target.stride >= n && (m - 1) * target.stride + n <= target.data.len(), "target of a product");
    #[allow(unsafe_code)]
    // SAFETY: the operands were checked, the rows of the target lie inside `target.data` by the assertion above and do
    // not overlap since its stride is at least `n`, its values are initialised, and it is borrowed mutably.
    unsafe {
        gemm(target.data.as_mut_ptr(), target.stride, target.write, [lhs, rhs], Parallelism::None);
    }
}

/// Products smaller than this stay on the calling thread.
const PARALLEL_PRODUCT: usize = 192 * 192 * 192;

/// `lhs · rhs`, row by row, on all threads: the same bits however many there are.
pub(crate) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    check_operands(lhs, rhs);
    if m == 0 || n == 0 || k == 0 {
        return vec![0.0; m * n];
    }
    let mut values: Vec<f32> = Vec::with_capacity(m * n);
    #[allow(unsafe_code)]
    // SAFETY: the operands were checked. The target has room for `m` rows of `n`, nothing else points to it, and since
    // its values are replaced none is read before it is written; afterwards all of them are.
    unsafe {
        gemm(values.as_mut_ptr(), n, Write::Replace, [lhs, rhs], parallelism(m * n * k));
        values.set_len(m * n);
    }
    values
}

/// Adds `lhs · rhs` to a matrix of its size, as [`product`] is made.
pub(crate) fn add_product(sum: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>) {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    check_operands(lhs, rhs);
    assert_eq!(sum.len(), m * n, "target of a product");
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    #[allow(unsafe_code)]
    // SAFETY: the operands were checked, and the target is `m` rows of `n` numbers, borrowed mutably.
    unsafe {
        gemm(sum.as_mut_ptr(), n, Write::Add, [lhs, rhs], parallelism(m * n * k));
    }
}

fn parallelism(n_products: usize) -> Parallelism {
    if n_products >= PARALLEL_PRODUCT { Parallelism::Rayon(0) } else { Parallelism::None }
}

fn check_operands(lhs: Matrix<'_>, rhs: Matrix<'_>) {
    assert_eq!(lhs.cols, rhs.rows, "inner dimensions of a product");
    let inside = |matrix: Matrix<'_>| matrix.is_empty() || matrix.last() < matrix.data.len();
    assert!(inside(lhs) && inside(rhs), "operands of a product");
}

/// # Safety
/// Both operands lie inside their slices and fit together; `target` has `lhs.rows` rows of `rhs.cols` numbers that lie
/// `stride` apart, which nothing else reads or writes meanwhile, initialised unless they are replaced.
#[allow(unsafe_code)]
unsafe fn gemm(
    target: *mut f32,
    stride: usize,
    write: Write,
    [lhs, rhs]: [Matrix<'_>; 2],
    parallelism: Parallelism,
) {
    let add = write == Write::Add;
    // SAFETY: what the caller promises is what is asked for here.
    unsafe {
        gemm::gemm(
            lhs.rows,
            rhs.cols,
            lhs.cols,
            target,
            1,
            stride as isize,
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
            parallelism,
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
