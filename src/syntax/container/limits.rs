//! Sizes, processors, limits and devices: `--memory`, `--cpus`, `--ulimit`, `--device`, `--gpus` of docker run.

/// A container's share of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<i64>,
    /// Billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// Bytes of `/dev/shm`.
    pub shm_size: Option<i64>,
    /// Limits on its processes.
    pub ulimits: Vec<Ulimit>,
    /// Graphics processors.
    pub gpus: Option<Gpus>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Capabilities beyond the usual ones.
    pub capabilities: Vec<String>,
    /// Nothing can be written outside of mounts.
    pub read_only: Option<bool>,
}

impl Limits {
    /// These, and where they say nothing those of `below`. Lists add up.
    pub fn over(self, below: &Self) -> Self {
        fn added<T: Clone>(below: &[T], more: Vec<T>) -> Vec<T> {
            below.iter().cloned().chain(more).collect()
        }
        let kept = below.ulimits.iter().filter(|old| self.ulimits.iter().all(|new| new.name != old.name));
        let kept: Vec<Ulimit> = kept.cloned().collect();
        Self {
            memory: self.memory.or(below.memory),
            nano_cpus: self.nano_cpus.or(below.nano_cpus),
            shm_size: self.shm_size.or(below.shm_size),
            ulimits: added(&kept, self.ulimits),
            gpus: self.gpus.or_else(|| below.gpus.clone()),
            devices: added(&below.devices, self.devices),
            capabilities: added(&below.capabilities, self.capabilities),
            read_only: self.read_only.or(below.read_only),
        }
    }
}

/// A limit of the kernel on a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Its name, such as `nofile`.
    pub name: String,
    /// In force; -1 for none.
    pub soft: i64,
    /// The most that the process may raise it to.
    pub hard: i64,
}

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its path on the host.
    pub host: String,
    /// Its path in the container.
    pub container: String,
    /// Of `r`, `w` and `m`.
    pub permissions: String,
}

/// Graphics processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gpus {
    /// All of them.
    All,
    /// A number.
    Count(i64),
    /// These, by number or id.
    Ids(Vec<String>),
}

/// `512m`, `1.5g`, `100kb`: bytes, with powers of 1024 as docker counts them.
///
/// # Errors
/// What is wrong with it.
pub fn bytes(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no size: write it as 512m or 2g");
    let lower = text.trim().to_ascii_lowercase();
    let at = lower.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(at);
    let power = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number * 1024_f64.powi(power);
    // 2^53: beyond it the number would not be the one that was written.
    if !(0.0..=9_007_199_254_740_992.0).contains(&bytes) {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, reason = "within 2^53, fractions of a byte aside")]
    Ok(bytes as i64)
}

/// `1.5` processors, in billionths.
///
/// # Errors
/// What is wrong with it.
pub fn cpus(text: &str) -> Result<i64, String> {
    let count: f64 = text
        .parse()
        .ok()
        .filter(|count: &f64| *count > 0.0 && *count <= 1_000_000.0)
        .ok_or_else(|| format!("`{text}` is no number of processors: write it as 1.5"))?;
    #[expect(clippy::cast_possible_truncation, reason = "at most 10^15")]
    Ok((count * 1e9).round() as i64)
}

/// `NAME=SOFT[:HARD]`.
///
/// # Errors
/// What is wrong with it.
pub fn ulimit(text: &str) -> Result<Ulimit, String> {
    let wrong = || format!("`{text}` is no limit: write it as nofile=1024:2048");
    let (name, values) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    Ok(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
}

/// `HOST[:CONTAINER[:PERMISSIONS]]`.
///
/// # Errors
/// What is wrong with it.
pub fn device(text: &str) -> Result<Device, String> {
    let is_permissions = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
    let (host, container, permissions) = match text.split(':').collect::<Vec<_>>().as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, permissions] if is_permissions(permissions) => (*host, *host, *permissions),
        [host, container] => (*host, *container, "rwm"),
        [host, container, permissions] if is_permissions(permissions) => (*host, *container, *permissions),
        _ => return Err(format!("`{text}` is no device: write it as /dev/a:/dev/b:rwm")),
    };
    if !host.starts_with('/') || !container.starts_with('/') {
        return Err(format!("`{text}` is no device: its paths are absolute"));
    }
    Ok(Device { host: host.into(), container: container.into(), permissions: permissions.into() })
}

/// `all`, a number, or `device=0,1`.
///
/// # Errors
/// What is wrong with it.
pub fn gpus(text: &str) -> Result<Gpus, String> {
    if text == "all" {
        return Ok(Gpus::All);
    }
    if let Some(ids) = text.trim_matches('"').strip_prefix("device=").filter(|ids| !ids.is_empty()) {
        return Ok(Gpus::Ids(ids.split(',').map(str::to_owned).collect()));
    }
    let count = text.strip_prefix("count=").unwrap_or(text).parse().ok().filter(|count| *count > 0);
    count.map(Gpus::Count).ok_or_else(|| format!("`{text}` names no GPUs: all, a number, or device=0,1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_as_docker_counts_them() {
        assert_eq!(bytes("512m"), Ok(512 << 20));
        assert_eq!(bytes("1.5G"), Ok(3 << 29));
        assert_eq!((bytes("64kb"), bytes("64KiB"), bytes("10")), (Ok(65536), Ok(65536), Ok(10)));
        for wrong in ["", "m", "5x", "-1", "1e40"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(cpus("1.5"), Ok(1_500_000_000));
        assert!(cpus("0").is_err() && cpus("many").is_err());
    }

    #[test]
    fn limits_devices_and_gpus_are_read() {
        assert_eq!(ulimit("nofile=1:2"), Ok(Ulimit { name: "nofile".into(), soft: 1, hard: 2 }));
        assert!(ulimit("nofile").is_err() && ulimit("=1").is_err());
        assert_eq!(device("/dev/a:r").unwrap().container, "/dev/a");
        assert_eq!(device("/dev/a:/dev/b:rw").unwrap().permissions, "rw");
        assert!(device("a").is_err() && device("/dev/a:/dev/b:x").is_err());
        assert_eq!((gpus("all"), gpus("2")), (Ok(Gpus::All), Ok(Gpus::Count(2))));
        assert_eq!(gpus("device=0,1"), Ok(Gpus::Ids(vec!["0".into(), "1".into()])));
        assert!(gpus("some").is_err());
    }
}
