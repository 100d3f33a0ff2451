//! Links in the documents lead somewhere, and Imagefiles in them are ones.
//!
//! Knows just enough of Markdown: headings, fences, remarks and inline links. Asks no network.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// A fenced block.
pub struct Block<'a> {
    pub language: &'a str,
    pub text: &'a str,
    /// The comment directly above it, or nothing.
    pub remark: &'a str,
    /// The line of its fence, the first being 1.
    pub line: usize,
}

/// The README and every page of `docs/`.
pub fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.sort();
    pages.insert(0, root.join("README.md"));
    pages
}

/// The pages and the documents for people who change imk.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let others = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    pages().into_iter().chain(others.map(|name| root.join(name))).collect()
}

/// The fenced blocks of a document.
pub fn blocks(document: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut remark = "";
    let mut open: Option<(&str, usize, usize)> = None;
    let mut at = 0;
    for (number, line) in document.split_inclusive('\n').enumerate() {
        let next = at + line.len();
        match (open, line.trim_end().strip_prefix("```")) {
            (None, Some(language)) => open = Some((language, next, number + 1)),
            (Some((language, start, line)), Some("")) => {
                blocks.push(Block { language, text: &document[start..at], remark, line });
                open = None;
                remark = "";
            }
            (None, None) => {
                let comment = line.trim().strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                remark = comment.unwrap_or_default();
            }
            (Some(_), _) => {}
        }
        at = next;
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// The lines of a document outside its fenced blocks, with their numbers.
fn prose(document: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut prose = Vec::new();
    for (number, line) in document.lines().enumerate() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            prose.push((number + 1, line));
        }
    }
    prose
}

/// Where the inline links of a line lead. What is in backticks is no link.
fn links(line: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for (index, text) in line.match_indices("](") {
        let is_code = line[..index].matches('`').count() % 2 == 1;
        let rest = &line[index + text.len()..];
        if let (false, Some(end)) = (is_code, rest.find(')')) {
            links.push(&rest[..end]);
        }
    }
    links
}

/// The anchors of a document's headings, as forges make them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = prose(document).into_iter().filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.strip_prefix(' ')).flatten()
    });
    let anchor = |title: &str| -> String {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
        kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for (number, line) in prose(&text) {
            for link in links(line) {
                let (path, anchor) = link.split_once('#').map_or((link, None), |(p, a)| (p, Some(a)));
                if path.contains("://") {
                    continue;
                }
                let target = match path {
                    "" => document.clone(),
                    path => document.parent().unwrap().join(path),
                };
                let found = target.exists()
                    && anchor.is_none_or(|anchor| {
                        anchors(&fs::read_to_string(&target).unwrap_or_default()).contains(anchor)
                    });
                if !found {
                    broken.push(format!("{}:{number}: {link}", document.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn the_index_of_the_documentation_has_every_page() {
    let index = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/README.md")).unwrap();
    for page in pages().iter().skip(1) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "docs/README.md lacks {name}");
    }
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(pages().remove(0)).unwrap();
    assert!(readme.len() <= 10_000, "{} bytes: move some of it to docs/", readme.len());
}

#[test]
fn imagefiles_of_pages_are_imagefiles() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in blocks(&text).iter().filter(|block| block.language == "ron") {
            if page.ends_with("docs/configuration.md") {
                imk::syntax::user_config::read(block.text).unwrap();
                continue;
            }
            // A key alone stands for an image that has it.
            let whole = match block.text.starts_with('(') {
                true => block.text.to_owned(),
                false => format!("(images: {{\"web\": ({})}})", block.text),
            };
            if let Err(error) = imk::syntax::imagefile::read(&whole, &Default::default()) {
                panic!("{}:{}: {error:?}", page.display(), block.line);
            }
            count += 1;
        }
    }
    assert!(count >= 4);
}

#[test]
fn what_is_read_of_markdown() {
    let text = "# A `b` c!\n<!-- how -->\n```sh\nx](y)\n```\n[a](b.md#c) `[d](e)`\n";
    let blocks = blocks(text);
    assert_eq!((blocks[0].language, blocks[0].remark, blocks[0].text), ("sh", "how", "x](y)\n"));
    assert_eq!(prose(text).iter().flat_map(|(_, line)| links(line)).collect::<Vec<_>>(), ["b.md#c"]);
    assert!(anchors(text).contains("a-b-c"));
}
