//! One entry as bytes, all numbers little-endian:
//!
//! | bytes | |
//! |---|---|
//! | 8 | [`MAGIC`] |
//! | 8 | length of the body |
//! | 32 | key |
//! | 4 + 4·K | body: number K of completions, number of tokens of each |
//! | 4·Σ | body: their log-probs as `f32`, completion after completion |
//! | 32 | BLAKE3 of all of the above |

use super::RowKey;

/// What an entry begins with.
pub(super) const MAGIC: [u8; 8] = *b"\x89dpoLP\r\n";
/// Bytes before the body.
pub(super) const HEADER: usize = 8 + 8 + 32;
/// Bytes after the body.
pub(super) const CHECKSUM: usize = 32;
/// No row has a longer body: that would be four million tokens.
pub(super) const MAX_BODY: u64 = 16 << 20;

/// An entry whose checksum held.
#[derive(Debug, PartialEq)]
pub(super) struct Record {
    pub(super) key: RowKey,
    pub(super) completions: Vec<Vec<f32>>,
}

/// Lays an entry down.
pub(super) fn encode(key: &RowKey, completions: &[Vec<f32>]) -> Vec<u8> {
    let n_tokens: usize = completions.iter().map(Vec::len).sum();
    let n_body = 4 * (1 + completions.len() + n_tokens);
    let mut bytes = Vec::with_capacity(HEADER + n_body + CHECKSUM);
    bytes.extend(MAGIC);
    bytes.extend((n_body as u64).to_le_bytes());
    bytes.extend(key.0);
    bytes.extend((completions.len() as u32).to_le_bytes());
    bytes.extend(completions.iter().flat_map(|logps| (logps.len() as u32).to_le_bytes()));
    bytes.extend(completions.iter().flatten().flat_map(|logp| logp.to_le_bytes()));
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

/// Length of the whole entry that begins with this header, if it is one.
pub(super) fn len_of(header: &[u8]) -> Option<u64> {
    let n_body = u64::from_le_bytes(header.get(8..16)?.try_into().ok()?);
    let is_one = header.starts_with(&MAGIC) && n_body <= MAX_BODY;
    is_one.then(|| (HEADER + CHECKSUM) as u64 + n_body)
}

/// The key of an entry whose checksum holds.
pub(super) fn verified_key(bytes: &[u8]) -> Option<RowKey> {
    let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    let is_whole = len_of(bytes)? == bytes.len() as u64 && blake3::hash(content).as_bytes() == checksum;
    is_whole.then(|| content[16..HEADER].try_into().ok().map(RowKey))?
}

impl Record {
    /// Reads an entry; `None` unless every bit of it is as it was written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let key = verified_key(bytes)?;
        let mut words = bytes[HEADER..bytes.len() - CHECKSUM].chunks_exact(4).map(|word| {
            let mut four = [0; 4];
            four.copy_from_slice(word);
            four
        });
        let n_completions = u32::from_le_bytes(words.next()?) as usize;
        let lengths: Vec<usize> =
            words.by_ref().take(n_completions).map(|word| u32::from_le_bytes(word) as usize).collect();
        let is_consistent = lengths.len() == n_completions && lengths.iter().sum::<usize>() == words.len();
        let completion = |n| words.by_ref().take(n).map(f32::from_le_bytes).collect();
        is_consistent
            .then_some(lengths)
            .map(|lengths| Self { key, completions: lengths.into_iter().map(completion).collect() })
    }
}
