//! AVX-512's products of bfloat16: an instruction that multiplies 16 pairs of numbers with 16 others and adds each of them
//! to one of 16 sums.
//!
//! AMD's processors from Zen 4 on have it without tiles, and so has Intel's Cooper Lake. Intel 64 and IA-32 Architectures
//! Software Developer's Manual, volume 2, `VDPBF16PS`.

use std::{
    arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps, _mm512_set1_epi32, _mm512_setzero_ps},
    mem::transmute,
    sync::OnceLock,
};

use super::{
    pack_avx512,
    tile::{LINES, Multiplier, PAIRS, SQUARE, Square, Start, Tile, assert_strips, is_right},
};

/// Made only where the processor has it.
pub(super) struct Avx512(());

impl Multiplier for Avx512 {
    const NAME: &str = "avx512bf16";

    fn is_there() -> bool {
        pack_avx512::is_there()
    }

    fn is_usable() -> bool {
        static USABLE: OnceLock<bool> = OnceLock::new();
        *USABLE.get_or_init(|| Self::is_there() && is_right::<Self>())
    }

    fn new() -> Self {
        assert!(Self::is_there(), "AVX-512-BF16 where there is none");
        Self(())
    }

    /// 12, 12 and 8 rows at a time: 24 of the 32 registers are sums, enough of them to be added to while others still are.
    fn add(&self, left: &[Tile], right: &[Tile], square: &mut Square, start: Start) {
        assert_strips(left, right);
        if start == Start::Zeros {
            *square = Square::ZERO;
        }
        #[allow(unsafe_code)]
        // SAFETY: safe functions but for the features they need, which `new` found.
        unsafe {
            add_rows::<0, 12>(left, right, square);
            add_rows::<12, 12>(left, right, square);
            add_rows::<24, 8>(left, right, square);
        }
    }
}

/// Rows `FIRST..FIRST + ROWS` of a square, whose sums stay in registers along the whole depth.
#[target_feature(enable = "avx512f,avx512bf16")]
fn add_rows<const FIRST: usize, const ROWS: usize>(left: &[Tile], right: &[Tile], square: &mut Square) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    for (row, sums) in sums.iter_mut().enumerate() {
        let numbers = square.0[(FIRST + row) * SQUARE..][..SQUARE].as_chunks().0;
        sums.iter_mut().zip(numbers).for_each(|(sum, numbers)| *sum = load(numbers));
    }
    for (left, right) in left.chunks_exact(2).zip(right.chunks_exact(2)) {
        for pair in 0..PAIRS {
            let cols = [0, 1].map(|tile| pairs(&right[tile].0.as_chunks().0[pair]));
            for (row, sums) in sums.iter_mut().enumerate() {
                let line = FIRST + row;
                let number = pair_in_every_lane(left[line / LINES].0[line % LINES * PAIRS + pair]);
                for (sum, cols) in sums.iter_mut().zip(cols) {
                    *sum = _mm512_dpbf16_ps(*sum, number, cols);
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        let numbers = square.0[(FIRST + row) * SQUARE..][..SQUARE].as_chunks_mut().0;
        numbers.iter_mut().zip(sums).for_each(|(numbers, sum)| *numbers = stored(*sum));
    }
}

#[target_feature(enable = "avx512f")]
fn load(numbers: &[f32; LINES]) -> __m512 {
    #[allow(unsafe_code)] // SAFETY: both are 16 numbers, and any bits are one.
    unsafe {
        transmute(*numbers)
    }
}

#[target_feature(enable = "avx512f")]
fn stored(numbers: __m512) -> [f32; LINES] {
    #[allow(unsafe_code)] // SAFETY: as in `load`.
    unsafe {
        transmute(numbers)
    }
}

#[target_feature(enable = "avx512f")]
fn pairs(pairs: &[u32; LINES]) -> __m512bh {
    #[allow(unsafe_code)] // SAFETY: both are 16 pairs, and any bits are one.
    unsafe {
        transmute(*pairs)
    }
}

#[target_feature(enable = "avx512f")]
fn pair_in_every_lane(pair: u32) -> __m512bh {
    #[allow(unsafe_code)] // SAFETY: as in `pairs`.
    unsafe {
        transmute(_mm512_set1_epi32(pair.cast_signed()))
    }
}
