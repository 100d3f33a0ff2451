//! Any text is read, resolved and pinned without panic, and spans stay inside the text.

#![no_main]

use imk::syntax::{dockerfile, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = dockerfile::parse_trigger(text);
    let file = match dockerfile::parse(text) {
        Ok(file) => file,
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(errors.iter().all(|error| text.get(error.span.start..error.span.end).is_some()));
            return;
        }
    };
    let Ok(recipe) = resolve::resolve(&file, &resolve::Request::default()) else { return };
    for span in recipe.bases.iter().flat_map(|base| &base.spans) {
        assert!(text.get(span.start..span.end).is_some());
    }
    let pinned = recipe.pinned_by(text, |_| Some("localhost/pinned:1".into()));
    assert_eq!(pinned.matches('\n').count(), text.matches('\n').count());
});
