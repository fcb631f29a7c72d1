//! What the CUDA driver tells of a GPU.
//!
//! The driver counts GPUs as libtorch does: those that `CUDA_VISIBLE_DEVICES` leaves, in whatever form it names them, in the order of
//! `CUDA_DEVICE_ORDER`. So an index means the same to both, and nobody here has to read those variables.

use super::symbol;
use libloading::os::unix::Library;
use std::ffi::{CStr, c_char, c_int};

const SUCCESS: c_int = 0;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`.
const CAPABILITY: [c_int; 2] = [75, 76];

/// A GPU, as the driver knows it.
pub(super) struct Gpu {
    library: Library,
    device: c_int,
}

impl Gpu {
    /// The GPU of this index; `None` where there is no driver or no such GPU.
    #[expect(unsafe_code, reason = "what a GPU is, is known only to the CUDA driver")]
    pub(super) fn open(index: usize) -> Option<Self> {
        type Init = unsafe extern "C" fn(u32) -> c_int;
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
        let index = c_int::try_from(index).ok()?;
        let mut device = 0;
        // SAFETY: the driver interface's documented C signatures. Its initialisers may run in any process, and `cuInit` more than once.
        unsafe {
            let library = Library::new("libcuda.so.1").ok()?;
            if symbol::<Init>(&library, "cuInit").ok()?(0) != SUCCESS
                || symbol::<Get>(&library, "cuDeviceGet").ok()?(&mut device, index) != SUCCESS
            {
                return None;
            }
            Some(Self { library, device })
        }
    }

    /// Its name, which for a part of a GPU ends with the part's profile.
    #[expect(unsafe_code, reason = "as `open`")]
    pub(super) fn name(&self) -> Option<String> {
        type Name = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
        let mut text = [0u8; 256];
        // SAFETY: as in `open`; the buffer's length is passed and leaves room for the final zero.
        let code = unsafe {
            symbol::<Name>(&self.library, "cuDeviceGetName").ok()?(text.as_mut_ptr().cast(), 255, self.device)
        };
        let text = CStr::from_bytes_until_nul(&text).ok().filter(|_| code == SUCCESS)?;
        Some(text.to_string_lossy().into_owned())
    }

    /// Its compute capability, e.g. `9.0`.
    #[expect(unsafe_code, reason = "as `open`")]
    pub(super) fn compute_capability(&self) -> Option<String> {
        type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
        let mut found = [0; 2];
        for (value, attribute) in found.iter_mut().zip(CAPABILITY) {
            // SAFETY: as in `open`; the call writes one int.
            let code = unsafe {
                symbol::<Attribute>(&self.library, "cuDeviceGetAttribute").ok()?(value, attribute, self.device)
            };
            if code != SUCCESS {
                return None;
            }
        }
        let [major, minor] = found;
        Some(format!("{major}.{minor}"))
    }

    /// Its UUID. The second version of the function: the first tells for a part (MIG) that of the whole GPU.
    #[expect(unsafe_code, reason = "as `open`")]
    pub(super) fn uuid(&self) -> Option<String> {
        type Uuid = unsafe extern "C" fn(*mut [u8; 16], c_int) -> c_int;
        let mut bytes = [0; 16];
        // SAFETY: as in `open`; `CUuuid` is a struct of 16 chars, which the call fills.
        let code = unsafe { symbol::<Uuid>(&self.library, "cuDeviceGetUuid_v2").ok()?(&mut bytes, self.device) };
        (code == SUCCESS).then(|| written(bytes))
    }
}

/// In five groups of lower-case digits.
fn written(uuid: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(uuid));
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    groups.map(|group| &digits[group]).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_nvidia_writes_it() {
        let bytes = [0x0a, 0x3b, 0xc4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xab, 0xcd, 0xef];
        assert_eq!(written(bytes), "0a3bc400-0102-0304-0506-070809abcdef");
    }
}
