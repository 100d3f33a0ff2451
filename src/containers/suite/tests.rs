//! Runs of tests on an engine that fails wherever it is told to: order, clean-up, sweeps, tries and limits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::perform::{Choices, Event, Stage, Verdict, perform};
use super::plan::Planned;
use super::queue::Job;
use super::stage::labels;
use super::sweep::sweep;
use super::{Host, Outcome, Subject, run};
use crate::containers::api::{LABEL, Limit, Output, Reach};
use crate::containers::fake::{Act, FakeContainers, Fault};
use crate::engine::Cancel;
use crate::model::hash::ContentHash;
use crate::state::folder::StateFolder;
use crate::state::receipts::{Receipts, TestRun};
use crate::syntax::container::suite::{Command, File, Image, Service, Step, Test};

/// A repository with one script, which prints what it is told.
struct Scripts;

impl Host for Scripts {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "structure.yaml" => Ok(STRUCTURE.as_bytes().to_vec()),
            "a.sh" => Ok(b"#!/bin/sh\n".to_vec()),
            _ => Err("there is no such file".to_owned()),
        }
    }

    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn run(&self, _: &str, _: &[String], _: &[(String, String)], _: &Limit) -> Result<Output, String> {
        Ok(Output::default())
    }
}

const STRUCTURE: &str = "schemaVersion: 2.0.0
commandTests: [{name: a, setup: [[one], [two]], command: three}]
fileExistenceTests: [{name: b, path: /a}]
";

fn words(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

fn command(line: &str) -> Command {
    Command { command: words(line), ..Command::default() }
}

fn start() -> Step {
    Step::Start { env: BTreeMap::new(), command: None, ready: None }
}

/// A test that does one of everything.
fn whole() -> Test {
    Test {
        volumes: BTreeMap::from([("data".into(), "/data".into())]),
        services: BTreeMap::from([("db".into(), Service { image: "db".into(), ..Service::default() })]),
        steps: vec![
            Step::Image(Image { user: Some("app".into()), ..Image::default() }),
            Step::Run(command("one")),
            start(),
            Step::Exec(command("two")),
            Step::File(File {
                path: "/a".into(),
                exists: true,
                content: vec!["x".into()],
                ..File::default()
            }),
            Step::Stop,
            start(),
            Step::Structure { file: "structure.yaml".into() },
            Step::Script {
                file: "a.sh".into(),
                args: Vec::new(),
                inside: Some("db".into()),
                status: 0,
                out: Vec::new(),
            },
        ],
        ..Test::default()
    }
}

fn engine() -> FakeContainers {
    FakeContainers::default()
        .with_image("app", json!({"User": "app", "Cmd": ["serve"]}))
        .with_image("db", json!({}))
        .with_file("/a", "x\n")
}

fn subject() -> Subject {
    Subject {
        name: "app".into(),
        id: "app".into(),
        labels: labels("me", "now", false),
        mark: "mark".into(),
        ..Subject::default()
    }
}

fn once(containers: &FakeContainers, test: &Test) -> Outcome {
    run(containers, &Scripts, &subject(), test, &Cancel::default())
}

fn failed(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(lines) => lines.join("\n"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_test_does_its_steps_in_order_and_takes_everything_away() {
    let containers = engine();
    assert_eq!(once(&containers, &whole()), Outcome::Passed(1));
    insta::assert_snapshot!(containers.asked().join("\n"), @r#"
    create network mark
    create volume mark-0
    create db `` in mark
    start c1
    state c1
    image app
    create app `one` in mark
    converse c2
    create app `` in mark
    start c3
    state c3
    exec c3 `two`
    file facts c3 /a
    file c3 /a
    remove c3
    create app `` in mark
    start c4
    state c4
    image app
    create app `one` in mark
    converse c5
    commit c5
    create i6 `two` in mark
    converse c7
    commit c7
    create i8 `three` in mark
    converse c9
    image app
    create app `` in mark
    file facts c10 /a
    create db `/imk-test` in mark
    put c11 /
    converse c11
    remove c11
    remove c10
    remove c9
    remove c7
    remove c5
    remove c4
    remove c3
    remove c2
    remove c1
    remove image i8
    remove image i6
    remove volume mark-0
    remove network mark
    "#);
    assert!(containers.there().is_empty(), "{:?}", containers.there());
}

#[test]
fn whatever_request_fails_and_however_nothing_stays_and_nobody_elses_is_touched() {
    let clean = engine();
    once(&clean, &whole());
    let count = clean.asked().len();
    assert!(count > 40, "{count}");
    for number in 0..count {
        for kind in 0..4 {
            let containers = engine();
            let foreign = BTreeMap::from([("theirs".to_owned(), "yes".to_owned())]);
            containers.put_there("theirs", &foreign);
            let before = containers.there();
            let cancel = Cancel::default();
            let fault = match kind {
                0 => Fault::Refused,
                1 => Fault::AnswerLost,
                2 => Fault::Stopped(cancel.clone()),
                _ => Fault::Gone,
            };
            containers.fails_at(number, fault);
            let outcome = run(&containers, &Scripts, &subject(), &whole(), &cancel);
            let what = format!("request {number}, {}, fault {kind}", clean.asked()[number]);
            let begins_removal = clean.asked().iter().rposition(|it| it.starts_with("converse")).unwrap();
            match kind {
                2 if number <= begins_removal => assert_eq!(outcome, Outcome::Interrupted, "{what}"),
                _ if number > begins_removal => assert_eq!(outcome, Outcome::Passed(1), "{what}"),
                // A file that cannot be looked at is told with the others of its step, and all of it fails.
                _ => assert!(!failed(&outcome).is_empty(), "{what}"),
            }
            // What could not be removed, or was made without a word, the run's last sweep removes.
            containers.is_back();
            sweep(&containers, "me", |run| run == "now").unwrap();
            assert_eq!(containers.there(), before, "{what}");
        }
    }
}

#[test]
fn a_sweep_takes_what_is_ours_and_over_and_nothing_else() {
    let pair = |name: &str, values: &[Option<&str>]| -> Vec<Option<(String, String)>> {
        values.iter().map(|value| value.map(|value| (name.to_owned(), value.to_owned()))).collect()
    };
    let mut count = 0;
    let mut expected = BTreeSet::new();
    let containers = FakeContainers::default();
    for made_for in pair(LABEL, &[Some("test"), Some("run"), Some(""), None]) {
        for owner in pair("imk.owner", &[Some("me"), Some("you"), Some("me2"), None]) {
            for run in pair("imk.run", &[Some("over"), Some("now"), Some(""), None]) {
                for kept in pair("imk.kept", &[Some("yes"), Some(""), None]) {
                    count += 1;
                    let name = format!("{count:03}");
                    let labels: BTreeMap<String, String> =
                        [&made_for, &owner, &run, &kept].into_iter().flatten().cloned().collect();
                    let has = |name: &str, value: &str| labels.get(name).is_some_and(|it| it == value);
                    let goes = has(LABEL, "test")
                        && has("imk.owner", "me")
                        && has("imk.run", "over")
                        && kept.is_none();
                    if !goes {
                        expected.insert(format!("container {name}"));
                        expected.insert(format!("network {name}"));
                        expected.insert(format!("volume {name}"));
                        if !labels.is_empty() {
                            expected.insert(format!("image {name}"));
                        }
                    }
                    containers.put_there(&name, &labels);
                }
            }
        }
    }
    let swept = sweep(&containers, "me", |run| run == "over").unwrap();
    assert_eq!((count, swept.count, swept.left.is_none()), (192, 4, true));
    assert_eq!(containers.there().into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_sweep_that_fails_at_one_thing_goes_on_with_the_others() {
    let containers = FakeContainers::default();
    containers.put_there("a", &labels("me", "over", false));
    containers.put_there("b", &labels("me", "over", false));
    containers.fails_at(1, Fault::Refused);
    let swept = sweep(&containers, "me", |_| true).unwrap();
    assert_eq!(swept.count, 7);
    assert!(swept.left.unwrap().to_string().contains("remove a"));
    assert_eq!(containers.there(), ["container a"]);
    // The next one tries again.
    assert_eq!(sweep(&containers, "me", |_| true).unwrap().count, 1);
}

fn ends(status: i64) -> Act {
    Act::Ends(Output { status, ..Output::default() })
}

#[test]
fn a_test_is_tried_as_often_as_it_may_be_each_time_from_nothing() {
    for (failures, tries, passes) in [(0, 1, true), (1, 1, false), (2, 3, true), (3, 3, false), (1, 5, true)]
    {
        let mut acts = vec![ends(1); failures];
        acts.push(ends(0));
        let containers = engine().with_command("flaky", &acts);
        let test = Test {
            tries: Some(tries),
            volumes: BTreeMap::from([("data".into(), "/data".into())]),
            steps: vec![Step::Run(command("flaky"))],
            ..Test::default()
        };
        let outcome = once(&containers, &test);
        let tried = u32::try_from(failures).unwrap() + 1;
        match passes {
            true => assert_eq!(outcome, Outcome::Passed(tried)),
            false => assert!(failed(&outcome).contains("step 1, Run `flaky`"), "{outcome:?}"),
        }
        let made = containers.asked().iter().filter(|it| it.starts_with("create volume")).count();
        assert_eq!(made, usize::try_from(tried.min(tries)).unwrap(), "a volume for each try");
        assert!(containers.there().is_empty());
    }
}

#[test]
fn what_never_ends_is_ended_when_its_time_is_over() {
    let steps: [(&str, Vec<Step>); 4] = [
        ("a command", vec![Step::Run(command("hangs"))]),
        ("a command inside", vec![start(), Step::Exec(command("hangs"))]),
        ("a setup", vec![Step::Structure { file: "structure.yaml".into() }]),
        ("health", vec![start()]),
    ];
    for (what, steps) in steps {
        let mut containers = engine()
            .with_command("hangs", &[Act::Hangs])
            .with_command(" one", &[Act::Hangs])
            .with_command("one", &[Act::Hangs]);
        if what == "health" {
            containers = containers.with_health(&["starting"]);
        }
        let test = Test { timeout: Some(50), steps, ..Test::default() };
        let told = failed(&once(&containers, &test));
        let limit = if what == "health" {
            "its health is `starting` when the time is over"
        } else {
            "longer than the test may"
        };
        assert!(told.contains(limit), "{what}: {told}");
        assert!(containers.there().is_empty(), "{what}");
    }
}

#[test]
fn a_network_that_there_is_no_room_for_is_waited_for() {
    let containers = engine();
    containers.fails_at(0, Fault::Full);
    containers.fails_at(1, Fault::Full);
    assert_eq!(once(&containers, &Test { steps: vec![start()], ..Test::default() }), Outcome::Passed(1));
    assert!(containers.there().is_empty());
    // Not for longer than the test may take.
    let containers = engine();
    (0..1000).for_each(|number| containers.fails_at(number, Fault::Full));
    let test = Test { timeout: Some(50), steps: vec![start()], ..Test::default() };
    assert!(failed(&once(&containers, &test)).contains("address pool"));
}

#[test]
fn health_is_waited_for_and_an_end_is_told_with_its_log() {
    let containers = engine().with_health(&["starting", "starting", "healthy"]);
    assert_eq!(once(&containers, &Test { steps: vec![start()], ..Test::default() }), Outcome::Passed(1));
    let step = Step::Start { env: BTreeMap::new(), command: Some(words("dies")), ready: None };
    let containers = engine().with_command("dies", &[ends(3)]);
    let told = failed(&once(&containers, &Test { steps: vec![step], ..Test::default() }));
    assert!(told.contains("it ended with status 3") && told.contains("a line of the log"), "{told}");
}

#[test]
fn steps_that_need_a_started_container_say_so_and_it_starts_once() {
    let needs = [
        Step::Stop,
        Step::Exec(command("x")),
        Step::Port { port: 80, open: true },
        Step::Http { port: 80, path: "/".into(), status: 200, body: Vec::new() },
    ];
    for step in needs {
        let told = failed(&once(&engine(), &Test { steps: vec![step.clone()], ..Test::default() }));
        assert!(told.contains("`Start` comes first"), "{step:?}: {told}");
    }
    let told = failed(&once(&engine(), &Test { steps: vec![start(), start()], ..Test::default() }));
    assert!(told.contains("`Stop` comes first"), "{told}");
}

#[test]
fn a_script_here_is_refused_where_its_ports_are_out_of_reach() {
    let far =
        FakeContainers::at(Reach::Elsewhere("far.invalid".into())).with_image("app", json!({"Cmd": ["x"]}));
    let script =
        Step::Script { file: "a.sh".into(), args: Vec::new(), inside: None, status: 0, out: Vec::new() };
    let test = Test { ports: vec![80], steps: vec![start(), script], ..Test::default() };
    let told = failed(&once(&far, &test));
    assert!(told.contains("port 40080 of the engine's machine `far.invalid` is out of reach"), "{told}");
}

#[test]
fn a_failed_stage_stays_when_it_is_to_be_kept() {
    let containers = engine().with_command("false", &[ends(1)]);
    let test = Test { steps: vec![start(), Step::Run(command("false"))], ..Test::default() };
    let kept = Subject { keep: true, labels: labels("me", "now", true), ..subject() };
    failed(&run(&containers, &Scripts, &kept, &test, &Cancel::default()));
    assert_eq!(containers.there().len(), 3, "{:?}", containers.there());
    sweep(&containers, "me", |_| true).unwrap();
    assert_eq!(containers.there().len(), 3, "no sweep takes what is kept");
}

fn planned(number: u64, steps: Vec<Step>) -> Planned {
    Planned {
        job: Job { image: "app".into(), test: format!("t{number}") },
        test: Test { steps, ..Test::default() },
        id: "app".into(),
        images: BTreeMap::new(),
        key: Some(ContentHash::of(&number.to_le_bytes())),
    }
}

/// Runs tests, with what was told of each.
fn performed(containers: &FakeContainers, state: &StateFolder, tests: &[Planned]) -> Vec<String> {
    let run = TestRun::begin(state).unwrap();
    let bases = BTreeMap::new();
    let at = Stage { containers, host: &Scripts, run: &run, bases: &bases };
    let todo: Vec<&Planned> = tests.iter().collect();
    let choices = Choices { always: false, keep: false, at_once: 1 };
    let told = parking_lot::Mutex::new(Vec::new());
    let tell = |event: Event<'_>| {
        let line = match event {
            Event::Swept(count) => format!("swept {count}"),
            Event::Left(_) => "left".to_owned(),
            Event::Came(job, verdict) => {
                // Who is told of a pass can rely on its receipt.
                if let Verdict::Passed { .. } = verdict {
                    let number = tests.iter().find(|planned| planned.job == *job).unwrap();
                    assert!(Receipts::read(state).of(&number.key.unwrap(), None).is_some());
                }
                format!("{} {}", job.test, if verdict.is_good() { "well" } else { "badly" })
            }
            Event::ReceiptLost(_) => "receipt lost".to_owned(),
        };
        told.lock().push(line);
    };
    let done = perform(&at, &todo, &mut Receipts::read(state), &choices, &Cancel::default(), &tell);
    let mut told = told.into_inner();
    if let Err(error) = done {
        told.push(error.to_string());
    }
    told
}

#[test]
fn a_pass_has_its_receipt_before_it_is_told_and_a_failure_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::at(folder.path());
    let containers = engine().with_command("false", &[ends(1)]);
    let tests = [
        planned(1, vec![Step::Run(command("true"))]),
        planned(2, vec![Step::Run(command("false"))]),
        planned(3, vec![Step::Run(command("true"))]),
    ];
    assert_eq!(performed(&containers, &state, &tests), ["t1 well", "t2 badly", "t3 well"]);
    let receipts = Receipts::read(&state);
    let has = |planned: &Planned| receipts.of(&planned.key.unwrap(), None).is_some();
    assert_eq!(tests.iter().map(has).collect::<Vec<_>>(), [true, false, true]);
    assert!(containers.there().is_empty());
}

#[test]
fn a_run_that_was_killed_at_any_moment_is_cleaned_up_by_the_next_and_its_passes_stand() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::at(folder.path());
    let tests = || {
        [planned(1, vec![Step::Run(command("one"))]), planned(2, vec![start(), Step::Exec(command("two"))])]
    };
    let clean = engine();
    performed(&clean, &state, &tests());
    for number in 0..clean.asked().len() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let containers = engine();
        // Whoever asks is gone from here on: nothing more is asked, and nothing taken away.
        containers.fails_at(number, Fault::Gone);
        performed(&containers, &state, &tests());
        containers.is_back();
        let told = performed(&containers, &state, &tests());
        assert!(told.ends_with(&["t1 well".to_owned(), "t2 well".to_owned()]), "{number}: {told:?}");
        assert!(containers.there().is_empty(), "{number}: {:?}", containers.there());
    }
}
