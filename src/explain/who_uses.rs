//! Users of a file, or of an image: the instructions that read the one, and all that is built on the other.
//!
//! Looks at the used files of every source of every image, one source at a
//! time. Decides nothing about freshness.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde::Serialize;

use crate::explain::line::{self, InstructionLine};
use crate::model::file::UsedFiles;
use crate::query::graph::bases;
use crate::query::inputs::Text;
use crate::query::recipe::recipe;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::source::tree::{ReadError, Selection};
use crate::syntax::error::Span;
use crate::syntax::glob::is_within;
use crate::syntax::reads::{ReadSource, Reads};

/// An image that reads a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// The image.
    pub image: String,
    /// The instructions; none when the file is its Dockerfile.
    pub by: Vec<InstructionLine>,
}

/// An image that is built on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependent {
    /// The image.
    pub image: String,
    /// The way down to the base, which comes last; two names when it is named itself.
    pub way: Vec<String>,
    /// The instruction that names the first base of the way.
    pub by: Option<InstructionLine>,
}

/// Looks at what instructions read, each list of files once.
pub struct Reading<'a> {
    pub(super) session: &'a Session,
    pub(super) synced: &'a Synced,
    lists: RefCell<HashMap<Selection, Rc<UsedFiles>>>,
}

impl<'a> Reading<'a> {
    /// Of the images of a session.
    pub fn new(session: &'a Session, synced: &'a Synced) -> Self {
        Self { session, synced, lists: RefCell::default() }
    }

    /// The images that read what is at `path`, or in the folder there.
    ///
    /// # Errors
    /// When a context cannot be read.
    pub fn readers(&self, path: &str) -> Result<Vec<Reader>, ReadError> {
        let mut readers = Vec::new();
        for name in &self.synced.order.names {
            let image = self.session.input(name);
            let is_recipe = image.is_some_and(|image| image.paths(&self.session.db).dockerfile == path);
            let by = self.read_by(name, path)?;
            if is_recipe || !by.is_empty() {
                readers.push(Reader { image: name.clone(), by });
            }
        }
        Ok(readers)
    }

    /// The instructions of an image that read what is at `path`.
    ///
    /// # Errors
    /// When its context cannot be read.
    pub fn read_by(&self, name: &str, path: &str) -> Result<Vec<InstructionLine>, ReadError> {
        let db = &self.session.db;
        let (Some(image), Some(selection)) = (self.session.input(name), self.synced.selections.get(name))
        else {
            return Ok(Vec::new());
        };
        let (Ok(recipe), Text::Is(text)) = (recipe(db, image), image.dockerfile(db)) else {
            return Ok(Vec::new());
        };
        let mut places: Vec<InstructionLine> = Vec::new();
        for (_, part) in selection.parts() {
            for source in &part.reads.sources {
                let place = line::around(recipe, &image.paths(db).dockerfile, text, source.span);
                if !places.contains(&place) && self.takes(part, source, path)? {
                    places.push(place);
                }
            }
        }
        Ok(places)
    }

    /// Does one source use what is at `path`, or something in it?
    pub(super) fn takes(
        &self,
        whole: &Selection,
        source: &ReadSource,
        path: &str,
    ) -> Result<bool, ReadError> {
        let inside = match whole.root.as_str() {
            "" => Some(path),
            root if is_within(root, path) => Some(""),
            root => path.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')),
        };
        let Some(inside) = inside else { return Ok(false) };
        // Two instructions that read the same are one question, wherever they stand.
        let source = ReadSource { span: Span::default(), ..source.clone() };
        let files = self.files(Selection { reads: Reads { sources: vec![source] }, ..whole.alone() })?;
        Ok(files.files.iter().any(|file| file.counts && (inside.is_empty() || is_within(&file.path, inside))))
    }

    /// The files behind a selection.
    pub(super) fn files(&self, selection: Selection) -> Result<Rc<UsedFiles>, ReadError> {
        if let Some(known) = self.lists.borrow().get(&selection) {
            return Ok(Rc::clone(known));
        }
        let files = Rc::new(self.session.executor.tree.used_files(&selection)?);
        self.lists.borrow_mut().insert(selection, Rc::clone(&files));
        Ok(files)
    }
}

/// The images built on a base, nearest first.
pub fn dependents(session: &Session, synced: &Synced, base: &str) -> Vec<Dependent> {
    let mut ways: BTreeMap<&str, Vec<String>> = BTreeMap::from([(base, vec![base.to_owned()])]);
    let mut users = Vec::new();
    // In building order every base is settled before its users are asked.
    for name in &synced.order.names {
        let on = synced.order.bases.get(name).into_iter().flatten();
        let nearest = on.filter_map(|base| ways.get(base.as_str())).min_by_key(|way| way.len());
        let Some(way) = nearest.filter(|_| name != base) else { continue };
        let way: Vec<String> = std::iter::once(name).chain(way).cloned().collect();
        ways.insert(name, way.clone());
        let by = names_base(session, name, &way[1]);
        users.push(Dependent { image: name.clone(), way, by });
    }
    users.sort_by_key(|user| user.way.len());
    users
}

fn names_base(session: &Session, name: &str, base: &str) -> Option<InstructionLine> {
    let image = session.input(name)?;
    let edge = bases(&session.db, image).inside.iter().find(|edge| edge.base == base)?;
    let recipe = recipe(&session.db, image).as_ref().ok()?;
    let used = recipe.bases.iter().find(|used| used.reference == edge.reference)?;
    let Text::Is(text) = image.dockerfile(&session.db) else { return None };
    Some(line::at(&image.paths(&session.db).dockerfile, text, used.spans.first()?.start))
}
