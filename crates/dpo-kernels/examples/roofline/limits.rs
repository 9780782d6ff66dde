//! What the machine can do at best, measured on all threads at once.

use std::{hint::black_box, time::Instant};

use dpo_kernels::{Precision, has_bf16_unit};
use rayon::prelude::*;

use crate::timing::Measured;

/// Rates that nothing exceeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Floating-point operations a second on f32 numbers in registers.
    pub(crate) f32_flops: f64,
    /// Those of bfloat16 products: of the fastest product seen, where there is a matrix unit, and else those of f32.
    pub(crate) bf16_flops: f64,
    /// Bytes a second between the processor and its memory.
    pub(crate) bandwidth: f64,
}

/// Each rate is the best of so many short trials: whatever else runs on the machine leaves some of them alone.
const TRIALS: usize = 20;

impl Limits {
    /// Limits without any product.
    pub(crate) fn measured() -> Self {
        let f32_flops = best(multiply_adds);
        let mut triad = Triad::new();
        Self { f32_flops, bf16_flops: f32_flops, bandwidth: best(|| triad.rate()) }
    }

    /// The best of two measurements, and of products where there is a matrix unit.
    pub(crate) fn or_better(self, other: Self, measured: &[Measured]) -> Self {
        let rate = |measured: &Measured| measured.kernel.flop / measured.quantile(0.0);
        let products = measured.iter().filter(|measured| measured.kernel.precision == Precision::Bf16);
        let f32_flops = self.f32_flops.max(other.f32_flops);
        let bf16_flops =
            if has_bf16_unit() { products.map(rate).fold(f32_flops, f64::max) } else { f32_flops };
        Self { f32_flops, bf16_flops, bandwidth: self.bandwidth.max(other.bandwidth) }
    }

    pub(crate) fn flops(&self, precision: Precision) -> f64 {
        match precision {
            // Numbers rounded to f16 are multiplied as f32.
            Precision::F32 | Precision::F16 => self.f32_flops,
            Precision::Bf16 => self.bf16_flops,
        }
    }
}

fn best(mut rate: impl FnMut() -> f64) -> f64 {
    (0..TRIALS).map(|_| rate()).fold(0.0, f64::max)
}

/// Sums that do not wait for one another: as many as the units for multiply-adds have stages in flight.
const SUMS: usize = 12;
/// A few milliseconds.
const ROUNDS: u64 = 2_000_000;

/// Operations a second of multiply-adds in registers.
fn multiply_adds() -> f64 {
    let start = Instant::now();
    let lanes = rayon::broadcast(|_| chains(ROUNDS));
    let n_chains = (lanes.iter().sum::<usize>() * SUMS) as f64;
    2.0 * n_chains * ROUNDS as f64 / start.elapsed().as_secs_f64()
}

/// Runs the chains with the widest registers there are, and says how many lanes these have.
fn chains(rounds: u64) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let is_wide = is_x86_feature_detected!("avx512f");
        if is_wide || (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
            #[allow(unsafe_code)] // SAFETY: safe functions but for the features they need; they were found.
            unsafe {
                if is_wide { x86::avx512(rounds) } else { x86::avx2(rounds) }
            }
            return if is_wide { 16 } else { 8 };
        }
    }
    portable(rounds)
}

/// For any processor that has registers of four lanes.
fn portable(rounds: u64) -> usize {
    const LANES: usize = 4;
    let (factor, term) = black_box(([0.999f32; LANES], [1e-3f32; LANES]));
    let mut sums = [[0f32; LANES]; SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            for lane in 0..LANES {
                // Where there is no instruction for it, a fused one would be a call into the C library.
                sum[lane] = if cfg!(target_arch = "aarch64") {
                    sum[lane].mul_add(factor[lane], term[lane])
                } else {
                    sum[lane] * factor[lane] + term[lane]
                };
            }
        }
    }
    black_box(sums);
    LANES
}

/// Written out: LLVM takes narrower registers than there are, or none.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::{arch::x86_64 as intel, hint::black_box};

    use super::SUMS;

    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(rounds: u64) {
        let (factor, term) = black_box((intel::_mm512_set1_ps(0.999), intel::_mm512_set1_ps(1e-3)));
        let mut sums = [intel::_mm512_setzero_ps(); SUMS];
        for _ in 0..rounds {
            sums.iter_mut().for_each(|sum| *sum = intel::_mm512_fmadd_ps(*sum, factor, term));
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn avx2(rounds: u64) {
        let (factor, term) = black_box((intel::_mm256_set1_ps(0.999), intel::_mm256_set1_ps(1e-3)));
        let mut sums = [intel::_mm256_setzero_ps(); SUMS];
        for _ in 0..rounds {
            sums.iter_mut().for_each(|sum| *sum = intel::_mm256_fmadd_ps(*sum, factor, term));
        }
        black_box(sums);
    }
}

/// `a = b + s·c` on arrays larger than any cache, which STREAM counts as three passes:
/// <https://www.cs.virginia.edu/stream/ref.html>.
struct Triad {
    arrays: [Vec<f32>; 3],
}

impl Triad {
    const LEN: usize = 64 << 20;

    fn new() -> Self {
        Self { arrays: [1.0, 2.0, 3.0].map(|value| vec![value; Self::LEN]) }
    }

    fn rate(&mut self) -> f64 {
        let [a, b, c] = &mut self.arrays;
        let chunk = Self::LEN / (8 * rayon::current_num_threads());
        let start = Instant::now();
        a.par_chunks_mut(chunk).zip(b.par_chunks(chunk)).zip(c.par_chunks(chunk)).for_each(|((a, b), c)| {
            a.iter_mut().zip(b).zip(c).for_each(|((a, b), c)| *a = b + 0.5 * c);
        });
        (3 * 4 * Self::LEN) as f64 / start.elapsed().as_secs_f64()
    }
}
