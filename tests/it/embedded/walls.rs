//! What a command without an engine can reach of the machine: it tries, and must not.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::user::{as_user, is_root};
use crate::sandbox::{Sandbox, busybox};

/// Tries everything, and says of each whether it was reached. Numbers of system calls are x86-64's.
const PROBE: &str = r#"
$| = 1;
my ($secret, $state, $socket, $pid, $key) = @ARGV;
sub claim { my ($name, $reached) = @_; print "$name: ", ($reached ? "REACHED" : "denied"), "\n" }
sub text { my $text = ''; if (open(my $f, '<', $_[0])) { local $/; $text = <$f> } defined $text ? $text : '' }
sub names { opendir(my $d, $_[0]) or return (); my @names = readdir $d; closedir $d; @names }
for my $path ($secret, $state) {
    claim("plain $path", -e $path);
    claim("/proc/1/root$path", -e "/proc/1/root$path");
    claim("/proc/1/cwd", -e "/proc/1/cwd/../../../../..$path");
}
claim("other processes", grep { $_ != $$ && text("/proc/$_/cmdline") !~ /perl|sh/ } grep { /^\d+$/ } names("/proc"));
claim("inherited files", grep { $_ > 2 && -e "/proc/self/fd/$_" && readlink("/proc/self/fd/$_") !~ m{^/(probe|proc)} } grep { /^\d+$/ } names("/proc/self/fd"));
claim("ptrace", syscall(101, 16, $pid, 0, 0) == 0);
claim("signal", kill(0, $pid) && text("/proc/$pid/cmdline") !~ /perl/);
my ($type, $at, $nothing) = ("tmpfs", "/mnt", 0);
mkdir $at;
claim("mount", syscall(165, $type, $at, $type, 0, 0) == 0);
claim("umount", syscall(166, my $keys = "/proc/keys", 2) == 0);
claim("pivot_root", syscall(155, my $one = "/", my $two = "/mnt") == 0);
claim("unshare user", syscall(272, 0x10000000) == 0);
claim("unshare mount", syscall(272, 0x00020000) == 0);
claim("clone3-less user by clone", syscall(56, 0x10000000 | 17, 0, 0, 0, 0) > 0);
open(my $ns, '<', '/proc/1/ns/mnt');
claim("setns", $ns && syscall(308, fileno($ns), 0) == 0 && -e $secret);
claim("keyctl user", syscall(250, 10, -4, my $kind = "user", $key, 0) > 0);
claim("keyctl session", syscall(250, 10, -3, $kind, $key, 0) > 0);
claim("keyctl user session", syscall(250, 10, -5, $kind, $key, 0) > 0);
claim("list of keys", length text("/proc/keys"));
my $name = pack("S a*", 1, "\0$socket");
my $fd = syscall(41, 1, 1, 0) + 0;
claim("abstract socket", syscall(42, $fd, $name, length $name) == 0) if $socket;
for my $folder ("/", "/dev/", "/cache/", "/tmpfs/") {
    my $node = "${folder}disk";
    syscall(133, $node, 0060000 | 0666, 0x100 * 8);
    claim("block device in $folder", -b $node && open(my $f, '<', $node));
    my $memory = "${folder}kmem";
    syscall(133, $memory, 0020000 | 0666, 0x100 + 1);
    claim("memory in $folder", -c $memory && open(my $f, '<', $memory));
}
chmod 0600, "/dev/null"; chmod 0666, "/dev/null";
chmod 0640, "/dev/full";
claim("kernel settings", open(my $f1, '>', '/proc/sys/kernel/core_pattern'));
claim("sysrq", open(my $f2, '>', '/proc/sysrq-trigger'));
claim("sysfs", open(my $f3, '>', '/sys/kernel/uevent_helper') || open(my $f4, '>', '/sys/power/state'));
claim("own users again", open(my $f5, '>', '/proc/sys/user/max_user_namespaces'));
claim("terminal", open(my $f6, '<', '/dev/tty'));
claim("names of hosts", open(my $f7, '>>', '/etc/hosts'));
claim("kernel memory", open(my $f8, '<', '/proc/kcore') && sysread($f8, my $byte, 1));
# The old way out of a changed root.
mkdir "/x"; open(my $back, '<', '/');
if (chroot "/x") { chdir $back; chdir ".." for 1 .. 64; chroot "."; }
claim("chroot", -e $secret);
print "the probe is done\n";
"#;

/// Puts perl and what it is linked with below a folder; false where there is none.
fn perl(root: &Path) -> bool {
    let Ok(output) = Command::new("ldd").arg("/usr/bin/perl").output() else { return false };
    let text = String::from_utf8(output.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for path in libraries.chain(["/usr/bin/perl".into()]) {
        let to = root.join(path.strip_prefix("/").unwrap());
        fs_err::create_dir_all(to.parent().unwrap()).unwrap();
        if fs_err::copy(&path, &to).is_err() {
            return false;
        }
    }
    true
}

/// Whether the kernel can keep processes from sockets without a path.
fn has_socket_wall() -> bool {
    let text = fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let version = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // Landlock may be left out of a kernel; what it is asked then fails.
    let ask =
        "my ($none, $size, $version) = (0, 0, 1); exit(syscall(444, $none, $size, $version) >= 6 ? 0 : 1)";
    let probe = Command::new("perl").args(["-e", ask]).status();
    version >= (6, 12) && probe.is_ok_and(|status| status.success())
}

/// Runs the probe in a build that `command` starts, and compares what it says.
fn try_all(sandbox: &Sandbox, start: &dyn Fn(&Sandbox, &str) -> Command) {
    let root = sandbox.path("image/root");
    fs_err::create_dir_all(root.join("bin")).unwrap();
    if !perl(&root) || std::env::consts::ARCH != "x86_64" {
        eprintln!("SKIPPED: the probe is written for perl and x86-64");
        return;
    }
    fs_err::copy(busybox(), root.join("bin/busybox")).unwrap();
    fs_err::set_permissions(root.join("bin/busybox"), PermissionsExt::from_mode(0o755)).unwrap();
    let secret = sandbox.path("secret-of-the-machine");
    fs_err::write(&secret, "secret").unwrap();
    fs_err::create_dir_all(sandbox.store()).unwrap();
    fs_err::write(sandbox.store().join("known"), "").unwrap();
    let name = sandbox.prefix().replace('/', "-");
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    // A key of whoever builds.
    let add = format!(
        "my ($type, $name, $value) = ('user', '{name}', 'payload'); \
         syscall(248, $type, $name, $value, 7, $_) > 0 or exit 1 for -4, -3;"
    );
    assert!(Command::new("perl").args(["-e", &add]).status().unwrap().success());
    let socket = if has_socket_wall() { name.as_str() } else { "" };
    fs_err::write(root.join("probe"), PROBE).unwrap();
    let state = sandbox.store().join("known");
    let words = format!("{} {} '{socket}' {} {name}", secret.display(), state.display(), std::process::id());
    let mounts = "--mount=type=cache,id=walls,target=/cache --mount=type=tmpfs,target=/tmpfs";
    let text = format!(
        "FROM scratch\nCOPY root /\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nRUN {mounts} perl /probe {words}\n"
    );
    sandbox.edit("image/Dockerfile", &text);
    let before = fs_err::metadata("/dev/full").unwrap().mode();
    let run = sandbox.run(start(sandbox, "--progress plain").output().unwrap());
    assert_eq!(fs_err::metadata("/dev/full").unwrap().mode(), before, "a device of the machine was changed");
    assert!(run.stderr.contains("the probe is done"), "{}\n{}", run.stdout, run.stderr);
    let reached: Vec<&str> = run.stderr.lines().filter(|line| line.contains("REACHED")).collect();
    assert!(reached.is_empty(), "{reached:#?}");
    drop(listener);
}

#[test]
fn a_command_of_root_reaches_nothing_of_the_machine() {
    if !is_root() {
        eprintln!("SKIPPED: only root is on that rung");
        return;
    }
    try_all(&Sandbox::empty().embedded(), &|sandbox, words| {
        with_open_file(sandbox.command("", words), sandbox)
    });
}

#[test]
fn a_command_of_anybody_reaches_nothing_of_the_machine() {
    try_all(&Sandbox::empty().embedded(), &|sandbox, words| {
        let command = as_user(sandbox, words);
        with_open_file(command, sandbox)
    });
}

/// The same command by a shell that holds a file open, as those do that lock one.
fn with_open_file(plain: Command, sandbox: &Sandbox) -> Command {
    let mut command = Command::new("sh");
    let file = sandbox.path("secret-of-the-machine");
    command.args(["-c", &format!("exec 9<{} && exec \"$0\" \"$@\"", file.display())]);
    command.arg(plain.get_program()).args(plain.get_args());
    command.current_dir(sandbox.root()).stdin(std::process::Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Rights of a command and how the kernel describes it, as lines of `/proc/self/status`.
const STATUS: &str = "
    //- image/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
    RUN grep -E '^(Cap|NoNewPrivs|Umask)' /proc/self/status; hostname; cat /proc/self/uid_map
    RUN mkdir -p /etc && echo 'app:x:7:8::/home/app:/bin/sh' >/etc/passwd && echo 'more:x:9:app' >/etc/group
    USER app
    RUN id -u; id -G; grep -E '^Cap' /proc/self/status; echo \"home $HOME\"
    RUN cp /bin/busybox /tmp/own 2>/dev/null; true
";

#[test]
fn rights_of_a_command_are_dockers() {
    if !is_root() {
        eprintln!("SKIPPED: only root is on that rung");
        return;
    }
    let sandbox = Sandbox::with(STATUS).embedded();
    fs_err::copy(busybox(), sandbox.path("image/busybox")).unwrap();
    let run = sandbox.imk("--progress plain").code(0);
    let said: Vec<String> = run
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("image: | "))
        .map(|line| {
            line.split_whitespace()
                .flat_map(|word| word.split("\\t"))
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let none = "0000000000000000";
    let usual = "00000000a80425fb";
    let expected = [
        "Umask: 0022".to_owned(),
        format!("CapInh: {none}"),
        format!("CapPrm: {usual}"),
        format!("CapEff: {usual}"),
        format!("CapBnd: {usual}"),
        format!("CapAmb: {none}"),
        "NoNewPrivs: 0".to_owned(),
        "buildkitsandbox".to_owned(),
        "0 0 4294967295".to_owned(),
        "7".to_owned(),
        "8 9".to_owned(),
        format!("CapInh: {none}"),
        format!("CapPrm: {none}"),
        format!("CapEff: {none}"),
        format!("CapBnd: {usual}"),
        format!("CapAmb: {none}"),
        "home /home/app".to_owned(),
    ];
    assert_eq!(said, expected);
}
