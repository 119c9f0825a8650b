//! Writes whether, and how hard, the model shall think: each family of servers has its own word for it.

use super::write::field;
use crate::dialect::loss::Losses;
use crate::dialect::profile::{Flag, Profile, Reasoning};
use crate::dialect::turn::{Effort, Request, Thinking};

const EFFORT: &str = "output_config.effort";

/// What is asked for, all defaults applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// No thinking.
    Off,
    /// As the server has it.
    Unsaid,
    /// Thinking, with a budget if there is one, and an effort.
    On(Option<u64>, Option<Effort>),
    /// An effort, whether or not that means thinking.
    Effort(Effort),
}

/// Appends what is asked for, in the words of the profile.
pub(super) fn write(request: &Request<'_>, profile: &Profile, has_tools: bool, losses: &mut Losses, out: &mut Vec<u8>) {
    let wish = wish(request, profile);
    match profile.reasoning {
        Reasoning::Never => never(wish, losses),
        Reasoning::Effort if has_tools && !profile.has(Flag::EffortWithTools) => {
            never(wish, losses);
            if profile.has(Flag::ThinkingOff) && profile.efforts.has(Effort::None) {
                write_effort(Effort::None, out);
            }
        }
        Reasoning::Effort => {
            if let Some(effort) = effort(wish, profile, losses) {
                write_effort(effort, out);
            }
        }
        Reasoning::Thinking => thinking(wish, profile, losses, out),
        Reasoning::TemplateEnableThinking => template("enable_thinking", wish, profile, losses, out),
        Reasoning::TemplateThinking => template("thinking", wish, profile, losses, out),
        Reasoning::Object => object(wish, profile, losses, out),
        Reasoning::EnableThinking => enable_thinking(wish, profile, losses, out),
    }
}

fn wish(request: &Request<'_>, profile: &Profile) -> Wish {
    match (request.thinking, request.effort) {
        // DeepSeek refuses an effort beside it.
        (Some(Thinking::Disabled), _) | (None, Some(Effort::None)) => Wish::Off,
        (Some(Thinking::Budget(budget)), effort) => Wish::On(Some(budget), effort),
        (Some(Thinking::Adaptive), effort) => Wish::On(None, effort),
        (None, Some(effort)) => Wish::Effort(effort),
        (None, None) if profile.has(Flag::ThinkingOff) => Wish::Off,
        (None, None) => Wish::Unsaid,
    }
}

fn never(wish: Wish, losses: &mut Losses) {
    match wish {
        Wish::On(_, effort) => {
            losses.dropped("thinking");
            if effort.is_some() {
                losses.dropped(EFFORT);
            }
        }
        Wish::Effort(_) => losses.dropped(EFFORT),
        Wish::Off | Wish::Unsaid => {}
    }
}

/// The nearest effort that the server takes; `None` where there is nothing to say.
fn effort(wish: Wish, profile: &Profile, losses: &mut Losses) -> Option<Effort> {
    let wanted = match wish {
        Wish::Unsaid | Wish::On(None, None) => return None,
        Wish::Off => {
            let least = profile.efforts.least()?;
            if least != Effort::None {
                losses.approximated("thinking.type");
            }
            return Some(least);
        }
        Wish::On(Some(budget), None) => {
            losses.approximated("thinking.budget_tokens");
            of_budget(budget)
        }
        Wish::On(_, Some(effort)) | Wish::Effort(effort) => effort,
    };
    let nearest = profile.efforts.nearest(wanted);
    match nearest {
        None if matches!(wish, Wish::On(..)) => losses.dropped("thinking"),
        None => losses.dropped(EFFORT),
        Some(nearest) if nearest != wanted => losses.approximated(EFFORT),
        Some(_) => {}
    }
    nearest
}

/// How hard a model would try that thinks so many tokens.
fn of_budget(tokens: u64) -> Effort {
    match tokens {
        ..4_096 => Effort::Low,
        4_096..16_384 => Effort::Medium,
        16_384..32_768 => Effort::High,
        _ => Effort::XHigh,
    }
}

fn write_effort(effort: Effort, out: &mut Vec<u8>) {
    field(out, "reasoning_effort", format!("\"{}\"", effort.name()).as_bytes());
}

fn thinking(wish: Wish, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    // The effort of a budget is said by the budget's mere presence here.
    let said = match wish {
        Wish::On(budget, effort) => {
            field(out, "thinking", b"{\"type\":\"enabled\"}");
            if budget.is_some() {
                losses.dropped("thinking.budget_tokens");
            }
            effort
        }
        Wish::Effort(effort) => Some(effort),
        Wish::Off => {
            field(out, "thinking", b"{\"type\":\"disabled\"}");
            None
        }
        Wish::Unsaid => None,
    };
    let nearest = said.and_then(|effort| self::effort(Wish::Effort(effort), profile, losses));
    match nearest {
        Some(effort) => write_effort(effort, out),
        // An effort that cannot be said must not become more thinking than no effort.
        None if matches!(wish, Wish::Effort(_)) && profile.has(Flag::ThinkingOff) => {
            field(out, "thinking", b"{\"type\":\"disabled\"}");
        }
        None => {}
    }
}

/// Whether to think, where that is all that can be said.
fn switch(wish: Wish, profile: &Profile, losses: &mut Losses) -> Option<bool> {
    match wish {
        Wish::Off => Some(false),
        Wish::Unsaid => None,
        Wish::On(_, effort) => {
            if effort.is_some() {
                losses.dropped(EFFORT);
            }
            Some(true)
        }
        Wish::Effort(_) => {
            losses.dropped(EFFORT);
            profile.has(Flag::ThinkingOff).then_some(false)
        }
    }
}

fn template(name: &str, wish: Wish, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    if let Wish::On(Some(_), _) = wish {
        losses.dropped("thinking.budget_tokens");
    }
    if let Some(on) = switch(wish, profile, losses) {
        field(out, "chat_template_kwargs", format!("{{\"{name}\":{on}}}").as_bytes());
    }
}

fn enable_thinking(wish: Wish, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    if let Some(on) = switch(wish, profile, losses) {
        field(out, "enable_thinking", on.to_string().as_bytes());
    }
    if let Wish::On(Some(budget), _) = wish {
        field(out, "thinking_budget", budget.to_string().as_bytes());
    }
}

fn object(wish: Wish, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    let value = match wish {
        Wish::Unsaid => return,
        Wish::Off => "{\"enabled\":false}".to_owned(),
        Wish::On(Some(budget), _) => format!("{{\"max_tokens\":{budget}}}"),
        Wish::On(None, None) => "{\"enabled\":true}".to_owned(),
        Wish::On(None, Some(_)) | Wish::Effort(_) => match effort(wish, profile, losses) {
            Some(effort) => format!("{{\"effort\":\"{}\"}}", effort.name()),
            None => return,
        },
    };
    field(out, "reasoning", value.as_bytes());
}
