//! A number in decimal digits: the shortest that mean it, or as many as a format asks for.
//!
//! Follows `math/big` of Go, whose rounding bake's output shows. Knows no formats.

use std::fmt;

use num_bigint::BigUint;

use super::number::Number;

/// Digits, and where the point stands: `0.DIGITS * 10^point`.
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    pub digits: Vec<u8>,
    pub point: i64,
}

impl Decimal {
    /// Every digit of `mantissa * 2^exponent`.
    fn exact(mantissa: &BigUint, exponent: i64) -> Self {
        let power = u32::try_from(exponent.unsigned_abs()).unwrap_or(u32::MAX);
        let (whole, shift) = if exponent >= 0 {
            (mantissa << power, 0)
        } else {
            (mantissa * BigUint::from(5_u32).pow(power), i64::from(power))
        };
        if whole == BigUint::ZERO {
            return Self { digits: Vec::new(), point: 0 };
        }
        let mut digits = whole.to_str_radix(10).into_bytes();
        let point = i64::try_from(digits.len()).unwrap_or(i64::MAX) - shift;
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        Self { digits, point }
    }

    /// Every digit of a number's magnitude.
    pub fn of(number: &Number) -> Self {
        Self::exact(&number.mantissa, number.exponent)
    }

    /// As few digits as tell a number from its neighbours of the same precision.
    pub fn shortest(number: &Number) -> Self {
        let mut decimal = Self::of(number);
        if decimal.digits.is_empty() {
            return decimal;
        }
        // The mantissa with one bit more than the precision: its last bit is half a step.
        let bits = number.mantissa.bits();
        let shift = (number.precision + 1).saturating_sub(bits);
        let mantissa: BigUint = &number.mantissa << shift;
        let exponent = number.exponent - i64::try_from(shift).unwrap_or(i64::MAX);
        let lower = Self::exact(&(&mantissa - 1_u32), exponent);
        let upper = Self::exact(&(&mantissa + 1_u32), exponent);
        let inclusive = !mantissa.bit(1);
        for at in 0..decimal.digits.len() {
            let digit = decimal.digits[at];
            let low = lower.digits.get(at).copied().unwrap_or(b'0');
            let high = upper.digits.get(at).copied().unwrap_or(b'0');
            let down = low != digit || (inclusive && at + 1 == lower.digits.len());
            let up = digit != high && (inclusive || digit + 1 < high || at + 1 < upper.digits.len());
            match (down, up) {
                (true, true) => decimal.round(at + 1),
                (true, false) => decimal.cut(at + 1),
                (false, true) => decimal.raise(at + 1),
                (false, false) => continue,
            }
            break;
        }
        decimal
    }

    /// Rounds to so many digits, half to even.
    pub fn round(&mut self, count: usize) {
        let Some(&next) = self.digits.get(count) else { return };
        let half = next == b'5' && count + 1 == self.digits.len();
        let up = if half { count > 0 && self.digits[count - 1] % 2 == 1 } else { next >= b'5' };
        if up { self.raise(count) } else { self.cut(count) }
    }

    fn cut(&mut self, count: usize) {
        self.digits.truncate(count);
        while self.digits.last() == Some(&b'0') {
            self.digits.pop();
        }
        if self.digits.is_empty() {
            self.point = 0;
        }
    }

    fn raise(&mut self, count: usize) {
        self.digits.truncate(count);
        while self.digits.last() == Some(&b'9') {
            self.digits.pop();
        }
        match self.digits.last_mut() {
            Some(last) => *last += 1,
            None => {
                self.digits.push(b'1');
                self.point += 1;
            }
        }
    }

    fn digit(&self, at: i64) -> char {
        let digit = usize::try_from(at).ok().and_then(|at| self.digits.get(at));
        char::from(digit.copied().unwrap_or(b'0'))
    }

    /// Without an exponent, with so many digits behind the point.
    pub fn plain(&self, behind: usize) -> String {
        let whole: String =
            if self.point > 0 { (0..self.point).map(|at| self.digit(at)).collect() } else { "0".into() };
        if behind == 0 {
            return whole;
        }
        let behind = i64::try_from(behind).unwrap_or(i64::MAX);
        let fraction: String = (self.point..self.point + behind).map(|at| self.digit(at)).collect();
        format!("{whole}.{fraction}")
    }

    /// With an exponent, with so many digits behind the point.
    pub fn scientific(&self, behind: usize, letter: char) -> String {
        let behind = i64::try_from(behind).unwrap_or(i64::MAX);
        let mut text = self.digit(0).to_string();
        if behind > 0 {
            text.push('.');
            text.extend((1..=behind).map(|at| self.digit(at)));
        }
        let power = if self.digits.is_empty() { 0 } else { self.point - 1 };
        let sign = if power < 0 { '-' } else { '+' };
        format!("{text}{letter}{sign}{:02}", power.abs())
    }

    /// As many digits behind the point as there are.
    pub fn behind(&self) -> usize {
        let count = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        usize::try_from(count - self.point).unwrap_or_default()
    }

    /// The shorter of the two: C's `%g` with so many digits, or the shortest that mean the number.
    pub fn general(&self, precision: Option<usize>, letter: char) -> String {
        let count = self.digits.len();
        let power = if count == 0 { 0 } else { self.point - 1 };
        let asked = precision.map_or(count, |precision| precision.max(1));
        let limit = match precision {
            None => 6,
            Some(_) if asked > count && i64::try_from(count).unwrap_or(i64::MAX) >= self.point => count,
            Some(_) => asked,
        };
        if power < -4 || power >= i64::try_from(limit).unwrap_or(i64::MAX) {
            self.scientific(asked.min(count).saturating_sub(1), letter)
        } else {
            self.plain(self.behind())
        }
    }
}

/// Floating point as Go prints it by itself: `1.5`, `1e+20`.
pub(in crate::syntax::import) fn float_text(number: f64) -> String {
    let Some(number) = Number::of_float(number).filter(|number| !number.infinite) else {
        return number.to_string();
    };
    let sign = if number.is_negative() { "-" } else { "" };
    format!("{sign}{}", Decimal::shortest(&number).general(None, 'e'))
}

impl fmt::Display for Number {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.infinite {
            return to.write_str(if self.negative { "-Inf" } else { "+Inf" });
        }
        let decimal = Decimal::shortest(self);
        let sign = if self.negative { "-" } else { "" };
        write!(to, "{sign}{}", decimal.plain(decimal.behind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each was printed by `docker buildx bake --print`.
    #[test]
    fn numbers_are_printed_as_bake_prints_them() {
        let number = |text: &str| Number::parse(text).unwrap();
        let third = "0.3333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333335".to_owned();
        assert_eq!(number("1").divide(&number("3")).unwrap().to_string().len(), third.len() - 2);
        for (text, expected) in [
            ("1e30", "1000000000000000000000000000000"),
            ("1.5e-7", "0.00000015"),
            ("0.10", "0.1"),
            ("-0.5", "-0.5"),
            ("0", "0"),
        ] {
            assert_eq!(number(text).to_string(), expected);
        }
        assert_eq!(number("0.1").multiply(&number("3")).unwrap().to_string(), "0.3");
        assert_eq!(number("7").modulo(&number("-3")).unwrap().to_string(), "1");
        assert_eq!(Number::of_float(2_f64.powi(100)).unwrap().to_string(), "1267650600228229400000000000000");
        assert_eq!(number("1").divide(&number("0")).unwrap().to_string(), "+Inf");
        assert!(
            Number::parse("1e99999999").is_none()
                && Number::parse("").is_none()
                && Number::parse("0x1").is_none()
        );
    }
}
