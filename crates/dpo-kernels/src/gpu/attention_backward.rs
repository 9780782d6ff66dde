//! Gradients of tree attention: a tile of rows a cube for the queries, a tile of keys a cube for keys and values, so that no two units
//! write to one place. Scores are made again of what forward has kept, one number a row and head.

use cubecl::prelude::*;

use super::{
    attention_rows::{
        Heads, OWN, add_weighted_rows, block_of, first_seen, key_starts, own_rows, position_of, products,
        starts,
    },
    blocks::KEY_NUMBERS,
    caps::{cap_slope, capped},
    tiles::{BLOCK, NUMBERS, PART, SIDE, SPAN, VECTORS, clear_vectors, keep, own_place},
};

/// With `P` the weights, `g` the gradient and `shares` what of each row and head is `Σ_d g·out`: `dS = P∘(g·Vᵀ − Σ_d g·out)·scale`, times the
/// slope of the cap; `dQ = dS·K`.
#[cube(launch_unchecked)]
pub(super) fn query_gradient_kernel<N: Size>(
    query: &Tensor<Vector<f32, N>>,
    key: &Tensor<Vector<f32, N>>,
    value: &Tensor<Vector<f32, N>>,
    grad: &Tensor<Vector<f32, N>>,
    log_sums: &Tensor<f32>,
    shares: &Tensor<f32>,
    table: &Tensor<u32>,
    output: &mut Tensor<Vector<f32, N>>,
    scale: f32,
    softcap: f32,
    window: u32,
    #[comptime] heads: Heads,
) {
    let own_parts = comptime!(heads.own_parts());
    let vectors = comptime!(heads.vectors);
    let width = comptime!(heads.n * heads.vectors);
    let kv_width = comptime!(heads.n_kv * heads.vectors);
    let place = own_place();
    let block = block_of(table);
    let head = CUBE_POS_Y as usize;
    let first_part = CUBE_POS_Z as usize * own_parts;
    let kv_at = head / comptime!(heads.group()) * vectors;
    let own = own_rows(block.first, block.end, &place);
    let own_starts = starts(&own, head * vectors, width);
    let row_window = window as usize;
    let n_keys = position_of(&block, block.end);

    let mut tiles = (
        Shared::<[Vector<f32, N>]>::new_slice(comptime!(VECTORS)),
        Shared::<[Vector<f32, N>]>::new_slice(comptime!(VECTORS)),
    );
    let mut slopes = Shared::<[f32]>::new_slice(comptime!(NUMBERS));
    let mut scores = Array::<f32>::new(comptime!(OWN));
    let mut toward = Array::<f32>::new(comptime!(OWN));
    let mut sums = Array::<Vector<f32, N>>::new(comptime!(heads.own_parts() * SPAN));
    clear_vectors::<N>(&mut sums, comptime!(heads.own_parts() * SPAN));
    let mut start = first_seen(position_of(&block, block.first), row_window);
    while start < n_keys {
        let keys = key_starts(&block, start, n_keys, kv_at, &place, kv_width);
        products::<N>(&mut tiles, &mut scores, query, &own_starts, key, &keys, &place, heads);
        products::<N>(&mut tiles, &mut toward, grad, &own_starts, value, &keys, &place, heads);
        #[unroll]
        for i in 0..comptime!(SPAN) {
            let position = position_of(&block, own[i]);
            let seen = first_seen(position, row_window);
            let log_sum = log_sums[own[i] * comptime!(heads.n) + head];
            let share = shares[own[i] * comptime!(heads.n) + head];
            #[unroll]
            for j in 0..comptime!(SPAN) {
                let at = comptime!(i * SPAN + j);
                let key_idx = start + place.across + comptime!(j * SIDE);
                let mut slope = 0.0f32;
                if key_idx <= position && key_idx >= seen {
                    let score = capped(scores[at] * scale, softcap, heads.is_capped);
                    let weight = (score - log_sum).exp();
                    slope =
                        weight * (toward[at] - share) * scale * cap_slope(score, softcap, heads.is_capped);
                }
                scores[at] = slope;
            }
        }
        keep(&mut slopes, &scores, &place);
        add_weighted_rows::<N>(
            &mut tiles.1,
            &mut sums,
            &slopes,
            key,
            &keys,
            first_part,
            &place,
            own_parts,
            heads,
        );
        start += comptime!(BLOCK);
    }
    #[unroll]
    for i in 0..comptime!(SPAN) {
        if block.first + place.down + comptime!(i * SIDE) < block.end {
            #[unroll]
            for part in 0..own_parts {
                let vector = (first_part + part) * comptime!(PART) + place.across;
                if vector < vectors {
                    output[own_starts[i] + vector] = sums[comptime!(part * SPAN + i)];
                }
            }
        }
    }
}

/// A block of keys and a query head a cube, against the rows that the table names: `dK = dSᵀ·Q`, `dV = Pᵀ·g`, for each member of a group of
/// heads one above the other, `n_out` rows each.
#[cube(launch_unchecked)]
pub(super) fn key_and_value_gradients_kernel<N: Size>(
    query: &Tensor<Vector<f32, N>>,
    key: &Tensor<Vector<f32, N>>,
    value: &Tensor<Vector<f32, N>>,
    grad: &Tensor<Vector<f32, N>>,
    log_sums: &Tensor<f32>,
    shares: &Tensor<f32>,
    table: &Tensor<u32>,
    key_gradient: &mut Tensor<Vector<f32, N>>,
    value_gradient: &mut Tensor<Vector<f32, N>>,
    keys_at: u32,
    positions_at: u32,
    n_out: u32,
    scale: f32,
    softcap: f32,
    window: u32,
    #[comptime] heads: Heads,
) {
    let own_parts = comptime!(heads.own_parts());
    let vectors = comptime!(heads.vectors);
    let width = comptime!(heads.n * heads.vectors);
    let kv_width = comptime!(heads.n_kv * heads.vectors);
    let place = own_place();
    let block = keys_at as usize + CUBE_POS_X as usize * comptime!(KEY_NUMBERS);
    let first = table[block] as usize;
    let end = table[block + 1] as usize;
    let rows_start = table[block + 2] as usize;
    let rows_end = table[block + 3] as usize;
    let target = table[block + 4] as usize;
    let head = CUBE_POS_Y as usize;
    let kv_head = head / comptime!(heads.group());
    let member = head % comptime!(heads.group());
    let first_part = CUBE_POS_Z as usize * own_parts;
    let keys = own_rows(first, end, &place);
    let key_starts = starts(&keys, kv_head * vectors, kv_width);
    let positions = positions_at as usize;
    let row_window = window as usize;

    let mut tiles = (
        Shared::<[Vector<f32, N>]>::new_slice(comptime!(VECTORS)),
        Shared::<[Vector<f32, N>]>::new_slice(comptime!(VECTORS)),
    );
    let mut weights = Shared::<[f32]>::new_slice(comptime!(NUMBERS));
    let mut scores = Array::<f32>::new(comptime!(OWN));
    let mut toward = Array::<f32>::new(comptime!(OWN));
    let mut dkey = Array::<Vector<f32, N>>::new(comptime!(heads.own_parts() * SPAN));
    let mut dvalue = Array::<Vector<f32, N>>::new(comptime!(heads.own_parts() * SPAN));
    clear_vectors::<N>(&mut dkey, comptime!(heads.own_parts() * SPAN));
    clear_vectors::<N>(&mut dvalue, comptime!(heads.own_parts() * SPAN));
    let mut start = rows_start;
    while start < rows_end {
        let rows = own_rows(start, rows_end, &place);
        let row_starts = starts(&rows, head * vectors, width);
        products::<N>(&mut tiles, &mut scores, key, &key_starts, query, &row_starts, &place, heads);
        products::<N>(&mut tiles, &mut toward, value, &key_starts, grad, &row_starts, &place, heads);
        #[unroll]
        for j in 0..comptime!(SPAN) {
            let mut row = start + place.across + comptime!(j * SIDE);
            let is_row = row < rows_end;
            if !is_row {
                row = rows_end - 1;
            }
            let position = table[positions + row] as usize;
            let log_sum = log_sums[row * comptime!(heads.n) + head];
            let share = shares[row * comptime!(heads.n) + head];
            #[unroll]
            for i in 0..comptime!(SPAN) {
                let at = comptime!(i * SPAN + j);
                let mut weight = 0.0f32;
                let mut slope = 0.0f32;
                if is_row && row >= keys[i] {
                    let key_position = table[positions + keys[i]] as usize;
                    if position - key_position < row_window {
                        let score = capped(scores[at] * scale, softcap, heads.is_capped);
                        weight = (score - log_sum).exp();
                        slope = weight
                            * (toward[at] - share)
                            * scale
                            * cap_slope(score, softcap, heads.is_capped);
                    }
                }
                scores[at] = weight;
                toward[at] = slope;
            }
        }
        keep(&mut weights, &scores, &place);
        add_weighted_rows::<N>(
            &mut tiles.1,
            &mut dvalue,
            &weights,
            grad,
            &row_starts,
            first_part,
            &place,
            own_parts,
            heads,
        );
        keep(&mut weights, &toward, &place);
        add_weighted_rows::<N>(
            &mut tiles.1,
            &mut dkey,
            &weights,
            query,
            &row_starts,
            first_part,
            &place,
            own_parts,
            heads,
        );
        start += comptime!(BLOCK);
    }
    #[unroll]
    for i in 0..comptime!(SPAN) {
        let line = place.down + comptime!(i * SIDE);
        if first + line < end {
            let at = (member * n_out as usize + target + line) * kv_width + kv_head * vectors;
            #[unroll]
            for part in 0..own_parts {
                let vector = (first_part + part) * comptime!(PART) + place.across;
                if vector < vectors {
                    key_gradient[at + vector] = dkey[comptime!(part * SPAN + i)];
                    value_gradient[at + vector] = dvalue[comptime!(part * SPAN + i)];
                }
            }
        }
    }
}
