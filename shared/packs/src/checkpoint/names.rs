//! What a pickle may name, and what becomes of it. This list is the reader's whole power: a call that is not here is refused.

/// What a known call makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// `dict`, `OrderedDict`, `EasyDict`: a dictionary, of nothing, pairs, or another one.
    Dict,
    /// `defaultdict`: a dictionary; the first argument is the default's factory.
    DefaultDict,
    /// `set`, `frozenset`, `list`.
    List,
    /// `tuple`, `torch.Size`.
    Tuple,
    /// `torch.device`
    Device,
    /// `pathlib.PosixPath` and kin: a text.
    Path,
    /// `_codecs.encode`: how protocol 2 writes bytes.
    Encode,
    /// `bytes`, `bytearray`.
    Bytes,
    /// `torch._utils._rebuild_tensor` and `_v2`: the type is the storage's.
    Tensor,
    /// `_rebuild_tensor_v3`: the type is the seventh argument.
    TypedTensor,
    /// `_rebuild_parameter`: its first argument.
    First,
    /// `_rebuild_from_type_v2`: a call in a call.
    FromType,
    /// `torch.storage._load_from_bytes`: a storage saved inside the pickle.
    StorageBytes,
    /// `numpy.core.multiarray._reconstruct`: an array whose state follows.
    Array,
    /// `numpy.core.numeric._frombuffer`: an array over bytes, of protocol 5.
    ArrayOfBuffer,
    /// `numpy.core.multiarray.scalar`
    Scalar,
    /// `numpy.dtype`
    ScalarType,
    /// `copyreg._reconstructor`: an object of the class in its first argument.
    Reconstruct,
    /// `torch_utils.persistence._reconstruct_persistent_obj`: state, and source that is kept as text.
    Persistent,
    /// `torch.jit._pickle.build_*list`: its argument.
    ScriptList,
    /// An object of a class that only carries attributes.
    Object,
}

/// Python 2's names, and the places numpy and PyTorch moved things from, as they are called today.
pub(super) fn normalised(module: &str, name: &str) -> String {
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        "torch.tensor" => "torch._tensor",
        "UserDict" => "collections",
        _ => module,
    };
    match module.strip_prefix("numpy._core") {
        Some(rest) => format!("numpy.core{rest}.{name}"),
        None => format!("{module}.{name}"),
    }
}

/// Calls that every dialect knows.
pub(super) fn call(name: &str) -> Option<Call> {
    Some(match name {
        "collections.OrderedDict"
        | "collections.Counter"
        | "builtins.dict"
        | "dnnlib.util.EasyDict"
        | "dnnlib.EasyDict" => Call::Dict,
        "easydict.EasyDict" | "torch_utils.misc.EasyDict" => Call::Dict,
        "collections.defaultdict" => Call::DefaultDict,
        "builtins.set" | "builtins.frozenset" | "builtins.list" => Call::List,
        "builtins.tuple" | "torch.Size" => Call::Tuple,
        "torch.device" => Call::Device,
        "pathlib.PosixPath"
        | "pathlib.PurePosixPath"
        | "pathlib.WindowsPath"
        | "pathlib.PureWindowsPath"
        | "pathlib.Path" => Call::Path,
        "_codecs.encode" => Call::Encode,
        "builtins.bytes" | "builtins.bytearray" => Call::Bytes,
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => Call::Tensor,
        "torch._utils._rebuild_tensor_v3" => Call::TypedTensor,
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => Call::First,
        "torch._tensor._rebuild_from_type_v2" | "torch._tensor._rebuild_from_type" => Call::FromType,
        "torch.storage._load_from_bytes" => Call::StorageBytes,
        "numpy.core.multiarray._reconstruct" => Call::Array,
        "numpy.core.numeric._frombuffer" => Call::ArrayOfBuffer,
        "numpy.core.multiarray.scalar" => Call::Scalar,
        "numpy.dtype" => Call::ScalarType,
        "copyreg._reconstructor" => Call::Reconstruct,
        "torch_utils.persistence._reconstruct_persistent_obj" => Call::Persistent,
        _ if is_object(name) => Call::Object,
        _ => return None,
    })
}

/// Calls of TorchScript alone.
pub(super) fn script_call(name: &str) -> Option<Call> {
    Some(match name {
        "torch.jit._pickle.build_intlist"
        | "torch.jit._pickle.build_doublelist"
        | "torch.jit._pickle.build_boollist"
        | "torch.jit._pickle.build_tensorlist" => Call::ScriptList,
        "torch.jit._pickle.restore_type_tag" => Call::First,
        _ if name.starts_with("__torch__.") => Call::Object,
        _ => return None,
    })
}

/// Classes whose objects are nothing but their attributes: namespaces of settings, modules and optimisers of PyTorch itself, and
/// NVIDIA's network of the TensorFlow age, which is a list of numpy arrays.
fn is_object(name: &str) -> bool {
    const CLASSES: [&str; 4] =
        ["argparse.Namespace", "types.SimpleNamespace", "dnnlib.tflib.network.Network", "torch.nn.parameter.Parameter"];
    // A path below these modules is a class when its last part begins with a capital; functions there do not.
    const MODULES: [&str; 3] = ["torch.nn.modules.", "torch.nn.parallel.", "torch.optim."];
    let capital = || name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_uppercase()));
    CLASSES.contains(&name) || MODULES.iter().any(|module| name.starts_with(module)) && capital()
}

/// What to do about a call that is refused.
pub(super) fn remedy(name: &str) -> &'static str {
    if name.starts_with("torch._utils._rebuild_") || name.starts_with("torch._C") {
        return "sparse, quantised and device-bound tensors are not read: load it in Python and save dense weights";
    }
    let harmless =
        ["torch.", "numpy.", "pytorch_lightning.", "lightning.", "omegaconf.", "model.", "models.", "training."];
    if harmless.iter().any(|module| name.starts_with(module)) {
        return "load it where it comes from and save `model.state_dict()` alone";
    }
    "a checkpoint has no need of it: do not load this file anywhere unless you trust its maker; ask for the weights as safetensors"
}
