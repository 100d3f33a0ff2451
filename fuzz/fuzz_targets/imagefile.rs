//! Any Imagefile is read or refused with places inside the text, without panic.

#![no_main]

use imk::syntax::imagefile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(errors) = imagefile::read(text, &Default::default()) {
        assert!(!errors.is_empty());
        assert!(errors.iter().all(|error| text.get(error.span.start..error.span.end).is_some()));
    }
});
