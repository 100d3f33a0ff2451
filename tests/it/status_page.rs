//! The service's pages as a person meets them, in a real browser, with JavaScript and without.
//!
//! Server, queue and logs are the real ones; the worker is this test, so that nothing depends on how fast a build is.

use std::sync::Arc;
use std::time::Duration;

use imk::runtime;
use imk::service::http::{listen, router};
use imk::service::logs::FileLogs;
use imk::service::model::{ImageOutcome, JobId, Labels, Occasion, Outcome, RepositoryName, Verdict, Work};
use imk::service::queue::sqlite::SqliteQueue;
use imk::service::queue::{Lease, Rules, Worker};
use imk::service::shared::Shared;
use imk::service::token::Token;
use imk::syntax::serve::{Repository, Running, Settings};
use tokio::runtime::Runtime;

use crate::browser::{Browser, Scheme};

const EVIL: &str =
    "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>\u{202e}\u{1b}[31m";

/// A service on a port of its own, with two repositories.
struct Service {
    shared: Arc<Shared>,
    address: String,
    _runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        for name in ["team/images", "other"] {
            let url = format!("https://git.example.com/{name}.git");
            settings.repositories.insert(RepositoryName::new(name).unwrap(), Repository::at(&url));
        }
        let queue = SqliteQueue::in_memory(Rules { lease: Duration::from_secs(3600), tries: 1 }).unwrap();
        let logs = FileLogs::open(&folder.path().join("logs"), 1 << 20).unwrap();
        let shared = Arc::new(Shared::new(settings, folder.path(), Arc::new(queue), Arc::new(logs)));
        let runtime = runtime::start().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(listen::serve(listener, None, router(Arc::clone(&shared)), shared.ending()));
        Self { shared, address, _runtime: runtime, _folder: folder }
    }

    fn offer(&self, repository: &str, message: &str, commit: char) -> JobId {
        let work = Work {
            repository: RepositoryName::new(repository).unwrap(),
            branch: "main".to_owned(),
            commit: commit.to_string().repeat(40),
            message: message.to_owned(),
            occasion: Occasion::Push,
            hints: Labels::new(),
            delivery: None,
            pull_request: None,
        };
        self.shared.queue.offer(&work, Running::Finish).unwrap().job().unwrap()
    }

    fn take(&self) -> Lease {
        let worker = Worker { name: "here".to_owned(), labels: Labels::new() };
        self.shared.queue.take(&worker).unwrap().expect("a job waits")
    }

    fn say(&self, job: JobId, text: &str) {
        self.shared.logs.append(job, text.as_bytes()).unwrap();
    }

    fn finish(&self, lease: &Lease, ok: bool, images: &[(&str, Verdict, &str)]) {
        let image = |(name, verdict, reason): &(&str, Verdict, &str)| ImageOutcome {
            name: (*name).to_owned(),
            verdict: *verdict,
            reason: (*reason).to_owned(),
        };
        let summary =
            if ok { "1 fresh, 1 built, 0 failed in 3.1s" } else { "1 fresh, 1 built, 1 failed in 3.1s" };
        let images = images.iter().map(image).collect();
        let outcome = Outcome { ok, summary: summary.to_owned(), images, ..Outcome::default() };
        self.shared.queue.finish(lease, &outcome).unwrap();
    }

    /// Something of everything: a job that failed, one that runs, one that waits, a dead one.
    fn with_a_past() -> (Self, Lease) {
        let service = Self::start();
        let chain = "app1-prod ← infra-prod ← `src/util/text.sh` changed: c9cb → b328";
        service.offer("team/images", "Say the version", 'a');
        let lease = service.take();
        service.say(lease.job.id, "py3dev: fresh\ninfra-prod: `src/util/text.sh` changed: c9cb → b328\n");
        let images = [
            ("py3dev", Verdict::Fresh, ""),
            ("infra-prod", Verdict::Built, "`src/util/text.sh` changed: c9cb → b328"),
            ("app1-prod", Verdict::Failed, chain),
        ];
        service.finish(&lease, false, &images);
        service.offer("other", EVIL, 'd');
        let dies = service.take();
        service.say(dies.job.id, EVIL);
        service.shared.queue.fail(&dies, EVIL).unwrap();
        service.offer("team/images", "Mend it", 'b');
        let running = service.take();
        service.say(running.job.id, "fetched\n");
        service.offer("other", "And this too", 'c');
        (service, running)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// The lowest contrast of any text on the page, and the text.
const CONTRAST: &str = r"(() => {
  const rgb = (c) => (c.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255, v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  let worst = [99, ''];
  for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.closest('noscript, .unseen') || !e.getClientRects().length) continue;
    let under = e, back;
    while (under && ((back = rgb(getComputedStyle(under).backgroundColor)), back.length === 4 && back[3] === 0)) under = under.parentElement;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.textContent.slice(0, 40)];
  }
  return worst;
})()";

#[test]
fn pages_are_read_with_and_without_javascript() {
    let Some(mut browser) = Browser::open_or_skip("pages_are_read_with_and_without_javascript") else {
        return;
    };
    let (service, running) = Service::with_a_past();
    for scripts in [false, true] {
        browser.scripts(scripts);
        browser.go(&service.address);
        let page = browser.wait_for("1 image is stale");
        assert!(page.contains("app1-prod ← infra-prod ← `src/util/text.sh` changed: c9cb → b328"), "{page}");
        assert!(page.contains("1 running, 1 queued, 1 in the dead-letter list"));
        browser.go(&format!("{}/repositories/team/images?image=app1-prod", service.address));
        browser.wait_for("stale, failed");
        browser.go(&format!("{}/repositories/team/images", service.address));
        browser.wait_for("https://git.example.com/team/images.git");
        browser.go(&format!("{}/jobs/{}", service.address, running.job.id));
        let page = browser.wait_for("fetched\n</pre>");
        assert!(page.contains("Mend it") && page.contains("running"));
        browser.go(&format!("{}/jobs?state=dead", service.address));
        // What others wrote stands there, and did nothing.
        let page = browser.wait_for("&lt;script&gt;");
        assert!(
            page.contains("\\u{202e}") && !page.contains('\u{202e}') && !page.contains("<title>owned"),
            "{page}"
        );
    }
}

#[test]
fn a_log_grows_while_it_is_looked_at_and_the_page_says_how_it_ended() {
    let name = "a_log_grows_while_it_is_looked_at_and_the_page_says_how_it_ended";
    let Some(mut browser) = Browser::open_or_skip(name) else { return };
    let (service, running) = Service::with_a_past();
    let address = format!("{}/jobs/{}", service.address, running.job.id);
    browser.go(&address);
    browser.wait_for("Following the log.");
    // A line that is not whole yet is shown when it is.
    service.say(running.job.id, "step one\nhalf a ");
    let page = browser.wait_for("fetched\nstep one\n");
    assert!(!page.contains("half a "), "{page}");
    service.say(running.job.id, &format!("line\n\u{1b}[32m{EVIL}\n"));
    let page = browser.wait_for("half a line\n&lt;script&gt;");
    assert!(!page.contains("<title>owned") && !page.contains('\u{202e}'), "{page}");
    service.say(running.job.id, "the last words");
    service.finish(&running, true, &[("app1-prod", Verdict::Built, "the build failed last time")]);
    let page = browser.wait_for("1 fresh, 1 built, 0 failed in 3.1s");
    assert!(page.contains("the last words") && page.contains("the build failed last time"), "{page}");
    assert!(!page.contains("data-follow"), "{page}");
}

#[test]
fn without_javascript_a_log_grows_by_loading_the_page_again() {
    let name = "without_javascript_a_log_grows_by_loading_the_page_again";
    let Some(mut browser) = Browser::open_or_skip(name) else { return };
    let (service, running) = Service::with_a_past();
    browser.scripts(false);
    browser.go(&format!("{}/jobs/{}", service.address, running.job.id));
    browser.wait_for("fetched\n");
    service.say(running.job.id, "step one\n");
    browser.wait_for("fetched\nstep one\n");
}

#[test]
fn the_first_page_stays_true_while_it_is_open() {
    let Some(mut browser) = Browser::open_or_skip("the_first_page_stays_true_while_it_is_open") else {
        return;
    };
    let (service, running) = Service::with_a_past();
    browser.go(&service.address);
    browser.wait_for("1 running, 1 queued");
    service.finish(&running, true, &[("app1-prod", Verdict::Built, "the build failed last time")]);
    browser.wait_for("0 running, 1 queued");
    assert_eq!(
        browser.evaluate("performance.getEntriesByType('navigation').length"),
        1,
        "it was not loaded again"
    );
}

#[test]
fn whoever_signs_in_by_keyboard_can_try_a_dead_job_again() {
    let name = "whoever_signs_in_by_keyboard_can_try_a_dead_job_again";
    let Some(mut browser) = Browser::open_or_skip(name) else { return };
    let (service, _running) = Service::with_a_past();
    browser.go(&format!("{}/jobs?state=dead", service.address));
    let page = browser.wait_for("Sign in to try it again");
    assert!(!page.contains("<form"), "nothing is offered to a reader");
    browser.go(&format!("{}/-/sign-in", service.address));
    browser.wait_for("<label for=\"token\">");
    let focus = |browser: &mut Browser, wanted: &str| {
        for _ in 0..20 {
            browser.press("Tab");
            if browser.evaluate("document.activeElement.id || document.activeElement.textContent") == wanted {
                return;
            }
        }
        panic!("the keyboard never comes to `{wanted}`");
    };
    focus(&mut browser, "token");
    browser.type_text("a wrong token of some length");
    browser.press("Enter");
    browser.wait_for("That is not the token.");
    focus(&mut browser, "token");
    let token = Token::open(&service.shared.state).unwrap().shown().to_owned();
    browser.type_text(&token);
    browser.press("Enter");
    browser.wait_for("Sign out");
    browser.go(&format!("{}/jobs?state=dead", service.address));
    browser.wait_for("Try again");
    focus(&mut browser, "Try again");
    browser.press("Enter");
    let page = browser.wait_for("The job has not begun.");
    assert!(page.contains("queued"), "{page}");
    let cookie = browser.evaluate("document.cookie");
    assert_eq!(cookie, "", "no script reads the session");
}

#[test]
fn pages_can_be_used_by_everybody() {
    let Some(mut browser) = Browser::open_or_skip("pages_can_be_used_by_everybody") else { return };
    let (service, running) = Service::with_a_past();
    let job = format!("/jobs/{}", running.job.id);
    let paths = [
        ("overview", "/"),
        ("repository", "/repositories/team/images"),
        ("image", "/repositories/team/images?image=app1-prod"),
        ("job", job.as_str()),
        ("jobs", "/jobs"),
        ("dead", "/jobs?state=dead"),
        ("sign-in", "/-/sign-in"),
        ("missing", "/jobs/99999"),
    ];
    for (scheme, scheme_name) in [(Scheme::Light, "light"), (Scheme::Dark, "dark")] {
        for width in [1200, 320] {
            browser.look(width, 900, scheme);
            for (name, path) in paths {
                browser.go(&format!("{}{path}", service.address));
                browser.wait_for("</footer>");
                browser.wait_until_loaded();
                browser.picture(&format!("{name}-{scheme_name}-{width}"));
                let worst = browser.evaluate(CONTRAST);
                assert!(worst[0].as_f64().unwrap() >= 4.5, "{path} in {scheme_name}: {worst}");
                let wide = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth");
                assert!(wide.as_i64().unwrap() <= 0, "{path} at {width}: scrolls to the side by {wide}");
                let told = browser.told_to_assistants();
                for role in ["banner", "navigation", "main", "contentinfo"] {
                    assert_eq!(told.iter().filter(|(is, _)| is == role).count(), 1, "{path}: {role}");
                }
                assert_eq!(browser.evaluate("document.querySelectorAll('h1').length"), 1, "{path}");
                for (role, name) in &told {
                    let wants_a_name =
                        ["link", "button", "textbox", "table", "heading"].contains(&role.as_str());
                    assert!(!wants_a_name || !name.trim().is_empty(), "{path}: a {role} without a name");
                }
                assert_eq!(browser.evaluate("document.getAnimations().length"), 0, "{path}: something moves");
                let levels = "[...document.querySelectorAll('h1,h2,h3')].map((h) => +h.tagName[1])";
                let levels: Vec<i64> = serde_json::from_value(browser.evaluate(levels)).unwrap();
                assert!(levels.windows(2).all(|pair| pair[1] - pair[0] <= 1), "{path}: {levels:?}");
            }
        }
    }
}
