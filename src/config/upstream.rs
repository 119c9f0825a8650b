//! The providers: which are active, where they answer, whose credential they get.

use std::sync::Arc;

use super::known::{self, KNOWN, Known};
use super::outbound::{self, Outbound};
use super::provider::{Base, Credential, Pem, Provider};
use super::reader::Reader;
use super::value::{self, Wrong};
use super::variables::{PROVIDER_VARIABLES, prefix};
use super::{Secret, headers, pem, url};
use crate::dialect::Face;
use crate::http::fields;

/// Names of the active providers: those of `SIDESTREAM_PROVIDERS`, else the known ones with a key or URL set, else the
/// two whose own clients bring a key.
pub fn active(from: &mut Reader<'_>) -> Vec<String> {
    if let Some(names) = from.optional("SIDESTREAM_PROVIDERS", value::providers) {
        return names;
    }
    let set: Vec<_> = KNOWN.iter().filter(|known| is_set(from, known)).map(|known| known.name.to_owned()).collect();
    if set.is_empty() { vec!["openai".to_owned(), "anthropic".to_owned()] } else { set }
}

fn is_set(from: &Reader<'_>, known: &Known) -> bool {
    let prefix = prefix(known.name);
    let own = KEYS.iter().chain(&URLS).any(|row| from.get(&format!("{prefix}{row}")).is_some());
    own || known.keys.iter().any(|key| from.get(key).is_some())
}

/// Where a provider's key can stand.
const KEYS: [&str; 3] = ["_API_KEY", "_API_KEYS", "_API_KEY_FILE"];
/// What says where it answers.
const URLS: [&str; 3] = ["_ENDPOINT_URL", "_OPENAI_URL", "_ANTHROPIC_URL"];

/// Reads the providers of these names.
pub fn read_all(from: &mut Reader<'_>, names: &[String]) -> Vec<Arc<Provider>> {
    let mut outbound = Outbound::read(from);
    names.iter().map(|name| Arc::new(read(from, name, &mut outbound))).collect()
}

fn read(from: &mut Reader<'_>, name: &str, outbound: &mut Outbound) -> Provider {
    let (known, prefix) = (known::find(name), prefix(name));
    let p = prefix.as_str();
    let keys = keys(from, p, known);
    let (openai, anthropic) = faces(from, p, known);
    let bases = [openai.as_ref(), anthropic.as_ref()];
    let credential = keys.unwrap_or_else(|| implied_credential(name, known, bases));
    let own_proxy = from.optional_of(p, "_PROXY", outbound::own);
    let mut way = |base: Option<Base>| base.map(|base| outbound.way_to(from, base, own_proxy.as_ref()));
    let (openai, anthropic) = (way(openai), way(anthropic));
    PROVIDER_VARIABLES.iter().for_each(|row| from.later(p, row));
    let is_keyed = matches!(credential, Credential::Keys(_));
    let max_connections = from.parse_of(p, "_MAX_CONNECTIONS", value::at_least_one);
    Provider {
        name: name.to_owned(),
        openai,
        anthropic,
        credential,
        openai_auth: Default::default(),
        anthropic_auth: known.map(|known| known.anthropic_auth).unwrap_or_default(),
        timeout: from.optional_of(p, "_TIMEOUT", value::duration),
        connect_timeout: from.parse_of(p, "_CONNECT_TIMEOUT", value::duration),
        first_byte_timeout: from.parse_of(p, "_FIRST_BYTE_TIMEOUT", value::duration),
        idle_timeout: from.parse_of(p, "_IDLE_TIMEOUT", value::duration),
        replay: from.parse_of(p, "_REPLAY", value::on_off),
        max_connections,
        keepalive_connections: from.parse_of(p, "_KEEPALIVE_CONNECTIONS", value::count).min(max_connections),
        warm_connections: from.parse_of(p, "_WARM_CONNECTIONS", value::count).min(max_connections),
        headers: headers(from, p, is_keyed),
        roots: roots(from, p, "_CA_FILE"),
    }
}

/// Extra fields; a second credential beside the key would make the request ambiguous.
fn headers(from: &mut Reader<'_>, p: &str, is_keyed: bool) -> Vec<(String, Secret)> {
    let headers = from.optional_of(p, "_HEADERS", headers::parse).unwrap_or_default();
    let credential = headers.iter().find(|(name, _)| fields::is_credential(name.as_bytes()));
    if let Some((name, _)) = credential.filter(|_| is_keyed) {
        from.problem_of(p, "_HEADERS", format!("holds the credential {name} beside a key; keep one of them"));
    }
    headers
}

/// Root certificates from the file that a variable names.
pub fn roots(from: &mut Reader<'_>, prefix: &str, row: &str) -> Option<Pem> {
    from.file_of(prefix, row, |bytes| pem(bytes, "CERTIFICATE"))
}

/// What the key variables say; `None` if they say nothing.
fn keys(from: &mut Reader<'_>, p: &str, known: Option<&Known>) -> Option<Credential> {
    let set: Vec<_> = KEYS.iter().filter(|row| from.get(&format!("{p}{row}")).is_some()).collect();
    if let [first, second, ..] = set.as_slice() {
        from.problem_of(p, second, format!("is set, and so is {p}{first}; keep one of them"));
    }
    let one = from.optional_of(p, "_API_KEY", one_key);
    let several = from.optional_of(p, "_API_KEYS", several_keys);
    let file = from.file_of(p, "_API_KEY_FILE", key_of_file);
    one.or(several).or(file).or_else(|| {
        // A wrong key is a problem already; another one must not hide it.
        if set.is_empty() { key_of_other_spelling(from, known?) } else { None }
    })
}

fn one_key(text: &str) -> Result<Credential, Wrong> {
    if text == "client" { Ok(Credential::Client) } else { value::key(text).map(|key| Credential::Keys(vec![key])) }
}

fn several_keys(text: &str) -> Result<Credential, Wrong> {
    let keys = value::keys(text)?;
    if keys.iter().any(|key| key.expose() == b"client") {
        return Err("holds `client` among keys; write client into the _API_KEY variable alone".into());
    }
    Ok(Credential::Keys(keys))
}

fn key_of_file(bytes: Vec<u8>) -> Result<Credential, Wrong> {
    let key = String::from_utf8(bytes).ok().and_then(|text| value::key(&text).ok());
    let key =
        key.ok_or_else(|| "names a file that holds no key; write the bare key into it, nothing else".to_owned())?;
    Ok(Credential::Keys(vec![key]))
}

/// A key under one of the names that other programs use for it.
fn key_of_other_spelling(from: &mut Reader<'_>, known: &Known) -> Option<Credential> {
    let set: Vec<(&str, String)> =
        known.keys.iter().filter_map(|name| Some((*name, from.get(name)?.trim().to_owned()))).collect();
    let ((name, text), others) = set.split_first()?;
    for (other, _) in others.iter().filter(|(_, value)| value != text) {
        let own = format!("{}_API_KEY", prefix(known.name));
        from.warn(format!("{other} differs from {name}, which is taken for {}; set {own} to decide", known.name));
    }
    match value::key(text) {
        Ok(key) => Some(Credential::Keys(vec![key])),
        Err(what) => {
            from.problem_as(&prefix(known.name), "_API_KEY", *name, what);
            None
        }
    }
}

/// Without a key: the client's own goes to the vendor that it was made for, at the vendor's own address and nowhere else.
fn implied_credential(name: &str, known: Option<&Known>, bases: [Option<&Base>; 2]) -> Credential {
    let face = match name {
        "openai" => Face::OpenAi,
        "anthropic" => Face::Anthropic,
        _ => return Credential::Nobody,
    };
    let built_in = known.and_then(|known| url::base(main_base(known)?).ok());
    let at_home = built_in.is_some_and(|home| bases.into_iter().flatten().all(|base| is_same_origin(base, &home)));
    if at_home { Credential::ClientOf(face) } else { Credential::Nobody }
}

fn main_base(known: &Known) -> Option<&'static str> {
    known.openai.or(known.anthropic)
}

fn is_same_origin(one: &Base, other: &Base) -> bool {
    (one.tls, &one.host, one.port) == (other.tls, &other.host, other.port)
}

/// The bases of both faces: what is set, and what is built in as far as what is set leaves it true.
fn faces(from: &mut Reader<'_>, p: &str, known: Option<&Known>) -> (Option<Base>, Option<Base>) {
    let endpoint = from.optional_of(p, "_ENDPOINT_URL", url::base);
    let openai = from.optional_of(p, "_OPENAI_URL", face);
    let anthropic = from.optional_of(p, "_ANTHROPIC_URL", face);
    let is_main_anthropic = known.is_some_and(|known| known.openai.is_none());
    let moved_to = endpoint.clone();
    // `_ENDPOINT_URL` is the main face, unless the variable of that face is set too.
    let (openai, anthropic) = if is_main_anthropic {
        (openai, anthropic.or(endpoint.map(Some)))
    } else {
        (openai.or(endpoint.map(Some)), anthropic)
    };
    let built_in = |base: Option<&'static str>| base.and_then(|base| url::base(base).ok());
    let home = known.and_then(|known| built_in(main_base(known)));
    // A provider that was moved is not at its built-in addresses any more, with none of its faces.
    let moved = match (&moved_to, &home) {
        (Some(base), Some(home)) => !is_same_origin(base, home),
        _ => false,
    };
    let known_base = |base: fn(&Known) -> Option<&'static str>| built_in(base(known.filter(|_| !moved)?));
    let faces = match known.filter(|known| known.is_local()) {
        // One program serves both faces of a local server, at paths that follow from each other.
        Some(_) => match (openai, anthropic) {
            (None, None) => (known_base(|known| known.openai), known_base(|known| known.anthropic)),
            (Some(openai), None) => (openai.clone(), openai.and_then(without_version)),
            (None, Some(anthropic)) => (anthropic.clone().map(with_version), anthropic),
            (Some(openai), Some(anthropic)) => (openai, anthropic),
        },
        None => (
            openai.unwrap_or_else(|| known_base(|known| known.openai)),
            anthropic.unwrap_or_else(|| known_base(|known| known.anthropic)),
        ),
    };
    // A URL that was refused is a problem already; a second one about its absence would only confuse.
    let any_set = URLS.iter().any(|row| from.get(&format!("{p}{row}")).is_some_and(|text| text.trim() != "off"));
    if faces == (None, None) && !any_set {
        let remedy = "is not set: the provider has no address; write e.g. http://127.0.0.1:8000/v1";
        from.problem_of(p, "_ENDPOINT_URL", remedy);
    }
    faces
}

/// The base of a face, or `off`.
fn face(text: &str) -> Result<Option<Base>, Wrong> {
    if text == "off" { Ok(None) } else { url::base(text).map(Some) }
}

fn without_version(base: Base) -> Option<Base> {
    let path = base.path.strip_suffix("/v1")?.to_owned();
    Some(Base { path, ..base })
}

fn with_version(base: Base) -> Base {
    Base { path: format!("{}/v1", base.path), ..base }
}
