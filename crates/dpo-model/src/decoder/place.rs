//! Where a decoder is put.

use burn::tensor::Device;

/// Where a decoder is to be.
#[derive(Debug, Clone)]
pub struct Place {
    /// Without autodiff.
    pub device: Device,
    /// Bytes that one tensor may take there, where that has a limit; tables of more are kept in parts.
    pub largest_tensor: Option<u64>,
}

impl From<&Device> for Place {
    /// Without a limit.
    fn from(device: &Device) -> Self {
        Self { device: device.clone(), largest_tensor: None }
    }
}
