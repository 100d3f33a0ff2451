//! A socket that stands for an ssh agent of the machine: with an owner and a mode of its own.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::process::{chdir, getcwd};

use crate::engine::agent::{FAILURE, MESSAGE_MAX, is_allowed};

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

/// Hands one question after the other to the agent, and its answer back. What a step may not ask never reaches it.
fn hand_on(mut caller: &UnixStream, mut agent: &UnixStream) -> io::Result<()> {
    while let Some(question) = message(&mut caller)? {
        if !is_allowed(&question) {
            caller.write_all(&FAILURE)?;
            continue;
        }
        agent.write_all(&question)?;
        let Some(answer) = message(&mut agent)? else { break };
        caller.write_all(&answer)?;
    }
    Ok(())
}

/// A whole message, its length before it; none where the other side has ended.
fn message(from: &mut &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut message = vec![0; 4];
    match from.read_exact(&mut message) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_be_bytes([message[0], message[1], message[2], message[3]]) as usize;
    if length > MESSAGE_MAX {
        return Err(io::Error::other("no agent takes a message as long as that"));
    }
    message.resize(4 + length, 0);
    from.read_exact(&mut message[4..])?;
    Ok(Some(message))
}
