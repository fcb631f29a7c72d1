//! How much a checkpoint may ask for. Real ones need a hundredth of each.

/// Values that one pickle may make. A StyleGAN2 with both optimisers makes about 30,000.
pub const VALUES: usize = 2_000_000;

/// Entries of all lists, tuples, dictionaries and shapes of one pickle.
pub const ITEMS: usize = 4_000_000;

/// Bytes of all texts of one pickle that are held in memory. NVIDIA's pickles carry a few modules' source.
pub const TEXT: u64 = 64 << 20;

/// Bytes of one name, module and attribute.
pub const NAME: usize = 1024;

/// How deep values may nest. A module's submodules take three levels each.
pub const DEPTH: usize = 200;

/// Arguments of one call. Copied for each, so a long list that is remembered and passed again would cost a thousandfold.
pub const ARGUMENTS: usize = 64;

/// Entries of what is searched or joined entry by entry, over and over: the description of an NVIDIA object has five.
pub const REPEATED_ENTRIES: usize = 4096;

/// Dimensions of a tensor; PyTorch itself stops at 64.
pub const DIMENSIONS: usize = 64;

/// Bytes of one inflated entry of an archive. PyTorch deflates code only; the rest is deflated by who packed a file again.
pub const INFLATED: u64 = 256 << 20;

/// Bytes of a whole pickle inside an archive. The storages lie beside it.
pub const ARCHIVED_PICKLE: u64 = 128 << 20;

/// Entries of an archive.
pub const ENTRIES: usize = 200_000;

/// Bytes that a view which repeats its storage (stride 0, overlapping rows) may be written out to.
pub const REPEATED: u64 = 256 << 20;

/// Values visited while tensors are listed by name: a file of a hundred bytes can share one list a million times over.
pub const FLAT_VISITS: usize = 1_000_000;

/// Bytes of all names of such a list.
pub const FLAT_NAMES: usize = 64 << 20;

/// Bytes of a safetensors header, the format's own limit.
pub const SAFETENSORS_HEADER: u64 = 100_000_000;
