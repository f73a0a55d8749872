//! Where a listener of a Tollgate is: `http://host:port`, or `https://host:port`.

use std::fmt;

use ureq::http::Uri;

/// The address of a listener, without a path of its endpoints.
#[derive(Clone, Debug)]
pub struct BaseUrl(Box<str>);

impl BaseUrl {
    /// Reads one, for clap.
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let split = raw.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme));
        let url = split.map(|(scheme, host)| {
            let host = host.trim_end_matches('/');
            (host, format!("{scheme}://{host}"))
        });
        match url {
            Some((host, url)) if !host.contains(['?', '#', '@', ' ']) && names_a_host(&url) => {
                Ok(Self(url.into()))
            }
            _ => Err("a URL must be like http://127.0.0.1:7601 or https://tollgate.example:7601"),
        }
    }

    /// The address as text, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is asked over TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.0.split_once("://").map_or(&*self.0, |(_, host)| host);
        let host = host.split('/').next().unwrap_or(host);
        let host = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or(host, |(h, _)| h);
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn names_a_host(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    url.authority().is_some_and(|authority| {
        let rest = authority.as_str().strip_prefix(authority.host());
        let has_sound_port = rest.is_some_and(str::is_empty) || authority.port_u16().is_some();
        !authority.host().is_empty() && has_sound_port
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_this_machine_is_told_from_one_elsewhere() {
        for near in ["http://127.0.0.1:7601", "http://localhost:7601/", "https://[::1]:7601"] {
            assert!(BaseUrl::parse(near).unwrap().is_loopback(), "{near}");
        }
        for far in ["http://10.0.0.1:7601", "http://127.0.0.1.example.com", "https://tollgate"] {
            assert!(!BaseUrl::parse(far).unwrap().is_loopback(), "{far}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_listener_is_refused() {
        for wrong in [
            "ftp://tollgate",
            "tollgate:7601",
            "http://",
            "https://",
            "http://a@b",
            "http://tollgate:port",
            "http://tollgate:99999",
            "http://:7601",
            "http://[::1",
        ] {
            assert!(BaseUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
