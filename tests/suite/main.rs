//! Tests of the whole workspace: golden numbers, properties that cross crates, and the binary from outside.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests")]

mod program;
mod support;

mod accumulation;
mod adapters;
mod backends;
mod bad_input;
mod benchmarks;
mod checking;
mod damage;
mod decoder_golden;
mod exports;
mod generating;
mod layering;
mod long_rows;
mod objectives;
mod packing;
mod precision;
mod preferences;
mod prepared_rows;
mod real_model;
mod recompute;
mod reproducible;
mod resume;
mod rounds;
mod saved_model;
mod scoring;
mod training_golden;
mod variants;
