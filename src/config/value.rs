//! The forms that values take: durations, sizes, addresses, base URLs. Errors say what to write instead.

use core::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fluent_uri::Uri;

use super::{Base, DriverChoice, Listen, Workers};
use crate::telemetry::log::Level;

/// What was wrong with a value, and the remedy: the end of the sentence "NAME=value: …".
pub type Wrong = String;

/// `30s`, `2m`, `1h`, `250ms`, or plain seconds.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().map_err(|_| "is no duration; write 30s, 2m, 250ms or plain seconds".to_owned())?;
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => return Err(format!("has the unknown unit {unit:?}; write 30s, 2m, 250ms or plain seconds")),
    };
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
    duration.filter(|duration| *duration <= LONGEST).ok_or_else(|| "is longer than 30 days".to_owned())
}

/// `64MiB`, `512KiB`, `1GiB`, or plain bytes. The SI spellings (`MB`) mean powers of 1000.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(format!("has the unknown unit {unit:?}; write 64MiB, 512KiB or plain bytes")),
    };
    let number: u64 = digits.parse().map_err(|_| "is no size; write 64MiB, 512KiB or plain bytes".to_owned())?;
    number.checked_mul(factor).filter(|size| *size <= 1 << 40).ok_or_else(|| "is larger than 1 TiB".to_owned())
}

/// A comma list of `IP:PORT`, `localhost:PORT` and `unix:/path`.
pub fn listen(text: &str) -> Result<Vec<Listen>, Wrong> {
    text.split(',').map(str::trim).map(listen_one).collect()
}

fn listen_one(text: &str) -> Result<Listen, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        // sun_path holds 108 bytes, the terminating zero included (unix(7)).
        return match path.len() {
            0 => Err("lacks a path after unix:".into()),
            1..108 => Ok(Listen::Unix(path.into())),
            length => Err(format!("has a path of {length} bytes; the kernel takes at most 107")),
        };
    }
    let numeric = text.replace("localhost:", "127.0.0.1:");
    numeric
        .parse::<SocketAddr>()
        .map(Listen::Tcp)
        .map_err(|_| format!("{text:?} is no address; write 127.0.0.1:7730, [::1]:7730 or unix:/run/sidestream.sock"))
}

/// `off`, or one listen address.
pub fn admin(text: &str) -> Result<Option<Listen>, Wrong> {
    if text == "off" { Ok(None) } else { listen_one(text).map(Some) }
}

/// A number of event loops, or `auto`.
pub fn workers(text: &str) -> Result<Workers, Wrong> {
    match text.parse() {
        _ if text == "auto" => Ok(Workers::Auto),
        Ok(count @ 1..=256) => Ok(Workers::Count(count)),
        _ => Err("is no number from 1 to 256; write 1 or auto".into()),
    }
}

/// `auto`, `io_uring` or `epoll`.
pub fn driver(text: &str) -> Result<DriverChoice, Wrong> {
    match text {
        "auto" => Ok(DriverChoice::Auto),
        "io_uring" => Ok(DriverChoice::IoUring),
        "epoll" => Ok(DriverChoice::Epoll),
        _ => Err("is no driver; write auto, io_uring or epoll".into()),
    }
}

/// A log level.
pub fn level(text: &str) -> Result<Level, Wrong> {
    let known = Level::NAMES.iter().find(|(name, _)| *name == text);
    known.map(|(_, level)| *level).ok_or_else(|| "is no level; write error, warn, info or debug".to_owned())
}

/// `abort` or `allow`; true for `allow`.
pub fn half_close(text: &str) -> Result<bool, Wrong> {
    match text {
        "abort" => Ok(false),
        "allow" => Ok(true),
        _ => Err("must be abort or allow".into()),
    }
}

/// Host names, lower-cased.
pub fn hosts(text: &str) -> Result<Vec<String>, Wrong> {
    let hosts = text.split(',').map(|host| host.trim().to_ascii_lowercase());
    Ok(hosts.filter(|host| !host.is_empty()).collect())
}

/// The base URL of a provider's face: scheme, host, port and a path that every request path is appended to.
pub fn base(text: &str) -> Result<Base, Wrong> {
    let uri = Uri::parse(text).map_err(|_| "is no URL; write http://host:port/v1".to_owned())?;
    match uri.scheme().as_str() {
        "http" => {}
        "https" => return Err("uses https, which this version cannot dial yet; use an http:// upstream".into()),
        other => return Err(format!("has the scheme {other:?}; write http://host:port/v1")),
    }
    let authority = uri.authority().filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or_else(|| "lacks a host; write http://host:port/v1".to_owned())?;
    if authority.userinfo().is_some() {
        return Err("holds a user or password; put the key into the provider's _API_KEY variable".into());
    }
    if uri.query().is_some() || uri.fragment().is_some() {
        return Err("has a query or fragment; end it at the path, e.g. http://host:port/v1".into());
    }
    let port = authority.port_to_u16().map_err(|_| "has a port above 65535".to_owned())?.unwrap_or(80);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let path = uri.path().as_str().trim_end_matches('/').to_owned();
    Ok(Base { authority: authority.as_str().to_owned(), host, port, path })
}

/// True for the names and addresses that mean this machine.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("30s", Some(30_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("250ms", Some(250)),
            ("5", Some(5_000)),
            ("0", Some(0)),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("10y", None),
            ("99999999999999999999s", None),
            ("1000000h", None),
        ] {
            assert_eq!(duration(text).ok().map(|d| d.as_millis() as u64), want, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, want) in [
            ("64MiB", Some(64 << 20)),
            ("512KiB", Some(512 << 10)),
            ("1GiB", Some(1 << 30)),
            ("10MB", Some(10_000_000)),
            ("123", Some(123)),
            ("", None),
            ("MiB", None),
            ("64mib", None),
            ("99999999GiB", None),
        ] {
            assert_eq!(size(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn listen_addresses() {
        let tcp = |text: &str| Listen::Tcp(text.parse().unwrap());
        assert_eq!(listen("127.0.0.1:7730").unwrap(), [tcp("127.0.0.1:7730")]);
        assert_eq!(listen("localhost:1, [::1]:2").unwrap(), [tcp("127.0.0.1:1"), tcp("[::1]:2")]);
        assert_eq!(listen("unix:/run/s.sock").unwrap(), [Listen::Unix("/run/s.sock".into())]);
        for wrong in ["", "7730", "example.com:1", "unix:", &format!("unix:/{}", "x".repeat(107))] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn base_urls() {
        let base_of = |text| base(text).map(|base| (base.authority, base.host, base.port, base.path)).ok();
        let want = |authority: &str, host: &str, port, path: &str| {
            Some((authority.to_owned(), host.to_owned(), port, path.to_owned()))
        };
        assert_eq!(base_of("http://127.0.0.1:8000/v1"), want("127.0.0.1:8000", "127.0.0.1", 8000, "/v1"));
        assert_eq!(base_of("http://vllm/"), want("vllm", "vllm", 80, ""));
        assert_eq!(base_of("http://[::1]:9/a/b/"), want("[::1]:9", "::1", 9, "/a/b"));
        for wrong in [
            "127.0.0.1:8000",
            "ftp://a/",
            "https://a/v1",
            "http:///v1",
            "http://u:p@a/",
            "http://a/?q",
            "http://a/#f",
            "http://a:99999/",
            "http://a b/",
            "",
        ] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn loopback_names() {
        for (host, want) in
            [("localhost", true), ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("10.0.0.1", false)]
        {
            assert_eq!(is_loopback(host), want, "{host}");
        }
    }
}
