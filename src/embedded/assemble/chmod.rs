//! `--chmod`: permission bits as a number, or as changes in letters.
//!
//! Letters as `chmod(1)` reads them: `u=rwX,go=rX`, `+x`, `a-w`.

/// A change of permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These bits.
    Bits(u32),
    /// One change after the other.
    Letters(Vec<Clause>),
}

/// One change of `u=rwX,go-w`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Which of the bits `0o7777` it is about.
    who: u32,
    how: char,
    letters: String,
}

impl Change {
    /// Reads it. The error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is neither an octal mode such as 755 nor one in letters such as `u=rwX,go=rX`")
        };
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
            return bits.map(Self::Bits).ok_or_else(wrong);
        }
        let mut clauses = Vec::new();
        for clause in text.split(',') {
            let at = clause.find(['+', '-', '=']).ok_or_else(wrong)?;
            let mut who = 0;
            for letter in clause[..at].chars() {
                who |= match letter {
                    'u' => 0o4700,
                    'g' => 0o2070,
                    'o' => 0o0007,
                    'a' => 0o6777,
                    _ => return Err(wrong()),
                };
            }
            let how = char::from(clause.as_bytes()[at]);
            let letters = clause[at + 1..].to_owned();
            if letters.chars().any(|letter| !"rwxXst".contains(letter)) {
                return Err(wrong());
            }
            clauses.push(Clause { who: if who == 0 { 0o6777 } else { who }, how, letters });
        }
        Ok(Self::Letters(clauses))
    }

    /// The bits after the change.
    pub fn applied(&self, mode: u32, folder: bool) -> u32 {
        let clauses = match self {
            Self::Bits(bits) => return *bits,
            Self::Letters(clauses) => clauses,
        };
        let mut mode = mode;
        for clause in clauses {
            let mut bits = 0;
            for letter in clause.letters.chars() {
                bits |= match letter {
                    'r' => 0o444 & clause.who,
                    'w' => 0o222 & clause.who,
                    'x' => 0o111 & clause.who,
                    'X' if folder || mode & 0o111 != 0 => 0o111 & clause.who,
                    's' => 0o6000 & clause.who,
                    't' => 0o1000,
                    _ => 0,
                };
            }
            mode = match clause.how {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => (mode & !(clause.who & 0o777)) | bits,
            };
        }
        mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_numbers_and_as_letters() {
        let of = |text: &str, mode, folder| Change::parse(text).unwrap().applied(mode, folder);
        assert_eq!(of("755", 0o600, false), 0o755);
        assert_eq!(of("04755", 0o600, false), 0o4755);
        assert_eq!(of("+x", 0o644, false), 0o755);
        assert_eq!(of("u=rwX,go=rX", 0o600, false), 0o644);
        assert_eq!(of("u=rwX,go=rX", 0o600, true), 0o755);
        assert_eq!(of("go-rwx,u+s", 0o777, false), 0o4700);
        for wrong in ["9", "77777", "u", "z+x", "u=q", ""] {
            assert!(Change::parse(wrong).is_err() || wrong.is_empty(), "{wrong}");
        }
    }
}
