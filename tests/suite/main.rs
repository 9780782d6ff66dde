//! Tests of the whole workspace: golden numbers, properties that cross crates, and the binary from outside.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

mod decoder_golden;
