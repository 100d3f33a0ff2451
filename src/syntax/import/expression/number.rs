//! Numbers as go-cty has them: binary floating point of up to 512 bits, so that `1.1 + 2.2` and `1 / 3` come out
//! digit by digit as bake prints them.
//!
//! A number remembers its precision: 512 bits for one that was written, 64 for one that was counted, 53 for one that
//! came of a logarithm. Knows no expressions.

use std::cmp::Ordering;

use num_bigint::BigUint;

/// Bits of a number that was written.
const WRITTEN: u64 = 512;
/// Bits of a number that was counted.
const COUNTED: u64 = 64;
/// Exponents of two that a result may have; beyond it, its digits would fill pages.
const WIDEST: i64 = 8192;

/// A number: sign, mantissa and exponent of two; or an infinity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::syntax::import) struct Number {
    pub(super) negative: bool,
    pub(super) mantissa: BigUint,
    pub(super) exponent: i64,
    pub(super) precision: u64,
    pub(super) infinite: bool,
}

/// A result, or the reason that there is none.
type Outcome = Result<Number, String>;

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::finite(number < 0, BigUint::from(number.unsigned_abs()), 0, COUNTED)
    }
}

impl Number {
    /// Rounded to its precision, half to even; an even mantissa is made odd.
    fn finite(negative: bool, mantissa: BigUint, exponent: i64, precision: u64) -> Self {
        let (mut mantissa, mut exponent) = (mantissa, exponent);
        let extra = mantissa.bits().saturating_sub(precision);
        if extra > 0 {
            let half = mantissa.bit(extra - 1);
            let below = extra > 1 && mantissa.trailing_zeros().is_some_and(|zeros| zeros < extra - 1);
            mantissa >>= extra;
            exponent += i64::try_from(extra).unwrap_or(i64::MAX);
            if half && (below || mantissa.bit(0)) {
                mantissa += 1_u32;
            }
        }
        match mantissa.trailing_zeros() {
            None => exponent = 0,
            Some(zeros) => {
                mantissa >>= zeros;
                exponent += i64::try_from(zeros).unwrap_or(i64::MAX);
            }
        }
        Self { negative, mantissa, exponent, precision, infinite: false }
    }

    fn infinity(negative: bool) -> Self {
        Self { negative, mantissa: BigUint::ZERO, exponent: 0, precision: COUNTED, infinite: true }
    }

    /// Reads decimal digits with or without a point and an exponent.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (digits, power) = match rest.split_once(['e', 'E']) {
            Some((digits, power)) => (digits, power.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        let plain = !all.is_empty() && all.len() <= 4096 && all.bytes().all(|b| b.is_ascii_digit());
        if !plain || power.abs() > WIDEST / 4 {
            return None;
        }
        let mantissa = BigUint::parse_bytes(all.as_bytes(), 10)?;
        let power = power - i64::try_from(fraction.len()).ok()?;
        let ten = BigUint::from(10_u32).pow(u32::try_from(power.unsigned_abs()).ok()?);
        Some(if power >= 0 {
            Self::finite(negative, mantissa * ten, 0, WRITTEN)
        } else {
            Self::quotient(negative, &mantissa, &ten, 0, WRITTEN)
        })
    }

    /// A number that came of floating point arithmetic.
    pub fn of_float(number: f64) -> Option<Self> {
        if number.is_infinite() {
            return Some(Self::infinity(number < 0.0));
        }
        let bits = number.to_bits();
        let (power, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        let (mantissa, power) = if power == 0 { (fraction, 1) } else { (fraction | 1 << 52, power) };
        let exponent = i64::try_from(power).ok()? - 1075;
        (!number.is_nan()).then(|| Self::finite(number < 0.0, BigUint::from(mantissa), exponent, 53))
    }

    /// As floating point, for logarithms and powers.
    pub fn as_float(&self) -> f64 {
        if self.infinite {
            return if self.negative { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// As a whole number, if it is one that fits.
    pub fn as_whole(&self) -> Option<i64> {
        if self.infinite || self.exponent < 0 || self.exponent > 64 {
            return None;
        }
        let magnitude = i128::try_from(&self.mantissa << u64::try_from(self.exponent).ok()?).ok()?;
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// True if it has no fraction.
    pub fn is_whole(&self) -> bool {
        !self.infinite && self.exponent >= 0
    }

    pub fn is_zero(&self) -> bool {
        !self.infinite && self.mantissa == BigUint::ZERO
    }

    pub fn is_negative(&self) -> bool {
        self.negative && !self.is_zero()
    }

    pub fn negate(&self) -> Self {
        Self { negative: !self.negative, ..self.clone() }
    }

    pub fn absolute(&self) -> Self {
        Self { negative: false, ..self.clone() }
    }

    /// Without its fraction: towards zero, or down, or up.
    pub fn truncated(&self, towards: Ordering) -> Self {
        if self.infinite || self.exponent >= 0 {
            return self.clone();
        }
        let mut whole = &self.mantissa >> self.exponent.unsigned_abs();
        let away = match towards {
            Ordering::Less => self.negative,
            Ordering::Greater => !self.negative,
            Ordering::Equal => false,
        };
        if away {
            whole += 1_u32;
        }
        Self::finite(self.negative, whole, 0, self.precision.max(COUNTED))
    }

    /// # Errors
    /// Infinities of opposite signs, and results that are too large.
    pub fn add(&self, other: &Self) -> Outcome {
        if self.infinite || other.infinite {
            let opposing = self.infinite && other.infinite && self.negative != other.negative;
            let infinite = if self.infinite { self } else { other };
            return if opposing { Err("infinities have no sum".into()) } else { Ok(infinite.clone()) };
        }
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: &Self| {
            let shift = u64::try_from(number.exponent - exponent).unwrap_or_default();
            &number.mantissa << shift
        };
        let (left, right) = (aligned(self), aligned(other));
        let precision = self.precision.max(other.precision);
        let (negative, mantissa) = if self.negative == other.negative {
            (self.negative, left + right)
        } else if left >= right {
            (self.negative && left != right, left - right)
        } else {
            (other.negative, right - left)
        };
        bounded(Self::finite(negative, mantissa, exponent, precision))
    }

    /// # Errors
    /// As for a sum.
    pub fn subtract(&self, other: &Self) -> Outcome {
        self.add(&other.negate())
    }

    /// # Errors
    /// Zero by infinity, and results that are too large.
    pub fn multiply(&self, other: &Self) -> Outcome {
        let negative = self.negative != other.negative;
        if self.infinite || other.infinite {
            let nothing = self.is_zero() || other.is_zero();
            return if nothing {
                Err("zero by infinity is no number".into())
            } else {
                Ok(Self::infinity(negative))
            };
        }
        let product = &self.mantissa * &other.mantissa;
        let exact = Self::finite(negative, product, self.exponent + other.exponent, WRITTEN);
        let precision = self.precision.max(other.precision).max(exact.mantissa.bits());
        bounded(Self { precision, ..exact })
    }

    /// # Errors
    /// Zero by zero, infinity by infinity, and results that are too large.
    pub fn divide(&self, other: &Self) -> Outcome {
        let negative = self.negative != other.negative;
        if (self.is_zero() && other.is_zero()) || (self.infinite && other.infinite) {
            return Err("zero by zero is no number".into());
        }
        if self.infinite || other.is_zero() {
            return Ok(Self::infinity(negative));
        }
        if other.infinite {
            return Ok(Self::from(0));
        }
        let precision = self.precision.max(other.precision);
        let exponent = self.exponent - other.exponent;
        bounded(Self::quotient(negative, &self.mantissa, &other.mantissa, exponent, precision))
    }

    /// The rest of a division; by zero, the number itself.
    ///
    /// # Errors
    /// As for a quotient.
    pub fn modulo(&self, other: &Self) -> Outcome {
        if self.infinite || other.infinite {
            return self.multiply(other);
        }
        if other.is_zero() {
            return Ok(self.clone());
        }
        let times = self.divide(other)?.truncated(Ordering::Equal);
        self.subtract(&times.multiply(other)?)
    }

    fn quotient(negative: bool, over: &BigUint, under: &BigUint, exponent: i64, precision: u64) -> Self {
        let shift = (precision + 2 + under.bits()).saturating_sub(over.bits());
        let raised: BigUint = over << shift;
        // One bit more says whether anything was left.
        let left = u32::from(&raised % under != BigUint::ZERO);
        let result = ((raised / under) << 1_u32) + left;
        let exponent = exponent - i64::try_from(shift).unwrap_or(i64::MAX) - 1;
        Self::finite(negative, result, exponent, precision)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let infinite = self.infinite || other.infinite;
        let by_size = || match self.subtract(other) {
            Ok(left) if infinite && self.infinite == other.infinite || left.is_zero() => Ordering::Equal,
            Ok(left) => {
                if left.negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            Err(_) => self.infinite.cmp(&other.infinite),
        };
        sign(self).cmp(&sign(other)).then_with(by_size)
    }
}

fn bounded(number: Number) -> Outcome {
    let size = number.exponent + i64::try_from(number.mantissa.bits()).unwrap_or(i64::MAX);
    if size.abs() > WIDEST { Err("the result is too large a number".into()) } else { Ok(number) }
}
