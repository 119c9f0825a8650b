//! Whether and how the model thinks, how hard it tries, and how long its answer may be: the three depend on each other.

use super::conversation::Conversation;
use super::generation::{Accepts, Generation, Thinks};
use super::put;
use crate::dialect::loss::Losses;
use crate::dialect::profile::Profile;
use crate::dialect::turn::{Content, Effort, Request, Role, Thinking, ToolChoice};
use crate::http::write::number;

/// What Messages takes for a budget at least.
const BUDGET_MIN: u64 = 1024;
/// What is left for the answer itself, where it is ours to say.
const ANSWER: u64 = 4096;

/// What was decided.
pub struct Decision {
    thinking: Option<Thinking>,
    effort: Option<Effort>,
    /// The most tokens of the answer.
    pub max_tokens: u64,
}

/// Decides for a request to a model of that generation. `has_tools` is whether tools are declared.
pub fn decide(
    request: &Request<'_>,
    generation: &Generation,
    profile: &Profile,
    conversation: &Conversation<'_>,
    has_tools: bool,
    losses: &mut Losses,
) -> Decision {
    let max_tokens = max_tokens(request, generation, profile, losses);
    let field = if request.effort.is_some() { "reasoning_effort" } else { "thinking" };
    let mut decision = Decision { thinking: None, effort: None, max_tokens };
    if request.effort.is_none() && request.thinking.is_none() {
        return decision;
    }
    if request.effort == Some(Effort::None) || request.thinking == Some(Thinking::Disabled) {
        match generation.thinks {
            Thinks::Never => {}
            Thinks::Budget | Thinks::Adaptive => decision.thinking = Some(Thinking::Disabled),
            Thinks::Always => losses.approximated(field),
        }
        return decision;
    }
    let is_forced = has_tools && matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
    match generation.thinks {
        Thinks::Never => losses.dropped(field),
        // A model that thinks cannot be made to call a tool, and the call is what the client insists on.
        Thinks::Budget | Thinks::Adaptive if is_forced => {
            losses.dropped(field);
            decision.thinking = Some(Thinking::Disabled);
        }
        Thinks::Budget if !generation.accepts(Accepts::LateThoughts) && lacks_thoughts(conversation) => {
            losses.dropped(field);
            decision.thinking = Some(Thinking::Disabled);
        }
        Thinks::Budget => decision.give_budget(request, field, losses),
        Thinks::Adaptive | Thinks::Always => {
            let wanted = request.effort.or_else(|| budget_as_effort(request.thinking, losses));
            decision.thinking = Some(Thinking::Adaptive);
            decision.effort = wanted.and_then(|wanted| generation.effort(wanted));
            if decision.effort != wanted {
                losses.approximated(field);
            }
        }
    }
    decision
}

/// The client's limit as far as the provider allows it; Messages demands one.
fn max_tokens(request: &Request<'_>, generation: &Generation, profile: &Profile, losses: &mut Losses) -> u64 {
    match (request.max_tokens, profile.output_max) {
        (None, limit) => {
            losses.invented("max_tokens");
            limit.unwrap_or(generation.max_tokens)
        }
        (Some(tokens), Some(limit)) if tokens > limit => {
            losses.approximated("max_tokens");
            limit
        }
        (Some(tokens), _) => tokens,
    }
}

impl Decision {
    /// The model is told to think.
    pub fn is_on(&self) -> bool {
        matches!(self.thinking, Some(Thinking::Budget(_) | Thinking::Adaptive))
    }

    /// Appends `thinking` and `output_config`; `schema` is the one that the answer's text must match.
    pub fn write(&self, schema: Option<&[u8]>, out: &mut Vec<u8>) {
        match self.thinking {
            None => {}
            Some(Thinking::Disabled) => put::raw("thinking", b"{\"type\":\"disabled\"}", out),
            Some(Thinking::Adaptive) => put::raw("thinking", b"{\"type\":\"adaptive\"}", out),
            Some(Thinking::Budget(tokens)) => {
                put::raw("thinking", b"{\"type\":\"enabled\",\"budget_tokens\":", out);
                number(out, tokens);
                out.push(b'}');
            }
        }
        if self.effort.is_none() && schema.is_none() {
            return;
        }
        put::key("output_config", out);
        out.push(b'{');
        if let Some(effort) = self.effort {
            put::text("effort", effort.name().as_bytes(), out);
        }
        if let Some(schema) = schema {
            put::raw("format", b"{\"type\":\"json_schema\",\"schema\":", out);
            crate::dialect::raw::copy(schema, out);
            out.push(b'}');
        }
        out.push(b'}');
    }

    /// A budget must leave room for the answer. The client's limit is kept, for it is what the client pays; where it is
    /// too low for any thought, there is none.
    fn give_budget(&mut self, request: &Request<'_>, field: &'static str, losses: &mut Losses) {
        let wanted = match (request.thinking, request.effort) {
            (Some(Thinking::Budget(tokens)), _) => tokens.max(BUDGET_MIN),
            (_, Some(effort)) => effort_as_budget(effort),
            (_, None) => effort_as_budget(Effort::High),
        };
        let answer = if request.max_tokens.is_some() { 1 } else { ANSWER };
        let half = self.max_tokens / 2;
        self.thinking = if wanted.saturating_add(answer) <= self.max_tokens {
            Some(Thinking::Budget(wanted))
        } else if half >= BUDGET_MIN {
            losses.approximated(field);
            Some(Thinking::Budget(half))
        } else {
            losses.dropped(field);
            Some(Thinking::Disabled)
        };
    }
}

/// Whether the model's last turn must begin with its thoughts and does not: one that calls tools, or that the answer
/// continues.
fn lacks_thoughts(conversation: &Conversation<'_>) -> bool {
    let turns = &conversation.turns;
    let is_last = turns.last().is_some_and(|turn| turn.role == Role::Assistant);
    let Some(last) = turns.iter().rfind(|turn| turn.role == Role::Assistant) else { return false };
    let calls = last.blocks.iter().any(|block| matches!(block.content, Content::ToolCall(_)));
    let first = last.blocks.first().map(|block| &block.content);
    (calls || is_last) && !matches!(first, Some(Content::Thinking { .. } | Content::RedactedThinking(_)))
}

fn effort_as_budget(effort: Effort) -> u64 {
    match effort {
        Effort::None | Effort::Minimal => BUDGET_MIN,
        Effort::Low => 2048,
        Effort::Medium => 8192,
        Effort::High => 16_384,
        Effort::XHigh | Effort::Max => 32_768,
    }
}

fn budget_as_effort(thinking: Option<Thinking>, losses: &mut Losses) -> Option<Effort> {
    let Some(Thinking::Budget(tokens)) = thinking else { return None };
    losses.approximated("thinking");
    Some(match tokens {
        0..4096 => Effort::Low,
        4096..16_384 => Effort::Medium,
        16_384..32_768 => Effort::High,
        _ => Effort::XHigh,
    })
}
