//! Tests of the losses on the processor.
#![allow(clippy::unwrap_used)]

mod batches;
mod combined;
mod common;
mod golden;
mod graded;
mod known_answers;
mod labelled;
mod ranked;
mod shared;
mod token_level;
