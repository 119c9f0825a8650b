// The official Node SDKs, the same scenarios and base URLs as run.py:  node run.mjs ORIGIN usual|other [helpers [NAME,NAME]]
// prints {scenario: result} as JSON; with "helpers" those of helpers.py too; with names only these.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { helpers } from "./helpers.mjs";

const [origin, bases, more, only] = process.argv.slice(2);
const [openaiPath, anthropicPath] = { usual: ["/v1", ""], other: ["", "/v1"] }[bases];
const options = { apiKey: "sk-the-clients-own", maxRetries: 0, timeout: 20000 };
const o = new OpenAI({ ...options, baseURL: origin + openaiPath });
const a = new Anthropic({ ...options, baseURL: origin + anthropicPath });

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const chatTools = [{ type: "function", function: { name: "weather", description: "Weather", parameters } }];
const responsesTools = [{ type: "function", name: "weather", parameters, strict: false }];
const messagesTools = [{ name: "weather", description: "Weather", input_schema: parameters }];
const user = (content) => [{ role: "user", content }];
const chatBody = (text, more = {}) => ({ model: "gpt-4o", messages: user(text), ...more });
const messagesBody = (text, more = {}) => ({ model: "claude-opus-4-8", max_tokens: 500, messages: user(text), ...more });
const controls = (status) => ({
  headers: { "x-mock-status": String(status), ...(status === 429 ? { "x-mock-retry-after": "7" } : {}) },
});

async function failure(call) {
  try {
    await call();
  } catch (error) {
    if (error.status === undefined) throw error;
    return {
      class: error.constructor.name,
      status: error.status,
      retry_after: error.headers.get("retry-after"),
      ours: error.headers.get("x-sidestream-error"),
      message: error.message,
    };
  }
  throw new Error("no error was raised");
}

const scenarios = {
  async chat() {
    const { choices } = await o.chat.completions.create(chatBody("say hello"));
    return { text: choices[0].message.content, stop: choices[0].finish_reason };
  },
  async chat_stream() {
    let [text, stop, chunks] = ["", null, 0];
    for await (const chunk of await o.chat.completions.create(chatBody("say hello", { stream: true }))) {
      chunks += 1;
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? "";
        stop = choice.finish_reason ?? stop;
      }
    }
    return { text, stop, chunks };
  },
  async chat_stream_usage() {
    const usages = [];
    const more = { stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await o.chat.completions.create(chatBody("say hello", more))) {
      if (chunk.usage) usages.push(chunk.usage);
    }
    return { usages: usages.length, counted: usages.at(-1).total_tokens > 0 };
  },
  async chat_tool() {
    const { choices } = await o.chat.completions.create(chatBody("use the tool", { tools: chatTools }));
    const call = choices[0].message.tool_calls[0].function;
    return { name: call.name, arguments: JSON.parse(call.arguments), stop: choices[0].finish_reason };
  },
  async chat_tool_stream() {
    let [name, args, stop] = ["", "", null];
    for await (const chunk of await o.chat.completions.create(chatBody("use the tool", { tools: chatTools, stream: true }))) {
      for (const choice of chunk.choices) {
        for (const call of choice.delta.tool_calls ?? []) {
          name += call.function.name ?? "";
          args += call.function.arguments ?? "";
        }
        stop = choice.finish_reason ?? stop;
      }
    }
    return { name, arguments: JSON.parse(args), stop };
  },
  async chat_tool_result() {
    const call = { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Paris"}' } };
    const turns = [{ role: "assistant", tool_calls: [call] }, { role: "tool", tool_call_id: "call_1", content: "21" }];
    const messages = [...user("use the tool"), ...turns];
    const { choices } = await o.chat.completions.create({ model: "gpt-4o", messages, tools: chatTools });
    return { text: choices[0].message.content, stop: choices[0].finish_reason };
  },
  async embeddings() {
    const { data } = await o.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
    return { vectors: data.length, numbers: data[0].embedding.every((x) => typeof x === "number") };
  },
  async models() {
    const ids = [];
    for await (const model of o.models.list()) ids.push(model.id);
    return { ids: ids.sort() };
  },
  async responses() {
    const answer = await o.responses.create({ model: "gpt-4o", input: "say hello" });
    return { text: answer.output_text, stop: answer.status };
  },
  async responses_stream() {
    let [text, kinds] = ["", []];
    for await (const event of await o.responses.create({ model: "gpt-4o", input: "say hello", stream: true })) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    return { text, stop: kinds.at(-1), chunks: kinds.length };
  },
  async responses_tool() {
    const answer = await o.responses.create({ model: "gpt-4o", input: "use the tool", tools: responsesTools });
    const call = answer.output.find((item) => item.type === "function_call");
    return { name: call.name, arguments: JSON.parse(call.arguments) };
  },
  chat_error_stream: () => failure(() => o.chat.completions.create(chatBody("fail with 429", { stream: true }), controls(429))),
  async messages() {
    const answer = await a.messages.create(messagesBody("say hello"));
    return { text: answer.content[0].text, stop: answer.stop_reason, counted: answer.usage.output_tokens > 0 };
  },
  async messages_stream() {
    const kinds = [];
    const stream = a.messages.stream(messagesBody("say hello"));
    for await (const event of stream) kinds.push(event.type);
    const answer = await stream.finalMessage();
    return { text: answer.content[0].text, stop: answer.stop_reason, last: kinds.at(-1), chunks: kinds.length };
  },
  async messages_tool() {
    const answer = await a.messages.create(messagesBody("use the tool", { tools: messagesTools }));
    const call = answer.content.find((block) => block.type === "tool_use");
    return { name: call.name, arguments: call.input, stop: answer.stop_reason };
  },
  async messages_tool_stream() {
    const answer = await a.messages.stream(messagesBody("use the tool", { tools: messagesTools })).finalMessage();
    const call = answer.content.find((block) => block.type === "tool_use");
    return { name: call.name, arguments: call.input, stop: answer.stop_reason };
  },
  async messages_tool_result() {
    const messages = [
      ...user("use the tool"),
      { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "weather", input: { city: "Paris" } }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "21" }, { type: "text", text: "say hello" }] },
    ];
    const answer = await a.messages.create(messagesBody("", { messages, tools: messagesTools }));
    return { text: answer.content[0].text, stop: answer.stop_reason };
  },
  async count_tokens() {
    const { input_tokens } = await a.messages.countTokens({ model: "claude-opus-4-8", messages: user("say hello") });
    return { tokens: input_tokens };
  },
};
for (const status of [400, 429, 529]) {
  const text = `fail with ${status}`;
  scenarios[`chat_error_${status}`] = () => failure(() => o.chat.completions.create(chatBody(text), controls(status)));
  scenarios[`messages_error_${status}`] = () => failure(() => a.messages.create(messagesBody(text), controls(status)));
}

if (more === "helpers") Object.assign(scenarios, helpers(o, a, { chatBody, messagesBody, chatTools, messagesTools, user }));

const results = {};
for (const [name, scenario] of Object.entries(scenarios)) {
  if (only && !only.split(",").includes(name)) continue;
  try {
    results[name] = await scenario();
  } catch (error) {
    results[name] = { raised: `${error.constructor.name}: ${error.message}` };
  }
}
console.log(JSON.stringify(results));
