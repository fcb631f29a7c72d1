//! numpy's arrays and numbers inside pickles: average latents, metrics beside the weights, and all of TensorFlow-age networks.

use super::arena::{Id, Node, ScalarType, TensorNode};
use super::machine::Machine;
use super::storages::{Backing, Element};
use super::tensor::Dtype;
use super::{Blob, Fault};
use half::f16;
use std::sync::Arc;

/// `numpy.dtype("f4", ...)`; its byte order follows as state.
pub(super) fn scalar_type(machine: &mut Machine<'_>, args: &[Id]) -> Result<Id, Fault> {
    let code = args.first().and_then(|&code| machine.arena.text(code)).map(Arc::clone);
    let code = code.ok_or_else(|| Fault::malformed("numpy.dtype without a type"))?;
    machine.arena.add(Node::ScalarType(Box::new(ScalarType { code, order: b'<' })))
}

/// `(version, order, ...)`
pub(super) fn set_order(machine: &mut Machine<'_>, target: Id, state: Id) -> Result<(), Fault> {
    let order = machine.arena.items(state).and_then(|state| state.get(1)).and_then(|&order| machine.arena.text(order));
    let order = order.and_then(|order| order.bytes().next());
    let order = order.ok_or_else(|| Fault::malformed("numpy.dtype without a byte order"))?;
    if let Node::ScalarType(scalar) = machine.arena.node_mut(target) {
        scalar.order = order;
    }
    Ok(())
}

/// `(version, shape, type, column-major, data)`
pub(super) fn fill_array(machine: &mut Machine<'_>, target: Id, state: Id) -> Result<(), Fault> {
    let &[_, shape, scalar, column_major, data] = machine.arena.items(state).unwrap_or_default() else {
        return Err(Fault::malformed("a numpy array without its five parts"));
    };
    let column_major = matches!(machine.arena.node(column_major), Node::Bool(true) | Node::Int(1));
    let array = array(machine, shape, scalar, column_major, data)?;
    *machine.arena.node_mut(target) = array;
    Ok(())
}

/// `(buffer, type, shape, order)`
pub(super) fn array_of_buffer(machine: &mut Machine<'_>, args: &[Id]) -> Result<Id, Fault> {
    let &[data, scalar, shape, order] = args else {
        return Err(Fault::malformed("a numpy array without its four parts"));
    };
    let column_major = machine.arena.text(order).is_some_and(|order| &**order == "F");
    let array = array(machine, shape, scalar, column_major, data)?;
    machine.arena.add(array)
}

/// `(type, bytes)`
pub(super) fn scalar(machine: &mut Machine<'_>, args: &[Id]) -> Result<Id, Fault> {
    let &[scalar, data] = args else {
        return Err(Fault::malformed("a numpy number without its two parts"));
    };
    let dtype = dtype(machine, scalar)?;
    let node = match (dtype, bytes(machine, data)?) {
        (Ok(dtype), Some(blob)) if blob.len() == dtype.size() as u64 => number(dtype, &blob.read_range(0, blob.len())?),
        (Ok(_), _) => return Err(Fault::malformed("a numpy number of another size than its type")),
        (Err(_), _) => Node::EmptyArray,
    };
    machine.arena.add(node)
}

fn array(machine: &mut Machine<'_>, shape: Id, scalar: Id, column_major: bool, data: Id) -> Result<Node, Fault> {
    let shape = machine.arena.dimensions(shape).ok_or_else(|| Fault::malformed("a numpy array without a shape"))?;
    let dtype = dtype(machine, scalar)?;
    // Arrays of objects hold a list here: nothing that weights are made of.
    let Some(data) = bytes(machine, data)? else { return Ok(Node::EmptyArray) };
    let mut stride = vec![1u64; shape.len()];
    let axes: Vec<usize> = if column_major { (0..shape.len()).collect() } else { (0..shape.len()).rev().collect() };
    for pair in axes.windows(2) {
        stride[pair[1]] = stride[pair[0]].saturating_mul(shape[pair[0]].max(1));
    }
    machine.arena.charge_items(2 * shape.len())?;
    let size = dtype.as_ref().map_or(1, |dtype| dtype.size() as u64);
    let element = Element { dtype: dtype.clone(), size };
    let storage = machine.storages.place("a numpy array", element, Backing::Raw(data));
    Ok(Node::Tensor(Box::new(TensorNode { storage, dtype, shape, stride, offset: 0 })))
}

fn bytes(machine: &mut Machine<'_>, data: Id) -> Result<Option<Blob>, Fault> {
    match machine.arena.node(data) {
        Node::Bytes(blob) => Ok(Some(blob.clone())),
        // Python 2 wrote numbers as text where they happened to be one.
        Node::Text(text) => {
            let text = Arc::clone(text);
            machine.arena.charge_text(text.len() as u64)?;
            Ok(Some(machine.cursor.blob().beside(text.as_bytes().to_vec())))
        }
        _ => Ok(None),
    }
}

/// The type, or the name of one that is not read.
fn dtype(machine: &Machine<'_>, scalar: Id) -> Result<Result<Dtype, Arc<str>>, Fault> {
    let Node::ScalarType(scalar) = machine.arena.node(scalar) else {
        return Err(Fault::malformed(format!("{} where numpy's element type should be", machine.arena.kind(scalar))));
    };
    let known = match &*scalar.code {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        _ => return Ok(Err(Arc::clone(&scalar.code))),
    };
    let swapped = scalar.order == b'>' && known.size() > 1;
    Ok(if swapped { Err(format!("big-endian {}", scalar.code).into()) } else { Ok(known) })
}

fn number(dtype: Dtype, bytes: &[u8]) -> Node {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    let [a, b, c, d, ..] = all;
    match dtype {
        Dtype::F16 | Dtype::BF16 => Node::Float(f16::from_le_bytes([a, b]).to_f64()),
        Dtype::F32 => Node::Float(f64::from(f32::from_le_bytes([a, b, c, d]))),
        Dtype::F64 => Node::Float(f64::from_le_bytes(all)),
        Dtype::I64 => Node::Int(i128::from(i64::from_le_bytes(all))),
        Dtype::I32 => Node::Int(i128::from(i32::from_le_bytes([a, b, c, d]))),
        Dtype::I16 => Node::Int(i128::from(i16::from_le_bytes([a, b]))),
        Dtype::I8 => Node::Int(i128::from(i8::from_le_bytes([a]))),
        Dtype::U8 => Node::Int(i128::from(a)),
        Dtype::Bool => Node::Bool(a != 0),
    }
}
