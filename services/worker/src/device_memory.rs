//! How much memory of the GPU is taken, by NVML: the driver counts what every process has, libtorch only what its own has.
//!
//! NVML counts all GPUs of a machine and heeds neither `CUDA_VISIBLE_DEVICES` nor `CUDA_DEVICE_ORDER`, so its indices are not those of
//! `cuda:N`. Which GPU that is the CUDA driver tells by a UUID ([`networks::device::uuid`]), and NVML is asked for that one. The UUID of
//! a part of a GPU (MIG) is the part's own, and so is the memory that is told.
//!
//! libnvidia-ml is opened at run time; without it nothing is told, and nothing else changes. A thread of its own asks, because a
//! driver whose GPU is gone may take long to answer, and heartbeats must go out meanwhile.

use networks::device::{self, DeviceChoice};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wire::broker::v1::DeviceMemory;

/// A reading that is as old as this many periods is not told any more.
const STALE: u32 = 3;

/// The last reading.
type Last = Mutex<Option<(Instant, DeviceMemory)>>;

/// The memory of a device, looked at again and again; cheap to clone.
#[derive(Clone, Debug)]
pub struct Watched {
    last: Arc<Last>,
    period: Duration,
}

/// Why the memory is not told.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("the CUDA driver does not say which GPU that is")]
    Nameless,
    #[error("libnvidia-ml cannot be used")]
    Library(#[source] NvmlError),
    #[error("libnvidia-ml knows no GPU {uuid}")]
    Unlisted {
        uuid: String,
        #[source]
        source: NvmlError,
    },
}

impl Watched {
    /// Looks at the memory of `device` every `period`, for as long as the process lives. A CPU has none of its own.
    pub fn of(device: DeviceChoice, period: Duration) -> Self {
        let watched = Self { last: Arc::default(), period };
        if device == DeviceChoice::Cpu {
            return watched;
        }
        let last = Arc::clone(&watched.last);
        let look = move || {
            if let Err(why) = watch(device, period, &last) {
                let cause = why.source().map(ToString::to_string);
                tracing::info!(%device, %why, cause, "how full the GPU's memory is will not be told");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("device memory".to_owned()).spawn(look) {
            tracing::info!(%device, %error, "how full the GPU's memory is will not be told");
        }
        watched
    }

    /// What was read last, unless that is long ago.
    pub fn now(&self) -> Option<DeviceMemory> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(at, _)| at.elapsed() < self.period * STALE).map(|(_, memory)| memory)
    }
}

/// What answers how much of one GPU is taken, for those who ask at moments of their own.
#[derive(Debug)]
pub struct Gauge {
    nvml: Nvml,
    uuid: String,
}

impl Gauge {
    /// Of this device; none for a CPU, and where nobody tells.
    pub fn of(device: DeviceChoice) -> Option<Self> {
        Self::open(device).ok().filter(|gauge| gauge.used().is_some())
    }

    /// Bytes that are taken now, by whichever process.
    pub fn used(&self) -> Option<u64> {
        Some(self.memory().ok()?.used_bytes)
    }

    /// Joules that the GPU has taken since its driver was loaded; none for a part of one, and from GPUs before Volta.
    pub fn joules(&self) -> Option<f64> {
        // Safe to widen: a count of millijoules stays below 2^53 for 280 years at 1 kW.
        self.find().ok()?.total_energy_consumption().ok().map(|millijoules| millijoules as f64 / 1e3)
    }

    fn open(device: DeviceChoice) -> Result<Self, Untold> {
        let uuid = device::uuid(device).ok_or(Untold::Nameless)?;
        let gauge = Self { nvml: Nvml::init().map_err(Untold::Library)?, uuid };
        match gauge.find() {
            Ok(_) => Ok(gauge),
            Err(source) => Err(Untold::Unlisted { uuid: gauge.uuid, source }),
        }
    }

    fn memory(&self) -> Result<DeviceMemory, NvmlError> {
        let info = self.find()?.memory_info()?;
        Ok(DeviceMemory { used_bytes: info.used, total_bytes: info.total })
    }

    /// The GPU, or the part of one.
    fn find(&self) -> Result<Device<'_>, NvmlError> {
        let [whole, part] = names(&self.uuid);
        self.nvml.device_by_uuid(whole).or_else(|_| self.nvml.device_by_uuid(part))
    }
}

/// Reads without end, unless there is nothing to read.
fn watch(choice: DeviceChoice, period: Duration, last: &Last) -> Result<(), Untold> {
    let gauge = Gauge::open(choice)?;
    let mut failed = false;
    loop {
        match gauge.memory() {
            Ok(memory) => {
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), memory));
            }
            // Told once; it is asked again all the same.
            Err(error) if !failed => {
                failed = true;
                tracing::info!(device = %choice, %error, "how full the GPU's memory is cannot be read");
            }
            Err(_) => {}
        }
        std::thread::sleep(period);
    }
}

/// What NVML may call a device of this UUID. The driver does not say whether it is a whole GPU or a part, and no two have the same.
fn names(uuid: &str) -> [String; 2] {
    ["GPU", "MIG"].map(|kind| format!("{kind}-{uuid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: DeviceMemory = DeviceMemory { used_bytes: 3, total_bytes: 8 };

    #[test]
    fn a_device_is_asked_for_as_a_gpu_and_as_a_part_of_one() {
        let [whole, part] = names("0a3bc400-0102-0304-0506-070809abcdef");
        assert_eq!(whole, "GPU-0a3bc400-0102-0304-0506-070809abcdef");
        assert_eq!(part, "MIG-0a3bc400-0102-0304-0506-070809abcdef");
    }

    /// No machine has as many GPUs, with or without a driver.
    #[test]
    fn what_there_is_not_is_not_told() {
        let last = Last::default();
        let told = watch(DeviceChoice::Cuda(4096), Duration::ZERO, &last);
        assert!(matches!(told, Err(Untold::Nameless)), "{told:?}");
        assert_eq!(Watched::of(DeviceChoice::Cpu, Duration::from_secs(1)).now(), None);
        assert!(Gauge::of(DeviceChoice::Cpu).is_none() && Gauge::of(DeviceChoice::Cuda(4096)).is_none());
    }

    #[test]
    fn a_library_that_is_not_there_is_no_panic() {
        let opened = Nvml::builder().lib_path("libnvidia-ml-that-is-not-there.so".as_ref()).init();
        let why = Untold::Library(opened.expect_err("it is not there"));
        assert!(why.to_string().contains("libnvidia-ml"), "{why}");
    }

    #[test]
    fn an_old_reading_is_not_told() {
        let read = |ago: u64| {
            let at = Instant::now().checked_sub(Duration::from_secs(ago)).expect("the machine runs for longer");
            Watched { last: Arc::new(Mutex::new(Some((at, MEMORY)))), period: Duration::from_secs(10) }
        };
        assert_eq!((read(0).now(), read(25).now(), read(31).now()), (Some(MEMORY), Some(MEMORY), None));
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU: see tests/gpu/README.md"]
    fn a_gpu_tells_its_memory() {
        let watched = Watched::of(DeviceChoice::Cuda(0), Duration::from_secs(1));
        let began = Instant::now();
        let memory = loop {
            match watched.now() {
                Some(memory) => break memory,
                None if began.elapsed() > Duration::from_secs(20) => panic!("nothing was told"),
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        println!("{} {memory:?}", device::uuid(DeviceChoice::Cuda(0)).unwrap_or_default());
        assert!(memory.total_bytes > 1 << 30 && memory.used_bytes <= memory.total_bytes, "{memory:?}");
    }
}
