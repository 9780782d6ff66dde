//! Metadata values.

mod read;
mod write;

use std::fmt;

pub(super) use write::put_string;

/// A metadata value, at the width it has in the file.
///
/// llama.cpp reads a key at one width alone; nearly all of its whole numbers are `uint32`.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the cases are the names of the types")]
pub enum GgufValue {
    Uint8(u8),
    Int8(i8),
    Uint16(u16),
    Int16(i16),
    Uint32(u32),
    Int32(i32),
    Uint64(u64),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    Bool(bool),
    String(String),
    Array(GgufArray),
}

/// A metadata array, at the width it has in the file.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the cases are the names of the element types")]
pub enum GgufArray {
    Uint8(Vec<u8>),
    Int8(Vec<i8>),
    Uint16(Vec<u16>),
    Int16(Vec<i16>),
    Uint32(Vec<u32>),
    Int32(Vec<i32>),
    Uint64(Vec<u64>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Bool(Vec<bool>),
    String(Vec<String>),
    Array(Vec<GgufArray>),
}

impl GgufValue {
    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        u64::try_from(self.whole()?).ok()
    }

    /// Any number. An `f32` becomes the shortest decimal that stands for it, so that `1e-5` stays `1e-5`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float32(x) => x.to_string().parse().ok(),
            Self::Float64(x) => Some(*x),
            _ => self.whole().map(|n| n as f64),
        }
    }

    /// A string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    /// A whole number of any width.
    fn whole(&self) -> Option<i128> {
        Some(match *self {
            Self::Uint8(n) => n.into(),
            Self::Int8(n) => n.into(),
            Self::Uint16(n) => n.into(),
            Self::Int16(n) => n.into(),
            Self::Uint32(n) => n.into(),
            Self::Int32(n) => n.into(),
            Self::Uint64(n) => n.into(),
            Self::Int64(n) => n.into(),
            _ => return None,
        })
    }
}

impl GgufArray {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Uint8(v) => v.len(),
            Self::Int8(v) => v.len(),
            Self::Uint16(v) => v.len(),
            Self::Int16(v) => v.len(),
            Self::Uint32(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Uint64(v) => v.len(),
            Self::Int64(v) => v.len(),
            Self::Float32(v) => v.len(),
            Self::Float64(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::String(v) => v.len(),
            Self::Array(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// As an error or a listing shows it: long strings and arrays by their length.
impl fmt::Display for GgufValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float32(x) => x.fmt(f),
            Self::Float64(x) => x.fmt(f),
            Self::Bool(flag) => flag.fmt(f),
            Self::String(text) if text.chars().count() <= 80 => write!(f, "{text:?}"),
            Self::String(text) => write!(f, "{:?}…", text.chars().take(80).collect::<String>()),
            Self::Array(array) => write!(f, "a list of {}", array.len()),
            _ => self.whole().unwrap_or_default().fmt(f),
        }
    }
}
