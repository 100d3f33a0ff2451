//! `imk graph`: what is built on what, as a tree, for Graphviz, for Mermaid, as JSON, for bake.

mod bake;
mod matrix;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use serde::Serialize;

use crate::cli::args::{Global, Targets};
use crate::cli::failure::{Failure, sync_error};
use crate::cli::{open, out, synced};
use crate::engine::Cancel;
use crate::plan::names;
use crate::query::graph::{Bases, Order, bases};
use crate::query::recipe::recipe;
use crate::session::open::Session;
use crate::session::sync;
use crate::syntax::resolve::How;

const EXAMPLES: &str = "\
imk graph                        a tree
imk graph --depth 1              the images at the bottom and what is right on them
imk graph +web --mermaid         what web is built on, as GitHub and GitLab draw it
imk graph --dot | dot -Tsvg      as a picture
imk graph --bake > docker-bake.json   for a day on which bake must build";

/// Trees of more images are folded.
const FOLDED: usize = 200;

/// Show what is built on what
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct GraphArgs {
    /// Which images, with all they are built on.
    #[command(flatten)]
    pub targets: Targets,
    /// Levels of the tree that are shown; what is further down is counted
    #[arg(long, value_name = "LEVELS", conflicts_with = "form")]
    pub depth: Option<usize>,
    /// Show each image of a big tree; else many that only stand on one base are counted
    #[arg(long, conflicts_with_all = ["form", "depth"])]
    pub all: bool,
    /// In Graphviz' language
    #[arg(long, group = "form")]
    pub dot: bool,
    /// In Mermaid's language, as GitHub and GitLab draw it
    #[arg(long, group = "form")]
    pub mermaid: bool,
    /// As a stable JSON document
    #[arg(long, group = "form", env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// As the docker-bake.json that builds the same images
    #[arg(long, group = "form")]
    pub bake: bool,
}

pub fn run(global: &Global, args: &GraphArgs) -> Result<(), Failure> {
    let mut session = open::session(global, false, &Cancel::default())?;
    let order = sync::order(&mut session, &args.targets.words)
        .map_err(|error| sync_error(error, &session, &global.verbs))?;
    synced::warn_stale_git(&session);
    for name in &order.names {
        for remark in session.input(name).into_iter().flat_map(|image| names::remarks(&session, image)) {
            out::warning(format_args!("{name}: {remark}"));
        }
    }
    let groups =
        if args.bake { bake::groups(&mut session, &args.targets.words) } else { Ok(BTreeMap::new()) };
    let groups = groups.map_err(|error| sync_error(error, &session, &global.verbs))?;
    let edges = |name: &str| -> Bases {
        session.input(name).map(|image| bases(session.db(), image).clone()).unwrap_or_default()
    };
    let text = if args.json {
        out::json(&document(&session, &order, &edges));
        String::new()
    } else if args.bake {
        bake::file(&session, &order, &groups, &edges)
    } else if args.dot {
        dot(&order, &edges)
    } else if args.mermaid {
        mermaid(&order, &edges)
    } else {
        // A tree that fills hundreds of screens shows nobody anything.
        let fold = !args.all && args.depth.is_none() && order.names.len() > FOLDED;
        tree::draw(&order, args.depth, fold)
    };
    out::text(format_args!("{text}"));
    // The others are shown: a mistake in one Dockerfile says nothing of them.
    let problems = sync::dockerfile_problems(&session, &order);
    if problems.is_empty() { Ok(()) } else { Err(Failure::problems(&problems, |path| session.text(path))) }
}

/// The stable document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    images: Vec<Node<'a>>,
}

/// An image in it, and what it is built on.
#[derive(Serialize)]
struct Node<'a> {
    name: &'a str,
    dockerfile: &'a str,
    context: &'a str,
    target: Option<&'a str>,
    args: &'a BTreeMap<String, Option<String>>,
    bases: Vec<Base>,
    external: BTreeSet<String>,
}

/// A base of the repository, and the instruction that uses it.
#[derive(Serialize)]
struct Base {
    image: String,
    reference: String,
    how: &'static str,
}

fn document<'a>(session: &'a Session, order: &'a Order, edges: &dyn Fn(&str) -> Bases) -> Document<'a> {
    let images = order.names.iter().filter_map(|name| {
        let image = session.input(name)?;
        let recipe = recipe(session.db(), image).as_ref().ok()?;
        let paths = image.paths(session.db());
        let bases = edges(name);
        Some(Node {
            name,
            dockerfile: &paths.dockerfile,
            context: &paths.context,
            target: image.options(session.db()).target.as_deref(),
            args: &recipe.args,
            external: external(&bases).into_iter().map(str::to_owned).collect(),
            bases: bases
                .inside
                .into_iter()
                .map(|edge| Base { image: edge.base, reference: edge.word, how: how(edge.how) })
                .collect(),
        })
    });
    Document { images: images.collect() }
}

/// The references, each once: two platforms of one base are one name here.
fn external(bases: &Bases) -> BTreeSet<&str> {
    bases.outside.iter().map(|base| base.reference.as_str()).collect()
}

fn how(how: How) -> &'static str {
    match how {
        How::From => "from",
        How::Copy => "copy",
        How::Mount => "mount",
    }
}

fn dot(order: &Order, edges: &dyn Fn(&str) -> Bases) -> String {
    let mut text = String::from("digraph images {\n    rankdir=LR;\n    node [shape=box];\n");
    for name in &order.names {
        let _ = writeln!(text, "    {name:?};");
        for edge in edges(name).inside {
            let style = if edge.how == How::From { "" } else { " [style=dashed]" };
            let _ = writeln!(text, "    {:?} -> {name:?}{style};", edge.base);
        }
    }
    text + "}\n"
}

fn mermaid(order: &Order, edges: &dyn Fn(&str) -> Bases) -> String {
    let numbers: HashMap<&str, usize> =
        order.names.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
    let number = |name: &str| numbers.get(name).copied().unwrap_or_default();
    let mut text = String::from("graph LR\n");
    for name in &order.names {
        let _ = writeln!(text, "    i{}[\"{name}\"]", number(name));
        for edge in edges(name).inside {
            let arrow = if edge.how == How::From { "-->" } else { "-.->" };
            let _ = writeln!(text, "    i{} {arrow} i{}", number(&edge.base), number(name));
        }
    }
    text
}
