//! Files of container-structure-test as people have them, and as nobody should.

use super::*;
use crate::syntax::container::suite::pattern;

#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    let errors = read(text).expect_err("it has mistakes");
    let told = errors.iter().map(|error| {
        let (line, column) = error.span.line_and_column(text);
        format!("{line}:{column}: {}", error.message)
    });
    told.collect()
}

const WHOLE: &str = r#"schemaVersion: '2.0.0' # the newest
globalEnvVars:
  - key: "PATH"
    value: "/env/bin:$PATH"
commandTests:
  - name: "gunicorn flask"
    setup: [["virtualenv", "/env"], ["pip", "install", "gunicorn"]]
    teardown: [["rm", "-r", "/env"]]
    command: "which"
    args: ["gunicorn"]
    envVars: [{key: A, value: "1"}]
    exitCode: 3
    expectedOutput: ["/env/bin/gunicorn"]
    excludedError: ['.*Inst.*Security.* | .*Security.*Inst.*']
fileExistenceTests:
  - {name: Root, path: /, permissions: 'drwxr-xr-x', uid: 0, gid: 7, isExecutableBy: group}
  - {name: Gone, path: /gone, shouldExist: no}
fileContentTests:
  - name: 'Sources'
    path: '/etc/apt/sources.list'
    expectedContents: ['.*httpredir\.debian\.org.*']
metadataTest:
  env: [{key: foo, value: baz.}]
  envVars: [{key: bar, value: 'b.z', isRegex: true}]
  labels: [{key: l, value: x}]
  exposedPorts: ["8080", 2345]
  volumes: ["/test"]
  entrypoint: []
  cmd: ["/bin/bash"]
  workdir: /app
licenseTests:
  - debian: true
containerRunOptions: {user: "root", capabilities: [NET_BIND_SERVICE], allocateTty: true}
"#;

#[test]
fn all_that_the_format_has_is_read() {
    let read = read(WHOLE).unwrap();
    assert_eq!(read.env, [("PATH".to_owned(), "/env/bin:$PATH".to_owned())]);
    assert_eq!((read.options.user.as_deref(), read.options.tty), (Some("root"), true));
    let names: Vec<(&str, usize)> = read.tests.iter().map(|test| (test.name.as_str(), test.line)).collect();
    assert_eq!(names, [("gunicorn flask", 6), ("Sources", 19), ("Root", 16), ("Gone", 17), ("metadata", 23)]);
    let Check::Command(command) = &read.tests[0].check else { panic!("a command") };
    assert_eq!((command.command.join(" ").as_str(), command.status), ("which gunicorn", 3));
    assert_eq!(command.setup.len(), 2);
    let Check::Existence(root) = &read.tests[2].check else { panic!("a path") };
    assert_eq!((root.exists, root.uid, root.gid), (true, Some(0), Some(7)));
    assert_eq!(root.executable_by, Some((0o010, "group".into())));
    let Check::Existence(gone) = &read.tests[3].check else { panic!("a path") };
    assert!(!gone.exists);
    let Check::Metadata(metadata) = &read.tests[4].check else { panic!("metadata") };
    assert_eq!(
        (metadata.entrypoint.as_deref(), metadata.ports.as_slice()),
        (Some(&[][..]), &[8080, 2345][..])
    );
    let whole = |at: usize, value: &str| {
        pattern(&format!("\\A(?:{})\\z", metadata.env[at].1)).unwrap().is_match(value)
    };
    assert!(whole(0, "baz.") && !whole(0, "bazx"), "a value is no pattern");
    assert!(whole(1, "a\nbaz and more") && !whole(1, "ba"), "unless it is");
    assert!(read.left_out[0].1.contains("licence"));
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{"schemaVersion": "2.0.0", "fileExistenceTests": [{"name": "a", "path": "/a", "shouldExist": false}]}"#;
    assert_eq!(read(text).unwrap().tests.len(), 1);
}

#[test]
fn mistakes_are_told_with_their_places() {
    assert_eq!(mistakes("commandTests: []\n"), ["1:1: it has no `schemaVersion`"]);
    assert_eq!(
        mistakes("schemaVersion: 1.0.0\ncommandTests: []\n"),
        ["1:16: the schema version `1.0.0` is not read"]
    );
    assert_eq!(
        mistakes("schemaVersion: 2.0.0\nlicenseTests: [{debian: true}]\n"),
        ["1:1: there is no test in this file that is read"]
    );
    let text = "schemaVersion: 2.0.0
commandTest: []
commandTests:
- name: a
  command: [x]
  exitCode: many
  expectedOutput: 'one'
  excludedOutput: ['(']
- command: x
  setup: [[]]
fileExistenceTests:
- {name: b, path: /, isExecutableBy: me, shouldExist: maybe}
fileContentTests: [x]
metadataTest: {exposedPorts: [http], cdm: []}
containerRunOptions: {privileged: true, bindMounts: ['/:/host']}
";
    insta::assert_snapshot!(mistakes(text).join("\n"), @r#"
    2:1: a file of tests has no key `commandTest`
    5:12: a text is expected here
    6:13: `many` is not a number
    7:19: a list is expected here
    8:20: `(` is no pattern: unclosed group
    9:3: this test needs `name`
    10:11: a command of `setup` is empty
    12:38: `me` is not one of any, owner, group, other
    12:55: `maybe` is neither true nor false
    13:20: a file content test is a map of keys
    15:35: `privileged` is refused: a privileged container has this machine, and a test gets none
    15:53: `bindMounts` is refused: a test gets no folders of this machine: `volumes` of the test are its own
    14:38: a metadata test has no key `cdm`
    14:31: `http` is not a port
    "#);
    for text in ["", "[]", "a", "- x", "{", "a: *b", &"[".repeat(200)] {
        assert!(!read(text).unwrap_err().is_empty(), "{text}");
    }
}

#[test]
fn a_long_file_and_a_deep_one_are_refused() {
    let text = format!("schemaVersion: 2.0.0\n# {}\n", "x".repeat(600 * 1024));
    assert_eq!(mistakes(&text), ["1:1: this file has more than 512 KiB"]);
}

#[test]
fn patterns_mean_what_they_mean_in_go() {
    let finds = |text: &str, within: &str| pattern(&go::pattern(text).unwrap()).unwrap().is_match(within);
    assert!(finds("^a$", "a") && !finds("^a$", "b\na"), "the whole text");
    assert!(finds("(?m)^a$", "b\na"));
    assert!(finds(r#"{"a": 1}"#, r#"x {"a": 1}"#) && finds("a{2}", "aa") && !finds("a{2}$", "a{2}"));
    assert!(finds("a{,3}", "a{,3}") && finds("a{2,}", "aaa"));
    assert!(finds("[[]x", "[x") && finds("[]]x", "]x") && finds("[^]]x", "ax") && !finds("[^]]x$", "]x"));
    assert!(finds("^[[:alpha:]&&]+$", "a&&b") && !finds("^[[:alpha:]]+$", "1"));
    assert!(finds(r"\Qa.b\Ec", "a.bc"));
    assert!(!finds(r"\Qa.b\E", "axb") && finds(r"\Q(", "("));
    assert!(finds(r"\[a\]", "[a]") && finds(r"[\]]", "]") && finds(r"\d+\.\d+", "1.2"));
    for wrong in ["(", "[z-a]", "(?<", "\\"] {
        assert!(go::pattern(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn variables_are_filled_in_as_go_does_it() {
    let known = |name: &str| (name == "A" || name == "A_1").then(|| name.to_lowercase());
    let check = |text: &str, wanted: &str| assert_eq!(expand(text, &known), wanted, "{text}");
    check("$A ${A} $A_1 ${A}B", "a a a_1 aB");
    check("$NONE.${NONE}", ".");
    check("$(id) $ 5 $", "$(id) $ 5 $");
    check("$$ $? $1x ${1}", "  x ");
    check("${} ${A", " A");
    check("é$Aé", "éaé");
}
