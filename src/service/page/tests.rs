//! Words of the pages, over values made up here.

use jiff::Timestamp;

use super::frame::{Frame, Place, Renewal, document};
use super::image::{appearances, image};
use super::job::{LogSeen, job};
use super::jobs::{JobsSeen, dead, history};
use super::overview::overview;
use super::raw;
use super::seen::{
    BranchSeen, ImageSeen, JobSeen, OverviewSeen, RepositorySeen, Standing, StandingImage, Total, Verdict,
};

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn an_image(name: &str, verdict: Verdict, reason: &str) -> ImageSeen {
    ImageSeen { name: name.to_owned(), verdict, reason: reason.to_owned() }
}

fn a_job(id: &str, standing: Standing) -> JobSeen {
    JobSeen {
        id: id.to_owned(),
        repository: "team/images".to_owned(),
        branch: "main".to_owned(),
        commit: "44d27e9096c0ffee44d27e9096c0ffee44d27e90".to_owned(),
        message: "Fix the build".to_owned(),
        occasion: "push",
        standing,
        tries: 1,
        queued_at: second(0),
        started_at: (standing != Standing::Queued).then(|| second(2)),
        ended_at: matches!(standing, Standing::Passed | Standing::Failed | Standing::Dead)
            .then(|| second(61)),
        worker: None,
        summary: String::new(),
        images: Vec::new(),
        record: Vec::new(),
    }
}

fn an_overview() -> OverviewSeen {
    let images = vec![
        an_image("infra-prod", Verdict::Built, "`src/util/text.sh` changed: c9cb → b328"),
        an_image(
            "app1-prod",
            Verdict::Failed,
            "app1-prod ← infra-prod ← `src/util/text.sh` changed: c9cb → b328",
        ),
        an_image("py3dev", Verdict::Fresh, ""),
    ];
    let last = JobSeen {
        images: images.clone(),
        summary: "1 fresh, 1 built, 1 failed".to_owned(),
        ..a_job("j1", Standing::Failed)
    };
    let standing = images
        .into_iter()
        .map(|image| StandingImage { image, job: "j1".to_owned(), since: second(61) })
        .collect();
    let active = a_job("j2", Standing::Running);
    let branch = BranchSeen {
        name: "main".to_owned(),
        last: Some(last.clone()),
        active: Some(active.clone()),
        fresh: 2,
        stale: 1,
        images: standing,
    };
    let repository = RepositorySeen {
        name: "team/images".to_owned(),
        address: "https://git.example.com/team/images.git".to_owned(),
        does: "build, test, publish",
        schedules: vec!["0 4 * * * Europe/Zurich".to_owned()],
        trouble: None,
        branches: vec![branch],
        more_branches: 0,
    };
    OverviewSeen {
        now: second(300),
        repositories: vec![repository],
        page: 1,
        pages: 1,
        total: Total { fresh: 2, stale: 1, failed: 1 },
        running: vec![active],
        queued: vec![a_job("j3", Standing::Queued)],
        running_count: 1,
        queued_count: 1,
        recent: vec![last],
        dead: 1,
    }
}

#[test]
fn the_first_page_says_what_is_stale_and_why() {
    let page = overview(&an_overview()).into_string();
    assert!(page.contains("<h1>1 image is stale</h1>"), "{page}");
    assert!(page.contains("1 running, 1 queued, 1 in the dead-letter list"));
    assert!(page.contains("app1-prod ← infra-prod ← `src/util/text.sh` changed: c9cb → b328"));
    let (stale, fresh) = (page.find("stale, failed").unwrap(), page.find("2 fresh").unwrap());
    assert!(stale < fresh, "what is stale stands first");
}

#[test]
fn the_headline_is_true_when_all_is_well_and_when_nothing_was_done() {
    let mut seen = an_overview();
    seen.total = Total { fresh: 3, stale: 0, failed: 1 };
    assert!(overview(&seen).into_string().contains("<h1>The last job of a branch failed</h1>"));
    seen.total.failed = 0;
    assert!(overview(&seen).into_string().contains("<h1>All 3 images are fresh</h1>"));
    seen.repositories.clear();
    seen.total = Total::default();
    let page = overview(&seen).into_string();
    assert!(page.contains("<h1>Nothing was built yet</h1>") && page.contains("serve.ron"), "{page}");
}

#[test]
fn of_many_some_are_shown_and_there_is_a_way_to_the_others() {
    let mut seen = an_overview();
    (seen.page, seen.pages, seen.queued_count) = (2, 8, 5000);
    let repository = &mut seen.repositories[0];
    repository.more_branches = 40;
    let branch = &mut repository.branches[0];
    let stale = branch.images[1].clone();
    branch.images = vec![stale; 100];
    (branch.fresh, branch.stale) = (7, 100);
    let page = overview(&seen).into_string();
    for link in ["href=\"/?page=1\"", "href=\"/?page=3\"", "?branch=main", "href=\"/jobs?state=queued\""] {
        assert!(page.contains(link), "{link}: {page}");
    }
    assert!(page.contains("and 95 more that are stale") && page.contains("and 40 more branches"), "{page}");
    assert!(page.contains("1 running, 5000 queued") && page.contains("and 4999 more"), "{page}");
    assert_eq!(page.matches("stale, failed").count(), 5);
}

#[test]
fn nothing_of_others_is_markup_or_moves_anything() {
    let evil = "<script>alert(1)</script>\u{202e}\u{1b}[31m\n\"'&";
    let mut seen = an_overview();
    let repository = &mut seen.repositories[0];
    repository.address = evil.to_owned();
    repository.trouble = Some(evil.to_owned());
    repository.schedules = vec![evil.to_owned()];
    repository.branches[0].name = evil.to_owned();
    for image in &mut repository.branches[0].images {
        image.image.name = evil.to_owned();
        image.image.reason = evil.to_owned();
    }
    // Names of repositories and numbers of jobs were checked when they were read.
    let mut one = a_job("j1", Standing::Failed);
    for text in [&mut one.branch, &mut one.commit, &mut one.message, &mut one.summary] {
        evil.clone_into(text);
    }
    one.worker = Some(evil.to_owned());
    one.images = vec![an_image(evil, Verdict::Failed, evil), an_image(evil, Verdict::Fresh, evil)];
    seen.running = vec![one.clone()];
    seen.recent = vec![one.clone()];
    let log = LogSeen { text: super::shown::log(evil.as_bytes()), ..LogSeen::default() };
    let jobs = [one.clone()];
    let some =
        JobsSeen { jobs: &jobs, repository: Some(evil), state: None, older_than: Some(evil), now: second(0) };
    let pages = [
        overview(&seen),
        super::repository::repository(&seen.repositories[0], &jobs, second(0), Some("k")),
        job(&one, &log, second(0), Some("k")),
        job(&JobSeen { standing: Standing::Running, ..one.clone() }, &log, second(0), Some("k")),
        image(evil, evil, &appearances(&jobs, evil), second(0)),
        history(&some),
        dead(&some, None),
        super::sign_in::told("x", evil, true),
        super::sign_in::secret(evil, "s"),
    ];
    for page in pages {
        let page = page.into_string();
        assert!(!page.contains("<script>"), "{page}");
        assert!(!page.contains(['\u{202e}', '\u{1b}']), "{page}");
        assert!(!page.contains("\"'&\""), "{page}");
    }
}

#[test]
fn a_page_has_its_landmarks_one_heading_of_the_first_level_and_no_script_inside() {
    let main = overview(&an_overview());
    let frame = Frame {
        title: "Repositories",
        place: Place::Overview,
        renewal: Renewal::Every(5),
        dead: 1,
        key: None,
    };
    let page = document(&frame, &main).into_string();
    for landmark in
        ["<header>", "<nav aria-label", "<main id=\"main\"", "<footer>", "lang=\"en\"", "href=\"#main\""]
    {
        assert!(page.contains(landmark), "{landmark}");
    }
    assert_eq!(page.matches("<h1>").count(), 1);
    assert!(page.contains("aria-current=\"page\">Repositories<"));
    // One script, of a file; no attribute that is one; no style outside the stylesheet.
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("<script src=\"/-/") && !page.contains(" style=") && !page.contains(" on"));
    assert!(page.contains("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>"));
}

#[test]
fn actions_are_offered_to_whoever_signed_in_and_to_nobody_else() {
    let failed = a_job("j1", Standing::Failed);
    let log = LogSeen::default();
    for key in [None, Some("a-key")] {
        let signed_in = key.is_some();
        let repository = super::repository::repository(&an_overview().repositories[0], &[], second(0), key);
        assert_eq!(repository.into_string().contains("<form"), signed_in);
        assert_eq!(job(&failed, &log, second(0), key).into_string().contains("<form"), signed_in);
    }
    let running = job(&a_job("j1", Standing::Running), &log, second(0), Some("k")).into_string();
    assert!(!running.contains("/-/retry"), "there is nothing to try again");
}

#[test]
fn a_log_is_followed_from_where_the_page_has_it_and_says_what_it_left_out() {
    let log = LogSeen { text: "a\n".to_owned(), skipped: 7, up_to: 9 };
    let page = job(&a_job("j1", Standing::Running), &log, second(9), None).into_string();
    assert!(page.contains("data-follow=\"/jobs/j1/events?from=9\""), "{page}");
    assert!(page.contains("The first 7 bytes are left out"));
    let ended = job(&a_job("j1", Standing::Passed), &log, second(9), None).into_string();
    assert!(!ended.contains("data-follow") && ended.contains("59 s"));
    let none = job(&a_job("j1", Standing::Passed), &LogSeen::default(), second(9), None).into_string();
    assert!(none.contains("not kept any longer"));
}

#[test]
fn an_images_page_lists_its_builds_and_counts_the_jobs_that_found_it_fresh() {
    let with = |id: &str, verdict, reason: &str| JobSeen {
        images: vec![an_image("web", verdict, reason)],
        ..a_job(id, Standing::Passed)
    };
    let jobs = [
        with("j3", Verdict::Fresh, ""),
        with("j2", Verdict::Built, "`src/main.rs` changed: a1b2 → c3d4"),
        a_job("j1", Standing::Passed),
    ];
    let page = image("team/images", "web", &appearances(&jobs, "web"), second(99)).into_string();
    assert!(page.contains("/jobs/j2") && page.contains("`src/main.rs` changed: a1b2 → c3d4"), "{page}");
    assert!(page.contains("by 1 other job.") && !page.contains("/jobs/j1"));
}

#[test]
fn a_status_in_text_is_what_older_scripts_read() {
    let mut passed = a_job("j1", Standing::Passed);
    passed.record = vec![
        "- commit 44d27e9096 (Fix the build)".to_owned(),
        "- say hello".to_owned(),
        "[passed] echo \"$MESSAGE ($COMMIT_SHORT)\" > BUILD... (0 seconds)".to_owned(),
    ];
    assert_eq!(
        raw::text(&passed),
        "- commit 44d27e9096 (Fix the build)\n- say hello\n[passed] echo \"$MESSAGE ($COMMIT_SHORT)\" > BUILD... (0 seconds)\n"
    );
    let mut failed = a_job("j2", Standing::Failed);
    failed.images = vec![
        an_image("base", Verdict::Fresh, ""),
        an_image("web", Verdict::Failed, "`a\nb` changed"),
        an_image("api", Verdict::Waiting, ""),
    ];
    assert_eq!(
        raw::lines(&failed)[1..],
        [
            "- imk ci of team/images",
            "[passed] base: fresh",
            "[failed] web: failed, `a\\nb` changed",
            "[skipped] api: waits for a base",
        ]
    );
    let json = raw::json(&failed);
    assert_eq!((json["ok"].as_bool(), json["seconds"].as_i64()), (Some(false), Some(59)));
    assert_eq!(json["log"].as_array().unwrap().len(), 5);
    let died = JobSeen { summary: "the worker went away".to_owned(), ..a_job("j3", Standing::Dead) };
    assert_eq!(raw::lines(&died).last().unwrap(), "* the worker went away");
}
