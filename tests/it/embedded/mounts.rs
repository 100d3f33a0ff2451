//! `RUN --mount` with its options, and what a command is given: as a real engine does it, and where that is
//! too old to know, as its successors do.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use super::same::compare;
use super::user::is_root;
use crate::sandbox::{Run, Sandbox, busybox, engine_or_skip};

/// Each writes what it sees into `/r`, which is compared.
const CASES: &[(&str, &str)] = &[
    (
        "a cache of another owner",
        "RUN --mount=type=cache,target=/cc,id=imk-own,uid=5,gid=6,mode=0750 stat -c '%u %g %a' /cc >/r",
    ),
    (
        "a cache below the folder",
        "WORKDIR /mnt\nRUN --mount=type=cache,target=b,id=imk-rel echo 1 >b/x && ls /mnt/b >/r",
    ),
    (
        "a cache that is read only",
        "RUN --mount=type=cache,target=/cc,id=imk-ro,readonly sh -c 'echo 1 >/cc/x' 2>/dev/null; echo $? >/r",
    ),
    (
        "a cache that begins with a stage",
        "RUN mkdir /seed && echo 1 >/seed/f\nFROM base\nRUN --mount=type=cache,target=/c,id=imk-seed,from=1,source=/seed cat /c/f >/r && echo 2 >/c/f\nRUN --mount=type=cache,target=/c,id=imk-seed,from=1,source=/seed cat /c/f >>/r",
    ),
    (
        "one cache for two names of it",
        "RUN --mount=type=cache,target=/cc,id=imk-two echo 1 >/cc/x\nRUN --mount=type=cache,dst=/tmpx,id=imk-two,sharing=locked cat /tmpx/x >/r",
    ),
    (
        "what is bound can be written to and stays as it was",
        "RUN --mount=type=bind,source=b,target=/mnt/b,rw echo x >/mnt/b/c && cat /mnt/b/c >/r\nRUN --mount=type=bind,source=b,target=/mnt/b cat /mnt/b/c >>/r",
    ),
    (
        "what is bound is read only",
        "RUN --mount=type=bind,source=b,target=/mnt/b sh -c 'echo x >/mnt/b/c' 2>/dev/null; echo $? >/r",
    ),
    ("a file is bound", "RUN --mount=type=bind,source=a,target=/tmpx cat /tmpx >/r"),
    ("the whole context is bound", "RUN --mount=target=/mnt/b ls /mnt/b >/r"),
    (
        "a stage is bound",
        "RUN mkdir /s && echo 1 >/s/f\nFROM base\nRUN --mount=from=1,src=/s,dst=/mnt/b cp /mnt/b/f /r",
    ),
    ("memory", "RUN --mount=type=tmpfs,target=/tmpx stat -c '%u %g %a' /tmpx >/r && echo 1 >/tmpx/f"),
    (
        "an optional secret that is not given",
        "RUN --mount=type=secret,id=none ls /run/secrets/none 2>/dev/null; echo $? >/r",
    ),
    (
        "names of hosts cannot be changed",
        "RUN sh -c 'echo x >>/etc/hosts' 2>/dev/null; echo $? >/r; grep -c buildkitsandbox /etc/hosts >>/r",
    ),
    (
        "a folder that only root enters",
        "RUN mkdir -m 700 /closed && mkdir -m 777 /o && mkdir -p /etc && : >/etc/group && echo 'x:x:5:5::/:/bin/sh' >/etc/passwd\nWORKDIR /closed\nUSER 5\nRUN pwd >/o/r",
    ),
    (
        "devices",
        "RUN for d in null zero full random urandom tty; do stat -c '%n %t %T %a %u' /dev/$d; done >/r; ls /dev | grep -v -e console -e core >>/r; ls -d /proc/1 /sys/kernel >>/r",
    ),
    (
        "environment of a command",
        "RUN env | sort >/r; mkdir -m 777 /o && mkdir -p /etc && : >/etc/group && echo 'x:x:7:7::/home/x:/bin/sh' >/etc/passwd\nENV A=b\nUSER x\nRUN env | sort >/o/r",
    ),
    (
        "groups",
        "RUN mkdir -p /etc && echo 'app:x:7:8::/h:/bin/sh' >/etc/passwd && printf 'g:x:8:\\nmore:x:9:app\\nlast:x:10:other,app\\n' >/etc/group && mkdir -m 777 /o\nUSER app\nRUN id -u >/o/r; id -g >>/o/r\nUSER app:9\nRUN id -u >/o/s; id -G >>/o/s\nUSER 7:8\nRUN echo $HOME >/o/t; id -g >>/o/t",
    ),
    ("a shell of one's own", "SHELL [\"/bin/sh\", \"-e\", \"-c\"]\nRUN echo 1 >/r; echo \"$0 $-\" >>/r"),
    ("standard input is empty", "RUN cat >/r; echo $? >>/r"),
    ("limits and umask", "RUN umask >/r; touch /f; mkdir /d"),
];

#[test]
fn what_a_command_is_given_is_what_an_engine_gives() {
    if engine_or_skip("embedded mounts").is_none() {
        return;
    }
    let only = std::env::var("IMK_TEST_ONLY").unwrap_or_default();
    let cases = CASES.iter().filter(|(name, _)| name.contains(&only));
    let cases: Vec<_> = cases.map(|(name, text)| (format!("m {name}"), (*text).to_owned())).collect();
    compare(&Sandbox::empty().embedded(), &cases);
}

/// A repository whose one image says what its commands see.
fn saying(settings: &str, text: &str) -> Sandbox {
    let sandbox = Sandbox::empty().embedded();
    let dockerfile = format!(
        "FROM scratch AS base\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nFROM base\n{text}\n"
    );
    sandbox.edit("image/Dockerfile", &dockerfile);
    sandbox.edit("Imagefile.ron", &format!("(images: {{\"image\": (context: \"image\", {settings})}})"));
    fs_err::copy(busybox(), sandbox.path("image/busybox")).unwrap();
    sandbox
}

fn said(run: &Run<'_>) -> Vec<String> {
    run.stderr.lines().filter_map(|line| line.strip_prefix("image: | ")).map(str::to_owned).collect()
}

fn build(sandbox: &Sandbox, environment: &[(&str, &str)]) -> (i32, Vec<String>, String) {
    let mut command = sandbox.command("", "--progress plain");
    let run = sandbox.run(command.envs(environment.iter().copied()).output().unwrap());
    (run.status, said(&run), run.stderr.clone())
}

#[test]
fn a_secret_is_there_for_its_command_alone_and_nowhere_afterwards() {
    let sandbox = saying(
        "secrets: {\"token\": Env(\"IMK_TEST_TOKEN\")}",
        "RUN --mount=type=secret,id=token cat /run/secrets/token; stat -c '%u %g %a' /run/secrets/token; touch /kept\n\
         RUN --mount=type=secret,id=token,target=/t,uid=5,gid=6,mode=0440 stat -c '%u %g %a' /t\n\
         RUN --mount=type=secret,id=token,env=TOKEN echo \"env $TOKEN\"; ls /run 2>/dev/null; true\n\
         RUN --mount=type=secret,id=token,env=TOKEN,target=/t echo \"both $TOKEN $(cat /t)\"\n\
         RUN ls /run/secrets /t 2>/dev/null; echo \"after $TOKEN\"",
    );
    let (status, said, all) = build(&sandbox, &[("IMK_TEST_TOKEN", "s3cr3t-of-the-test")]);
    assert_eq!(status, 0, "{all}");
    let secret = "s3cr3t-of-the-test";
    let expected = [
        format!("{secret}0 0 400"),
        "5 6 440".to_owned(),
        format!("env {secret}"),
        format!("both {secret} {secret}"),
        "after".to_owned(),
    ];
    let said: Vec<&str> = said.iter().map(|line| line.trim_end()).collect();
    assert_eq!(said, expected);
    // No file of the store has it, unpacked layers and drafts included.
    let found = std::process::Command::new("grep")
        .args(["-rl", "s3cr3t-of-the-test"])
        .arg(sandbox.store())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_required_secret_that_is_not_given_is_an_error_that_names_it() {
    let sandbox = saying("", "RUN --mount=type=secret,id=token,required=true true");
    let (status, _, all) = build(&sandbox, &[]);
    assert!(status == 2 && all.contains("`token`") && all.contains("required"), "{status} {all}");
}

#[test]
fn an_agent_answers_by_a_socket_with_owner_and_mode_of_its_own() {
    let sandbox = saying(
        "ssh: [\"default\"]",
        "RUN --mount=type=ssh,uid=5,gid=6,mode=0666 stat -c '%u %g %a' $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK; test -S $SSH_AUTH_SOCK\n\
         RUN --mount=type=ssh,target=/sock stat -c '%a' /sock; echo \"$SSH_AUTH_SOCK\"\n\
         RUN ls /run/buildkit 2>/dev/null; echo \"after$SSH_AUTH_SOCK\"",
    );
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for mut caller in listener.incoming().flatten() {
            let mut heard = [0; 6];
            if caller.read_exact(&mut heard).is_ok() {
                let _ = caller.write_all(b"answer of the agent\n");
            }
        }
    });
    let (status, said, all) = build(&sandbox, &[("SSH_AUTH_SOCK", socket.to_str().unwrap())]);
    assert_eq!(status, 0, "{all}");
    let owner = if is_root() { "5 6 666" } else { "666" };
    assert!(said[0].ends_with(owner) && said[1] == "/run/buildkit/ssh_agent.0", "{said:?}");
    assert!(said.contains(&"600".to_owned()) && said.contains(&"/sock".to_owned()), "{said:?}");
    assert_eq!(said.last().unwrap(), "after");
}

#[test]
fn a_link_to_nothing_where_names_are_kept_is_followed_within_the_image() {
    let sandbox = saying(
        "",
        "COPY etc /etc\nRUN test -f /etc/resolv.conf && ls -l /etc/resolv.conf\nRUN ls -d /run/systemd 2>/dev/null; echo end",
    );
    fs_err::create_dir_all(sandbox.path("image/etc")).unwrap();
    let target = "../run/systemd/resolve/stub-resolv.conf";
    std::os::unix::fs::symlink(target, sandbox.path("image/etc/resolv.conf")).unwrap();
    let (status, said, all) = build(&sandbox, &[]);
    assert_eq!(status, 0, "{all}");
    assert!(said.contains(&"end".to_owned()), "{said:?}");
}

#[test]
fn heredocs_exit_codes_and_networks_are_as_the_instruction_says() {
    let sandbox = saying(
        "",
        "RUN <<EOF\necho one\necho two\nEOF\nRUN <<EOF\n#!/bin/busybox ash\necho \"script $0\"\nEOF\n\
         RUN --network=none ls /sys/class/net; echo net\nRUN --network=host true\nRUN --security=sandbox echo boxed",
    );
    let (status, said, all) = build(&sandbox, &[]);
    assert_eq!(status, 0, "{all}");
    for line in ["one", "two", "script /dev/pipes/EOF", "net", "boxed"] {
        assert!(said.contains(&line.to_owned()), "{line}: {said:?}");
    }
    if is_root() {
        assert!(
            said.contains(&"lo".to_owned()) && !said.iter().any(|line| line.starts_with("eth")),
            "{said:?}"
        );
    }
    for (command, code) in [("exit 7", "7"), ("kill -TERM $$; exit 9", "9"), ("nothing-of-that-name", "127")]
    {
        let sandbox = saying("", &format!("RUN {command}"));
        let (status, _, all) = build(&sandbox, &[]);
        assert!(status == 1 || status == 2, "{status}: {all}");
        assert!(
            all.contains(&format!("exit code {code}")) || all.contains(&format!("exit code: {code}")),
            "{all}"
        );
    }
}

/// A program and what it is linked with, below a folder; false where there is none.
fn with_libraries(program: &str, root: &std::path::Path) -> bool {
    let Ok(linked) = std::process::Command::new("ldd").arg(program).output() else { return false };
    let text = String::from_utf8_lossy(&linked.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    for path in paths.chain([program]) {
        let to = root.join(path.trim_start_matches('/'));
        fs_err::create_dir_all(to.parent().unwrap()).unwrap();
        if fs_err::copy(path, &to).is_err() {
            return false;
        }
    }
    linked.status.success()
}

#[test]
fn a_command_is_given_the_keys_of_files_and_may_do_no_more_than_sign() {
    let sandbox = saying(
        "ssh: [\"default\", \"deploy=keys/deploy\"]",
        "COPY ssh /\n\
         RUN --mount=type=ssh,id=deploy ssh-add -l; ssh-add -D; ssh-add -l; echo end\n\
         RUN --mount=type=ssh ssh-add -l; ssh-add -D; echo asked",
    );
    let root = sandbox.path("image/ssh");
    if !with_libraries("/usr/bin/ssh-add", &root) {
        eprintln!("SKIPPED: there is no ssh-add");
        return;
    }
    sandbox.edit("image/ssh/etc/passwd", "root:x:0:0::/:/bin/sh\n").edit("keys/about", "");
    let make = |path: &str, comment: &str, passphrase: &str| {
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-C", comment, "-N", passphrase, "-f"])
            .arg(sandbox.path(path))
            .status();
        assert!(made.unwrap().success());
    };
    make("keys/deploy", "key-of-the-test", "");
    make("keys/mine", "key-of-the-user", "");
    // The user's own agent, of which a command gets no more.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let mut agent = std::process::Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let listed = |words: &[&str]| {
        let mut command = std::process::Command::new("ssh-add");
        command.args(words).env("SSH_AUTH_SOCK", &socket).output().unwrap()
    };
    let key = sandbox.path("keys/mine");
    for _ in 0..3000 {
        if listed(&["-q", key.to_str().unwrap()]).status.success() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (status, said, all) = build(&sandbox, &[("SSH_AUTH_SOCK", socket.to_str().unwrap())]);
    let left = String::from_utf8_lossy(&listed(&["-l"]).stdout).into_owned();
    let _ = agent.kill();
    let _ = agent.wait();
    assert_eq!(status, 0, "{all}");
    let with = |word: &str| said.iter().filter(|line| line.contains(word)).count();
    assert_eq!((with("key-of-the-test"), with("key-of-the-user")), (2, 1), "{all}");
    assert!(left.contains("key-of-the-user"), "the user's agent lost its key: {left}");
    assert!(with("end") >= 1 && with("asked") == 1, "{all}");
    // No key is in the store, and whose key it was makes no difference.
    let private = fs_err::read_to_string(sandbox.path("keys/deploy")).unwrap();
    let line = private.lines().nth(2).unwrap();
    let found = std::process::Command::new("grep")
        .args(["-rlF", line])
        .arg(sandbox.store())
        .arg(sandbox.path(".imk"))
        .output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
    fs_err::remove_file(sandbox.path("keys/deploy")).unwrap();
    fs_err::remove_file(sandbox.path("keys/deploy.pub")).unwrap();
    make("keys/deploy", "another", "secret");
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    let mut command = sandbox.command("", "-B");
    let run = sandbox.run(command.env("SSH_AUTH_SOCK", &socket).output().unwrap()).code(2);
    assert!(run.err().contains("does not take the key") && run.err().contains("passphrase"), "{}", run.err());
}

/// What an instruction says that runs without walls.
const INSECURE: &str = "RUN --security=insecure grep CapEff /proc/self/status; mkdir /m && mount -t tmpfs x /m && echo mounted && umount /m; mknod /d c 1 3 && echo x >/d && echo device; cat /proc/self/uid_map\n\
    USER 5\n\
    RUN --security=insecure grep CapEff /proc/self/status; id -u\n\
    USER 0\n\
    RUN --security=insecure --network=none ls /sys/class/net; rm /d; echo last\n\
    RUN grep CapEff /proc/self/status; mount -t tmpfs x /m || echo walls";

#[test]
fn a_step_runs_without_walls_where_the_user_said_that_it_may() {
    let sandbox = saying("", INSECURE);
    let err = sandbox.imk("").code(2).err();
    assert!(
        err.contains("security.insecure is not allowed") && err.contains("--allow security.insecure"),
        "{err}"
    );
    let sandbox = saying("entitlements: [\"security.insecure\"]", INSECURE);
    let err = sandbox.imk("").code(2).err();
    assert!(err.contains("nobody agreed to"), "{err}");
    let run = sandbox.imk("--allow security.insecure --progress plain").code(0);
    let said = said(&run);
    if !is_root() {
        assert!(said.contains(&"mounted".to_owned()) && said.contains(&"walls".to_owned()), "{said:?}");
        return;
    }
    let bounding = fs_err::read_to_string("/proc/self/status").unwrap();
    let all = bounding.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap().to_owned();
    let rights: Vec<&String> = said.iter().filter(|line| line.contains("CapEff")).collect();
    assert_eq!(rights.len(), 3, "{said:?}");
    assert!(rights[0].ends_with(&all) && rights[1].ends_with(&all) && !rights[2].ends_with(&all), "{said:?}");
    for line in ["mounted", "device", "5", "lo", "last", "walls"] {
        assert!(said.contains(&line.to_owned()), "{line}: {said:?}");
    }
    // The machine is as it was: it still gives users of their own.
    sandbox.imk("-B --no-cache --allow security.insecure").success();
}

#[test]
fn a_device_that_nobody_described_is_missed_where_it_is_required() {
    let sandbox = saying("", "RUN --device=vendor.example/gpu=one echo without");
    let (status, said, all) = build(&sandbox, &[]);
    assert!(status == 0 && said.contains(&"without".to_owned()), "{all}");
    let sandbox = saying("", "RUN --device=vendor.example/gpu=one,required echo without");
    let (status, _, all) = build(&sandbox, &[]);
    assert!(
        status == 2 && all.contains("required device \"vendor.example/gpu=one\" is not registered"),
        "{all}"
    );
}

#[test]
fn two_builds_at_once_see_nothing_of_each_others_secrets() {
    let text = |own: &str, other: &str| {
        format!(
            "RUN --mount=type=secret,id=token --mount=type=cache,id=meeting,target=/meet <<EOF\n\
             own=$(cat /run/secrets/token)\n\
             test -n \"$own\" && : >/meet/{own}\n\
             n=0; while [ ! -e /meet/{other} ] && [ $n -lt 1200 ]; do sleep 0.1; n=$((n+1)); done\n\
             test -e /meet/{other} && echo met\n\
             cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep token-of && echo leaked\n\
             find / -xdev -type f ! -path '/proc/*' ! -path '/sys/*' | xargs grep -l token-of-{other} && echo leaked\n\
             for p in /proc/[0-9]*; do cat $p/root/run/secrets/token 2>/dev/null | grep -v token-of-{own} && echo leaked; done\n\
             : >/meet/{own}-looked\n\
             n=0; while [ ! -e /meet/{other}-looked ] && [ $n -lt 1200 ]; do sleep 0.1; n=$((n+1)); done\n\
             echo looked\nEOF"
        )
    };
    let settings = "secrets: {\"token\": Env(\"IMK_TEST_TOKEN\")}";
    let (one, two) = (saying(settings, &text("one", "two")), saying(settings, &text("two", "one")));
    let start = |sandbox: &Sandbox, name: &str| {
        let mut command = sandbox.command("", "--progress plain");
        command.env("IMK_STORE", one.store()).env("IMK_TEST_TOKEN", format!("token-of-{name}"));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children = [(&one, start(&one, "one")), (&two, start(&two, "two"))];
    for (sandbox, child) in children {
        let run = sandbox.run(child.wait_with_output().unwrap()).code(0);
        let said = said(&run);
        for line in ["met", "looked"] {
            assert!(said.contains(&line.to_owned()), "{said:?}");
        }
        assert!(!said.iter().any(|line| line.contains("leaked")), "{said:?}");
    }
}
