// Drives the gateway with OpenAI's SDK for Node and prints what it saw as one JSON object.
// usage: node drive_node.js GATEWAY_URL KEY
const { OpenAI, AzureOpenAI } = require("openai");

const [url, key] = process.argv.slice(2);
const said = (content) => [{ role: "user", content }];

async function textOfChat(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  return text;
}

async function responses(client) {
  const whole = await client.responses.create({ model: "sandbox/echo", input: "say exactly: whole" });
  const kinds = [];
  const numbers = [];
  for await (const event of await client.responses.create({
    model: "sandbox/echo", input: "say exactly: streamed", stream: true,
  })) {
    kinds.push(event.type);
    numbers.push(event.sequence_number);
  }
  const final = await client.responses
    .stream({ model: "sandbox/echo", input: "say exactly: helped" })
    .finalResponse();
  const queued = await client.responses.create({ model: "sandbox/echo", input: "take 30 seconds", background: true });
  const cancelled = await client.responses.cancel(queued.id);
  const fetched = await client.responses.retrieve(whole.id, { include: ["reasoning.encrypted_content"] });
  const conversation = await client.conversations.create();
  await client.responses.delete(whole.id);
  return {
    whole: whole.output_text, first: kinds[0], last: kinds.at(-1), numbers,
    helped: final.output_text, cancelled: cancelled.status, fetched: fetched.output_text,
    conversation: conversation.object,
  };
}

async function compacted(client) {
  const history = [
    { role: "user", content: "Ada is a cat. ".repeat(400) },
    { role: "assistant", content: "Noted." },
    { role: "user", content: "say exactly: nine" },
  ];
  const managed = {
    model: "sandbox/echo", input: history, context_management: [{ type: "compaction", compact_threshold: 1000 }],
  };
  const streamed = await client.responses.stream(managed).finalResponse();
  const whole = await client.responses.create(managed);
  const input = [...streamed.output, { role: "user", content: "say exactly: ten" }];
  const next = await client.responses.create({ model: "sandbox/echo", input, store: false });
  const types = [streamed, whole].map((response) => response.output.map((item) => item.type));
  return { types, texts: [streamed, whole, next].map((response) => response.output_text) };
}

async function chat(client) {
  const stream = await client.chat.completions.create({
    model: "sandbox/echo", messages: said("say exactly: chunks"), stream: true,
  });
  const streamed = await textOfChat(stream);
  const helped = await client.chat.completions
    .stream({ model: "sandbox/echo", messages: said("say exactly: helped") })
    .finalContent();
  return { streamed, helped };
}

async function azure() {
  const options = { apiKey: key, apiVersion: "2025-04-01-preview", maxRetries: 0 };
  const client = new AzureOpenAI({ endpoint: url, ...options });
  const completion = await client.chat.completions.create({ model: "fast", messages: said("say exactly: deployed") });
  const response = await client.responses.create({ model: "sandbox/echo", input: "say exactly: responded" });
  const embedding = await client.embeddings.create({ model: "fast", input: "one" });
  return {
    chat: completion.choices[0].message.content,
    response: response.output_text,
    dimensions: embedding.data[0].embedding.length > 0,
  };
}

async function refused(client) {
  try {
    await client.responses.create({ model: "no-such-model", input: "hi" });
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
}

async function brokenOff(client) {
  try {
    for await (const _ of await client.responses.create({ model: "sandbox/echo", input: "fail midway", stream: true }));
  } catch (error) {
    return { name: error.constructor.name, code: error.code !== undefined && error.code !== null };
  }
}

(async () => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  const result = {
    responses: await responses(client),
    compacted: await compacted(client),
    chat: await chat(client),
    azure: await azure(),
    refused: await refused(client),
    brokenOff: await brokenOff(client),
  };
  console.log(JSON.stringify(result));
})();
