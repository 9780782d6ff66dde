//! `cargo xtask`: builds the `dpo` program with the wanted backend and runs it.

fn main() {}
