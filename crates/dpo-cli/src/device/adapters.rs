//! What there is to compute on, as drivers describe it.

use burn::tensor::Device;
use serde::Serialize;

use super::name;
use crate::run_file::choices::Backend;

/// Something that computes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Adapter {
    /// Word of `--backend`.
    pub(crate) backend: &'static str,
    /// As its driver names it.
    pub(crate) name: String,
    /// Runs on the processor though it calls itself a GPU.
    pub(crate) is_software: bool,
    /// Bytes; `None` where nobody tells.
    pub(crate) memory: Option<u64>,
    /// Bytes that are free now.
    pub(crate) free_memory: Option<u64>,
    /// Bytes that one buffer may hold; `None` where there is no such limit.
    pub(crate) largest_buffer: Option<u64>,
    /// Interface and driver.
    pub(crate) driver: String,
}

/// The adapters of a backend that is built in, in the backend's order; what is missing, and what to do, where it cannot be
/// used.
pub(super) fn adapters(backend: Backend) -> Result<Vec<Adapter>, String> {
    match backend {
        #[cfg(feature = "cpu")]
        Backend::Cpu => Ok(vec![processor()]),
        #[cfg(feature = "wgpu")]
        Backend::Wgpu | Backend::Vulkan | Backend::Metal => wgpu::adapters(backend),
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda(),
        other => Err(format!("`{}` is not in this program", name(other))),
    }
}

/// What a device that burn has opened is, where its interface has limits.
pub(super) fn of(device: &Device) -> Option<Adapter> {
    #[cfg(feature = "wgpu")]
    {
        use burn::backend::{CubeDevice, DispatchDevice};
        if matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(CubeDevice::Wgpu(_))) {
            let name = device.identity()?.name;
            return adapters(Backend::Wgpu).ok()?.into_iter().find(|adapter| adapter.name == name);
        }
    }
    let _ = device;
    None
}

#[cfg(feature = "cpu")]
fn processor() -> Adapter {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bytes = |name: &str| crate::train::system_bytes("/proc/meminfo", name);
    Adapter {
        backend: name(Backend::Cpu),
        name: dpo_kernels::processor(),
        is_software: false,
        memory: bytes("MemTotal:"),
        free_memory: bytes("MemAvailable:"),
        largest_buffer: None,
        driver: format!("{threads} thread{}", if threads == 1 { "" } else { "s" }),
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Vec<Adapter>, String> {
    let adapter = |gpu: dpo_kernels::NvidiaGpu| Adapter {
        backend: name(Backend::Cuda),
        name: gpu.name,
        is_software: false,
        memory: Some(gpu.memory[1]),
        free_memory: Some(gpu.memory[0]),
        largest_buffer: None,
        driver: format!(
            "CUDA {}.{}, compute capability {}.{}",
            gpu.driver[0], gpu.driver[1], gpu.capability[0], gpu.capability[1]
        ),
    };
    Ok(dpo_kernels::nvidia_gpus()?.into_iter().map(adapter).collect())
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use burn::tensor::wgpu::wgpu::{self, Backends, DeviceType, Instance, InstanceDescriptor};

    use super::{Adapter, Backend, name};

    /// Those that the interface of the backend reaches, hardware first.
    pub(super) fn adapters(backend: Backend) -> Result<Vec<Adapter>, String> {
        let (backends, interfaces) = match backend {
            Backend::Vulkan => (Backends::VULKAN, "Vulkan"),
            Backend::Metal => (Backends::METAL, "Metal"),
            _ => (Backends::PRIMARY, "Vulkan, Metal or DirectX 12"),
        };
        let descriptor = InstanceDescriptor { backends, ..InstanceDescriptor::new_without_display_handle() };
        let mut found = finished(Instance::new(descriptor).enumerate_adapters(backends));
        let refused = found.extract_if(.., |adapter| fails_on_spirv(adapter)).next();
        let mut adapters: Vec<Adapter> = found.iter().map(|adapter| described(adapter, backend)).collect();
        adapters.sort_by_key(|adapter| adapter.is_software);
        match (adapters.is_empty(), refused) {
            (false, _) => Ok(adapters),
            (true, None) => {
                Err(format!("no adapter was found through {interfaces}; install the GPU's driver"))
            }
            (true, Some(refused)) => Err(format!(
                "{} is software and fails on SPIR-V, which a program with `vulkan` hands to it; one built with \
                 `--features wgpu` alone runs there",
                refused.get_info().name
            )),
        }
    }

    /// Whether kernels come to this adapter as SPIR-V, whichever backend is asked for, and it is software: Mesa's crashes within
    /// itself (22.3 and 25.0), Chromium's fills the memory.
    fn fails_on_spirv(adapter: &wgpu::Adapter) -> bool {
        let info = adapter.get_info();
        cfg!(feature = "vulkan")
            && info.backend == wgpu::Backend::Vulkan
            && info.device_type == DeviceType::Cpu
    }

    fn described(adapter: &wgpu::Adapter, backend: Backend) -> Adapter {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let driver = format!("{} {} {}", info.backend, info.driver, info.driver_info);
        Adapter {
            backend: name(backend),
            name: info.name,
            is_software: info.device_type == DeviceType::Cpu,
            memory: None,
            free_memory: None,
            largest_buffer: Some(limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)),
            driver: driver.trim_end().to_owned(),
        }
    }

    /// Native adapters are known at once: the future never waits.
    fn finished<T>(future: impl Future<Output = T>) -> T {
        let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
            std::thread::yield_now();
        }
    }
}
