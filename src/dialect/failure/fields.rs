//! Header fields that tell a client when it may ask again, and whom to name when it complains.

use crate::dialect::{Dialect, Face};
use crate::http::write;
use crate::telemetry::log::civil;

/// Appends the line of a response's field as the other dialect names it, and says whether there is one: rate limits,
/// `retry-after`, the request's id. `now_unix` is in seconds: one dialect tells when a limit is reset, the other how long
/// that takes. Fields of the same face go as they are.
pub fn error_field(from: Dialect, to: Dialect, name: &[u8], value: &[u8], now_unix: u64, out: &mut Vec<u8>) -> bool {
    let name = name.to_ascii_lowercase();
    let Ok(name) = str::from_utf8(&name) else { return false };
    let translated = match (from.face(), to.face()) {
        _ if matches!(name, "retry-after" | "retry-after-ms" | "x-should-retry") => {
            Some((name.to_owned(), value.to_vec()))
        }
        (Face::OpenAi, Face::Anthropic) => to_anthropic(name, value, now_unix),
        (Face::Anthropic, Face::OpenAi) => to_openai(name, value, now_unix),
        (Face::Anthropic, Face::Anthropic) if is_anthropic(name) => Some((name.to_owned(), value.to_vec())),
        (Face::OpenAi, Face::OpenAi) if is_openai(name) => Some((name.to_owned(), value.to_vec())),
        _ => None,
    };
    if let Some((name, value)) = &translated {
        write::field(out, name, value);
    }
    translated.is_some()
}

/// `retry-after-ms`, else `retry-after` in seconds or as a date (RFC 9110 §10.2.3), in milliseconds from `now_unix`
/// seconds.
pub fn retry_after(millis: Option<&[u8]>, seconds: Option<&[u8]>, now_unix: u64) -> Option<u64> {
    let number = |text: &[u8]| {
        let number = str::from_utf8(text).ok()?.trim().parse::<f64>().ok()?;
        (number >= 0.0 && number.is_finite()).then_some(number)
    };
    if let Some(millis) = millis.and_then(number) {
        return Some(millis as u64);
    }
    let text = seconds?;
    match number(text) {
        Some(seconds) => Some((seconds * 1000.0) as u64),
        None => http_date(str::from_utf8(text).ok()?).map(|at| at.saturating_sub(now_unix) * 1000),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970; the two obsolete forms occur no more.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|known| *known == name)? as i64 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (clock.next()??, clock.next()??, clock.next()??);
    let in_day = (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..61).contains(&seconds);
    let sane = in_day && (1970..10_000).contains(&year) && (1..32).contains(&day) && words.next() == Some("GMT");
    sane.then(|| ((days_of(year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds)?.try_into().ok()
}

fn is_anthropic(name: &str) -> bool {
    name == "request-id" || name.starts_with("anthropic-ratelimit-")
}

fn is_openai(name: &str) -> bool {
    name == "x-request-id" || name.starts_with("x-ratelimit-")
}

/// `x-ratelimit-limit-requests` → `anthropic-ratelimit-requests-limit`.
fn to_anthropic(name: &str, value: &[u8], now_unix: u64) -> Option<(String, Vec<u8>)> {
    if name == "x-request-id" {
        return Some(("request-id".to_owned(), value.to_vec()));
    }
    let (what, of) = name.strip_prefix("x-ratelimit-")?.split_once('-')?;
    let value = match (of, what) {
        ("requests" | "tokens", "reset") => {
            let millis = duration_millis(str::from_utf8(value).ok()?)?;
            date(now_unix.checked_add(millis.div_ceil(1000))?).into_bytes()
        }
        ("requests" | "tokens", "limit" | "remaining") => value.to_vec(),
        _ => return None,
    };
    Some((format!("anthropic-ratelimit-{of}-{what}"), value))
}

/// `anthropic-ratelimit-requests-limit` → `x-ratelimit-limit-requests`.
fn to_openai(name: &str, value: &[u8], now_unix: u64) -> Option<(String, Vec<u8>)> {
    if name == "request-id" {
        return Some(("x-request-id".to_owned(), value.to_vec()));
    }
    let (of, what) = name.strip_prefix("anthropic-ratelimit-")?.split_once('-')?;
    let value = match (of, what) {
        ("requests" | "tokens", "reset") => {
            let at = unix_of_date(str::from_utf8(value).ok()?)?;
            duration(at.saturating_sub(now_unix)).into_bytes()
        }
        ("requests" | "tokens", "limit" | "remaining") => value.to_vec(),
        _ => return None,
    };
    Some((format!("x-ratelimit-{what}-{of}"), value))
}

/// A duration as Go writes it (`6m0s`, `1.5s`, `12ms`), or a number of seconds.
fn duration_millis(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut millis = 0.0;
    if rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        millis = rest.parse::<f64>().ok()? * 1000.0;
        rest = "";
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, behind) = rest.split_at_checked(number_end)?;
        let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(unit_end)?;
        let of_unit = match unit {
            "h" => 3_600_000.0,
            "m" => 60_000.0,
            "s" => 1000.0,
            "ms" => 1.0,
            "us" | "µs" | "ns" => 0.0,
            _ => return None,
        };
        millis += number.parse::<f64>().ok()? * of_unit;
        rest = behind;
    }
    // A year is a limit of nothing; larger numbers are points in time.
    (0.0..3.2e10).contains(&millis).then_some(millis as u64)
}

/// A duration as Go writes it.
fn duration(seconds: u64) -> String {
    let (hours, minutes, left) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{left}s"),
        (0, _) => format!("{minutes}m{left}s"),
        _ => format!("{hours}h{minutes}m{left}s"),
    }
}

/// RFC 3339 in UTC.
fn date(unix: u64) -> String {
    let (year, month, day) = civil(unix / 86_400);
    let (hour, minute, second) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Seconds since 1970 of an RFC 3339 time; fractions are rounded up.
fn unix_of_date(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok().filter(|number| *number >= 0);
    let separators = [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")];
    if !separators.iter().all(|(at, of)| text.get(*at..*at + 1).is_some_and(|found| of.contains(found))) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at_checked(zone_at)?;
    let round_up = i64::from(fraction.bytes().any(|byte| (b'1'..=b'9').contains(&byte)));
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", _) => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    let days = days_of(year, month, day);
    u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second + round_up - offset * 60).ok()
}

/// Days since 1970-01-01 of a Gregorian date: the inverse of [`civil`].
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from March, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 1
        - 719_468
}
