//! Rounding to blocks as ggml's reference does it (`quantize_row_q8_0_ref`, `quantize_row_q4_0_ref`), byte for byte.

use half::f16;

/// `d` is the largest magnitude over 127, and a value is rounded half away from zero.
pub(super) fn q8_0(values: &[f32; 32], bytes: &mut Vec<u8>) {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let d = largest / 127.0;
    let inverse = inverse(d);
    bytes.extend(f16::from_f32(d).to_le_bytes());
    bytes.extend(values.iter().map(|value| (value * inverse).round() as i8 as u8));
}

/// `d` is the value of largest magnitude over −8, so that this one comes out exact; 15 is the most that fits.
pub(super) fn q4_0(values: &[f32; 32], bytes: &mut Vec<u8>) {
    let farther = |far: f32, value: &f32| if value.abs() > far.abs() { *value } else { far };
    let d = values.iter().fold(0.0, farther) / -8.0;
    let inverse = inverse(d);
    bytes.extend(f16::from_f32(d).to_le_bytes());
    let quant = |value: &f32| ((value * inverse + 8.5) as u8).min(15);
    let (low, high) = values.split_at(16);
    bytes.extend(low.iter().zip(high).map(|(low, high)| quant(low) | quant(high) << 4));
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}
