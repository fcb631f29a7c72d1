//! Which device to compute on, and the process-wide settings of libtorch that results depend on.
//!
//! The binaries link libtorch's CPU half only. Its CUDA half is opened when a GPU is asked for, so one binary serves
//! machines with and without one. This module and those below it are the only ones of the workspace with `unsafe` code: they
//! open libraries and call a few functions in them by name, because tch has no binding for them.

mod driver;
mod facts;
pub mod memory;

pub use facts::{CUBLAS_WORKSPACE, prepare_process};

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fmt;
use std::str::FromStr;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use serde::Serialize;
use tch::{Cuda, Device};

use crate::{products, winograd};

/// libtorch's CUDA half; found beside the other libtorch libraries through the binary's run path.
const CUDA_LIBRARY: &str = "libtorch_cuda.so";

/// The device a user asks for, written `cpu`, `cuda` (the first GPU) or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The CPU.
    #[default]
    Cpu,
    /// The GPU of this index among those the process can see.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").and_then(|index| index.parse().ok());
                index.map(DeviceChoice::Cuda).ok_or_else(|| DeviceError::Unknown { text: text.to_owned() })
            }
        }
    }
}

/// How 3×3 convolutions over wide maps are computed on a CPU in single precision, written `winograd` or `direct`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Convolutions {
    /// With a quarter of the products, and about four times the rounding (1e-5 of the largest output).
    #[default]
    Winograd,
    /// Product by product.
    Direct,
}

impl fmt::Display for Convolutions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Convolutions::Winograd => "winograd",
            Convolutions::Direct => "direct",
        })
    }
}

impl FromStr for Convolutions {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "winograd" => Ok(Convolutions::Winograd),
            "direct" => Ok(Convolutions::Direct),
            _ => Err(DeviceError::UnknownConvolutions { text: text.to_owned() }),
        }
    }
}

/// What multiplies the rows of transformers with their matrices on a CPU in single precision, written `blas` or `onednn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// MKL, as every program with libtorch does.
    Blas,
    /// oneDNN, which is up to twice as fast on AMD's processors with AVX-512; elsewhere it is not.
    OneDnn,
}

impl Products {
    /// The faster one on this machine's processor.
    pub fn fastest() -> Self {
        let is_amd = processor("vendor_id").is_some_and(|vendor| vendor == "AuthenticAMD");
        let is_wide = processor("flags").is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "avx512f"));
        if is_amd && is_wide { Self::OneDnn } else { Self::Blas }
    }
}

impl fmt::Display for Products {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Products::Blas => "blas",
            Products::OneDnn => "onednn",
        })
    }
}

/// Settings of the whole process. Apply them once, before the first tensor is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Where to compute.
    pub device: DeviceChoice,
    /// CPU threads per operation, at least 1. On the CPU the count changes the rounding of some sums.
    pub threads: usize,
    /// Choose deterministic kernels wherever libtorch has them, and do not let cuDNN pick kernels by timing. The few
    /// operations without a deterministic kernel still run.
    pub deterministic: bool,
    /// Let a GPU round what it multiplies to TF32, three decimal digits, in all networks of the process. A CPU does not.
    pub tf32: bool,
    /// How networks that are loaded afterwards compute wide convolutions on a CPU.
    pub convolutions: Convolutions,
    /// What multiplies rows of transformers on a CPU.
    pub products: Products,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            device: DeviceChoice::Cpu,
            threads: 1,
            deterministic: true,
            tf32: false,
            convolutions: Convolutions::default(),
            products: Products::fastest(),
        }
    }
}

/// Why the device or its settings are not available.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a device name.
    #[error("unknown device {text:?}; write cpu, cuda or cuda:N")]
    Unknown {
        /// What was written.
        text: String,
    },
    /// Not a way to compute convolutions.
    #[error("unknown convolutions {text:?}; write winograd or direct")]
    UnknownConvolutions {
        /// What was written.
        text: String,
    },
    /// libtorch's CUDA half, or a library it needs, is not installed.
    #[error(
        "a GPU was asked for, but {CUDA_LIBRARY} or a library it needs cannot be opened; install the CUDA build of libtorch or use --device cpu"
    )]
    CudaLibrary(#[source] libloading::Error),
    /// The libraries are there, the GPU is not.
    #[error("{choice} was asked for, but {count} GPUs are visible to this process")]
    NoSuchGpu {
        /// The GPU asked for.
        choice: DeviceChoice,
        /// How many there are.
        count: i64,
    },
    /// The libtorch that was linked lacks a function this build expects.
    #[error("libtorch has no function {name}; it is not the version this program was built for")]
    MissingFunction {
        /// The symbol.
        name: &'static str,
        /// What the loader said.
        #[source]
        source: libloading::Error,
    },
}

/// Opens the device and applies the settings to the process.
///
/// Call it before any tensor exists: libtorch decides once whether it has CUDA, and does so at the first question.
pub fn open(settings: &Settings) -> Result<Device, DeviceError> {
    let device = match settings.device {
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::Cuda(index) => {
            open_cuda_library()?;
            let count = if Cuda::is_available() { Cuda::device_count() } else { 0 };
            if index as i64 >= count {
                return Err(DeviceError::NoSuchGpu { choice: settings.device, count });
            }
            Device::Cuda(index)
        }
    };
    // libtorch refuses zero and counts in 32 bits.
    tch::set_num_threads(i32::try_from(settings.threads.max(1)).unwrap_or(i32::MAX));
    winograd::allow(settings.convolutions == Convolutions::Winograd);
    products::choose(settings.products);
    apply_determinism(settings)?;
    allow_tf32(settings.tf32)?;
    Ok(device)
}

/// What results depend on besides the weights and the inputs; goes into provenance records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// The libtorch in use, e.g. `2.11.0`.
    pub libtorch: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The processor's or the GPU's own name, where the system tells.
    pub device_name: Option<String>,
    /// The GPU driver's version; `None` on the CPU.
    pub driver: Option<String>,
    /// CUDA's version as libtorch's run time has it, e.g. `13.0`; `None` on the CPU.
    pub cuda: Option<String>,
    /// The GPU's compute capability, e.g. `9.0`; `None` on the CPU.
    pub compute_capability: Option<String>,
    /// The profile of the GPU's part that is used, e.g. `1g.10gb`; `None` on the CPU and on a whole GPU.
    pub mig: Option<String>,
    /// Environment variables that libtorch's kernels heed, as far as they are set.
    pub variables: BTreeMap<String, String>,
    /// cuDNN's version number, e.g. 91300; `None` on the CPU.
    pub cudnn: Option<i64>,
    /// CPU threads per operation.
    pub threads: i32,
    /// Whether libtorch was told to choose deterministic kernels.
    pub deterministic: bool,
    /// How wide convolutions are computed; `None` on a GPU, whose libraries choose for themselves.
    pub convolutions: Option<String>,
    /// What multiplies rows of transformers, where it is not what every program with libtorch takes.
    pub products: Option<String>,
}

/// Describes the process's computing environment for `device`.
pub fn environment(device: Device) -> Environment {
    let gpu = match device {
        Device::Cuda(index) => Some(index),
        _ => None,
    };
    let known = gpu.and_then(driver::Gpu::open);
    let device_name = if gpu.is_some() { known.as_ref().and_then(driver::Gpu::name) } else { processor("model name") };
    Environment {
        cuda: gpu.and_then(|_| facts::cuda_version(tch::utils::version_cudart())),
        compute_capability: known.as_ref().and_then(driver::Gpu::compute_capability),
        mig: gpu.and_then(|_| facts::mig_profile(device_name.as_deref()?)),
        variables: facts::variables(),
        libtorch: libtorch_version().unwrap_or_else(|| "unknown".to_owned()),
        device: gpu.map_or(DeviceChoice::Cpu, DeviceChoice::Cuda).to_string(),
        device_name,
        driver: gpu.and_then(|_| read_line("/sys/module/nvidia/version")),
        cudnn: gpu.filter(|_| Cuda::cudnn_is_available()).map(|_| tch::utils::version_cudnn()),
        threads: tch::get_num_threads(),
        deterministic: deterministic(),
        convolutions: gpu.is_none().then(|| convolutions().to_string()),
        products: Some(products::chosen()).filter(|of| gpu.is_none() && *of != Products::Blas).map(|of| of.to_string()),
    }
}

/// How networks that are loaded now compute wide convolutions on a CPU.
pub fn convolutions() -> Convolutions {
    if winograd::is_allowed() { Convolutions::Winograd } else { Convolutions::Direct }
}

/// What tells this GPU, or part of one (MIG), from every other, as NVIDIA's tools write it after `GPU-` or `MIG-`. `None` for the
/// CPU, and where the driver does not say.
pub fn uuid(choice: DeviceChoice) -> Option<String> {
    match choice {
        DeviceChoice::Cpu => None,
        DeviceChoice::Cuda(index) => driver::Gpu::open(index)?.uuid(),
    }
}

fn read_line(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

/// What the system says of the first processor under this name.
fn processor(field: &str) -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with(field))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[expect(unsafe_code, reason = "opening a library runs its initialisers; tch offers no other way to reach CUDA")]
fn open_cuda_library() -> Result<(), DeviceError> {
    // SAFETY: libtorch_cuda's initialisers only register its kernels with the libtorch this program is linked to; both
    // come from one installation.
    let library = unsafe { Library::open(Some(CUDA_LIBRARY), RTLD_NOW | RTLD_GLOBAL) };
    // Never closed: libtorch keeps pointers into it for the life of the process.
    std::mem::forget(library.map_err(DeviceError::CudaLibrary)?);
    Ok(())
}

/// Setters of `at::Context` by their symbols (Itanium C++ names), since tch binds none of them.
const GLOBAL_CONTEXT: &str = "_ZN2at13globalContextEv";
const SET_TF32_CUDNN: &str = "_ZN2at7Context17setAllowTF32CuDNNEb";
const SET_TF32_CUBLAS: &str = "_ZN2at7Context18setAllowTF32CuBLASEb";
const SET_BENCHMARK: &str = "_ZN2at7Context17setBenchmarkCuDNNEb";
const SET_DETERMINISTIC_CUDNN: &str = "_ZN2at7Context21setDeterministicCuDNNEb";
const SET_DETERMINISTIC_MKLDNN: &str = "_ZN2at7Context22setDeterministicMkldnnEb";
const DETERMINISTIC: &str = "_ZNK2at7Context23deterministicAlgorithmsEv";
const SET_DETERMINISTIC: &str = "_ZN2at7Context26setDeterministicAlgorithmsEbb";
const SET_FILL_UNINITIALIZED: &str = "_ZN2at7Context39setDeterministicFillUninitializedMemoryEb";

/// From the next product on, a GPU may round what it multiplies to TF32, or may not. Call it on the thread that computes.
///
/// # Errors
/// When libtorch is not the version that this was built for.
pub fn allow_tf32(allowed: bool) -> Result<(), DeviceError> {
    set(&[(SET_TF32_CUDNN, allowed), (SET_TF32_CUBLAS, allowed)])
}

#[expect(unsafe_code, reason = "tch has no binding for libtorch's determinism settings")]
fn apply_determinism(settings: &Settings) -> Result<(), DeviceError> {
    type PairSetter = unsafe extern "C" fn(*mut c_void, bool, bool);
    set(&[
        (SET_BENCHMARK, !settings.deterministic),
        (SET_DETERMINISTIC_CUDNN, settings.deterministic),
        (SET_DETERMINISTIC_MKLDNN, settings.deterministic),
        // Filling fresh memory guards against reading it unset, at the price of a pass over every result.
        (SET_FILL_UNINITIALIZED, false),
    ])?;
    let program = Library::this();
    // SAFETY: as in `set`, with two bools; the last one: warn instead of failing where no deterministic kernel exists.
    unsafe {
        let context = symbol::<unsafe extern "C" fn() -> *mut c_void>(&program, GLOBAL_CONTEXT)?();
        symbol::<PairSetter>(&program, SET_DETERMINISTIC)?(context, settings.deterministic, true);
    }
    Ok(())
}

/// Calls setters of the one `at::Context` by their symbols.
#[expect(unsafe_code, reason = "tch has no binding for libtorch's precision and determinism settings")]
fn set(values: &[(&'static str, bool)]) -> Result<(), DeviceError> {
    type Setter = unsafe extern "C" fn(*mut c_void, bool);
    let program = Library::this();
    // SAFETY: the signatures are those of ATen/Context.h in libtorch 2.11: a function without arguments that returns a
    // reference to the one global context, and member functions of it that take a bool. On this platform a member
    // function receives the object's address as its first argument. Another version lacks the symbols or, since the
    // argument types are part of each symbol, keeps their meaning.
    unsafe {
        let context = symbol::<unsafe extern "C" fn() -> *mut c_void>(&program, GLOBAL_CONTEXT)?();
        for &(name, value) in values {
            symbol::<Setter>(&program, name)?(context, value);
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "tch has no binding for the question whether kernels are deterministic")]
fn deterministic() -> bool {
    type Getter = unsafe extern "C" fn(*const c_void) -> bool;
    let program = Library::this();
    // SAFETY: as in `set`; a constant member function without arguments.
    unsafe {
        let context = symbol::<unsafe extern "C" fn() -> *mut c_void>(&program, GLOBAL_CONTEXT);
        let getter = symbol::<Getter>(&program, DETERMINISTIC);
        matches!((context, getter), (Ok(context), Ok(getter)) if getter(context()))
    }
}

#[expect(unsafe_code, reason = "looks up a function by name; the caller vouches for its type")]
unsafe fn symbol<T: Copy>(library: &Library, name: &'static str) -> Result<T, DeviceError> {
    // SAFETY: passed on to the caller, who knows the function's type. The copy outlives `library`, but it comes from
    // the program itself or from a library that is never closed.
    let found = unsafe { library.get::<T>(name.as_bytes()) };
    found.map(|function| *function).map_err(|source| DeviceError::MissingFunction { name, source })
}

#[expect(unsafe_code, reason = "libtorch's version is known only to the library itself")]
fn libtorch_version() -> Option<String> {
    type Version = unsafe extern "C" fn() -> u64;
    // SAFETY: declared as `uint64_t aoti_torch_abi_version()` in libtorch's C interface (inductor/aoti_torch/c/shim.h).
    let version = unsafe { symbol::<Version>(&Library::this(), "aoti_torch_abi_version").ok()?() };
    // One byte each, from the top: major, minor, patch.
    let [major, minor, patch, ..] = version.to_be_bytes();
    Some(format!("{major}.{minor}.{patch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_and_print() {
        for (text, choice) in [("cpu", DeviceChoice::Cpu), ("cuda:1", DeviceChoice::Cuda(1))] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap(), choice);
            assert_eq!(choice.to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for text in ["", "gpu", "cuda:", "cuda:-1", "CPU"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
        for choice in [Convolutions::Winograd, Convolutions::Direct] {
            assert_eq!(choice.to_string().parse::<Convolutions>().unwrap(), choice);
        }
        assert!("fast".parse::<Convolutions>().is_err());
    }

    /// Every symbol must be in the libtorch we link, or no worker starts.
    #[test]
    fn the_cpu_opens_and_describes_itself() {
        let device = open(&Settings { threads: 1, ..Settings::default() }).unwrap();
        let environment = environment(device);
        assert_eq!((environment.device.as_str(), environment.threads), ("cpu", 1));
        assert_eq!(environment.libtorch, "2.11.0");
        assert_eq!((environment.driver, environment.cudnn), (None, None));
        assert_eq!((environment.cuda, environment.compute_capability, environment.mig), (None, None, None));
    }

    /// Either the libraries or the GPU itself is absent: no machine has this many.
    #[test]
    fn an_absent_gpu_is_an_error() {
        assert_eq!((uuid(DeviceChoice::Cuda(4096)), uuid(DeviceChoice::Cpu)), (None, None));
        let settings = Settings { device: DeviceChoice::Cuda(4096), ..Settings::default() };
        let error = open(&settings).expect_err("no such GPU");
        assert!(matches!(error, DeviceError::CudaLibrary(_) | DeviceError::NoSuchGpu { .. }), "{error}");
    }
}
