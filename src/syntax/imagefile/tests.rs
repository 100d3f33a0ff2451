//! Reading of Imagefiles: keys, defaults, and mistakes with their places.

use std::collections::BTreeMap;

use super::*;

fn read_ok(text: &str) -> Imagefile {
    read(text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// Every mistake as `line:column message (hint)`.
fn mistakes(text: &str) -> String {
    let errors = read(text, &BTreeMap::new()).expect_err("the text has mistakes");
    let lines = errors.iter().map(|error| {
        let (line, column) = error.span.line_and_column(text);
        let hint = error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{line}:{column} {}{hint}", error.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_image_needs_only_a_name() {
    let file = read_ok(r#"(images: {"web": ()})"#);
    assert_eq!(file.images[0].context.text, "web");
    assert_eq!(file.images[0].dockerfile, None);
    assert_eq!(file.images[0].tags[0].template.text, "latest");
}

#[test]
fn the_dockerfiles_folder_is_the_context_unless_said_otherwise() {
    let file = read_ok(
        r#"(images: {"a": (dockerfile: "x/y/Dockerfile"), "b": (dockerfile: "Dockerfile.b"), "c": (dockerfile: "x/D", context: ".")})"#,
    );
    let contexts: Vec<_> = file.images.iter().map(|image| image.context.text.as_str()).collect();
    assert_eq!(contexts, ["x/y", "", ""]);
}

#[test]
fn a_dockerfile_in_the_imagefile_is_taken_as_it_is_and_gives_way_to_a_file() {
    let file = read_ok(
        r###"(
            vars: {"V": "1"},
            defaults: (dockerfile_inline: "FROM a"),
            templates: {"file": (dockerfile: "x/Dockerfile"), "text": (dockerfile_inline: "FROM t")},
            images: {
                "a": (),
                "b": (like: "file"),
                "c": (like: ["file", "text"]),
                "d": (like: "text", dockerfile: "y/Dockerfile"),
                "e": (matrix: {"m": ["1"]}, dockerfile_inline: r#"ARG V
FROM "x${V}{V}{m}""#),
            },
        )"###
            .replace("\"e\": (", "\"e-{m}\": (")
            .as_str(),
    );
    let told: Vec<_> = file
        .images
        .iter()
        .map(|image| {
            let path = image.dockerfile.as_ref().map_or("", |word| &word.text);
            (image.name.text.as_str(), path, image.dockerfile_inline.as_deref().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", "", "FROM a"),
            ("b", "x/Dockerfile", ""),
            ("c", "", "FROM t"),
            ("d", "y/Dockerfile", ""),
            ("e-1", "", "ARG V\nFROM \"x${V}{V}{m}\""),
        ]
    );
    let contexts: Vec<_> = file.images.iter().map(|image| image.context.text.as_str()).collect();
    assert_eq!(contexts, ["", "x", "", "y", ""]);
    let errors = read(r#"(images: {"a": (dockerfile: "x", dockerfile_inline: "FROM x")})"#, &BTreeMap::new());
    let error = errors.unwrap_err().remove(0);
    assert!(error.message.contains("cannot both say"), "{error:?}");
}

#[test]
fn own_keys_win_over_templates_and_those_over_defaults() {
    let file = read_ok(
        r#"(
            vars: {"V": "1"},
            defaults: (args: {"A": "default", "B": "default", "C": "default"}, target: "base"),
            templates: {
                "first": (args: {"A": "first", "B": "first"}),
                "prod": (like: "first", args: {"B": "prod"}, target: "prod"),
            },
            images: {"web": (like: ["prod"], args: {"D": "v{V}{{}}"})},
        )"#,
    );
    let web = &file.images[0];
    let args: Vec<_> = web.args.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(args, ["A=first", "B=prod", "C=default", "D=v1{}"]);
    assert_eq!(web.target.as_ref().unwrap().text, "prod");
}

#[test]
fn variables_are_overridden_by_the_caller() {
    let text = r#"(vars: {"V": "1"}, prefix: "reg/{V}/", images: {})"#;
    let vars = BTreeMap::from([("V".to_owned(), "2".to_owned())]);
    assert_eq!(read(text, &vars).unwrap().prefix, "reg/2/");
}

#[test]
fn all_mistakes_of_a_file_are_told_together() {
    let text = r#"(
    imagse: {},
    vars: {"V": 1},
    images: {
        "web": (contxt: "web", like: "pord"),
        "web": (),
        "Api": (context: "../x", tags: ["a b", "{W}"]),
        "db": (secrets: {"t": "x"}, args: ["A"]),
    },
    templates: {"prod": ()},
)"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    2:5 an Imagefile has no key `imagse` (did you mean `images`?)
    3:17 expected a text, found a number (put it in quotes: "1")
    5:17 an image has no key `contxt` (did you mean `context`?)
    5:38 there is no template `pord` (did you mean `prod`?)
    6:9 two images are named `web` (rename or remove one of them)
    7:9 `Api` cannot name an image: registries take lower-case names only
    7:26 `../x` leads out of the Imagefile's folder (paths start at the Imagefile's folder; move the Imagefile up to reach more)
    7:41 `a b` cannot be a tag: use letters, digits, `_`, `.` and `-`, beginning with none of the last two
    7:48 there is no variable `W` (declare it: vars: {"W": "…"})
    8:31 expected Env("VARIABLE") or File("path"), found a text
    8:43 expected a map in braces: {"name": …}, found a list
    "#);
}

#[test]
fn broken_ron_is_told_with_its_place() {
    insta::assert_snapshot!(mistakes("(images: {\"a\": (context: \"x\" target: \"y\"}, )"), @"1:30 not valid RON: Expected comma in struct");
    insta::assert_snapshot!(mistakes(""), @"1:1 an Imagefile holds one value in parentheses: (images: {…})");
    insta::assert_snapshot!(mistakes("[1]"), @"1:1 expected keys in parentheses, found a list");
}

#[test]
fn a_template_like_itself_ends() {
    let file = read_ok(
        r#"(templates: {"a": (like: "b", target: "t"), "b": (like: "a")}, images: {"w": (like: "a")})"#,
    );
    assert_eq!(file.images[0].target.as_ref().unwrap().text, "t");
}

#[test]
fn a_group_cannot_have_an_images_name() {
    insta::assert_snapshot!(mistakes(r#"(groups: {"web": ["web"]}, images: {"web": ()})"#), @"1:11 the group `web` has the name of an image");
}

#[test]
fn secrets_name_a_variable_or_a_file() {
    let file = read_ok(r#"(images: {"w": (secrets: {"a": Env("TOKEN"), "b": File("k.pem")})})"#);
    assert_eq!(file.images[0].secrets["a"], SecretSource::Env("TOKEN".into()));
    assert_eq!(file.images[0].secrets["b"], SecretSource::File("k.pem".into()));
}

#[test]
fn a_key_held_down_on_a_bracket_does_not_take_all_memory() {
    let text = format!("(images: {{\"a\": {}]\n", "(".repeat(300));
    assert_eq!(
        mistakes(&text),
        "1:78 more than 64 brackets stand open here (five are enough for anything; close them)"
    );
    assert!(mistakes(&"(]".repeat(500)).contains("more than 64"));
    let spread = "(images: {\"a\": (description: \"((((\")}) // (((".to_owned() + &"(".repeat(100);
    assert_eq!(read_ok(&spread).images[0].description.as_deref(), Some("(((("));
}

#[test]
fn an_imagefile_that_holds_nothing_but_a_wide_character_is_refused_at_its_place() {
    for text in ["", "\u{feff}", "ü", "// ü"] {
        for error in read(text, &BTreeMap::new()).unwrap_err() {
            assert!(text.get(error.span.start..error.span.end).is_some(), "{text:?} {error:?}");
        }
    }
}

#[test]
fn overlays_are_paths_of_this_repository_or_trees_of_others() {
    let file = read_ok(
        r#"(
            vars: {"BRANCH": "main"},
            defaults: (overlays: {"common": "shared/common"}),
            images: {"web": (overlays: {
                "./vendor//lib": "shared/lib",
                "src": Git(url: "https://host/r", branch: "{BRANCH}", subdir: "a/b"),
                "two": "github.com/o/r.git#v1:x",
                "three": Git("../beside.git"),
            })},
        )"#,
    );
    let shown: Vec<_> = file.images[0]
        .overlays
        .iter()
        .map(|overlay| match &overlay.from {
            OverlaySource::Path(path) => format!("{}={path}", overlay.at),
            OverlaySource::Git(git) => format!("{}={} {:?}", overlay.at, git.shown(), git.wanted),
        })
        .collect();
    let expected = [
        "common=shared/common",
        r#"src=https://host/r#main:a/b Branch("main")"#,
        "three=file://../beside.git Head",
        r#"two=https://github.com/o/r.git#v1:x Any("v1")"#,
        "vendor/lib=shared/lib",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_context_can_be_a_repository() {
    let file = read_ok(
        r#"(images: {"a": (context: "https://h/r.git#main:sub"), "b": (context: Git(url: "ssh://git@h/r"))})"#,
    );
    let contexts: Vec<_> = file.images.iter().map(|image| image.context.text.as_str()).collect();
    assert_eq!(contexts, ["https://h/r.git#main:sub", "ssh://git@h/r"]);
    assert!(file.images.iter().all(|image| image.git.is_some()));
}

#[test]
fn mistakes_of_overlays_are_told_with_their_place() {
    let text = r#"(images: {"web": (overlays: {
    "../out": "a",
    ".": "a",
    "b": "a", "./b": "c",
    "c": "../beyond",
    "d": Git(branch: "main"),
    "e": Git(url: "https://h/r", branch: "x", tag: "y"),
    "f": Git(url: "https://h/r", commit: "abc"),
    "g": Git(url: "https://h/r", subdir: "../x"),
    "h": Git(url: "https://h/r", brnach: "x"),
    "i": Gti(url: "x"),
    "j": "https://h/r.tgz",
})})"#;
    let expected = "\
2:5 the overlay `../out` leads out of the context (overlays stand at paths below the context)
3:5 an overlay at `.` would be the whole context (say it with `context`, and put overlays at paths below it)
4:15 two overlays stand at `b` (keep one of them; a deeper path may hide a part of the other)
5:10 `../beyond` leads out of the Imagefile's folder (paths start at the Imagefile's folder; move the Imagefile up to reach more)
6:10 Git(…) needs a `url` (Git(url: \"https://host/owner/repo.git\", branch: \"main\"))
7:52 `branch` and `tag` both say which commit (keep one of them)
8:42 `abc` is no whole commit id (write all its digits: servers do not find a commit by fewer)
9:42 the folder `../x` leads out of the repository (`subdir` is a path below the repository's root)
10:34 Git has no key `brnach` (did you mean `branch`?)
11:10 expected a path in quotes or Git(url: \"…\"), found a set of keys in parentheses
12:10 `https://h/r.tgz` does not end in `.git`: docker would take it for an archive, and imk reads repositories only (write Git(url: \"…\") for any other address)";
    assert_eq!(mistakes(text), expected);
}

#[test]
fn tags_are_texts_and_rules() {
    let file = read_ok(
        r#"(vars: {"MAIN": "main"}, images: {"w": (tags: [
            "{git.sha:12}",
            When(branch: "{MAIN}", tag: ["latest", "{time}"]),
            When(git_tag: ["v*", "!*-*"], tag: "{semver}"),
        ])})"#,
    );
    let told = file.images[0].tags.iter().map(|rule| {
        let list = |globs: Option<&Vec<String>>| globs.map(|globs| globs.join(" ")).unwrap_or_default();
        let when = rule.when.as_ref().map(|when| (list(when.branch.as_ref()), list(when.git_tag.as_ref())));
        format!("{} {:?}", rule.template.text, when.unwrap_or_default())
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    {git.sha:12} ("", "")
    latest ("main", "")
    {time} ("main", "")
    {semver} ("", "v* !*-*")
    "#);
}

#[test]
fn mistakes_of_tags_are_told_with_their_place() {
    let text = r#"(
    images: {"w": (tags: [
        "{git.sah}",
        When(brunch: "main", tag: "x"),
        When(tag: "x"),
        When(branch: "main"),
        When(branch: "a[", tag: "x"),
        If(branch: "main", tag: "x"),
        "{buidl}",
    ], args: {"SHA": "{git.sha}"})},
)"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    3:9 there is no fact `git.sah` (did you mean `git.sha`?)
    4:14 When has no key `brunch` (did you mean `branch`?)
    5:9 a rule needs `branch` or `git_tag`: when is the tag given?
    6:9 a rule needs `tag`: what is given then?
    7:22 `a[` is no glob: unclosed character class; missing ']'
    8:9 expected a text or When(branch: "…", tag: "…"), found a set of keys in parentheses
    9:9 there is no variable `buidl` (did you mean `build`?)
    10:22 there is no variable `git.sha` (`{git.sha}` stands in tags only: it makes no difference to an image)
    "#);
}

#[test]
fn engines_and_what_they_are_good_for() {
    let file = read_ok(
        r#"(vars: {"HOST": "box"},
            engines: {"big": (host: "ssh://me@{HOST}", labels: ["gpu"], platforms: "linux/arm64", jobs: 4), "far": (context: "f")},
            defaults: (engine_labels: "jdk17", cache_from: ["r.example/{HOST}:cache"]),
            images: {"a": (cache_to: ["type=inline"]), "b": (engine_labels: ["gpu"])})"#,
    );
    let big = DeclaredEngine {
        address: EngineAddress::Host("ssh://me@box".into()),
        labels: vec!["gpu".into()],
        platforms: vec!["linux/arm64".into()],
        jobs: Some(4),
    };
    assert_eq!(file.engines["big"], big);
    assert_eq!(file.engines["far"].address, EngineAddress::Context("f".into()));
    let told = file.images.iter().map(|image| {
        let labels: Vec<&str> = image.engine_labels.iter().map(|word| word.text.as_str()).collect();
        format!("{} {labels:?} {:?} {}", image.name.text, image.cache.from, image.cache.inline)
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    a ["jdk17"] ["r.example/box:cache"] true
    b ["gpu"] ["r.example/box:cache"] false
    "#);
}

#[test]
fn mistakes_of_engines_are_told_with_their_place() {
    let text = r#"(
    engines: {
        "nowhere": (labels: ["gpu"]),
        "both": (host: "tcp://h", context: "c"),
        "jobs": (host: "tcp://h", jobs: 0, color: "red"),
        "a b": (host: "tcp://h", platforms: ["solaris/"]),
    },
    images: {"w": (cache_from: ["type=gah"])},
)"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    3:20 where is the engine `nowhere`? (give it either `host` or `context`)
    4:17 where is the engine `both`? (give it either `host` or `context`)
    5:41 `0` is not a number of jobs
    5:44 an engine has no key `color` (an engine knows host, context, labels, platforms, jobs)
    6:9 `a b` cannot name an engine (--engine must be able to say it: no spaces, commas, slashes, `=`)
    6:46 `solaris/` cannot be built for: it is not a platform (did you mean `solaris`?)
    8:33 there is no cache of type `gah` (`type=gah`) (did you mean `gha`?)
    "#);
}

#[test]
fn the_old_name_of_a_key_means_the_new_one() {
    let new =
        read_ok(r#"(defaults: (engine_labels: "a"), images: {"web": (engine_labels: ["b"]), "db": ()})"#);
    let old = read_ok(r#"(defaults: (needs: "a"), images: {"web": (needs: ["b"]), "db": ()})"#);
    let labels = |file: &Imagefile| {
        let of = |image: &Declaration| image.engine_labels.iter().map(|word| word.text.clone()).collect();
        file.images.iter().map(of).collect::<Vec<Vec<String>>>()
    };
    assert_eq!(labels(&old), labels(&new));
    assert_eq!(new.renamed_keys, []);
    let told = old.renamed_keys.iter().map(|key| (key.span.start, key.old, key.new));
    assert_eq!(told.collect::<Vec<_>>(), [(12, "needs", "engine_labels"), (42, "needs", "engine_labels")]);
}

#[test]
fn a_key_by_both_of_its_names_stands_twice_and_is_an_old_name_only_where_the_new_one_is() {
    insta::assert_snapshot!(mistakes(r#"(images: {"a": (engine_labels: "x", needs: "y")})"#), @"1:37 the key `engine_labels` stands here twice, here by its old name `needs`");
    insta::assert_snapshot!(mistakes(r#"(needs: "y", images: {"a": ()})"#), @"1:2 an Imagefile has no key `needs` (an Imagefile knows prefix, content_tag, releases, receipts, on_publish, vars, default, defaults, templates, groups, engines, images)");
    for keys in [TOP_KEYS, IMAGE_KEYS, ENGINE_KEYS, GIT_KEYS] {
        assert!(keys.iter().all(|(key, _)| *key != "needs"), "shown by `imk keys` and the schema");
    }
}

#[test]
fn a_run_is_taken_over_key_by_key_and_its_facts_stay_for_later() {
    let file = read_ok(
        r#"(
            vars: {"PORT": "8080"},
            defaults: (run: (user: "host", env: {"A": "1", "B": "1"})),
            templates: {"t": (run: (env: {"B": "{env.HOME}/{{x}}"}, ports: ["{PORT}:80"], commands: {"sh": (command: ["sh"])}))},
            images: {"web": (like: "t", run: (ports: "81:80", volumes: ["{DATADIR}/x:/x:ro"], commands: {"sh": (workdir: "/")}))},
        )"#,
    );
    let run = &file.images[0].run;
    assert_eq!(run.user.as_deref(), Some("host"));
    assert_eq!((&*run.env["A"], &*run.env["B"]), ("1", "{env.HOME}/{{x}}"));
    assert_eq!((run.ports.len(), run.ports[0].host), (1, Some(81)));
    assert!(run.mounts[0].read_only);
    let sh = &run.commands["sh"];
    assert_eq!((sh.command.as_deref(), sh.workdir.as_deref()), (Some(&["sh".to_owned()][..]), Some("/")));
}

#[test]
fn mistakes_in_a_run_have_their_place() {
    let text = r#"(images: {"web": (run: (
volumes: ["x"],
ports: ["99999:1"],
memory: "much",
workdir: "{NOPE}",
variant: "dve", variants: {"dev": (tty: true)},
))})"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    2:11 `x` is no place to mount at: it is an absolute path in the container
    3:9 `99999:1` publishes no port: write it as 8080:80
    4:9 `much` is no size: write it as 512m or 2g
    5:10 there is no variable and no fact `NOPE` (declare it: vars: {"NOPE": "…"}; `imk keys` shows the facts)
    6:10 there is no variant `dve` (did you mean `dev`?)
    6:36 a run has no key `tty` (a run knows command, entrypoint, env, env_file, volumes, tmpfs, ports, workdir, user, timezone, network, hostname, name, hosts, labels, init, read_only, memory, cpus, shm_size, ulimits, gpus, devices, cap_add, folders, source, source_dir, script_dir, log, timeout, commands, variants, variant)
    "#);
}
