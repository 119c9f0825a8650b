//! The providers: which are active, where they answer, whose credential they get.

use std::sync::Arc;

use super::known::{self, KNOWN, Known};
use super::outbound::{self, Outbound};
use super::provider::{Base, Credential, Pem, Provider};
use super::reader::Reader;
use super::value::{self, Wrong};
use super::variables::{PROVIDER_VARIABLES, prefix};
use super::{Auth, Secret, WarmUp, headers, pem, url};
use crate::dialect::Face;
use crate::dialect::profile::Profile;
use crate::http::fields;
use crate::route::health::Limits;

/// Names of the active providers: those of `SIDESTREAM_PROVIDERS`, else the known ones with a key or URL set, else the
/// two whose own clients bring a key.
pub fn active(from: &mut Reader<'_>) -> Vec<String> {
    let names = from.optional("SIDESTREAM_PROVIDERS", value::providers).unwrap_or_else(|| configured(from));
    if names.is_empty() { vec!["openai".to_owned(), "anthropic".to_owned()] } else { names }
}

/// The known providers with a key or URL set.
fn configured(from: &Reader<'_>) -> Vec<String> {
    KNOWN.iter().filter(|known| is_set(from, known)).map(|known| known.name.to_owned()).collect()
}

/// What is done before anybody asks. Where no provider was chosen nobody shall be called: a guest that calls out unasked
/// is a surprise.
pub fn warm_up(from: &mut Reader<'_>) -> WarmUp {
    let is_chosen = from.get("SIDESTREAM_PROVIDERS").is_some() || !configured(from).is_empty();
    let implied = if is_chosen { WarmUp::Connect } else { WarmUp::Off };
    from.optional("SIDESTREAM_WARM_UP", value::warm_up).unwrap_or(implied)
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
    let host = openai.as_ref().map(|base| base.host.as_str());
    let profile = from.optional_of(p, "_PROFILE", Profile::parse).unwrap_or_else(|| Profile::of(name, host));
    PROVIDER_VARIABLES.iter().for_each(|row| from.later(p, row));
    let is_keyed = matches!(credential, Credential::Keys(_));
    let max_connections = from.parse_of(p, "_MAX_CONNECTIONS", value::at_least_one);
    Provider {
        name: name.to_owned(),
        openai,
        anthropic,
        profile,
        credential,
        openai_auth: Default::default(),
        anthropic_auth: known.map_or(Auth::XApiKey, |known| known.anthropic_auth),
        timeout: from.optional_of(p, "_TIMEOUT", value::time_limit),
        connect_timeout: from.parse_of(p, "_CONNECT_TIMEOUT", value::time_limit),
        tls_timeout: from.parse_of(p, "_TLS_TIMEOUT", value::time_limit),
        first_byte_timeout: from.parse_of(p, "_FIRST_BYTE_TIMEOUT", value::time_limit),
        idle_timeout: from.parse_of(p, "_IDLE_TIMEOUT", value::time_limit),
        max_retries: from.parse_of(p, "_MAX_RETRIES", value::count) as u32,
        breaker: from.parse_of(p, "_BREAKER", value::on_off),
        limits: Limits {
            requests: from.optional_of(p, "_REQUESTS_PER_MINUTE", value::per_minute),
            tokens: from.optional_of(p, "_TOKENS_PER_MINUTE", value::per_minute),
        },
        replay: from.parse_of(p, "_REPLAY", value::on_off),
        max_connections,
        queue: from.parse_of(p, "_QUEUE", value::count),
        queue_timeout: from.parse_of(p, "_QUEUE_TIMEOUT", value::duration),
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

/// Without a key: the client's own goes to the vendor that it was made for, at the vendor's own address only.
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
    // One program serves both faces of a local server, at paths that follow from each other.
    let is_local = known.is_some_and(Known::is_local);
    let home = known.and_then(|known| url::base(main_base(known)?).ok());
    // A provider that was moved is not at its built-in addresses any more, with none of its faces.
    let moved = endpoint.as_ref().zip(home).is_some_and(|(endpoint, home)| !is_same_origin(endpoint, &home));
    let at_home = known.filter(|_| !moved);
    // `_ENDPOINT_URL` is the main face, unless the variable of that face is set too.
    let (openai, anthropic) = match endpoint.map(Some) {
        endpoint if is_main_anthropic => (openai, anthropic.or(endpoint)),
        endpoint => (openai.or(endpoint), anthropic),
    };
    let faces = (
        openai.clone().unwrap_or_else(|| match anthropic.clone().flatten().filter(|_| is_local) {
            Some(anthropic) => Some(with_version(anthropic)),
            None => url::base(at_home?.openai?).ok(),
        }),
        anthropic.clone().unwrap_or_else(|| match openai.clone().flatten().filter(|_| is_local) {
            Some(openai) => without_version(openai),
            None => url::base(at_home?.anthropic?).ok(),
        }),
    );
    if let Some(base) = faces.1.as_ref().filter(|base| base.path.ends_with("/v1")) {
        from.warn(format!("{p}: requests for Messages go to {base}/v1/messages; is one /v1 too many in the URL?"));
    }
    // A URL that was refused is a problem already; a second one about its absence would only confuse.
    let is_refused = |row: &&str| from.get(&format!("{p}{row}")).is_some_and(|text| face(text.trim()).is_err());
    if faces == (None, None) && !URLS.iter().any(is_refused) {
        let what = known.map_or_else(|| no_address(p), |known| no_face(p, known));
        from.problem_of(p, "_ENDPOINT_URL", what);
    }
    faces
}

/// What is wrong with a known provider all of whose addresses were turned off.
fn no_face(p: &str, known: &Known) -> String {
    let faces = [("_OPENAI_URL", known.openai), ("_ANTHROPIC_URL", known.anthropic)];
    let off: Vec<_> = faces.iter().filter(|(_, base)| base.is_some()).map(|(row, _)| format!("{p}{row}")).collect();
    let (name, off) = (known.name, off.join(" and "));
    format!("is not set, and {name} has no face left: {off} turned it off; set a URL, or leave {name} out")
}

/// What is wrong with a provider that nobody knows an address for.
fn no_address(p: &str) -> String {
    let near = KNOWN.iter().map(|known| known.name).find(|name| strsim::osa_distance(&prefix(name), p) == 1);
    let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("is not set: the provider has no address; write e.g. http://127.0.0.1:8000/v1{hint}")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::read;
    use crate::dialect::profile::Flag;

    fn names(variables: &[(&str, &str)]) -> String {
        let config = read(variables).unwrap();
        config.providers.iter().map(|provider| provider.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn profiles() {
        let of = |extra: &[(&str, &str)]| {
            let variables =
                [&[("SIDESTREAM_PROVIDERS", "own"), ("OWN_OPENAI_URL", "https://api.z.ai/v4")], extra].concat();
            read(&variables).map(|config| config.providers[0].profile.clone())
        };
        assert_eq!(of(&[]).unwrap().name, "zai");
        let profile = of(&[("OWN_PROFILE", "vllm,think_tags")]).unwrap();
        assert_eq!((profile.name, profile.has(Flag::ThinkTags)), ("vllm", true));
        let problems = of(&[("OWN_PROFILE", "vlm")]).unwrap_err();
        assert!(problems[0].starts_with("OWN_PROFILE=\"vlm\" names no profile; did you mean vllm?"), "{problems:?}");
    }

    #[test]
    fn which_providers_are_active() {
        for (variables, want) in [
            (&[][..], "openai anthropic"),
            (&[("ZAI_API_KEY", "k"), ("ANTHROPIC_API_KEYS", "a,b")], "anthropic zai"),
            (&[("NVIDIA_API_KEY", "k")], "nim"),
            (&[("OPENAI_API_KEY_FILE", "/k")], "openai"),
            (&[("VLLM_ENDPOINT_URL", "http://gpu:8000/v1")], "vllm"),
            (&[("OLLAMA_OPENAI_URL", "http://gpu:1/v1"), ("GROQ_API_KEY", "k")], "groq ollama"),
            (&[("SIDESTREAM_PROVIDERS", "vllm, openai"), ("ZAI_API_KEY", "k")], "vllm openai"),
            (&[("OPENAI_API_KEY", "")], "openai anthropic"),
            // What is no word about an upstream of ours.
            (&[("OPENAI_BASE_URL", "http://127.0.0.1:7730/v1"), ("ANTHROPIC_BASE_URL", "x")], "openai anthropic"),
            (&[("AWS_ENDPOINT_URL", "http://a"), ("OLLAMA_HOST", "a:1")], "openai anthropic"),
            (&[("VLLM_PORT", "tcp://10.0.0.1:8000"), ("VLLM_SERVICE_HOST", "10.0.0.1")], "openai anthropic"),
        ] {
            assert_eq!(names(variables), want, "{variables:?}");
        }
    }

    /// The bases of the one provider's faces, and whose credential it gets.
    fn one(name: &str, variables: &[(&str, &str)]) -> (String, String, Credential) {
        let variables: Vec<_> = [("SIDESTREAM_PROVIDERS", name)].iter().chain(variables).copied().collect();
        let provider = read(&variables).unwrap().providers[0].clone();
        let shown = |base: &Option<Base>| base.as_ref().map_or("-".to_owned(), ToString::to_string);
        (shown(&provider.openai), shown(&provider.anthropic), provider.credential.clone())
    }

    #[test]
    fn faces_and_the_credential_without_a_key() {
        use Credential::{ClientOf, Nobody};
        const OPENAI: &str = "https://api.openai.com/v1";
        const ANTHROPIC: &str = "https://api.anthropic.com";
        const ZAI: [&str; 2] = ["https://api.z.ai/api/paas/v4", "https://api.z.ai/api/anthropic"];
        for (name, variables, openai, anthropic, credential) in [
            ("openai", &[][..], OPENAI, "-", ClientOf(Face::OpenAi)),
            (
                "openai",
                &[("OPENAI_ENDPOINT_URL", "https://API.openai.com:443/v2")],
                "https://API.openai.com:443/v2",
                "-",
                ClientOf(Face::OpenAi),
            ),
            ("openai", &[("OPENAI_ENDPOINT_URL", "http://api.openai.com/v1")], "http://api.openai.com/v1", "-", Nobody),
            ("openai", &[("OPENAI_ENDPOINT_URL", "http://a/v1")], "http://a/v1", "-", Nobody),
            ("openai", &[("OPENAI_ANTHROPIC_URL", "http://a")], OPENAI, "http://a", Nobody),
            ("openai", &[("OPENAI_BASE_URL", "http://a/v1")], OPENAI, "-", ClientOf(Face::OpenAi)),
            ("anthropic", &[], "-", ANTHROPIC, ClientOf(Face::Anthropic)),
            ("anthropic", &[("ANTHROPIC_ENDPOINT_URL", "http://a")], "-", "http://a", Nobody),
            (
                "anthropic",
                &[("ANTHROPIC_OPENAI_URL", "https://api.anthropic.com/v1")],
                "https://api.anthropic.com/v1",
                ANTHROPIC,
                ClientOf(Face::Anthropic),
            ),
            ("zai", &[], ZAI[0], ZAI[1], Nobody),
            (
                "zai",
                &[("ZAI_ENDPOINT_URL", "https://api.z.ai/api/coding/paas/v4")],
                "https://api.z.ai/api/coding/paas/v4",
                ZAI[1],
                Nobody,
            ),
            ("zai", &[("ZAI_ENDPOINT_URL", "http://a/v1")], "http://a/v1", "-", Nobody),
            ("zai", &[("ZAI_OPENAI_URL", "http://a/v1")], "http://a/v1", ZAI[1], Nobody),
            ("zai", &[("ZAI_OPENAI_URL", "off")], "-", ZAI[1], Nobody),
            (
                "zai",
                &[("ZAI_ENDPOINT_URL", "http://a/v1"), ("ZAI_OPENAI_URL", "http://b/v1")],
                "http://b/v1",
                "-",
                Nobody,
            ),
            (
                "zai",
                &[("ZAI_ENDPOINT_URL", "http://a/v1"), ("ZAI_ANTHROPIC_URL", "http://b")],
                "http://a/v1",
                "http://b",
                Nobody,
            ),
            ("vllm", &[], "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000", Nobody),
            ("vllm", &[("VLLM_ENDPOINT_URL", "http://gpu/x/v1")], "http://gpu/x/v1", "http://gpu/x", Nobody),
            ("vllm", &[("VLLM_ENDPOINT_URL", "http://gpu/x")], "http://gpu/x", "-", Nobody),
            ("vllm", &[("VLLM_ANTHROPIC_URL", "http://gpu")], "http://gpu/v1", "http://gpu", Nobody),
            ("vllm", &[("VLLM_ANTHROPIC_URL", "off")], "http://127.0.0.1:8000/v1", "-", Nobody),
            ("my-llm", &[("MY_LLM_ENDPOINT_URL", "http://a/v1")], "http://a/v1", "-", Nobody),
            ("my-llm", &[("MY_LLM_ANTHROPIC_URL", "http://a")], "-", "http://a", Nobody),
        ] {
            let want = (openai.to_owned(), anthropic.to_owned(), credential);
            assert_eq!(one(name, variables), want, "{name} {variables:?}");
        }
    }

    #[test]
    fn keys() {
        for (name, variables, want) in [
            ("openai", &[("OPENAI_API_KEY", " k ")][..], "k"),
            ("openai", &[("OPENAI_API_KEYS", "a, b")], "a b"),
            ("openai", &[("OPENAI_API_KEY_FILE", "/k")], "k"),
            ("nim", &[("NVIDIA_API_KEY", "k"), ("NIM_API_KEY", "own")], "own"),
            ("nim", &[("NVIDIA_API_KEY", "k"), ("NVIDIA_NIM_API_KEY", "k")], "k"),
            ("gemini", &[("GOOGLE_API_KEY", "k")], "k"),
        ] {
            let Credential::Keys(keys) = one(name, variables).2 else { panic!("{variables:?}") };
            let keys: Vec<_> = keys.iter().map(|key| String::from_utf8_lossy(key.expose())).collect();
            assert_eq!(keys.join(" "), want, "{variables:?}");
        }
        assert_eq!(one("zai", &[("ZAI_API_KEY", "client")]).2, Credential::Client);
    }

    #[test]
    fn keys_that_disagree() {
        let config = read(&[("NVIDIA_API_KEY", "canary-1"), ("NVIDIA_NIM_API_KEY", "canary-2")]).unwrap();
        assert_eq!(
            config.warnings,
            ["NVIDIA_NIM_API_KEY differs from NVIDIA_API_KEY, which is taken for nim; set NIM_API_KEY to decide"]
        );
        for (variables, want) in [
            (
                &[("ZAI_API_KEY", "canary"), ("ZAI_API_KEYS", "canary")][..],
                "ZAI_API_KEYS is set, and so is ZAI_API_KEY",
            ),
            (&[("ZAI_API_KEY", "canary"), ("ZAI_API_KEY_FILE", "/canary")], "is set, and so is ZAI_API_KEY"),
            (&[("ZAI_API_KEYS", "canary,client")], "ZAI_API_KEYS holds `client`"),
            (&[("ZAI_API_KEY_FILE", "/")], "names a file that holds no key"),
            (&[("ZAI_API_KEY_FILE", "/two words")], "names a file that holds no key"),
            (&[("ZAI_API_KEY_FILE", "/absent")], "cannot be read: No such file or directory"),
            (&[("GLM_API_KEY", "canary canary")], "GLM_API_KEY holds spaces"),
            (
                &[("ZAI_API_KEY", "canary"), ("ZAI_HEADERS", "Authorization: canary")],
                "ZAI_HEADERS holds the credential",
            ),
        ] {
            let problems = read(variables).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(want), "{problems:?}");
        }
    }

    #[test]
    fn a_provider_needs_an_address() {
        for (name, variables, want) in [
            ("mine", &[][..], "MINE_ENDPOINT_URL is not set"),
            ("opnai", &[], "did you mean openai?"),
            ("zai", &[("ZAI_OPENAI_URL", "off"), ("ZAI_ANTHROPIC_URL", "off")], "ZAI_ENDPOINT_URL is not set"),
            ("xai", &[("XAI_OPENAI_URL", "off")], "and xai has no face left: XAI_OPENAI_URL turned it off"),
            ("mine", &[("MINE_ENDPOINT_URL", "gpu:8000")], "MINE_ENDPOINT_URL "),
        ] {
            let variables: Vec<_> = [("SIDESTREAM_PROVIDERS", name)].iter().chain(variables).copied().collect();
            let problems = read(&variables).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(want), "{problems:?}");
            assert_eq!(problems[0].contains("did you mean"), name == "opnai", "{problems:?}");
        }
    }

    #[test]
    fn times_and_bounds() {
        let provider = read(&[("ZAI_API_KEY", "k")]).unwrap().providers[0].clone();
        assert_eq!(provider.timeout, None);
        assert_eq!((provider.connect_timeout.as_secs(), provider.tls_timeout.as_secs()), (10, 10));
        assert_eq!((provider.first_byte_timeout.as_secs(), provider.idle_timeout.as_secs()), (600, 300));
        assert_eq!((provider.max_connections, provider.keepalive_connections, provider.warm_connections), (100, 20, 1));
        assert!(provider.replay && provider.headers.is_empty());
        let few = read(&[("ZAI_MAX_CONNECTIONS", "5"), ("ZAI_API_KEY", "k"), ("ZAI_TIMEOUT", "2m")]).unwrap();
        let few = few.providers[0].clone();
        assert_eq!((few.max_connections, few.keepalive_connections), (5, 5));
        assert_eq!(few.timeout.unwrap().as_secs(), 120);
        for never in [("ZAI_MAX_CONNECTIONS", "0"), ("ZAI_CONNECT_TIMEOUT", "0"), ("ZAI_TIMEOUT", "0s")] {
            assert!(read(&[never, ("ZAI_API_KEY", "k")]).is_err(), "{never:?}");
        }
    }
}
