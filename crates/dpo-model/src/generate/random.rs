//! Random numbers that are the same everywhere and for ever.

/// Sebastiano Vigna's generator, <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The numbers of one sequence, which do not depend on how many others there are: the generator started at
    /// `seed ⊕ mix(sequence)`.
    pub(crate) fn of_sequence(seed: u64, sequence: usize) -> Self {
        Self { state: seed ^ Self { state: sequence as u64 }.next() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to just below 1, in steps of 2⁻⁵³.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 * 2f64.powi(-53)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the reference implementation from the state 1234567.
    #[test]
    fn it_is_the_published_generator() {
        let mut random = SplitMix64 { state: 1_234_567 };
        let drawn: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    /// The mean of 10,000 uniform numbers has standard deviation 0.0029.
    #[test]
    fn sequences_draw_different_uniform_numbers() {
        let mut mean = 0.0;
        for sequence in 0..100 {
            let mut random = SplitMix64::of_sequence(7, sequence);
            mean += (0..100).map(|_| random.uniform()).sum::<f64>() / 10_000.0;
        }
        assert!((mean - 0.5).abs() < 0.01, "the mean is {mean}");
    }
}
