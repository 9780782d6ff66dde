//! Metadata values as bytes.

use super::{GgufArray, GgufValue};

impl GgufValue {
    /// Appends a type code and the value.
    pub(in crate::gguf) fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Uint8(n) => put(bytes, 0, n.to_le_bytes()),
            Self::Int8(n) => put(bytes, 1, n.to_le_bytes()),
            Self::Uint16(n) => put(bytes, 2, n.to_le_bytes()),
            Self::Int16(n) => put(bytes, 3, n.to_le_bytes()),
            Self::Uint32(n) => put(bytes, 4, n.to_le_bytes()),
            Self::Int32(n) => put(bytes, 5, n.to_le_bytes()),
            Self::Float32(x) => put(bytes, 6, x.to_le_bytes()),
            Self::Bool(flag) => put(bytes, 7, [u8::from(*flag)]),
            Self::String(text) => {
                put(bytes, 8, []);
                put_string(bytes, text);
            }
            Self::Array(array) => {
                put(bytes, 9, []);
                array.write(bytes);
            }
            Self::Uint64(n) => put(bytes, 10, n.to_le_bytes()),
            Self::Int64(n) => put(bytes, 11, n.to_le_bytes()),
            Self::Float64(x) => put(bytes, 12, x.to_le_bytes()),
        }
    }
}

impl GgufArray {
    /// Appends the elements' type code, their number and the elements.
    fn write(&self, bytes: &mut Vec<u8>) {
        let len = self.len() as u64;
        match self {
            Self::Uint8(list) => put_all(bytes, 0, list, |n| n.to_le_bytes()),
            Self::Int8(list) => put_all(bytes, 1, list, |n| n.to_le_bytes()),
            Self::Uint16(list) => put_all(bytes, 2, list, |n| n.to_le_bytes()),
            Self::Int16(list) => put_all(bytes, 3, list, |n| n.to_le_bytes()),
            Self::Uint32(list) => put_all(bytes, 4, list, |n| n.to_le_bytes()),
            Self::Int32(list) => put_all(bytes, 5, list, |n| n.to_le_bytes()),
            Self::Float32(list) => put_all(bytes, 6, list, |x| x.to_le_bytes()),
            Self::Bool(list) => put_all(bytes, 7, list, |flag| [u8::from(*flag)]),
            Self::String(list) => {
                put(bytes, 8, len.to_le_bytes());
                list.iter().for_each(|text| put_string(bytes, text));
            }
            Self::Array(list) => {
                put(bytes, 9, len.to_le_bytes());
                list.iter().for_each(|array| array.write(bytes));
            }
            Self::Uint64(list) => put_all(bytes, 10, list, |n| n.to_le_bytes()),
            Self::Int64(list) => put_all(bytes, 11, list, |n| n.to_le_bytes()),
            Self::Float64(list) => put_all(bytes, 12, list, |x| x.to_le_bytes()),
        }
    }
}

/// A length and the bytes of a text.
pub(in crate::gguf) fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn put<const N: usize>(bytes: &mut Vec<u8>, code: u32, value: [u8; N]) {
    bytes.extend(code.to_le_bytes());
    bytes.extend(value);
}

fn put_all<T, const N: usize>(bytes: &mut Vec<u8>, code: u32, list: &[T], to_bytes: impl Fn(&T) -> [u8; N]) {
    put(bytes, code, (list.len() as u64).to_le_bytes());
    bytes.extend(list.iter().flat_map(to_bytes));
}
