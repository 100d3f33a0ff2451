//! Secrets in an output, struck out before anybody keeps it.
//!
//! An output comes in pieces, and a secret may lie across two of them: so many bytes as a secret could begin with are held
//! back until more comes. Masks what is printed as it is, and nothing that a program has made of it.

/// Shorter values are no secrets, and blot out too much.
const SHORTEST: usize = 4;
/// The sign in the place of a secret.
const MASK: &[u8] = b"***";

/// A filter for one output.
#[derive(Clone, Debug)]
pub struct Masked {
    /// The longest first.
    secrets: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Masked {
    /// A filter for these values.
    pub fn new(secrets: &[String]) -> Self {
        let long = secrets.iter().filter(|secret| secret.len() >= SHORTEST);
        let mut secrets: Vec<Vec<u8>> = long.map(|secret| secret.as_bytes().to_vec()).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, held: Vec::new() }
    }

    /// Takes a piece, and gives as much as can be shown.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.secrets.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let longest = self.secrets.first().map_or(0, Vec::len);
        self.shown(self.held.len().saturating_sub(longest - 1))
    }

    /// The rest, when no more comes.
    pub fn rest(&mut self) -> Vec<u8> {
        self.shown(self.held.len())
    }

    fn shown(&mut self, end: usize) -> Vec<u8> {
        let mut shown = Vec::with_capacity(end);
        let mut at = 0;
        while at < end {
            let rest = &self.held[at..];
            match self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                Some(secret) => {
                    shown.extend_from_slice(MASK);
                    at += secret.len();
                }
                None => {
                    shown.push(rest[0]);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_struck_out_wherever_its_pieces_are_cut() {
        let secrets = ["s3cr3t".to_owned(), "s3cr3t-and-more".to_owned(), "ab".to_owned()];
        let text = b"ab s3cr3ts3cr3t-and-more s3cr3 s3cr3t";
        for size in 1..text.len() {
            let mut masked = Masked::new(&secrets);
            let mut shown: Vec<u8> = text.chunks(size).flat_map(|piece| masked.push(piece)).collect();
            shown.extend(masked.rest());
            assert_eq!(String::from_utf8_lossy(&shown), "ab ****** s3cr3 ***", "{size}");
        }
        let mut none = Masked::new(&[]);
        assert_eq!((none.push(b"s3cr3t"), none.rest()), (b"s3cr3t".to_vec(), Vec::new()));
    }
}
