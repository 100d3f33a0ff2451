//! A tar archive, header by header.
//!
//! The crate `tar` makes and reads headers; what stands between them is read here, since its own reader
//! takes a PAX record for broken when the value holds a line break, as the rights of a program may
//! (`SCHILY.xattr.security.capability`). Follows POSIX pax and GNU's long names. Trusts nothing it reads.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{EntryType, Header};

/// tar counts in blocks of so many bytes.
const BLOCK: u64 = 512;
/// No long name and no set of records is longer.
const LONGEST: u64 = 1 << 20;

/// The header in front of an entry's content.
pub struct Head {
    /// The header itself.
    pub header: Header,
    /// The name, however long.
    pub path: Vec<u8>,
    /// The target of a link, however long.
    pub target: Vec<u8>,
    /// PAX records.
    pub records: BTreeMap<String, Vec<u8>>,
    /// Bytes of content.
    pub size: u64,
    /// Where the content begins in the archive.
    pub at: u64,
}

/// An archive being read.
pub struct Tarball<R> {
    inner: R,
    at: u64,
    /// Bytes of the present entry that were not read, and those that fill its last block.
    left: u64,
    fill: u64,
}

impl<R: Read> Tarball<R> {
    /// Reads from the first byte on.
    pub fn new(inner: R) -> Self {
        Self { inner, at: 0, left: 0, fill: 0 }
    }

    /// The next entry; what was not read of the last is passed over. None at the end.
    pub fn next(&mut self) -> io::Result<Option<Head>> {
        let mut records = BTreeMap::new();
        let (mut path, mut target) = (None, None);
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let size = filled(&header.as_old().size, header.entry_size())?;
            let special = matches!(
                kind,
                EntryType::XHeader
                    | EntryType::XGlobalHeader
                    | EntryType::GNULongName
                    | EntryType::GNULongLink
            );
            if !special {
                let size = match number(&records, "size")? {
                    Some(size) => size,
                    // Of what has no content some archives tell a size all the same.
                    None if matches!(
                        kind,
                        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
                    ) =>
                    {
                        size
                    }
                    None => 0,
                };
                self.begin(size);
                let path = records.get("path").cloned().or(path);
                let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
                let target = records.get("linkpath").cloned().or(target);
                let target = target.unwrap_or_else(|| {
                    header.link_name_bytes().map(|it| it.into_owned()).unwrap_or_default()
                });
                return Ok(Some(Head { header, path, target, records, size, at: self.at }));
            }
            if size > LONGEST {
                return Err(io::Error::other("a name or a record is too long"));
            }
            self.begin(size);
            let mut bytes = Vec::new();
            self.read_to_end(&mut bytes)?;
            match kind {
                EntryType::GNULongName => path = Some(without_end(bytes)),
                EntryType::GNULongLink => target = Some(without_end(bytes)),
                EntryType::XHeader => records = parse(&bytes)?,
                _ => {}
            }
        }
    }

    /// The bytes behind the end.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.fill = (BLOCK - size % BLOCK) % BLOCK;
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let pass = self.left + self.fill;
        let passed = io::copy(&mut self.inner.by_ref().take(pass), &mut io::sink())?;
        if passed != pass {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within a file"));
        }
        self.at += passed;
        (self.left, self.fill) = (0, 0);
        let mut header = Header::new_old();
        let mut filled = 0;
        while filled < BLOCK as usize {
            match self.inner.read(&mut header.as_mut_bytes()[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.at += filled as u64;
        if filled == 0 || header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if filled < BLOCK as usize {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within a header"));
        }
        let told = header.cksum()?;
        // The sum counts its own eight bytes as blanks.
        let bytes = header.as_bytes();
        let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum();
        match told == sum + 8 * 32 {
            true => Ok(Some(header)),
            false => Err(io::Error::other("a header's sum is wrong")),
        }
    }
}

impl<R: Read> Read for Tarball<R> {
    /// The content of the present entry.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within a file"));
        }
        self.left -= read as u64;
        self.at += read as u64;
        Ok(read)
    }
}

/// A number of a header; a field without digits is none, as Go's reader has it.
///
/// # Errors
/// When the field holds something else.
pub fn filled(field: &[u8], number: io::Result<u64>) -> io::Result<u64> {
    match field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        true => Ok(0),
        false => number,
    }
}

fn without_end(mut name: Vec<u8>) -> Vec<u8> {
    while name.last() == Some(&0) {
        name.pop();
    }
    name
}

/// `LENGTH KEY=VALUE\n`, one after the other; the length counts all of it.
fn parse(bytes: &[u8]) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let wrong = || io::Error::other("its records are broken");
    let (mut records, mut rest) = (BTreeMap::new(), bytes);
    while !rest.is_empty() {
        let blank = rest.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length = std::str::from_utf8(&rest[..blank]).ok().and_then(|text| text.parse::<usize>().ok());
        let length =
            length.filter(|length| *length > blank + 1 && *length <= rest.len()).ok_or_else(wrong)?;
        let record = rest[blank + 1..length].strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        if let Ok(key) = std::str::from_utf8(&record[..equals]) {
            records.insert(key.to_owned(), record[equals + 1..].to_vec());
        }
        rest = &rest[length..];
    }
    Ok(records)
}

/// A record that is a number.
pub fn number(records: &BTreeMap<String, Vec<u8>>, key: &str) -> io::Result<Option<u64>> {
    let Some(value) = records.get(key) else { return Ok(None) };
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| io::Error::other(format!("its {key} is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_may_hold_any_byte_and_none_may_lie_about_its_length() {
        let records = parse(b"9 a=1\n\n2\n6 b==\n").unwrap();
        assert_eq!((records["a"].as_slice(), records["b"].as_slice()), (&b"1\n\n2"[..], &b"="[..]));
        for wrong in [&b"99 a=1\n"[..], b"6 a=1", b"x a=1\n", b"5 a1\n", b"0 ", b"2 "] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn fields_without_digits_are_zero() {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[0] = b'f';
        header.set_cksum();
        let mut tarball = Tarball::new(header.as_bytes().as_slice());
        let head = tarball.next().unwrap().unwrap();
        assert_eq!((head.size, filled(&head.header.as_old().uid, head.header.uid()).unwrap()), (0, 0));
    }

    #[test]
    fn long_names_of_gnu_are_read() {
        let mut builder = tar::Builder::new(Vec::new());
        let long = "n".repeat(300);
        let mut header = Header::new_gnu();
        header.set_size(3);
        builder.append_data(&mut header, &long, &b"abc"[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        let mut tarball = Tarball::new(bytes.as_slice());
        let head = tarball.next().unwrap().unwrap();
        assert_eq!((head.path, head.size), (long.into_bytes(), 3));
        assert!(tarball.next().unwrap().is_none());
    }
}
