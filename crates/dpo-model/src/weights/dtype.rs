//! Number formats that weights are stored in, and the way between their bytes and `f32`.

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// A number format of stored weights. All are little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightDtype {
    /// IEEE single precision.
    #[serde(rename = "float32")]
    F32,
    /// IEEE half precision.
    #[serde(rename = "float16")]
    F16,
    /// The upper half of single precision.
    #[serde(rename = "bfloat16")]
    Bf16,
    /// IEEE double precision.
    #[serde(rename = "float64")]
    F64,
}

impl WeightDtype {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::F64];

    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Its name in a safetensors header.
    pub fn safetensors_name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F64 => "F64",
        }
    }

    /// Its name in `config.json`.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F64 => "float64",
        }
    }

    pub(crate) fn from_safetensors_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.safetensors_name() == name)
    }

    pub(crate) fn from_torch_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.torch_name() == name)
    }

    /// Appends the values of `bytes`, whole values only; those of `f64` are rounded to nearest even.
    pub(crate) fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => values.extend(chunks(bytes).map(f32::from_le_bytes)),
            Self::F16 => values.extend(chunks(bytes).map(|b| f16::from_le_bytes(b).to_f32())),
            Self::Bf16 => values.extend(chunks(bytes).map(|b| bf16::from_le_bytes(b).to_f32())),
            Self::F64 => values.extend(chunks(bytes).map(|b| f64::from_le_bytes(b) as f32)),
        }
    }

    /// Appends the bytes of `values`, rounded to nearest even.
    pub(crate) fn encode(self, values: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Self::F32 => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Self::F16 => bytes.extend(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes())),
            Self::Bf16 => bytes.extend(values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes())),
            Self::F64 => bytes.extend(values.iter().flat_map(|v| f64::from(*v).to_le_bytes())),
        }
    }

    /// The first finite value that becomes infinite in this format.
    pub(crate) fn first_overflow(self, values: &[f32]) -> Option<f32> {
        let infinite = |value: f32| match self {
            Self::F16 => f16::from_f32(value).is_infinite(),
            Self::Bf16 => bf16::from_f32(value).is_infinite(),
            Self::F32 | Self::F64 => false,
        };
        values.iter().copied().find(|value| value.is_finite() && infinite(*value))
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}
