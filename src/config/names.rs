//! Variables that are set but mean nothing to us: mistyped ones are told, other programs' are left alone.

use super::known::{self, KNOWN};
use super::reader::{Reader, Setting};
use super::variables::{PROVIDER_VARIABLES, VARIABLES, prefix};

/// Notes the variables that were probably meant for us, and are none of ours.
///
/// An unknown `SIDESTREAM_` name in the env file is a problem, since that file is ours; in the process environment it
/// is a warning. A provider's variable is told only if it is close to one of ours.
pub fn check(from: &mut Reader<'_>, active: &[String]) {
    let ours = Ours::new(active);
    let found: Vec<_> = from.settings().filter_map(|(name, setting)| ours.judge(name, setting)).collect();
    for Misspelt { name, line, meant, is_provider } in found {
        match line {
            Some(line) if !is_provider => {
                let nearest = meant.map(|meant| format!("; the nearest is {meant}")).unwrap_or_default();
                from.problem_in_file(line, name, &format!("is no variable of sidestream{nearest}"));
            }
            _ => {
                let place = from.place(&name).map(|place| format!(" ({place})")).unwrap_or_default();
                let hint = match meant {
                    Some(meant) => format!("; did you mean {meant}?"),
                    None => ": it is no variable of sidestream".to_owned(),
                };
                from.warn(format!("{name}{place} is set and has no effect{hint}"));
            }
        }
    }
}

struct Misspelt {
    name: String,
    line: Option<usize>,
    meant: Option<String>,
    is_provider: bool,
}

/// The names that are ours: with the prefix of their provider, if they have one.
struct Ours(Vec<(String, String)>);

impl Ours {
    fn new(active: &[String]) -> Self {
        let proxy = VARIABLES.iter().map(|row| (String::new(), row.name.to_owned()));
        let known = KNOWN.iter().map(|known| known.name);
        let providers = known.chain(active.iter().map(String::as_str)).flat_map(|name| {
            let prefix = prefix(name);
            let keys = known::find(name).map_or(&[][..], |known| known.keys);
            let keys = keys.iter().map(|key| (key.trim_end_matches("_API_KEY").to_owned(), key.to_string()));
            let own = PROVIDER_VARIABLES.iter().map(|row| (prefix.clone(), format!("{prefix}{}", row.name)));
            own.chain(keys).collect::<Vec<_>>()
        });
        Self(proxy.chain(providers).collect())
    }

    fn judge(&self, name: &str, setting: &Setting) -> Option<Misspelt> {
        let from_file = setting.line.is_some();
        if self.0.iter().any(|(_, ours)| ours == name) || (!from_file && is_kubernetes(name, &setting.text)) {
            return None;
        }
        let upper = name.to_ascii_uppercase();
        let is_provider = !upper.starts_with(OWN);
        let meant = if is_provider { Some(self.near(name)?) } else { nearest_own(&upper) };
        Some(Misspelt { name: name.to_owned(), line: setting.line, meant, is_provider })
    }

    /// A provider's variable so near that nothing else can be meant: one or two letters off behind the right prefix (one
    /// where the rest is short), one letter off in a prefix long enough to be no other provider's.
    fn near(&self, name: &str) -> Option<String> {
        const LONG_PREFIX: usize = 6;
        const SHORT: usize = "_API_KEY".len();
        if OTHERS.contains(&name) {
            return None;
        }
        let distances = self.0.iter().filter(|(prefix, _)| !prefix.is_empty()).filter_map(|(prefix, ours)| {
            let behind = name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('_'));
            let most = match ours.len() - prefix.len() {
                _ if !behind => usize::from(prefix.len() >= LONG_PREFIX),
                ..SHORT => 1,
                _ => 2,
            };
            // Cheap, and most of an environment ends here.
            if ours.len().abs_diff(name.len()) > most || (most == 1 && !is_one_slip(ours, name)) {
                return None;
            }
            Some((strsim::osa_distance(ours, name), ours)).filter(|(distance, _)| *distance <= most)
        });
        distances.min().map(|(_, ours)| ours.clone())
    }
}

/// The nearest of the proxy's variables; none if more than a third of what stands behind `SIDESTREAM_` differs.
fn nearest_own(name: &str) -> Option<String> {
    if let Some((_, meant)) = OFTEN_MEANT.iter().find(|(written, _)| *written == name) {
        return Some((*meant).to_owned());
    }
    let rest = name.strip_prefix(OWN)?;
    let own = VARIABLES.iter().filter_map(|row| row.name.strip_prefix(OWN));
    let (distance, nearest) = own.map(|own| (strsim::osa_distance(own, rest), own)).min()?;
    (distance * 3 <= nearest.len().max(rest.len())).then(|| format!("{OWN}{nearest}"))
}

/// Whether all that differs between two names lies within two letters, as one slip leaves it.
fn is_one_slip(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let front = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let back = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    front + back + 2 >= one.len().max(other.len())
}

/// What the proxy's own variables begin with.
const OWN: &str = "SIDESTREAM_";

/// Names that other servers have for what ours are called otherwise.
const OFTEN_MEANT: [(&str, &str); 8] = [
    ("SIDESTREAM_PORT", "SIDESTREAM_LISTEN"),
    ("SIDESTREAM_HOST", "SIDESTREAM_LISTEN"),
    ("SIDESTREAM_BIND", "SIDESTREAM_LISTEN"),
    ("SIDESTREAM_ADDR", "SIDESTREAM_LISTEN"),
    ("SIDESTREAM_ADDRESS", "SIDESTREAM_LISTEN"),
    ("SIDESTREAM_LOG_LEVEL", "SIDESTREAM_LOG"),
    ("SIDESTREAM_API_KEY", "SIDESTREAM_TOKENS"),
    ("SIDESTREAM_MODELS", "SIDESTREAM_ROUTES"),
];

/// Variables that mean something to other programs: SDKs, agents, the providers' own servers. `…_BASE_URL` points
/// applications at us, and must never become an upstream.
const OTHERS: [&str; 24] = [
    "OPENAI_BASE_URL",
    "OPENAI_API_BASE",
    "OPENAI_API_TYPE",
    "OPENAI_API_VERSION",
    "OPENAI_API_HOST",
    "OPENAI_API_URL",
    "OPENAI_ORG_ID",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT",
    "OPENAI_PROJECT_ID",
    "OPENAI_ADMIN_KEY",
    "OPENAI_MODEL",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_LOG",
    "GROQ_BASE_URL",
    "GEMINI_MODEL",
    "OLLAMA_HOST",
    "OLLAMA_MODELS",
    "OLLAMA_ORIGINS",
];

/// Whether Kubernetes wrote this variable: it describes each Service of the namespace to every pod, under the Service's
/// name, which may well be `sidestream` or `vllm`.
fn is_kubernetes(name: &str, value: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let of_port = name.rsplit_once("_PORT_").is_some_and(|(service, rest)| {
        // NAME_PORT_7730_TCP, and behind it _ADDR, _PORT, _PROTO; rsplit finds the last `_PORT_`.
        let mut words = rest.split('_');
        !service.is_empty()
            && words.next().is_some_and(is_number)
            && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(words.next(), None | Some("ADDR" | "PORT" | "PROTO"))
    });
    of_port
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    /// What is said about a variable of the process environment; with `in_file`, about one of the env file.
    fn said(name: &str, value: &str, in_file: bool) -> String {
        let mut source = Source::of([]);
        match in_file {
            true => source.env_file = Some(("/etc/s.env".into(), format!("#\n{name}={value}"))),
            false => source.environment.push((name.into(), value.into())),
        }
        let mut from = Reader::new(&source);
        check(&mut from, &["openai".into(), "my-llm".into()]);
        match from.finish() {
            Ok(warnings) => warnings.join("\n"),
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn mistyped_names_are_told() {
        for (name, meant) in [
            ("SIDESTREAM_LISTN", "SIDESTREAM_LISTEN"),
            ("SIDESTREAM_TOKEN", "SIDESTREAM_TOKENS"),
            ("SIDESTREAM_PORT", "SIDESTREAM_LISTEN"),
            ("SIDESTREAM_LOG_LEVEL", "SIDESTREAM_LOG"),
            ("sidestream_routes", "SIDESTREAM_ROUTES"),
            ("OPENAI_API_KYE", "OPENAI_API_KEY"),
            ("OPENAI_ENDPONT_URL", "OPENAI_ENDPOINT_URL"),
            ("OPNAI_API_KEY", "OPENAI_API_KEY"),
            ("ANTROPIC_API_KEY", "ANTHROPIC_API_KEY"),
            ("MY_LLM_ENDPOINT_ULR", "MY_LLM_ENDPOINT_URL"),
            ("NVIDIA_API_KEYY", "NVIDIA_API_KEY"),
        ] {
            let said = said(name, "canary", false);
            assert!(said.starts_with(name) && said.contains(&format!("mean {meant}")), "{name}: {said}");
            assert!(!said.contains("canary"));
        }
    }

    #[test]
    fn what_is_near_nothing_is_told_without_a_guess() {
        for name in ["SIDESTREAM_BAD", "SIDESTREAM_XYZZY", "SIDESTREAM_"] {
            assert_eq!(
                said(name, "canary", false),
                format!("{name} is set and has no effect: it is no variable of sidestream")
            );
        }
        assert_eq!(said("SIDESTREAM_BAD", "canary", true), "/etc/s.env:2: SIDESTREAM_BAD is no variable of sidestream");
    }

    #[test]
    fn other_programs_names_are_left_alone() {
        for name in OTHERS {
            assert_eq!(said(name, "http://127.0.0.1:7730/v1", false), "", "{name}");
        }
        for (name, value) in [
            ("PATH", "/bin"),
            ("XDG_API_KEY", "x"),
            ("EXA_API_KEY", "x"),
            ("AWS_ENDPOINT_URL", "http://a"),
            ("NOVITA_API_KEY", "x"),
            ("AZURE_OPENAI_API_KEY", "x"),
            ("OPENAI_TIMEOUT", "30"),
            ("OTHER_ENDPONT_URL", "x"),
            ("https_proxy", "x"),
            ("HTTP_PROXY", "x"),
            ("no_proxy", "x"),
        ] {
            assert_eq!(said(name, value, false), "", "{name}");
        }
    }

    #[test]
    fn kubernetes_describes_services() {
        for (name, value) in [
            ("SIDESTREAM_SERVICE_HOST", "10.0.0.1"),
            ("SIDESTREAM_SERVICE_PORT", "7730"),
            ("SIDESTREAM_SERVICE_PORT_HTTP", "7730"),
            ("SIDESTREAM_PORT", "tcp://10.0.0.1:7730"),
            ("SIDESTREAM_PORT_7730_TCP", "tcp://10.0.0.1:7730"),
            ("SIDESTREAM_PORT_7730_TCP_PROTO", "tcp"),
            ("SIDESTREAM_PORT_7730_TCP_PORT", "7730"),
            ("SIDESTREAM_PORT_7730_TCP_ADDR", "10.0.0.1"),
            ("SIDESTREAM_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("VLLM_PORT", "tcp://10.0.0.1:8000"),
            ("VLLM_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ] {
            assert_eq!(said(name, value, false), "", "{name}");
        }
        assert_ne!(said("SIDESTREAM_PORT", "7730", false), "");
    }

    #[test]
    fn in_the_env_file_an_unknown_name_is_a_problem_with_its_line() {
        assert_eq!(
            said("SIDESTREAM_LISTN", "canary", true),
            "/etc/s.env:2: SIDESTREAM_LISTN is no variable of sidestream; the nearest is SIDESTREAM_LISTEN"
        );
        assert!(said("SIDESTREAM_SERVICE_HOST", "10.0.0.1", true).contains("no variable"));
        assert_eq!(
            said("OPENAI_API_KYE", "canary", true),
            "OPENAI_API_KYE (/etc/s.env:2) is set and has no effect; did you mean OPENAI_API_KEY?"
        );
    }
}
