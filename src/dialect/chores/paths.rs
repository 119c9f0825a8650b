//! Which files a command's output shows.

use super::asked::Asked;
use super::shell::{self, Reading, Word};

/// A tag that the prompt names.
pub const MARK: &str = "<is_displaying_contents>";
const SYSTEM: &str = "Extract any file paths that this command reads or modifies";
const COMMAND: &str = "Command: ";
const OUTPUT: &str = "\nOutput: ";

/// The files, in the form that the prompt demands.
pub fn answer(asked: &Asked<'_>) -> Option<String> {
    let aside = asked.aside()?;
    if !(aside.system.contains(SYSTEM) && aside.system.contains(MARK)) {
        return None;
    }
    // A command of several lines is not sure anyway, wherever its output begins.
    let (command, output) = aside.plain_question()?.strip_prefix(COMMAND)?.split_once(OUTPUT)?;
    let shown = shown(command, output)?;
    let list: String = shown.iter().map(|path| format!("{path}\n")).collect();
    let shows = !shown.is_empty();
    Some(format!("{MARK}\n{shows}\n</is_displaying_contents>\n\n<filepaths>\n{list}</filepaths>"))
}

/// The files whose content the output shows; `None` where that is not sure.
fn shown(command: &str, output: &str) -> Option<Vec<String>> {
    let Reading::Plain(words) = shell::read(command.trim_end()) else { return None };
    let (program, arguments) = words.split_first().filter(|(program, _)| program.is_literal)?;
    match program.text.as_str() {
        "git" => shown_by_git(arguments, output),
        name if SILENT.contains(&name) => Some(Vec::new()),
        name @ ("cat" | "head" | "tail" | "nl") => {
            // It complains of a file that it cannot read.
            let complains = output.lines().any(|line| line.starts_with(name) && line.contains(": "));
            files(arguments).filter(|_| !complains)
        }
        _ => None,
    }
}

/// Programs that show no file's content.
const SILENT: &[&str] = &[
    "basename", "cd", "chmod", "chown", "cp", "date", "df", "dirname", "du", "file", "find", "id", "ln", "ls", "mkdir",
    "mv", "ps", "pwd", "realpath", "rm", "rmdir", "sleep", "stat", "touch", "tree", "uname", "wc", "which", "whoami",
];

/// The files among the arguments of a program that shows them.
fn files(arguments: &[Word]) -> Option<Vec<String>> {
    let mut files = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        let is_count = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if word.expands {
            return None;
        } else if matches!(text, "-n" | "-c") {
            // Of `cat` and `nl` it has no count behind it.
            words.next().filter(|count| is_count(&count.text))?;
        } else if let Some(option) = text.strip_prefix('-') {
            let count = option.trim_start_matches(['n', 'c']);
            is_count(count).then_some(())?;
        } else if text.is_empty() || text.contains(['\n', '<', '>']) {
            return None;
        } else {
            files.push(text.to_owned());
        }
    }
    // Without one, it shows what comes in.
    Some(files).filter(|files| !files.is_empty())
}

fn shown_by_git(arguments: &[Word], output: &str) -> Option<Vec<String>> {
    let (first, rest) = arguments.split_first()?;
    let has = |options: &[&str]| rest.iter().any(|word| options.iter().any(|option| word.text.starts_with(option)));
    match first.text.as_str() {
        "add" | "branch" | "checkout" | "commit" | "fetch" | "merge" | "pull" | "push" | "remote" | "rev-parse"
        | "status" | "switch" | "tag"
            if !has(&["-v", "-p"]) =>
        {
            Some(Vec::new())
        }
        "log" if !has(&["-p", "-u", "-c", "-m", "--patch", "--cc", "-S", "-G", "-L"]) => Some(Vec::new()),
        "diff" | "show"
            if !has(&["--stat", "--name", "--num", "--short", "--no-prefix", "--src", "--dst", "--raw"]) =>
        {
            diffed(output)
        }
        _ => None,
    }
}

/// The files of a patch.
fn diffed(output: &str) -> Option<Vec<String>> {
    let heads: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("diff --git ")).collect();
    let files: Option<Vec<_>> = heads.iter().map(|head| both_sides(head).map(str::to_owned)).collect();
    files.filter(|files| !files.is_empty())
}

/// The file of `a/FILE b/FILE`; of one that was renamed there are two, and which is meant is not sure.
fn both_sides(head: &str) -> Option<&str> {
    let half = head.len().checked_sub(1)? / 2;
    let (before, after) = (head.get(..half)?.strip_prefix("a/")?, head.get(half..)?.strip_prefix(" b/")?);
    Some(after).filter(|after| *after == before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_files() {
        let patch = "diff --git a/src/a b.rs b/src/a b.rs\n--- a/src/a b.rs\n+++ b/src/a b.rs\n@@\n-x\n+y\ndiff --git a/c b/c\n";
        for (command, output, want) in [
            ("cat foo.txt", "hello", &["foo.txt"][..]),
            ("cat 'a b' c/d.rs", "x", &["a b", "c/d.rs"]),
            ("head -n 20 x.log", "x", &["x.log"]),
            ("tail -5 /var/log/x", "x", &["/var/log/x"]),
            ("head -n5 x y", "x", &["x", "y"]),
            ("ls -la /path", "total 752\nfoo.txt", &[]),
            ("pwd", "/home", &[]),
            ("find . -name x", "./x", &[]),
            ("mkdir -p a/b", "", &[]),
            ("git status", "modified: x", &[]),
            ("git commit -m 'x'", "1 file changed", &[]),
            ("git log --oneline", "abc x", &[]),
            ("git diff", patch, &["src/a b.rs", "c"]),
            ("git show HEAD", patch, &["src/a b.rs", "c"]),
        ] {
            assert_eq!(shown(command, output).unwrap(), want, "{command}");
        }
    }

    #[test]
    fn what_is_left_to_the_model() {
        for (command, output) in [
            ("cat", "x"),
            ("cat *.rs", "x"),
            ("cat $x", "x"),
            ("cat ~/x", "x"),
            ("cat -A x", "x"),
            ("cat -n x", "1 x"),
            ("cat foo", "cat: foo: No such file or directory"),
            ("cat foo | grep x", "x"),
            ("cat foo > x", ""),
            ("head --lines=5 x", "x"),
            ("find . -type f -exec ls -la {} + | sort", "x"),
            ("cargo build", "error in x.rs"),
            ("grep -n x y", "1:x"),
            ("git diff", ""),
            ("git diff --stat", "x | 2 +-"),
            ("git diff", "diff --git a/old b/new\n"),
            ("git diff", "diff --git \"a/\\303\" \"b/\\303\"\n"),
            ("git log -p", "diff --git a/x b/x\n"),
            ("git commit -v -m x", ""),
            ("git blame x", ""),
            ("git", ""),
            ("", ""),
            ("$(x)", ""),
        ] {
            assert_eq!(shown(command, output), None, "{command}");
        }
    }
}
