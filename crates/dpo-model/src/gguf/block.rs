//! Formats of tensor values: dequantisation value for value, and rounding byte for byte, as ggml has them
//! (`ggml-quants.c`).

mod encode;
mod iq4;
mod k_quants;
mod legacy;

use crate::error::ModelError;
use crate::weights::WeightDtype;
use half::f16;

/// How a tensor's values are stored.
///
/// A quantised type has blocks of 32 values, or of 256 where its name ends in `K` or `XS`: scales and, for some types,
/// offsets, then small integers `q`. A value is `scale·(q − zero)` or `scale·q ± offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the cases are ggml's own names, described above")]
#[expect(non_camel_case_types, reason = "the cases are ggml's own names")]
pub enum GgmlType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
}

/// What is fixed about a type.
struct Layout {
    code: u32,
    name: &'static str,
    block_len: usize,
    block_bytes: usize,
}

impl GgmlType {
    /// All types that can be read.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
    ];

    /// The types that can be written too.
    pub const WRITABLE: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q4_0];

    fn layout(self) -> Layout {
        let (code, name, block_len, block_bytes) = match self {
            Self::F32 => (0, "F32", 1, 4),
            Self::F16 => (1, "F16", 1, 2),
            Self::Q4_0 => (2, "Q4_0", 32, 2 + 16),
            Self::Q4_1 => (3, "Q4_1", 32, 4 + 16),
            Self::Q5_0 => (6, "Q5_0", 32, 2 + 4 + 16),
            Self::Q5_1 => (7, "Q5_1", 32, 4 + 4 + 16),
            Self::Q8_0 => (8, "Q8_0", 32, 2 + 32),
            Self::Q2_K => (10, "Q2_K", 256, 16 + 64 + 4),
            Self::Q3_K => (11, "Q3_K", 256, 32 + 64 + 12 + 2),
            Self::Q4_K => (12, "Q4_K", 256, 4 + 12 + 128),
            Self::Q5_K => (13, "Q5_K", 256, 4 + 12 + 32 + 128),
            Self::Q6_K => (14, "Q6_K", 256, 128 + 64 + 16 + 2),
            Self::IQ4_NL => (20, "IQ4_NL", 32, 2 + 16),
            Self::IQ4_XS => (23, "IQ4_XS", 256, 2 + 2 + 4 + 128),
            Self::Bf16 => (30, "BF16", 1, 2),
        };
        Layout { code, name, block_len, block_bytes }
    }

    pub(super) fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|ggml_type| ggml_type.code() == code)
    }

    pub(super) fn code(self) -> u32 {
        self.layout().code
    }

    /// The name of a type that cannot be read, as far as it has one.
    pub(super) fn describe_code(code: u32) -> String {
        let name = match code {
            9 => "Q8_1",
            15 => "Q8_K",
            16..=19 | 21 | 22 | 29 => "IQ",
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
        self.layout().name
    }

    /// The format that keeps the values when they are saved elsewhere.
    pub fn saved_as(self) -> WeightDtype {
        match self {
            Self::F16 => WeightDtype::F16,
            Self::Bf16 => WeightDtype::Bf16,
            _ => WeightDtype::F32,
        }
    }

    /// Values of a block; the innermost axis of a tensor has to be a multiple of it.
    pub fn block_len(self) -> usize {
        self.layout().block_len
    }

    pub(super) fn block_bytes(self) -> usize {
        self.layout().block_bytes
    }

    /// Bytes of this many values, whole blocks of them.
    pub(super) fn n_bytes(self, n_values: usize) -> u64 {
        let Layout { block_len, block_bytes, .. } = self.layout();
        (n_values / block_len) as u64 * block_bytes as u64
    }

    /// Appends the values of whole blocks.
    pub(crate) fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => WeightDtype::F32.decode(bytes, values),
            Self::F16 => WeightDtype::F16.decode(bytes, values),
            Self::Bf16 => WeightDtype::Bf16.decode(bytes, values),
            Self::Q4_0 => blocks::<_, 18>(bytes).for_each(|block| legacy::q4_0(block, values)),
            Self::Q4_1 => blocks::<_, 20>(bytes).for_each(|block| legacy::q4_1(block, values)),
            Self::Q5_0 => blocks::<_, 22>(bytes).for_each(|block| legacy::q5_0(block, values)),
            Self::Q5_1 => blocks::<_, 24>(bytes).for_each(|block| legacy::q5_1(block, values)),
            Self::Q8_0 => blocks::<_, 34>(bytes).for_each(|block| legacy::q8_0(block, values)),
            Self::Q2_K => blocks::<_, 84>(bytes).for_each(|block| k_quants::q2_k(block, values)),
            Self::Q3_K => blocks::<_, 110>(bytes).for_each(|block| k_quants::q3_k(block, values)),
            Self::Q4_K => blocks::<_, 144>(bytes).for_each(|block| k_quants::q4_k(block, values)),
            Self::Q5_K => blocks::<_, 176>(bytes).for_each(|block| k_quants::q5_k(block, values)),
            Self::Q6_K => blocks::<_, 210>(bytes).for_each(|block| k_quants::q6_k(block, values)),
            Self::IQ4_NL => blocks::<_, 18>(bytes).for_each(|block| iq4::iq4_nl(block, values)),
            Self::IQ4_XS => blocks::<_, 136>(bytes).for_each(|block| iq4::iq4_xs(block, values)),
        }
    }

    /// Appends the bytes of `values`, whole blocks of them, rounded as ggml does; an error unless the type is one of
    /// [`Self::WRITABLE`].
    pub fn encode(self, values: &[f32], bytes: &mut Vec<u8>) -> Result<(), ModelError> {
        let block_len = self.block_len();
        assert!(
            values.len().is_multiple_of(block_len),
            "{} values are no whole blocks of {block_len}",
            values.len()
        );
        match self {
            Self::F32 => WeightDtype::F32.encode(values, bytes),
            Self::F16 => WeightDtype::F16.encode(values, bytes),
            Self::Bf16 => WeightDtype::Bf16.encode(values, bytes),
            Self::Q8_0 => blocks::<_, 32>(values).for_each(|block| encode::q8_0(block, bytes)),
            Self::Q4_0 => blocks::<_, 32>(values).for_each(|block| encode::q4_0(block, bytes)),
            _ => return Err(ModelError::NotWritable { ggml_type: self }),
        }
        Ok(())
    }

    /// The first value that cannot be stored: a finite one that becomes infinite, or one that no block can hold.
    pub(super) fn first_unfit(self, values: &[f32]) -> Option<f32> {
        // The magnitude whose block has a scale of 1: scales are `f16`.
        let unit = match self {
            Self::F16 => return WeightDtype::F16.first_overflow(values),
            Self::Bf16 => return WeightDtype::Bf16.first_overflow(values),
            Self::Q8_0 => 127.0,
            Self::Q4_0 => 8.0,
            _ => return None,
        };
        values.iter().copied().find(|value| !f16::from_f32(value / unit).is_finite())
    }
}

fn blocks<T, const N: usize>(items: &[T]) -> impl Iterator<Item = &[T; N]> {
    items.as_chunks::<N>().0.iter()
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Values 0 to 15 are the low halves of the bytes, 16 to 31 the high ones.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4))
}
