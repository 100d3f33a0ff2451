//! Output that is held back until it is known whether anybody wants it: in memory as long as it is short, then in a
//! file without a name, and never more than a limit. What is left out is the middle: how it began and how it ended stays.
//!
//! Knows no stream: whoever gives it takes it back piece by piece.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use crate::source::outside;

/// Bytes of the beginning, which stay in memory.
const HEAD: usize = 1 << 20;
/// Bytes of each of the two files that hold the end in turn.
const SEGMENT: u64 = 32 << 20;
/// Bytes of each of them when no file can be made, and they are in memory.
const SMALL_SEGMENT: u64 = 1 << 20;

/// Output in its order: whether each piece is a result, and its bytes.
pub(super) struct Held {
    head: Vec<u8>,
    head_most: usize,
    segment_most: u64,
    older: Option<Segment>,
    newer: Option<Segment>,
    lost: u64,
}

impl Default for Held {
    fn default() -> Self {
        Self::within(HEAD, SEGMENT)
    }
}

impl Held {
    fn within(head_most: usize, segment_most: u64) -> Self {
        Self { head: Vec::new(), head_most, segment_most, older: None, newer: None, lost: 0 }
    }

    /// Takes a piece.
    pub(super) fn take(&mut self, is_result: bool, bytes: &[u8]) {
        // A piece that is longer than this comes back in parts.
        for part in bytes.chunks(64 * 1024) {
            let framed = frame(is_result, part);
            if self.newer.is_none() && self.head.len() + framed.len() <= self.head_most {
                self.head.extend(framed);
            } else {
                self.take_further(&framed);
            }
        }
    }

    fn take_further(&mut self, framed: &[u8]) {
        let length = framed.len() as u64;
        if self.newer.as_ref().is_some_and(|newer| newer.size + length > newer.most) {
            self.lost += self.older.take().map_or(0, |older| older.bytes);
            self.older = self.newer.take();
        }
        let most = self.segment_most;
        let newer = self.newer.get_or_insert_with(|| Segment::new(most));
        if newer.write(framed).is_err() {
            // The disk is full: what it has of this segment is lost, and memory takes the rest.
            self.lost += newer.bytes;
            *newer = Segment::in_memory();
            // Writing to memory does not fail.
            let _ = newer.write(framed);
        }
    }

    /// Gives all back, in its order, and says in a piece of trouble how much is left out of it.
    pub(super) fn give(self, mut show: impl FnMut(bool, &[u8])) {
        give_frames(&mut self.head.as_slice(), &mut show);
        if self.lost > 0 {
            let told = format!("… {} bytes of what was written are left out here …\n", self.lost);
            show(false, told.as_bytes());
        }
        for segment in [self.older, self.newer].into_iter().flatten() {
            segment.give(&mut show);
        }
    }
}

/// A stretch of the output, on disk or in memory.
struct Segment {
    file: Option<outside::Nameless>,
    memory: Vec<u8>,
    size: u64,
    most: u64,
    /// Bytes of output in it, without the frames.
    bytes: u64,
}

impl Segment {
    fn new(most: u64) -> Self {
        match outside::nameless() {
            Ok(file) => Self { file: Some(file), memory: Vec::new(), size: 0, most, bytes: 0 },
            Err(_) => Self { most: most.min(SMALL_SEGMENT), ..Self::in_memory() },
        }
    }

    fn in_memory() -> Self {
        Self { file: None, memory: Vec::new(), size: 0, most: SMALL_SEGMENT, bytes: 0 }
    }

    fn write(&mut self, framed: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(framed)?,
            None => self.memory.extend_from_slice(framed),
        }
        self.size += framed.len() as u64;
        self.bytes += (framed.len() - FRAME) as u64;
        Ok(())
    }

    fn give(self, show: &mut impl FnMut(bool, &[u8])) {
        match self.file {
            Some(mut file) => {
                if file.seek(SeekFrom::Start(0)).is_ok() {
                    give_frames(&mut BufReader::new(file), show);
                }
            }
            None => give_frames(&mut self.memory.as_slice(), show),
        }
    }
}

/// Bytes in front of each piece: whether it is a result, and its length.
const FRAME: usize = 5;

fn frame(is_result: bool, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut framed = vec![u8::from(is_result)];
    framed.extend(length.to_le_bytes());
    framed.extend_from_slice(bytes);
    framed
}

fn give_frames(reader: &mut impl Read, show: &mut impl FnMut(bool, &[u8])) {
    let mut head = [0; FRAME];
    let mut bytes = Vec::new();
    while reader.read_exact(&mut head).is_ok() {
        let [is_result, length @ ..] = head;
        bytes.resize(u32::from_le_bytes(length) as usize, 0);
        // A file of ours that ends early has lost its end, and nothing more can be said of it.
        if reader.read_exact(&mut bytes).is_err() {
            return;
        }
        show(is_result == 1, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(held: Held) -> Vec<(bool, String)> {
        let mut pieces = Vec::new();
        held.give(|is_result, bytes| pieces.push((is_result, String::from_utf8_lossy(bytes).into_owned())));
        pieces
    }

    #[test]
    fn what_is_short_comes_back_as_it_was() {
        let mut held = Held::default();
        held.take(true, b"out\n");
        held.take(false, b"err\n");
        held.take(true, b"");
        assert_eq!(given(held), [(true, "out\n".to_owned()), (false, "err\n".to_owned())]);
        assert!(given(Held::default()).is_empty());
    }

    #[test]
    fn of_what_is_long_the_beginning_and_the_end_come_back() {
        let mut held = Held::within(100, 200);
        for number in 0..1000 {
            held.take(number % 2 == 0, format!("{number:06}\n").as_bytes());
        }
        let pieces = given(held);
        assert_eq!(pieces[..2], [(true, "000000\n".to_owned()), (false, "000001\n".to_owned())]);
        assert_eq!(pieces.last().unwrap(), &(false, "000999\n".to_owned()));
        let told: Vec<&String> =
            pieces.iter().map(|(_, text)| text).filter(|text| text.contains('…')).collect();
        let lost: usize = told[0].split(' ').nth(1).unwrap().parse().unwrap();
        let there: usize = pieces.iter().map(|(_, text)| text.len()).sum::<usize>() - told[0].len();
        assert_eq!((told.len(), lost + there), (1, 7000), "what is left out is counted");
        assert!(there <= 500, "{there}");
    }

    #[test]
    fn one_long_piece_comes_back_in_parts() {
        let mut held = Held::within(10, 1 << 20);
        let long = vec![b'x'; 200_000];
        held.take(true, &long);
        let pieces = given(held);
        assert_eq!(pieces.iter().map(|(_, text)| text.len()).sum::<usize>(), 200_000);
    }
}
