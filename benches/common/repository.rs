//! A generated repository: images of small files in nested folders, built on each other in five levels.
//!
//! The same numbers give the same bytes. Knows nothing of imk but its file names.

use fs_err as fs;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// Of a hundred images so many are on each level; another number of images is shared out alike.
const LEVELS: [usize; 5] = [1, 7, 13, 26, 53];
/// Files in a folder, on average.
const FILES_PER_FOLDER: usize = 19;
/// Folders that lie side by side before they nest.
const SIDE_BY_SIDE: usize = 7;

/// What is generated.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many images.
    pub images: usize,
    /// How many files each of them copies, its Dockerfile not counted.
    pub files: usize,
    /// Declared in an Imagefile, or left to be discovered.
    pub declared: bool,
}

impl Shape {
    /// The name of an image.
    pub fn name(number: usize) -> String {
        format!("image-{number:04}")
    }

    /// The image that an image is built on; the images of the first level on nothing.
    pub fn base(self, number: usize) -> Option<usize> {
        let mut below = 0..0;
        let mut share = 0;
        for level in LEVELS {
            share += level;
            let first = below.end;
            // Every level has an image, however few there are.
            let end = (share * self.images).div_ceil(100).max(first + 1);
            if number < end {
                return (!below.is_empty()).then(|| below.start + (number - first) % below.len());
            }
            below = first..end;
        }
        None
    }

    /// The Dockerfile of an image.
    pub fn dockerfile(self, number: usize) -> String {
        let base = self.base(number).map_or_else(|| "scratch".to_owned(), Self::name);
        format!("FROM {base}\nCOPY . /{}/\n", Self::name(number))
    }

    /// Paths of the files of an image, below its folder.
    pub fn files(self) -> impl Iterator<Item = String> {
        let folders = self.files.div_ceil(FILES_PER_FOLDER);
        (0..self.files).map(move |number| {
            let folder = number % folders;
            let outer = folder % SIDE_BY_SIDE;
            if folder < SIDE_BY_SIDE {
                format!("part-{outer}/file-{number:05}.txt")
            } else {
                format!("part-{outer}/piece-{folder:02}/file-{number:05}.txt")
            }
        })
    }

    /// Writes the repository; a root that is there already is taken to be one.
    pub fn write(self, root: &Path) -> io::Result<()> {
        if root.exists() {
            return Ok(());
        }
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut content = Vec::new();
        let mut imagefile = "(\n    prefix: \"imk-bench/\",\n    images: {\n".to_owned();
        for number in 0..self.images {
            let name = Self::name(number);
            let folder = root.join(&name);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("Dockerfile"), self.dockerfile(number))?;
            for path in self.files() {
                let path = folder.join(path);
                if let Err(error) = fs::write(&path, random.fill(&mut content)) {
                    let parent = path.parent().filter(|_| error.kind() == io::ErrorKind::NotFound);
                    fs::create_dir_all(parent.ok_or(error)?)?;
                    fs::write(&path, &content)?;
                }
            }
            let _ = writeln!(imagefile, "        {name:?}: (),");
        }
        if self.declared {
            fs::write(root.join("Imagefile.ron"), imagefile + "    },\n)\n")?;
        }
        Ok(())
    }
}

/// Marsaglia's xorshift: files need not be random, only different and incompressible.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A content of 1 to 2,047 bytes.
    fn fill<'a>(&mut self, content: &'a mut Vec<u8>) -> &'a [u8] {
        let size = 1 + (self.next() % 2047) as usize;
        content.clear();
        while content.len() < size {
            content.extend(self.next().to_le_bytes());
        }
        content.truncate(size);
        content
    }
}
