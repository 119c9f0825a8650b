use serde_json::{Value as Tree, json};

use super::*;
use crate::json::Index;

const POLICY: &str = "<policy_spec>\n# Claude Code Code Bash command prefix detection\n- git push => none\n\
                      - git status`ls` => command_injection_detected\n</policy_spec>\n\nONLY return the prefix.";
const BASH: &str = "You process Bash commands that an AI coding agent wants to run. The policy spec that follows …";
const TITLE: &str =
    "Generate a concise, sentence-case title (3-7 words) that …\n\nReturn JSON with a single \"title\" field.";
const NAMING: &str = "You are naming a coding session so the user …\nReturn JSON with a single \"title\" field.";
const TOPIC: &str =
    "Analyze if this message indicates a new conversation topic. … two fields: 'isNewTopic' (boolean) and …";
const PATHS: &str = "Extract any file paths that this command reads or modifies. …\n<is_displaying_contents>\ntrue";
const SUGGEST: &str = "[SUGGESTION MODE: Suggest what the user might naturally type next into Claude Code.]\n\nFIRST: …\n\n\
                       Reply with ONLY the suggestion, no quotes or explanation.";
const LIST: &str = "Please write a 5-10 word title for the following conversation:\n\n[Last 2 of 3 messages]\n\n\
                    User: \n\nUser: repair the build\n\nClaude: ok\n\n\nRespond with the title for the conversation and nothing else.";

fn all() -> Chores {
    Chores::parse("all").unwrap()
}

fn answered(chores: Chores, body: &[u8]) -> Option<Answer> {
    let mut index = Index::default();
    chores.answer(index.read(body).unwrap())
}

/// What a request is answered with, by both looks; the first must let all through that the second takes.
fn answer(request: &Tree) -> Option<Answer> {
    let body = request.to_string();
    let answer = answered(all(), body.as_bytes());
    assert!(answer.is_none() || all().may_include(body.as_bytes(), request["max_tokens"] == 1), "{body}");
    answer
}

fn user(content: impl Into<Tree>) -> Tree {
    json!({"role": "user", "content": content.into()})
}

fn text(text: &str) -> Tree {
    json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}])
}

/// As Claude Code sends one: the header of its bill, who it is, and what it is to do.
fn aside(system: &str, messages: Tree) -> Tree {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 512, "stream": true, "temperature": 1, "metadata": {"user_id": "u"},
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=cli;"},
            {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude."},
            {"type": "text", "text": system},
        ],
        "tools": [], "messages": messages,
    })
}

fn probe() -> Tree {
    json!({"model": "claude-haiku-4-5", "max_tokens": 1, "messages": [user("quota")], "metadata": {"user_id": "u"}})
}

fn suggestion() -> Tree {
    json!({
        "model": "claude-opus-5", "max_tokens": 64000, "stream": true, "thinking": {"type": "adaptive"},
        "system": text("You are Claude Code"), "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "messages": [user("hi"), {"role": "system", "content": "s"}, {"role": "assistant", "content": text("hello")}, user(text(SUGGEST))],
    })
}

fn titled() -> Tree {
    let mut request = aside(TITLE, json!([user(text("fix the login"))]));
    let schema = json!({"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]});
    request["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
    request
}

fn with(mut request: Tree, member: &str, value: Tree) -> Tree {
    request[member] = value;
    request
}

#[test]
fn chores_and_their_answers() {
    let session = "<session>\nfix the login\n</session>\n\nWrite the title in the predominant language of the session.";
    let reminded = json!([
        {"type": "text", "text": "<system-reminder>\nx\n</system-reminder>"}, {"type": "text", "text": "fix the login"},
    ]);
    let told = json!([user("fix the login"), {"role": "system", "content": TITLE}]);
    let started = json!([user("fix the login"), {"role": "assistant", "content": "{"}]);
    let command = |command: &str| json!([user(format!("{POLICY}\n\nCommand: {command}"))]);
    let shown = "<is_displaying_contents>\ntrue\n</is_displaying_contents>\n\n<filepaths>\na.txt\n</filepaths>";
    let silent = "<is_displaying_contents>\nfalse\n</is_displaying_contents>\n\n<filepaths>\n</filepaths>";
    let title = r#"{"title": "Fix the login"}"#;
    let list = "Summarize this coding conversation in under 50 characters.\nCapture …";
    for (request, chore, want) in [
        (probe(), Chore::Quota, "OK"),
        (with(probe(), "messages", json!([user(text("quota"))])), Chore::Quota, "OK"),
        (with(probe(), "stream", json!(true)), Chore::Quota, "OK"),
        (aside(BASH, command("git push origin x")), Chore::Prefix, "git push"),
        (aside(BASH, command("git status `id`")), Chore::Prefix, "command_injection_detected"),
        (aside(BASH, command("git push\n")), Chore::Prefix, "none"),
        (aside(BASH, command("ls x\n\nCommand: git push x")), Chore::Prefix, "command_injection_detected"),
        (aside(&format!("{BASH}\n{POLICY}"), json!([user("git push origin x")])), Chore::Prefix, "git push"),
        (titled(), Chore::Title, title),
        (aside(NAMING, json!([user(session)])), Chore::Title, title),
        (aside(TITLE, json!([user(reminded)])), Chore::Title, title),
        (with(aside("", told), "system", json!("x")), Chore::Title, title),
        (aside(TITLE, json!([user("say \"hi\"")])), Chore::Title, r#"{"title": "Say \"hi\""}"#),
        (
            aside(TOPIC, json!([user("fix the login page")])),
            Chore::Title,
            r#"{"isNewTopic": true, "title": "Fix the login"}"#,
        ),
        (aside(TOPIC, started), Chore::Title, r#""isNewTopic": true, "title": "Fix the login"}"#),
        (aside(list, json!([user(LIST)])), Chore::Title, "Repair the build"),
        (suggestion(), Chore::Suggestion, ""),
        (aside(PATHS, json!([user("Command: cat a.txt\nOutput: x\n\ny")])), Chore::Paths, shown),
        (aside(PATHS, json!([user("Command: ls\nOutput: a.txt")])), Chore::Paths, silent),
    ] {
        let answer = answer(&request).unwrap_or_else(|| panic!("{request}"));
        assert_eq!((answer.chore, answer.text.as_str()), (chore, want), "{request}");
        assert_eq!(answer.is_cut, chore == Chore::Quota);
        assert!(answer.tokens >= 1 && answer.tokens <= request["max_tokens"].as_u64().unwrap());
        // Each by its own switch, and by that alone.
        for other in Chore::ALL {
            let body = request.to_string();
            let alone = answered(Chores::default().with(other), body.as_bytes());
            assert_eq!(alone.is_some(), other == chore, "{} {request}", other.name());
        }
    }
}

#[test]
fn near_misses_are_none() {
    let command = |text: &str| json!([user(text)]);
    let asked = format!("{POLICY}\n\nCommand: git push x");
    let result =
        json!([{"type": "tool_result", "tool_use_id": "t", "content": "x"}, {"type": "text", "text": SUGGEST}]);
    let image = json!([{"type": "image", "source": {}}, {"type": "text", "text": "quota"}]);
    let other = json!({"format": {"type": "json_schema", "schema": {"properties": {"title": {}, "branch": {}}}}});
    let tool = json!([{"name": "Bash", "input_schema": {"type": "object"}}]);
    let talk = json!([user("hi"), {"role": "assistant", "content": "hello"}, user("fix the login")]);
    let paths = "Command: cat a.txt\nOutput: x";
    for request in [
        with(probe(), "max_tokens", json!(2)),
        with(probe(), "system", json!("x")),
        with(probe(), "tools", json!([])),
        with(probe(), "messages", json!([user("Quota")])),
        with(probe(), "messages", json!([user("what is my quota?")])),
        with(probe(), "messages", json!([user("quota"), user("quota")])),
        with(probe(), "messages", json!([{"role": "assistant", "content": "quota"}])),
        with(probe(), "messages", json!([user(image)])),
        with(probe(), "messages", json!("quota")),
        aside("x", command(&asked)),
        aside(BASH, command(&format!("please: {asked}"))),
        aside(BASH, command("git push x")),
        aside(BASH, command(&asked.replace("Bash command", "PowerShell command"))),
        aside(BASH, command(&asked.replace("command_injection_detected", "injected"))),
        aside(BASH, command(&asked.replace("Command: ", "Run: "))),
        aside(BASH, command(&format!("{POLICY}\n\nCommand: "))),
        aside(BASH, command(&format!("{POLICY}\n\nCommand: a && b"))),
        with(aside(BASH, command(&asked)), "tools", tool.clone()),
        with(aside(BASH, command(&asked)), "stop_sequences", json!(["x"])),
        with(aside(BASH, command(&asked)), "max_tokens", json!(1)),
        with(titled(), "tools", tool),
        with(titled(), "mcp_servers", json!([])),
        with(titled(), "messages", talk),
        with(titled(), "messages", json!([user("/clear")])),
        with(titled(), "messages", json!([user("x"), {"role": "assistant", "content": "{"}])),
        with(titled(), "output_config", other),
        with(
            titled(),
            "system",
            json!("You are a helpful assistant. Title: Return JSON with a single \"title\" field."),
        ),
        with(titled(), "system", json!("Generate a concise, sentence-case title (3-7 words)")),
        aside("x", json!([user(format!("What does `{TITLE}` mean?"))])),
        aside(NAMING, json!([user("<session>\nx\n</session>\n\nAnd translate it.")])),
        aside(NAMING, json!([user("<session>\nx\n")])),
        aside(TOPIC, json!([user("fix it"), {"role": "assistant", "content": "{\"isNewTopic\": "}])),
        aside(TOPIC, json!([user(""), user("fix it")])),
        aside("x", json!([user(LIST)])),
        with(suggestion(), "messages", json!([user(SUGGEST)])),
        with(suggestion(), "messages", json!([user("a"), user(SUGGEST)])),
        with(suggestion(), "messages", json!([user("a"), {"role": "assistant", "content": "b"}, user(result)])),
        with(
            suggestion(),
            "messages",
            json!([user("a"), {"role": "assistant", "content": "b"}, user(format!("Why {SUGGEST}"))]),
        ),
        with(
            suggestion(),
            "messages",
            json!([user("a"), {"role": "assistant", "content": "b"}, user(format!("{SUGGEST} Why?"))]),
        ),
        with(suggestion(), "messages", json!([user(SUGGEST), {"role": "assistant", "content": "b"}, user("go on")])),
        with(suggestion(), "messages", json!([user("a"), {"role": "assistant", "content": SUGGEST}])),
        aside("x", command(paths)),
        aside(&PATHS.replace("Extract", "Never extract"), command(paths)),
        aside(PATHS, command("Command: cat a.txt")),
        aside(PATHS, command("cat a.txt\nOutput: x")),
        aside(PATHS, command("Command: make\nOutput: x")),
        json!({}),
    ] {
        assert_eq!(answer(&request), None, "{request}");
    }
}

#[test]
fn a_member_twice_is_not_sure() {
    let body = probe().to_string();
    let twice = body.replacen('{', r#"{"messages":[{"role":"user","content":"hi"}],"#, 1);
    let escaped = body.replacen('{', r#"{"m\u0065ssages":[{"role":"user","content":"hi"}],"#, 1);
    assert!(answered(all(), body.as_bytes()).is_some());
    assert_eq!((answered(all(), twice.as_bytes()), answered(all(), escaped.as_bytes())), (None, None));
    assert_eq!((answered(all(), b"[]"), answered(all(), b"null")), (None, None));
}

#[test]
fn what_agents_send_is_none() {
    let mut bodies = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/captures")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "body") {
            let body = std::fs::read(&path).unwrap();
            assert_eq!(answered(all(), &body), None, "{}", path.display());
            assert!(!all().may_include(&body, false), "{}", path.display());
            bodies += 1;
        }
    }
    assert!(bodies > 8, "{bodies}");
}

#[test]
fn the_first_look_knows_sizes_and_switches() {
    let body = probe().to_string();
    assert!(all().may_include(body.as_bytes(), true) && !all().may_include(body.as_bytes(), false));
    assert!(!Chores::default().may_include(body.as_bytes(), true));
    let filled = |request: Tree, bytes: usize| with(request, "model", json!("x".repeat(bytes))).to_string();
    let (small, large) = (limits::SMALL_CHORE_BYTES_MAX, limits::CHORE_BYTES_MAX);
    for (body, want) in [
        (filled(titled(), small / 2), true),
        (filled(titled(), small), false),
        (filled(suggestion(), small), true),
        (filled(suggestion(), large), false),
    ] {
        assert_eq!(all().may_include(body.as_bytes(), false), want);
    }
}

#[test]
fn switches() {
    for (text, want) in [
        ("none", Some(vec![])),
        ("all", Some(Chore::ALL.to_vec())),
        ("quota", Some(vec![Chore::Quota])),
        ("paths, title", Some(vec![Chore::Title, Chore::Paths])),
        ("quota,", None),
        ("", None),
        ("titles", None),
        ("all,quota", None),
    ] {
        let on =
            Chores::parse(text).map(|chores| Chore::ALL.into_iter().filter(|one| chores.has(*one)).collect::<Vec<_>>());
        assert_eq!(on.ok(), want, "{text}");
    }
    let wrong = Chores::parse("titles").unwrap_err();
    assert!(wrong.contains("\"titles\"") && wrong.contains("suggestion"), "{wrong}");
}
