//! A check at the end of what imk keeps on disk, so that damage is never taken for content.
//!
//! JSON and MessagePack read a flipped digit as another digit: an image id, a digest or a commit that
//! nobody wrote. What is sealed is read whole and as it was written, or not at all. A seal is against
//! accidents: whoever may write the state can make one. Knows neither files nor what is in them.

/// Begins the last line of a sealed file.
const MARK: &[u8] = b"\nblake3 ";
/// Hexadecimal digits of a whole hash.
const DIGITS: usize = 64;
/// Begins a sealed line: a line that lost its check is not taken for one that never had any.
const BEGIN: &[u8] = b"{\"v\":2,";
/// Begins the last member of a sealed line.
const MEMBER: &[u8] = b",\"check\":\"";
/// Hexadecimal digits of a line's check: enough against accidents, and short enough to look past.
const LINE_DIGITS: usize = 16;

fn digits(bytes: &[u8], count: usize) -> String {
    let mut text = blake3::hash(bytes).to_hex().to_string();
    text.truncate(count);
    text
}

/// The bytes, and behind them a line with their hash.
pub fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = digits(&bytes, DIGITS);
    bytes.extend_from_slice(MARK);
    bytes.extend_from_slice(hash.as_bytes());
    bytes.push(b'\n');
    bytes
}

/// The bytes that were sealed; `None` when they are not as they were.
pub fn open(sealed: &[u8]) -> Option<&[u8]> {
    let rest = sealed.strip_suffix(b"\n")?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    let bytes = rest.strip_suffix(MARK)?;
    (digits(bytes, DIGITS).as_bytes() == hash).then_some(bytes)
}

/// A JSON object with members, of one line, between a first member `v` and a last member `check`, and the end of the line.
pub fn seal_line(object: &[u8]) -> Vec<u8> {
    let members = object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or(object);
    let members = [BEGIN, members].concat();
    let check = digits(&members, LINE_DIGITS);
    [&members, MEMBER, check.as_bytes(), b"\"}\n"].concat()
}

/// Whether a line, without its end, is as [`seal_line`] wrote it. Both members are left in it.
pub fn is_whole(line: &[u8]) -> bool {
    let members = line.strip_suffix(b"\"}").and_then(|rest| {
        let (rest, check) = rest.split_at_checked(rest.len().checked_sub(LINE_DIGITS)?)?;
        Some((rest.strip_suffix(MEMBER)?, check))
    });
    members.is_some_and(|(members, check)| {
        members.starts_with(BEGIN) && digits(members, LINE_DIGITS).as_bytes() == check
    })
}

/// Whether lines are from a time before there were seals: there is no trace of any.
pub fn is_unsealed(lines: &[u8]) -> bool {
    let has = |mark: &[u8]| lines.windows(mark.len()).any(|window| window == mark);
    !has(BEGIN) && !has(MEMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read_as_it_was_or_not_at_all() {
        for bytes in [b"".as_slice(), b"{}", b"a\nblake3 b\n", &[0, 255, 10]] {
            let sealed = seal(bytes.to_vec());
            assert_eq!(open(&sealed), Some(bytes));
            for at in 0..sealed.len() {
                assert_eq!(open(&sealed[..at]), None);
                let mut flipped = sealed.clone();
                flipped[at] ^= 1;
                assert_eq!(open(&flipped), None, "byte {at}");
            }
        }
        assert_eq!(open(b""), None);
    }

    #[test]
    fn a_sealed_line_is_json_still_and_no_byte_of_it_may_change() {
        let line = seal_line(br#"{"id":"sha256:1","at":7}"#);
        let line = line.strip_suffix(b"\n").unwrap();
        assert!(is_whole(line));
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!((value["at"].as_u64(), value["check"].as_str().map(str::len)), (Some(7), Some(16)));
        for at in 0..line.len() {
            assert!(!is_whole(&line[..at]));
            let mut flipped = line.to_vec();
            flipped[at] ^= 1;
            assert!(!is_whole(&flipped), "byte {at}");
        }
        let bare = br#"{"id":"sha256:1","at":7}"#;
        assert!(!is_whole(bare) && is_unsealed(bare) && !is_unsealed(line));
    }
}
