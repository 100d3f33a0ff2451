//! Images that instructions copy from or mount, noted with the words that name them.
//!
//! Finds no image: `names.rs` says what a word means.

use super::evaluate::{Here, Walk};
use super::names::Source;
use super::{BaseUse, How};
use crate::syntax::dockerfile::Word;
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::text::quoted;

impl Walk<'_> {
    /// Notes that a source is used; its canonical name does not depend on what it is called.
    ///
    /// # Errors
    /// When a trigger of the base names a context: its words are in the base, and cannot be replaced.
    pub fn used(
        &mut self,
        source: Source,
        how: How,
        word: &Word,
        here: &Here,
    ) -> Result<String, SyntaxError> {
        let leads_to = match &source {
            Source::Scratch => "scratch",
            Source::Image(name) => name,
            Source::Stage(_) | Source::Context(_) => &word.text,
        };
        if let Some(span) = here.brought_by.filter(|_| leads_to != word.text) {
            let name = quoted(&word.text);
            let message = format!(
                "an ONBUILD trigger of this base takes files from {name}, and a trigger cannot be given a named context"
            );
            let hint = "name the image itself in the base's trigger, and leave the context out here";
            return Err(SyntaxError::new(span, message).hint(hint));
        }
        let (reference, context) = match source {
            Source::Scratch => {
                self.sent_as_scratch(&word.text, word.span);
                return Ok("scratch".to_owned());
            }
            Source::Stage(index) => {
                return Ok(format!("stage:{}", self.places.get(&index).copied().unwrap_or(usize::MAX)));
            }
            Source::Image(name) => (name, false),
            Source::Context(name) => (name, true),
        };
        let place = self.recipe.bases.len();
        let spans = if here.brought_by.is_none() { vec![word.span] } else { Vec::new() };
        // What is copied from is an image for the target, whatever the stage is built for.
        let platform = self.recipe.platform.clone();
        let word = word.text.clone();
        self.recipe.bases.push(BaseUse { how, word, reference, platform, spans, stage: here.index, context });
        Ok(format!("base:{place}"))
    }

    /// Notes that a word is sent as `scratch`, where a context makes it mean that.
    pub fn sent_as_scratch(&mut self, word: &str, span: Span) {
        if word != "scratch" {
            self.recipe.rewrites.push((span, Some("scratch".to_owned())));
        }
    }
}
