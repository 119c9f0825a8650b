//! Reads a Chat server's answer: OpenAI's, and those of servers that are nearly compatible.

use super::failed;
use super::finish;
use super::pieces::{Event, Pieces, Target};
use crate::dialect::failure::{Class, Failure};
use crate::dialect::profile::{Flag, Profile};
use crate::dialect::think_tags::ThinkTags;
use crate::dialect::turn::{self, Stop, Word};
use crate::dialect::usage::UsageReader;
use crate::json::{Index, Kind, Template, Value};

/// Reads one answer at a time. Its memory is reused.
#[derive(Debug)]
pub struct Reader {
    index: Index,
    /// The shape of the events that are nothing but a piece of text.
    template: Template,
    /// What that text is a piece of.
    target: Target,
    recognised: u64,
    answer: Answer,
}

/// What is known of the answer so far.
#[derive(Debug)]
struct Answer {
    tags: ThinkTags,
    pieces: Pieces,
    usage: UsageReader,
    has_begun: bool,
    /// The `index` of the choice that is read.
    choice: Option<u64>,
}

impl Reader {
    /// A reader for upstreams of that profile.
    pub fn new(profile: &Profile) -> Self {
        let tags = match (profile.has(Flag::ThinkOpened), profile.has(Flag::ThinkTags)) {
            (true, _) => ThinkTags::Opened,
            (false, true) => ThinkTags::Tagged,
            (false, false) => ThinkTags::Off,
        };
        Self::with(tags, profile.has(Flag::CumulativeArguments))
    }

    /// A reader for upstreams whose text is to be read so, and whose fragments of arguments repeat those before or do not.
    pub fn with(tags: ThinkTags, is_cumulative: bool) -> Self {
        let (usage, pieces) = (UsageReader::new(), Pieces::new(tags, is_cumulative));
        let answer = Answer { tags, pieces, usage, has_begun: false, choice: None };
        Self { index: Index::default(), template: Template::default(), target: Target::Text, recognised: 0, answer }
    }

    /// How many events were recognised by the shape of those before, and not read.
    pub fn recognised(&self) -> u64 {
        self.recognised
    }

    /// Forgets the shape of events: the next one is read. It says the same as if it were recognised.
    pub fn forget_shape(&mut self) {
        self.template.clear();
    }

    /// Makes it ready for another answer.
    pub fn reset(&mut self) {
        self.template.clear();
        let Answer { tags, pieces, usage, has_begun, choice } = &mut self.answer;
        pieces.reset(*tags);
        usage.reset();
        (*has_begun, *choice) = (false, None);
    }

    fn read(&mut self, name: &[u8], data: &[u8], say: &mut impl FnMut(Word<'_>)) {
        let text = data.trim_ascii();
        if text.is_empty() {
            return;
        }
        if finish::is_done(text) {
            self.answer.pieces.finish(say);
            return say(Word::End);
        }
        let Self { index, template, target, answer, .. } = self;
        let Ok(event) = index.read(data) else {
            return say(if name == b"ping" { Word::Ping } else { Word::Failed(failed::plain(text)) });
        };
        match event.kind() {
            Kind::Object => {}
            Kind::String => return say(Word::Failed(failed::plain(event.escaped().unwrap_or_default()))),
            Kind::Null => return,
            _ => return say(Word::Foreign("data".into())),
        }
        let mut others = 0;
        let mut seen = Event::streamed();
        answer.event(name, event, &mut seen, &mut |word| {
            others += u32::from(!matches!(word, Word::Delta { .. }));
            say(word);
        });
        let has_call = answer.pieces.has_call();
        match seen.only_piece() {
            Some((only, text)) if others == 0 => {
                *target = only;
                template.learn(event, text, is_free);
            }
            // What a call's fragments are recognised by may mean another call from here on.
            _ if has_call => template.clear(),
            _ => {}
        }
    }
}

impl turn::Reader for Reader {
    #[inline]
    fn event(&mut self, name: &[u8], data: &[u8], say: &mut impl FnMut(Word<'_>)) {
        match self.template.find(data) {
            // An empty text lets others beside it count.
            Some(text) if !text.is_empty() && self.answer.pieces.goes_on(self.target) => {
                self.recognised += 1;
                self.answer.pieces.piece(self.target, text, say);
            }
            _ => self.read(name, data, say),
        }
    }

    fn body(&mut self, body: &[u8], say: &mut impl FnMut(Word<'_>)) {
        let Self { index, answer, .. } = self;
        let answered = match index.read(body) {
            Ok(whole) => answer.body(whole, say),
            Err(_) => Err(failed::plain(body.trim_ascii())),
        };
        say(match answered {
            Ok(()) => Word::End,
            Err(failure) => Word::Failed(failure),
        });
    }
}

impl Answer {
    /// One event of a stream. What it says of the answer's end is told last.
    fn event<'v>(&mut self, name: &[u8], event: Value<'v>, seen: &mut Event<'v>, say: &mut impl FnMut(Word<'_>)) {
        let [choices, usage, error, groq] = event.pick(["choices", "usage", "error", "x_groq"]);
        let choices = choices.filter(|choices| choices.kind() == Kind::Array);
        let is_answer = choices.is_some() || usage.is_some();
        let failure = failed::read(event, error, is_answer);
        if choices.is_none_or(|choices| choices.items().next().is_none())
            && let Some(failure) = failure
        {
            return say(Word::Failed(failure));
        }
        if !is_answer && (name == b"ping" || event.get("type").is_some_and(|kind| kind.is("ping"))) {
            return say(Word::Ping);
        }
        if name == b"error" && choices.is_none() {
            return say(Word::Failed(failed::plain(event.raw())));
        }
        self.begin(event, say);
        let mut stop = None;
        for choice in choices.iter().flat_map(|choices| choices.items()) {
            let choice = Choice::read(choice);
            if choice.is_ours(&mut self.choice) {
                stop = self.choice(&choice, choice.delta, seen, say).or(stop);
            } else {
                say(Word::Foreign("choices".into()));
            }
        }
        if !is_answer && groq.is_none() {
            say(Word::Foreign("event".into()));
        }
        self.report([groq.and_then(|groq| groq.get("usage")), usage], say);
        match (failure, stop) {
            (Some(failure), _) | (None, Some(Err(failure))) => say(Word::Failed(failure)),
            (None, Some(Ok((stop, sequence)))) => {
                self.pieces.finish(say);
                say(Word::Stop(stop, sequence));
            }
            (None, None) => {}
        }
    }

    /// A whole answer; what it is instead, if it is none.
    fn body(&mut self, whole: Value<'_>, say: &mut impl FnMut(Word<'_>)) -> Result<(), Failure> {
        let [choices, usage, error] = whole.pick(["choices", "usage", "error"]);
        let choice = choices.and_then(|choices| choices.items().next());
        if let Some(failure) = failed::read(whole, error, choice.is_some()) {
            return Err(failure);
        }
        let Some(choice) = choice.map(Choice::read) else {
            return Err(Failure::new(Class::Api, "the upstream answered without choices"));
        };
        self.begin(whole, say);
        let stop = self.choice(&choice, choice.message, &mut Event::whole(), say);
        self.pieces.finish(say);
        if choices.is_some_and(|choices| choices.items().count() > 1) {
            say(Word::Foreign("choices".into()));
        }
        self.report([None, usage], say);
        if let Some((stop, sequence)) = stop.transpose()? {
            say(Word::Stop(stop, sequence));
        }
        Ok(())
    }

    fn begin(&mut self, event: Value<'_>, say: &mut impl FnMut(Word<'_>)) {
        if !std::mem::replace(&mut self.has_begun, true) {
            let [id, model] = event.pick(["id", "model"]).map(|value| value.and_then(|value| value.escaped()));
            say(Word::Start { id: id.unwrap_or_default(), model: model.unwrap_or_default() });
        }
    }

    /// What a choice holds, and why it stopped if it says so.
    fn choice<'v>(
        &mut self,
        choice: &Choice<'v>,
        message: Option<Value<'v>>,
        seen: &mut Event<'v>,
        say: &mut impl FnMut(Word<'_>),
    ) -> Option<Stopped<'v>> {
        if let Some(message) = message {
            self.pieces.message(message, seen, say);
        }
        if let Some(failure) = &choice.failure {
            return Some(Err(failure.clone()));
        }
        let stop = finish::read(choice.finish_reason?)?;
        let sequence = choice.sequences.iter().find_map(|text| (*text)?.escaped());
        Some(stop.map(|stop| match sequence.filter(|text| stop == Stop::EndTurn && !text.is_empty()) {
            Some(text) => (Stop::Sequence, Some(text)),
            None => (stop, None),
        }))
    }

    fn report(&mut self, reports: [Option<Value<'_>>; 2], say: &mut impl FnMut(Word<'_>)) {
        let mut found = reports.into_iter().flatten().filter(|usage| usage.kind() == Kind::Object).peekable();
        if found.peek().is_some() {
            found.for_each(|usage| self.usage.push_report(usage.raw()));
            say(Word::Usage(self.usage.usage()));
        }
    }
}

/// Why a choice stopped, with the text that ended it.
type Stopped<'v> = Result<(Stop, Option<&'v [u8]>), Failure>;

/// The members of a choice.
struct Choice<'v> {
    index: Option<Value<'v>>,
    delta: Option<Value<'v>>,
    message: Option<Value<'v>>,
    finish_reason: Option<Value<'v>>,
    /// vLLM's and SGLang's names for the text that ended the answer; numbers there are tokens.
    sequences: [Option<Value<'v>>; 2],
    /// What some gateways tell in the choice instead of at the top.
    failure: Option<Failure>,
}

impl<'v> Choice<'v> {
    fn read(choice: Value<'v>) -> Self {
        let keys = ["delta", "index", "finish_reason", "message", "stop_reason", "matched_stop", "error"];
        let [delta, index, finish_reason, message, stop_reason, matched_stop, error] = choice.pick(keys);
        let failure = failed::read(choice, error, true);
        Self { index, delta, message, finish_reason, sequences: [stop_reason, matched_stop], failure }
    }

    /// One answer was asked for. Its number is 0, or what the first one's is.
    fn is_ours(&self, ours: &mut Option<u64>) -> bool {
        let index = self.index.and_then(|index| index.as_u64());
        index.is_none_or(|index| *ours.get_or_insert(index) == index)
    }
}

/// Members that mean nothing to an answer: they may vary from event to event.
fn is_free(path: &[&[u8]]) -> bool {
    if path.iter().any(|key| key.contains(&b'\\')) {
        return false;
    }
    match path {
        // Beside `reasoning`, which says the same (OpenRouter).
        [b"choices", b"delta", b"reasoning_details", b"text" | b"summary"] => true,
        [b"choices", member, ..] => !matches!(
            *member,
            b"delta" | b"message" | b"finish_reason" | b"index" | b"stop_reason" | b"matched_stop" | b"error"
        ),
        [member, ..] => !matches!(
            *member,
            b"choices" | b"usage" | b"error" | b"x_groq" | b"object" | b"type" | b"message" | b"detail"
        ),
        [] => false,
    }
}
