use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::dialect::Dialect;
use crate::fault::Who;
use crate::telemetry::provider::TokenKind;

/// Three workers that know two providers between them, and a driver with a reason that needs every escape.
fn busy() -> String {
    let workers: [Arc<Counters>; 3] = Default::default();
    workers[0].requests.add(3);
    workers[1].requests.add(4);
    workers[1].streams_open.add(2);
    workers[0].refusals.add("not-found", Who::Client);
    workers[2].refusals.add("not-found", Who::Client);
    workers[2].refusals.add("draining", Who::Us);
    for (worker, name) in [(0, "zai"), (1, "openai"), (2, "zai")] {
        let numbers = workers[worker].providers.named(name);
        numbers.reuses.add(5);
        numbers.tokens.add(TokenKind::CacheRead, 100);
        numbers.cost.add(1_234_000);
        numbers.settle(Dialect::Messages, 200, Some(Duration::from_millis(2)), Duration::from_secs(700));
        numbers.settle(Dialect::Messages, 0, None, Duration::from_millis(1));
    }
    render(&workers, &Chosen { name: "epoll", why: "a \"why\"\nwith \\ in it".into() }, Vec::new())
}

#[test]
fn workers_are_summed() {
    let text = busy();
    for line in [
        concat!(
            "sidestream_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            r#"",driver="epoll",reason="a \"why\"\nwith \\ in it"} 1"#
        ),
        "sidestream_requests_total 7",
        "sidestream_streams_open 2",
        r#"sidestream_refusals_total{reason="not-found",who="client"} 2"#,
        r#"sidestream_refusals_total{reason="draining",who="us"} 1"#,
        r#"sidestream_upstream_reuses_total{provider="zai"} 10"#,
        r#"sidestream_upstream_reuses_total{provider="openai"} 5"#,
        r#"sidestream_upstream_requests_total{provider="zai",dialect="messages",status="2xx"} 2"#,
        r#"sidestream_upstream_requests_total{provider="zai",dialect="messages",status="none"} 2"#,
        r#"sidestream_upstream_requests_total{provider="openai",dialect="chat",status="5xx"} 0"#,
        r#"sidestream_upstream_tokens_total{provider="zai",kind="cache_read"} 200"#,
        "# UNIT sidestream_upstream_cost_usd usd",
        "# TYPE sidestream_upstream_cost_usd counter",
        r#"sidestream_upstream_cost_usd_total{provider="zai"} 0.002468"#,
        r#"sidestream_upstream_cost_usd_total{provider="openai"} 0.001234"#,
        r#"sidestream_upstream_requests_unpriced_total{provider="zai"} 0"#,
        "# UNIT sidestream_upstream_time_to_first_byte_seconds seconds",
        r#"sidestream_upstream_time_to_first_byte_seconds_count{provider="zai"} 2"#,
        r#"sidestream_upstream_time_to_first_byte_seconds_sum{provider="zai"} 0.004"#,
        r#"sidestream_upstream_time_to_first_byte_seconds_bucket{le="0.001",provider="zai"} 0"#,
        r#"sidestream_upstream_time_to_first_byte_seconds_bucket{le="0.0025",provider="zai"} 2"#,
        r#"sidestream_upstream_duration_seconds_bucket{le="600.0",provider="zai"} 2"#,
        r#"sidestream_upstream_duration_seconds_bucket{le="+Inf",provider="zai"} 4"#,
    ] {
        assert!(text.lines().any(|is| is == line), "{line} in\n{text}");
    }
}

#[test]
fn the_text_keeps_to_the_grammar() {
    for text in [busy(), render(&[], &Chosen { name: "epoll", why: String::new() }, Vec::new())] {
        if let Err(wrong) = grammar(&text) {
            panic!("{wrong} in\n{text}");
        }
    }
}

/// The check itself must be able to fail.
#[test]
fn the_grammar_finds_what_is_wrong() {
    let family = "# HELP a A.\n# TYPE a counter\n";
    for (text, what) in [
        (format!("{family}a_total 1\n"), "EOF"),
        (format!("{family}a_total 1\n# EOF\n\n"), "EOF"),
        (format!("{family}a 1\n# EOF\n"), "belongs to no family"),
        (format!("{family}b_total 1\n# EOF\n"), "belongs to no family"),
        ("# TYPE a counter\na_total 1\n# EOF\n".to_owned(), "no HELP"),
        ("# HELP a A.\na_total 1\n# EOF\n".to_owned(), "belongs to no family"),
        (format!("{family}a_total 1\na_total 1\n# EOF\n"), "twice"),
        (format!("{family}{family}# EOF\n"), "twice"),
        (format!("{family}a_total one\n# EOF\n"), "no number"),
        (format!("{family}a_total{{b=\"c}} 1\n# EOF\n"), "labels"),
        (format!("{family}a_total{{b=\"\\x\"}} 1\n# EOF\n"), "labels"),
        (format!("{family}a_total{{1b=\"c\"}} 1\n# EOF\n"), "labels"),
        ("# HELP h H.\n# TYPE h histogram\nh_count 1\nh_bucket{le=\"+Inf\"} 2\n# EOF\n".to_owned(), "histogram"),
        (
            "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n# EOF\n"
                .to_owned(),
            "histogram",
        ),
    ] {
        let found = grammar(&text).expect_err(&text);
        assert!(found.contains(what), "{found:?} is not about {what:?} in\n{text}");
    }
}

/// Holds a text to the OpenMetrics text format, as far as this program uses it.
fn grammar(text: &str) -> Result<(), String> {
    let body = text.strip_suffix("# EOF\n").ok_or("no EOF at the end")?;
    let mut types = BTreeMap::new();
    let (mut helped, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut family = "";
    let mut buckets = BTreeMap::<_, Vec<(String, f64)>>::new();
    let mut counts = BTreeMap::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (keyword, rest) = comment.split_once(' ').ok_or(line)?;
            let (name, rest) = rest.split_once(' ').ok_or(line)?;
            match keyword {
                "HELP" if helped.insert(name) && is_name(name) && !rest.contains(['\\', '"']) => {}
                "TYPE" if !helped.contains(name) => return Err(format!("{name} has no HELP")),
                "TYPE" if types.insert(name, rest).is_none() => family = name,
                "UNIT" if name == family && name.ends_with(&format!("_{rest}")) => {}
                _ => return Err(format!("{line}: wrong, or twice")),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').ok_or(line)?;
        let value: f64 = value.parse().map_err(|_| format!("{line}: no number"))?;
        let (name, labels) = labels(series).ok_or(format!("{line}: broken labels"))?;
        let suffix = name.strip_prefix(family).unwrap_or("?");
        let suffixes: &[&str] = match types.get(family) {
            Some(&"counter") => &["_total"],
            Some(&"gauge") => &[""],
            Some(&"histogram") => &["_sum", "_count", "_bucket"],
            _ => &[],
        };
        if !suffixes.contains(&suffix) {
            return Err(format!("{line}: belongs to no family"));
        }
        if !seen.insert(series) {
            return Err(format!("{series}: twice"));
        }
        let metric = |labels: &[(String, String)]| format!("{family}{labels:?}");
        match suffix {
            "_count" => drop(counts.insert(metric(&labels), value)),
            "_bucket" => {
                let (le, others): (Vec<_>, Vec<_>) = labels.into_iter().partition(|(name, _)| name == "le");
                let (_, bound) = le.into_iter().next().ok_or(format!("{line}: no le"))?;
                buckets.entry(metric(&others)).or_default().push((bound, value));
            }
            _ => {}
        }
    }
    for (metric, buckets) in buckets {
        let bounds: Vec<f64> = buckets.iter().filter_map(|(bound, _)| bound.parse().ok()).collect();
        let grows = buckets.is_sorted_by(|one, next| one.1 <= next.1) && bounds.is_sorted_by(|one, next| one < next);
        let last = buckets.last().is_some_and(|(bound, value)| bound == "+Inf" && counts.get(&metric) == Some(value));
        if !grows || !last || bounds.len() != buckets.len() {
            return Err(format!("{metric}: no histogram"));
        }
    }
    let lonely = helped.iter().find(|name| !types.contains_key(*name));
    lonely.map_or(Ok(()), |name| Err(format!("{name} has no TYPE")))
}

/// A series as name and labels.
fn labels(series: &str) -> Option<(&str, Vec<(String, String)>)> {
    let Some((name, rest)) = series.split_once('{') else { return is_name(series).then_some((series, Vec::new())) };
    let mut rest = rest.strip_suffix('}').filter(|_| is_name(name))?;
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, value) = rest.split_once("=\"").filter(|(label, _)| is_name(label))?;
        let mut end = 0;
        let mut bytes = value.bytes();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' if matches!(bytes.next()?, b'"' | b'\\' | b'n') => end += 2,
                b'\\' => return None,
                _ => end += 1,
            }
        }
        labels.push((label.to_owned(), value[..end].to_owned()));
        rest = &value[end + 1..];
        rest = if rest.is_empty() { rest } else { rest.strip_prefix(',')? };
    }
    Some((name, labels))
}

fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(known) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}
