//! What is dangerous only together: open doors, keys, and the ways on which they travel.

use super::provider::{Credential, Provider};
use super::reader::Reader;
use super::{Config, Listen, Secret, url};
use crate::http::fields;

/// Looks at the whole configuration.
pub fn check(from: &mut Reader<'_>, config: &Config) {
    check_door(from, config);
    check_admin(from, config);
    check_tokens(from, config);
    config.providers.iter().for_each(|provider| check_way(from, provider));
}

/// Whoever reaches an open address asks at the expense of our keys.
fn check_door(from: &mut Reader<'_>, config: &Config) {
    let open = config.listen.iter().find(|listen| is_open(listen));
    let paying = config.providers.iter().find(|provider| has_key(provider));
    if let (Some(open), Some(provider), None) = (open, paying, from.get("SIDESTREAM_TOKENS")) {
        let what = format!(
            "is not set, but other machines can reach {open} and would use the key of {}; set tokens, write `none` if \
             that is meant, or listen on 127.0.0.1",
            provider.name
        );
        from.problem("SIDESTREAM_TOKENS", what);
    }
}

/// The own endpoints ask for no token: who scrapes them has none.
fn check_admin(from: &mut Reader<'_>, config: &Config) {
    if let Some(open) = config.admin.as_ref().filter(|listen| is_open(listen)) {
        from.warn(format!(
            "SIDESTREAM_ADMIN: /metrics and /readyz are open to whoever reaches {open}; bar it to others than probes and \
             scrapers, or listen on 127.0.0.1"
        ));
    }
}

/// Other machines can reach it.
fn is_open(listen: &Listen) -> bool {
    match listen {
        Listen::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        Listen::Unix(_) => false,
    }
}

fn has_key(provider: &Provider) -> bool {
    let in_headers = provider.headers.iter().any(|(name, _)| fields::is_credential(name.as_bytes()));
    in_headers || matches!(provider.credential, Credential::Keys(_))
}

/// A client that knows such a token has the key.
fn check_tokens(from: &mut Reader<'_>, config: &Config) {
    let is_token = |key: &Secret| config.tokens.contains(key);
    let shared = config.providers.iter().find(|provider| match &provider.credential {
        Credential::Keys(keys) => keys.iter().any(is_token),
        _ => false,
    });
    if let Some(provider) = shared {
        let what = format!("holds the key of {}; make up tokens that are no keys", provider.name);
        from.problem("SIDESTREAM_TOKENS", what);
    }
}

/// Without TLS a credential can be read on the way.
fn check_way(from: &mut Reader<'_>, provider: &Provider) {
    let sends = has_key(provider) || matches!(provider.credential, Credential::Client | Credential::ClientOf(_));
    let bases = [&provider.openai, &provider.anthropic];
    let open = bases.into_iter().flatten().find(|base| !base.tls && !url::is_near(&base.host));
    if let Some(base) = open.filter(|_| sends) {
        let name = &provider.name;
        from.warn(format!("{name}'s credential travels to {} in the clear; use https:// for it", base.host));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::read;

    const OPEN: (&str, &str) = ("SIDESTREAM_LISTEN", "127.0.0.1:7730,0.0.0.0:7730");
    const KEY: (&str, &str) = ("ZAI_API_KEY", "canary-key");

    #[test]
    fn an_open_door_before_a_key_wants_tokens() {
        for (variables, exposed) in [
            (&[OPEN, KEY][..], true),
            (&[("SIDESTREAM_LISTEN", "[::]:1"), KEY], true),
            (&[("SIDESTREAM_LISTEN", "192.0.2.1:1"), ("NVIDIA_API_KEY", "canary-key")], true),
            (&[OPEN, ("VLLM_HEADERS", "authorization: canary"), ("VLLM_ENDPOINT_URL", "http://a/v1")], true),
            (&[OPEN, KEY, ("SIDESTREAM_TOKENS", "none")], false),
            (&[OPEN, KEY, ("SIDESTREAM_TOKENS", "canary-token")], false),
            (&[OPEN, ("ZAI_API_KEY", "client")], false),
            (&[OPEN], false),
            (&[("SIDESTREAM_LISTEN", "127.0.0.2:1,[::1]:1,unix:/run/s"), KEY], false),
        ] {
            let problems = read(variables).err().unwrap_or_default();
            assert_eq!(problems.len(), usize::from(exposed), "{variables:?} {problems:?}");
            let says =
                |problem: &String| problem.starts_with("SIDESTREAM_TOKENS is not set") && problem.contains("none");
            assert!(problems.iter().all(says), "{problems:?}");
        }
    }

    #[test]
    fn open_own_endpoints_are_told() {
        for (admin, told) in [
            ("0.0.0.0:7731", true),
            ("[::]:7731", true),
            ("192.0.2.1:7731", true),
            ("127.0.0.1:7731", false),
            ("[::1]:7731", false),
            ("unix:/run/admin", false),
            ("off", false),
        ] {
            let warnings = read(&[("SIDESTREAM_ADMIN", admin)]).unwrap().warnings;
            assert_eq!(warnings.len(), usize::from(told), "{admin} {warnings:?}");
            assert!(warnings.iter().all(|warning| warning.contains("/metrics") && warning.contains(admin)));
        }
    }

    #[test]
    fn a_token_is_no_key() {
        let problems = read(&[KEY, ("SIDESTREAM_TOKENS", "canary-token,canary-key")]).unwrap_err();
        assert_eq!(problems, ["SIDESTREAM_TOKENS holds the key of zai; make up tokens that are no keys"]);
    }

    #[test]
    fn a_credential_in_the_clear_is_told() {
        for (url, key, told) in [
            ("http://api.example/v1", "canary", true),
            ("http://203.0.113.1/v1", "canary", true),
            ("http://api.example/v1", "client", true),
            ("https://api.example/v1", "canary", false),
            ("http://10.0.0.1/v1", "canary", false),
            ("http://vllm:8000/v1", "canary", false),
            ("http://gpu.local/v1", "canary", false),
            ("http://api.example/v1", "", false),
        ] {
            let variables = [("SIDESTREAM_PROVIDERS", "a"), ("A_ENDPOINT_URL", url), ("A_API_KEY", key)];
            assert_eq!(read(&variables).unwrap().warnings.len(), usize::from(told), "{url} {key}");
        }
    }
}
