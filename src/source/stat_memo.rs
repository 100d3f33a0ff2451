//! Answers in the stat cache, and the folders that they rest on.
//!
//! Knows the bytes of an answer; folders are numbers here.

use super::tree::Selected;
use crate::model::hash::ContentHash;

/// Marks the index of a wildcard that matched nothing, among those of sources that are missing.
const EMPTY: u32 = 1 << 31;

/// An answer and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memo {
    /// Hash of the question.
    pub key: ContentHash,
    /// The answer.
    pub selected: Selected,
    /// How many times the file was written since someone asked.
    pub age: u8,
    /// The folders that were listed for it, as ranges of numbers.
    pub folders: Vec<(u32, u32)>,
}

/// Writes an answer behind those before it.
pub(super) fn write_memo(bytes: &mut Vec<u8>, memo: &Memo) {
    bytes.extend(memo.key.0);
    bytes.extend(memo.selected.hash.0);
    bytes.extend(memo.selected.count.to_le_bytes());
    bytes.extend(memo.selected.bytes.to_le_bytes());
    let mut word = |word: u32| bytes.extend(word.to_le_bytes());
    word(memo.age.into());
    word((memo.selected.missing.len() + memo.selected.empty.len()) as u32);
    word(memo.folders.len() as u32);
    memo.selected.missing.iter().for_each(|index| word(*index as u32));
    memo.selected.empty.iter().for_each(|index| word(*index as u32 | EMPTY));
    for (first, end) in &memo.folders {
        word(*first);
        word(*end);
    }
}

/// Reads so many answers; `None` when there are not so many.
pub(super) fn read_memos(mut bytes: &[u8], count: usize) -> Option<Vec<Memo>> {
    let mut take = |length: usize| {
        let (head, tail) = bytes.split_at_checked(length)?;
        bytes = tail;
        Some(head)
    };
    let mut memos = Vec::new();
    for _ in 0..count {
        let fixed = take(92)?;
        let word = |index: usize| u32_at(fixed, 80 + 4 * index);
        let unmatched = take(4 * word(1) as usize)?;
        let unmatched = unmatched.chunks_exact(4).map(|at| u32_at(at, 0));
        let (empty, missing): (Vec<u32>, Vec<u32>) = unmatched.partition(|index| index & EMPTY != 0);
        let folders = take(8 * word(2) as usize)?;
        let hash = |at: usize| Some(ContentHash(fixed[at..at + 32].try_into().ok()?));
        memos.push(Memo {
            key: hash(0)?,
            selected: Selected {
                hash: hash(32)?,
                missing: missing.into_iter().map(|index| index as usize).collect(),
                empty: empty.into_iter().map(|index| (index & !EMPTY) as usize).collect(),
                count: u64_at(fixed, 64),
                bytes: u64_at(fixed, 72),
            },
            age: u8::try_from(word(0)).ok()?,
            folders: folders.chunks_exact(8).map(|at| (u32_at(at, 0), u32_at(at, 4))).collect(),
        });
    }
    Some(memos)
}

/// A little-endian number in some bytes.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// A little-endian number in some bytes.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// A little-endian number in some bytes.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
