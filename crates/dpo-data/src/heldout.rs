//! A share of the prompts that is kept out of training, drawn from a seed.

use crate::{PreferenceExample, Text};

/// Which rows are held out: a share of all prompts, each drawn by its text and the seed alone.
///
/// All rows with the same prompt are on the same side, whatever file, group or round they are of: nothing that is
/// measured on was seen in training under another name. The share is met on average, not exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    share: f64,
    seed: u64,
}

impl HeldOut {
    /// A share between 0 and 1, drawn from `seed`.
    pub fn new(share: f64, seed: u64) -> Self {
        Self { share, seed }
    }

    /// The share of the prompts that is held out.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// What the prompts are drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether a row is held out; one without a prompt goes by its completions.
    pub fn takes(&self, example: &PreferenceExample) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        add(&mut hasher, &example.prompt);
        if is_empty(&example.prompt) {
            example.completions.iter().for_each(|completion| add(&mut hasher, completion));
        }
        let bytes = hasher.finalize();
        let drawn = u64::from_le_bytes(bytes.as_bytes().first_chunk().copied().unwrap_or_default());
        ((drawn >> 11) as f64) < self.share * 2f64.powi(53)
    }
}

fn is_empty(text: &Text) -> bool {
    match text {
        Text::Plain(text) => text.is_empty(),
        Text::Messages(turns) => turns.is_empty(),
    }
}

/// Each part goes in behind its length, so that no two texts look alike.
fn add(hasher: &mut blake3::Hasher, text: &Text) {
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    match text {
        Text::Plain(text) => part(text),
        Text::Messages(turns) => turns.iter().for_each(|turn| {
            part(&turn.role);
            part(&turn.content);
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Relation, RowId};

    fn example(prompt: &str, completions: [&str; 2]) -> PreferenceExample {
        PreferenceExample {
            row: RowId { file: 0, row: 1 },
            prompt: Text::Plain(prompt.to_owned()),
            completions: completions.map(|text| Text::Plain(text.to_owned())).to_vec(),
            relation: Relation::Pair,
            weight: 1.0,
            group: None,
            template_kwargs: serde_json::Map::new(),
        }
    }

    /// 0.1 of 10,000 prompts: 1000 ± 4 standard deviations (30).
    #[test]
    fn the_share_is_met_on_average() {
        let held_out = HeldOut::new(0.1, 42);
        let taken = (0..10_000).filter(|n| held_out.takes(&example(&format!("prompt {n}"), ["a", "b"])));
        let n = taken.count() as i64;
        assert!((n - 1000).abs() < 120, "{n}");
    }

    /// What people said of a prompt does not decide, the seed does.
    #[test]
    fn a_prompt_is_on_one_side_for_everybody() {
        let side = |seed: u64, n: usize, completions| {
            HeldOut::new(0.5, seed).takes(&example(&format!("prompt {n}"), completions))
        };
        for n in 0..100 {
            assert_eq!(side(1, n, ["a", "b"]), side(1, n, ["b", "c"]), "prompt {n}");
        }
        assert!((0..100).any(|n| side(1, n, ["a", "b"]) != side(2, n, ["a", "b"])));
        let bare = |n: usize| HeldOut::new(0.5, 1).takes(&example("", [&n.to_string(), "b"]));
        assert!((0..100).any(|n| bare(n) != bare(0)), "rows without a prompt are drawn one by one");
    }
}
