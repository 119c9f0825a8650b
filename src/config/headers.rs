//! Extra fields of every upstream request.

use super::Secret;
use super::value::Wrong;
use crate::http::fields;

/// `name: value`, one a line or separated by `;`. A value may be a credential, so that no error repeats one.
pub fn parse(text: &str) -> Result<Vec<(String, Secret)>, Wrong> {
    let written = text.split(['\n', ';']).map(str::trim).filter(|field| !field.is_empty());
    let headers: Vec<_> = written.map(field).collect::<Result<_, _>>()?;
    let names = headers.iter().map(|(name, _)| name);
    match names.enumerate().find(|(index, name)| headers.iter().take(*index).any(|(other, _)| other == *name)) {
        Some((_, name)) => Err(format!("holds the field {name} twice; write it once")),
        None => Ok(headers),
    }
}

fn field(text: &str) -> Result<(String, Secret), Wrong> {
    let (name, value) = text.split_once(':').ok_or("holds a field without a colon; write name: value")?;
    let name = name.trim_end().to_ascii_lowercase();
    // RFC 9110 §5.6.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("holds a field whose name is no token; write name: value".into());
    }
    if fields::is_hop_by_hop(name.as_bytes()) || OURS.contains(&name.as_str()) || name.starts_with("x-sidestream-") {
        return Err(format!("holds the field {name}, which sidestream writes itself; leave it out"));
    }
    let value = Secret::new(value);
    if value.expose().is_empty() || !value.expose().iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Err(format!("holds the field {name} with an empty or non-ASCII value; write printable ASCII"));
    }
    Ok((name, value))
}

/// Beside the hop-by-hop fields: those that frame a message or that are written for each.
const OURS: [&str; 6] = ["host", "content-length", "content-encoding", "content-type", "accept-encoding", "expect"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        for (text, want) in [
            ("A: b", "a=b"),
            ("a:b", "a=b"),
            (
                "HTTP-Referer: https://app.example:8443/x\nX-Title: My App",
                "http-referer=https://app.example:8443/x x-title=My App",
            ),
            ("a: b; c: d;", "a=b c=d"),
            ("\n a: b \r\n", "a=b"),
            ("authorization: Basic dTpw", "authorization=Basic dTpw"),
        ] {
            let shown = parse(text)
                .unwrap()
                .into_iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.expose())));
            assert_eq!(shown.collect::<Vec<_>>().join(" "), want, "{text:?}");
        }
    }

    #[test]
    fn refusals_do_not_repeat_values() {
        for text in [
            "canary",
            ": canary",
            "canary b: c",
            "a: b; canary",
            "a:",
            "a: canary\u{fc}",
            "a: can\u{1}ary",
            "host: canary",
            "Content-Length: canary",
            "Transfer-Encoding: canary",
            "connection: canary",
            "proxy-authorization: canary",
            "x-sidestream-token: canary",
            "a: canary; A: canary",
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(!wrong.contains("canary"), "{wrong}");
        }
    }
}
