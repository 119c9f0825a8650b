//! What is dangerous only together: open doors, keys, and the ways on which they travel.

use core::net::IpAddr;

use super::provider::{Credential, Provider};
use super::reader::Reader;
use super::{Config, Listen, Secret, url};
use crate::http::fields;

/// Looks at the whole configuration.
pub fn check(from: &mut Reader<'_>, config: &Config) {
    check_door(from, config);
    check_tokens(from, config);
    config.providers.iter().for_each(|provider| check_way(from, provider));
}

/// Whoever reaches an open address asks at the expense of our keys.
fn check_door(from: &mut Reader<'_>, config: &Config) {
    let open = config.listen.iter().find(|listen| match listen {
        Listen::Tcp(address) => !is_loopback(address.ip()),
        Listen::Unix(_) => false,
    });
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

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
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
