//! The program as a user who is not root.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::image::of_store;
use crate::sandbox::{Sandbox, busybox};

/// A user without a name and without ranges of others.
const NOBODY: u32 = 54_321;

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `imk` with these words, by somebody who is not root; the sandbox becomes theirs.
pub fn as_user(sandbox: &Sandbox, words: &str) -> Command {
    if !is_root() {
        return sandbox.command("", words);
    }
    let store = sandbox.store();
    let folders = [sandbox.root(), store.parent().unwrap()];
    let owner = NOBODY.to_string();
    let status = Command::new("chown").arg("-R").arg(format!("{owner}:{owner}")).args(folders).status();
    assert!(status.unwrap().success());
    let words_before =
        ["--reuid", &owner, "--regid", &owner, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let mut command = sandbox.under("setpriv", &words_before, words);
    command.env("HOME", "/nowhere");
    command
}

/// A user with a range of others, made for one test.
struct Ranged {
    name: String,
    id: String,
    group: String,
}

impl Ranged {
    /// Makes it; says why not.
    fn make() -> Result<Self, String> {
        if !is_root() {
            return Err("only root makes users".into());
        }
        let name = format!("imk-t{}", std::process::id());
        let first = 100_000_000 + u64::from(std::process::id() % 10_000) * 65_536;
        let range = format!("{first}-{}", first + 65_535);
        let ran = |program: &str, words: &[&str]| match Command::new(program).args(words).output() {
            Ok(done) if done.status.success() => Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned()),
            Ok(done) => Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr))),
            Err(error) => Err(format!("{program}: {error}")),
        };
        ran("newuidmap", &["--help"])
            .or_else(|why| if why.contains("usage") { Ok(why) } else { Err(why) })?;
        ran("useradd", &["--system", "--no-create-home", &name])?;
        // `newgidmap` asks that it runs in its own first group, whose number may be another.
        let (id, group) = (ran("id", &["-u", &name])?, ran("id", &["-g", &name])?);
        let user = Self { id, group, name: name.clone() };
        ran("usermod", &["--add-subuids", &range, "--add-subgids", &range, &name])?;
        Ok(user)
    }

    /// Gives this user all that is in a sandbox. Once: what a build makes there belongs to others of the range.
    fn own(&self, sandbox: &Sandbox) {
        let folders = [sandbox.root(), sandbox.store().parent().unwrap()].map(std::path::Path::to_owned);
        let owner = format!("{}:{}", self.id, self.group);
        let chown = Command::new("chown").arg("-R").arg(owner).args(folders).status();
        assert!(chown.unwrap().success());
    }

    /// `imk` by this user, in other surroundings than the tests have.
    fn imk(&self, sandbox: &Sandbox, words: &str) -> Command {
        let setpriv =
            format!("setpriv --reuid={} --regid={} --clear-groups --inh-caps=-all", self.id, self.group);
        let script = format!("umask 077; exec {setpriv} \"$@\"");
        let mut command = sandbox.under("sh", &["-c", &script, "sh"], words);
        command.env("HOME", sandbox.root()).env("TZ", "Pacific/Auckland").env("LC_ALL", "tr_TR.UTF-8");
        command
    }
}

impl Drop for Ranged {
    fn drop(&mut self) {
        // The ranges go with it.
        let _ = Command::new("userdel").arg(&self.name).output();
    }
}

/// An image with files of many users, of which some are made by one who is not root.
const MANY: &str = r#"
    //- many/Dockerfile
    FROM scratch AS base
    COPY busybox /bin/busybox
    RUN ["/bin/busybox", "--install", "-s", "/bin"]
    COPY passwd group /etc/
    FROM base AS other
    RUN mkdir /o && echo 1 >/o/f && chown -R 1000:100 /o && chmod 4750 /o/f
    FROM base
    COPY --chown=www-data:www-data tree /srv/
    RUN i=1; mkdir /many; while [ $i -le 200 ]; do echo $i >/many/$i; chown $i:$((i+1)) /many/$i; i=$((i+1)); done
    RUN mkdir -p /var/lib/dpkg /tmp && chmod 1777 /tmp && chown 1000 /var/lib && ln /many/1 /many/one && rm /many/2
    COPY --from=other /o /copied
    USER www-data
    RUN id -u >/tmp/who; id -g >>/tmp/who; echo mine >/tmp/mine; chmod 600 /tmp/mine
    USER 1000:1000
    WORKDIR /home/x
    RUN touch mine; ls -ln /tmp /many >/home/x/listed
    USER 0
    RUN chown 33:33 /home/x/mine && chmod 2755 /home/x && rm -r /srv/b && mkdir /srv/b
    //- many/passwd
    root:x:0:0::/:/bin/sh
    www-data:x:33:33::/var/www:/bin/sh
    //- many/group
    root:x:0:
    www-data:x:33:
    //- many/tree/a
    1
    //- many/tree/b/c
    2
    //- many/tree/b/d/e
    3
"#;

/// The image, built by whatever `start` runs; its id and the diff ids of its layers.
fn digests(sandbox: &Sandbox, start: &dyn Fn(&str) -> Command) -> Vec<String> {
    fs_err::copy(busybox(), sandbox.path("many/busybox")).unwrap();
    fs_err::set_permissions(sandbox.path("many/busybox"), PermissionsExt::from_mode(0o755)).unwrap();
    sandbox.run(start("").output().unwrap()).code(0);
    let list = sandbox.run(start("list --json").output().unwrap()).code(0).stdout;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let id = list["images"][0]["id"].as_str().unwrap().to_owned();
    let blob = sandbox.store().join("blobs/sha256").join(id.trim_start_matches("sha256:"));
    let config: serde_json::Value = serde_json::from_slice(&fs_err::read(blob).unwrap()).unwrap();
    let layers = config["rootfs"]["diff_ids"].as_array().unwrap().iter();
    layers.map(|layer| layer.as_str().unwrap().to_owned()).chain([id]).collect()
}

#[test]
fn another_user_on_another_machine_makes_the_same_digests_with_many_users_in_the_image() {
    let user = match Ranged::make() {
        Ok(user) => user,
        Err(why) => {
            eprintln!("SKIPPED the user with a range: {why}");
            return;
        }
    };
    let one = Sandbox::with(MANY).embedded().without_engine().prefixed("same/");
    let by_root = digests(&one, &|words| one.command("", words));
    // Another clone: files written in another order, at another time.
    let other = Sandbox::empty().embedded().without_engine().prefixed("same/");
    for path in
        ["many/tree/b/d/e", "many/tree/b/c", "many/tree/a", "many/group", "many/passwd", "many/Dockerfile"]
    {
        other.edit(path, &fs_err::read_to_string(one.path(path)).unwrap());
    }
    let mut touch = Command::new("sh");
    touch.args(["-c", "find . -exec touch -h -d 2001-02-03 {} +"]).current_dir(other.root());
    assert!(touch.status().unwrap().success());
    fs_err::copy(busybox(), other.path("many/busybox")).unwrap();
    user.own(&other);
    assert_eq!(digests(&other, &|words| user.imk(&other, words)), by_root, "rung user");
    // What belongs to mapped users goes as it came.
    other.edit("many/tree/a", "2\n");
    other.run(user.imk(&other, "").output().unwrap()).code(0);
    other.run(user.imk(&other, "gc").output().unwrap()).code(0);
    let chroot = Sandbox::with(MANY).embedded().without_engine().prefixed("same/");
    let words = |words: &str| chroot.command("", &format!("--isolation chroot {words}"));
    // A folder that was removed and made again is told by other entries of the last layer, and by its files alike.
    let by_chroot = digests(&chroot, &words);
    let same = by_root.len() - 2;
    assert_eq!(by_chroot[..same], by_root[..same], "rung chroot");
    let files = |sandbox: &Sandbox, all: &[String]| of_store(&sandbox.store(), all.last().unwrap());
    assert_eq!(files(&chroot, &by_chroot), files(&one, &by_root), "rung chroot");
}
