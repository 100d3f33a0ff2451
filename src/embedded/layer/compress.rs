//! Compressed streams: what one is by its first bytes, its plain bytes, and gzip of our own.
//!
//! Our gzip is a row of members of one fixed size, made side by side: the bytes are the same however
//! many cores there are, and every reader of gzip reads them. Which bytes they are depends on the
//! compressor's version; so images promise equal diff ids, and equal blobs of one version of imk only.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Plain bytes of one member.
const MEMBER: usize = 1 << 20;
/// zstd may ask for a window of so many bits and no more: what a larger one needs, nobody has to give.
const WINDOW: u32 = 27;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// `bzip2`
    Bzip2,
    /// `xz`
    Xz,
}

impl Encoding {
    /// The compression that these first bytes begin.
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }
}

/// The plain bytes of a stream, whatever it is compressed with.
pub fn plain<'r>(stream: impl Read + 'r) -> io::Result<(Encoding, Box<dyn Read + 'r>)> {
    let mut stream = BufReader::with_capacity(128 << 10, stream);
    let encoding = Encoding::of(stream.fill_buf()?);
    let plain: Box<dyn Read + 'r> = match encoding {
        Encoding::Plain => Box::new(stream),
        Encoding::Gzip => Box::new(MultiGzDecoder::new(stream)),
        Encoding::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(stream)?;
            decoder.window_log_max(WINDOW)?;
            Box::new(decoder)
        }
        Encoding::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(stream)),
        Encoding::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(stream)),
    };
    Ok((encoding, plain))
}

/// Writes `from` as gzip into `into`, on as many threads as there are cores; holds a few members in memory.
pub fn gzip(from: &mut dyn Read, into: &mut dyn Write) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    std::thread::scope(|scope| {
        let mut lanes = Vec::new();
        for _ in 0..threads {
            let (give, work) = mpsc::sync_channel::<Vec<u8>>(1);
            let (done, take) = mpsc::sync_channel(1);
            scope.spawn(move || {
                for plain in work {
                    if done.send(member(&plain)).is_err() {
                        break;
                    }
                }
            });
            lanes.push((give, take));
        }
        let gone = || io::Error::other("a compressing thread ended early");
        // Members go to the lanes in turn, and come back in the same turn.
        let (mut given, mut taken) = (0_usize, 0_usize);
        let take_one = |taken: &mut usize, into: &mut dyn Write| {
            let bytes = lanes[*taken % threads].1.recv().map_err(|_| gone())??;
            *taken += 1;
            into.write_all(&bytes)
        };
        loop {
            let mut plain = Vec::with_capacity(MEMBER);
            from.take(MEMBER as u64).read_to_end(&mut plain)?;
            // An empty stream is one empty member.
            if plain.is_empty() && given > 0 {
                break;
            }
            let last = plain.len() < MEMBER;
            lanes[given % threads].0.send(plain).map_err(|_| gone())?;
            given += 1;
            if given - taken > threads {
                take_one(&mut taken, into)?;
            }
            if last {
                break;
            }
        }
        while taken < given {
            take_one(&mut taken, into)?;
        }
        Ok(())
    })
}

fn member(plain: &[u8]) -> io::Result<Vec<u8>> {
    let room = Vec::with_capacity(plain.len() / 2);
    let mut encoder = GzEncoder::new(room, Compression::new(6));
    encoder.write_all(plain)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        plain(stream).unwrap().1.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_compressed_comes_back_at_every_length() {
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 5 * MEMBER + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * at / 7) as u8).collect();
            let mut gz = Vec::new();
            gzip(&mut bytes.as_slice(), &mut gz).unwrap();
            assert_eq!(Encoding::of(&gz), Encoding::Gzip);
            assert!(read(&gz) == bytes, "{length}");
            let mut again = Vec::new();
            gzip(&mut bytes.as_slice(), &mut again).unwrap();
            assert!(gz == again, "{length}");
        }
    }

    #[test]
    fn streams_are_known_by_their_first_bytes() {
        let zstd = zstd::encode_all(&b"text"[..], 1).unwrap();
        assert_eq!((Encoding::of(&zstd), read(&zstd)), (Encoding::Zstd, b"text".to_vec()));
        let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bz.write_all(b"text").unwrap();
        let bz = bz.finish().unwrap();
        assert_eq!((Encoding::of(&bz), read(&bz)), (Encoding::Bzip2, b"text".to_vec()));
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(b"text").unwrap();
        let xz = xz.finish().unwrap();
        assert_eq!((Encoding::of(&xz), read(&xz)), (Encoding::Xz, b"text".to_vec()));
        assert_eq!(read(b"text"), b"text");
    }
}
