//! The forms that values take: durations, sizes, addresses, lists. Errors say what to write instead.

use core::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fluent_uri::Uri;

use super::{DriverChoice, Listen, Secret, WarmUp, Workers, url};
use crate::route::strategy::Strategy;
use crate::telemetry::log::{Level, LogFormat};

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

/// A [`duration`] after which something is given up; at once is no choice.
pub fn time_limit(text: &str) -> Result<Duration, Wrong> {
    let limit = duration(text)?;
    if limit.is_zero() { Err("must be longer than 0; write 30s, 2m or plain seconds".into()) } else { Ok(limit) }
}

/// A duration as it would be written.
pub fn written(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (secs, 0) => format!("{secs}s"),
        _ => format!("{}ms", duration.as_millis()),
    }
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

/// `off`, `connect` or `call`.
pub fn warm_up(text: &str) -> Result<WarmUp, Wrong> {
    match text {
        "off" => Ok(WarmUp::Off),
        "connect" => Ok(WarmUp::Connect),
        "call" => Ok(WarmUp::Call),
        _ => Err("must be off, connect or call".into()),
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

/// `0` or `1`.
pub fn switch(text: &str) -> Result<bool, Wrong> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("must be 0 or 1".into()),
    }
}

/// Host names and addresses, lower-cased, addresses without brackets.
pub fn hosts(text: &str) -> Result<Vec<String>, Wrong> {
    let hosts = text.split(',').map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty());
    hosts.map(host).collect()
}

fn host(text: String) -> Result<String, Wrong> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
    let is_name = bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if is_name || url::address(bare).is_some() {
        return Ok(bare.to_owned());
    }
    Err(format!("holds {text:?}, which is no host name; write names alone, every port of theirs is accepted"))
}

/// A browser's origin as it writes it: `https://app.example`, lower-cased, without a path.
pub fn origins(text: &str) -> Result<Vec<String>, Wrong> {
    let origins = text.split(',').map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase());
    origins.filter(|origin| !origin.is_empty()).map(origin).collect()
}

fn origin(text: String) -> Result<String, Wrong> {
    if text == "*" {
        return Err("allows every web page to use the keys; name the origins, e.g. https://app.example".into());
    }
    // RFC 6454 §6.2: scheme, host and a port that is not the scheme's own. Extensions of browsers have own schemes.
    let uri = Uri::parse(text.as_str()).ok();
    let is_origin = uri.is_some_and(|uri| {
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        authority.is_some_and(|authority| authority.userinfo().is_none())
            && uri.path().is_empty()
            && uri.query().is_none()
            && uri.fragment().is_none()
    });
    if is_origin { Ok(text) } else { Err(format!("holds {text:?}, which is no origin; write https://app.example")) }
}

/// Tokens for clients, or `none`: an empty list.
pub fn tokens(text: &str) -> Result<Vec<Secret>, Wrong> {
    /// Shorter ones can be tried out.
    const LEAST: usize = 8;
    if text == "none" {
        return Ok(Vec::new());
    }
    let tokens = keys(text)?;
    match tokens.iter().find(|token| token.expose().len() < LEAST) {
        Some(_) => Err(format!("holds a token of less than {LEAST} characters; write longer ones, or none")),
        None => Ok(tokens),
    }
}

/// A key that fits into a header field.
pub fn key(text: &str) -> Result<Secret, Wrong> {
    match text.trim() {
        "" => Err("is empty; unset it, or write the key".into()),
        key if key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Secret::new(key)),
        _ => Err("holds spaces, line breaks or non-ASCII characters; write the bare key".into()),
    }
}

/// A comma list of keys.
pub fn keys(text: &str) -> Result<Vec<Secret>, Wrong> {
    let keys: Vec<Secret> = text.split(',').map(key).collect::<Result<_, _>>()?;
    let repeated = keys.iter().enumerate().any(|(index, key)| keys.iter().skip(index + 1).any(|other| other == key));
    if repeated { Err("holds the same one twice; write each once".into()) } else { Ok(keys) }
}

/// A number, of connections or tries.
pub fn count(text: &str) -> Result<usize, Wrong> {
    text.parse().ok().filter(|count| *count <= 10_000).ok_or_else(|| "is no number from 0 to 10000".to_owned())
}

/// A number of tokens: `128000`, `128k`, `1m`.
pub fn token_count(text: &str) -> Option<u64> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let digits = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?;
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// A [`count`] of at least one.
pub fn at_least_one(text: &str) -> Result<usize, Wrong> {
    count(text).ok().filter(|count| *count > 0).ok_or_else(|| "is no number from 1 to 10000".to_owned())
}

/// A number a minute, of at least one; tokens end with k or m.
pub fn per_minute(text: &str) -> Result<u64, Wrong> {
    let (digits, factor) = match text.strip_suffix(['k', 'm']) {
        Some(digits) if text.ends_with('k') => (digits, 1_000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let sane = number.filter(|number| (1..=1_000_000_000).contains(number));
    sane.ok_or_else(|| "is no number a minute; write e.g. 40, 200k or 2m".to_owned())
}

/// A percentage, from 0 to 100.
pub fn percent(text: &str) -> Result<u64, Wrong> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<u64>().ok();
    number.filter(|number| *number <= 100).ok_or_else(|| "is no percentage from 0 to 100".to_owned())
}

/// The name of a strategy.
pub fn strategy(text: &str) -> Result<Strategy, Wrong> {
    let known = Strategy::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| "is no strategy; write order, weight, latency, cost or score".to_owned())
}

/// `on` or `off`.
pub fn on_off(text: &str) -> Result<bool, Wrong> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".into()),
    }
}

/// `text` or `json`.
pub fn log_format(text: &str) -> Result<LogFormat, Wrong> {
    let known = LogFormat::NAMES.iter().find(|(name, _)| *name == text);
    known.map(|(_, format)| *format).ok_or_else(|| "must be text or json".to_owned())
}

/// Names of providers, `[a-z][a-z0-9-]*`, in order.
pub fn providers(text: &str) -> Result<Vec<String>, Wrong> {
    let mut names: Vec<String> = Vec::new();
    for name in text.split(',').map(str::trim) {
        let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !valid {
            return Err(format!("holds {name:?}, which is no provider name; use lower-case letters, digits and -"));
        }
        // Their variables have another meaning: SIDESTREAM_…, HTTPS_PROXY, NO_PROXY.
        if name.starts_with("sidestream") || matches!(name, "http" | "https" | "no" | "all") {
            return Err(format!("holds {name:?}, which is reserved; take another name for the provider"));
        }
        if names.iter().any(|other| other == name) {
            return Err(format!("names {name:?} twice; name it once"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// True for the names and addresses with which this machine's own clients call it, in `Host`. Stricter than what is a
/// local upstream: web pages of other machines can make a browser ask `0.0.0.0`. Allocates nothing.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The form of a [`size`].
pub fn is_size(text: &str) -> Result<(), Wrong> {
    size(text).map(drop)
}

/// `0` or `1`.
pub fn is_switch(text: &str) -> Result<(), Wrong> {
    switch(text).map(drop)
}

/// A form that is not decided yet.
pub fn is_anything(_: &str) -> Result<(), Wrong> {
    Ok(())
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
            if let Ok(read) = duration(text) {
                assert_eq!(duration(&written(read)), Ok(read), "{text}");
            }
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
    fn loopback_names() {
        for (host, want) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(is_loopback(host), want, "{host}");
        }
    }

    #[test]
    fn lists_that_hold_secrets_never_repeat_them() {
        for (parse, text, good) in [
            (tokens as fn(&str) -> _, "none", true),
            (tokens, "canary-1,canary-2", true),
            (tokens, "canary", false),
            (tokens, "canary-1, canary-1", false),
            (tokens, "canary-1,", false),
            (keys, "canary one", false),
            (keys, "canary\u{fc}", false),
            (keys, "", false),
        ] {
            let parsed = parse(text);
            assert_eq!(parsed.is_ok(), good, "{text}");
            assert!(!format!("{parsed:?}").contains("canary"), "{parsed:?}");
        }
    }

    #[test]
    fn hosts_origins_and_names() {
        assert_eq!(
            hosts("App.Internal, [::1],fd00::1, 10.0.0.1,").unwrap(),
            ["app.internal", "::1", "fd00::1", "10.0.0.1"]
        );
        for wrong in ["*", "*.internal", "app:7730", "http://app", "a b"] {
            assert!(hosts(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            origins("https://App.Example/, http://localhost:3000").unwrap(),
            ["https://app.example", "http://localhost:3000"]
        );
        assert_eq!(origins("chrome-extension://abcdef").unwrap(), ["chrome-extension://abcdef"]);
        for wrong in ["*", "app.example", "https://a/path", "https://u@a", "https://a?q", "https://"] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
        assert_eq!(providers("zai, openai,my-llm2").unwrap(), ["zai", "openai", "my-llm2"]);
        for wrong in ["", "a,,b", "A", "2a", "a_b", "a,a", "https", "no", "sidestream", "sidestream-b"] {
            assert!(providers(wrong).is_err(), "{wrong}");
        }
    }
}
