//! Writes a request of Messages.

mod blocks;
mod conversation;
mod generation;
mod put;
mod schema;
mod settings;
mod sources;
mod thinking;
mod tools;

#[cfg(test)]
mod tests;

use self::conversation::Conversation;
use self::generation::Generation;
use crate::dialect::loss::Losses;
use crate::dialect::profile::Target;
use crate::dialect::turn::{Refused, Request, Terms};
use crate::http::write::number;

/// Appends the request as the body of `POST /v1/messages`. `terms` learns what the answer must know: tools' names that went
/// out in another spelling, the only tool there was, and which tools take free text.
///
/// What is written is meant for version `2023-06-01` of the API: the later one refuses sampling parameters.
///
/// # Errors
/// The request holds what Messages cannot say, and what must not be left out. `out` is as it was.
pub fn write(
    request: &Request<'_>,
    to: &Target<'_>,
    terms: &mut Terms,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let begin = out.len();
    let written = body(request, to, terms, losses, out);
    if written.is_err() {
        out.truncate(begin);
    }
    written
}

fn body(
    request: &Request<'_>,
    to: &Target<'_>,
    terms: &mut Terms,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let generation = Generation::of(to.model);
    let tools = tools::declared(request, terms, losses);
    let mut conversation = Conversation::of(request, generation, to.profile, losses)?;
    let structured = settings::structure(request, generation, &mut conversation, losses);
    let thinking = thinking::decide(request, generation, to.profile, &conversation, !tools.is_empty(), losses);

    out.extend_from_slice(b"{\"model\":");
    crate::json::text::encode(to.model.as_bytes(), out);
    put::key("max_tokens", out);
    number(out, thinking.max_tokens);
    if request.stream {
        put::key("stream", out);
        out.extend_from_slice(b"true");
    }
    conversation.write(terms, losses, out)?;
    tools::write(&tools, request, generation, terms, losses, out)?;
    thinking.write(structured, out);
    settings::sampling(request, generation, thinking.is_on(), losses, out);
    settings::others(request, to.profile, losses, out);
    out.push(b'}');
    Ok(())
}
