//! Whether a column's new type holds less than the old one. Types of different families are not compared: such a
//! change is a modified column, no more can be said.

use crate::table::{Column, DataType};

/// Some value of the old type has no equal in the new one because it is too large, too long, or no member.
pub(super) fn value_range_decreases(old: &Column, new: &Column) -> bool {
    if let (Some(a), Some(b)) = (integer_rank(&old.data_type), integer_rank(&new.data_type)) {
        return b < a || old.unsigned != new.unsigned && (new.unsigned || b <= a);
    }
    if let (Some(a), Some(b)) = (text_capacity(&old.data_type), text_capacity(&new.data_type)) {
        return b < a;
    }
    if let (Some(a), Some(b)) = (blob_capacity(&old.data_type), blob_capacity(&new.data_type)) {
        return b < a;
    }
    match (&old.data_type, &new.data_type) {
        (DataType::Decimal { precision: p, scale: s }, DataType::Decimal { precision: q, scale: t }) => {
            q.saturating_sub(*t) < p.saturating_sub(*s) || !old.unsigned && new.unsigned
        }
        (DataType::Double, DataType::Float) => true,
        (DataType::Float | DataType::Double, DataType::Float | DataType::Double) => !old.unsigned && new.unsigned,
        (DataType::Bit { n_bits: a }, DataType::Bit { n_bits: b }) => b < a,
        (DataType::Enum { members: a }, DataType::Enum { members: b })
        | (DataType::Set { members: a }, DataType::Set { members: b }) => !b.starts_with(a),
        (DataType::DateTime { .. }, DataType::Timestamp { .. } | DataType::Date) => true,
        (DataType::Vector { dimensions: a }, DataType::Vector { dimensions: b }) => b.is_some() && a != b,
        _ => false,
    }
}

/// Digits behind the point get lost.
pub(super) fn precision_decreases(old: &DataType, new: &DataType) -> bool {
    match (old, new) {
        (DataType::Decimal { scale: a, .. }, DataType::Decimal { scale: b, .. }) => b < a,
        (DataType::Double, DataType::Float) => true,
        (DataType::Float | DataType::Double, other) => integer_rank(other).is_some(),
        (DataType::Decimal { scale, .. }, other) if *scale > 0 => integer_rank(other).is_some(),
        _ => matches!((fsp(old), fsp(new)), (Some(a), Some(b)) if b < a),
    }
}

fn fsp(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Time { fsp } | DataType::DateTime { fsp } | DataType::Timestamp { fsp } => Some(*fsp),
        _ => None,
    }
}

fn integer_rank(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::TinyInt => Some(1),
        DataType::SmallInt => Some(2),
        DataType::MediumInt => Some(3),
        DataType::Int => Some(4),
        DataType::BigInt => Some(8),
        _ => None,
    }
}

fn text_capacity(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::Char { n_chars } | DataType::VarChar { n_chars } => Some(u64::from(*n_chars)),
        DataType::TinyText => Some(0xff),
        DataType::Text => Some(0xffff),
        DataType::MediumText => Some(0xff_ffff),
        DataType::LongText => Some(0xffff_ffff),
        _ => None,
    }
}

fn blob_capacity(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::Binary { n_bytes } | DataType::VarBinary { n_bytes } => Some(u64::from(*n_bytes)),
        DataType::TinyBlob => Some(0xff),
        DataType::Blob => Some(0xffff),
        DataType::MediumBlob => Some(0xff_ffff),
        DataType::LongBlob => Some(0xffff_ffff),
        _ => None,
    }
}
