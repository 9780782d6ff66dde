//! Tree attention, a block of rows and a head a cube: [`LANES`] units share a row, which meets [`BLOCK`] keys at a time.
//!
//! Scores are in shared memory for one block of keys only; the softmax is made on the way, as in
//! <https://arxiv.org/abs/2205.14135>.

// What a kernel is written in needs its indices.
#![allow(clippy::needless_range_loop, clippy::too_many_arguments, clippy::assign_op_pattern)]

use cubecl::prelude::*;

/// Rows of a block, and keys that it meets at a time.
pub(super) const BLOCK: usize = 32;
/// Units that share a row.
pub(super) const LANES: usize = 8;
/// Keys of a block that a unit scores.
const KEYS: usize = BLOCK / LANES;
/// Scores of a row in shared memory: one more, so that rows lie in different banks.
const STRIDE: usize = BLOCK + 1;

/// What a kernel is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Heads {
    /// Query heads.
    pub(super) n: usize,
    /// Key and value heads.
    pub(super) n_kv: usize,
    /// Vectors of a head.
    pub(super) vectors: usize,
    /// Whether scores are capped.
    pub(super) is_capped: bool,
}

impl Heads {
    fn group(self) -> usize {
        self.n / self.n_kv
    }

    /// Vectors of a head that a unit adds up.
    fn own_vectors(self) -> usize {
        self.vectors.div_ceil(LANES)
    }
}

/// Scalar product of the vectors at `a_at` and `b_at`.
#[cube]
fn dot<N: Size>(
    a: &Tensor<Vector<f32, N>>,
    a_at: usize,
    b: &Tensor<Vector<f32, N>>,
    b_at: usize,
    #[comptime] vectors: usize,
) -> f32 {
    let mut sums = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for idx in 0..vectors {
        sums += a[a_at + idx] * b[b_at + idx];
    }
    let mut sum = sums.extract(0usize);
    #[unroll]
    for idx in 1..N::value() {
        sum += sums.extract(idx);
    }
    sum
}

/// `c·tanh(s/c)` where there is a cap.
#[cube]
fn capped(score: f32, softcap: f32, #[comptime] is_capped: bool) -> f32 {
    if comptime!(is_capped) { (score / softcap).tanh() * softcap } else { score }
}

/// Slope of the cap, `1 − (y/c)²`, from the capped score.
#[cube]
fn cap_slope(score: f32, softcap: f32, #[comptime] is_capped: bool) -> f32 {
    let mut slope = 1.0f32;
    if comptime!(is_capped) {
        let tanh = score / softcap;
        slope = slope - tanh * tanh;
    }
    slope
}

/// The row of a key that a segment sees: those of the trunk, then its own.
#[cube]
fn row_of_key(key_idx: usize, trunk: usize, n_trunk: usize, own: usize) -> usize {
    let mut row = trunk + key_idx;
    if key_idx >= n_trunk {
        row = own + key_idx - n_trunk;
    }
    row
}

/// The first key that a row at `position` sees through the window.
#[cube]
fn first_seen(position: usize, window: usize) -> usize {
    let mut first = 0usize;
    if position >= window {
        first = position + 1 - window;
    }
    first
}

/// Output, and the log-sum-exp of each row and head.
#[cube(launch)]
pub(super) fn forward_kernel<N: Size>(
    query: &Tensor<Vector<f32, N>>,
    key: &Tensor<Vector<f32, N>>,
    value: &Tensor<Vector<f32, N>>,
    table: &Tensor<u32>,
    output: &mut Tensor<Vector<f32, N>>,
    log_sums: &mut Tensor<f32>,
    scale: f32,
    softcap: f32,
    window: u32,
    #[comptime] heads: Heads,
) {
    let vectors = comptime!(heads.vectors);
    let own_vectors = comptime!(heads.own_vectors());
    let kv_width = comptime!(heads.n_kv * heads.vectors);

    let block = CUBE_POS_X as usize * 5;
    let first = table[block] as usize;
    let end = table[block + 1] as usize;
    let trunk = table[block + 2] as usize;
    let n_trunk = table[block + 3] as usize;
    let own = table[block + 4] as usize;
    let head = CUBE_POS_Y as usize;
    let kv_at = head / comptime!(heads.group()) * vectors;
    let unit = UNIT_POS as usize;
    let line = unit / comptime!(LANES);
    let lane = unit % comptime!(LANES);
    // Units beyond the end do as the last row does, and write nothing.
    let is_row = first + line < end;
    let mut row = end - 1;
    if is_row {
        row = first + line;
    }
    let at = (row * comptime!(heads.n) + head) * vectors;
    let position = n_trunk + row - own;
    let n_keys = n_trunk + end - own;
    let row_window = window as usize;
    let seen = first_seen(position, row_window);

    let mut scores = Shared::<[f32]>::new_slice(comptime!(BLOCK * STRIDE));
    let scores_at = line * comptime!(STRIDE);
    let mut sums = Array::<Vector<f32, N>>::new(own_vectors);
    #[unroll]
    for idx in 0..own_vectors {
        sums[idx] = Vector::<f32, N>::new(0.0f32);
    }
    let mut max = f32::new(-1.0e30f32);
    let mut sum = 0.0f32;
    let mut start = first_seen(n_trunk + first - own, row_window);
    while start < n_keys {
        #[unroll]
        for idx in 0..comptime!(KEYS) {
            let place = lane + idx * comptime!(LANES);
            let key_idx = start + place;
            let mut score = f32::new(-1.0e30f32);
            if key_idx <= position && key_idx >= seen {
                let key_at = row_of_key(key_idx, trunk, n_trunk, own) * kv_width + kv_at;
                score = capped(dot::<N>(query, at, key, key_at, vectors) * scale, softcap, heads.is_capped);
            }
            scores[scores_at + place] = score;
        }
        sync_cube();
        let mut new_max = max;
        for place in 0..comptime!(BLOCK) {
            let score = scores[scores_at + place];
            if score > new_max {
                new_max = score;
            }
        }
        let shrink = (max - new_max).exp();
        max = new_max;
        sync_cube();
        #[unroll]
        for idx in 0..comptime!(KEYS) {
            let place = scores_at + lane + idx * comptime!(LANES);
            scores[place] = (scores[place] - max).exp();
        }
        sync_cube();
        sum = sum * shrink;
        #[unroll]
        for idx in 0..own_vectors {
            sums[idx] = sums[idx] * Vector::<f32, N>::new(shrink);
        }
        for place in 0..comptime!(BLOCK) {
            let key_idx = start + place;
            if key_idx < n_keys {
                let weight = scores[scores_at + place];
                sum += weight;
                let value_at = row_of_key(key_idx, trunk, n_trunk, own) * kv_width + kv_at;
                #[unroll]
                for idx in 0..own_vectors {
                    let vector = lane + idx * comptime!(LANES);
                    if vector < vectors {
                        sums[idx] = sums[idx] + value[value_at + vector] * Vector::<f32, N>::new(weight);
                    }
                }
            }
        }
        sync_cube();
        start += comptime!(BLOCK);
    }
    if is_row {
        #[unroll]
        for idx in 0..own_vectors {
            let vector = lane + idx * comptime!(LANES);
            if vector < vectors {
                output[at + vector] = sums[idx] / Vector::<f32, N>::new(sum);
            }
        }
        if lane == 0 {
            log_sums[row * comptime!(heads.n) + head] = max + sum.ln();
        }
    }
}

/// With `P` the weights and `g` the gradient: `dS = P∘(g·Vᵀ − Σ_d g·out)·scale`, times the slope of the cap; `dQ = dS·K`.
#[cube(launch)]
pub(super) fn query_gradient_kernel<N: Size>(
    query: &Tensor<Vector<f32, N>>,
    key: &Tensor<Vector<f32, N>>,
    value: &Tensor<Vector<f32, N>>,
    grad: &Tensor<Vector<f32, N>>,
    stats: &Tensor<f32>,
    table: &Tensor<u32>,
    output: &mut Tensor<Vector<f32, N>>,
    scale: f32,
    softcap: f32,
    window: u32,
    #[comptime] heads: Heads,
) {
    let vectors = comptime!(heads.vectors);
    let own_vectors = comptime!(heads.own_vectors());
    let kv_width = comptime!(heads.n_kv * heads.vectors);

    let block = CUBE_POS_X as usize * 5;
    let first = table[block] as usize;
    let end = table[block + 1] as usize;
    let trunk = table[block + 2] as usize;
    let n_trunk = table[block + 3] as usize;
    let own = table[block + 4] as usize;
    let head = CUBE_POS_Y as usize;
    let kv_at = head / comptime!(heads.group()) * vectors;
    let unit = UNIT_POS as usize;
    let line = unit / comptime!(LANES);
    let lane = unit % comptime!(LANES);
    let is_row = first + line < end;
    let mut row = end - 1;
    if is_row {
        row = first + line;
    }
    let at = (row * comptime!(heads.n) + head) * vectors;
    let position = n_trunk + row - own;
    let n_keys = n_trunk + end - own;
    let row_window = window as usize;
    let seen = first_seen(position, row_window);
    let stats_at = row * comptime!(2 * heads.n) + head;
    let log_sum = stats[stats_at];
    let share = stats[stats_at + comptime!(heads.n)];

    let mut slopes = Shared::<[f32]>::new_slice(comptime!(BLOCK * STRIDE));
    let slopes_at = line * comptime!(STRIDE);
    let mut sums = Array::<Vector<f32, N>>::new(own_vectors);
    #[unroll]
    for idx in 0..own_vectors {
        sums[idx] = Vector::<f32, N>::new(0.0f32);
    }
    let mut start = first_seen(n_trunk + first - own, row_window);
    while start < n_keys {
        #[unroll]
        for idx in 0..comptime!(KEYS) {
            let place = lane + idx * comptime!(LANES);
            let key_idx = start + place;
            let mut slope = 0.0f32;
            if key_idx <= position && key_idx >= seen {
                let key_at = row_of_key(key_idx, trunk, n_trunk, own) * kv_width + kv_at;
                let raw = dot::<N>(query, at, key, key_at, vectors) * scale;
                let score = capped(raw, softcap, heads.is_capped);
                let weight = (score - log_sum).exp();
                let toward = dot::<N>(grad, at, value, key_at, vectors);
                slope = weight * (toward - share) * scale * cap_slope(score, softcap, heads.is_capped);
            }
            slopes[slopes_at + place] = slope;
        }
        sync_cube();
        for place in 0..comptime!(BLOCK) {
            let key_idx = start + place;
            if key_idx < n_keys {
                let slope = slopes[slopes_at + place];
                let key_at = row_of_key(key_idx, trunk, n_trunk, own) * kv_width + kv_at;
                #[unroll]
                for idx in 0..own_vectors {
                    let vector = lane + idx * comptime!(LANES);
                    if vector < vectors {
                        sums[idx] = sums[idx] + key[key_at + vector] * Vector::<f32, N>::new(slope);
                    }
                }
            }
        }
        sync_cube();
        start += comptime!(BLOCK);
    }
    if is_row {
        #[unroll]
        for idx in 0..own_vectors {
            let vector = lane + idx * comptime!(LANES);
            if vector < vectors {
                output[at + vector] = sums[idx];
            }
        }
    }
}

/// A block of keys and a key head a cube, against all rows that see it: `dK = dSᵀ·Q`, `dV = Pᵀ·g`, one above the other.
#[cube(launch)]
pub(super) fn key_and_value_gradients_kernel<N: Size>(
    query: &Tensor<Vector<f32, N>>,
    key: &Tensor<Vector<f32, N>>,
    value: &Tensor<Vector<f32, N>>,
    grad: &Tensor<Vector<f32, N>>,
    stats: &Tensor<f32>,
    table: &Tensor<u32>,
    output: &mut Tensor<Vector<f32, N>>,
    keys_at: u32,
    positions_at: u32,
    n_rows: u32,
    scale: f32,
    softcap: f32,
    window: u32,
    #[comptime] heads: Heads,
) {
    let vectors = comptime!(heads.vectors);
    let own_vectors = comptime!(heads.own_vectors());
    let width = comptime!(heads.n * heads.vectors);
    let kv_width = comptime!(heads.n_kv * heads.vectors);

    let block = keys_at as usize + CUBE_POS_X as usize * 3;
    let first = table[block] as usize;
    let end = table[block + 1] as usize;
    let seen_end = table[block + 2] as usize;
    let kv_head = CUBE_POS_Y as usize;
    let unit = UNIT_POS as usize;
    let line = unit / comptime!(LANES);
    let lane = unit % comptime!(LANES);
    let is_key = first + line < end;
    let mut key_row = end - 1;
    if is_key {
        key_row = first + line;
    }
    let key_at = key_row * kv_width + kv_head * vectors;
    let positions = positions_at as usize;
    let key_position = table[positions + key_row] as usize;
    let row_window = window as usize;

    let mut weights = Shared::<[f32]>::new_slice(comptime!(BLOCK * STRIDE));
    let mut slopes = Shared::<[f32]>::new_slice(comptime!(BLOCK * STRIDE));
    let places = line * comptime!(STRIDE);
    let mut dkey = Array::<Vector<f32, N>>::new(own_vectors);
    let mut dvalue = Array::<Vector<f32, N>>::new(own_vectors);
    #[unroll]
    for idx in 0..own_vectors {
        dkey[idx] = Vector::<f32, N>::new(0.0f32);
        dvalue[idx] = Vector::<f32, N>::new(0.0f32);
    }
    for member in 0..comptime!(heads.group()) {
        let head = kv_head * comptime!(heads.group()) + member;
        let mut start = first;
        while start < seen_end {
            #[unroll]
            for idx in 0..comptime!(KEYS) {
                let place = lane + idx * comptime!(LANES);
                let row = start + place;
                let mut weight = 0.0f32;
                let mut slope = 0.0f32;
                if row < seen_end && row >= key_row {
                    let position = table[positions + row] as usize;
                    if position - key_position < row_window {
                        let at = row * width + head * vectors;
                        let stats_at = row * comptime!(2 * heads.n) + head;
                        let raw = dot::<N>(query, at, key, key_at, vectors) * scale;
                        let score = capped(raw, softcap, heads.is_capped);
                        weight = (score - stats[stats_at]).exp();
                        let toward = dot::<N>(grad, at, value, key_at, vectors);
                        slope = weight
                            * (toward - stats[stats_at + comptime!(heads.n)])
                            * scale
                            * cap_slope(score, softcap, heads.is_capped);
                    }
                }
                weights[places + place] = weight;
                slopes[places + place] = slope;
            }
            sync_cube();
            for place in 0..comptime!(BLOCK) {
                let row = start + place;
                if row < seen_end {
                    let weight = weights[places + place];
                    let slope = slopes[places + place];
                    let at = row * width + head * vectors;
                    #[unroll]
                    for idx in 0..own_vectors {
                        let vector = lane + idx * comptime!(LANES);
                        if vector < vectors {
                            dvalue[idx] = dvalue[idx] + grad[at + vector] * Vector::<f32, N>::new(weight);
                            dkey[idx] = dkey[idx] + query[at + vector] * Vector::<f32, N>::new(slope);
                        }
                    }
                }
            }
            sync_cube();
            start += comptime!(BLOCK);
        }
    }
    if is_key {
        let values_at = n_rows as usize * kv_width + key_at;
        #[unroll]
        for idx in 0..own_vectors {
            let vector = lane + idx * comptime!(LANES);
            if vector < vectors {
                output[key_at + vector] = dkey[idx];
                output[values_at + vector] = dvalue[idx];
            }
        }
    }
}
