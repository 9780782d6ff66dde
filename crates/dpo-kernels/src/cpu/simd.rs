//! Loops compiled once for each instruction set, chosen when the program runs.
//!
//! A loop is written once, generic over [`Arith`], on plain slices; [`simd!`](crate::cpu::simd) compiles it for
//! AVX-512, for AVX2 and for the baseline of the target, and LLVM vectorises it for each. Elements (or fixed lanes)
//! are independent of each other, so that wider registers change no bit.

/// How `a · b + c` is rounded.
pub(crate) trait Arith {
    /// `a · b + c`.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// Once: where the processor has an instruction for it.
pub(crate) struct Fused;

impl Arith for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Twice: where a fused operation would be a call into the C library.
#[cfg(not(target_arch = "aarch64"))]
pub(crate) struct Separate;

#[cfg(not(target_arch = "aarch64"))]
impl Arith for Separate {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// What every processor of the target has.
#[cfg(target_arch = "aarch64")]
pub(crate) type Baseline = Fused;
/// What every processor of the target has.
#[cfg(not(target_arch = "aarch64"))]
pub(crate) type Baseline = Separate;

/// Declares `fn name(arguments) = body;`: `body::<A>` compiled for each instruction set, the best one called.
macro_rules! simd {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $output:ty)? = $body:ident;) => {
        $(#[$meta])*
        pub(crate) fn $name($($arg: $type),*) $(-> $output)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx2,fma")]
                fn avx512($($arg: $type),*) $(-> $output)? {
                    $body::<$crate::cpu::simd::Fused>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) $(-> $output)? {
                    $body::<$crate::cpu::simd::Fused>($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    #[allow(unsafe_code)] // SAFETY: a safe function but for the features it needs; they were found.
                    return unsafe {
                        if is_x86_feature_detected!("avx512f") { avx512($($arg),*) } else { avx2($($arg),*) }
                    };
                }
            }
            $body::<$crate::cpu::simd::Baseline>($($arg),*)
        }
    };
}
pub(crate) use simd;
