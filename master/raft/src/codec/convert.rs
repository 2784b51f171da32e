//! How a value becomes a message and comes back, and macros that write this down for records, names and choices.
//!
//! The macros take both sides apart completely: a field or variant that is added on one side and forgotten on the other
//! does not compile. Reading fails on a missing record, an unknown value, and a name that is not one.

use bytes::Bytes;

use crate::error::Corrupt;

/// A value with its form in messages.
pub(super) trait Convert: Sized {
    type Message;

    fn to_message(&self) -> Self::Message;
    fn of_message(message: Self::Message) -> Result<Self, Corrupt>;
}

/// A field that is a number, a text, bytes, or a named value.
pub(super) mod value {
    use super::{Convert, Corrupt};

    pub(in crate::codec) fn to<T: Convert>(value: &T) -> T::Message {
        value.to_message()
    }

    pub(in crate::codec) fn of<T: Convert>(message: T::Message, _field: &'static str) -> Result<T, Corrupt> {
        T::of_message(message)
    }
}

/// A field that is a record and must be there.
pub(super) mod message {
    use super::{Convert, Corrupt};

    pub(in crate::codec) fn to<T: Convert>(value: &T) -> Option<T::Message> {
        Some(value.to_message())
    }

    pub(in crate::codec) fn of<T: Convert>(message: Option<T::Message>, field: &'static str) -> Result<T, Corrupt> {
        T::of_message(message.ok_or(Corrupt::Missing(field))?)
    }
}

/// A field that may be absent.
pub(super) mod option {
    use super::{Convert, Corrupt};

    pub(in crate::codec) fn to<T: Convert>(value: &Option<T>) -> Option<T::Message> {
        value.as_ref().map(T::to_message)
    }

    pub(in crate::codec) fn of<T: Convert>(
        message: Option<T::Message>,
        _field: &'static str,
    ) -> Result<Option<T>, Corrupt> {
        message.map(T::of_message).transpose()
    }
}

/// A field that is a list.
pub(super) mod list {
    use super::{Convert, Corrupt};

    pub(in crate::codec) fn to<T: Convert>(values: &[T]) -> Vec<T::Message> {
        values.iter().map(T::to_message).collect()
    }

    pub(in crate::codec) fn of<T: Convert>(messages: Vec<T::Message>, _field: &'static str) -> Result<Vec<T>, Corrupt> {
        messages.into_iter().map(T::of_message).collect()
    }
}

/// A field that is a map, as a list of entries in the order of keys.
pub(super) mod map {
    use std::collections::BTreeMap;

    use super::{Convert, Corrupt};

    pub(in crate::codec) fn to<K: Clone, V: Clone, M>(map: &BTreeMap<K, V>) -> Vec<M>
    where
        (K, V): Convert<Message = M>,
    {
        map.iter().map(|(key, value)| (key.clone(), value.clone()).to_message()).collect()
    }

    pub(in crate::codec) fn of<K: Ord, V, M>(entries: Vec<M>, field: &'static str) -> Result<BTreeMap<K, V>, Corrupt>
    where
        (K, V): Convert<Message = M>,
    {
        let n_entries = entries.len();
        let map = entries.into_iter().map(<(K, V)>::of_message).collect::<Result<BTreeMap<K, V>, Corrupt>>()?;
        if map.len() == n_entries { Ok(map) } else { Err(Corrupt::Invalid(field, "a key occurs twice".to_owned())) }
    }
}

/// Records: a message of the same name whose fields have the same names. After each field stands what it is.
macro_rules! records {
    ($($name:ident { $($field:ident: $kind:ident),* $(,)? })*) => { $(
        impl $crate::codec::convert::Convert for $name {
            type Message = dm_proto::raftlog::$name;

            fn to_message(&self) -> Self::Message {
                let Self { $($field),* } = self;
                Self::Message { $($field: $crate::codec::convert::$kind::to($field)),* }
            }

            fn of_message(message: Self::Message) -> Result<Self, $crate::error::Corrupt> {
                let dm_proto::raftlog::$name { $($field),* } = message;
                Ok(Self { $($field: $crate::codec::convert::$kind::of($field, stringify!($field))?),* })
            }
        }
    )* };
}

/// Values without content, by name. The name that stands for absence is none of them.
macro_rules! names {
    ($($name:ident { $($variant:ident),* $(,)? })*) => { $(
        impl $crate::codec::convert::Convert for $name {
            type Message = i32;

            fn to_message(&self) -> i32 {
                match self { $(Self::$variant => dm_proto::raftlog::$name::$variant.into(),)* }
            }

            fn of_message(message: i32) -> Result<Self, $crate::error::Corrupt> {
                match dm_proto::raftlog::$name::try_from(message) {
                    $(Ok(dm_proto::raftlog::$name::$variant) => Ok(Self::$variant),)*
                    Ok(dm_proto::raftlog::$name::Unspecified) => Err($crate::error::Corrupt::Missing(stringify!($name))),
                    Err(_) => Err($crate::error::Corrupt::Unknown(stringify!($name))),
                }
            }
        }
    )* };
}

/// Choices whose variants have named fields, each with a message of its own inside the choice's message. Also gives the
/// names of all variants, for tests.
macro_rules! choices {
    ($($name:ident in $module:ident, $names:ident { $($variant:ident { $($field:ident: $kind:ident),* $(,)? },)* })*) => { $(
        #[cfg(test)]
        pub(in crate::codec) const $names: &[&str] = &[$(stringify!($variant)),*];

        impl $crate::codec::convert::Convert for $name {
            type Message = dm_proto::raftlog::$name;

            fn to_message(&self) -> Self::Message {
                use dm_proto::raftlog::$module as wire;
                let kind = match self {
                    $(Self::$variant { $($field),* } => {
                        wire::Kind::$variant(wire::$variant { $($field: $crate::codec::convert::$kind::to($field)),* })
                    })*
                };
                dm_proto::raftlog::$name { kind: Some(kind) }
            }

            fn of_message(message: Self::Message) -> Result<Self, $crate::error::Corrupt> {
                use dm_proto::raftlog::$module as wire;
                Ok(match message.kind.ok_or($crate::error::Corrupt::Unknown(stringify!($name)))? {
                    $(wire::Kind::$variant(wire::$variant { $($field),* }) => Self::$variant {
                        $($field: $crate::codec::convert::$kind::of($field, stringify!($field))?),*
                    },)*
                })
            }
        }
    )* };
}

/// Numbers and texts that have a type of their own.
macro_rules! wrapped {
    ($($name:ident($inner:ty))*) => { $(
        impl $crate::codec::convert::Convert for $name {
            type Message = $inner;

            fn to_message(&self) -> $inner {
                self.0.clone()
            }

            fn of_message(message: $inner) -> Result<Self, $crate::error::Corrupt> {
                Ok(Self(message))
            }
        }
    )* };
}

pub(super) use {choices, names, records, wrapped};

macro_rules! plain {
    ($($name:ty)*) => { $(
        impl Convert for $name {
            type Message = $name;

            fn to_message(&self) -> $name {
                self.clone()
            }

            fn of_message(message: $name) -> Result<Self, Corrupt> {
                Ok(message)
            }
        }
    )* };
}

plain! { bool u32 u64 String }

impl Convert for Vec<u8> {
    type Message = Bytes;

    fn to_message(&self) -> Bytes {
        Bytes::copy_from_slice(self)
    }

    fn of_message(message: Bytes) -> Result<Self, Corrupt> {
        Ok(message.into())
    }
}
