//! A configurable decoder on burn: weights in and out, log-probabilities over packed trees, generation
