//! Metadata values.

use super::cursor::Cursor;
use crate::error::ModelError;
use std::fmt;

/// Arrays within arrays; real files have none.
const MAX_DEPTH: usize = 4;

/// A metadata value. Whole numbers of every width are one case.
#[derive(Debug, Clone, PartialEq)]
pub enum GgufValue {
    /// `uint8` to `uint64`.
    Unsigned(u64),
    /// `int8` to `int64`.
    Signed(i64),
    /// `float32`.
    Float32(f32),
    /// `float64`.
    Float64(f64),
    /// `bool`.
    Bool(bool),
    /// `string`.
    String(String),
    /// `array`.
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
    /// Reads a type code and a value of that type.
    pub(super) fn read(cursor: &mut Cursor, key: &str) -> Result<Self, ModelError> {
        let code = cursor.u32(key)?;
        Ok(match code {
            0 => Self::Unsigned(u8::from_le_bytes(cursor.array(key)?).into()),
            1 => Self::Signed(i8::from_le_bytes(cursor.array(key)?).into()),
            2 => Self::Unsigned(u16::from_le_bytes(cursor.array(key)?).into()),
            3 => Self::Signed(i16::from_le_bytes(cursor.array(key)?).into()),
            4 => Self::Unsigned(cursor.u32(key)?.into()),
            5 => Self::Signed(i32::from_le_bytes(cursor.array(key)?).into()),
            6 => Self::Float32(f32::from_le_bytes(cursor.array(key)?)),
            7 => Self::Bool(u8::from_le_bytes(cursor.array(key)?) != 0),
            8 => Self::String(cursor.string(key)?),
            9 => Self::Array(GgufArray::read(cursor, key, 1)?),
            10 => Self::Unsigned(cursor.u64(key)?),
            11 => Self::Signed(i64::from_le_bytes(cursor.array(key)?)),
            12 => Self::Float64(f64::from_le_bytes(cursor.array(key)?)),
            other => return Err(unknown_type(cursor, key, other)),
        })
    }

    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(n) => Some(*n),
            Self::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Any number. An `f32` becomes the shortest decimal that stands for it, so that `1e-5` stays `1e-5`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(n) => Some(*n as f64),
            Self::Signed(n) => Some(*n as f64),
            Self::Float32(x) => x.to_string().parse().ok(),
            Self::Float64(x) => Some(*x),
            _ => None,
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
}

impl GgufArray {
    fn read(cursor: &mut Cursor, key: &str, depth: usize) -> Result<Self, ModelError> {
        let code = cursor.u32(key)?;
        let len = cursor.u64(key)?;
        Ok(match code {
            0 => Self::Uint8(numbers(cursor, key, len, u8::from_le_bytes)?),
            1 => Self::Int8(numbers(cursor, key, len, i8::from_le_bytes)?),
            2 => Self::Uint16(numbers(cursor, key, len, u16::from_le_bytes)?),
            3 => Self::Int16(numbers(cursor, key, len, i16::from_le_bytes)?),
            4 => Self::Uint32(numbers(cursor, key, len, u32::from_le_bytes)?),
            5 => Self::Int32(numbers(cursor, key, len, i32::from_le_bytes)?),
            6 => Self::Float32(numbers(cursor, key, len, f32::from_le_bytes)?),
            7 => Self::Bool(numbers(cursor, key, len, |byte: [u8; 1]| byte[0] != 0)?),
            8 => Self::String(items(cursor, key, len, 8, |cursor| cursor.string(key))?),
            9 if depth == MAX_DEPTH => {
                return Err(cursor.error(format!("`{key}` is nested more than {MAX_DEPTH} deep")));
            }
            9 => Self::Array(items(cursor, key, len, 12, |cursor| Self::read(cursor, key, depth + 1))?),
            10 => Self::Uint64(numbers(cursor, key, len, u64::from_le_bytes)?),
            11 => Self::Int64(numbers(cursor, key, len, i64::from_le_bytes)?),
            12 => Self::Float64(numbers(cursor, key, len, f64::from_le_bytes)?),
            other => return Err(unknown_type(cursor, key, other)),
        })
    }

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

fn unknown_type(cursor: &Cursor, key: &str, code: u32) -> ModelError {
    let at = cursor.position();
    cursor.error(format!("the metadata value `{key}` has the unknown type {code}, before byte {at}"))
}

fn numbers<T, const N: usize>(
    cursor: &mut Cursor,
    key: &str,
    len: u64,
    from_bytes: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, ModelError> {
    cursor.expect_room(len, N as u64, &format!("values of `{key}`"))?;
    let bytes = cursor.bytes(len * N as u64, key)?;
    Ok(bytes.as_chunks::<N>().0.iter().map(|chunk| from_bytes(*chunk)).collect())
}

fn items<T>(
    cursor: &mut Cursor,
    key: &str,
    len: u64,
    min_bytes: u64,
    mut read: impl FnMut(&mut Cursor) -> Result<T, ModelError>,
) -> Result<Vec<T>, ModelError> {
    cursor.expect_room(len, min_bytes, &format!("values of `{key}`"))?;
    let mut items = Vec::new(); // Grows with what is really there.
    for _ in 0..len {
        items.push(read(cursor)?);
    }
    Ok(items)
}

/// As an error or a listing shows it: long strings and arrays by their length.
impl fmt::Display for GgufValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(n) => n.fmt(f),
            Self::Signed(n) => n.fmt(f),
            Self::Float32(x) => x.fmt(f),
            Self::Float64(x) => x.fmt(f),
            Self::Bool(flag) => flag.fmt(f),
            Self::String(text) if text.chars().count() <= 80 => write!(f, "{text:?}"),
            Self::String(text) => write!(f, "{:?}…", text.chars().take(80).collect::<String>()),
            Self::Array(array) => write!(f, "a list of {}", array.len()),
        }
    }
}
