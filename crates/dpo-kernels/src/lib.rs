//! Fused operations with their own backward for preference training on burn
