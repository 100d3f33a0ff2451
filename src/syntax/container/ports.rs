//! Published ports: `-p` of docker run.

/// A port of a container that its host passes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// In the container.
    pub container: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The address of the host that listens; all of them when `None`.
    pub address: Option<String>,
    /// The host's port; a free one when `None`.
    pub host: Option<u16>,
}

impl Port {
    /// `8080/tcp`, as the engine spells it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.container, self.protocol)
    }
}

/// `[[ADDRESS:][HOST]:]CONTAINER[/PROTOCOL]`, ranges as `8000-8010`.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Port>, String> {
    let wrong = |why: &str| format!("`{text}` publishes no port: {why}");
    let (places, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(wrong("behind the slash stands tcp, udp or sctp"));
    }
    let (address, ports) = match places.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((address, ports)) => (Some(address), ports),
        None => match places.splitn(3, ':').collect::<Vec<_>>().as_slice() {
            [address, _, _] => (Some(*address), &places[address.len() + 1..]),
            _ => (None, places),
        },
    };
    if address.is_some_and(|address| address.parse::<std::net::IpAddr>().is_err()) {
        return Err(wrong("the address of the host is no IP address"));
    }
    let (host, container) = ports.split_once(':').unwrap_or(("", ports));
    let inside = range(container).ok_or_else(|| wrong("write it as 8080:80"))?;
    let outside = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| wrong("write it as 8080:80"))?),
    };
    if let Some((first, last)) = outside
        && last - first != inside.1 - inside.0
    {
        return Err(wrong("the two ranges differ in length"));
    }
    let each = (inside.0..=inside.1).zip(0..);
    Ok(each
        .map(|(container, offset)| Port {
            container,
            protocol: protocol.to_owned(),
            address: address.map(str::to_owned),
            host: outside.map(|(first, _)| first + offset),
        })
        .collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match text.split_once('-') {
        Some((first, last)) => Some((port(first)?, port(last)?)).filter(|(first, last)| first <= last),
        None => port(text).map(|port| (port, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_the_host_stands_before_that_of_the_container() {
        let shown = |text: &str| -> Vec<String> {
            let ports = parse(text).unwrap().into_iter();
            ports
                .map(|it| format!("{:?} {:?} {}", it.address.unwrap_or_default(), it.host, it.container))
                .collect()
        };
        assert_eq!(shown("80"), ["\"\" None 80"]);
        assert_eq!(shown("8080:80"), ["\"\" Some(8080) 80"]);
        assert_eq!(shown("127.0.0.1:8080:80"), ["\"127.0.0.1\" Some(8080) 80"]);
        assert_eq!(shown("127.0.0.1::80"), ["\"127.0.0.1\" None 80"]);
        assert_eq!(shown("[::1]:8080:80"), ["\"::1\" Some(8080) 80"]);
        assert_eq!(shown("9000-9001:80-81"), ["\"\" Some(9000) 80", "\"\" Some(9001) 81"]);
        assert_eq!(parse("53:53/udp").unwrap()[0].name(), "53/udp");
    }

    #[test]
    fn a_port_that_is_none_is_refused() {
        for wrong in ["", "0", "x", "80/icmp", "1:2:3:4", "9000-9001:80", "70000:80", "90-80"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
