//! The figures as text and as JSON.

use std::fmt::Write as _;

use dpo_kernels::{Precision, arithmetic, has_bf16_unit};
use serde_json::{Value, json};

use crate::{args::Args, limits::Limits, timing::Measured};

/// What bounds a kernel, and how much of that it reaches.
struct Reached {
    bound: &'static str,
    share: f64,
}

fn reached(limits: &Limits, measured: &Measured) -> Reached {
    let kernel = &measured.kernel;
    let [arithmetic, memory] =
        [kernel.flop / limits.flops(kernel.precision), kernel.bytes / limits.bandwidth];
    let bound = if arithmetic > memory { "arithmetic" } else { "memory" };
    Reached { bound, share: arithmetic.max(memory) / measured.median() }
}

/// Shorter than any run of a kernel: what is left of one that takes no longer than making the gradient that goes into it.
const SHORTEST: f64 = 1e-6;

pub(crate) fn text(limits: &Limits, measured: &[Measured]) -> String {
    let mut text = format!(
        "limits: {:.0} GFLOP/s f32, {:.0} GFLOP/s bf16{}, {:.1} GB/s\n\n{:<28}{:<24}{:>9}{:>11}{:>8}   {:<11}{:>6}\n",
        limits.f32_flops / 1e9,
        limits.bf16_flops / 1e9,
        if has_bf16_unit() { " (the fastest product)" } else { " (multiplied in f32)" },
        limits.bandwidth / 1e9,
        "",
        "",
        "ms",
        "GFLOP/s",
        "GB/s",
        "limit",
        "share",
    );
    for measured in measured {
        let (kernel, seconds) = (&measured.kernel, measured.median());
        if seconds < SHORTEST {
            let _ =
                writeln!(text, "{:<28}{:<24}   no longer than what is left out", kernel.name, kernel.shape);
            continue;
        }
        let Reached { bound, share } = reached(limits, measured);
        let flops =
            if kernel.flop == 0.0 { "—".to_owned() } else { format!("{:.0}", kernel.flop / seconds / 1e9) };
        let _ = writeln!(
            text,
            "{:<28}{:<24}{:>9.3}{flops:>11}{:>8.1}   {bound:<11}{:>4.0} %",
            kernel.name,
            kernel.shape,
            1e3 * seconds,
            kernel.bytes / seconds / 1e9,
            100.0 * share,
        );
    }
    text
}

pub(crate) fn json(args: &Args, limits: &Limits, measured: &[Measured]) -> Value {
    json!({
        "arithmetic": arithmetic(Precision::Bf16),
        "bf16_unit": has_bf16_unit(),
        "threads": rayon::current_num_threads(),
        "tokens": args.tokens,
        "runs": args.runs,
        "limits": {
            "f32_flops": limits.f32_flops,
            "bf16_flops": limits.bf16_flops,
            "bytes_per_second": limits.bandwidth,
        },
        "kernels": measured.iter().map(|measured| kernel(limits, measured)).collect::<Vec<_>>(),
    })
}

fn kernel(limits: &Limits, measured: &Measured) -> Value {
    let (kernel, seconds) = (&measured.kernel, measured.median());
    let Reached { bound, share } = reached(limits, measured);
    if seconds < SHORTEST {
        return json!({ "name": kernel.name, "shape": kernel.shape, "precision": kernel.precision.name(), "seconds": null });
    }
    json!({
        "name": kernel.name,
        "shape": kernel.shape,
        "precision": kernel.precision.name(),
        "seconds": { "median": seconds, "quartiles": [measured.quantile(0.25), measured.quantile(0.75)] },
        "flop": kernel.flop,
        "bytes": kernel.bytes,
        "flops": kernel.flop / seconds,
        "bytes_per_second": kernel.bytes / seconds,
        "limit": bound,
        "share": share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Kernel;

    /// 12 operations at 6 a second take 2 s, 8 bytes at 8 a second 1 s: arithmetic is the limit, and 4 s reach half of it. Without
    /// operations memory is, and 4 s reach a quarter.
    #[test]
    fn the_larger_time_is_the_limit() {
        let limits = Limits { f32_flops: 6.0, bf16_flops: 6.0, bandwidth: 8.0 };
        for (flop, expected) in [(12.0, ("arithmetic", 0.5)), (0.0, ("memory", 0.25))] {
            let kernel = Kernel {
                name: String::new(),
                shape: String::new(),
                precision: Precision::F32,
                flop,
                bytes: 8.0,
            };
            let Reached { bound, share } =
                reached(&limits, &Measured { kernel, seconds: vec![1.0, 4.0, 9.0] });
            assert_eq!((bound, share), expected);
        }
    }
}
