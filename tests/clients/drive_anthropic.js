// Drives the Anthropic door with Anthropic's SDK for Node and prints what it saw as one JSON object.
// usage: node drive_anthropic.js GATEWAY_URL KEY
const Anthropic = require("@anthropic-ai/sdk").default;

const [url, key] = process.argv.slice(2);
const model = "sandbox/echo";
const said = (content) => [{ role: "user", content }];
const weather = {
  name: "get_weather",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

async function tool(client) {
  const asked = said("call tool get_weather with city=Paris");
  const first = await client.messages.create({ model, max_tokens: 99, tools: [weather], messages: asked });
  const call = first.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: call.id, content: "sunny, 21 degrees" };
  const second = await client.messages.create({
    model, max_tokens: 99, tools: [weather],
    messages: [...asked, { role: "assistant", content: first.content }, { role: "user", content: [result] }],
  });
  return { stop: first.stop_reason, input: call.input, quotes: second.content[0].text.includes("sunny, 21 degrees") };
}

async function streamed(client) {
  const kinds = [];
  for await (const event of await client.messages.create({
    model, max_tokens: 99, stream: true, messages: said("say exactly: streamed"),
  })) kinds.push(event.type);
  const helped = await client.messages
    .stream({
      model, max_tokens: 4096, thinking: { type: "enabled", budget_tokens: 1024 },
      messages: said("think: it is late"),
    })
    .finalMessage();
  return { kinds: [...new Set(kinds)], helped: helped.content.map((block) => block.type) };
}

async function refused(client) {
  const seen = [];
  for (const prompt of ["fail with 429", "fail with 503"]) {
    try {
      await client.messages.create({ model, max_tokens: 99, messages: said(prompt) });
    } catch (error) {
      seen.push({ name: error.constructor.name, status: error.status, type: error.error.error.type, same: error.requestID === error.error.request_id });
    }
  }
  return seen;
}

(async () => {
  const client = new Anthropic({ baseURL: `${url}/anthropic`, apiKey: key, maxRetries: 0 });
  const whole = await client.messages.create({ model, max_tokens: 99, messages: said("say exactly: whole") });
  const count = await client.messages.countTokens({ model, messages: said("one two three") });
  const ids = [];
  for await (const entry of client.models.list({ limit: 2 }, { query: { provider: "sandbox", limit: 2 } })) ids.push(entry.id);
  console.log(JSON.stringify({
    whole: whole.content[0].text, counted: count.input_tokens >= 3, tool: await tool(client),
    streamed: await streamed(client), refused: await refused(client),
    models: ids.length > 2 && (await client.models.retrieve(ids[0])).id === ids[0],
  }));
})();
