//! Commands for a platform that the machine does not run: by qemu-user, where the machine has it.
//!
//! The kernel starts an emulator for programs that are registered with it (binfmt_misc). A test registers one for arm64 where there
//! is none, in a mount that no other process sees, and takes it away again; each test says by name why it was skipped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fs_err as fs;

use crate::sandbox::{Sandbox, engine_or_skip};
use crate::second_engine::SecondEngine;

/// The beginning of a program for arm64, and which of its bits count (qemu's own `qemu-binfmt-conf.sh`).
const MAGIC: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
const MASK: &str = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
const QEMU: &str = "/usr/bin/qemu-aarch64-static";

/// An emulator that the kernel knows. One that a test registered goes with it.
struct Emulator {
    holder: Option<Child>,
}

impl Emulator {
    /// The machine's own, else one of this test's.
    fn or_skip(test: &str) -> Option<Self> {
        let skip = |why: &str| eprintln!("{test}: SKIPPED: {why}");
        if cfg!(not(target_arch = "x86_64")) {
            skip("it emulates arm64 on amd64");
            return None;
        }
        let mut looked = in_binfmt("grep -ls '^enabled' * | xargs -r grep -l -e aarch64 -e arm64; true");
        let looked = looked.stdin(Stdio::null()).output().ok().filter(|output| output.status.success());
        let Some(looked) = looked else {
            skip("this machine has no binfmt_misc, or lets nobody mount it");
            return None;
        };
        if !looked.stdout.trim_ascii().is_empty() {
            return Some(Self { holder: None });
        }
        if !Path::new(QEMU).exists() {
            skip("there is no qemu-aarch64-static (Debian: qemu-user-static)");
            return None;
        }
        let name = format!("imk-test-{}", std::process::id());
        // F opens the emulator now, so that it is there in containers as well. From Linux 6.7 on an entry goes with
        // the last mount, so this process keeps its own until its input ends.
        let script = format!(
            "printf '%s' ':{name}:M::{MAGIC}:{MASK}:{QEMU}:F' >register && echo there && cat && echo -1 >{name}"
        );
        let holder = in_binfmt(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let mut emulator = Self { holder: Some(holder) };
        let said = emulator.holder.as_mut().and_then(|holder| holder.stdout.take());
        let mut line = String::new();
        let _ = said.map(|said| BufReader::new(said).read_line(&mut line));
        if line.trim() != "there" {
            skip("this user may not register an emulator");
            return None;
        }
        Some(emulator)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            let _ = holder.wait();
        }
    }
}

/// A script in the kernel's list of emulators, mounted for its process alone.
fn in_binfmt(script: &str) -> Command {
    let script = format!(
        "folder=$(mktemp -d) && mount -t binfmt_misc binfmt_misc \"$folder\" && cd \"$folder\" && {{ {script}; }}; \
         status=$?; cd /; umount \"$folder\"; rmdir \"$folder\"; exit $status"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    command
}

/// Debian's static busybox for arm64.
fn foreign_busybox_or_skip(test: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = folder.join("debian/busybox-arm64");
    let mut command = Command::new("bash");
    command
        .arg(root.join("ci/debian"))
        .args(["--arch", "arm64", "bookworm"])
        .arg(&folder)
        .arg("busybox-static");
    let output = command.output().ok()?;
    if !output.status.success() {
        eprintln!("{test}: SKIPPED: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    ["usr/bin/busybox", "bin/busybox"].into_iter().map(|path| folder.join(path)).find(|path| path.exists())
}

/// An image for both platforms that writes down on which machine its command ran.
fn parts(test: &str) -> Option<(Emulator, Sandbox)> {
    let sandbox = engine_or_skip(test)?;
    let emulator = Emulator::or_skip(test)?;
    let foreign = foreign_busybox_or_skip(test)?;
    sandbox.write_all(
        "
        //- Imagefile.ron
        (images: {\"app\": (platforms: [\"linux/amd64\", \"linux/arm64\"])})
        //- app/Dockerfile
        FROM scratch
        ARG TARGETARCH
        COPY $TARGETARCH /busybox
        COPY mark /mark
        RUN [\"/busybox\", \"sh\", \"-c\", \"/busybox uname -m >/machine\"]
        //- app/mark
        one
        ",
    );
    // Unlike that of any other run, so that no cache has the command.
    sandbox.edit("app/mark", &format!("{} {:?}\n", std::process::id(), std::time::SystemTime::now()));
    fs::copy(crate::sandbox::busybox(), sandbox.path("app/amd64")).unwrap();
    fs::copy(foreign, sandbox.path("app/arm64")).unwrap();
    Some((emulator, sandbox))
}

#[test]
fn a_command_for_another_platform_is_emulated_and_that_is_said() {
    let Some((_emulator, sandbox)) = parts("emulated") else { return };
    let run = sandbox.imk("");
    let err = run.err();
    run.says("0 fresh, 2 built, 0 failed");
    assert!(err.contains("app@linux/arm64: commands for linux/arm64 are emulated on linux/amd64"), "{err}");
    assert!(!err.contains("commands for linux/amd64"), "{err}");
    assert_eq!(sandbox.file_in("app:latest", "/machine"), "x86_64\n");
    assert_eq!(sandbox.file_in("app:latest-linux-arm64", "/machine"), "aarch64\n");
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    // A command that fails there is told as anywhere.
    let text = fs::read_to_string(sandbox.path("app/Dockerfile")).unwrap();
    sandbox.edit("app/Dockerfile", &(text + "RUN [\"/busybox\", \"false\"]\n"));
    let err = sandbox.imk("build app@arm64").code(2).err();
    assert!(err.contains("emulated on") && !err.contains("runs no linux/arm64 program"), "{err}");
}

#[test]
fn an_engine_that_runs_the_platform_itself_comes_before_one_that_emulates_it() {
    let Some((_emulator, sandbox)) = parts("emulated-fleet") else { return };
    // In truth it emulates as well; it is said to run arm64, as a machine of that kind would be.
    let other = SecondEngine::start();
    let run = sandbox.imk(&format!("--engine default --engine {},platforms=linux/arm64", other.host()));
    let err = run.err();
    run.success();
    assert!(err.contains(&format!("app@linux/arm64: on engine `{}`", other.host())), "{err}");
    assert!(!err.contains("emulated"), "{err}");
    let ids = other.docker(&["images", "-aq"]);
    assert_eq!(ids.lines().count(), 1, "the one for arm64 alone: {ids}");
}
