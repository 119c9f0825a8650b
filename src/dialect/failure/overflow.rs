//! Recognises that a conversation is longer than the model's window: servers say it with a code, or only with words.

/// What names it in a `code` or `type`.
const NAMES: &[&str] = &[
    "context_length_exceeded",
    "context_window_exceeded",
    "model_context_window_exceeded",
    "exceed_context_size_error",
    "input_too_long",
    "prompt_too_long",
];

/// What says it in words, in lower case and without quotes.
const WORDINGS: &[&str] = &[
    "maximum context length",
    "maximum prompt length",
    "prompt is too long",
    "input is too long",
    "exceeds max length",
    "input length and max_tokens exceed",
    "exceeded model token limit",
    "exceeds the maximum number of tokens",
    "range of input length",
    "reduce the length of the messages",
];

/// What the words are about, where it takes one of [`EXCESS`] to make an overflow.
const WINDOWS: &[&str] = &["context window", "context length", "context size", "context limit"];
const EXCESS: &[&str] = &[
    "exceed",
    "longer",
    "larger",
    "greater",
    "too long",
    "too large",
    "overflow",
    "maximum",
    "reduce",
    "does not fit",
];

/// What stands before the size of the window, in this order of trust.
const BEFORE_WINDOW: &[&str] = &[
    "maximum context length is",
    "maximum context length of",
    "maximum prompt length is",
    "context length of only",
    "context length of",
    "context length (",
    "context size (",
    "context window of",
    "context window is",
    "tokens allowed (",
    "limit of",
    "token limit:",
    "should be [1,",
];

/// Tokens and window, so far as the words tell them; `None` for another failure.
pub fn recognise(name: Option<&str>, message: &str) -> Option<(Option<u64>, Option<u64>)> {
    let words: String = message.to_ascii_lowercase().chars().filter(|c| !matches!(c, '`' | '\'' | '"')).collect();
    let any = |table: &[&str]| table.iter().any(|words_of_it| words.contains(words_of_it));
    // A limit of tokens in a minute is no window, and neither is one of the answer.
    let is_rate = any(&["per minute", "per min", "per day", "rate limit", "quota"]);
    let is_answers = any(&["max_tokens", "max_completion_tokens", "max_output_tokens", "output token"]);
    let is_likely =
        (any(WINDOWS) && any(EXCESS)) || (words.contains("exceeds the limit of") && words.contains("token"));
    let is_said = any(WORDINGS) || (is_likely && !is_answers);
    let is_named = name.is_some_and(|name| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)));
    (is_named || (is_said && !is_rate)).then(|| numbers(&words))
}

/// The numbers of such words.
fn numbers(words: &str) -> (Option<u64>, Option<u64>) {
    let all = counts(words);
    let largest = |above: u64| all.iter().map(|(_, count)| *count).filter(|count| *count > above).max();
    if let Some(window) = window_after_words(words) {
        return (largest(window), Some(window));
    }
    if let Some((tokens, window)) = compared(words) {
        return (Some(tokens), Some(window));
    }
    let tokens = largest(0);
    let window = tokens.and_then(|tokens| all.iter().map(|(_, count)| *count).filter(|count| *count < tokens).max());
    match window {
        // One number alone is the limit.
        None => (None, tokens),
        window => (tokens, window),
    }
}

fn window_after_words(words: &str) -> Option<u64> {
    BEFORE_WINDOW.iter().find_map(|before| {
        let (_, rest) = words.split_once(before)?;
        let (start, count) = counts(rest).into_iter().next()?;
        (start <= 2).then_some(count)
    })
}

/// `N tokens > M maximum`, and `A + B > M`.
fn compared(words: &str) -> Option<(u64, u64)> {
    let (left, right) = words.split_once(" > ")?;
    let (_, window) = counts(right).into_iter().next().filter(|(start, _)| *start == 0)?;
    let terms = counts(left);
    let tokens = match terms.as_slice() {
        [.., (_, first), (at, second)] if left.get(..*at)?.ends_with(" + ") => first.checked_add(*second)?,
        [.., (_, tokens)] => *tokens,
        [] => return None,
    };
    (tokens > window).then_some((tokens, window))
}

/// Whole numbers that stand for themselves (not the digits of a name like `gpt-4-32k`) and where they begin; groups of
/// digits may be parted by commas or underscores.
fn counts(words: &str) -> Vec<(usize, u64)> {
    let mut found = Vec::new();
    let mut start = 0;
    // Every piece ends with the byte that no number has in it.
    for piece in
        words.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ',' | '_' | '-' | '.' | '/')))
    {
        let trimmed = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let body = trimmed.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let digits: String = body.chars().filter(|c| !matches!(c, ',' | '_')).collect();
        let is_count =
            body.starts_with(|c: char| c.is_ascii_digit()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(count) = digits.parse().ok().filter(|_| is_count) {
            found.push((start + trimmed.len() - body.len(), count));
        }
        start += piece.len();
    }
    found
}
