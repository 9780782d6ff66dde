//! Batches on several threads.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

use super::{
    GenerateConfig, NewToken, Next,
    batch::{self, Done, Sequence},
    plan::Job,
};
use crate::{Decoder, ModelError};

/// Generates all batches, at most `max_workers` at a time.
///
/// The batches are the same however many threads there are, and so are the results.
pub(super) fn run(
    model: &Decoder,
    prompts: &[Vec<u32>],
    batches: Vec<Vec<Job>>,
    config: &GenerateConfig,
    on_token: impl FnMut(NewToken) -> Next + Send,
) -> Result<Vec<Done>, ModelError> {
    let n_workers = config.max_workers.get().min(batches.len());
    let on_token = Mutex::new(on_token);
    let on_token = |new| lock(&on_token)(new);
    // Longest prompts first: a long batch that begins last would keep one thread busy alone.
    let queue = Mutex::new(batches);
    let worker = |model: &Decoder| {
        let mut done = Vec::new();
        while let Some(batch) = take(&queue) {
            let sequences =
                batch.iter().map(|job| Sequence::new(&prompts[job.sequence], *job, config)).collect();
            let generated = batch::run(model, sequences, config, &on_token);
            done.extend(generated.inspect_err(|_| lock(&queue).clear())?);
        }
        Ok(done)
    };
    if n_workers < 2 {
        return worker(model);
    }
    thread::scope(|scope| {
        let worker = &worker;
        let spawn = |_| {
            let model = model.clone();
            scope.spawn(move || worker(&model))
        };
        let threads: Vec<_> = (0..n_workers).map(spawn).collect();
        let results =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        results.collect::<Result<Vec<_>, ModelError>>().map(|done| done.concat())
    })
}

fn take(queue: &Mutex<Vec<Vec<Job>>>) -> Option<Vec<Job>> {
    lock(queue).pop()
}

/// The value, whatever happened to the thread that held it last: its panic is passed on when it is joined.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
