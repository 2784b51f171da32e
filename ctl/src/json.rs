//! Prints a response as DM's dmctl does: protobuf JSON with four spaces, every field present, 64-bit integers as strings,
//! `null` for an unset message or empty bytes, an empty list on two lines, unset oneof members left out.
//!
//! Scripts parse this text; the layout is a promise.

use std::fmt::Write;

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};

const INDENT: &str = "    ";

/// The JSON text of a message of `dm_proto::pb`. `name` is its protobuf name, such as `pb.StartTaskResponse`.
///
/// # Errors
/// The message is not in the descriptors this program was built with.
pub(crate) fn render<M: Message>(message: &M, name: &str) -> Result<String> {
    let pool = DescriptorPool::decode(dm_proto::DESCRIPTORS).context("read message descriptors")?;
    let descriptor = pool.get_message_by_name(name).with_context(|| format!("find message {name}"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).context("reflect message")?;
    let mut out = String::new();
    object(&mut out, &message, 0);
    Ok(out)
}

fn object(out: &mut String, message: &DynamicMessage, depth: usize) {
    out.push('{');
    let mut first = true;
    let descriptor = message.descriptor();
    let mut fields: Vec<FieldDescriptor> = descriptor.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in fields {
        if field.containing_oneof().is_some() && !message.has_field(&field) {
            continue;
        }
        if !first {
            out.push(',');
        }
        first = false;
        line(out, depth + 1);
        string(out, field.json_name());
        out.push_str(": ");
        if field.cardinality() == Cardinality::Repeated {
            list(out, message, &field, depth + 1);
        } else if matches!(field.kind(), Kind::Message(_)) && !message.has_field(&field) {
            out.push_str("null");
        } else {
            value(out, &message.get_field(&field), &field, depth + 1);
        }
    }
    if !first {
        line(out, depth);
    }
    out.push('}');
}

fn list(out: &mut String, message: &DynamicMessage, field: &FieldDescriptor, depth: usize) {
    out.push('[');
    if let Some(items) = message.get_field(field).as_list() {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            line(out, depth + 1);
            value(out, item, field, depth + 1);
        }
    }
    line(out, depth);
    out.push(']');
}

fn value(out: &mut String, value: &Value, field: &FieldDescriptor, depth: usize) {
    match value {
        Value::Bool(v) => push(out, v),
        Value::I32(v) => push(out, v),
        Value::U32(v) => push(out, v),
        Value::F32(v) => push(out, v),
        Value::F64(v) => push(out, v),
        Value::I64(v) => push(out, format_args!("\"{v}\"")),
        Value::U64(v) => push(out, format_args!("\"{v}\"")),
        Value::String(v) => string(out, v),
        Value::Bytes(v) if v.is_empty() => out.push_str("null"),
        Value::Bytes(v) => string(out, &STANDARD.encode(v)),
        Value::EnumNumber(number) => {
            let kind = field.kind();
            match kind.as_enum().and_then(|e| e.get_value(*number)) {
                Some(named) => string(out, named.name()),
                None => push(out, number),
            }
        }
        Value::Message(message) => object(out, message, depth),
        // repeated fields are printed by `list`; our messages have no maps
        Value::List(_) | Value::Map(_) => out.push_str("null"),
    }
}

fn push(out: &mut String, text: impl std::fmt::Display) {
    // writing to a String cannot fail
    let _ = write!(out, "{text}");
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(INDENT);
    }
}

fn string(out: &mut String, text: &str) {
    // a string always has a JSON form
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use dm_proto::pb;
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_field_is_printed_and_empty_lists_take_two_lines() {
        let response = pb::OperateTaskResponse { op: pb::TaskOp::Delete.into(), result: true, ..Default::default() };
        expect![[r#"
            {
                "op": "Delete",
                "result": true,
                "msg": "",
                "sources": [
                ]
            }"#]]
        .assert_eq(&render(&response, "pb.OperateTaskResponse").unwrap());
    }

    #[test]
    fn status_has_64_bit_numbers_as_strings_and_null_for_unset_messages() {
        let status = pb::QueryStatusResponse {
            result: true,
            source_status: Some(pb::SourceStatus { source: "s".into(), worker: "w".into(), ..Default::default() }),
            sub_task_status: vec![pb::SubTaskStatus {
                name: "t".into(),
                stage: pb::Stage::Running.into(),
                unit: pb::UnitType::Sync.into(),
                status: Some(pb::sub_task_status::Status::Sync(pb::SyncStatus {
                    total_rows: 12,
                    seconds_behind_master: 3,
                    synced: true,
                    ..Default::default()
                })),
                ..Default::default()
            }],
            ..Default::default()
        };
        let text = render(&status, "pb.QueryStatusResponse").unwrap();
        for part in [
            "\"relayStatus\": null",
            "\"totalRows\": \"12\"",
            "\"secondsBehindMaster\": \"3\"",
            "\"unresolvedDDLLockID\": \"\"",
            "\"blockingDDLs\": [\n                ]",
            "\"validation\": null",
            "\"unit\": \"Sync\"",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("\"load\""), "unset oneof members are left out");
    }

    #[test]
    fn errors_keep_the_upper_case_names_of_dm() {
        let result = pb::ProcessResult {
            errors: vec![pb::ProcessError { err_code: 36067, raw_cause: "x\"y".into(), ..Default::default() }],
            ..Default::default()
        };
        let text = render(&result, "pb.ProcessResult").unwrap();
        assert!(text.contains("\"ErrCode\": 36067"), "{text}");
        assert!(text.contains(r#""RawCause": "x\"y""#), "{text}");
        assert!(text.contains("\"detail\": null"), "{text}");
    }
}
