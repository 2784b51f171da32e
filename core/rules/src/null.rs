//! YAML keys that are written without a value. They mean the default, as if the key were absent. Never fails itself.

use serde::{Deserialize, Deserializer};

pub(crate) fn as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
