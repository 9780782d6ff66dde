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
mod devices;
mod experiments;
mod exports;
mod generating;
mod layering;
mod long_rows;
mod moving_reference;
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
mod streaming;
mod tables;
mod token_level;
mod training_golden;
mod variants;
mod votes;
