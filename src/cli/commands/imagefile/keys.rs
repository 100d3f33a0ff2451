//! `imk keys`: every key of an Imagefile with its meaning.

use clap::Args as Group;

use crate::cli::failure::Failure;
use crate::cli::out;
use crate::syntax::imagefile::{
    ENGINE_KEYS, GIT_KEYS, IMAGE_KEYS, LOG_KEYS, NOTICE_KEYS, ON_PUBLISH_KEYS, RUN_FACTS, RUN_KEYS,
    SERVICE_KEYS, STEPS, TEST_KEYS, TOP_KEYS,
};
use crate::syntax::on_publish::PUBLICATION_FACTS;
use crate::syntax::tag::{FACTS, WHEN_KEYS};

const EXAMPLES: &str = "\
imk keys                         every key of an Imagefile with its meaning";

/// Explain every key of an Imagefile
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct KeysArgs {}

pub fn run() -> Result<(), Failure> {
    out::line(format_args!(
        "An Imagefile.ron is one value in parentheses: (images: {{\"web\": (context: \"web\")}})"
    ));
    out::line("");
    table("Its keys", TOP_KEYS);
    out::line("");
    table("The keys of an image, of a template and of `defaults`", IMAGE_KEYS);
    out::line("");
    table("The keys of `run`, of its commands and variants", RUN_KEYS);
    out::line("");
    table("What texts of a run can hold besides text and variables", RUN_FACTS);
    out::line("");
    table("The keys of `log`", LOG_KEYS);
    out::line("");
    table("The keys of a test", TEST_KEYS);
    out::line("");
    table("The keys of a service of a test", SERVICE_KEYS);
    out::line("");
    table("The keys of `on_publish`", ON_PUBLISH_KEYS);
    out::line("");
    table("The keys of a notice", NOTICE_KEYS);
    out::line("");
    table("Variables of commands and facts of notices", PUBLICATION_FACTS);
    for (step, keys) in STEPS.iter().filter(|(_, keys)| !keys.is_empty()) {
        out::line("");
        table(&format!("The keys of the step {step}(…)"), keys);
    }
    out::line("");
    table("The keys of Git(…), which an overlay or a context can be", GIT_KEYS);
    out::line("");
    table("The keys of an engine", ENGINE_KEYS);
    out::line("");
    table("What a tag can hold besides text and variables", FACTS);
    out::line("");
    table("The keys of a rule for tags, When(branch: \"main\", tag: \"latest\")", WHEN_KEYS);
    Ok(())
}

fn table(title: &str, keys: &[(&str, &str)]) {
    out::line(format_args!("{title}:"));
    for (key, meaning) in keys {
        out::line(format_args!("  {key:<13} {meaning}"));
    }
}
