//! `imk why IMAGE`: the chain of causes, from the image to the root.

use serde_json::json;

use super::args::{Global, Targets, WhyArgs};
use super::failure::Failure;
use super::{out, plan, words};
use crate::drive::why::Chain;

pub fn run(global: &Global, args: &WhyArgs) -> Result<(), Failure> {
    let targets = Targets { words: vec![args.image.clone()] };
    let (session, synced, planned) = plan::planned(global, &targets, false, None)?;
    plan::mistakes(&session, &planned)?;
    for image in &synced.targets {
        let stale = session.why_stale(&planned, image);
        let is_stale = stale.is_some();
        let chain = stale.or_else(|| session.why_built(image));
        if args.json {
            let (way, causes) = chain.map(|chain| (chain.images, chain.causes)).unwrap_or_default();
            out::line(format_args!(
                "{:#}",
                json!({"image": image, "stale": is_stale, "chain": way, "causes": causes})
            ));
            continue;
        }
        match (chain, is_stale) {
            (Some(chain), true) => tell(&format!("{image} is stale"), &chain, args.all),
            (Some(chain), false) => tell(&format!("{image} is fresh; it was last built"), &chain, args.all),
            (None, _) => out::line(format_args!("{image} is fresh; its builds are no more remembered")),
        }
    }
    Ok(())
}

fn tell(what: &str, chain: &Chain, all: bool) {
    let cause = words::first_reason(&chain.causes);
    out::line(format_args!("{what}: {} ← {cause}", chain.images.join(" ← ")));
    if all {
        for reason in &chain.causes {
            out::line(format_args!("  {}", words::reason(reason)));
        }
    }
}
