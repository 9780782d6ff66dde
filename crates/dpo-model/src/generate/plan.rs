//! Which sequences are generated together.

use super::GenerateConfig;

/// One sequence to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    /// Index of its prompt.
    pub(super) sequence: usize,
    /// Tokens of its prompt.
    pub(super) len: usize,
    /// Most tokens after the prompt, at least one.
    pub(super) room: usize,
}

/// Batches within the limits of `config`, at least one sequence each, prompts of similar length together, since the
/// shorter ones of a batch waste the slots that the longest one needs, and equal prompts side by side.
///
/// A sequence never outgrows `longest`; prompts that leave no room are left out.
pub(super) fn batches(prompts: &[Vec<u32>], config: &GenerateConfig, longest: usize) -> Vec<Vec<Job>> {
    let job = |(sequence, prompt): (usize, &Vec<u32>)| {
        let len = prompt.len();
        Job { sequence, len, room: config.max_new_tokens.min(longest.saturating_sub(len)) }
    };
    let mut jobs: Vec<Job> = prompts.iter().enumerate().map(job).filter(|job| job.room > 0).collect();
    jobs.sort_by_key(|job| (job.len, &prompts[job.sequence]));
    let mut batches: Vec<Vec<Job>> = Vec::new();
    for job in jobs {
        match batches.last_mut() {
            Some(batch) if fits(batch, job, config) => batch.push(job),
            _ => batches.push(vec![job]),
        }
    }
    batches
}

/// Whether one more sequence, none of those before it being longer, is within the limits.
fn fits(batch: &[Job], job: Job, config: &GenerateConfig) -> bool {
    let n = batch.len() + 1;
    let room = batch.iter().map(|job| job.room).max().unwrap_or(0).max(job.room);
    let tokens = job.len.saturating_add(room).saturating_mul(n);
    n <= config.max_batch.get() && tokens <= config.max_batch_tokens.get()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn lengths(batches: &[Vec<Job>]) -> Vec<Vec<usize>> {
        batches.iter().map(|batch| batch.iter().map(|job| job.len).collect()).collect()
    }

    #[test]
    fn batches_keep_both_limits() {
        let prompts: Vec<Vec<u32>> = [7, 2, 3, 2, 9, 2].iter().map(|len| vec![0; *len]).collect();
        let limits = |max_batch, max_batch_tokens| GenerateConfig {
            max_new_tokens: 10,
            max_batch: NonZeroUsize::new(max_batch).unwrap(),
            max_batch_tokens: NonZeroUsize::new(max_batch_tokens).unwrap(),
            ..GenerateConfig::default()
        };
        assert_eq!(lengths(&batches(&prompts, &limits(4, 1000), 99)), [vec![2, 2, 2, 3], vec![7, 9]]);
        assert_eq!(
            lengths(&batches(&prompts, &limits(9, 26), 99)),
            [vec![2, 2], vec![2, 3], vec![7], vec![9]]
        );
        assert_eq!(lengths(&batches(&prompts, &limits(9, 1), 99)), [[2], [2], [2], [3], [7], [9]]);
    }

    /// 9 tokens leave no room in a model of 9, 7 leave room for 2.
    #[test]
    fn a_sequence_stays_within_the_model() {
        let prompts = [vec![0; 9], vec![0; 7]];
        let found = batches(&prompts, &GenerateConfig::default(), 9);
        assert_eq!(found, [[Job { sequence: 1, len: 7, room: 2 }]]);
    }
}
