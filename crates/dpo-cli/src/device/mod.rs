//! Which device computes.

mod adapters;
mod listing;

use std::sync::OnceLock;

use anyhow::{Result, bail};
use burn::tensor::{DType, Device};
use dpo_model::{DecoderConfig, Place, Precision, config::LinearModule};
use dpo_train::StepZeroGate;

use self::adapters::{Adapter, adapters};
pub(crate) use self::listing::{DevicesArgs, run};
use crate::{
    run_file::choices::{Backend, Dtype},
    terminal::WrongUsage,
    train::note,
};

/// The fastest first: what `auto` looks for.
const ALL: [Backend; 5] = [Backend::Cuda, Backend::Metal, Backend::Vulkan, Backend::Wgpu, Backend::Cpu];

/// Whether a backend is part of this program.
pub(crate) fn is_built_in(backend: Backend) -> bool {
    match backend {
        Backend::Auto => true,
        Backend::Cpu => cfg!(feature = "cpu"),
        Backend::Wgpu => cfg!(feature = "wgpu"),
        Backend::Vulkan => cfg!(feature = "vulkan"),
        Backend::Metal => cfg!(feature = "metal"),
        Backend::Cuda => cfg!(feature = "cuda"),
    }
}

/// The backend itself, or what `auto` comes to here: the fastest that is built in and has hardware of its own, else the
/// processor, else whatever there is.
pub(crate) fn resolved(backend: Backend) -> Backend {
    static AUTO: OnceLock<Backend> = OnceLock::new();
    // Looking opens drivers, and what is there stays there.
    if backend == Backend::Auto { *AUTO.get_or_init(fastest) } else { backend }
}

fn fastest() -> Backend {
    let there = |backend: &Backend| adapters(*backend).unwrap_or_default();
    let mut built_in = ALL.into_iter().filter(|backend| is_built_in(*backend));
    let with_hardware =
        built_in.clone().find(|backend| there(backend).iter().any(|adapter| !adapter.is_software));
    with_hardware.or_else(|| built_in.find(|backend| !there(backend).is_empty())).unwrap_or(Backend::Cpu)
}

/// The device of a backend that was built into this program, if it is there.
pub(crate) fn open(backend: Backend) -> Result<Device> {
    let wanted = resolved(backend);
    if !is_built_in(wanted) {
        bail!(
            "the backend `{}` is not in this program; build it with `cargo xtask train --backend {0}`, or with \
             `cargo build --release --package dpo-cli --features {0}`",
            name(wanted)
        );
    }
    let there = match adapters(wanted) {
        Ok(there) if !there.is_empty() => there,
        found => {
            let problem = found.err().unwrap_or_else(|| "there is no device for it".to_owned());
            bail!(
                "the backend `{}` cannot be used: {problem}; `dpo devices` lists what can, and `--backend auto` takes it",
                name(wanted)
            );
        }
    };
    if backend == Backend::Auto {
        note(&format!("backend auto: {}, {}", name(wanted), there[0].name));
    }
    let n_gpus = there.iter().filter(|adapter| !adapter.is_software).count();
    if wanted != Backend::Cpu && n_gpus > 1 {
        let chooses =
            if wanted == Backend::Cuda { "CUDA_VISIBLE_DEVICES" } else { "CUBECL_WGPU_DEFAULT_DEVICE" };
        note(&format!("{n_gpus} GPUs are there, and a run uses one of them, which {chooses} chooses"));
    }
    if wanted != Backend::Cpu && there.iter().all(|adapter| adapter.is_software) {
        let program = if is_built_in(Backend::Cpu) { "" } else { ", of a program that has it," };
        note(&format!(
            "{} is software that runs on the processor; `--backend cpu`{program} is faster",
            there[0].name
        ));
    }
    Ok(device(wanted))
}

/// The device that burn takes of a backend which is [built in](is_built_in).
fn device(backend: Backend) -> Device {
    match backend {
        #[cfg(feature = "cpu")]
        Backend::Cpu => Device::flex(),
        #[cfg(feature = "wgpu")]
        Backend::Wgpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "vulkan")]
        Backend::Vulkan => Device::vulkan(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "metal")]
        Backend::Metal => Device::metal(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "cuda")]
        Backend::Cuda => Device::cuda(0),
        _ => unreachable!("a backend that is not in this program"),
    }
}

/// A device, and what one of its buffers may hold; a model of which a matrix of a block is larger than that is refused.
pub(crate) fn place(device: &Device, config: &DecoderConfig) -> Result<Place> {
    let Some(Adapter { name, largest_buffer, .. }) = adapters::of(device) else { return Ok(device.into()) };
    let bytes = |module: &LinearModule| (module.d_in * module.d_out * size_of::<f32>()) as u64;
    let largest = config.linear_modules().into_iter().max_by_key(bytes);
    if let Some((module, limit)) =
        largest.zip(largest_buffer).filter(|(module, limit)| bytes(module) > *limit)
    {
        bail!(
            "`{}` takes {} in one buffer, and {name} allows {}; take `--backend cpu`, or a device with larger buffers \
             (`dpo devices`)",
            module.name,
            mib(bytes(&module)),
            mib(limit)
        );
    }
    Ok(Place { device: device.clone(), largest_tensor: largest_buffer })
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

/// What `dtype` means on a device; one that does not know the type refuses it.
pub(crate) fn precision(device: &Device, dtype: Dtype) -> Result<Precision> {
    let precision = dtype.precision();
    if is_processor(device) {
        if let Some(problem) = no_faster(dtype) {
            note(&format!(
                "{}: {problem}: rounded operands are multiplied in f32, no faster than f32",
                precision.name()
            ));
        }
        return Ok(precision);
    }
    let knows = |dtype: Dtype| number_type(dtype).is_none_or(|number| device.supports_dtype(number));
    if knows(dtype) {
        return Ok(precision);
    }
    let other = [Dtype::Bf16, Dtype::F16].into_iter().find(|other| *other != dtype && knows(*other));
    let instead = other
        .map_or_else(String::new, |other| format!("take `{}`, which it has, ", other.precision().name()));
    let problem = format!(
        "`{}` is set, but the device has no such numbers; {instead}leave `model.dtype` out, or take the backend `cpu`",
        precision.name()
    );
    Err(WrongUsage(problem).into())
}

/// Why the processor multiplies such operands in f32.
fn no_faster(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::Bf16 if !dpo_kernels::has_bf16_unit() => Some("neither AMX nor AVX-512-BF16 is used here"),
        Dtype::F16 => Some("half precision is for GPUs"),
        Dtype::F32 | Dtype::Bf16 => None,
    }
}

/// What a device must know for a dtype.
fn number_type(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => None,
        Dtype::Bf16 => Some(DType::BF16),
        Dtype::F16 => Some(DType::F16),
    }
}

#[cfg(feature = "cpu")]
fn is_processor(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

#[cfg(not(feature = "cpu"))]
fn is_processor(_device: &Device) -> bool {
    false
}

/// Says once, before training, that another setting of this program is faster here and as good.
pub(crate) fn recommend(backend: Backend, dtype: Dtype) {
    if resolved(backend) == Backend::Cpu && dtype == Dtype::F32 && dpo_kernels::has_bf16_unit() {
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
    match resolved(backend) {
        Backend::Auto | Backend::Cpu => "cpu",
        Backend::Wgpu => "wgpu",
        Backend::Vulkan => "vulkan",
        Backend::Metal => "metal",
        Backend::Cuda => "cuda",
    }
}

/// How exactly the policy must be its own reference before the first update: the processor adds up in one order
/// always, GPUs in any.
pub(crate) fn gate(backend: Backend) -> StepZeroGate {
    if resolved(backend) == Backend::Cpu { StepZeroGate::Exact } else { StepZeroGate::Within(0.05) }
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
