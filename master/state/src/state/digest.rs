//! Eight bytes that are equal on all masters that applied the same log, whatever machine they run on.
//!
//! The state is walked through `serde`, so a field can not be forgotten; the bytes fed are defined here and do not
//! depend on word size or byte order. Not for adversaries: it finds divergence, it does not prove equality.

use std::fmt;

use serde::{Serialize, ser};

use super::State;

impl State {
    /// A number for comparing masters at the same applied index.
    pub fn digest(&self) -> u64 {
        let mut hasher = Fnv(OFFSET_BASIS);
        match self.to_parts().serialize(&mut hasher) {
            Ok(()) => {}
            // types of records refuse nothing; a digest that no healthy state has would still be seen as a divergence
            Err(Never) => debug_assert!(false, "a record refused to be walked"),
        }
        hasher.0
    }
}

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a.
struct Fnv(u64);

impl Fnv {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    fn number(&mut self, number: u64) -> Result<(), Never> {
        self.feed(&number.to_le_bytes());
        Ok(())
    }

    /// Length first, so that neighbours can not trade bytes.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Never> {
        self.number(bytes.len() as u64)?;
        self.feed(bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct Never;

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot be walked")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! numbers {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(fn $name(self, value: $type) -> Result<(), Never> {
            self.bytes(&value.to_le_bytes())
        })*
    };
}

impl ser::Serializer for &mut Fnv {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64,
    );

    fn serialize_bool(self, value: bool) -> Result<(), Never> {
        self.number(u64::from(value))
    }

    fn serialize_char(self, value: char) -> Result<(), Never> {
        self.number(u64::from(u32::from(value)))
    }

    fn serialize_str(self, value: &str) -> Result<(), Never> {
        self.bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Never> {
        self.bytes(value)
    }

    fn serialize_none(self) -> Result<(), Never> {
        self.number(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        self.number(1)?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        self.number(0)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Never> {
        self.number(0)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Never> {
        self.bytes(variant.as_bytes())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.bytes(variant.as_bytes())?;
        value.serialize(self)
    }

    // an iterator of unknown length is no danger: every element of ours begins with a length or has a fixed form
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Never> {
        self.number(len.unwrap_or(usize::MAX) as u64)?;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Never> {
        self.bytes(variant.as_bytes())?;
        Ok(self)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Never> {
        self.serialize_seq(len)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Self, Never> {
        self.bytes(variant.as_bytes())?;
        Ok(self)
    }
}

macro_rules! elements {
    ($($trait:ident: $method:ident),* $(,)?) => {
        $(impl ser::$trait for &mut Fnv {
            type Ok = ();
            type Error = Never;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Never> {
                Ok(())
            }
        })*
    };
}

macro_rules! fields {
    ($($trait:ident),* $(,)?) => {
        $(impl ser::$trait for &mut Fnv {
            type Ok = ();
            type Error = Never;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Never> {
                self.bytes(name.as_bytes())?;
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Never> {
                Ok(())
            }
        })*
    };
}

elements!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
);
fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for &mut Fnv {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Never> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}
