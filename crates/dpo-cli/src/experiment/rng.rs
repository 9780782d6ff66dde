//! The random numbers of the experiment: SplitMix64, written out so that its assets never change.

/// SplitMix64, <https://doi.org/10.1145/2714064.2660195>: a counter and a mixing function.
///
/// Integer arithmetic alone decides every draw of the generator, so that a seed gives the same corpus on every
/// machine and in every later version of every library.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// The `stream`-th independent sequence of `seed`; one review, or one pair, has one stream.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self { state: seed };
        rng.state = rng.next_u64() ^ stream.wrapping_mul(0xD134_2543_DE82_EF95);
        rng.next_u64();
        rng
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A whole number in `0..n`, or 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// True in `percent` of 100 draws.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A number in `[0, 1)` of 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs for seed 1234567, as the reference C code prints them.
    #[test]
    fn splitmix64_matches_the_reference() {
        let mut rng = Rng { state: 1_234_567 };
        let drawn = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    /// 10,000 draws below 7 reach all seven numbers about equally often: 1429 ± 4 standard deviations (35).
    #[test]
    fn below_is_uniform() {
        let mut rng = Rng::new(1, 2);
        let mut counts = [0_i32; 7];
        (0..10_000).for_each(|_| counts[rng.below(7)] += 1);
        assert!(counts.iter().all(|count| (count - 1429).abs() < 140), "{counts:?}");
        assert_eq!(rng.below(0), 0);
    }
}
