//! The one request of a run.

use std::fs;
use std::path::Path;

/// Reads the literal bytes of a request, and refuses what would measure nothing but a mistake.
///
/// # Errors
/// The file cannot be read, or is no request whose answer has a body and whose own body is as long as it says.
pub fn load(file: &Path) -> Result<Vec<u8>, String> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    check(&bytes).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(bytes)
}

fn check(bytes: &[u8]) -> Result<(), String> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut fields);
    let end = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Err("no blank line ends the head; lines end in CRLF".into()),
        Err(error) => return Err(format!("not a request: {error}")),
    };
    if matches!(parsed.method, Some("HEAD" | "CONNECT")) {
        return Err("the answers to HEAD and CONNECT have no body to measure: use GET or POST".into());
    }
    let body = &bytes[end..];
    let field = |name: &str| parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    if field("transfer-encoding").is_some() {
        return if body.ends_with(b"0\r\n\r\n") { Ok(()) } else { Err("the chunked body has no last chunk".into()) };
    }
    let said = field("content-length").map_or("0".into(), |field| String::from_utf8_lossy(field.value));
    if said.parse() == Ok(body.len()) {
        return Ok(());
    }
    Err(format!(
        "content-length is {said}, and {} bytes follow the head: write content-length: {}",
        body.len(),
        body.len()
    ))
}
