//! `format` and `formatlist`: texts by a pattern such as `%-8s|%04d|%.2f`.
//!
//! Follows go-cty's verbs, which lean on Go's `fmt`. Knows no times.

use num_bigint::BigUint;
use unicode_segmentation::UnicodeSegmentation;

use super::args::{Answer, Args};
use crate::syntax::import::expression::decimal::Decimal;
use crate::syntax::import::expression::json;
use crate::syntax::import::expression::value::Value;

/// Widths and precisions beyond it are refused.
const WIDEST: usize = 4096;
/// The most texts that `formatlist` makes.
const MOST: usize = 10_000;

/// One verb of a pattern.
#[derive(Default)]
struct Verb {
    letter: char,
    sharp: bool,
    zero: bool,
    minus: bool,
    plus: bool,
    space: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

pub(super) fn format(a: &Args<'_>) -> Answer {
    formatted(&a.text(0)?, a.0.get(1..).unwrap_or_default()).map(Value::Text)
}

/// A text for each item of the lists among the arguments; what is no list stands in each.
pub(super) fn formatlist(a: &Args<'_>) -> Answer {
    let (pattern, args) = (a.text(0)?, a.0.get(1..).unwrap_or_default());
    let mut lengths = args.iter().filter_map(|arg| arg.items().map(<[Value]>::len));
    let length = lengths.next();
    if lengths.any(|other| Some(other) != length) {
        return Err("the lists have different lengths".into());
    }
    let text = |at: usize| {
        let item = |arg: &Value| arg.items().map_or_else(|| arg.clone(), |items| items[at].clone());
        formatted(&pattern, &args.iter().map(item).collect::<Vec<_>>())
    };
    Ok(Value::texts((0..length.unwrap_or(1).min(MOST)).map(text).collect::<Result<Vec<_>, _>>()?))
}

fn formatted(pattern: &str, args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut letters = pattern.chars().peekable();
    let (mut next, mut highest) = (1, 0);
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if letters.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = letters.next_if(|c| "0#-+ ".contains(*c)) {
            match flag {
                '0' => verb.zero = true,
                '#' => verb.sharp = true,
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                _ => verb.space = true,
            }
        }
        let width = digits(&mut letters);
        verb.width = (!width.is_empty()).then(|| width.parse().unwrap_or(usize::MAX));
        if letters.next_if_eq(&'.').is_some() {
            let digits = format!("0{}", digits(&mut letters));
            verb.precision = Some(digits.parse().unwrap_or(usize::MAX));
        }
        if letters.next_if_eq(&'[').is_some() {
            let inner: String = letters.by_ref().take_while(|c| *c != ']').collect();
            next = inner
                .parse()
                .ok()
                .filter(|at| *at > 0)
                .ok_or("an argument's number is wanted in the brackets")?;
        }
        if verb.width.max(verb.precision).is_some_and(|wide| wide > WIDEST) {
            return Err("the width is too large".into());
        }
        verb.letter = letters.next().ok_or("the pattern ends within a verb")?;
        let arg = args.get(next - 1).ok_or_else(|| format!("the pattern wants argument {next}"))?;
        out.push_str(&verb.applied(arg)?);
        highest = highest.max(next);
        next += 1;
    }
    if highest < args.len() { Err("there are more arguments than the pattern wants".into()) } else { Ok(out) }
}

fn digits(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    std::iter::from_fn(|| letters.next_if(char::is_ascii_digit)).collect()
}

impl Verb {
    fn applied(&self, arg: &Value) -> Result<String, String> {
        let wrong = || format!("`%{}` cannot show {}", self.letter, arg.noun());
        if self.letter != 'v' && *arg == Value::Null {
            return Err(wrong());
        }
        match self.letter {
            'v' => Ok(self.padded(match arg {
                Value::Text(text) if !self.sharp => text.clone(),
                Value::Number(number) if !self.sharp && !number.infinite => {
                    let sign = if number.negative { "-" } else { "" };
                    format!("{sign}{}", Decimal::shortest(number).general(None, 'e'))
                }
                other => json::encoded(other),
            })),
            't' => Ok(arg.as_truth().ok_or_else(wrong)?.to_string()),
            's' | 'q' => {
                let text = arg.as_text().ok_or_else(wrong)?;
                let text = match self.precision {
                    Some(most) if most > 0 => text.graphemes(true).take(most).collect(),
                    _ => text,
                };
                Ok(self.padded(if self.letter == 's' { text } else { json::encoded(&Value::Text(text)) }))
            }
            'b' | 'd' | 'o' | 'x' | 'X' | 'e' | 'E' | 'f' | 'g' | 'G' => self.number(arg).ok_or_else(wrong),
            other => Err(format!("no verb `%{other}` is known")),
        }
    }

    /// A number as Go's `fmt` shows it; nothing where a whole one is wanted and it is none.
    fn number(&self, arg: &Value) -> Option<String> {
        let number = arg.as_number().filter(|number| !number.infinite)?;
        let sign = match (number.is_negative(), self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        let base = match self.letter {
            'b' => Some(2),
            'o' => Some(8),
            'd' => Some(10),
            'x' | 'X' => Some(16),
            _ => None,
        };
        let Some(base) = base else {
            let mut decimal = match (self.letter, self.precision) {
                ('g' | 'G', None) => Decimal::shortest(&number),
                _ => Decimal::of(&number),
            };
            let precision = self.precision.unwrap_or(6);
            let text = match self.letter {
                'e' | 'E' => {
                    decimal.round(precision + 1);
                    decimal.scientific(precision, self.letter)
                }
                'f' => {
                    let digits = i64::try_from(precision).unwrap_or(i64::MAX).saturating_add(decimal.point);
                    decimal.round(usize::try_from(digits).unwrap_or_default());
                    decimal.plain(precision)
                }
                _ => {
                    if let Some(precision) = self.precision {
                        decimal.round(precision.max(1));
                    }
                    decimal.general(self.precision, if self.letter == 'g' { 'e' } else { 'E' })
                }
            };
            return Some(self.filled(sign, &text, self.zero && !self.minus));
        };
        if !number.is_whole() {
            return None;
        }
        let whole: BigUint = &number.mantissa << u64::try_from(number.exponent).ok()?;
        let digits = whole.to_str_radix(base);
        let digits = if self.letter == 'X' { digits.to_uppercase() } else { digits };
        let digits = match self.precision {
            Some(0) if number.is_zero() => String::new(),
            Some(least) => format!("{digits:0>least$}"),
            None => digits,
        };
        let mark = match (self.sharp, self.letter) {
            (true, 'b') => "0b",
            (true, 'o') => "0",
            (true, 'x') => "0x",
            (true, 'X') => "0X",
            _ => "",
        };
        Some(self.filled(
            &format!("{sign}{mark}"),
            &digits,
            self.zero && !self.minus && self.precision.is_none(),
        ))
    }

    /// A number at its width: zeros stand behind the sign, spaces before it.
    fn filled(&self, sign: &str, digits: &str, zeros: bool) -> String {
        let missing = self.width.unwrap_or_default().saturating_sub(sign.len() + digits.len());
        match (zeros, self.minus) {
            (true, _) => format!("{sign}{}{digits}", "0".repeat(missing)),
            (false, true) => format!("{sign}{digits}{}", " ".repeat(missing)),
            (false, false) => format!("{}{sign}{digits}", " ".repeat(missing)),
        }
    }

    /// A text at its width, in letters as a reader counts them.
    fn padded(&self, text: String) -> String {
        let missing = self.width.unwrap_or_default().saturating_sub(text.graphemes(true).count());
        let pad = if self.zero { "0" } else { " " }.repeat(missing);
        if self.minus { text + &pad } else { pad + &text }
    }
}
