// The playground: builds a request, streams its answer at one or two targets, and shows both, as text.
(() => {
  "use strict";
  const MOST_EVENTS = 2000;
  const form = document.getElementById("playground");
  const field = (name) => form.elements[name];
  const say = (sentence) => {
    const place = document.getElementById("fault");
    place.textContent = sentence;
    place.hidden = !sentence;
  };

  function parsed(name) {
    const text = field(name).value.trim();
    if (!text) return undefined;
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(`${form.querySelector(`label[for=${name}]`).textContent}: ${error.message}`);
    }
  }

  const dataUrl = (file) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(new Error("The image cannot be read."));
      reader.readAsDataURL(file);
    });

  const number = (name) => (field(name).value === "" ? undefined : Number(field(name).value));

  function chatBody(model, image, tools, schema) {
    const prompt = field("prompt").value;
    const content = image ? [{ type: "text", text: prompt }, { type: "image_url", image_url: { url: image } }] : prompt;
    const system = field("system").value.trim();
    return {
      model,
      messages: [...(system ? [{ role: "system", content: system }] : []), { role: "user", content }],
      max_tokens: number("tokens"),
      temperature: number("temperature"),
      tools,
      response_format: schema && { type: "json_schema", json_schema: { name: "answer", schema, strict: true } },
      stream: true,
      stream_options: { include_usage: true },
    };
  }

  const flatTool = (tool) => (tool.function ? { type: "function", ...tool.function } : tool);

  function responsesBody(model, image, tools, schema) {
    const prompt = field("prompt").value;
    const parts = [{ type: "input_text", text: prompt }, { type: "input_image", image_url: image }];
    return {
      model,
      instructions: field("system").value.trim() || undefined,
      input: image ? [{ role: "user", content: parts }] : prompt,
      max_output_tokens: number("tokens"),
      temperature: number("temperature"),
      tools: tools && tools.map(flatTool),
      text: schema && { format: { type: "json_schema", name: "answer", schema, strict: true } },
      stream: true,
    };
  }

  async function bodyFor(model) {
    const file = field("image").files[0];
    const image = file && (await dataUrl(file));
    const tools = parsed("tools");
    if (tools !== undefined && !Array.isArray(tools)) throw new Error("Tools: expected a JSON array.");
    const make = field("api").value === "chat" ? chatBody : responsesBody;
    return make(model, image, tools, parsed("schema"));
  }

  // What an event adds to the text, by API.
  const TEXT = {
    chat: (event) =>
      (event.choices || [])
        .map(({ delta }) => (delta ? (delta.content || "") + (delta.tool_calls || []).map(toolText).join("") : ""))
        .join(""),
    responses: (event) => {
      if (event.type === "response.output_text.delta" || event.type === "response.function_call_arguments.delta") return event.delta;
      const starts = event.type === "response.output_item.added" && event.item.type === "function_call";
      return starts ? `\n${event.item.name} ` : "";
    },
  };
  const toolText = (call) => (call.function.name ? `\n${call.function.name} ` : "") + (call.function.arguments || "");
  const usageOf = (event) => event.usage || (event.response && event.response.usage);
  const errorOf = (event) => event.error || (event.response && event.response.error) || (event.type === "error" && event);

  // Yields the data of each server-sent event, parsed; what is split between two reads is put together.
  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) yield line.slice(5).trim();
      }
    }
  }

  class Side {
    constructor(name) {
      this.place = document.getElementById("answer-" + name);
      this.text = this.place.querySelector("[data-text]");
      this.raw = this.place.querySelector("[data-events]");
    }

    fact(name, value) {
      this.place.querySelector(`[data-fact=${name}]`).textContent = value;
    }

    clear(model) {
      this.place.hidden = false;
      this.place.querySelector("h2").textContent = model;
      this.text.textContent = this.raw.textContent = "";
      for (const name of ["first", "rate", "tokens", "cost"]) this.fact(name, "–");
      this.fact("state", "sent");
    }

    async ask(model, abort) {
      this.clear(model);
      const api = field("api").value;
      const order = { api, key: field("key").value, body: await bodyFor(model) };
      const began = performance.now();
      const response = await fetch(form.dataset.run, {
        method: "POST",
        headers: { "content-type": "application/json", "x-csrf-token": form.dataset.token },
        body: JSON.stringify(order),
        signal: abort.signal,
      });
      if (!response.ok || !(response.headers.get("content-type") || "").startsWith("text/event-stream")) {
        this.fact("state", `refused: ${response.status}`);
        this.refuse(await response.text());
        return;
      }
      await this.read(response, api, began);
    }

    // Shows why nothing came: an error's own words, and all of it below.
    refuse(text) {
      this.raw.textContent = text;
      try {
        this.text.textContent = JSON.parse(text).error.message;
      } catch {
        this.text.textContent = text;
      }
    }

    async read(response, api, began) {
      let first = 0;
      let count = 0;
      let failed = false;
      for await (const data of events(response)) {
        if (++count <= MOST_EVENTS) this.raw.append(data + "\n");
        if (data === "[DONE]") continue;
        const event = JSON.parse(data);
        const piece = TEXT[api](event);
        if (piece && !first) {
          first = performance.now();
          this.fact("first", `${Math.round(first - began)} ms`);
          this.fact("state", "answering");
        }
        if (piece) this.text.append(piece);
        const usage = usageOf(event);
        if (usage) this.count(usage, first);
        const error = errorOf(event);
        if (error) {
          failed = true;
          this.text.append(`\n${error.message || JSON.stringify(error)}`);
        }
      }
      if (count > MOST_EVENTS) this.raw.append(`… and ${count - MOST_EVENTS} more`);
      this.fact("state", failed ? "failed" : "complete");
    }

    count(usage, first) {
      const out = usage.completion_tokens ?? usage.output_tokens;
      const seconds = (performance.now() - first) / 1000;
      this.fact("tokens", `${usage.prompt_tokens ?? usage.input_tokens}, ${out}`);
      if (first && seconds > 0.001) this.fact("rate", (out / seconds).toFixed(1));
      if (typeof usage.cost === "number") this.fact("cost", "$" + usage.cost.toLocaleString("en", { maximumFractionDigits: 8 }));
    }
  }

  const sides = { left: new Side("left"), right: new Side("right") };
  let abort = null;

  async function send() {
    const models = { left: field("left").value.trim(), right: field("right").value.trim() };
    sides.right.place.hidden = !models.right;
    abort = new AbortController();
    document.getElementById("send").disabled = true;
    document.getElementById("stop").disabled = false;
    const asked = Object.entries(models).filter(([, model]) => model);
    await Promise.all(
      asked.map(([side, model]) =>
        sides[side].ask(model, abort).catch((error) => {
          sides[side].fact("state", error.name === "AbortError" ? "stopped" : "failed");
          if (error.name !== "AbortError") say(error.message);
        }),
      ),
    );
    document.getElementById("send").disabled = false;
    document.getElementById("stop").disabled = true;
  }

  // The request as a program, in the words of each language; the key is the reader's own.
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const PROGRAMS = {
    curl: (url, body) =>
      `curl -N ${url} -H "Authorization: Bearer $SLUICE_KEY" -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`,
    python: (url, body) =>
      `import json, os\n\nimport requests\n\nbody = json.loads(r'''${JSON.stringify(body, null, 2).replaceAll("'''", "\\u0027\\u0027\\u0027")}''')\n` +
      `headers = {"Authorization": f"Bearer {os.environ['SLUICE_KEY']}"}\n` +
      `with requests.post("${url}", json=body, headers=headers, stream=True) as answer:\n    for line in answer.iter_lines():\n        print(line.decode())\n`,
    js: (url, body) =>
      `const answer = await fetch("${url}", {\n  method: "POST",\n  headers: { "content-type": "application/json", authorization: "Bearer " + process.env.SLUICE_KEY },\n` +
      `  body: JSON.stringify(${JSON.stringify(body, null, 2)}),\n});\nfor await (const piece of answer.body.pipeThrough(new TextDecoderStream())) console.log(piece);\n`,
  };

  async function copy(language) {
    const path = field("api").value === "chat" ? "/v1/chat/completions" : "/v1/responses";
    const url = location.origin + form.dataset.root + path;
    const place = document.getElementById("program");
    place.textContent = PROGRAMS[language](url, await bodyFor(field("left").value.trim()));
    place.hidden = false;
    const copied = await navigator.clipboard?.writeText(place.textContent).then(() => true, () => false);
    document.getElementById("copied").textContent = copied ? "copied" : "shown below";
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    say("");
    send();
  });
  document.getElementById("stop").addEventListener("click", () => abort?.abort());
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button.dataset.copy).catch((error) => say(error.message)));
  }
})();
