// What applications use above the bare calls of the Node SDKs, the same scenarios as helpers.py.
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";

const thinking = { type: "enabled", budget_tokens: 1024 };
const form = { type: "object", properties: { city: { type: "string" }, degrees: { type: "integer" } }, required: ["city", "degrees"], additionalProperties: false };

export function helpers(o, a, { chatBody, messagesBody, chatTools, user }) {
  return {
    async chat_helper() {
      let text = "";
      const stream = o.chat.completions.stream(chatBody("say hello", { stream_options: { include_usage: true } }));
      stream.on("content", (delta) => (text += delta));
      const answer = await stream.finalChatCompletion();
      const { message, finish_reason } = answer.choices[0];
      if (message.content !== text || message.role !== "assistant") throw new Error(`${message.content} is not ${text}`);
      return { text, stop: finish_reason, counted: answer.usage.total_tokens > 0 };
    },
    async chat_helper_tool() {
      const answer = await o.chat.completions.stream(chatBody("use the tool", { tools: chatTools })).finalChatCompletion();
      const [call] = answer.choices[0].message.tool_calls;
      return { name: call.function.name, arguments: JSON.parse(call.function.arguments), stop: answer.choices[0].finish_reason, type: call.type };
    },
    async chat_helper_history() {
      const first = await o.chat.completions.stream(chatBody("use the tool", { tools: chatTools })).finalChatCompletion();
      const { message } = first.choices[0];
      const turns = [...user("use the tool"), message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: "21" }];
      const { choices } = await o.chat.completions.create(chatBody("", { messages: turns, tools: chatTools }));
      return { text: choices[0].message.content, stop: choices[0].finish_reason };
    },
    async chat_tool_runner() {
      const cities = [];
      const parse = JSON.parse;
      const run = ({ city }) => (cities.push(city), "21");
      const tools = [{ type: "function", function: { ...chatTools[0].function, parse, function: run } }];
      const runner = o.chat.completions.runTools(chatBody("use the tool", { tools, stream: true }), { maxChatCompletions: 2 });
      await runner.done();
      return { asked: cities.length > 0, cities: [...new Set(cities)].sort() };
    },
    async chat_parse() {
      const response_format = { type: "json_schema", json_schema: { name: "weather", schema: form, strict: true } };
      const { choices } = await o.chat.completions.parse(chatBody("as json", { response_format }));
      return { parsed: JSON.parse(choices[0].message.content) };
    },
    async chat_reasoning() {
      const { choices } = await o.chat.completions.create(chatBody("think first", { reasoning_effort: "high" }));
      return { text: choices[0].message.content, stop: choices[0].finish_reason };
    },
    chat_error_inside: () =>
      broken(async () => {
        for await (const _ of await o.chat.completions.create(chatBody("say hello", { stream: true }), { headers: { "x-mock-error-at": "4" } }));
      }),
    async messages_helper() {
      let text = "";
      const stream = a.messages.stream(messagesBody("say hello")).on("text", (delta) => (text += delta));
      const answer = await stream.finalMessage();
      if ((await stream.finalText()) !== text) throw new Error("two texts");
      return { text, stop: answer.stop_reason, counted: answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0 };
    },
    async messages_text_stream() {
      const stream = a.messages.stream(messagesBody("say hello"));
      let text = "";
      for await (const event of stream) if (event.type === "content_block_delta" && event.delta.type === "text_delta") text += event.delta.text;
      return { text, stop: (await stream.finalMessage()).stop_reason };
    },
    async messages_thinking() {
      const answer = await a.messages.stream(messagesBody("think first", { max_tokens: 5000, thinking })).finalMessage();
      const thought = answer.content.find((block) => block.type === "thinking");
      const messages = [...user("think first"), { role: "assistant", content: answer.content }, ...user("say hello")];
      const after = await a.messages.create(messagesBody("", { max_tokens: 5000, thinking, messages }));
      return { kinds: answer.content.map((block) => block.type), thought: Boolean(thought.thinking), signed: Boolean(thought.signature), stop: after.stop_reason };
    },
    async messages_tool_runner() {
      const cities = [];
      const inputSchema = { type: "object", properties: { city: { type: "string" }, note: { type: "string" } }, required: ["city"] };
      const tool = betaTool({ name: "weather", description: "Weather", inputSchema, run: ({ city }) => (cities.push(city), "21") });
      const runner = a.beta.messages.toolRunner(messagesBody("use the tool", { tools: [tool], max_iterations: 2 }));
      const stops = [];
      for await (const message of runner) stops.push(message.stop_reason);
      return { asked: cities.length > 0, cities: [...new Set(cities)].sort(), stops };
    },
    async messages_parse() {
      const answer = await a.messages.parse(messagesBody("as json", { output_config: { format: { type: "json_schema", schema: form } } }));
      return { parsed: JSON.parse(answer.content[0].text) };
    },
    messages_error_inside: () => broken(() => a.messages.stream(messagesBody("say hello"), { headers: { "x-mock-error-at": "4" } }).finalMessage()),
  };
}

async function broken(call) {
  try {
    await call();
  } catch (error) {
    return { failed: error.constructor.name };
  }
  throw new Error("no error was raised");
}
