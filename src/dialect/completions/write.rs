//! Writes answers to `/v1/completions`, streamed or whole: they have text and nothing else.

use crate::dialect::Dialect;
use crate::dialect::chat::answer::envelope::{finish_reason, write_end, write_head, write_sequence, write_usage};
use crate::dialect::loss::Losses;
use crate::dialect::turn::{Escaped, Failure, Open, Stop, Terms, Usage, Writer};
use crate::json::text::copy_escaped;

/// Writes a streamed answer: a chunk for each piece of text, one with the reason at the end, and one with usage if the
/// client asked for it.
#[derive(Debug)]
pub struct StreamWriter {
    /// `data: {…,"choices":`, the same in all chunks.
    head: Vec<u8>,
    /// What ends a chunk behind its choices.
    tail: &'static str,
    /// The client asked for usage.
    tells_usage: bool,
    texts: Texts,
}

/// Gathers an answer and writes it when it is whole.
#[derive(Debug)]
pub struct BodyWriter {
    head: Vec<u8>,
    text: Vec<u8>,
    texts: Texts,
}

/// The open blocks whose text is carried, and what is not.
#[derive(Debug, Default)]
struct Texts {
    open: Vec<u32>,
    losses: Losses,
}

impl Texts {
    fn open(&mut self, number: u32, block: Open<'_>) {
        match block {
            Open::Text | Open::Refusal => self.open.push(number),
            Open::Thinking => self.losses.dropped("content.thinking"),
            Open::RedactedThinking(_) => self.losses.dropped("content.redacted_thinking"),
            Open::ToolCall { .. } => self.losses.dropped("content.tool_use"),
        }
    }

    fn has(&self, number: u32) -> bool {
        self.open.contains(&number)
    }

    fn close(&mut self, number: u32) {
        self.open.retain(|open| *open != number);
    }
}

impl StreamWriter {
    /// A writer of one answer.
    pub fn new(terms: &Terms) -> Self {
        let mut head = b"data: ".to_vec();
        write_head(terms, "cmpl-", "text_completion", &mut head);
        head.extend_from_slice(b",\"choices\":");
        let tail = if terms.usage { ",\"usage\":null}\n\n" } else { "}\n\n" };
        Self { head, tail, tells_usage: terms.usage, texts: Texts::default() }
    }
}

impl Writer for StreamWriter {
    const INTERLEAVES: bool = true;

    fn start(&mut self, _: &Usage, _: &mut Vec<u8>) {}

    fn open(&mut self, number: u32, block: Open<'_>, _: &mut Vec<u8>) {
        self.texts.open(number, block);
    }

    fn delta(&mut self, number: u32, text: Escaped<'_>, out: &mut Vec<u8>) {
        if self.texts.has(number) {
            out.extend_from_slice(&self.head);
            write_choice(text, None, None, out);
            out.extend_from_slice(self.tail.as_bytes());
        }
    }

    fn signature(&mut self, _: u32, _: Escaped<'_>, _: &mut Vec<u8>) {}

    fn close(&mut self, number: u32, _: &mut Vec<u8>) {
        self.texts.close(number);
    }

    fn end(&mut self, stop: Stop, sequence: Option<Escaped<'_>>, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        write_choice(b"", Some(stop), sequence, out);
        out.extend_from_slice(self.tail.as_bytes());
        write_end(&self.head, self.tells_usage.then_some(usage), out);
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        failure.write_event(Dialect::Chat, "", out);
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(Dialect::Chat.ping());
    }

    fn losses(&mut self) -> Losses {
        std::mem::take(&mut self.texts.losses)
    }
}

impl BodyWriter {
    /// A writer of one answer.
    pub fn new(terms: &Terms) -> Self {
        let mut head = Vec::new();
        write_head(terms, "cmpl-", "text_completion", &mut head);
        Self { head, text: Vec::new(), texts: Texts::default() }
    }
}

impl Writer for BodyWriter {
    const INTERLEAVES: bool = true;

    fn start(&mut self, _: &Usage, _: &mut Vec<u8>) {}

    fn open(&mut self, number: u32, block: Open<'_>, _: &mut Vec<u8>) {
        self.texts.open(number, block);
    }

    fn delta(&mut self, number: u32, text: Escaped<'_>, _: &mut Vec<u8>) {
        if self.texts.has(number) {
            copy_escaped(text, &mut self.text);
        }
    }

    fn signature(&mut self, _: u32, _: Escaped<'_>, _: &mut Vec<u8>) {}

    fn close(&mut self, number: u32, _: &mut Vec<u8>) {
        self.texts.close(number);
    }

    fn end(&mut self, stop: Stop, sequence: Option<Escaped<'_>>, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"choices\":");
        write_choice(&self.text, Some(stop), sequence, out);
        out.extend_from_slice(b",\"usage\":");
        write_usage(usage, out);
        out.push(b'}');
    }

    /// Writes an error's body: its status is [`Failure::status`].
    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        failure.write_body(Dialect::Chat, "", out);
    }

    fn ping(&mut self, _: &mut Vec<u8>) {}

    fn losses(&mut self) -> Losses {
        std::mem::take(&mut self.texts.losses)
    }
}

/// Appends the list of the one choice.
fn write_choice(text: Escaped<'_>, stop: Option<Stop>, sequence: Option<Escaped<'_>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"[{\"index\":0,\"text\":\"");
    copy_escaped(text, out);
    out.extend_from_slice(b"\",\"logprobs\":null,\"finish_reason\":");
    match stop {
        Some(stop) => {
            // This API has no calls: they are a loss, and the answer ends as others do.
            let stop = if stop == Stop::ToolUse { Stop::EndTurn } else { stop };
            out.push(b'"');
            out.extend_from_slice(finish_reason(stop).as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    write_sequence(sequence, out);
    out.extend_from_slice(b"}]");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect::turn::Class;

    fn play(writer: &mut impl Writer, out: &mut Vec<u8>) {
        writer.start(&Usage::default(), out);
        writer.open(0, Open::Thinking, out);
        writer.delta(0, b"hidden", out);
        writer.signature(0, b"S", out);
        writer.close(0, out);
        writer.open(1, Open::Text, out);
        writer.delta(1, b"On\\nce", out);
        writer.close(1, out);
        writer.open(2, Open::ToolCall { id: b"a", name: b"f" }, out);
        writer.delta(2, b"{}", out);
        writer.close(2, out);
        writer.open(3, Open::Refusal, out);
        writer.delta(3, b" no", out);
        writer.close(3, out);
        writer.open(4, Open::RedactedThinking(b"D"), out);
        writer.close(4, out);
        let usage = Usage { input: Some(3), output: Some(2), ..Usage::default() };
        writer.end(Stop::ToolUse, None, &usage, out);
    }

    fn paths(losses: &Losses) -> Vec<&str> {
        losses.iter().map(|loss| loss.path.as_ref()).collect()
    }

    const LOST: [&str; 3] = ["content.thinking", "content.tool_use", "content.redacted_thinking"];

    #[test]
    fn streamed() {
        let terms = Terms { model: b"m".to_vec(), usage: true, ..Terms::default() };
        let (mut writer, mut out) = (StreamWriter::new(&terms), Vec::new());
        play(&mut writer, &mut out);
        writer.ping(&mut out);
        let text = String::from_utf8(out).unwrap();
        let events: Vec<&str> = text.split_terminator("\n\n").collect();
        assert_eq!(events[4..], ["data: [DONE]", ": ping"]);
        let chunks: Vec<Value> = events[..4]
            .iter()
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect();
        let choice = |text: &str, reason: Option<&str>| json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": reason}]);
        assert_eq!(
            chunks.iter().map(|chunk| chunk["choices"].clone()).collect::<Vec<_>>(),
            [choice("On\nce", None), choice(" no", None), choice("", Some("stop")), json!([])]
        );
        assert!(chunks.iter().all(|chunk| chunk["object"] == "text_completion" && chunk["id"] == chunks[0]["id"]));
        assert_eq!(chunks[3]["usage"], json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}));
        assert_eq!(paths(&writer.losses()), LOST);
    }

    #[test]
    fn whole() {
        let terms = Terms { model: b"m".to_vec(), ..Terms::default() };
        let (mut writer, mut out) = (BodyWriter::new(&terms), Vec::new());
        play(&mut writer, &mut out);
        let answer: Value = serde_json::from_slice(&out).unwrap();
        let choice = json!({"index": 0, "text": "On\nce no", "logprobs": null, "finish_reason": "stop"});
        assert_eq!(answer["choices"], json!([choice]));
        assert!(answer["id"].as_str().unwrap().starts_with("cmpl-") && answer["usage"]["total_tokens"] == 5);
        assert_eq!(paths(&writer.losses()), LOST);
    }

    #[test]
    fn failed() {
        let failure = Failure::new(Class::RateLimit, "slow");
        let (mut streamed, mut whole) = (Vec::new(), Vec::new());
        StreamWriter::new(&Terms::default()).fail(&failure, &mut streamed);
        BodyWriter::new(&Terms::default()).fail(&failure, &mut whole);
        assert_eq!(String::from_utf8(streamed).unwrap(), format!("data: {}\n\n", str::from_utf8(&whole).unwrap()));
        assert!(whole.starts_with(b"{\"error\":{\"message\":\"slow\",\"type\":\"rate_limit_error\""));
    }
}
