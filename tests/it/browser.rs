//! A real browser without a screen, spoken to over two pipes in its own protocol (`--remote-debugging-pipe`).
//!
//! Knows nothing of imk. A machine without a browser skips the tests that want one, and each says so by its name.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use fs_err as fs;
use serde_json::{Value, json};

/// How long a page has to come to say something, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: File,
    answers: BufReader<File>,
    session: String,
    number: u64,
    /// The browser's profile and the pipes; gone with it.
    _folder: tempfile::TempDir,
}

/// The colours that a person asked their system for.
#[derive(Clone, Copy)]
pub enum Scheme {
    Light,
    Dark,
}

impl Browser {
    /// A browser, or `None` with a loud word where there is none.
    pub fn open_or_skip(test: &str) -> Option<Self> {
        let known = ["chromium", "chromium-browser", "google-chrome"];
        let found = known.into_iter().find(|name| {
            Command::new(name)
                .arg("--version")
                .stderr(Stdio::null())
                .output()
                .is_ok_and(|output| output.status.success())
        });
        let Some(program) = found else {
            eprintln!("SKIPPED {test}: there is no chromium");
            return None;
        };
        Some(Self::open(program))
    }

    fn open(program: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("imk-test-browser-").tempdir().unwrap();
        for pipe in ["commands", "answers"] {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                folder.path().join(pipe),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RWXU,
                0,
            )
            .unwrap();
        }
        // A browser reads commands at 3 and answers at 4. The sandbox wants rights that containers lack; its pages are ours.
        let script = "exec \"$0\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                      --user-data-dir=profile --remote-debugging-pipe about:blank 3<commands 4>answers";
        let child = Command::new("sh")
            .args(["-c", script, program])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands =
            fs::OpenOptions::new().write(true).open(folder.path().join("commands")).unwrap().into();
        let answers = BufReader::new(fs::File::open(folder.path().join("answers")).unwrap().into());
        let mut browser =
            Self { child, commands, answers, session: String::new(), number: 0, _folder: folder };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attached);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method and waits for its answer; events are passed over.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.attempt(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The same, where the page may be about to become another.
    fn attempt(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        loop {
            let mut answer = Vec::new();
            self.answers.read_until(0, &mut answer).unwrap();
            answer.pop();
            assert!(!answer.is_empty(), "the browser ended at {method}");
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == json!(self.number) {
                return match answer["error"].is_null() {
                    true => Ok(answer["result"].clone()),
                    false => Err(answer["error"].clone()),
                };
            }
        }
    }

    /// Lets pages have scripts, or not.
    pub fn scripts(&mut self, are_on: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !are_on }));
    }

    /// A window of this size, in these colours, for somebody who wants nothing to move.
    pub fn look(&mut self, width: u32, height: u32, scheme: Scheme) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Goes somewhere.
    pub fn go(&mut self, address: &str) {
        let gone = self.call("Page.navigate", json!({ "url": address }));
        assert!(gone["errorText"].is_null(), "{address}: {}", gone["errorText"]);
    }

    /// The document as it is now; nothing while one takes the place of another.
    pub fn html(&mut self) -> String {
        let html = self
            .attempt("DOM.getDocument", json!({ "depth": 0 }))
            .and_then(|root| self.attempt("DOM.getOuterHTML", json!({ "nodeId": root["root"]["nodeId"] })));
        html.map(|html| html["outerHTML"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
    }

    /// Waits until the document has this in it, and gives the document.
    pub fn wait_for(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let html = self.html();
            if html.contains(text) {
                return html;
            }
            assert!(begun.elapsed() < PATIENCE, "`{text}` does not come: {html}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page has all it names, its style sheet too: a page is there before its
    /// colours are.
    pub fn wait_until_loaded(&mut self) {
        let begun = Instant::now();
        while self.evaluate("document.readyState") != "complete" {
            assert!(begun.elapsed() < PATIENCE, "the page is never loaded: {}", self.html());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The value of an expression. The page's policy has no say in it.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let given = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", given);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Types a text where the cursor is.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key: `Tab` or `Enter`.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            other => panic!("no key `{other}`"),
        };
        let down = json!({ "type": if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "key": key, "code": key,
            "windowsVirtualKeyCode": code, "text": text });
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }

    /// Roles and names of all that assistive programs are told of.
    pub fn told_to_assistants(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let text = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] != json!(true));
        nodes.map(|node| (text(node, "role"), text(node, "name"))).collect()
    }

    /// A picture of the whole page, for eyes: only where `IMK_TEST_PICTURES` names a folder.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("IMK_TEST_PICTURES") else { return };
        let picture = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
