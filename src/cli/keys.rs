//! `imk keys`: every key of an Imagefile with its meaning.

use super::failure::Failure;
use crate::syntax::imagefile::{IMAGE_KEYS, TOP_KEYS};

pub fn run() -> Result<(), Failure> {
    anstream::println!(
        "An Imagefile.ron is one value in parentheses: (images: {{\"web\": (context: \"web\")}})\n"
    );
    table("Its keys", TOP_KEYS);
    anstream::println!();
    table("The keys of an image, of a template and of `defaults`", IMAGE_KEYS);
    Ok(())
}

fn table(title: &str, keys: &[(&str, &str)]) {
    anstream::println!("{title}:");
    for (key, meaning) in keys {
        anstream::println!("  {key:<12} {meaning}");
    }
}
