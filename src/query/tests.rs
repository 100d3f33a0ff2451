//! Queries with an effect of ten lines: no engine, no ledger, no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ImkDb;
use super::action_key::{KEY_VERSION, action_key, input_hash};
use super::effect::{BuildError, BuildJob, BuildOutcome, Built, Effect};
use super::image::image;
use super::inputs::{Answers, Context, Image, Options, Paths, Text, Workspace};
use crate::engine::ImageId;
use crate::model::hash::ContentHash;
use crate::model::part::Part;
use crate::model::reason::Code;

/// Builds what it is asked for, and remembers the order.
#[derive(Default)]
struct Fake {
    built: Mutex<Vec<String>>,
}

impl Effect for Fake {
    fn build_or_reuse(&self, job: BuildJob<'_>) -> BuildOutcome {
        self.built.lock().push(job.name.to_owned());
        if job.options.network.as_deref() == Some("broken") {
            return BuildOutcome::Result(Err(BuildError::FilesChanged));
        }
        let content = ContentHash::of(job.name.as_bytes());
        BuildOutcome::Result(Ok(Built { key: job.key, id: ImageId(job.key.to_string()), content }))
    }
}

/// A repository of images with these Dockerfiles.
fn repository(dockerfiles: &[(&str, &str)]) -> (ImkDb, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let db = ImkDb::new(Arc::clone(&fake) as Arc<dyn Effect>);
    let images = dockerfiles.iter().map(|(name, text)| {
        let paths = Paths { dockerfile: format!("{name}/Dockerfile"), context: (*name).to_owned() };
        let text = Text::Is((*text).to_owned());
        let (options, answers) = (Options::default(), Answers::default());
        let image = Image::new(&db, (*name).to_owned(), options, paths, answers, text, Context::Unread, 0);
        ((*name).to_owned(), image)
    });
    let images: BTreeMap<String, Image> = images.collect();
    let (engine, builder, platform) = ("E".into(), "buildkit/overlay2".into(), "linux/amd64".into());
    Workspace::new(&db, images, Vec::new(), engine, builder, platform, BTreeMap::new(), BTreeMap::new());
    (db, fake)
}

fn named(db: &ImkDb, name: &str) -> Image {
    Workspace::get(db).images(db)[name]
}

#[test]
fn an_image_asks_for_its_bases_first_and_for_nothing_twice() {
    let (db, fake) = repository(&[
        ("lib", "FROM scratch\nLABEL a=b\n"),
        ("app", "FROM lib\n"),
        ("alone", "FROM scratch\n"),
    ]);
    let app = image(&db, named(&db, "app")).unwrap();
    assert_eq!(image(&db, named(&db, "app")), Ok(app));
    assert_eq!(*fake.built.lock(), ["lib", "app"]);
}

#[test]
fn a_base_that_comes_out_the_same_leaves_its_users_alone() {
    use salsa::Setter as _;
    let (mut db, fake) = repository(&[("lib", "FROM scratch\nLABEL a=b\n"), ("app", "FROM lib\n")]);
    image(&db, named(&db, "app")).unwrap();
    let lib = named(&db, "lib");
    lib.set_dockerfile(&mut db).to(Text::Is("FROM scratch\nLABEL a=c\n".into()));
    image(&db, named(&db, "app")).unwrap();
    assert_eq!(*fake.built.lock(), ["lib", "app", "lib"]);
}

#[test]
fn a_failure_is_remembered_until_its_attempt_is_raised_and_ends_its_users() {
    use salsa::Setter as _;
    let (mut db, fake) = repository(&[("lib", "FROM scratch\nLABEL a=b\n"), ("app", "FROM lib\n")]);
    let lib = named(&db, "lib");
    lib.set_options(&mut db).to(Options { network: Some("broken".into()), ..Options::default() });
    for _ in 0..2 {
        assert_eq!(image(&db, named(&db, "app")), Err(BuildError::Base("lib".into())));
    }
    assert_eq!(*fake.built.lock(), ["lib"]);
    lib.set_attempt(&mut db).to(1);
    assert_eq!(image(&db, lib), Err(BuildError::FilesChanged));
    assert_eq!(*fake.built.lock(), ["lib", "lib"]);
}

#[test]
fn a_path_is_no_part_of_a_key() {
    use salsa::Setter as _;
    let (mut db, _) = repository(&[("app", "FROM scratch\nLABEL a=b\n")]);
    let app = named(&db, "app");
    let before = image(&db, app).unwrap();
    app.set_paths(&mut db).to(Paths { dockerfile: "else/where".into(), context: "else".into() });
    assert_eq!(image(&db, app), Ok(before));
}

#[test]
fn keys_are_those_of_the_last_release_so_that_an_upgrade_builds_nothing() {
    let (db, _) = repository(&[
        ("app", "FROM lib\nARG A=1\nENV B=$A\n"),
        ("lib", "# a comment\nFROM scratch\nLABEL a=b\n"),
    ]);
    let of = |name| input_hash(&db, named(&db, name)).unwrap();
    let on = [Part::new(Code::Base, "lib", ContentHash::of(b"lib").to_string())];
    let keys = [
        of("lib").to_string(),
        of("app").to_string(),
        action_key("linux/amd64", &of("app"), &on).to_string(),
    ];
    assert_eq!(keys, PINNED, "key version {KEY_VERSION}");
}

/// Pinned keys: a change of these has every image of every repository built again.
const PINNED: [&str; 3] = [
    "7ef8280691f4cfe260793f701ea98c6d749017c1b6c19821cf125a7b698d26e1",
    "272d7d2feebebc396107073043bac0bdf426cc5030b5d64650295de002b84beb",
    "6c9b2783961f37e08353e07977d61f8c9281bb0368e1ef7db4d96098ccabc802",
];
