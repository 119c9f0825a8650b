//! `data:` URLs (RFC 2397) in JSON strings.

use std::borrow::Cow;

use crate::dialect::turn::{Source, Text};
use crate::json::text::{decode_lossy, escape};

/// A `data:` URL that is not base64, or has no comma.
#[derive(Debug, PartialEq, Eq)]
pub struct NotBase64;

/// Where a URL, the content of a JSON string, leads to. The data of most is taken as it stands.
pub fn source(url: &[u8]) -> Result<Source<'_>, NotBase64> {
    if !url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:")) {
        return Ok(Source::Url(Cow::Borrowed(url)));
    }
    let comma = memchr::memchr(b',', url).ok_or(NotBase64)?;
    let (head, data) = url.split_at_checked(comma).ok_or(NotBase64)?;
    let mut head_plain = Vec::new();
    decode_lossy(head.get(5..).unwrap_or_default(), &mut head_plain);
    let head_plain = String::from_utf8(head_plain).unwrap_or_default().to_ascii_lowercase();
    let mut words = head_plain.split(';').map(str::trim);
    let media_type = words.next().unwrap_or_default();
    if !words.any(|word| word == "base64") {
        return Err(NotBase64);
    }
    let mut escaped = Vec::new();
    escape(media_type.as_bytes(), &mut escaped);
    Ok(Source::Base64 { media_type: Cow::Owned(escaped), data: base64(data.get(1..).unwrap_or_default()) })
}

/// Base64 without line ends and without escapes: PHP writes `\/`, and some encoders break lines.
pub fn base64(data: &[u8]) -> Text<'_> {
    if !data.iter().any(|byte| *byte == b'\\' || byte.is_ascii_whitespace()) {
        return Cow::Borrowed(data);
    }
    let mut plain = Vec::with_capacity(data.len());
    decode_lossy(data, &mut plain);
    plain.retain(|byte| !byte.is_ascii_whitespace());
    let mut escaped = Vec::with_capacity(plain.len());
    escape(&plain, &mut escaped);
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        #[rustfmt::skip]
        let table: &[(&str, Option<(&str, &str)>)] = &[
            ("data:image/png;base64,iVBORw0KGgo=",            Some(("image/png", "iVBORw0KGgo="))),
            (r"data:image\/png;base64,iV\/BO\nRw=",           Some(("image/png", "iV/BORw="))),
            ("DATA:Image/JPG;name=a.jpg;BASE64,/9j/",         Some(("image/jpg", "/9j/"))),
            ("data:application/pdf;base64,JVBERi0 xLjQ=",     Some(("application/pdf", "JVBERi0xLjQ="))),
            ("data:;base64,AA==",                             Some(("", "AA=="))),
            ("data:image/svg+xml;utf8,<svg/>",                None),
            ("data:image/png;base64",                         None),
        ];
        for (url, expected) in table {
            let found = source(url.as_bytes());
            match (found, expected) {
                (Ok(Source::Base64 { media_type, data }), Some((wanted_type, wanted_data))) => {
                    assert_eq!((&*media_type, &*data), (wanted_type.as_bytes(), wanted_data.as_bytes()), "{url}");
                }
                (Err(NotBase64), None) => {}
                (other, _) => panic!("{url}: {other:?}"),
            }
        }
        let web = source(b"https:\\/\\/example.com\\/a.png").unwrap();
        assert!(matches!(web, Source::Url(url) if *url == *b"https:\\/\\/example.com\\/a.png"));
    }
}
