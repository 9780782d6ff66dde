//! NVIDIA GPUs before burn opens them, which panics where something is missing.

use cudarc::driver::{CudaContext, sys};

/// The oldest driver whose symbols are all there: CUDA 12.0, as `cuDriverGetVersion` counts.
const OLDEST_DRIVER: i32 = 12_000;

/// A GPU as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaGpu {
    /// As `nvidia-smi` has it.
    pub name: String,
    /// Bytes: free now, and in all.
    pub memory: [u64; 2],
    /// Compute capability, major and minor.
    pub capability: [i32; 2],
    /// Version of CUDA that the driver has, major and minor.
    pub driver: [i32; 2],
}

/// The GPUs, in CUDA's order; what is missing, and what to do, where one could not be used.
pub fn nvidia_gpus() -> Result<Vec<NvidiaGpu>, String> {
    #[allow(unsafe_code)]
    // SAFETY: both only try to load a library, whose initialisers are NVIDIA's own.
    let [driver, compiler] = unsafe { [sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()] };
    if !driver {
        return Err("there is no CUDA driver (libcuda); install NVIDIA's driver".to_owned());
    }
    if !compiler {
        return Err(
            "there is no CUDA compiler (libnvrtc); install the CUDA toolkit, or put the folder of libnvrtc \
                    on the library path"
                .to_owned(),
        );
    }
    let version = driver_version()?;
    if version < OLDEST_DRIVER {
        let [major, minor] = parts(version);
        return Err(format!("the driver has CUDA {major}.{minor}; install one that has 12.0 or later"));
    }
    let problem = |error| format!("the CUDA driver answers `{error}`; see whether `nvidia-smi` works");
    let n_gpus = CudaContext::device_count().map_err(problem)?;
    (0..n_gpus as usize).map(|index| gpu(index, version).map_err(problem)).collect()
}

fn driver_version() -> Result<i32, String> {
    let mut version = 0;
    #[allow(unsafe_code)]
    // SAFETY: the library is there, as the caller has found; it writes one number, where one is.
    let result = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    result.result().map_err(|error| format!("the CUDA driver does not say its version: {error}"))?;
    Ok(version)
}

/// `12_040` is 12.4.
fn parts(version: i32) -> [i32; 2] {
    [version / 1000, version % 1000 / 10]
}

fn gpu(index: usize, version: i32) -> Result<NvidiaGpu, cudarc::driver::DriverError> {
    let context = CudaContext::new(index)?;
    let (free, total) = context.mem_get_info()?;
    let (major, minor) = context.compute_capability()?;
    Ok(NvidiaGpu {
        name: context.name()?,
        memory: [free as u64, total as u64],
        capability: [major, minor],
        driver: parts(version),
    })
}
