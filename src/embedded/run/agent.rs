//! A socket that stands for an ssh agent of the machine: with an owner and a mode of its own.

use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::process::{chdir, getcwd};

/// Listens in a folder under a name, and hands whatever comes on to the agent, as long as this process lives.
pub fn stand_in(
    (folder, name): (&Path, &str),
    agent: PathBuf,
    (mode, uid, gid): (u32, u32, u32),
) -> io::Result<()> {
    // Paths of sockets are short; names in the folder one is in are shorter.
    let back = getcwd(Vec::new())?;
    chdir(folder)?;
    let bound = UnixListener::bind(name);
    chdir(back.as_c_str())?;
    let listener = bound?;
    let path = folder.join(name);
    fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    std::os::unix::fs::chown(&path, Some(uid), Some(gid))?;
    std::thread::spawn(move || {
        for caller in listener.incoming().flatten() {
            let agent = agent.clone();
            std::thread::spawn(move || UnixStream::connect(agent).and_then(|agent| hand_on(&caller, &agent)));
        }
    });
    Ok(())
}

/// Hands bytes on in both directions until both have ended.
fn hand_on(caller: &UnixStream, agent: &UnixStream) -> io::Result<()> {
    let copy = |mut from: &UnixStream, mut to: &UnixStream| {
        let copied = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        copied
    };
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| copy(caller, agent));
        let answered = copy(agent, caller);
        asked.join().unwrap_or_else(|_| Err(io::Error::other("the conversation broke off")))?;
        answered.map(drop)
    })
}
