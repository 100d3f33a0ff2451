//! Bugs of other builders about what counts, each as what its user saw. No engine: the
//! real session over files in memory and an engine that only pretends.

use std::sync::Arc;

use imk::engine::{Cancel, Engine, EngineIdentity, FakeEngine, ImageId, ImageInfo};
use imk::query::action_key::input_hash;
use imk::session::open::{Opening, Session};
use imk::session::project::Overrides;
use imk::session::sync;
use imk::source::locate::Located;
use imk::source::memory::MemoryTree;
use imk::source::tree::SourceTree;

const WEB: &str = "\
//- Imagefile.ron
(images: {\"web\": ()})
//- web/Dockerfile
FROM scratch
COPY src /src/
//- web/src/a
a
//- web/src/d/b
b
//- web/src/l link=a
//- web/other
o
";

/// A repository in memory and an engine that has one outside image.
struct Peer {
    tree: MemoryTree,
    engine: Arc<FakeEngine>,
    folder: tempfile::TempDir,
    overrides: Overrides,
}

impl Peer {
    fn new(files: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, overrides) = (Arc::new(FakeEngine::new()), Overrides::default());
        Self { tree: MemoryTree::new(files), engine, folder, overrides }
    }

    fn outside(&self, reference: &str, id: &str) {
        self.engine.add_image(
            reference,
            ImageInfo {
                id: ImageId(format!("sha256:{id}")),
                platform: "linux/amd64".into(),
                repo_digests: Vec::new(),
                tags: Vec::new(),
                onbuild: Vec::new(),
                environment: std::collections::BTreeMap::new(),
                own_bases: None,
                size_bytes: 1,
                manifest: None,
                content: id.into(),
            },
        );
    }

    /// The key of an image, or what is wrong with it.
    fn key(&self, image: &str) -> Result<String, String> {
        let opening = Opening {
            located: Located { root: self.folder.path().to_owned(), imagefile: Some("Imagefile.ron".into()) },
            overrides: self.overrides.clone(),
            engine: Arc::clone(&self.engine) as Arc<dyn Engine>,
            tree: Arc::new(self.tree.clone()) as Arc<dyn SourceTree>,
            registry: Arc::new(imk::registry::FakeRegistry::new()),
            lookups: imk::session::upstream::LookupOptions::default(),
            cancel: Cancel::default(),
            environment: Default::default(),
            state: imk::state::folder::StateFolder::at(&self.folder.path().join(".imk")),
            exclusive: false,
        };
        let mut session =
            Session::open(opening, || Ok(Vec::new()), |_| {}).unwrap_or_else(|_| panic!("opens"));
        sync::sync(&mut session, &[]).unwrap();
        let key = input_hash(session.db(), session.input(image).unwrap());
        key.map(|key| key.to_string()).map_err(|problems| problems[0].message.clone())
    }

    /// Does the change give `web` another key?
    #[track_caller]
    fn changes(files: &str, due: bool, change: impl FnOnce(&mut Self)) {
        let mut peer = Self::new(files);
        let before = peer.key("web").unwrap();
        change(&mut peer);
        assert_eq!(peer.key("web").unwrap() != before, due);
    }
}

#[test]
fn a_file_that_only_a_bind_mount_reads_was_edited_and_nothing_was_built() {
    // skaffold#6091, werf#6823
    let files = WEB.replace("COPY src /src/", "RUN --mount=type=bind,source=src,target=/s x");
    Peer::changes(&files, true, |peer| peer.tree.write("web/src/a", "2"));
    Peer::changes(&files, false, |peer| peer.tree.write("web/other", "2"));
}

#[test]
fn the_base_got_a_security_fix_and_the_image_stayed_as_it_was() {
    // skaffold#5063, shipwright#68
    let files = WEB.replace("FROM scratch", "FROM alpine:3");
    let peer = Peer::new(&files);
    peer.outside("alpine:3", "1111");
    let before = peer.key("web").unwrap();
    peer.outside("alpine:3", "2222");
    assert_ne!(peer.key("web").unwrap(), before);
}

#[test]
fn another_build_argument_gave_the_old_image() {
    // docker-tools#1505
    let files = WEB.replace("COPY", "ARG V\nCOPY");
    let set = |name: &str| {
        let name = name.to_owned();
        move |peer: &mut Peer| drop(peer.overrides.args.insert(name, "2".into()))
    };
    Peer::changes(&files, true, set("V"));
    Peer::changes(&files, false, set("UNKNOWN"));
}

#[test]
fn another_builder_was_given_the_old_builders_image() {
    // skaffold#5504
    Peer::changes(WEB, true, |peer| {
        let identity = peer.engine.identity().unwrap();
        peer.engine.pose_as(EngineIdentity { builder: "classic/fake".into(), ..identity });
    });
}

#[test]
fn two_images_that_differ_only_in_their_outside_base_were_taken_for_one() {
    // werf#7838
    let peer = Peer::new(
        "//- Imagefile.ron\n(images: {\"a\": (), \"b\": ()})\n//- a/Dockerfile\nFROM x:1\n//- b/Dockerfile\nFROM x:2\n",
    );
    peer.outside("x:1", "1111");
    peer.outside("x:2", "2222");
    assert_ne!(peer.key("a"), peer.key("b"));
}

#[test]
fn a_file_moved_to_another_folder_under_its_name_was_not_noticed() {
    // skaffold's hash.go hashes base names
    Peer::changes(WEB, true, |peer| peer.tree.rename("web/src/d/b", "web/src/b"));
    Peer::changes(WEB, true, |peer| peer.tree.rename("web/src/d", "web/src/e"));
}

#[test]
fn a_link_pointed_elsewhere_and_was_not_noticed() {
    Peer::changes(WEB, true, |peer| peer.tree.link("web/src/l", "d/b"));
}

#[test]
fn an_executable_bit_was_set_and_not_noticed() {
    Peer::changes(WEB, true, |peer| peer.tree.chmod("web/src/a", 0o755));
}

#[test]
fn a_missing_file_was_left_out_in_silence() {
    let mut peer = Peer::new(&WEB.replace("COPY src", "COPY src other"));
    assert!(peer.key("web").is_ok());
    peer.tree.remove("web/other");
    assert_eq!(peer.key("web").unwrap_err(), "there is no `other` in the context of image `web`");
}

#[test]
fn a_checkout_in_another_folder_built_everything_again() {
    // garden#5501, devspace
    let (one, two) = (Peer::new(WEB), Peer::new(WEB));
    assert_ne!(one.folder.path(), two.folder.path());
    assert_eq!(one.key("web"), two.key("web"));
    // The folder below the root does not count either.
    let moved = WEB.replace("web/", "deep/er/").replace("()", "(context: \"deep/er\")");
    assert_eq!(Peer::new(&moved).key("web"), one.key("web"));
}

#[test]
fn a_tag_of_the_base_or_of_the_image_built_the_children_again() {
    // pants#22575
    let files = format!("{WEB}//- base/Dockerfile\nFROM scratch\n")
        .replace("\"web\": ()", "\"web\": (), \"base\": ()")
        .replace("FROM scratch\nCOPY", "FROM base\nCOPY");
    let tagged = files
        .replace("\"base\": ()", "\"base\": (tags: [\"v1\", \"v2\"])")
        .replace("\"web\": ()", "\"web\": (tags: [\"v3\"])");
    assert_eq!(Peer::new(&files).key("web"), Peer::new(&tagged).key("web"));
}

#[test]
fn a_fresh_clone_with_new_times_built_everything_again() {
    // dobi#179, moby#25728
    Peer::changes(WEB, false, |peer| peer.tree.touch("web/src/a"));
}

#[test]
fn the_builders_own_state_in_the_context_made_it_stale_for_ever() {
    // dobi#179
    let files = WEB
        .replace("web/Dockerfile", "Dockerfile")
        .replace("COPY src /src/", "COPY . /")
        .replace("()", "(context: \".\")");
    Peer::changes(&files, false, |peer| peer.tree.write(".imk/ledger", "x"));
    Peer::changes(&files, true, |peer| peer.tree.write("new", "x"));
}

#[test]
fn an_edit_taken_back_is_the_old_key_again() {
    // rules_docker#2198
    let mut peer = Peer::new(WEB);
    let before = peer.key("web");
    peer.tree.write("web/src/a", "2");
    assert_ne!(peer.key("web"), before);
    peer.tree.write("web/src/a", "a\n");
    assert_eq!(peer.key("web"), before);
}

#[test]
fn a_file_that_git_does_not_know_was_copied_and_not_counted() {
    // skaffold#199
    Peer::changes(WEB, true, |peer| peer.tree.write("web/src/untracked", "x"));
    Peer::changes(&format!("{WEB}//- .gitignore\n*.log\n"), true, |peer| {
        peer.tree.write("web/src/ignored-by-git.log", "x");
    });
}

#[test]
fn a_base_of_a_stage_that_is_not_built_made_it_stale() {
    // docker-tools#205: only what the target reaches counts
    let files = WEB.replace("FROM scratch", "FROM alpine:3 AS unused\nFROM scratch");
    let peer = Peer::new(&files);
    peer.outside("alpine:3", "1111");
    let before = peer.key("web");
    peer.outside("alpine:3", "2222");
    assert_eq!(peer.key("web"), before);
    assert_eq!(Peer::new(WEB).key("web"), before);
}

#[test]
fn a_deleted_dockerfile_deployed_the_old_image() {
    // skaffold#3940
    let mut peer = Peer::new(WEB);
    peer.key("web").unwrap();
    peer.tree.remove("web/Dockerfile");
    assert!(peer.key("web").unwrap_err().contains("web"));
}
