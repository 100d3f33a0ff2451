//! Types of YAML's plain scalars, and the text that each becomes where compose wants one.
//!
//! Follows the YAML library that compose is made with: `010` is eight, `1.50` is `1.5`, `1e3` is `1000`.

use super::expression::float_text;
use crate::syntax::yaml::{Node, Value};

/// A scalar by its type, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Null,
    Text(String),
    /// A number or a truth, as Go writes it.
    Other(String),
    /// A date, which is none of the types that compose takes.
    Time,
}

/// The type of a scalar; nothing for lists and maps.
pub(super) fn of(node: &Node) -> Option<Scalar> {
    match &node.value {
        Value::Null => Some(Scalar::Null),
        Value::Scalar { text, quoted: true } => Some(Scalar::Text(text.clone())),
        Value::Scalar { text, .. } => Some(plain(text)),
        Value::List(_) | Value::Map(_) => None,
    }
}

fn plain(text: &str) -> Scalar {
    match text {
        "true" | "True" | "TRUE" => return Scalar::Other("true".into()),
        "false" | "False" | "FALSE" => return Scalar::Other("false".into()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Other("+Inf".into()),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Other("-Inf".into()),
        ".nan" | ".NaN" | ".NAN" => return Scalar::Other("NaN".into()),
        _ => {}
    }
    if is_time(text) {
        return Scalar::Time;
    }
    let bare = text.replace('_', "");
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    let number = || whole(&bare).or_else(|| float(&bare));
    begins.then(number).flatten().map_or_else(|| Scalar::Text(text.to_owned()), Scalar::Other)
}

/// A whole number of any base that Go reads, up to 64 bits.
fn whole(text: &str) -> Option<String> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    let digits = Some(digits).filter(|digits| digits.starts_with(|c: char| c.is_ascii_alphanumeric()))?;
    let number = u64::from_str_radix(digits, base).ok()?;
    if sign.is_empty() {
        return Some(number.to_string());
    }
    (number <= 1 << 63).then(|| if number == 0 { "0".to_owned() } else { format!("-{number}") })
}

fn float(text: &str) -> Option<String> {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, power) = match body.split_once(['e', 'E']) {
        Some((digits, power)) => (digits, Some(power.strip_prefix(['-', '+']).unwrap_or(power))),
        None => (body, None),
    };
    let all = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fits = all(whole) && all(fraction) && !(whole.is_empty() && fraction.is_empty());
    let fits = fits && power.is_none_or(|power| !power.is_empty() && all(power));
    let number: f64 = if fits { text.parse().ok()? } else { return None };
    number.is_finite().then(|| float_text(number))
}

/// A date, with a time of day or without.
fn is_time(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = |text: &str, most: usize| {
        !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit())
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, time) = rest.split_at(end);
    let follows = time.is_empty() || time.starts_with(['T', 't', ' ']) && time.matches(':').count() >= 2;
    year.len() == 4
        && digits(year, 4)
        && digits(month, 2)
        && digits(day, 2)
        && follows
        && !time.contains(" -")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is what `docker compose config` made of the scalar as an argument; `!` where it refused.
    #[test]
    fn plain_scalars_have_types() {
        let rows = "010=8 0x10=16 1_000=1000 +5=5 0o17=15 .5=0.5 5.=5 1e3=1000 1E3=1000 0b11=3 -0=0 True=true \
                    TRUE=true tRUE=tRUE .inf=+Inf .NaN=NaN 1:30=1:30 1e-7=1e-07 1e-4=0.0001 0.00001=1e-05 \
                    123456789012345678901234567890=1.2345678901234568e+29 9223372036854775808=9223372036854775808 \
                    1.0=1 100000.0=100000 1e20=1e+20 1.5e300=1.5e+300 0x=0x 08=8 1__0=10 -=- -.5=-0.5 2024-01-01=! \
                    2024-01-01T00:00:00Z=! y=y on=on 1_0.5=10.5 0O17=15 -0x10=-16 1e400=1e400 1.50=1.5 \
                    0xFFFFFFFFFFFFFFFF=18446744073709551615 1.2.3=1.2.3 v1=v1 2024-01=2024-01 1-2-3=1-2-3";
        for row in rows.split_whitespace() {
            let (text, expected) = row.split_once('=').unwrap();
            let found = match plain(text) {
                Scalar::Text(text) | Scalar::Other(text) => text,
                Scalar::Time => "!".to_owned(),
                Scalar::Null => "null".to_owned(),
            };
            assert_eq!(found, expected, "{text}");
        }
    }
}
