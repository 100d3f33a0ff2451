//! Archives that `ADD` unpacks.
//!
//! Follows `pkg/archive`'s `Unpack`: what is in the way is replaced, a folder on a folder aside; `--chown` is for the
//! folders on the way, and what is unpacked keeps its owners. An
//! archive is read as a stranger's: names stay within the image's root, links too, and nothing of it is
//! made on this machine's disk but one plain copy of its bytes.

use std::io::{self, Read};

use fs_err as fs;

use super::copy::{Rules, Target};
use super::patch::{Content, Patch};
use crate::embedded::layer::index::{Entry, Kind, join, name, parent};
use crate::embedded::layer::layers::unpacked;
use crate::embedded::layer::tarball::Tarball;
use crate::embedded::layer::{compress, scan};
use crate::embedded::store::Store;
use crate::embedded::trouble::{During, Result, refusal};

/// No archive has more entries.
const MOST_ENTRIES: usize = 2_000_000;
/// An entry that a person may unpack has no more parts: each level costs all below it a look-up.
const DEEPEST: usize = 512;
/// Look-ups for all entries together: a level costs one for each above it.
const MOST_LOOKUPS: usize = 1_000_000_000;
/// Bytes of names of all entries together, of folders that none of them is included.
const MOST_NAMES: usize = 512 << 20;

/// True if bytes begin an archive that docker would unpack.
pub fn is_one(bytes: &mut dyn Read) -> io::Result<bool> {
    let (_, plain) = compress::plain(bytes)?;
    Ok(matches!(Tarball::new(plain).next(), Ok(Some(_))))
}

/// The plain bytes of an archive, in a file that goes when it is dropped.
pub fn spread(store: &Store, bytes: &mut dyn Read) -> Result<tempfile::TempPath> {
    let (_, file) = unpacked(store, bytes).during(|| "unpacking an archive".into())?;
    Ok(file.into_temp_path())
}

/// Unpacks a plain archive below a folder.
pub fn unpack(patch: &mut Patch<'_>, spot: &tempfile::TempPath, to: &Target, rules: &Rules) -> Result<()> {
    let what = || "unpacking an archive".to_owned();
    let folder = patch.resolve(&to.path)?;
    patch.folders(&folder, rules.owner)?;
    let file = io::BufReader::with_capacity(128 << 10, fs::File::open(spot).during(what)?);
    let mut tarball = Tarball::new(file);
    let (mut count, mut lookups) = (0, 0);
    while let Some(head) = tarball.next().during(what)? {
        count += 1;
        if count > MOST_ENTRIES {
            return Err(refusal(what(), format!("it has more than {MOST_ENTRIES} entries")));
        }
        // What a layer would read as a whiteout is no file here either.
        let entry = scan::entry(&head, &mut tarball).map_err(|why| refusal(what(), why))?;
        let Some(entry) = entry else { continue };
        if entry.kind == Kind::Gone || entry.is_implied() {
            continue;
        }
        let depth = entry.path.split(|byte| *byte == b'/').count();
        lookups += depth * depth;
        if depth > DEEPEST || lookups > MOST_LOOKUPS {
            return Err(refusal(what(), "its folders lie too deep"));
        }
        if patch.weight() > MOST_NAMES {
            return Err(refusal(what(), format!("its names take more than {} MiB", MOST_NAMES >> 20)));
        }
        put(patch, spot, &folder, entry, rules)?;
    }
    Ok(())
}

fn put(
    patch: &mut Patch<'_>,
    spot: &tempfile::TempPath,
    folder: &[u8],
    entry: Entry,
    rules: &Rules,
) -> Result<()> {
    if entry.path.is_empty() {
        return Ok(());
    }
    let inner = parent(&entry.path).to_vec();
    let above = patch.resolve(&join(folder, &inner))?;
    patch.folders(&above, None)?;
    let path = join(&above, name(&entry.path));
    let there = patch.get(&path);
    let own = join(folder, &entry.path);
    let mut inode = None;
    let mut content = None;
    match &entry.kind {
        Kind::File { at, .. } => {
            content = Some(Content::Spot(spot.to_path_buf(), *at));
            inode = Some((rules.number, usize::MAX, own));
        }
        Kind::Hard(target) => {
            let target = join(folder, target);
            let at = join(&patch.resolve(parent(&target))?, name(&target));
            let Some(named) = patch.named(&at) else {
                let shown = String::from_utf8_lossy(&entry.path).into_owned();
                return Err(refusal(
                    format!("unpacking `{shown}`"),
                    "it is a link to a file that is not there",
                ));
            };
            patch.replace(&path, there.as_ref(), false);
            // A name of a file has a header of its own, and the last header counts for the file.
            let (mode, uid, gid) = (entry.mode, entry.uid, entry.gid);
            let file = Entry { mode, uid, gid, ..named.0 };
            patch.put(Entry { path: at, ..file.clone() }, named.1.clone(), named.2.clone());
            patch.put(Entry { path, ..file }, named.1, named.2);
            return Ok(());
        }
        _ => {}
    }
    patch.replace(&path, there.as_ref(), entry.is_folder());
    patch.put(Entry { path, ..entry }, content, inode);
    Ok(())
}
