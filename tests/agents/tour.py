"""The session of Claude Code as a whole: its turns in order."""

from .play import CHAT_MODEL, MESSAGES_MODEL, counted, interrupted, interrupted_early, killed, rerouted, switched
from .session import TOO_LONG, Tools, Turn, faults, large, many, pair, quirks
from .words import Call, Fail, Say

LONG = "A long answer, of which the user has soon had enough, so that it never comes to its end at all."


def turns(tools: Tools) -> list[Turn]:
    return [
        Turn("plain text", [Say("Hello from the other side.")]),
        pair(tools, "thinking, text and parallel tools", "First I read, then I hash.", "I will look at both."),
        Turn(
            "tools one after the other",
            [
                Say("", (tools.bash(),), "One."),
                Say("Now the file.", (tools.read(),)),
                Say("", (tools.bash(),), "Three."),
                Say("All in order."),
            ],
        ),
        Turn("a file written and hashed", written(tools)),
        Turn("a picture", [Say("", (tools.picture(),)), Say("It is red.")]),
        Turn("a picture and a command at once", [Say("", (tools.picture(), tools.bash())), Say("Red, and hashed.")]),
        Turn("a failing command", [Say("", (failing(),)), Say("It failed, as it should.")]),
        Turn("eight calls at once", many(tools, 8)),
        Turn("a large file written and hashed", large(tools, 150_000)),
        Turn("counting the context", [], counted),
        Turn("an agent below", below(tools), steady=False),
        Turn("tools found by a search, with long names", tools.searched()),
        Turn("the same tools again", tools.searched()[1:]),
        *quirks(tools),
        *faults(tools),
        Turn("interrupted by the user", [Say(LONG, cut="hang")], interrupted),
        pair(tools, "after the interrupt", "It was interrupted."),
        Turn("interrupted before the first byte", [Say(LONG, cut="silent")], interrupted_early, steady=False),
        pair(tools, "after that interrupt"),
        Turn("killed while a tool runs, and resumed", [Say("", (slow(),))], killed, steady=False),
        pair(tools, "after the resumption"),
        *switches(tools),
        Turn("the context is full", overflow(), steady=False),
        pair(tools, "after the compaction", "What was it about?"),
    ]


def written(tools: Tools) -> list[Say]:
    put, look = tools.write()
    return [Say("", (put,)), Say("", (look,)), Say("To the byte.")]


def failing() -> Call:
    return Call("Bash", {"command": "echo $((6 * 7))-is-wrong >&2; exit 3", "description": "Fail"}, "42-is-wrong")


def slow() -> Call:
    return Call("Bash", {"command": "sleep 20", "description": "Take long"})


def below(tools: Tools) -> list[Say]:
    """The Agent tool: a conversation of its own, whose last words are the tool's result."""
    task = {"description": "Look at a file", "prompt": "Read the file and hash the word.", "subagent_type": "general-purpose"}
    agent = Call("Agent", {**task, "run_in_background": False}, "Nested answer")
    nested = [Say("", (tools.read(), tools.bash()), "Below.", fresh=True, hidden=True), Say("Nested answer.", hidden=True)]
    return [Say("", (agent,)), *nested, Say("The agent is back.")]


def overflow() -> list:
    """The provider refuses, in OpenAI's words; Claude Code asks for a summary, and goes on with that."""
    refused = Fail("400 Bad Request", TOO_LONG)
    return [refused, Say("<summary>All turns went well.</summary>", about="summary", hidden=True), Say("Compacted.", about="All turns went well.")]


def switches(tools: Tools) -> list[Turn]:
    """To a provider of the other dialect and back, with thoughts of both in the history."""

    def tooled(thinking: str, text: str) -> list[Say]:
        return [Say("", (tools.read(), tools.bash()), thinking), Say(text, thinking="So be it.")]

    both = f"{CHAT_MODEL} -> strict; {MESSAGES_MODEL} -> chatty/scripted-chat"
    usual = f"{CHAT_MODEL} -> chatty/scripted-chat; {MESSAGES_MODEL} -> strict"
    return [
        pair(tools, "thoughts before the switch", "A thought of the Chat provider."),
        Turn("switched to Messages", tooled("A signed thought.", "From strict."), switched(MESSAGES_MODEL, "Turn: with strict"), "strict"),
        Turn("switched back to Chat", tooled("Unsigned.", "From chatty."), switched(CHAT_MODEL, "Turn: with chatty"), "chatty"),
        Turn("rerouted to Messages", tooled("Signed.", "From strict."), rerouted(both, "Turn: rerouted"), "strict"),
        Turn("rerouted back to Chat", tooled("Unsigned.", "From chatty."), rerouted(usual, "Turn: back"), "chatty"),
    ]
