//! Names of users and groups as an image knows them: `/etc/passwd` and `/etc/group` of its own layers.

use std::io::Read;

use crate::embedded::layer::index::Kind;
use crate::embedded::layer::layers::Layers;
use crate::embedded::layer::view::{Origin, View};
use crate::embedded::trouble::{During, Result};

/// No file of users is larger.
const LONGEST: u64 = 16 << 20;

/// The user that a command runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Number.
    pub uid: u32,
    /// Number of the first group.
    pub gid: u32,
    /// Numbers of the other groups.
    pub groups: Vec<u32>,
    /// Where the user is at home; `/` when nobody says.
    pub home: String,
}

/// The files of users and groups.
#[derive(Clone, Debug, Default)]
pub struct Users {
    passwd: String,
    group: String,
}

impl Users {
    /// The users of a tree; a tree without their files has none.
    pub fn of(layers: &Layers<'_>, view: &View) -> Result<Self> {
        Ok(Self { passwd: text(layers, view, b"etc/passwd")?, group: text(layers, view, b"etc/group")? })
    }

    fn user(&self, wanted: &str) -> Option<(u32, u32, &str, &str)> {
        self.passwd.lines().find_map(|line| {
            let parts: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, ..] = parts.as_slice() else { return None };
            let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
            let home = parts.get(5).copied().unwrap_or_default();
            let meant = *name == wanted || wanted.parse() == Ok(uid);
            meant.then_some((uid, gid, home, *name))
        })
    }

    fn group(&self, wanted: &str) -> Option<u32> {
        self.group.lines().find_map(|line| {
            let mut parts = line.split(':');
            let (name, gid) = (parts.next()?, parts.nth(1)?.parse().ok()?);
            (name == wanted).then_some(gid)
        })
    }

    /// `--chown`: `user`, `user:group`, numbers or names. A name that nobody has means root, as it does for docker.
    pub fn owner(&self, text: &str) -> (u32, u32) {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let uid = user.parse().ok().or_else(|| self.user(user).map(|it| it.0)).unwrap_or_default();
        let gid = match group {
            Some(group) => group.parse().ok().or_else(|| self.group(group)).unwrap_or_default(),
            // One number means both.
            None => user.parse().ok().or_else(|| self.user(user).map(|it| it.1)).unwrap_or_default(),
        };
        (uid, gid)
    }

    /// `USER`, as runc reads it. The error is a sentence.
    pub fn who(&self, text: &str) -> std::result::Result<User, String> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let user = if user.is_empty() { "0" } else { user };
        let known = self.user(user);
        let number = user.parse::<u32>().ok();
        let (uid, gid, home, name) = match (known, number) {
            (Some(known), _) => known,
            (None, Some(number)) => (number, 0, "", ""),
            (None, None) => return Err(format!("there is no user `{user}` in its /etc/passwd")),
        };
        let mut groups = Vec::new();
        let gid = match group.filter(|group| !group.is_empty()) {
            Some(group) => match group.parse().ok().or_else(|| self.group(group)) {
                Some(gid) => gid,
                None => return Err(format!("there is no group `{group}` in its /etc/group")),
            },
            None => {
                groups = self.groups_of(name);
                gid
            }
        };
        let home = if home.is_empty() { "/" } else { home };
        Ok(User { uid, gid, groups, home: home.to_owned() })
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let member = |line: &str| {
            let parts: Vec<&str> = line.split(':').collect();
            let listed = parts.get(3)?.split(',').any(|member| !name.is_empty() && member == name);
            listed.then(|| parts[2].parse().ok())?
        };
        self.group.lines().filter_map(member).collect()
    }
}

fn text(layers: &Layers<'_>, view: &View, path: &[u8]) -> Result<String> {
    let Ok(path) = view.resolve(path) else { return Ok(String::new()) };
    let Some((layer, entry)) = view.get(&path) else { return Ok(String::new()) };
    let Some((layer, file)) = view.file(layer, &entry) else { return Ok(String::new()) };
    let (Kind::File { at, size, .. }, Some(Origin::Layer(diff_id))) = (&file.kind, view.origin(layer)) else {
        return Ok(String::new());
    };
    let mut bytes = Vec::new();
    let shown = || format!("reading `/{}` of an image", String::from_utf8_lossy(&path));
    layers.part(diff_id, *at, (*size).min(LONGEST))?.read_to_end(&mut bytes).during(shown)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        Users {
            passwd: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:\nbroken\n".into(),
            group: "root:x:0:\napps:x:1001:\nwheel:x:10:root,app\nbroken:x\n".into(),
        }
    }

    #[test]
    fn an_owner_is_a_number_or_a_name_and_root_where_nobody_knows_it() {
        for (text, owner) in [
            ("5", (5, 5)),
            ("5:6", (5, 6)),
            ("app", (1000, 1001)),
            ("app:wheel", (1000, 10)),
            ("nobody", (0, 0)),
            ("app:none", (1000, 0)),
        ] {
            assert_eq!(users().owner(text), owner, "{text}");
        }
    }

    #[test]
    fn who_runs_a_command_has_a_home_and_groups() {
        let user = users().who("app").unwrap();
        assert_eq!(
            (user.uid, user.gid, user.groups, user.home.as_str()),
            (1000, 1001, vec![10], "/home/app")
        );
        assert_eq!(users().who("").unwrap().home, "/root");
        assert_eq!(users().who("77").unwrap().home, "/");
        assert_eq!(users().who("app:0").unwrap().groups, [0; 0]);
        assert!(users().who("nobody").is_err() && users().who("app:none").is_err());
    }
}
