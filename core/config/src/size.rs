//! Sizes as text: `500m`, `1.5 GiB`, `64`. Units are powers of 1024; case does not count.

/// Bytes; a number without unit counts bytes. `None` when the text is no size or passes 2^63.
pub fn parse(text: &str) -> Option<u64> {
    parse_with_unit(text, 1)
}

/// As [`parse`], but a number without unit counts MiB, as `chunk-filesize` has it.
pub fn parse_mebibytes(text: &str) -> Option<u64> {
    parse_with_unit(text, 1 << 20)
}

fn parse_with_unit(text: &str, bare: u64) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let scale = match unit.as_str() {
        "" => bare,
        "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        "p" | "pb" | "pib" => 1 << 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| (1..=9).contains(digits))?;
    let fraction: u64 = fraction.parse().ok()?;
    let part = u128::from(fraction) * u128::from(scale) / 10_u128.pow(digits);
    let total = u128::from(whole) * u128::from(scale) + part;
    u64::try_from(total).ok().filter(|total| i64::try_from(*total).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_and_without_unit() {
        assert_eq!(parse("500m"), Some(500 << 20));
        assert_eq!(parse("1.5 GiB"), Some(3 << 29));
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse_mebibytes("64"), Some(64 << 20));
        assert_eq!(parse_mebibytes("64KB"), Some(64 << 10));
        for text in ["", "m", "1x", "1.2.3", "-1", "99999999999p", "1."] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
