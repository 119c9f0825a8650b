//! The way out: which HTTP proxy stands before an upstream.

use core::net::IpAddr;

use super::provider::{Base, Proxy};
use super::reader::Reader;
use super::url;
use super::value::Wrong;

/// What `HTTPS_PROXY` and `NO_PROXY` say, for all providers.
pub struct Outbound {
    proxy: Option<Result<Proxy, Wrong>>,
    exceptions: Vec<Exception>,
}

/// What `{NAME}_PROXY` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// None, whatever the other variables say.
    Off,
    /// This one, wherever the provider is.
    Proxy(Proxy),
}

impl Outbound {
    /// Reads the variables. They were set for all programs of the machine, so that a proxy that we cannot use is a
    /// problem only once an upstream would need it.
    pub fn read(from: &Reader<'_>) -> Self {
        let exceptions = from.get("NO_PROXY").unwrap_or_default().split([',', ' ']);
        Self {
            proxy: from.get("HTTPS_PROXY").map(|text| url::proxy(text.trim())),
            exceptions: exceptions.filter_map(Exception::parse).collect(),
        }
    }

    /// The base, with the proxy that stands before it. What is on this machine needs none, and a proxy elsewhere would
    /// look for it on its own.
    pub fn way_to(&mut self, from: &mut Reader<'_>, base: Base, own: Option<&Own>) -> Base {
        let proxy = match own {
            Some(Own::Off) => None,
            Some(Own::Proxy(proxy)) => Some(proxy.clone()),
            None if !base.tls || url::is_here(&base.host) => None,
            None if self.exceptions.iter().any(|exception| exception.covers(&base)) => None,
            None => match self.proxy.take_if(|proxy| proxy.is_err()) {
                Some(Err(what)) => {
                    from.problem("HTTPS_PROXY", what);
                    None
                }
                _ => self.proxy.clone().and_then(Result::ok),
            },
        };
        Base { proxy, ..base }
    }
}

/// The value of `{NAME}_PROXY`.
pub fn own(text: &str) -> Result<Own, Wrong> {
    if text == "off" { Ok(Own::Off) } else { url::proxy(text).map(Own::Proxy) }
}

/// One element of `NO_PROXY`, with the port that it is limited to.
#[derive(Debug, PartialEq, Eq)]
struct Exception {
    what: Covered,
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Covered {
    Everything,
    /// Addresses whose first bits are those of this one.
    Network(IpAddr, u32),
    /// A name and the names below it.
    Domain(String),
}

impl Exception {
    /// As curl and Go read them. There is no standard, and what neither understands is skipped.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Some(Self { what: Covered::Everything, port: None });
        }
        if let Some((address, bits)) = text.split_once('/') {
            let (address, bits) = (url::address(address)?, bits.parse().ok()?);
            return (bits <= width(address)).then_some(Self { what: Covered::Network(address, bits), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            // The last colon of a bare IPv6 address is no port's.
            Some((host, port)) if text.parse::<IpAddr>().is_err() && !text.ends_with(']') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (text.as_str(), None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let what = match url::address(host) {
            Some(address) => Covered::Network(address, width(address)),
            None => Covered::Domain(host.trim_start_matches('*').trim_matches('.').to_owned()),
        };
        (what != Covered::Domain(String::new())).then_some(Self { what, port })
    }

    fn covers(&self, base: &Base) -> bool {
        let host = base.host.trim_end_matches('.');
        let covered = match &self.what {
            Covered::Everything => true,
            Covered::Network(network, bits) => {
                url::address(host).is_some_and(|address| is_in(address, *network, *bits))
            }
            Covered::Domain(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        };
        covered && self.port.is_none_or(|port| port == base.port)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { u32::BITS } else { u128::BITS }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let difference = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => u128::from(address.to_bits() ^ network.to_bits()),
        (IpAddr::V6(address), IpAddr::V6(network)) => address.to_bits() ^ network.to_bits(),
        _ => return false,
    };
    difference.checked_shr(width(network) - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    /// The proxy's host on the way to `base`.
    fn way(variables: &[(&str, &str)], own: Option<Own>, base: &str) -> Result<Option<String>, String> {
        let source = Source::of(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        let mut from = Reader::new(&source);
        let base = Outbound::read(&from).way_to(&mut from, url::base(base).unwrap(), own.as_ref());
        from.finish().map_err(|problems| problems[0].to_string())?;
        Ok(base.proxy.map(|proxy| proxy.host))
    }

    #[test]
    fn exceptions() {
        for (no_proxy, base, excepted) in [
            ("", "https://a.example", false),
            ("*", "https://a.example", true),
            ("a.example", "https://a.example", true),
            ("example", "https://a.example", true),
            (".example", "https://a.example", true),
            ("*.example", "https://a.example", true),
            (".a.example", "https://a.example", true),
            ("A.Example.", "https://A.EXAMPLE.", true),
            ("b.example, a.example", "https://a.example", true),
            ("b.example a.example", "https://a.example", true),
            ("ample", "https://a.example", false),
            ("a.example:443", "https://a.example", true),
            ("a.example:8443", "https://a.example", false),
            ("a.example:8443", "https://a.example:8443", true),
            ("10.0.0.1", "https://10.0.0.1", true),
            ("10.0.0.1", "https://10.0.0.10", false),
            ("10.0.0.0/8", "https://10.9.9.9", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("10.128.0.0/9", "https://10.127.0.1", false),
            ("0.0.0.0/0", "https://203.0.113.1", true),
            ("10.0.0.0/33", "https://10.0.0.1", false),
            ("10.0.0.0/8", "https://a.example", false),
            ("fd00::1", "https://[fd00::1]", true),
            ("[fd00::1]:443", "https://[fd00::1]", true),
            ("[fd00::1]", "https://[fd00::1]:8443", true),
            ("[fd00::1]:8443", "https://[fd00::1]", false),
            ("fd00::/8", "https://[fd12::9]", true),
            ("fd00::/8", "https://[fe00::1]", false),
            ("::/0", "https://10.0.0.1", false),
            (",, .", "https://a.example", false),
        ] {
            let way = way(&[("HTTPS_PROXY", "http://proxy:1"), ("NO_PROXY", no_proxy)], None, base);
            assert_eq!(way, Ok((!excepted).then(|| "proxy".to_owned())), "{no_proxy:?} {base}");
        }
    }

    #[test]
    fn which_proxy() {
        let other = || own("http://other:1").unwrap();
        for (variables, own, base, want) in [
            (&[("https_proxy", "proxy:1")][..], None, "https://a", Some("proxy")),
            (&[("https_proxy", "small:1"), ("HTTPS_PROXY", "capital:1")], None, "https://a", Some("capital")),
            (&[("HTTPS_PROXY", "proxy:1")], None, "http://a", None),
            (&[("HTTPS_PROXY", "proxy:1")], None, "https://localhost", None),
            (&[("HTTPS_PROXY", "proxy:1")], None, "https://127.0.0.1:8443", None),
            (&[("HTTPS_PROXY", "proxy:1")], Some(Own::Off), "https://a", None),
            (&[("HTTPS_PROXY", "proxy:1")], Some(other()), "https://a", Some("other")),
            (&[("HTTPS_PROXY", "proxy:1"), ("NO_PROXY", "*")], Some(other()), "http://127.0.0.1", Some("other")),
            (&[("HTTP_PROXY", "proxy:1"), ("ALL_PROXY", "proxy:1")], None, "https://a", None),
        ] {
            assert_eq!(way(variables, own, base), Ok(want.map(ToOwned::to_owned)), "{variables:?} {base}");
        }
    }

    #[test]
    fn an_unusable_proxy_is_a_problem_only_where_it_is_needed() {
        let variables = [("HTTPS_PROXY", "socks5://user:canary@proxy:1"), ("NO_PROXY", "near.example")];
        for base in ["http://a", "https://127.0.0.1", "https://near.example"] {
            assert_eq!(way(&variables, None, base), Ok(None), "{base}");
        }
        let problem = way(&variables, None, "https://a").unwrap_err();
        assert!(problem.starts_with("HTTPS_PROXY is a SOCKS proxy") && !problem.contains("canary"), "{problem}");
    }
}
