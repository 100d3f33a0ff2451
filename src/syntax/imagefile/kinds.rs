//! Kinds of values of the keys of an Imagefile.
//!
//! Said here for those who describe an Imagefile to others, such as `imk
//! schema`. The tests hold it against `decode`, key by key and kind
//! by kind. What a key means is in [`super::TOP_KEYS`] and [`super::IMAGE_KEYS`].

/// The kind of value that a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `"text"`.
    Text,
    /// `["text", …]`.
    Texts,
    /// `"text"` or a list of them.
    TextOrTexts,
    /// `"text"` or `Git(url: "…")`.
    Source,
    /// `{"path": "text"}` or `Git(url: "…")` for a text.
    SourceByName,
    /// `["text", When(branch: "…", tag: "…")]`.
    Tags,
    /// `[When(branch: "…"), When(git_tag: "…")]`.
    Gates,
    /// `4`.
    Number,
    /// `true` or `false`.
    Flag,
    /// `{"name": "text"}`.
    TextByName,
    /// `{"name": ["text"]}`.
    TextsByName,
    /// `{"axis": ["value", {"name": "value"}]}`.
    Matrix,
    /// `[{"axis": "value"}]`.
    Exclude,
    /// `{"id": Env("VARIABLE")}` or `File("path")`.
    Secrets,
    /// `Locked`, `Float` or `Every("7d")`.
    Policy,
    /// `{"name": (host: "…", labels: ["…"], jobs: 4)}`.
    Engines,
    /// The keys of an image in parentheses.
    Image,
    /// `{"name": (keys of an image)}`.
    ImageByName,
    /// The keys of a run in parentheses.
    Run,
    /// `{"name": (keys of a run)}`.
    RunByName,
    /// `(size: "1m", count: 30)`.
    Log,
    /// `{"name": (steps: […])}`.
    Tests,
    /// `[Run(command: […]), …]`.
    Steps,
    /// `{"name": (image: "…")}`.
    Services,
    /// `8080` or a list of them.
    Ports,
    /// A whole number.
    Integer,
    /// `(before: […], after: […], notify: {…})`.
    OnPublish,
    /// `{"name": (url: "…")}`.
    Notices,
}

/// The kinds of [`super::TOP_KEYS`].
pub const TOP_KINDS: &[(&str, Kind)] = &[
    ("prefix", Kind::Text),
    ("content_tag", Kind::Text),
    ("releases", Kind::Text),
    ("receipts", Kind::Text),
    ("on_publish", Kind::OnPublish),
    ("vars", Kind::TextByName),
    ("default", Kind::Texts),
    ("defaults", Kind::Image),
    ("templates", Kind::ImageByName),
    ("groups", Kind::TextsByName),
    ("engines", Kind::Engines),
    ("images", Kind::ImageByName),
];

/// The kinds of [`super::ON_PUBLISH_KEYS`].
pub const ON_PUBLISH_KINDS: &[(&str, Kind)] =
    &[("before", Kind::Texts), ("after", Kind::Texts), ("notify", Kind::Notices)];

/// The kinds of [`super::NOTICE_KEYS`].
pub const NOTICE_KINDS: &[(&str, Kind)] = &[
    ("url", Kind::Text),
    ("secrets", Kind::TextOrTexts),
    ("headers", Kind::TextByName),
    ("body", Kind::Text),
    ("slack", Kind::Flag),
    ("on", Kind::Text),
];

/// The kinds of [`super::ENGINE_KEYS`].
pub const ENGINE_KINDS: &[(&str, Kind)] = &[
    ("host", Kind::Text),
    ("context", Kind::Text),
    ("labels", Kind::Texts),
    ("platforms", Kind::Texts),
    ("jobs", Kind::Number),
];

/// The kinds of [`super::IMAGE_KEYS`].
pub const IMAGE_KINDS: &[(&str, Kind)] = &[
    ("like", Kind::TextOrTexts),
    ("dockerfile", Kind::Text),
    ("dockerfile_inline", Kind::Text),
    ("context", Kind::Source),
    ("overlays", Kind::SourceByName),
    ("contexts", Kind::SourceByName),
    ("target", Kind::Text),
    ("args", Kind::TextByName),
    ("matrix", Kind::Matrix),
    ("exclude", Kind::Exclude),
    ("platform", Kind::Text),
    ("platforms", Kind::TextOrTexts),
    ("labels", Kind::TextByName),
    ("tags", Kind::Tags),
    ("any_tag", Kind::Flag),
    ("publish", Kind::Gates),
    ("secrets", Kind::Secrets),
    ("network", Kind::Text),
    ("upstream", Kind::Policy),
    ("engine_labels", Kind::TextOrTexts),
    ("cache_from", Kind::TextOrTexts),
    ("cache_to", Kind::TextOrTexts),
    ("output", Kind::TextOrTexts),
    ("ssh", Kind::TextOrTexts),
    ("no_cache_filter", Kind::TextOrTexts),
    ("entitlements", Kind::TextOrTexts),
    ("annotations", Kind::TextByName),
    ("extra_hosts", Kind::TextByName),
    ("shm_size", Kind::Text),
    ("ulimits", Kind::TextOrTexts),
    ("run", Kind::Run),
    ("tests", Kind::Tests),
    ("description", Kind::Text),
];

/// The kinds of [`super::RUN_KEYS`].
pub const RUN_KINDS: &[(&str, Kind)] = &[
    ("command", Kind::Texts),
    ("entrypoint", Kind::Texts),
    ("env", Kind::TextByName),
    ("env_file", Kind::TextOrTexts),
    ("volumes", Kind::TextOrTexts),
    ("tmpfs", Kind::TextOrTexts),
    ("ports", Kind::TextOrTexts),
    ("workdir", Kind::Text),
    ("user", Kind::Text),
    ("timezone", Kind::Text),
    ("network", Kind::Text),
    ("hostname", Kind::Text),
    ("name", Kind::Text),
    ("hosts", Kind::TextOrTexts),
    ("labels", Kind::TextByName),
    ("init", Kind::Flag),
    ("read_only", Kind::Flag),
    ("memory", Kind::Text),
    ("cpus", Kind::Text),
    ("shm_size", Kind::Text),
    ("ulimits", Kind::TextOrTexts),
    ("gpus", Kind::Text),
    ("devices", Kind::TextOrTexts),
    ("cap_add", Kind::TextOrTexts),
    ("folders", Kind::Text),
    ("source", Kind::Text),
    ("source_dir", Kind::Text),
    ("script_dir", Kind::Text),
    ("log", Kind::Log),
    ("timeout", Kind::Text),
    ("commands", Kind::RunByName),
    ("variants", Kind::RunByName),
    ("variant", Kind::Text),
];

/// The kinds of [`super::TEST_KEYS`].
pub const TEST_KINDS: &[(&str, Kind)] = &[
    ("steps", Kind::Steps),
    ("env", Kind::TextByName),
    ("volumes", Kind::TextByName),
    ("ports", Kind::Ports),
    ("services", Kind::Services),
    ("files", Kind::TextOrTexts),
    ("timeout", Kind::Text),
    ("tries", Kind::Number),
    ("max_age", Kind::Text),
    ("probe", Kind::Text),
];

/// The kind of a key of a step: the same in every step that has it.
pub fn of_step(key: &str) -> Kind {
    match key {
        "command" | "cmd" | "entrypoint" => Kind::Texts,
        "env" | "labels" => Kind::TextByName,
        "args" | "stdout" | "stderr" | "never" | "body" | "content" | "volumes" => Kind::TextOrTexts,
        "status" => Kind::Integer,
        "port" | "ready" | "ports" | "closed_ports" => Kind::Ports,
        "open" | "exists" | "no_shell" => Kind::Flag,
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        ENGINE_KEYS, IMAGE_KEYS, NOTICE_KEYS, ON_PUBLISH_KEYS, RUN_KEYS, STEPS, TEST_KEYS, TOP_KEYS, decode,
    };
    use super::*;

    /// One value of each shape, and the kinds that take it.
    const SAMPLES: &[(&str, &[Kind])] = &[
        (r#""x""#, &[Kind::Text, Kind::TextOrTexts, Kind::Source]),
        (r#"["x"]"#, &[Kind::Texts, Kind::TextOrTexts, Kind::Tags]),
        (r#"{"x": "y"}"#, &[Kind::TextByName, Kind::SourceByName]),
        (r#"Git(url: "x")"#, &[Kind::Source]),
        (r#"{"x": Git(url: "y")}"#, &[Kind::SourceByName]),
        (r#"[When(branch: "x", tag: ["y"])]"#, &[Kind::Tags]),
        (r#"[When(branch: "x")]"#, &[Kind::Gates]),
        (
            "[]",
            &[
                Kind::Texts,
                Kind::TextOrTexts,
                Kind::Tags,
                Kind::Gates,
                Kind::Steps,
                Kind::Ports,
                Kind::Exclude,
            ],
        ),
        (r#"{"x": ["y"]}"#, &[Kind::TextsByName, Kind::Matrix]),
        (r#"{"x": [{"y": "z"}]}"#, &[Kind::Matrix]),
        (r#"[{"x": "y"}]"#, &[Kind::Exclude]),
        (r#"{"x": Env("Y")}"#, &[Kind::Secrets]),
        (r#"{"x": File("y")}"#, &[Kind::Secrets]),
        ("Locked", &[Kind::Policy]),
        ("Float", &[Kind::Policy]),
        (r#"Every("7d")"#, &[Kind::Policy]),
        (r#"(context: "x")"#, &[Kind::Image]),
        (r#"{"x": (context: "y")}"#, &[Kind::ImageByName, Kind::Engines]),
        (r#"{"x": (host: "unix:///y", labels: ["z"], jobs: 4)}"#, &[Kind::Engines]),
        (r#"(workdir: "x")"#, &[Kind::Run]),
        (r#"{"x": (workdir: "y")}"#, &[Kind::RunByName]),
        (r#"(size: "x", count: 3)"#, &[Kind::Log]),
        (r#"{"x": (steps: [Stop])}"#, &[Kind::Tests]),
        (r#"[Run(command: ["x"])]"#, &[Kind::Steps]),
        (r#"{"x": (image: "y")}"#, &[Kind::Services]),
        (r#"(after: ["x"])"#, &[Kind::OnPublish]),
        (r#"{"x": (url: "y")}"#, &[Kind::Notices]),
        ("[80]", &[Kind::Ports]),
        ("7", &[Kind::Number, Kind::Ports, Kind::Integer]),
        ("true", &[Kind::Flag]),
    ];

    #[track_caller]
    fn check(keys: &[(&str, &str)], kinds: &[(&str, Kind)], file: impl Fn(&str, &str) -> String) {
        let names: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        assert_eq!(kinds.iter().map(|(key, _)| *key).collect::<Vec<_>>(), names, "kinds and keys");
        for (key, kind) in kinds {
            for (sample, takers) in SAMPLES {
                let (_, errors) = decode::decode(&file(key, sample));
                assert_eq!(errors.is_empty(), takers.contains(kind), "{key}: {sample}: {errors:?}");
            }
        }
    }

    #[test]
    fn every_key_takes_its_kind_and_no_other() {
        check(TOP_KEYS, TOP_KINDS, |key, sample| format!("({key}: {sample})"));
        check(IMAGE_KEYS, IMAGE_KINDS, |key, sample| format!("(defaults: ({key}: {sample}))"));
        check(TEST_KEYS, TEST_KINDS, |key, sample| {
            format!("(defaults: (tests: {{\"t\": ({key}: {sample})}}))")
        });
        for (step, keys) in STEPS {
            let kinds: Vec<(&str, Kind)> = keys.iter().map(|(key, _)| (*key, of_step(key))).collect();
            check(keys, &kinds, |key, sample| {
                format!("(defaults: (tests: {{\"t\": (steps: [{step}({key}: {sample})])}}))")
            });
        }
        check(RUN_KEYS, RUN_KINDS, |key, sample| format!("(defaults: (run: ({key}: {sample})))"));
        check(ON_PUBLISH_KEYS, ON_PUBLISH_KINDS, |key, sample| format!("(on_publish: ({key}: {sample}))"));
        check(NOTICE_KEYS, NOTICE_KINDS, |key, sample| {
            format!("(on_publish: (notify: {{\"n\": ({key}: {sample})}}))")
        });
        let names = |keys: &[(&'static str, &str)]| keys.iter().map(|(key, _)| *key).collect::<Vec<_>>();
        let kinds: Vec<_> = ENGINE_KINDS.iter().map(|(key, _)| *key).collect();
        assert_eq!(names(ENGINE_KEYS), kinds);
    }
}
