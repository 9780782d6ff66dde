//! Four bits a value that stand for unevenly spaced numbers, closer together around zero.

use super::{half_at, nibbles};

/// What the four bits stand for, `kvalues_iq4nl` of ggml.
const LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// `d` and 16 bytes: 32 values.
pub(super) fn iq4_nl(block: &[u8; 18], values: &mut Vec<f32>) {
    extend(values, half_at(block, 0), &block[2..]);
}

/// `d`; the upper two bits of eight scales, their lower four; eight groups of 32 values.
pub(super) fn iq4_xs(block: &[u8; 136], values: &mut Vec<f32>) {
    let d = half_at(block, 0);
    let (high, low) = (u16::from_le_bytes([block[2], block[3]]), &block[4..8]);
    for (group, bytes) in block[8..].as_chunks::<16>().0.iter().enumerate() {
        let low = low[group / 2] >> (group % 2 * 4) & 15;
        let scale = low | ((high >> (2 * group)) as u8 & 3) << 4;
        extend(values, d * (f32::from(scale) - 32.0), bytes);
    }
}

fn extend(values: &mut Vec<f32>, scale: f32, bytes: &[u8]) {
    values.extend(nibbles(bytes).map(|q| scale * f32::from(LEVELS[usize::from(q)])));
}
