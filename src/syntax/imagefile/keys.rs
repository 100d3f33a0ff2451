//! The keys of an Imagefile and what each is for, in the order in which they are shown.

use crate::syntax::error::Span;

/// Every key an Imagefile can hold, with its meaning: what is accepted, what
/// is suggested and what `imk help imagefile` explains come from this one table.
pub const TOP_KEYS: &[(&str, &str)] = &[
    ("prefix", "put before every image's name to make its tag, such as \"registry.example/team/\""),
    (
        "content_tag",
        "what tags begin with under which images are published, each standing for all inputs of one; else \"imk-\"",
    ),
    (
        "releases",
        "repository of a registry that keeps the log of `imk publish`; else that of the first image",
    ),
    (
        "receipts",
        "whose receipts of tests count: \"here\" this machine's alone, \"registry\" also those beside published images, which whoever may push can write",
    ),
    (
        "on_publish",
        "done around `imk publish` and `imk rollback`, when --hooks allows it: (before: [\"ci/freeze\"], after: [\"ci/deploy\"], notify: {\"team\": (url: \"$SLACK_URL\", secrets: [\"SLACK_URL\"], slack: true)})",
    ),
    ("vars", "variables with their defaults, used as {NAME}; set by IMK_VAR_NAME or --var NAME=VALUE"),
    ("default", "what bare `imk` builds: names, globs, groups; every image when absent"),
    ("defaults", "what every image inherits; any key of an image"),
    ("templates", "named sets of image keys that an image takes over with `like`"),
    ("groups", "names for several images: {\"apps\": [\"web\", \"svc-*\"]}"),
    (
        "engines",
        "engines beside docker's own: {\"big\": (host: \"ssh://me@big\", labels: [\"gpu\"], platforms: [\"linux/arm64\"], jobs: 4)}",
    ),
    ("images", "the images: {\"web\": (context: \"web\")}"),
];

/// The keys of one image, as [`TOP_KEYS`].
pub const IMAGE_KEYS: &[(&str, &str)] = &[
    ("like", "a template, or a list of them, to take keys from; the later one wins"),
    ("dockerfile", "path below the Imagefile's folder; else Dockerfile or Containerfile in the context"),
    (
        "dockerfile_inline",
        "the Dockerfile's own text, taken as it is: r#\"FROM alpine:3.20\\nCOPY . /app\"#; `args` bring values into it",
    ),
    (
        "context",
        "folder whose files the Dockerfile can copy; else the Dockerfile's folder, the Imagefile's for dockerfile_inline, else one named like the image; or a git repository, as an overlay",
    ),
    (
        "overlays",
        "put over the context: {\"vendor/lib\": \"shared/lib\"} a folder or file of this repository, {\"src\": Git(url: \"https://…\", branch: \"main\", subdir: \"src\")} a tree of another",
    ),
    (
        "contexts",
        "what names in FROM, COPY --from and --mount=from stand for: {\"acme/core\": \"core\"} an image of the repository, {\"acme/base\": \"docker-image://alpine:3.20\"} one outside",
    ),
    ("target", "the stage to build; else the last"),
    ("args", "build arguments: {\"VERSION\": \"1\"}"),
    (
        "matrix",
        "one image for each choice of values, which its name and texts use: \"app-{py}\": (matrix: {\"py\": [\"3.12\", \"3.13\"]}, args: {\"PY\": \"{py}\"})",
    ),
    ("exclude", "choices of the matrix that are left out: [{\"py\": \"3.12\", \"os\": \"alpine\"}]"),
    ("platform", "such as \"linux/arm64\"; else the engine's own"),
    (
        "platforms",
        "several, each with a key and a build of its own, published as one index: [\"linux/amd64\", \"linux/arm64\"]",
    ),
    ("labels", "labels on the image; keep them stable, each value makes another image"),
    (
        "tags",
        "tags it is given, such as [\"{git.sha:12}\", When(branch: \"main\", tag: \"latest\")]; else [\"latest\"]",
    ),
    (
        "any_tag",
        "true: any tag of its name in FROM, COPY --from or --mount=from means this image; else latest and the tags it declares",
    ),
    (
        "publish",
        "when `imk publish` moves its tags: [When(branch: \"main\"), When(git_tag: \"v*\")], one of them is enough; always when absent",
    ),
    ("secrets", "{\"token\": Env(\"TOKEN\")} or File(\"path\"): for RUN --mount=type=secret,id=token"),
    ("network", "network of RUN steps: \"none\", \"host\"; else the engine's default"),
    (
        "upstream",
        "how bases outside the repository are followed: Locked, Float or Every(\"7d\"); else Imagefile.lock where it has them",
    ),
    ("engine_labels", "labels that an engine must have to build it: [\"gpu\"]; they never count"),
    (
        "cache_from",
        "caches whose layers may serve: [\"registry.example/web:cache\"], or type=registry, gha, s3, azblob; only saves time, never counts",
    ),
    (
        "cache_to",
        "caches that layers are left in: [\"type=inline\"] the image itself, \"type=registry,ref=…,mode=max\", gha, s3, azblob; never counts",
    ),
    (
        "output",
        "what is written beside the image: [\"type=local,dest=out\"], tar, oci or docker with dest; \"type=cacheonly\": it is only to build; never counts",
    ),
    (
        "ssh",
        "agents and keys for RUN --mount=type=ssh: [\"default\"] the agent of SSH_AUTH_SOCK, [\"id=PATH\"] a socket or a key; never counts",
    ),
    (
        "no_cache_filter",
        "stages whose steps an engine runs again whenever the image is built: [\"deps\"]; never counts",
    ),
    (
        "entitlements",
        "rights of RUN steps beyond the usual: [\"network.host\", \"security.insecure\"]; --allow is your word; never counts",
    ),
    (
        "annotations",
        "annotations of its manifest where it is published: {\"org.opencontainers.image.vendor\": \"acme\"}; they count; \"index:KEY\" is of the index of several platforms",
    ),
    ("extra_hosts", "more hosts for RUN steps: {\"db\": \"10.0.0.7\"}"),
    ("shm_size", "the size of /dev/shm of RUN steps, such as \"128m\""),
    ("ulimits", "limits of the processes of RUN steps: [\"nofile=1024:2048\"]"),
    (
        "run",
        "how `imk run` starts it, by keys of its own: (user: \"host\", volumes: [\"data:/data\"], ports: [\"8080:80\"]); never counts",
    ),
    (
        "tests",
        "what `imk test` expects of it: {\"basics\": (steps: [Run(command: [\"app\", \"--version\"], stdout: \"^1\\.\")])}; never counts",
    ),
    ("description", "one sentence for `imk list`"),
];

/// The keys of an engine, as [`TOP_KEYS`].
pub const ENGINE_KEYS: &[(&str, &str)] = &[
    (
        "host",
        "unix://PATH, tcp://HOST:PORT (with TLS as DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say) or ssh://USER@HOST",
    ),
    ("context", "or a docker context by its name, with its certificates"),
    ("labels", "what it is good for, as `engine_labels` of images says it: [\"jdk17\", \"gpu\"]"),
    (
        "platforms",
        "what it builds, and nothing else; when absent, its own platform first, others by emulation",
    ),
    ("jobs", "how many images at once, at the most; when absent, what -j allows"),
];

/// The keys of `run`, of its commands and of its variants, as [`TOP_KEYS`].
pub const RUN_KEYS: &[(&str, &str)] = &[
    ("command", "what is run when nothing is typed; of a named command, what stands before what is typed"),
    ("entrypoint", "instead of the image's; [] for none"),
    ("env", "variables: {\"MODE\": \"dev\", \"TOKEN\": \"{env.TOKEN}\"}"),
    ("env_file", "a file of variables, or a list of them; below the Imagefile's folder"),
    (
        "volumes",
        "mounts as -v of docker run: [\"./src:/src:ro\", \"data:/data\"]; paths start at the Imagefile's folder",
    ),
    ("tmpfs", "memory, as --tmpfs of docker run: [\"/run:size=64m\"]"),
    ("ports", "ports as -p of docker run: [\"8080:80\"]"),
    ("workdir", "the folder it begins in"),
    ("user", "\"host\": the caller, by number and name; else as -u of docker run"),
    ("timezone", "\"host\", or a name such as \"Europe/Zurich\"; given as TZ"),
    ("network", "none, host, or a network by its name"),
    ("hostname", "its host name"),
    ("name", "the container's name; two of one name do not run at once"),
    ("hosts", "more hosts, as --add-host of docker run: [\"db:10.0.0.7\"]"),
    ("labels", "labels of the container"),
    ("init", "false: without the small init that reaps processes and hands signals on"),
    ("read_only", "true: nothing but mounts can be written"),
    ("memory", "a limit, such as \"512m\""),
    ("cpus", "a limit, such as \"1.5\""),
    ("shm_size", "the size of /dev/shm"),
    ("ulimits", "limits of its processes: [\"nofile=1024:2048\"]"),
    ("gpus", "\"all\", a number, or \"device=0,1\""),
    ("devices", "devices of the host: [\"/dev/ttyUSB0\"]"),
    ("cap_add", "capabilities beyond the usual: [\"SYS_PTRACE\"]"),
    (
        "folders",
        "a folder such as \"{env.HOME}/work\": below it the image has data, config, log and tmp, made and mounted",
    ),
    (
        "source",
        "a folder that is mounted at `source_dir`: the source as it is now; else it is the one sealed in",
    ),
    ("source_dir", "where the source is in the container: SRCDIR"),
    ("script_dir", "where scripts are in the container: SCRIPTDIR; else as `source_dir`"),
    ("log", "keep a log of what it writes, rotated: (size: \"1m\", count: 30), or () for just that"),
    ("timeout", "how long it may take, such as \"1h\"; then it is ended"),
    (
        "commands",
        "named commands: {\"notebook\": (command: [\"jupyter\"], ports: [\"8888:8888\"])}; `imk run IMAGE notebook`",
    ),
    (
        "variants",
        "sets of these keys put over the rest: {\"dev\": (source: \"src\"), \"prod\": ()}; `--variant dev`",
    ),
    ("variant", "the variant that is meant when none is named"),
];

/// The keys of a test, as [`TOP_KEYS`].
pub const TEST_KEYS: &[(&str, &str)] = &[
    (
        "steps",
        "what is done and expected, in this order: [Start(ready: 8080), Http(port: 8080, body: \"ok\"), Stop]",
    ),
    ("env", "variables of every container of the image"),
    (
        "volumes",
        "fresh volumes of this test, by name and path: {\"data\": \"/data\"}; they outlive Stop, and not the test",
    ),
    ("ports", "ports that are published on free ports of the engine's machine, for scripts on the host"),
    ("services", "other images beside it on a network of their own: {\"db\": (image: \"db\", ready: 5432)}"),
    ("files", "files of the repository that count beside its scripts"),
    ("timeout", "how long one try may take; \"2m\" by default"),
    ("tries", "how often it is tried before it counts as failed; 1 by default"),
    (
        "max_age",
        "how long a pass is believed, such as \"7d\"; needed for a receipt where a script runs on the host",
    ),
    ("probe", "an image with sh and nc, from which Port and Http look at an image that has neither"),
];

/// The keys of a service of a test, as [`TOP_KEYS`].
pub const SERVICE_KEYS: &[(&str, &str)] = &[
    ("image", "an image here, or a whole reference"),
    ("env", "its variables"),
    ("command", "its command; else the image's"),
    ("ready", "the port that shows that it is ready, when it has no HEALTHCHECK"),
];

const COMMAND: &[(&str, &str)] = &[
    ("command", "the words; behind the image's entry point, as docker run has it"),
    ("entrypoint", "instead of the image's; [] for none"),
    ("env", "variables"),
    ("user", "as -u of docker run"),
    ("status", "the status it must end with; else 0"),
    ("stdout", "patterns (regular expressions) that its output must have"),
    ("stderr", "patterns that its standard error must have"),
    ("never", "patterns that neither may have"),
];

/// The steps of a test, each with its keys.
pub const STEPS: &[(&str, &[(&str, &str)])] = &[
    (
        "Start",
        &[
            ("env", "variables"),
            ("command", "the command; else the image's"),
            ("ready", "the port that shows that it is ready, when it has no HEALTHCHECK"),
        ],
    ),
    ("Stop", &[]),
    ("Run", COMMAND),
    ("Exec", COMMAND),
    ("Port", &[("port", "of the started container"), ("open", "false: nothing may listen there")]),
    (
        "Http",
        &[
            ("port", "of the started container"),
            ("path", "else /"),
            ("status", "else 200"),
            ("body", "patterns that the body must have"),
        ],
    ),
    (
        "File",
        &[
            ("path", "of the started container, else of the image"),
            ("exists", "false: it may not be there"),
            ("owner", "\"USER\" or \"USER:GROUP\", names of the image or numbers"),
            ("mode", "such as \"0644\""),
            ("content", "patterns that it must have"),
            ("never", "patterns that it may not have"),
        ],
    ),
    (
        "Image",
        &[
            ("env", "variables, with a pattern for each whole value"),
            ("user", "the user"),
            ("workdir", "the working directory"),
            ("entrypoint", "the entry point, whole"),
            ("cmd", "the command, whole"),
            ("labels", "labels, with a pattern for each whole value"),
            ("ports", "ports that it exposes"),
            ("closed_ports", "ports that it does not expose"),
            ("volumes", "volumes that it declares"),
            ("size_below", "such as \"50m\""),
            ("no_shell", "true: there is no shell in it"),
        ],
    ),
    ("Structure", &[("file", "tests of container-structure-test, schema 2.0.0: commands, files, metadata")]),
    (
        "Script",
        &[
            ("file", "a program of the repository; facts of the container are in its environment"),
            ("args", "its arguments"),
            ("in", "an image in which it runs, on the test's network; else it runs on this machine"),
            ("status", "the status it must end with; else 0"),
            ("stdout", "patterns that its output must have"),
        ],
    ),
];

/// The keys of `on_publish`, as [`TOP_KEYS`].
pub const ON_PUBLISH_KEYS: &[(&str, &str)] = &[
    ("before", "lines for a shell before the first tag moves; one that fails keeps all tags where they are"),
    ("after", "lines for a shell when all is published; one that fails is told, and all stays published"),
    ("notify", "messages to servers by name; one that fails is told"),
];

/// The keys of a notice, as [`TOP_KEYS`].
pub const NOTICE_KEYS: &[(&str, &str)] = &[
    ("url", "where it goes; $NAME is a fact or one of `secrets`, here and in `headers` and `body`"),
    ("secrets", "variables of the environment that its texts may name; their values are shown nowhere"),
    ("headers", "headers: {\"Authorization\": \"Bearer $TOKEN\"}"),
    ("body", "JSON, or a form such as \"token=$TOKEN&ref=main\"; else all facts as JSON"),
    ("slack", "true: a text as Slack, Mattermost and their like read it"),
    ("on", "\"success\", \"failure\" or \"always\"; else success"),
];

/// The keys of `log` of a run, as [`TOP_KEYS`].
pub const LOG_KEYS: &[(&str, &str)] = &[
    ("size", "bytes of one file, such as \"1m\"; that is the default"),
    ("count", "files that are kept, the current one aside; 30 by default"),
];

/// The keys of `Git(…)`, as [`TOP_KEYS`].
pub const GIT_KEYS: &[(&str, &str)] = &[
    ("url", "https, ssh, git or a local path; relative ones start at the Imagefile's folder"),
    ("branch", "follow this branch; else what the repository's HEAD points to"),
    ("tag", "take what this tag points to"),
    ("commit", "take this commit: all digits of its id"),
    ("subdir", "take this folder of the repository only"),
];

/// Keys by the names they once had. They are read for ever, since commits of any age are.
const RENAMED_KEYS: &[(&str, &str)] = &[("needs", "engine_labels")];

/// A key that is written by the name it once had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenamedKey {
    /// Where it stands.
    pub span: Span,
    /// As it is written.
    pub old: &'static str,
    /// As it is called now.
    pub new: &'static str,
}

/// The old and the new name of a key, if `written` is an old name of one of these keys.
pub(super) fn renamed(written: &str, known: &[(&str, &str)]) -> Option<(&'static str, &'static str)> {
    let is_known = |name: &str| known.iter().any(|(key, _)| *key == name);
    RENAMED_KEYS.iter().copied().find(|(old, new)| *old == written && is_known(new))
}
