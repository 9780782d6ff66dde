//! Products of matrices on tensor cores: a tile of [`TILE`] rows by [`TILE`] columns a cube, in as many parts of the depth as
//! keep the device busy.
//!
//! Operands are read as f32 and rounded on their way into shared memory; sums are f32.

use cubecl::{cmma, prelude::*};

use super::VECTOR;

/// Rows and columns of a cube.
pub(super) const TILE: usize = 128;
/// Units of a cube: eight planes, two above each other and four side by side.
pub(super) const UNITS: usize = PLANES * PLANE;
const PLANES: usize = 8;
const PLANES_ACROSS: usize = 4;
const PLANE: usize = 32;
/// Rows and columns of what an instruction adds up.
const FRAGMENT: usize = 16;
/// Fragments of a plane: 64 rows by 32 columns.
const DOWN: usize = 4;
const ACROSS: usize = 2;

/// What a kernel is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    /// Whether numbers of a row of the left operand lie side by side; else those of a column do.
    pub(super) lhs_is_deep: bool,
    /// Whether numbers of a column of the right operand lie side by side.
    pub(super) rhs_is_deep: bool,
    /// Depth of a tile.
    pub(super) depth: usize,
    /// Depth of an instruction.
    pub(super) step: usize,
    /// Numbers that keep the lines of a tile in different banks: 16 bytes.
    pub(super) pad: usize,
}

impl Form {
    /// Vectors of a tile that a unit brings in.
    fn own_vectors(self) -> usize {
        TILE * self.depth / VECTOR / UNITS
    }

    /// Numbers from a line of a tile to the next.
    fn stride(self, is_deep: bool) -> usize {
        self.pad + if is_deep { self.depth } else { TILE }
    }

    /// Vectors of a tile in shared memory.
    fn tile_vectors(self, is_deep: bool) -> usize {
        let n_lines = if is_deep { TILE } else { self.depth };
        n_lines * self.stride(is_deep) / VECTOR
    }

    /// How the tile of the left operand, `A`, or of the right one lies.
    fn layout(self, ident: cmma::MatrixIdent) -> cmma::MatrixLayout {
        let is_row_major = if ident == cmma::MatrixIdent::A { self.lhs_is_deep } else { !self.rhs_is_deep };
        if is_row_major { cmma::MatrixLayout::RowMajor } else { cmma::MatrixLayout::ColMajor }
    }

    /// Vectors side by side in a line.
    fn line_vectors(self, is_deep: bool) -> usize {
        let len = if is_deep { self.depth } else { TILE };
        len / VECTOR
    }
}

/// Where a tile is in its operand, of `n_lines` rows (of the right one, columns): from `line` and the depth `at`; nothing from
/// `end` on. What lies side by side begins `pitch` numbers behind what is before it.
#[derive(CubeType, Clone, Copy)]
struct Window {
    line: usize,
    n_lines: usize,
    at: usize,
    end: usize,
    pitch: usize,
}

/// The unit's vectors of a tile.
#[cube]
fn fetch<N: Size>(
    own: &mut Array<Vector<f32, N>>,
    operand: &Tensor<Vector<f32, N>>,
    window: &Window,
    #[comptime] form: Form,
    #[comptime] is_deep: bool,
) {
    let side_by_side = comptime!(form.line_vectors(is_deep));
    let unit = UNIT_POS as usize;
    let number = unit % side_by_side * comptime!(VECTOR);
    #[unroll]
    for idx in 0..comptime!(form.own_vectors()) {
        let line = unit / side_by_side + comptime!(idx * UNITS) / side_by_side;
        let mut vector = Vector::<f32, N>::new(0.0f32);
        if comptime!(is_deep) {
            let (row, k) = (window.line + line, window.at + number);
            if row < window.n_lines && k < window.end {
                vector = operand[(row * window.pitch + k) / comptime!(VECTOR)];
            }
        } else {
            let (row, k) = (window.line + number, window.at + line);
            if row < window.n_lines && k < window.end {
                vector = operand[(k * window.pitch + row) / comptime!(VECTOR)];
            }
        }
        own[idx] = vector;
    }
}

/// Rounds the unit's vectors into the tile that begins at `start`.
#[cube]
fn put<E: Numeric, N: Size>(
    tile: &mut Shared<[Vector<E, N>]>,
    start: usize,
    own: &Array<Vector<f32, N>>,
    #[comptime] form: Form,
    #[comptime] is_deep: bool,
) {
    let side_by_side = comptime!(form.line_vectors(is_deep));
    let unit = UNIT_POS as usize;
    #[unroll]
    for idx in 0..comptime!(form.own_vectors()) {
        let line = unit / side_by_side + comptime!(idx * UNITS) / side_by_side;
        let at = line * comptime!(form.stride(is_deep) / VECTOR) + unit % side_by_side;
        tile[start + at] = Vector::<E, N>::cast_from(own[idx]);
    }
}

/// The fragment of a tile that begins at `line` and the depth `k`; the tile itself begins at `start`, in vectors.
#[cube]
fn fragment<E: Numeric, N: Size>(
    tile: &Shared<[Vector<E, N>]>,
    start: usize,
    line: usize,
    k: usize,
    #[comptime] ident: cmma::MatrixIdent,
    #[comptime] form: Form,
    #[comptime] is_deep: bool,
) -> cmma::Matrix<Vector<E, N>> {
    let stride = comptime!(form.stride(is_deep));
    let mut at = k * stride + line;
    if comptime!(is_deep) {
        at = line * stride + k;
    }
    let begin = start + at / comptime!(VECTOR);
    cmma::Matrix::<Vector<E, N>>::from_slice(
        ident,
        FRAGMENT,
        FRAGMENT,
        form.step,
        comptime!(form.layout(ident)),
        &tile[begin..comptime!(2 * form.tile_vectors(is_deep))],
        comptime!(stride as u32),
    )
}

/// Adds the products of a tile to the sums of a plane, which has rows from `row` and columns from `column` on.
#[cube]
fn multiply<E: Numeric, N: Size>(
    sums: &Sequence<cmma::Matrix<f32>>,
    lhs_tile: &Shared<[Vector<E, N>]>,
    lhs_start: usize,
    rhs_tile: &Shared<[Vector<E, N>]>,
    rhs_start: usize,
    row: usize,
    column: usize,
    #[comptime] form: Form,
) {
    #[unroll]
    for step in 0..comptime!(form.depth / form.step) {
        let k = comptime!(step * form.step);
        let mut columns = Sequence::<cmma::Matrix<Vector<E, N>>>::new();
        #[unroll]
        for j in 0..comptime!(ACROSS) {
            let line = column + comptime!(j * FRAGMENT);
            columns.push(fragment::<E, N>(
                rhs_tile,
                rhs_start,
                line,
                k,
                cmma::MatrixIdent::B,
                form,
                form.rhs_is_deep,
            ));
        }
        #[unroll]
        for i in 0..comptime!(DOWN) {
            let line = row + comptime!(i * FRAGMENT);
            let rows =
                fragment::<E, N>(lhs_tile, lhs_start, line, k, cmma::MatrixIdent::A, form, form.lhs_is_deep);
            #[unroll]
            for j in 0..comptime!(ACROSS) {
                let sum = &sums[comptime!(i * ACROSS + j)];
                cmma::execute(&rows, &columns[j], sum, sum);
            }
        }
    }
}

/// `output[z] = lhs · rhs` over the `z`-th part of the depth; `lhs` is `[m, k]`, `rhs` `[k, n]`, laid as `form` says, each with a
/// multiple of [`VECTOR`] numbers side by side.
#[cube(launch_unchecked)]
pub(super) fn product_kernel<E: Numeric, N: Size>(
    lhs: &Tensor<Vector<f32, N>>,
    rhs: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<f32>,
    m: u32,
    n: u32,
    k: u32,
    lhs_pitch: u32,
    rhs_pitch: u32,
    k_of_part: u32,
    #[comptime] form: Form,
) {
    let lhs_len = comptime!(form.tile_vectors(form.lhs_is_deep));
    let rhs_len = comptime!(form.tile_vectors(form.rhs_is_deep));
    let (n_rows, n_columns, depth) = (m as usize, n as usize, k as usize);
    let start = CUBE_POS_Z as usize * k_of_part as usize;
    let mut end = start + k_of_part as usize;
    if end > depth {
        end = depth;
    }
    let first_row = CUBE_POS_X as usize * comptime!(TILE);
    let first_column = CUBE_POS_Y as usize * comptime!(TILE);
    let plane = UNIT_POS as usize / comptime!(PLANE);
    let lane = UNIT_POS as usize % comptime!(PLANE);
    let row = plane / comptime!(PLANES_ACROSS) * comptime!(DOWN * FRAGMENT);
    let column = plane % comptime!(PLANES_ACROSS) * comptime!(ACROSS * FRAGMENT);

    // Two of each: one is filled while the other is read.
    let mut lhs_tiles =
        Shared::<[Vector<E, N>]>::new_slice(comptime!(2 * form.tile_vectors(form.lhs_is_deep)));
    let mut rhs_tiles =
        Shared::<[Vector<E, N>]>::new_slice(comptime!(2 * form.tile_vectors(form.rhs_is_deep)));
    let mut own_lhs = Array::<Vector<f32, N>>::new(comptime!(form.own_vectors()));
    let mut own_rhs = Array::<Vector<f32, N>>::new(comptime!(form.own_vectors()));
    let mut sums = Sequence::<cmma::Matrix<f32>>::new();
    #[unroll]
    for _idx in 0..comptime!(DOWN * ACROSS) {
        sums.push(cmma::Matrix::<f32>::from_value(
            cmma::MatrixIdent::Accumulator,
            FRAGMENT,
            FRAGMENT,
            form.step,
            cmma::MatrixLayout::Undefined,
            0.0f32,
        ));
    }

    let mut at = start;
    let mut is_second = 0usize;
    let lhs_window = Window { line: first_row, n_lines: n_rows, at, end, pitch: lhs_pitch as usize };
    let rhs_window = Window { line: first_column, n_lines: n_columns, at, end, pitch: rhs_pitch as usize };
    fetch::<N>(&mut own_lhs, lhs, &lhs_window, form, form.lhs_is_deep);
    fetch::<N>(&mut own_rhs, rhs, &rhs_window, form, form.rhs_is_deep);
    put::<E, N>(&mut lhs_tiles, 0usize, &own_lhs, form, form.lhs_is_deep);
    put::<E, N>(&mut rhs_tiles, 0usize, &own_rhs, form, form.rhs_is_deep);
    sync_cube();
    while at < end {
        let next = at + form.depth;
        if next < end {
            let lhs_window =
                Window { line: first_row, n_lines: n_rows, at: next, end, pitch: lhs_pitch as usize };
            let rhs_window =
                Window { line: first_column, n_lines: n_columns, at: next, end, pitch: rhs_pitch as usize };
            fetch::<N>(&mut own_lhs, lhs, &lhs_window, form, form.lhs_is_deep);
            fetch::<N>(&mut own_rhs, rhs, &rhs_window, form, form.rhs_is_deep);
        }
        multiply::<E, N>(
            &sums,
            &lhs_tiles,
            is_second * lhs_len,
            &rhs_tiles,
            is_second * rhs_len,
            row,
            column,
            form,
        );
        is_second = 1 - is_second;
        if next < end {
            put::<E, N>(&mut lhs_tiles, is_second * lhs_len, &own_lhs, form, form.lhs_is_deep);
            put::<E, N>(&mut rhs_tiles, is_second * rhs_len, &own_rhs, form, form.rhs_is_deep);
        }
        sync_cube();
        at = next;
    }

    // A fragment's numbers lie among the units in an order of their own: each plane lays its own out in shared memory first.
    let mut shown = Shared::<[f32]>::new_slice(comptime!(PLANES * FRAGMENT * FRAGMENT));
    let shown_at = plane * comptime!(FRAGMENT * FRAGMENT);
    #[unroll]
    for i in 0..comptime!(DOWN) {
        #[unroll]
        for j in 0..comptime!(ACROSS) {
            let shown_end = shown_at + comptime!(FRAGMENT * FRAGMENT);
            cmma::store(
                &mut shown[shown_at..shown_end],
                &sums[comptime!(i * ACROSS + j)],
                comptime!(FRAGMENT as u32),
                cmma::MatrixLayout::RowMajor,
            );
            sync_cube();
            #[unroll]
            for idx in 0..comptime!(FRAGMENT * FRAGMENT / PLANE) {
                let place = lane + comptime!(idx * PLANE);
                let out_row = first_row + row + comptime!(i * FRAGMENT) + place / comptime!(FRAGMENT);
                let out_column =
                    first_column + column + comptime!(j * FRAGMENT) + place % comptime!(FRAGMENT);
                if out_row < n_rows && out_column < n_columns {
                    let line = CUBE_POS_Z as usize * n_rows + out_row;
                    output[line * n_columns + out_column] = shown[shown_at + place];
                }
            }
            sync_cube();
        }
    }
}
