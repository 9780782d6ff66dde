//! Metadata values from a file, none larger than what is left of it.

use super::{GgufArray, GgufValue};
use crate::error::ModelError;
use crate::gguf::cursor::Cursor;

/// Arrays within arrays; real files have none.
const MAX_DEPTH: usize = 4;

impl GgufValue {
    /// Reads a type code and a value of that type.
    pub(in crate::gguf) fn read(cursor: &mut Cursor, key: &str) -> Result<Self, ModelError> {
        let code = cursor.u32(key)?;
        Ok(match code {
            0 => Self::Uint8(u8::from_le_bytes(cursor.array(key)?)),
            1 => Self::Int8(i8::from_le_bytes(cursor.array(key)?)),
            2 => Self::Uint16(u16::from_le_bytes(cursor.array(key)?)),
            3 => Self::Int16(i16::from_le_bytes(cursor.array(key)?)),
            4 => Self::Uint32(cursor.u32(key)?),
            5 => Self::Int32(i32::from_le_bytes(cursor.array(key)?)),
            6 => Self::Float32(f32::from_le_bytes(cursor.array(key)?)),
            7 => Self::Bool(u8::from_le_bytes(cursor.array(key)?) != 0),
            8 => Self::String(cursor.string(key)?),
            9 => Self::Array(GgufArray::read(cursor, key, 1)?),
            10 => Self::Uint64(cursor.u64(key)?),
            11 => Self::Int64(i64::from_le_bytes(cursor.array(key)?)),
            12 => Self::Float64(f64::from_le_bytes(cursor.array(key)?)),
            other => return Err(unknown_type(cursor, key, other)),
        })
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
