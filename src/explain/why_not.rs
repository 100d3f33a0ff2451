//! Why a file does not count for an image: the rule that says so.
//!
//! Goes through the rules in the order in which BuildKit would meet them, and
//! compares what is read with the evidence of the last build. Makes no words.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::explain::line::{self, InstructionLine};
use crate::explain::who_uses::Reading;
use crate::model::reason::{Code, Reason};
use crate::query::action_key::known_parts;
use crate::query::inputs::{Image, Text};
use crate::query::recipe::{of_stage, recipe};
use crate::session::open::{STATE, Session};
use crate::session::sync::{Synced, selection};
use crate::session::{overlays, project};
use crate::source::tree::ReadError;
use crate::state::evidence::Evidence;
use crate::syntax::reads::ReadSource;
use crate::syntax::resolve::Recipe;
use crate::syntax::{dockerfile, dockerignore, glob};

/// The bearing of a file on an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// It does not count.
    DoesNotCount(Rule),
    /// It counts, for the image or for a base of it, and is not as it was at the last build.
    Counts {
        /// The image whose input it is.
        image: String,
        /// The instructions that read it; none for a Dockerfile or an Imagefile.
        by: Vec<InstructionLine>,
        /// The difference; `None` before the first build.
        reason: Option<Reason>,
    },
}

/// Why it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It is imk's own state.
    OwnState,
    /// It lies outside the context, which is this folder.
    Outside { context: String },
    /// The ignore file keeps it from the engine, by this line.
    Ignored { file: String, line: usize, pattern: String },
    /// An ignore file counts by what it lets through, and not by its text.
    IgnoreFile,
    /// `--exclude` of this instruction leaves it out, and nothing else reads it.
    Excluded { by: InstructionLine },
    /// Only a stage that the target does not reach reads it.
    OtherStage { by: InstructionLine, stage: String, target: String },
    /// No instruction reads it; this one comes nearest.
    Unread { nearest: Option<InstructionLine> },
    /// The Dockerfile says what it said at the last build: comments, blanks, joins and stages not reached aside.
    SameRecipe,
    /// The Imagefile, or its lock file, says of this image what it said at the last build.
    SameOptions,
    /// It is read, and content and mode are those of the last build; time and owner do not count.
    AsBuilt { image: String, by: Vec<InstructionLine> },
}

/// An image's last build beside what it is now.
struct Last {
    evidence: Evidence,
    changed: Vec<Reason>,
}

/// The rules, with what was looked up once for all files.
struct Rules<'a> {
    reading: Reading<'a>,
    last: RefCell<HashMap<String, Option<Rc<Last>>>>,
}

/// The bearing of each of some files on an image and on all that the image is built on.
///
/// # Errors
/// When a context cannot be read.
pub fn bearings<'a>(
    session: &Session,
    synced: &Synced,
    name: &str,
    paths: impl IntoIterator<Item = &'a String>,
) -> Result<BTreeMap<&'a str, Bearing>, ReadError> {
    let rules = Rules { reading: Reading::new(session, synced), last: RefCell::default() };
    paths.into_iter().map(|path| Ok((path.as_str(), rules.bearing(name, path)?))).collect()
}

impl Rules<'_> {
    fn bearing(&self, name: &str, path: &str) -> Result<Bearing, ReadError> {
        let own = self.own_bearing(name, path)?;
        if matches!(
            own,
            Bearing::Counts { .. } | Bearing::DoesNotCount(Rule::AsBuilt { .. } | Rule::OwnState)
        ) {
            return Ok(own);
        }
        let mut on: Vec<&String> = Vec::new();
        let mut todo: Vec<&str> = vec![name];
        while let Some(next) = todo.pop() {
            for base in self.reading.synced.order.bases.get(next).into_iter().flatten() {
                if !on.contains(&base) {
                    on.push(base);
                    todo.push(base);
                }
            }
        }
        let (mut read, mut nearer) = (None, None);
        for base in on {
            match self.own_bearing(base, path)? {
                counts @ Bearing::Counts { .. } => return Ok(counts),
                as_built @ Bearing::DoesNotCount(Rule::AsBuilt { .. }) => read = Some(as_built),
                Bearing::DoesNotCount(Rule::Outside { .. }) => {}
                inside @ Bearing::DoesNotCount(_) => nearer = nearer.or(Some(inside)),
            }
        }
        // A base that could read the file has more to say than an image that never could.
        let is_outside = matches!(own, Bearing::DoesNotCount(Rule::Outside { .. }));
        Ok(read.or(nearer.filter(|_| is_outside)).unwrap_or(own))
    }

    fn own_bearing(&self, name: &str, path: &str) -> Result<Bearing, ReadError> {
        let does_not = |rule| Ok(Bearing::DoesNotCount(rule));
        if glob::is_within(path, STATE) {
            return does_not(Rule::OwnState);
        }
        let by = self.reading.read_by(name, path)?;
        let changed = |codes: &[Code]| self.changed_since_built(name, codes);
        let Some(image) = self.reading.session.input(name) else {
            return does_not(Rule::Unread { nearest: None });
        };
        let paths = image.paths(&self.reading.session.db);
        let inside = below(&paths.context, path);
        if !by.is_empty() || self.was_read(name, inside) {
            let is_it =
                |reason: &&Reason| inside.is_some_and(|inside| glob::is_within(&reason.subject, inside));
            let reasons = changed(&[Code::File]);
            return Ok(match reasons {
                None => Bearing::Counts { image: name.to_owned(), by, reason: None },
                Some(reasons) => match reasons.iter().find(is_it) {
                    Some(reason) => {
                        Bearing::Counts { image: name.to_owned(), by, reason: Some(reason.clone()) }
                    }
                    None => Bearing::DoesNotCount(Rule::AsBuilt { image: name.to_owned(), by }),
                },
            });
        }
        let imagefile = self.reading.session.project.imagefile.as_deref();
        for (is_it, codes, rule) in [
            (path == paths.dockerfile, vec![Code::Dockerfile, Code::Arg, Code::Upstream], Rule::SameRecipe),
            (Some(path) == imagefile, vec![Code::Config, Code::Arg, Code::Upstream], Rule::SameOptions),
            (path == project::lock_path(imagefile), vec![Code::Upstream], Rule::SameOptions),
        ] {
            if is_it {
                let reason = changed(&codes);
                let counts = reason.as_ref().is_none_or(|reasons| !reasons.is_empty());
                let reason = reason.and_then(|reasons| reasons.into_iter().next());
                let by = Vec::new();
                return Ok(match counts {
                    true => Bearing::Counts { image: name.to_owned(), by, reason },
                    false => Bearing::DoesNotCount(rule),
                });
            }
        }
        self.rule(image, path, inside).map(Bearing::DoesNotCount)
    }

    /// The rule by which a file that the image does not read is left out.
    fn rule(&self, image: Image, path: &str, inside: Option<&str>) -> Result<Rule, ReadError> {
        let paths = image.paths(&self.reading.session.db);
        let own_ignore = format!("{}.dockerignore", paths.dockerfile);
        let common_ignore = crate::model::name::join(&paths.context, ".dockerignore");
        if path == own_ignore || path == common_ignore {
            return Ok(Rule::IgnoreFile);
        }
        let Some(inside) = inside else { return Ok(Rule::Outside { context: paths.context.clone() }) };
        let (Ok(recipe), Text::Is(text)) =
            (recipe(&self.reading.session.db, image), image.dockerfile(&self.reading.session.db))
        else {
            return Ok(Rule::Unread { nearest: None });
        };
        let whole = selection(
            &*self.reading.session.executor.tree,
            &paths.dockerfile,
            &paths.context,
            &recipe.reads,
            overlays::overlays(self.reading.session, image.name(&self.reading.session.db))
                .unwrap_or_default(),
        )?;
        if let Some(ignore) = &whole.ignore
            && let Some((line, pattern)) = dockerignore::deciding(ignore, inside)
        {
            let has_own = self.reading.session.executor.tree.read(&own_ignore)?.is_some();
            let file = if has_own { own_ignore } else { common_ignore };
            return Ok(Rule::Ignored { file, line, pattern });
        }
        let here =
            |recipe: &Recipe, source: &ReadSource| line::around(recipe, &paths.dockerfile, text, source.span);
        for source in recipe.reads.sources.iter().filter(|source| !source.exclude.is_empty()) {
            let all = ReadSource { exclude: Vec::new(), ..source.clone() };
            if self.reading.takes(&whole, &all, path)? {
                return Ok(Rule::Excluded { by: here(recipe, source) });
            }
        }
        let stages = dockerfile::parse(text).map(|file| file.stages).unwrap_or_default();
        let reached = |index: usize| recipe.stages.iter().any(|stage| stage.index == index);
        for index in (0..stages.len()).filter(|index| !reached(*index)) {
            let Ok(other) = of_stage(&self.reading.session.db, image, index) else { continue };
            for source in &other.reads.sources {
                if self.reading.takes(&whole, source, path)? {
                    let named = |name: Option<&String>, index: usize| {
                        name.map_or_else(|| index.to_string(), |name| format!("`{name}`"))
                    };
                    let stage = named(stages[index].name.as_ref().map(|name| &name.text), index);
                    let target = named(recipe.target.name.as_ref(), recipe.target.index);
                    return Ok(Rule::OtherStage { by: here(&other, source), stage, target });
                }
            }
        }
        // The one that shares the most of the path; of those that share nothing, none comes near.
        let shared = |source: &ReadSource| {
            let start = source.start();
            let parts = start.split('/');
            parts.zip(inside.split('/')).take_while(|(a, b)| a == b).count()
        };
        let nearest = recipe.reads.sources.iter().max_by_key(|source| shared(source));
        let nearest = nearest.filter(|source| shared(source) > 0).or(recipe.reads.sources.first());
        Ok(Rule::Unread { nearest: nearest.map(|source| here(recipe, source)) })
    }

    /// The differences from the last build, of these kinds; `None` when none is remembered.
    fn changed_since_built(&self, name: &str, codes: &[Code]) -> Option<Vec<Reason>> {
        let last = self.last(name)?;
        Some(last.changed.iter().filter(|reason| codes.contains(&reason.code)).cloned().collect())
    }

    /// Was something there read at the last build?
    fn was_read(&self, name: &str, inside: Option<&str>) -> bool {
        let (Some(inside), Some(last)) = (inside, self.last(name)) else { return false };
        last.evidence.files.iter().any(|file| glob::is_within(&file.path, inside))
    }

    fn last(&self, name: &str) -> Option<Rc<Last>> {
        if let Some(known) = self.last.borrow().get(name) {
            return known.clone();
        }
        let last = self.look_up(name).map(Rc::new);
        self.last.borrow_mut().insert(name.to_owned(), last.clone());
        last
    }

    fn look_up(&self, name: &str) -> Option<Last> {
        let Reading { session, synced, .. } = &self.reading;
        let image = session.input(name)?;
        let record = session.executor.ledger.newest(|record| record.image == name)?;
        let evidence = session.executor.evidence.load(&record.key)?;
        let parts = recipe(&session.db, image).as_ref().map(|recipe| known_parts(&session.db, image, recipe));
        let files = synced.selections.get(name).and_then(|it| self.reading.files(it.clone()).ok());
        let now = Evidence::new(parts.unwrap_or_default(), &files.unwrap_or_default());
        let changed = evidence.differences(&now);
        Some(Last { evidence, changed })
    }
}

/// A path of the repository as the context has it; `None` when it lies outside.
fn below<'a>(context: &str, path: &'a str) -> Option<&'a str> {
    match context {
        "" => Some(path),
        context => path.strip_prefix(context).and_then(|rest| rest.strip_prefix('/')),
    }
}
