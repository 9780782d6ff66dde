//! What decides the last bits of a result.

use crate::Precision;

/// Raised when an operation here comes to other bits than before.
const REVISION: u32 = 3;

/// Names everything that the last bits of a result on the processor depend on: the revision of these operations, the
/// processor's model (its caches decide how matrix products are cut), its instruction sets, and its unit for bfloat16 where
/// that would be used in this `precision`.
///
/// Results that were kept can be compared bit for bit with new ones only where this is the same.
pub fn arithmetic(precision: Precision) -> String {
    let arch = std::env::consts::ARCH;
    let unit = bf16_unit().filter(|_| precision == Precision::Bf16);
    let unit = unit.map_or_else(String::new, |name| format!("+{name}"));
    format!("kernels {REVISION}, {arch} {}{unit}, {}", instruction_set(), processor_model())
}

/// The processor and what of it is used, for people.
pub fn processor() -> String {
    let unit = bf16_unit().map_or_else(String::new, |name| format!(" and {name}"));
    let model = processor_model();
    let model = if model.is_empty() { std::env::consts::ARCH } else { &model };
    format!("{model}, {}{unit}", instruction_set())
}

/// Whether this processor has something for products of bfloat16 operands (AMX tiles or AVX-512-BF16), which the system lets
/// this program use and which was found to compute right.
pub fn has_bf16_unit() -> bool {
    bf16_unit().is_some()
}

fn bf16_unit() -> Option<&'static str> {
    #[cfg(feature = "cpu")]
    return crate::cpu::bf16::Unit::here().map(|unit| unit.name);
    #[cfg(not(feature = "cpu"))]
    None
}

fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return if is_x86_feature_detected!("avx512f") { "avx512f" } else { "avx2+fma" };
        }
    }
    "baseline"
}

/// As the system names it; empty where it does not.
fn processor_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or_else(String::new, |model| model.trim_start_matches([' ', '\t', ':']).to_owned())
}
