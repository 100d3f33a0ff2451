//! Hashes a large file on all processors, each reading and hashing other pieces of it.
//!
//! BLAKE3 is a tree: the hash of the whole is made of those of its halves, wherever they were hashed. The file is read
//! and not mapped, since one that shrinks would end the process that has it mapped. Whether it changed meanwhile is
//! the caller's to see, by its stat before and after. Uses threads of its own: whoever waits for a thread of rayon's
//! pool does other work meanwhile, and that could want what the waiting one holds.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use parking_lot::Mutex;

use crate::model::hash::ContentHash;

/// Bytes that one thread hashes in one go.
const PIECE: u64 = 16 * 1024 * 1024;
/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;
/// Files of fewer bytes are read faster than threads are started.
pub const LARGE: u64 = 2 * PIECE;

/// The hash of the first `size_bytes` of a file, of which there must be more than two pieces.
///
/// # Errors
/// When it cannot be read, or is shorter.
pub fn hash(file: &File, size_bytes: u64) -> Result<ContentHash> {
    in_pieces(file, size_bytes, PIECE)
}

fn in_pieces(file: &File, size_bytes: u64, piece: u64) -> Result<ContentHash> {
    let mut pieces = Vec::new();
    cut(0, size_bytes, piece, &mut pieces);
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![None; pieces.len()]);
    let work = || -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((offset, length)) = pieces.get(number) else { return Ok(()) };
            let value = subtree(file, *offset, *length, &mut buffer)?;
            found.lock()[number] = Some(value);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .fold(own, Result::and)
    })?;
    let mut values = found.into_inner().into_iter().flatten();
    let left = left_subtree_len(size_bytes);
    let halves = [left, size_bytes - left].map(|length| merged(length, piece, &mut values));
    let [Some(left), Some(right)] = halves else { return Err(Error::other("a piece was not hashed")) };
    Ok(ContentHash(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()))
}

/// Cuts a subtree into pieces as the tree has them: the root always, others as long as they are too long.
fn cut(offset: u64, length: u64, piece: u64, pieces: &mut Vec<(u64, u64)>) {
    if length <= piece {
        pieces.push((offset, length));
        return;
    }
    let left = left_subtree_len(length);
    cut(offset, left, piece, pieces);
    cut(offset + left, length - left, piece, pieces);
}

/// The value of a subtree, of those of its pieces in order.
fn merged(
    length: u64,
    piece: u64,
    values: &mut impl Iterator<Item = ChainingValue>,
) -> Option<ChainingValue> {
    if length <= piece {
        return values.next();
    }
    let left = left_subtree_len(length);
    let (first, second) = (merged(left, piece, values)?, merged(length - left, piece, values)?);
    Some(merge_subtrees_non_root(&first, &second, Mode::Hash))
}

fn subtree(file: &File, offset: u64, length: u64, buffer: &mut [u8]) -> Result<ChainingValue> {
    let mut hasher = Hasher::new();
    hasher.set_input_offset(offset);
    let mut done = 0;
    while done < length {
        let room = usize::try_from(length - done).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_at(&mut buffer[..room], offset + done) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                done += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finalize_non_root())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_hash_is_that_of_the_whole_wherever_it_is_cut() {
        const STEP: u64 = 4096;
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..100_000u32).map(|number| (number * 31 % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let whole = |length: u64| ContentHash(*blake3::hash(&bytes[..length as usize]).as_bytes());
        let around = [STEP, 2 * STEP, 3 * STEP, 4 * STEP, 16 * STEP, 17 * STEP, 65_536].into_iter();
        for length in around.flat_map(|at| [at + 1, at + 1023, at + 1024, at + 1025]).chain([100_000]) {
            assert_eq!(in_pieces(&file, length, STEP).unwrap(), whole(length), "{length} bytes");
        }
        assert_eq!(in_pieces(&file, 100_001, STEP).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn pieces_of_the_real_size_come_to_the_same() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes = vec![7; (LARGE + 12_345) as usize];
        file.write_all(&bytes).unwrap();
        assert_eq!(hash(&file, LARGE + 12_345).unwrap(), ContentHash(*blake3::hash(&bytes).as_bytes()));
    }
}
