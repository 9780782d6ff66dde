//! Black-box and golden tests of the whole workspace.
