//! Packed operands that the next products may read as well: one input goes into queries, keys and values, and into an
//! adapter beside each.

use std::sync::{Arc, Mutex, Weak};

use burn::tensor::Bytes;

use super::{
    bf16::{Packed, Side},
    linear::Factor,
};

/// Operands that are kept: what one layer reads, forward or backward.
const KEPT: usize = 6;

/// A packed operand and what it was packed from.
struct Recent {
    /// Does not keep the numbers alive. While they are, nothing has changed them: burn copies, or moves to another place,
    /// what it is about to change while somebody else refers to it.
    numbers: Weak<Bytes>,
    place: Place,
    packed: Arc<Packed>,
}

/// Where an operand lies in its numbers, and what it is packed as.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    dims: [usize; 2],
    strides: [usize; 2],
    side: Side,
}

impl Place {
    fn of(factor: Factor<'_>, side: Side) -> Self {
        let matrix = factor.matrix();
        let start = factor.tensor.layout().start_offset();
        Self { start, dims: matrix.dims(), strides: matrix.strides(), side }
    }
}

/// The last first.
static RECENT: Mutex<Vec<Recent>> = Mutex::new(Vec::new());

/// Operands in tiles; those that are not there yet are packed on all threads, and kept if they are shared.
pub(super) fn packed(factors: &[(Factor<'_>, Side)]) -> Vec<Arc<Packed>> {
    let mut all: Vec<Option<Arc<Packed>>> =
        factors.iter().map(|(factor, side)| find(*factor, *side)).collect();
    let missing: Vec<usize> = (0..all.len()).filter(|idx| all[*idx].is_none()).collect();
    let matrices: Vec<_> = missing.iter().map(|idx| (factors[*idx].0.matrix(), factors[*idx].1)).collect();
    for (idx, packed) in missing.into_iter().zip(Packed::on_all_threads(&matrices)) {
        let packed = Arc::new(packed);
        let (factor, side) = factors[idx];
        if factor.is_shared {
            keep(factor, side, Arc::clone(&packed));
        }
        all[idx] = Some(packed);
    }
    all.into_iter().flatten().collect()
}

fn find(factor: Factor<'_>, side: Side) -> Option<Arc<Packed>> {
    if !factor.is_shared {
        return None;
    }
    let (numbers, place) = (factor.tensor.data_arc(), Place::of(factor, side));
    let recent = RECENT.lock().ok()?;
    let is_it = |recent: &&Recent| recent.place == place && recent.numbers.as_ptr() == Arc::as_ptr(&numbers);
    recent.iter().find(is_it).map(|recent| Arc::clone(&recent.packed))
}

fn keep(factor: Factor<'_>, side: Side, packed: Arc<Packed>) {
    let numbers = Arc::downgrade(&factor.tensor.data_arc());
    let recent = Recent { numbers, place: Place::of(factor, side), packed };
    // What falls out gives its memory back after the lock.
    let _gone: Vec<Recent> = match RECENT.lock() {
        Ok(mut all) => {
            all.insert(0, recent);
            let gone = all.extract_if(.., |recent| recent.numbers.strong_count() == 0).collect();
            all.truncate(KEPT);
            gone
        }
        Err(_) => Vec::new(),
    };
}
