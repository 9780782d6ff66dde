//! The preference-training loop: reference cache, optimizer, checkpoints, exact resume, evaluation
