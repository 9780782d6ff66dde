//! Rows that come a window at a time, where not all of them fit in memory.

use std::fmt;

use dpo_data::TokenTree;

use crate::{ReferenceLogps, TrainError};

/// Where the rows of a run come from, window after window and pass after pass.
///
/// The windows are a function of the files and settings alone: a run that goes on asks for all of them again, from the first one
/// on, and trains on those that it has not been trained on.
pub trait Windows: fmt::Debug {
    /// The next rows in the order of the files, at least one; no window holds rows of two passes.
    fn next(&mut self) -> Result<Window, TrainError>;

    /// What the reference says of the rows of a window; asked of those that are trained on, once.
    fn reference(&mut self, trees: &[TokenTree]) -> Result<Option<ReferenceLogps>, TrainError>;
}

/// Rows that are shuffled with each other.
#[derive(Debug)]
pub struct Window {
    /// At least one.
    pub trees: Vec<TokenTree>,
    /// Passes over all files before this one.
    pub pass: u64,
}
