//! Which device computes.

use anyhow::Result;
#[cfg(not(all(feature = "cpu", feature = "wgpu", feature = "cuda")))]
use anyhow::bail;
use burn::tensor::{DType, Device};
use dpo_model::Precision;
use dpo_train::StepZeroGate;

use crate::{
    run_file::choices::{Backend, Dtype},
    terminal::WrongUsage,
    train::note,
};

/// The device of a backend that was built into this program.
pub(crate) fn open(backend: Backend) -> Result<Device> {
    match backend {
        #[cfg(feature = "cpu")]
        Backend::Cpu => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        Backend::Wgpu => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        Backend::Cuda => Ok(Device::cuda(0)),
        #[cfg(not(all(feature = "cpu", feature = "wgpu", feature = "cuda")))]
        other => bail!(
            "the backend `{}` is not in this program; build it with `cargo xtask train --backend {0}`, or with \
             `cargo build --release --package dpo-cli --no-default-features --features {0}`",
            name(other)
        ),
    }
}

/// What `dtype` means on a device; one that does not know the type refuses it.
pub(crate) fn precision(device: &Device, dtype: Dtype) -> Result<Precision> {
    if dtype == Dtype::Bf16 {
        if !device.supports_dtype(DType::BF16) {
            let problem = "`bf16` is set, but the device has no bfloat16; leave `model.dtype` out, or take the \
                           backend `cpu`";
            return Err(WrongUsage(problem.to_owned()).into());
        }
        if !dpo_kernels::has_bf16_unit() {
            note(
                "bf16: neither AMX nor AVX-512-BF16 is used here: rounded operands are multiplied in f32, no faster than f32",
            );
        }
    }
    Ok(dtype.precision())
}

/// Says once, before training, that another setting of this program is faster here and as good.
pub(crate) fn recommend(backend: Backend, dtype: Dtype) {
    if backend == Backend::Cpu && dtype == Dtype::F32 && dpo_kernels::has_bf16_unit() {
        note(
            "this processor has a unit for bfloat16: `--dtype bf16` trains faster, and came to the same held-out \
             accuracy within what seeds differ by (docs/benchmarks.md)",
        );
    }
}

/// No machine has more cores; so many threads alone would fill its memory.
const MAX_THREADS: usize = 1024;

/// The word of a run file.
pub(crate) fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Cpu => "cpu",
        Backend::Wgpu => "wgpu",
        Backend::Cuda => "cuda",
    }
}

/// How exactly the policy must be its own reference before the first update: the processor adds up in one order
/// always, GPUs in any.
pub(crate) fn gate(backend: Backend) -> StepZeroGate {
    match backend {
        Backend::Cpu => StepZeroGate::Exact,
        Backend::Wgpu | Backend::Cuda => StepZeroGate::Within(0.05),
    }
}

/// Uses this many threads from now on, or one a core for 0.
pub(crate) fn set_threads(threads: usize) -> Result<()> {
    if threads > MAX_THREADS {
        let problem = format!("`threads` is {threads}; expected at most {MAX_THREADS}, or 0 for one a core");
        return Err(WrongUsage(problem).into());
    }
    if threads > 0 {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    Ok(())
}
