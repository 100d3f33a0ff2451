//! Compressed streams: what one is by its first bytes, its plain bytes, and gzip and zstd of our own.
//!
//! Ours are rows of pieces of one fixed size, made side by side: the bytes are the same however
//! many cores there are, and every reader of gzip and zstd reads them. Which bytes they are depends on the
//! compressor's version; so images promise equal diff ids, and equal blobs of one version of imk only.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Plain bytes of one member of gzip.
const MEMBER: usize = 1 << 20;
/// Plain bytes of one frame of zstd: as much as it looks back at its own default level.
const FRAME: usize = 2 << 20;
/// Of gzip: its own default.
const GZIP_LEVEL: u32 = 6;
/// Of zstd: its own default.
const ZSTD_LEVEL: i32 = 3;
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
    pieces(from, into, MEMBER, member)
}

/// As [`gzip`], in zstd.
pub fn zstd(from: &mut dyn Read, into: &mut dyn Write) -> io::Result<()> {
    pieces(from, into, FRAME, |plain| zstd::bulk::compress(plain, ZSTD_LEVEL))
}

fn pieces(
    from: &mut dyn Read,
    into: &mut dyn Write,
    size: usize,
    packed: fn(&[u8]) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    std::thread::scope(|scope| {
        let mut lanes = Vec::new();
        for _ in 0..threads {
            let (give, work) = mpsc::sync_channel::<Vec<u8>>(2);
            let (done, take) = mpsc::sync_channel(2);
            scope.spawn(move || {
                for plain in work {
                    if done.send(packed(&plain)).is_err() {
                        break;
                    }
                }
            });
            lanes.push((give, take));
        }
        let gone = || io::Error::other("a compressing thread ended early");
        // Pieces go to the lanes in turn, and come back in the same turn.
        let (mut given, mut taken) = (0_usize, 0_usize);
        let take_one = |taken: &mut usize, into: &mut dyn Write| {
            let bytes = lanes[*taken % threads].1.recv().map_err(|_| gone())??;
            *taken += 1;
            into.write_all(&bytes)
        };
        loop {
            let mut plain = Vec::with_capacity(size);
            from.take(size as u64).read_to_end(&mut plain)?;
            // An empty stream is one empty piece.
            if plain.is_empty() && given > 0 {
                break;
            }
            let last = plain.len() < size;
            lanes[given % threads].0.send(plain).map_err(|_| gone())?;
            given += 1;
            // Some pieces take longer than others; meanwhile nobody waits.
            if given - taken > 2 * threads {
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
    let mut encoder = GzEncoder::new(room, Compression::new(GZIP_LEVEL));
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
        type Pack = fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>;
        for (pack, encoding, size) in
            [(gzip as Pack, Encoding::Gzip, MEMBER), (zstd as Pack, Encoding::Zstd, FRAME)]
        {
            for length in [0, 1, size - 1, size, size + 1, 5 * size + 7] {
                let bytes: Vec<u8> = (0..length).map(|at| (at * at / 7) as u8).collect();
                let mut packed = Vec::new();
                pack(&mut bytes.as_slice(), &mut packed).unwrap();
                assert_eq!(Encoding::of(&packed), encoding);
                assert!(read(&packed) == bytes, "{encoding:?} {length}");
                let mut again = Vec::new();
                pack(&mut bytes.as_slice(), &mut again).unwrap();
                assert!(packed == again, "{encoding:?} {length}");
            }
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
