use dm_binlog::Value;
use expect_test::expect;

use super::{Dialect, Error, Plan};
use crate::mapping::sample::table;

fn literal_to(dialect: Dialect, source: &str, target: &str, value: &Value<'_>) -> Result<String, Error> {
    let source = table(&format!("CREATE TABLE t (c {source}) DEFAULT CHARSET=utf8mb4"));
    let target = table(&format!("CREATE TABLE t (c {target}) DEFAULT CHARSET=utf8mb4"));
    let mut out = Vec::new();
    Plan::new(&source, &source.columns[0], &target.columns[0], dialect).write(value, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn literal(column: &str, value: &Value<'_>) -> String {
    literal_to(Dialect::MySql, column, column, value).expect("literal")
}

fn list(column: &str, values: &[Value<'_>]) -> String {
    values.iter().map(|value| literal(column, value)).collect::<Vec<_>>().join("\n")
}

#[test]
fn integers_take_their_sign_from_the_column() {
    let int = |value, width| Value::Int { value, width };
    expect!["-1"].assert_eq(&literal("TINYINT", &int(-1, 1)));
    expect!["255"].assert_eq(&literal("TINYINT UNSIGNED", &int(-1, 1)));
    expect!["16777215"].assert_eq(&literal("MEDIUMINT UNSIGNED", &int(-1, 3)));
    expect!["-8388608"].assert_eq(&literal("MEDIUMINT", &int(-8_388_608, 3)));
    expect!["18446744073709551615"].assert_eq(&literal("BIGINT UNSIGNED", &int(-1, 8)));
    expect!["-9223372036854775808"].assert_eq(&literal("BIGINT", &int(i64::MIN, 8)));
    expect!["0"].assert_eq(&literal("INT ZEROFILL", &int(0, 4)));
}

#[test]
fn floats_are_widened_and_doubles_shortest() {
    expect![[r"
        1.0000000149011612e-1
        1e0
        3.4028234663852886e38"]]
    .assert_eq(&list("FLOAT", &[Value::Float(0.1), Value::Float(1.0), Value::Float(f32::MAX)]));
    expect![[r"
        1e-1
        -1.7976931348623157e308
        5e-324"]]
    .assert_eq(&list("DOUBLE", &[Value::Double(0.1), Value::Double(f64::MIN), Value::Double(5e-324)]));
}

#[test]
fn bits_years_members_and_sets_are_numbers() {
    expect!["511"].assert_eq(&literal("BIT(9)", &Value::Bit(&[1, 255])));
    expect![[r"
        0
        1901"]]
    .assert_eq(&list("YEAR", &[Value::Year(0), Value::Year(1901)]));
    expect![[r"
        0
        2"]]
    .assert_eq(&list("ENUM('a','2')", &[Value::Enum(0), Value::Enum(2)]));
    expect!["5"].assert_eq(&literal("SET('a','b','c')", &Value::Set(5)));
}

#[test]
fn members_are_written_as_the_target_counts_them() {
    let to = |target, value| literal_to(Dialect::MySql, "ENUM('a','b','c')", target, &value);
    expect!["3"].assert_eq(&to("ENUM('c','a','b')", Value::Enum(2)).expect("literal"));
    expect!["'c'"].assert_eq(&to("ENUM('b','a')", Value::Enum(3)).expect("literal"));
    expect!["'b'"].assert_eq(&to("VARCHAR(9)", Value::Enum(2)).expect("literal"));
    assert!(matches!(to("VARCHAR(9)", Value::Enum(4)), Err(Error::Member { number: 4, n_members: 3 })));
    let set = literal_to(Dialect::MySql, "SET('a','b','c')", "SET('c','b','a')", &Value::Set(5)).expect("literal");
    expect!["'a,c'"].assert_eq(&set);
}

#[test]
fn times_keep_zero_partial_and_negative_values_and_all_digits() {
    let date = |year, month, day| Value::Date { year, month, day };
    expect![[r"
        '0000-00-00'
        '2024-02-00'
        '2023-02-31'"]]
    .assert_eq(&list("DATE", &[date(0, 0, 0), date(2024, 2, 0), date(2023, 2, 31)]));
    let time = |negative, hours, micros, fsp| Value::Time { negative, hours, minutes: 5, seconds: 9, micros, fsp };
    expect![[r"
        '-838:05:09.9'
        '00:05:09'
        '-00:05:09.010000'"]]
    .assert_eq(&list("TIME(6)", &[time(true, 838, 900_000, 1), time(false, 0, 0, 0), time(true, 0, 10_000, 6)]));
    let datetime = Value::DateTime { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0, micros: 0, fsp: 3 };
    expect!["'0000-00-00 00:00:00.000'"].assert_eq(&literal("DATETIME(3)", &datetime));
    let timestamp = |seconds, micros, fsp| Value::Timestamp { seconds, micros, fsp };
    expect![[r"
        '0000-00-00 00:00:00.00'
        '1970-01-01 00:00:01'
        '2000-02-29 23:59:59.5'
        '2038-01-19 03:14:07'
        '2106-02-07 06:28:15.999999'"]]
    .assert_eq(&list(
        "TIMESTAMP(6)",
        &[
            timestamp(0, 0, 2),
            timestamp(1, 0, 0),
            timestamp(951_868_799, 500_000, 1),
            timestamp(i32::MAX as u32, 0, 0),
            timestamp(u32::MAX, 999_999, 6),
        ],
    ));
}

#[test]
fn text_is_escaped_and_transcoded_or_kept_in_hexadecimal() {
    expect![[r"'a\'b\\c\0 é'"]].assert_eq(&literal("TEXT", &Value::Bytes("a'b\\c\0 é".as_bytes())));
    expect!["x'ff41'"].assert_eq(&literal("TEXT", &Value::Bytes(b"\xffA")));
    expect!["'€é\u{81}'"].assert_eq(&literal("TEXT CHARACTER SET latin1", &Value::Bytes(b"\x80\xe9\x81")));
    expect!["'a\u{10348}'"].assert_eq(&literal("TEXT CHARACTER SET utf16", &Value::Bytes(b"\0a\xd8\x00\xdf\x48")));
    expect!["'é'"].assert_eq(&literal("TEXT CHARACTER SET utf32", &Value::Bytes(b"\0\0\0\xe9")));
    // The second byte is a backslash to those who do not know the charset.
    let gbk = Value::Bytes(b"\x81\x5c");
    expect!["_gbk x'815c'"].assert_eq(&literal("TEXT CHARACTER SET gbk", &gbk));
    let tidb = |column| literal_to(Dialect::TiDb, column, column, &gbk).expect("literal");
    expect!["'乗'"].assert_eq(&tidb("TEXT CHARACTER SET gbk"));
    expect!["'plain'"].assert_eq(&literal("TEXT CHARACTER SET sjis", &Value::Bytes(b"plain")));
}

#[test]
fn bytes_are_hexadecimal_and_binary_is_padded() {
    expect!["x'61000000'"].assert_eq(&literal("BINARY(4)", &Value::Bytes(b"a")));
    expect!["x'0000'"].assert_eq(&literal("BINARY(2)", &Value::Bytes(b"")));
    expect!["''"].assert_eq(&literal("VARBINARY(4)", &Value::Bytes(b"")));
    expect!["x'27'"].assert_eq(&literal("BLOB", &Value::OwnedBytes(b"'".to_vec())));
    expect!["x'00000000010100'"].assert_eq(&literal("POINT", &Value::Geometry(&[0, 0, 0, 0, 1, 1, 0])));
}

#[test]
fn json_vectors_and_addresses() {
    expect![[r#"'{"a": "\'\\n"}'"#]].assert_eq(&literal("JSON", &Value::OwnedJsonText(r#"{"a": "'\n"}"#.into())));
    let mut bytes = Vec::new();
    for element in [1.0f32, 2.5] {
        bytes.extend_from_slice(&element.to_le_bytes());
    }
    let vector = |dialect| literal_to(dialect, "VECTOR(2)", "VECTOR(2)", &Value::Vector(&bytes)).expect("literal");
    expect!["x'0000803f00002040'"].assert_eq(&vector(Dialect::MySql));
    expect!["'[1e0,2.5e0]'"].assert_eq(&vector(Dialect::TiDb));
    let maria = |column, value| literal_to(Dialect::MariaDb, column, column, &value).expect("literal");
    let uuid = Value::Bytes(b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd");
    expect!["'01234567-89ab-cdef-0123-456789abcd00'"].assert_eq(&maria("UUID", uuid));
    expect!["'10.0.0.0'"].assert_eq(&maria("INET4", Value::Bytes(b"\x0a")));
    expect!["'::1'"].assert_eq(&maria("INET6", Value::Bytes(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01")));
}

#[test]
fn a_value_of_another_type_is_refused() {
    let error = literal_to(Dialect::MySql, "INT", "INT", &Value::Bytes(b"1")).expect_err("bytes are no integer");
    assert_eq!(error.to_string(), "a byte value does not fit the type integer");
    assert_eq!(literal("INT", &Value::Null), "NULL");
}
