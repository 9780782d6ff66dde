//! Tensors as slices, and memory for results.

use std::{cell::RefCell, marker::PhantomData, ops::Range, slice};

use burn::{
    backend::{
        TensorMetadata,
        flex::{FlexTensor, Layout},
    },
    tensor::{Bytes, DType, Shape},
};
use rayon::prelude::*;

/// Whether all of them are f32: what the bodies here are written for.
pub(crate) fn all_f32<const N: usize>(tensors: [&FlexTensor; N]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// The tensor, its elements in order and without gaps; copied only if they are not.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The matrix as it lies where the elements of its rows or of its columns are neighbours; else copied.
pub(crate) fn strided(tensor: FlexTensor) -> FlexTensor {
    let strides = tensor.layout().strides();
    let is_dense = strides.contains(&1) && strides.iter().all(|stride| *stride >= 1);
    if is_dense { tensor } else { tensor.to_contiguous() }
}

/// The tensor with a storage that holds its elements and nothing else.
pub(crate) fn whole(tensor: FlexTensor) -> FlexTensor {
    let n = tensor.shape().num_elements();
    let plain = tensor.is_contiguous() && tensor.layout().start_offset() == 0;
    if plain && tensor.bytes().len() == n * size_of::<f32>() { tensor } else { tensor.to_contiguous() }
}

/// Numbers of rows, or ids, as indices below `n_rows`; `None` for an integer type that is not expected here.
///
/// # Panics
/// If there is no such row: that is a bug of the caller.
pub(crate) fn row_numbers(rows: &FlexTensor, n_rows: usize) -> Option<Vec<usize>> {
    let rows = contiguous(rows.clone());
    let numbers: Vec<i64> = match rows.dtype() {
        DType::I32 => rows.as_slice::<i32>()?.iter().copied().map(i64::from).collect(),
        DType::I64 => rows.as_slice::<i64>()?.to_vec(),
        _ => return None,
    };
    let index = |number: i64| {
        let index = usize::try_from(number).ok().filter(|&index| index < n_rows);
        index.unwrap_or_else(|| panic!("{number} is not one of {n_rows} rows"))
    };
    Some(numbers.into_iter().map(index).collect())
}

/// Elements of a contiguous f32 tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous f32 tensor")
}

/// Rows and columns of a matrix.
pub(crate) fn dims2(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.shape();
    [shape[0], shape[1]]
}

/// A tensor from its elements.
pub(crate) fn tensor<const D: usize>(values: Vec<f32>, dims: [usize; D]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::new(dims)), DType::F32)
}

/// Elements computed `chunk` at a time by `fill(chunk index, side, elements)`, on all threads; `sides` yields one item
/// a chunk for what else a chunk gives. Elements are 0 when `fill` gets them: set while the chunk is in cache, which
/// memory from `vec![0.0; len]` is not.
pub(crate) fn filled<S: Send>(
    len: usize,
    chunk: usize,
    sides: impl IndexedParallelIterator<Item = S>,
    fill: impl Fn(usize, S, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(len);
    let spare = &mut values.spare_capacity_mut()[..len];
    assert!(sides.len() >= len.div_ceil(chunk), "a side for each chunk");
    spare.par_chunks_mut(chunk).zip(sides).enumerate().for_each(|(index, (elements, side))| {
        for element in &mut *elements {
            element.write(0.0);
        }
        #[allow(unsafe_code)] // SAFETY: each element was written just above.
        fill(index, side, unsafe { elements.assume_init_mut() });
    });
    #[allow(unsafe_code)]
    // SAFETY: the chunks cover the `len` elements, and each was written; a panic ends up above.
    unsafe {
        values.set_len(len);
    }
    values
}

/// Nothing beside the elements, for [`filled`].
pub(crate) fn no_sides(len: usize, chunk: usize) -> impl IndexedParallelIterator<Item = ()> {
    rayon::iter::repeat_n((), len.div_ceil(chunk))
}

/// Memory that threads write to, each other parts of it.
pub(crate) struct Scattered<'a, T> {
    first: *mut T,
    len: usize,
    _borrowed: PhantomData<&'a mut [T]>,
}

#[allow(unsafe_code)]
// SAFETY: what lies in a part goes with the thread that has it, and no two have the same, as `Scattered::part` asks for.
unsafe impl<T: Send> Sync for Scattered<'_, T> {}

impl<'a, T> Scattered<'a, T> {
    pub(crate) fn new(memory: &'a mut [T]) -> Self {
        Self { first: memory.as_mut_ptr(), len: memory.len(), _borrowed: PhantomData }
    }

    /// Some of it.
    ///
    /// # Safety
    /// Nobody has any of it while this is borrowed.
    ///
    /// # Panics
    /// If the memory does not have it.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part of the memory");
        // SAFETY: it lies in memory that is borrowed while `self` lives, and the caller has it alone.
        unsafe { slice::from_raw_parts_mut(self.first.add(range.start), range.len()) }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` numbers of any value to `work`, which may borrow more. Each thread keeps its buffers, since memory fresh from
/// the system costs a page fault every 4 KiB.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    let result = work(&mut buffer[..len]);
    SCRATCH.with_borrow_mut(|buffers| buffers.push(buffer));
    result
}

/// Columns `0..width` of `rows` rows that lie `stride` apart, times `factor`, as `[width, lanes]`: one row a lane, and
/// zeros in the lanes that are left.
pub(crate) fn transpose_into(
    target: &mut [f32],
    source: &[f32],
    [rows, width]: [usize; 2],
    stride: usize,
    lanes: usize,
    factor: f32,
) {
    // Some columns at a time: what is read of a row and what is written of a lane are then whole cache lines.
    const COLS: usize = 16;
    for (part, target) in target[..width * lanes].chunks_mut(COLS * lanes).enumerate() {
        let cols = part * COLS..(part * COLS + target.len() / lanes);
        for (row, source) in source.chunks(stride).take(rows).enumerate() {
            for (col, value) in source[cols.clone()].iter().enumerate() {
                target[col * lanes + row] = value * factor;
            }
        }
        target.chunks_exact_mut(lanes).for_each(|lane| lane[rows..].fill(0.0));
    }
}
