// Talks to graphs as browsers do: the Vercel AI SDK's own chat, and the AG-UI client, which checks each event it gets.
import assert from "node:assert/strict";
import { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { HttpAgent } from "@ag-ui/client";

const base = process.argv[2];
let checks = 0;

function check(got, wanted, what) {
  assert.deepEqual(got, wanted, what);
  checks += 1;
}

class State {
  constructor(messages = []) {
    Object.assign(this, { messages, status: "ready", error: undefined });
  }
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with(index, structuredClone(message)));
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(graph, id, more = {}) {
    const transport = new DefaultChatTransport({ api: `${base}/graphs/${graph}/chat` });
    super({ id, transport, state: new State(), ...more });
  }
  get last() {
    return this.messages.at(-1);
  }
  get text() {
    return this.last.parts.filter((part) => part.type === "text").map((part) => part.text);
  }
}

async function until(condition, what) {
  for (let i = 0; i < 1000 && !condition(); i++) await new Promise((done) => setTimeout(done, 10));
  assert.ok(condition(), what);
}

async function talksToTheAiSdk() {
  const chat = new Chat("echo", "c-echo");
  await chat.sendMessage({ text: "hello there" });
  check(chat.text, ["You said: hello there"], "a streamed answer");
  check(chat.last.parts.filter((part) => part.type === "text").map((part) => part.state), ["done"], "its end");
  assert.match(chat.last.metadata.run_id, /^run_/);
  await chat.sendMessage({ text: "and again" });
  check(chat.text, ["You said: and again"], "another turn");
  check(chat.messages.length, 4, "the conversation");

  const mute = new Chat("mute", "c-mute");
  await mute.sendMessage({ text: "hi" });
  check(mute.text, ["In one piece."], "an answer that was not streamed");

  const broken = new Chat("broken", "c-broken", { onError: () => undefined });
  await broken.sendMessage({ text: "hi" });
  check([broken.status, broken.error.message], ["error", "The run failed: node_failed."], "a failure");
}

async function approvesInTheAiSdk() {
  const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithApprovalResponses;
  const chat = new Chat("mailer", "c-mail", { sendAutomaticallyWhen });
  await chat.sendMessage({ text: "write to Ann" });
  const tool = chat.last.parts.find((part) => part.type === "dynamic-tool");
  check([tool.toolName, tool.state, tool.input], ["send_letter", "approval-requested", { to: "Ann" }], "an approval");
  await chat.addToolApprovalResponse({ id: tool.approval.id, approved: true });
  await until(() => chat.last.parts.some((part) => part.type === "data-pause"), "the question after it");
  await until(() => chat.status === "ready", "the end of the turn");
  check(chat.messages.length, 2, "the same message goes on");
  assert.match(chat.text.at(-1), /Who signs it\?/);
  const before = chat.messages.length;
  await chat.sendMessage({ text: "Bob" });
  check(chat.messages.length, before + 2, "a message of its own");
  assert.equal(chat.error, undefined);
  check(chat.text, ["Sent, signed by Bob."], "the answer to a question");
  const ended = chat.messages.flatMap((message) => message.parts).filter((part) => part.state === "output-available");
  check(ended.map((part) => part.output), ["signed by Bob"], "the result of the call that was approved");

  const other = new Chat("mailer", "c-no", { sendAutomaticallyWhen });
  await other.sendMessage({ text: "write" });
  const asked = other.last.parts.find((part) => part.type === "dynamic-tool");
  await other.addToolApprovalResponse({ id: asked.approval.id, approved: false, reason: "too early" });
  await until(() => other.text.at(-1) === "Not sent: too early", "a rejection with its reason");
  checks += 1;
}

async function runsToolsInTheAiSdk() {
  const chat = new Chat("finder", "c-find");
  await chat.sendMessage({ text: "Ann and Nobody" });
  assert.equal(chat.error, undefined);
  const tools = chat.last.parts.filter((part) => part.type === "dynamic-tool");
  check(tools.map((part) => [part.toolName, part.state, part.input]), [
    ["look_up", "output-available", { name: "Ann" }],
    ["look_up", "output-error", { name: "Nobody" }],
  ], "the calls of a tool loop");
  check(tools[0].output, "Ann, Rope Street 7", "a result");
  check(tools[1].errorText, "look_up failed. LookupError: no such person", "a failure that the model was told");
  check(chat.text.length, 2, "a part for each reply of the model");
  assert.match(chat.text.at(-1), /^They live at Ann/);
  check(chat.last.parts.some((part) => part.type === "reasoning"), true, "what it thought");
  assert.ok(chat.last.metadata.usage.output_tokens > 0);
}

async function approvesSeveralInTheAiSdk() {
  const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithApprovalResponses;
  const chat = new Chat("handyman", "c-burn", { sendAutomaticallyWhen });
  await chat.sendMessage({ text: "burn one and burn two" });
  const asked = chat.last.parts.filter((part) => part.state === "approval-requested");
  check(asked.length, 2, "two approvals at once");
  await chat.addToolApprovalResponse({ id: asked[0].approval.id, approved: true });
  await chat.addToolApprovalResponse({ id: asked[1].approval.id, approved: false, reason: "keep it" });
  await until(() => chat.text.length > 0 && chat.status === "ready", "the end of the turn");
  const tools = chat.last.parts.filter((part) => part.type === "dynamic-tool");
  check(tools.map((part) => part.state), ["output-available", "output-denied"], "each ends as it was answered");
  assert.match(chat.text.at(-1), /one is ashes; burn was not run/);
}

async function comesBackInTheAiSdk() {
  const first = new Chat("slow", "c-slow");
  const sending = first.sendMessage({ text: "one two three four five" });
  await until(() => first.last?.role === "assistant" && first.text.join("").length > 0, "a first word");
  await first.stop();
  await sending;
  const second = new Chat("slow", "c-slow");
  await second.resumeStream();
  check(second.text, ["You said: one two three four five"], "the whole answer, after a reload");
  const third = new Chat("slow", "c-slow");
  await third.resumeStream();
  check(third.messages, [], "nothing to come back to");
}

function agent(graph, threadId, text) {
  const initialMessages = [{ id: "m1", role: "user", content: text }];
  return new HttpAgent({ url: `${base}/graphs/${graph}/ag-ui`, threadId, initialMessages });
}

async function run(one, parameters = {}) {
  const types = [];
  let finished;
  const subscriber = {
    onEvent: ({ event }) => void types.push(event.type),
    onRunFinishedEvent: ({ event }) => void (finished = event),
    onRunFailed: () => undefined,
  };
  await one.runAgent(parameters, subscriber);
  return { types, finished };
}

async function talksToAgUi() {
  const one = agent("echo", "t-echo", "hello there");
  const { types, finished } = await run(one);
  check(one.messages.at(-1).content, "You said: hello there", "a streamed answer");
  check(types[0], "RUN_STARTED", "its beginning");
  check(finished.outcome, { type: "success" }, "its end");
  check(one.state.seen, 1, "the state");

  const mute = agent("mute", "t-mute", "hi");
  await run(mute);
  check(mute.messages.at(-1).content, "In one piece.", "an answer that was not streamed");

  let error;
  await agent("broken", "t-broken", "hi").runAgent({}, { onRunErrorEvent: ({ event }) => void (error = event) })
    .catch(() => undefined);
  check([error.type, error.code], ["RUN_ERROR", "node_failed"], "a failure");
}

async function approvesInAgUi() {
  const one = agent("mailer", "t-mail", "write to Ann");
  const first = await run(one);
  check(first.finished.outcome.type, "interrupt", "an interrupt");
  const [approval] = first.finished.outcome.interrupts;
  check(approval.reason, "tool_call", "that of a tool call");
  const called = one.messages.flatMap((message) => message.toolCalls ?? []);
  check(called.map((call) => [call.id, call.function.name, JSON.parse(call.function.arguments)]),
    [[approval.toolCallId, "send_letter", { to: "Ann" }]], "the call that waits");
  const resume = [{ interruptId: approval.id, status: "resolved", payload: { approve: true } }];
  const second = await run(one, { resume });
  const [question] = second.finished.outcome.interrupts;
  check([question.reason, question.message], ["input_required", "Who signs it?"], "a question");
  const third = await run(one, { resume: [{ interruptId: question.id, status: "resolved", payload: "Bob" }] });
  check(third.finished.outcome.type, "success", "the end");
  check(one.messages.at(-1).content, "Sent, signed by Bob.", "the answer");
  const calls = one.messages.flatMap((message) => message.toolCalls ?? []);
  check(calls.length, 1, "the call is told once, over all stretches");
  const results = one.messages.filter((message) => message.role === "tool").map((message) => message.content);
  check(results, ["signed by Bob"], "and so is its result");
}

async function runsToolsInAgUi() {
  const one = agent("finder", "t-find", "Ann and Nobody");
  const { finished } = await run(one);
  check(finished.outcome.type, "success", "a tool loop");
  const calls = one.messages.flatMap((message) => message.toolCalls ?? []);
  check(calls.map((call) => JSON.parse(call.function.arguments)), [{ name: "Ann" }, { name: "Nobody" }], "its calls");
  const results = one.messages.filter((message) => message.role === "tool").map((message) => message.content);
  check(results, ["Ann, Rope Street 7", "look_up failed. LookupError: no such person"], "their results");
  assert.match(one.messages.at(-1).content, /^They live at Ann/);
}

const parts = [
  talksToTheAiSdk, approvesInTheAiSdk, runsToolsInTheAiSdk, approvesSeveralInTheAiSdk, comesBackInTheAiSdk,
  talksToAgUi, approvesInAgUi, runsToolsInAgUi,
];
for (const part of parts) {
  try {
    await part();
  } catch (error) {
    console.error(`${part.name}: ${error.stack}`);
    process.exitCode = 1;
  }
}
console.log(JSON.stringify({ checks }));
