use super::*;

/// `{"a": 1.0, "b": [true, null, -7], "cc": "x\ty"}` by hand, small form.
fn sample() -> Vec<u8> {
    let mut array = vec![3, 0, 13, 0];
    array.extend([4, 1, 0, 4, 0, 0, 5, 0xf9, 0xff]);
    let n = 3;
    let keys_at = 4 + n * 4 + n * 3;
    let double_at = keys_at + 4;
    let array_at = double_at + 8;
    let string_at = array_at + array.len();
    let size = string_at + 4;
    let mut object = vec![n as u8, 0, size as u8, 0];
    object.extend([keys_at as u8, 0, 1, 0, keys_at as u8 + 1, 0, 1, 0, keys_at as u8 + 2, 0, 2, 0]);
    object.extend([11, double_at as u8, 0, 2, array_at as u8, 0, 12, string_at as u8, 0]);
    object.extend(b"abcc");
    object.extend(1.0_f64.to_le_bytes());
    object.extend(&array);
    object.extend(b"\x03x\ty");
    assert_eq!(object.len(), size);
    object.insert(0, 0);
    object
}

fn double(value: f64) -> String {
    let mut document = vec![11];
    document.extend(value.to_le_bytes());
    to_text(&document).unwrap()
}

#[test]
fn object_prints_as_the_server_prints_it() {
    assert_eq!(to_text(&sample()).unwrap(), r#"{"a": 1.0, "b": [true, null, -7], "cc": "x\ty"}"#);
    assert_eq!(to_text(&[]).unwrap(), "null");
}

#[test]
fn doubles_stay_doubles() {
    for (value, text) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (100.0, "100.0"),
        (123_456.789, "123456.789"),
        (1e14, "100000000000000.0"),
        (1e15, "1e15"),
        (2861332830843825.5, "2861332830843825.5"),
        (2861332830843826.0, "2.861332830843826e15"),
        (587_468_393_694_114.25, "587468393694114.2"),
        (1e100, "1e100"),
        (1.5e300, "1.5e300"),
        (1e-15, "0.000000000000001"),
        (1e-16, "1e-16"),
        (2.5e-7, "0.00000025"),
        (f64::MAX, "1.7976931348623157e308"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
    ] {
        assert_eq!(double(value), text);
    }
}

#[test]
fn opaque_values_print_as_strings() {
    let mut decimal = vec![15, 246, 4, 3, 2];
    decimal.extend([0x81, 0x0a]);
    assert_eq!(to_text(&decimal).unwrap(), "1.10");

    let packed = |whole: u64, micros: u64| (whole << 24 | micros).to_le_bytes();
    let day = ((2015 * 13 + 1) << 5 | 15) << 17;
    let mut date = vec![15, 10, 8];
    date.extend(packed(day, 0));
    assert_eq!(to_text(&date).unwrap(), "\"2015-01-15\"");
    let mut date_time = vec![15, 12, 8];
    date_time.extend(packed(day | 23 << 12 | 24 << 6 | 25, 120_000));
    assert_eq!(to_text(&date_time).unwrap(), "\"2015-01-15 23:24:25.120000\"");
    let mut time = vec![15, 11, 8];
    time.extend((-((838_i64 << 12 | 59 << 6 | 58) << 24 | 5)).to_le_bytes());
    assert_eq!(to_text(&time).unwrap(), "\"-838:59:58.000005\"");

    assert_eq!(to_text(b"\x0f\xfc\x03abc").unwrap(), "\"base64:type252:YWJj\"");
    assert_eq!(to_text(b"\x0f\x0f\x04abcd").unwrap(), "\"base64:type15:YWJjZA==\"");
}

#[test]
fn documents_that_point_to_themselves_are_refused() {
    // An array whose two elements are the array itself: without a limit 2^depth values.
    let document = [2, 2, 0, 10, 0, 2, 0, 0, 2, 0, 0];
    assert!(to_text(&document).is_err());
}

fn difference(operation: u8, path: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![operation, path.len() as u8];
    bytes.extend(path.as_bytes());
    if operation != 2 {
        bytes.push(value.len() as u8);
        bytes.extend(value);
    }
    bytes
}

#[test]
fn differences_replace_insert_and_remove() {
    let seven = [5, 7, 0];
    let mut differences = difference(0, "$.b[1]", &seven);
    differences.extend(difference(1, "$.b[1]", &[12, 2, b'h', b'i']));
    differences.extend(difference(1, "$.\"a \\\"q\"", &seven));
    differences.extend(difference(1, "$.ab", &seven));
    differences.extend(difference(2, "$.a", &[]));
    differences.extend(difference(2, "$.b[3]", &[]));
    assert_eq!(
        apply_differences(&sample(), &differences).unwrap(),
        r#"{"b": [true, "hi", 7], "ab": 7, "cc": "x\ty", "a \"q": 7}"#
    );
}

#[test]
fn differences_that_do_not_fit_are_errors() {
    for bad in [
        difference(0, "$.nowhere", &[4, 0]),
        difference(1, "$.a", &[4, 0]),
        difference(2, "$.b[9]", &[]),
        difference(2, "$", &[]),
        difference(7, "$.a", &[4, 0]),
        difference(0, "b", &[4, 0]),
        difference(0, "$.b", &[99]),
    ] {
        assert!(apply_differences(&sample(), &bad).is_err(), "{bad:?}");
    }
}
