//! Intel's matrix extensions (AMX): eight tiles of 16 lines of 64 bytes, and an instruction that multiplies two of them.
//!
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

use std::{arch::asm, marker::PhantomData, sync::OnceLock};

use super::{
    pack_avx512,
    tile::{LINES, Multiplier, Square, Start, Tile, assert_strips, is_right},
};

/// `CPUID.7.0:EDX`, bits 22 (bfloat16) and 24 (tiles).
fn is_in_the_processor() -> bool {
    const BITS: u32 = 1 << 22 | 1 << 24;
    #[allow(unsafe_code, unused_unsafe)] // SAFETY: every x86-64 processor has the instruction.
    let leaf = unsafe {
        if std::arch::x86_64::__cpuid(0).eax < 7 {
            return false;
        }
        std::arch::x86_64::__cpuid_count(7, 0)
    };
    leaf.edx & BITS == BITS
}

/// Asks Linux for the state that tiles need, which it does not give to a program that does not ask; other systems are not
/// asked.
fn is_permitted() -> bool {
    #[cfg(target_os = "linux")]
    {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
        const TILE_DATA: i64 = 18;
        let answer: i64;
        #[allow(unsafe_code)] // SAFETY: a system call that reads and writes no memory of this program.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => answer,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") TILE_DATA,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        answer == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// What `ldtilecfg` reads: all tiles have 16 lines of 64 bytes.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_line: [u16; 16],
    lines: [u8; 16],
}

/// Tiles that are configured on the thread that holds this.
pub(super) struct Amx {
    _of_this_thread: PhantomData<*const ()>,
}

impl Multiplier for Amx {
    const NAME: &str = "bf16 tiles";

    fn is_there() -> bool {
        static THERE: OnceLock<bool> = OnceLock::new();
        // Miri knows neither how to ask for it nor what it does.
        *THERE
            .get_or_init(|| !cfg!(miri) && pack_avx512::is_there() && is_in_the_processor() && is_permitted())
    }

    fn is_usable() -> bool {
        static USABLE: OnceLock<bool> = OnceLock::new();
        *USABLE.get_or_init(|| Self::is_there() && is_right::<Self>())
    }

    fn new() -> Self {
        assert!(Self::is_there(), "tiles where there are none");
        let mut config =
            Config { palette: 1, start_row: 0, reserved: [0; 14], bytes_of_line: [0; 16], lines: [0; 16] };
        config.bytes_of_line[..8].fill(64);
        config.lines[..8].fill(LINES as u8);
        #[allow(unsafe_code)]
        // SAFETY: the processor has tiles, and they are permitted; it reads 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly));
        }
        Self { _of_this_thread: PhantomData }
    }

    fn add(&self, left: &[Tile], right: &[Tile], square: &mut Square, start: Start) {
        assert_strips(left, right);
        if left.is_empty() {
            if start == Start::Zeros {
                *square = Square::ZERO;
            }
            return;
        }
        let top = square.0.as_mut_ptr();
        #[allow(unsafe_code)]
        // SAFETY: tiles are configured while `self` lives on this thread. Each step reads two tiles of 1,024 bytes of each
        // operand, of which there are as many; a square is 32 lines of 128 bytes.
        unsafe {
            asm!(
                "test {from_zeros}, {from_zeros}",
                "jz 3f",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "jmp 2f",
                "3:",
                "tileloadd tmm0, [{top} + {row_bytes}*1]",
                "tileloadd tmm1, [{top} + {row_bytes}*1 + 64]",
                "tileloadd tmm2, [{top} + {row_bytes}*1 + 2048]",
                "tileloadd tmm3, [{top} + {row_bytes}*1 + 2112]",
                "2:",
                "tileloadd tmm4, [{left} + {line}*1]",
                "tileloadd tmm6, [{right} + {line}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{right} + {line}*1 + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{left} + {line}*1 + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {left}, 2048",
                "add {right}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{top} + {row_bytes}*1], tmm0",
                "tilestored [{top} + {row_bytes}*1 + 64], tmm1",
                "tilestored [{top} + {row_bytes}*1 + 2048], tmm2",
                "tilestored [{top} + {row_bytes}*1 + 2112], tmm3",
                left = inout(reg) left.as_ptr() => _,
                right = inout(reg) right.as_ptr() => _,
                steps = inout(reg) left.len() / 2 => _,
                from_zeros = in(reg) usize::from(start == Start::Zeros),
                line = in(reg) 64usize,
                top = in(reg) top,
                row_bytes = in(reg) 128usize,
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Amx {
    /// Gives the tiles back, whose state is dear to save.
    fn drop(&mut self) {
        #[allow(unsafe_code)] // SAFETY: as in `new`.
        unsafe {
            asm!("tilerelease", options(nostack, nomem));
        }
    }
}
