//! What can go wrong with a network, and the one place that reads libtorch's error text.

use std::path::PathBuf;

use tch::{TchError, Tensor};

/// Why a weights file was refused. Every variant names the file, and the tensor where there is one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read from disk.
    #[error("cannot read weights file {}", file.display())]
    Unreadable {
        /// The weights file.
        file: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a complete safetensors file: cut short, a damaged header, or another format.
    #[error("{} is not a complete safetensors file (cut short, damaged, or another format)", file.display())]
    Malformed {
        /// The weights file.
        file: PathBuf,
        /// What the safetensors reader said.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A tensor the network needs is not in the file.
    #[error("tensor {tensor} is missing from {}", file.display())]
    Missing {
        /// The weights file.
        file: PathBuf,
        /// The full name of the absent tensor.
        tensor: String,
    },
    /// The file holds tensors that the network does not use, so it is not the network it is said to be.
    #[error("{} holds tensors this network does not have: {}", file.display(), tensors.join(", "))]
    Surplus {
        /// The weights file.
        file: PathBuf,
        /// Full names, sorted.
        tensors: Vec<String>,
    },
    /// A tensor has another shape than the network requires.
    #[error("tensor {tensor} in {} has shape {found:?}, expected {expected}", file.display())]
    Shape {
        /// The weights file.
        file: PathBuf,
        /// The full name of the tensor.
        tensor: String,
        /// The required shape, in words or numbers.
        expected: String,
        /// The shape in the file.
        found: Vec<i64>,
    },
    /// A tensor is not F16, BF16 or F32.
    #[error("tensor {tensor} in {} has dtype {found}; weights must be F16, BF16 or F32", file.display())]
    Dtype {
        /// The weights file.
        file: PathBuf,
        /// The full name of the tensor.
        tensor: String,
        /// The dtype in the file.
        found: String,
    },
    /// A tensor holds values the network cannot use (NaN or infinity, or a constant that differs from the published one).
    #[error("tensor {tensor} in {}: {reason}", file.display())]
    Value {
        /// The weights file.
        file: PathBuf,
        /// The full name of the tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is of a kind of network that this version does not compute.
    #[error("tensor {tensor} in {} {reason}", file.display())]
    Unsupported {
        /// The weights file.
        file: PathBuf,
        /// The tensor that shows it.
        tensor: String,
        /// What it shows, in words that follow the tensor's name.
        reason: &'static str,
    },
    /// A setting that says what the file cannot has no possible value, or none that fits the file.
    #[error("setting {setting} for {} {reason}", file.display())]
    Setting {
        /// The weights file.
        file: PathBuf,
        /// The name of the setting.
        setting: &'static str,
        /// What is wrong with it, in words that follow its name.
        reason: String,
    },
    /// libtorch failed while the tensor was copied, converted or moved to the device.
    #[error("cannot place tensor {tensor} of {} on the device", file.display())]
    Torch {
        /// The weights file.
        file: PathBuf,
        /// The full name of the tensor.
        tensor: String,
        /// What libtorch said.
        #[source]
        source: TchError,
    },
}

impl LoadError {
    /// True when the device (or the host) had no memory left for the weights.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, LoadError::Torch { source, .. } if is_out_of_memory(source))
    }
}

/// Why a network did not produce its output.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// An input has the wrong shape; nothing was computed.
    #[error("{network}: {input} has shape {found:?}, expected {expected}")]
    Shape {
        /// Which network refused.
        network: &'static str,
        /// Which input.
        input: &'static str,
        /// The required shape, with the network's own numbers filled in.
        expected: String,
        /// The shape that was given.
        found: Vec<i64>,
    },
    /// The call needs something this checkpoint does not have, e.g. truncation without `latent_avg`.
    #[error("{network}: {reason}")]
    Unsupported {
        /// Which network refused.
        network: &'static str,
        /// What is absent.
        reason: &'static str,
    },
    /// An argument names or says something this network does not have; nothing was computed.
    #[error("{network}: {input} is {found}, expected {expected}")]
    Argument {
        /// Which network refused.
        network: &'static str,
        /// Which argument.
        input: &'static str,
        /// What would do.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The device or the host ran out of memory; a smaller batch may succeed.
    #[error("out of memory")]
    OutOfMemory(#[source] TchError),
    /// The device failed in a way that spoils every later call of this process; only a new process helps.
    #[error("the device was lost")]
    DeviceLost(#[source] TchError),
    /// The result holds NaN or infinity.
    #[error("{what} holds NaN or infinite values")]
    NotFinite {
        /// Which quantity.
        what: &'static str,
    },
    /// libtorch failed for another reason.
    #[error("libtorch failed")]
    Torch(#[source] TchError),
}

impl NetworkError {
    /// True when a smaller batch may succeed where this one failed.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, NetworkError::OutOfMemory(_))
    }
}

impl From<TchError> for NetworkError {
    fn from(error: TchError) -> Self {
        if is_out_of_memory(&error) {
            NetworkError::OutOfMemory(error)
        } else if is_device_lost(&error) {
            NetworkError::DeviceLost(error)
        } else {
            NetworkError::Torch(error)
        }
    }
}

/// Recognises exhausted memory in libtorch's message, the only form in which it reaches us.
///
/// The phrases are those of libtorch 2.11: the CUDA caching allocator and driver, the CPU allocator, cuBLAS, cuDNN and
/// cuSOLVER handles, and the C++ runtime. "Unable to find a valid cuDNN algorithm" is left out on purpose: it also
/// reports shapes that no algorithm supports, and splitting a batch would not cure those.
pub fn is_out_of_memory(error: &TchError) -> bool {
    const PHRASES: [&str; 7] = [
        "out of memory",
        "defaultcpuallocator: can't allocate memory",
        "defaultcpuallocator: not enough memory",
        "cudaerrormemoryallocation",
        "status_alloc_failed",
        "std::bad_alloc",
        "cannot allocate memory",
    ];
    let TchError::Torch(message) = error else { return false };
    let message = message.to_lowercase();
    PHRASES.iter().any(|phrase| message.contains(phrase))
}

/// Recognises a lost device in libtorch's message: the errors after which a CUDA context is corrupt (CUDA Runtime API,
/// `cudaError_t`: "the process must be terminated and relaunched"), and those of a device that went away.
pub fn is_device_lost(error: &TchError) -> bool {
    const PHRASES: [&str; 11] = [
        "an illegal memory access was encountered",
        "unspecified launch failure",
        "device-side assert triggered",
        "uncorrectable ecc error",
        "the launch timed out and was terminated",
        "hardware stack error",
        "an illegal instruction was encountered",
        "misaligned address",
        "no cuda-capable device is detected",
        "all cuda-capable devices are busy or unavailable",
        "driver shutting down",
    ];
    let TchError::Torch(message) = error else { return false };
    let message = message.to_lowercase();
    PHRASES.iter().any(|phrase| message.contains(phrase))
}

/// Refuses a tensor that holds NaN or infinity. On a GPU this waits for the device, so call it once per result rather
/// than once per step.
pub fn ensure_finite(what: &'static str, tensor: &Tensor) -> Result<(), NetworkError> {
    if all_finite(tensor)? { Ok(()) } else { Err(NetworkError::NotFinite { what }) }
}

pub(crate) fn all_finite(tensor: &Tensor) -> Result<bool, TchError> {
    Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn a_lost_device_is_told_apart_from_a_full_one() {
        let said = |text: &str| NetworkError::from(TchError::Torch(text.to_owned()));
        let lost =
            "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported";
        assert!(matches!(said(lost), NetworkError::DeviceLost(_)));
        assert!(matches!(said("CUDA error: uncorrectable ECC error encountered"), NetworkError::DeviceLost(_)));
        assert!(matches!(said("CUDA error: out of memory"), NetworkError::OutOfMemory(_)));
        assert!(matches!(said("CUDA error: invalid argument"), NetworkError::Torch(_)));
    }

    /// libtorch's own message, not a copy of it: 2^50 floats fit in no machine.
    #[test]
    fn a_real_allocation_failure_is_recognised() {
        let error = Tensor::f_empty([1 << 50], (Kind::Float, Device::Cpu)).expect_err("four petabytes");
        assert!(is_out_of_memory(&error), "{error}");
        assert!(NetworkError::from(error).is_out_of_memory());
    }

    #[test]
    fn other_failures_are_not_memory() {
        let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let error = a.f_matmul(&a).expect_err("shapes do not match");
        assert!(!is_out_of_memory(&error), "{error}");
        assert!(matches!(NetworkError::from(error), NetworkError::Torch(_)));
    }

    #[test]
    fn messages_of_the_gpu_libraries_are_recognised() {
        for message in [
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB",
            "CUDA error: out of memory",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        ] {
            assert!(is_out_of_memory(&TchError::Torch(message.to_owned())), "{message}");
        }
    }

    #[test]
    fn nan_and_infinity_are_refused() {
        assert!(ensure_finite("x", &Tensor::from_slice(&[1.0f32, 2.0])).is_ok());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(ensure_finite("x", &Tensor::from_slice(&[1.0, bad])).is_err());
        }
    }
}
