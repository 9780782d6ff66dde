//! Formats of tensor values and their dequantisation, value for value that of ggml (`ggml-quants.c`).

use crate::weights::WeightDtype;
use half::f16;

/// How a tensor's values are stored.
///
/// A quantised type has blocks of 32 values: a scale `d` and, for the `_1` types, an offset `m`, both `f16`; then
/// small integers `q`. A value is `d·(q − zero)` or `d·q + m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the cases are ggml's own names, described above")]
pub enum GgmlType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
}

impl GgmlType {
    /// All types that can be read.
    pub const ALL: [Self; 8] =
        [Self::F32, Self::F16, Self::Bf16, Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1, Self::Q8_0];

    pub(super) fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|ggml_type| ggml_type.code() == code)
    }

    fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Bf16 => 30,
        }
    }

    /// The name of a type that cannot be read, as far as it has one.
    pub(super) fn describe_code(code: u32) -> String {
        let name = match code {
            9 => "Q8_1",
            10 => "Q2_K",
            11 => "Q3_K",
            12 => "Q4_K",
            13 => "Q5_K",
            14 => "Q6_K",
            15 => "Q8_K",
            16..=23 | 29 => "IQ",
            24..=27 => "I8 to I64",
            28 => "F64",
            34 | 35 => "TQ",
            39 => "MXFP4",
            _ => return format!("{code}, which is none of ggml's"),
        };
        format!("{name} ({code})")
    }

    /// ggml's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
        }
    }

    /// The format that keeps the values when they are saved elsewhere.
    pub fn saved_as(self) -> WeightDtype {
        match self {
            Self::F16 => WeightDtype::F16,
            Self::Bf16 => WeightDtype::Bf16,
            _ => WeightDtype::F32,
        }
    }

    pub(super) fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
        }
    }

    pub(super) fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
        }
    }

    /// Appends the values of whole blocks.
    pub(super) fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => WeightDtype::F32.decode(bytes, values),
            Self::F16 => WeightDtype::F16.decode(bytes, values),
            Self::Bf16 => WeightDtype::Bf16.decode(bytes, values),
            Self::Q4_0 => blocks::<18>(bytes).for_each(|block| q4_0(block, values)),
            Self::Q4_1 => blocks::<20>(bytes).for_each(|block| q4_1(block, values)),
            Self::Q5_0 => blocks::<22>(bytes).for_each(|block| q5_0(block, values)),
            Self::Q5_1 => blocks::<24>(bytes).for_each(|block| q5_1(block, values)),
            Self::Q8_0 => blocks::<34>(bytes).for_each(|block| q8_0(block, values)),
        }
    }
}

fn blocks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = &[u8; N]> {
    bytes.as_chunks::<N>().0.iter()
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Values 0 to 15 are the low halves of the bytes, 16 to 31 the high ones.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4))
}

/// As [`nibbles`], with a fifth bit for each value from a word of 32.
fn five_bits<'a>(word: &[u8], bytes: &'a [u8]) -> impl Iterator<Item = u8> + use<'a> {
    let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    nibbles(bytes).enumerate().map(move |(i, low)| low | ((word >> i) as u8 & 1) << 4)
}

fn q4_0(block: &[u8; 18], values: &mut Vec<f32>) {
    let d = half_at(block, 0);
    values.extend(nibbles(&block[2..]).map(|q| d * (f32::from(q) - 8.0)));
}

fn q4_1(block: &[u8; 20], values: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    values.extend(nibbles(&block[4..]).map(|q| d * f32::from(q) + m));
}

fn q5_0(block: &[u8; 22], values: &mut Vec<f32>) {
    let d = half_at(block, 0);
    values.extend(five_bits(&block[2..6], &block[6..]).map(|q| d * (f32::from(q) - 16.0)));
}

fn q5_1(block: &[u8; 24], values: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    values.extend(five_bits(&block[4..8], &block[8..]).map(|q| d * f32::from(q) + m));
}

fn q8_0(block: &[u8; 34], values: &mut Vec<f32>) {
    let d = half_at(block, 0);
    values.extend(block[2..].iter().map(|&byte| d * f32::from(byte as i8)));
}
