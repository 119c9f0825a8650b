//! URLs of faces and of proxies, and what a host's name tells about where it is.

use core::net::{IpAddr, Ipv6Addr};

use fluent_uri::Uri;
use fluent_uri::component::Authority;

use super::Secret;
use super::provider::{Base, Proxy};
use super::value::Wrong;

/// The base URL of a provider's face: scheme, host, port and a path that every request path is appended to.
pub fn base(text: &str) -> Result<Base, Wrong> {
    let uri = parse(text, "http://host:port/v1")?;
    let (tls, port) = match uri.scheme().as_str().to_ascii_lowercase().as_str() {
        "http" => (false, 80),
        "https" => (true, 443),
        // The scheme is not repeated: of `KEY:…` it would be the key.
        _ => return Err("has a scheme that is neither http nor https; write http://host:port/v1".into()),
    };
    let authority = authority(&uri)?;
    if authority.userinfo().is_some() {
        return Err("holds a user or password; put the key into the provider's _API_KEY variable".into());
    }
    if uri.query().is_some() || uri.fragment().is_some() {
        return Err("has a query or fragment; end it at the path, e.g. https://host/v1".into());
    }
    let path = uri.path().as_str().trim_end_matches('/').to_owned();
    if let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| path.ends_with(**endpoint)) {
        return Err(format!("ends in {endpoint}, which sidestream appends itself; end it before that"));
    }
    Ok(Base {
        tls,
        authority: authority.as_str().to_owned(),
        host: open_host(&authority)?,
        port: self::port(&authority, port)?,
        path,
        proxy: None,
    })
}

/// Ends of URLs that were copied from a curl example.
const ENDPOINTS: [&str; 4] = ["/chat/completions", "/responses", "/v1/messages", "/v1/models"];

/// An outbound HTTP proxy: `http://[user:password@]host:port`; `host:port` means the same, as it does for curl.
pub fn proxy(text: &str) -> Result<Proxy, Wrong> {
    const FORM: &str = "http://host:port";
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_scheme = if has_port && !text.contains("://") { format!("http://{text}") } else { text.to_owned() };
    let uri = parse(&with_scheme, FORM)?;
    match uri.scheme().as_str().to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => return Err(format!("is a proxy reached by TLS, which is not supported; write {FORM}")),
        other if other.starts_with("socks") => return Err(format!("is a SOCKS proxy, not supported; write {FORM}")),
        _ => return Err(format!("has a scheme that is not http; write {FORM}")),
    }
    let authority = authority(&uri)?;
    if !matches!(uri.path().as_str(), "" | "/") || uri.query().is_some() || uri.fragment().is_some() {
        return Err(format!("has something behind the port; write {FORM}"));
    }
    let userinfo = authority.userinfo().map(|userinfo| userinfo.decode().to_string());
    let userinfo = userinfo.transpose().map_err(|_| "has a user or password that is not UTF-8".to_owned())?;
    let userinfo = userinfo.filter(|userinfo| !userinfo.is_empty()).map(|userinfo| Secret::new(&userinfo));
    Ok(Proxy { host: open_host(&authority)?, port: port(&authority, 80)?, userinfo })
}

fn parse<'a>(text: &'a str, form: &str) -> Result<Uri<&'a str>, Wrong> {
    Uri::parse(text).map_err(|_| format!("is no URL; write {form}"))
}

fn authority<'a>(uri: &Uri<&'a str>) -> Result<Authority<'a>, Wrong> {
    let authority = uri.authority().filter(|authority| !authority.host().is_empty());
    authority.ok_or_else(|| "lacks a host; write http://host:port".to_owned())
}

fn host(authority: &Authority<'_>) -> String {
    authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// The host, unless it is an address that no request may go to.
fn open_host(authority: &Authority<'_>) -> Result<String, Wrong> {
    let host = host(authority);
    match address(&host).filter(|address| is_off_limits(*address)) {
        Some(_) => {
            Err("is a link-local address, where clouds answer with a machine's credentials; no request goes to \
                        169.254.0.0/16, fe80::/10 or fd00:ec2::254; write another address of that server"
                .into())
        }
        None => Ok(host),
    }
}

fn port(authority: &Authority<'_>, default: u16) -> Result<u16, Wrong> {
    match authority.port_to_u16() {
        Ok(Some(0)) => Err("has the port 0; write a port from 1 to 65535".into()),
        Ok(port) => Ok(port.unwrap_or(default)),
        Err(_) => Err("has a port above 65535".into()),
    }
}

/// Addresses that no request goes to: link-local ones, IPv4 (RFC 3927) and IPv6 (RFC 4291 §2.5.6), and AWS's other one.
/// Clouds hand out a machine's credentials there, to whoever asks from that machine.
pub fn is_off_limits(address: IpAddr) -> bool {
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == AWS_METADATA,
    }
}

/// True for upstreams on this machine.
pub fn is_here(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    // RFC 6761 §6.3: the top-level domain `localhost`.
    host.rsplit('.').next().is_some_and(|top| top.eq_ignore_ascii_case("localhost"))
        || address(host).is_some_and(|address| address.is_loopback() || address.is_unspecified())
}

/// True for hosts that are, by their name or address, on this machine or a private network.
pub fn is_near(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match address(&host) {
        Some(IpAddr::V4(v4)) => {
            v4.is_loopback() || v4.is_unspecified() || v4.is_private() || v4.is_link_local() || {
                // RFC 6598: carriers' and overlay networks' shared space, 100.64.0.0/10.
                let [first, second, ..] = v4.octets();
                first == 100 && (64..128).contains(&second)
            }
        }
        Some(IpAddr::V6(v6)) => {
            v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
        // Single labels and these suffixes are never names of the public DNS.
        None => {
            const PRIVATE: [&str; 8] =
                [".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc", ".intranet", ".test"];
            !host.contains('.') || PRIVATE.iter().any(|suffix| host.ends_with(suffix))
        }
    }
}

/// A literal address; IPv4 written as IPv6 counts as IPv4.
pub fn address(host: &str) -> Option<IpAddr> {
    host.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        for (text, want) in [
            ("http://127.0.0.1:8000/v1", Some((false, "127.0.0.1:8000", "127.0.0.1", 8000, "/v1"))),
            ("https://api.openai.com/v1", Some((true, "api.openai.com", "api.openai.com", 443, "/v1"))),
            ("HTTPS://API.Example/V1/", Some((true, "API.Example", "api.example", 443, "/V1"))),
            ("http://vllm/", Some((false, "vllm", "vllm", 80, ""))),
            ("https://a:8443", Some((true, "a:8443", "a", 8443, ""))),
            ("http://[::1]:9/a/b/", Some((false, "[::1]:9", "::1", 9, "/a/b"))),
            ("127.0.0.1:8000", None),
            ("ftp://a/", None),
            ("http:///v1", None),
            ("http://u:p@a/", None),
            ("http://@a/", None),
            ("http://a/?q", None),
            ("http://a/#f", None),
            ("http://a:99999/", None),
            ("http://a:0/", None),
            ("http://a b/", None),
            ("http://a/v1/chat/completions", None),
            ("http://a/v1/messages/", None),
            ("", None),
        ] {
            let base = base(text).ok();
            let got = base.as_ref().map(|base| (base.tls, &*base.authority, &*base.host, base.port, &*base.path));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn proxies() {
        for (text, want) in [
            ("http://proxy:3128", Some(("proxy", 3128, None))),
            ("proxy.example:3128", Some(("proxy.example", 3128, None))),
            ("http://Proxy/", Some(("proxy", 80, None))),
            ("http://[fd00::1]:8080", Some(("fd00::1", 8080, None))),
            ("http://user:p%40ss@proxy:3128", Some(("proxy", 3128, Some("user:p@ss")))),
            ("http://@proxy:3128", Some(("proxy", 3128, None))),
            ("https://proxy:3128", None),
            ("socks5://proxy:1080", None),
            ("proxy", None),
            ("http://proxy:3128/path", None),
            ("http://:3128", None),
            ("http://u%ff@proxy:1", None),
            ("", None),
        ] {
            let proxy = proxy(text).ok();
            let userinfo = |proxy: &Proxy| proxy.userinfo.as_ref().map(|secret| secret.expose().to_vec());
            let got = proxy.map(|proxy| (proxy.host.clone(), proxy.port, userinfo(&proxy)));
            let want =
                want.map(|(host, port, user)| (host.to_owned(), port, user.map(|user| user.as_bytes().to_vec())));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn refusals_repeat_nothing() {
        for text in
            ["canary", "canary:secret", "canary://a", "http://canary:x@a:0", "http://a/?canary", "http://a canary"]
        {
            assert!(!base(text).unwrap_err().contains("canary"), "{text}");
            assert!(!proxy(text).unwrap_err().contains("canary"), "{text}");
        }
    }

    #[test]
    fn no_request_goes_to_link_local_addresses() {
        for (address, off_limits) in [
            ("169.254.169.254", true),
            ("169.254.0.1", true),
            ("::ffff:169.254.169.254", true),
            ("fe80::1", true),
            ("febf::1", true),
            ("fd00:ec2::254", true),
            ("fd00:ec2::253", false),
            ("fec0::1", false),
            ("169.253.255.255", false),
            ("169.255.0.0", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("10.0.0.1", false),
            ("192.168.0.1", false),
            ("fd00::1", false),
            ("203.0.113.9", false),
        ] {
            assert_eq!(is_off_limits(address.parse().unwrap()), off_limits, "{address}");
            let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            for refusal in [base(&format!("http://{host}:80/v1")).err(), proxy(&format!("http://{host}:80")).err()] {
                assert_eq!(refusal.is_some_and(|what| what.contains("link-local")), off_limits, "{address}");
            }
        }
    }

    #[test]
    fn where_hosts_are() {
        for (host, here, near) in [
            ("localhost", true, true),
            ("LocalHost.", true, true),
            ("app.localhost", true, true),
            ("127.0.0.1", true, true),
            ("127.9.9.9", true, true),
            ("::1", true, true),
            ("::ffff:127.0.0.1", true, true),
            ("0.0.0.0", true, true),
            ("10.0.0.1", false, true),
            ("192.168.7.7", false, true),
            ("172.16.0.1", false, true),
            ("172.32.0.1", false, false),
            ("100.64.0.1", false, true),
            ("100.128.0.1", false, false),
            ("169.254.1.1", false, true),
            ("fd00::1", false, true),
            ("fe80::1", false, true),
            ("2001:db8::1", false, false),
            ("vllm", false, true),
            ("gpu.local", false, true),
            ("vllm.ml.svc.cluster.local", false, true),
            ("vllm.ml.svc", false, true),
            ("api.openai.com", false, false),
            ("203.0.113.9", false, false),
        ] {
            assert_eq!((is_here(host), is_near(host)), (here, near), "{host}");
        }
    }
}
