//! The caller as a user of a container: passwd and group of an image with one more entry each. Pure.
//!
//! Binding the host's own files would take away the image's users; running as a bare number leaves
//! programs without a name and a home.

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// Name of the user, as the host has it.
    pub name: String,
    /// Name of the group.
    pub group: String,
    /// The home folder in the container.
    pub home: String,
}

impl Caller {
    /// `UID:GID`.
    pub fn numbers(&self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }

    /// passwd with the caller's entry in it. One that has the number already stays first, and the entry is
    /// not added: a program asks for the number, and finds the image's own word.
    pub fn passwd(&self, image: &str, shell: &str) -> String {
        let name = free(image, &self.name);
        let entry = format!("{name}:x:{}:{}:{name}:{}:{shell}", self.uid, self.gid, self.home);
        with(image, self.uid, &entry)
    }

    /// group with the caller's entry in it, as [`Self::passwd`].
    pub fn group(&self, image: &str) -> String {
        let name = free(image, &self.group);
        with(image, self.gid, &format!("{name}:x:{}:", self.gid))
    }
}

/// A tar archive of files that belong to root, each with its mode.
pub fn archive(files: &[(&str, Vec<u8>, u32)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(bytes.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        // Into memory nothing fails but a path that is too long, and these are not.
        let _ = archive.append_data(&mut header, path, bytes.as_slice());
    }
    archive.into_inner().unwrap_or_default()
}

fn with(image: &str, number: u32, entry: &str) -> String {
    let has = image.lines().any(|line| line.split(':').nth(2) == Some(number.to_string().as_str()));
    let mut text = image.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if !has {
        text.push_str(entry);
        text.push('\n');
    }
    text
}

/// A name that the image gives nobody else.
fn free(image: &str, name: &str) -> String {
    let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
    let plain = if plain.is_empty() { "user".to_owned() } else { plain };
    let taken = |name: &str| image.lines().any(|line| line.split(':').next() == Some(name));
    let mut names = std::iter::once(plain.clone()).chain((1..).map(|number| format!("{plain}{number}")));
    names.find(|name| !taken(name)).unwrap_or(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller { uid: 1000, gid: 100, name: "me".into(), group: "users".into(), home: "/home/me".into() }
    }

    #[test]
    fn the_images_users_stay_and_the_caller_is_one_more() {
        let passwd =
            caller().passwd("root:x:0:0:root:/root:/bin/sh\napp:x:10:10::/app:/bin/false", "/bin/sh");
        assert_eq!(
            passwd,
            "root:x:0:0:root:/root:/bin/sh\napp:x:10:10::/app:/bin/false\nme:x:1000:100:me:/home/me:/bin/sh\n"
        );
        assert_eq!(caller().group(""), "users:x:100:\n");
    }

    #[test]
    fn a_number_or_a_name_that_the_image_has_is_the_images() {
        let taken = "node:x:1000:1000::/home/node:/bin/sh\n";
        assert_eq!(caller().passwd(taken, "/bin/sh"), taken);
        let named = caller().passwd("me:x:7:7::/:/bin/sh\n", "/bin/sh");
        assert!(named.ends_with("\nme1:x:1000:100:me1:/home/me:/bin/sh\n"), "{named}");
        let odd = Caller { name: "a:b\nc".into(), ..caller() };
        assert!(odd.passwd("", "/bin/sh").starts_with("abc:x:1000:"));
    }
}
