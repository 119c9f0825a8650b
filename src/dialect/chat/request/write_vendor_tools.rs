//! Tools that a vendor defined and its models know by heart (Messages' versioned types). Those that the client runs are
//! described here for models that do not; those that the vendor's servers run, nobody runs here.

/// Who runs a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    /// The vendor's servers.
    Server,
    /// The client, who expects calls of this form.
    Client {
        /// What the tool does, escaped.
        description: &'static str,
        /// How it is called.
        schema: &'static str,
    },
    /// Nobody knows.
    Unknown,
}

/// Who runs the tools of a type.
pub(super) fn runner(kind: &[u8]) -> Runner {
    TABLE.iter().find(|(begin, _)| kind.starts_with(begin.as_bytes())).map_or(Runner::Unknown, |(_, runner)| *runner)
}

/// By the beginning of the type; the version that follows changed none of the forms in a way that matters here.
const TABLE: &[(&str, Runner)] = &[
    ("web_search_", Runner::Server),
    ("web_fetch_", Runner::Server),
    ("code_execution_", Runner::Server),
    ("tool_search_tool_", Runner::Server),
    ("mcp_toolset", Runner::Server),
    ("advisor_", Runner::Server),
    ("bash_", BASH),
    ("text_editor_", TEXT_EDITOR),
    ("memory_", MEMORY),
    ("computer_20", COMPUTER),
];

const BASH: Runner = Runner::Client {
    description: "Runs a command in a bash session that lasts over calls, and gives what it printed.",
    schema: concat!(
        r#"{"type":"object","properties":{"#,
        r#""command":{"type":"string","description":"The command; may be left out with restart."},"#,
        r#""restart":{"type":"boolean","description":"true begins a new session."}}}"#,
    ),
};

const TEXT_EDITOR: Runner = Runner::Client {
    description: "Shows, creates and edits text files. view shows a file or lists a directory, create writes a new file, str_replace replaces a text that occurs exactly once, insert puts text behind a line.",
    schema: concat!(
        r#"{"type":"object","properties":{"#,
        r#""command":{"type":"string","enum":["view","create","str_replace","insert"]},"#,
        r#""path":{"type":"string","description":"The file or directory, as an absolute path."},"#,
        r#""file_text":{"type":"string","description":"create: the whole file."},"#,
        r#""old_str":{"type":"string","description":"str_replace: the text to replace."},"#,
        r#""new_str":{"type":"string","description":"str_replace, insert: the new text."},"#,
        r#""insert_line":{"type":"integer","description":"insert: the line behind which, 0 for the beginning."},"#,
        r#""view_range":{"type":"array","items":{"type":"integer"},"description":"view: first and last line; -1 for the end."}"#,
        r#"},"required":["command","path"]}"#,
    ),
};

const MEMORY: Runner = Runner::Client {
    description: "Keeps notes over conversations as files under /memories. view shows a file or lists a directory, create writes a file, str_replace replaces a text that occurs exactly once, insert puts text behind a line, delete and rename do so.",
    schema: concat!(
        r#"{"type":"object","properties":{"#,
        r#""command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},"#,
        r#""path":{"type":"string","description":"The file or directory, under /memories; all commands but rename."},"#,
        r#""file_text":{"type":"string","description":"create: the whole file."},"#,
        r#""old_str":{"type":"string","description":"str_replace: the text to replace."},"#,
        r#""new_str":{"type":"string","description":"str_replace: the new text."},"#,
        r#""insert_line":{"type":"integer","description":"insert: the line behind which, 0 for the beginning."},"#,
        r#""insert_text":{"type":"string","description":"insert: the new text."},"#,
        r#""old_path":{"type":"string","description":"rename: the present path."},"#,
        r#""new_path":{"type":"string","description":"rename: the new path."},"#,
        r#""view_range":{"type":"array","items":{"type":"integer"},"description":"view: first and last line."}"#,
        r#"},"required":["command"]}"#,
    ),
};

const COMPUTER: Runner = Runner::Client {
    description: "Acts on a computer's screen with mouse and keyboard, and gives screenshots. Take a screenshot first, to see where things are.",
    schema: concat!(
        r#"{"type":"object","properties":{"#,
        r#""action":{"type":"string","enum":["screenshot","left_click","right_click","middle_click","double_click","#,
        r#""triple_click","left_click_drag","left_mouse_down","left_mouse_up","mouse_move","cursor_position","key","#,
        r#""hold_key","type","scroll","wait","zoom"]},"#,
        r#""coordinate":{"type":"array","items":{"type":"integer"},"description":"Where: x and y in pixels."},"#,
        r#""start_coordinate":{"type":"array","items":{"type":"integer"},"description":"left_click_drag: from where."},"#,
        r#""region":{"type":"array","items":{"type":"integer"},"description":"zoom: x and y of two corners."},"#,
        r#""text":{"type":"string","description":"type: the text; key, hold_key: the keys, such as ctrl+s."},"#,
        r#""duration":{"type":"number","description":"hold_key, wait: seconds."},"#,
        r#""scroll_direction":{"type":"string","enum":["up","down","left","right"]},"#,
        r#""scroll_amount":{"type":"integer"}},"required":["action"]}"#,
    ),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_objects() {
        for (kind, runner) in TABLE {
            if let Runner::Client { description, schema } = runner {
                let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
                assert!(schema["type"] == "object" && schema["properties"].is_object(), "{kind}");
                let quoted = format!("\"{description}\"");
                assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), *description);
            }
        }
    }

    #[test]
    fn by_type() {
        assert_eq!(runner(b"web_search_20250305"), Runner::Server);
        assert_eq!(runner(b"bash_20250124"), BASH);
        assert_eq!(runner(b"text_editor_20250728"), TEXT_EDITOR);
        assert_eq!(runner(b"computer_20250124"), COMPUTER);
        assert_eq!(runner(b"computer_toolset_20260801"), Runner::Unknown);
        assert_eq!(runner(b"function"), Runner::Unknown);
    }
}
