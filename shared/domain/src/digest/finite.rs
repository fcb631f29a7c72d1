//! Whether every number of a value is finite. The serialiser of canonical JSON looks at numbers that stand alone only, and writes
//! `null` for others deeper inside, as JSON libraries do: a record would then hold what no reader of it expects.

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Error;

/// Refuses a value that holds a NaN or an infinity, however deep.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), Error> {
    value.serialize(Finite)
}

/// Writes nothing.
#[derive(Clone, Copy)]
struct Finite;

fn finite(number: f64) -> Result<(), Error> {
    if number.is_finite() { Ok(()) } else { Err(Error::custom(format!("a number is {number}"))) }
}

macro_rules! harmless {
    ($($name:ident: $kind:ty,)*) => { $(fn $name(self, _: $kind) -> Result<(), Error> { Ok(()) })* };
}

macro_rules! begins {
    ($($name:ident($($kind:ty),*): $compound:ident,)*) => {
        $(type $compound = Self;)*
        $(fn $name(self, $(_: $kind),*) -> Result<Self, Error> { Ok(self) })*
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Error;

    harmless! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_char: char, serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str,
    }

    begins! {
        serialize_seq(Option<usize>): SerializeSeq,
        serialize_tuple(usize): SerializeTuple,
        serialize_tuple_struct(&'static str, usize): SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize): SerializeTupleVariant,
        serialize_map(Option<usize>): SerializeMap,
        serialize_struct(&'static str, usize): SerializeStruct,
        serialize_struct_variant(&'static str, u32, &'static str, usize): SerializeStructVariant,
    }

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        finite(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        finite(number)
    }

    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, _: &T) -> Result<(), Error> {
        Ok(())
    }
}

macro_rules! inside {
    ($($compound:ident::$name:ident($($key:ty)?),)*) => { $(
        impl $compound for Finite {
            type Ok = ();
            type Error = Error;

            fn $name<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<(), Error> {
                value.serialize(*self)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )* };
}

inside! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str),
}

impl SerializeMap for Finite {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(*self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(*self)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}
