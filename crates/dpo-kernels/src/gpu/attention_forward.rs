//! Tree attention, a tile of rows and a head a cube, which meets a tile of keys at a time.
//!
//! Scores are in shared memory for one tile only; the softmax is made on the way, as in
//! <https://arxiv.org/abs/2205.14135>.

use cubecl::prelude::*;

use super::{
    attention_rows::{
        Heads, OWN, add_weighted_rows, block_of, first_seen, key_starts, own_rows, position_of, products,
        starts,
    },
    caps::capped,
    tiles::{BLOCK, NUMBERS, PART, SIDE, SPAN, VECTORS, clear_vectors, keep, own_place},
};

/// The maximum of an empty row.
const LEAST: f32 = -1.0e30;

/// Output, and the log-sum-exp of each row and head.
#[cube(launch_unchecked)]
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
    let parts = comptime!(heads.parts());
    let vectors = comptime!(heads.vectors);
    let width = comptime!(heads.n * heads.vectors);
    let kv_width = comptime!(heads.n_kv * heads.vectors);
    let place = own_place();
    let block = block_of(table);
    let head = CUBE_POS_Y as usize;
    let kv_at = head / comptime!(heads.group()) * vectors;
    let own = own_rows(block.first, block.end, &place);
    let own_starts = starts(&own, head * vectors, width);
    let row_window = window as usize;
    let n_keys = position_of(&block, block.end);

    let mut tiles = (
        Shared::<[Vector<f32, N>]>::new_slice(comptime!(VECTORS)),
        Shared::<[Vector<f32, N>]>::new_slice(comptime!(VECTORS)),
    );
    let mut weights = Shared::<[f32]>::new_slice(comptime!(NUMBERS));
    let mut exchange = Shared::<[f32]>::new_slice(comptime!(BLOCK * SIDE));
    let mut scores = Array::<f32>::new(comptime!(OWN));
    let mut sums = Array::<Vector<f32, N>>::new(comptime!(heads.parts() * SPAN));
    clear_vectors::<N>(&mut sums, comptime!(heads.parts() * SPAN));
    // Of each row the greatest score so far, and the unit's share of the sum of weights.
    let mut maxima = Array::<f32>::new(comptime!(SPAN));
    let mut shares = Array::<f32>::new(comptime!(SPAN));
    #[unroll]
    for i in 0..comptime!(SPAN) {
        maxima[i] = f32::new(LEAST);
        shares[i] = 0.0f32;
    }
    let mut start = first_seen(position_of(&block, block.first), row_window);
    while start < n_keys {
        let keys = key_starts(&block, start, n_keys, kv_at, &place, kv_width);
        products::<N>(&mut tiles, &mut scores, query, &own_starts, key, &keys, &place, heads);
        #[unroll]
        for i in 0..comptime!(SPAN) {
            let position = position_of(&block, own[i]);
            let seen = first_seen(position, row_window);
            let mut max = maxima[i];
            #[unroll]
            for j in 0..comptime!(SPAN) {
                let at = comptime!(i * SPAN + j);
                let key_idx = start + place.across + comptime!(j * SIDE);
                let mut score = f32::new(LEAST);
                if key_idx <= position && key_idx >= seen {
                    score = capped(scores[at] * scale, softcap, heads.is_capped);
                }
                scores[at] = score;
                if score > max {
                    max = score;
                }
            }
            exchange[(place.down + comptime!(i * SIDE)) * comptime!(SIDE) + place.across] = max;
        }
        sync_cube();
        #[unroll]
        for i in 0..comptime!(SPAN) {
            let mut max = maxima[i];
            #[unroll]
            for unit in 0..comptime!(SIDE) {
                let other = exchange[(place.down + comptime!(i * SIDE)) * comptime!(SIDE) + unit];
                if other > max {
                    max = other;
                }
            }
            let shrink = (maxima[i] - max).exp();
            maxima[i] = max;
            let mut share = shares[i] * shrink;
            #[unroll]
            for j in 0..comptime!(SPAN) {
                let at = comptime!(i * SPAN + j);
                scores[at] = (scores[at] - max).exp();
                share += scores[at];
            }
            shares[i] = share;
            #[unroll]
            for part in 0..parts {
                let at = comptime!(part * SPAN + i);
                sums[at] = sums[at] * Vector::<f32, N>::new(shrink);
            }
        }
        keep(&mut weights, &scores, &place);
        add_weighted_rows::<N>(&mut tiles.1, &mut sums, &weights, value, &keys, 0usize, &place, parts, heads);
        start += comptime!(BLOCK);
    }
    #[unroll]
    for i in 0..comptime!(SPAN) {
        exchange[(place.down + comptime!(i * SIDE)) * comptime!(SIDE) + place.across] = shares[i];
    }
    sync_cube();
    #[unroll]
    for i in 0..comptime!(SPAN) {
        let line = place.down + comptime!(i * SIDE);
        let mut sum = 0.0f32;
        #[unroll]
        for unit in 0..comptime!(SIDE) {
            sum += exchange[line * comptime!(SIDE) + unit];
        }
        if block.first + line < block.end {
            #[unroll]
            for part in 0..parts {
                let vector = comptime!(part * PART) + place.across;
                if vector < vectors {
                    output[own_starts[i] + vector] =
                        sums[comptime!(part * SPAN + i)] / Vector::<f32, N>::new(sum);
                }
            }
            if place.across == 0 {
                log_sums[own[i] * comptime!(heads.n) + head] = maxima[i] + sum.ln();
            }
        }
    }
}
