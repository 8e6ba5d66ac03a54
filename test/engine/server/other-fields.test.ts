// Fields that OpenAI, llama-server, vLLM and Ollama know: none is dropped without a word.
import { describe, expect, test } from "vitest";
import { OTHER_FIELDS } from "../../../worker/engine/server/other-fields.ts";
import { READ_FIELDS } from "../../../worker/engine/server/requests.ts";
import { post, user } from "../running.ts";
import { recorder, start } from "./start.ts";

const words = (text: string) => text.trim().split(/\s+/);

/** As their sources list them: openai-node 7.55 and the protocol.py, server-schema.cpp, openai.go and types.go of 2026. */
const KNOWN = {
  OpenAI:
    words(`messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens
    max_tokens metadata modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier stop
    store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options
    prompt best_of echo suffix`),
  vLLM: words(`thinking_token_budget include_reasoning use_beam_search top_k min_p repetition_penalty watermarking
    length_penalty stop_token_ids include_stop_str_in_output ignore_eos min_tokens skip_special_tokens
    spaces_between_special_tokens truncate_prompt_tokens truncation_side prompt_logprobs logprob_token_ids
    allowed_token_ids bad_words echo add_generation_prompt continue_final_message add_special_tokens documents
    chat_template chat_template_kwargs media_io_kwargs mm_processor_kwargs structured_outputs priority request_id
    session_id return_tokens_as_token_ids return_token_ids routed_experts_prompt_start return_token_offsets
    return_prompt_text return_mm_kwargs cache_salt kv_transfer_params ec_transfer_params vllm_xargs
    repetition_detection stream_interval prompt_embeds guided_json guided_choice guided_regex guided_grammar
    guided_decoding_backend guided_whitespace_pattern`),
  "llama-server":
    words(`adaptive_decay adaptive_target add_generation_prompt backend_sampling cache_prompt chat_format
    chat_parser chat_template_kwargs continue_final_message dry_allowed_length dry_base dry_multiplier
    dry_penalty_last_n dry_sequence_breakers dynatemp_exponent dynatemp_range echo frequency_penalty generation_prompt
    grammar grammar_lazy grammar_triggers grammar_type id_slot ignore_eos input_extra json_schema logit_bias logprobs
    lora max_completion_tokens max_tokens min_keep min_p mirostat mirostat_eta mirostat_tau n n_cache_reuse n_cmpl
    n_discard n_indent n_keep n_predict n_probs parse_tool_calls post_sampling_probs presence_penalty preserved_tokens
    reasoning_budget_end_tag reasoning_budget_end_tags reasoning_budget_message reasoning_budget_start_tag
    reasoning_budget_tokens reasoning_control reasoning_effort reasoning_format repeat_last_n repeat_penalty
    response_fields return_progress return_tokens samplers sse_ping_interval stop t_max_predict_ms t_max_prompt_ms
    thinking_budget_tokens timings_per_token top_k top_n_sigma typical_p verbose xtc_probability xtc_threshold
    speculative.n_max speculative.n_min speculative.p_min speculative.type`),
  Ollama:
    words(`model prompt suffix system template context stream raw format keep_alive images options think truncate
    shift logprobs top_logprobs reasoning reasoning_effort _debug_render_only`),
};
const OPTIONS =
  words(`num_keep seed num_predict top_k top_p min_p tfs_z typical_p repeat_last_n temperature repeat_penalty
  presence_penalty frequency_penalty mirostat mirostat_tau mirostat_eta penalize_newline stop numa num_ctx num_batch
  num_gpu main_gpu low_vram f16_kv logits_all vocab_only use_mmap use_mlock num_thread`);

const others = new Set(
  OTHER_FIELDS.flatMap(({ fields }) => (Array.isArray(fields) ? fields : Object.keys(fields))),
);
const read = new Set([...READ_FIELDS.chat, ...READ_FIELDS.completions]);

test.each(Object.entries({ ...KNOWN, "Ollama's options": OPTIONS }))(
  "every field of %s is read, changes nothing, or is refused with a reason",
  (_, fields) => {
    expect(fields.filter((field) => !read.has(field) && !others.has(field))).toEqual([]);
  },
);

test("no field is in the table and read too", () => {
  expect(
    [...others].filter((field) => READ_FIELDS.chat.has(field) && READ_FIELDS.completions.has(field)),
  ).toEqual([]);
});

describe("a chat request", () => {
  const ask = async (fields: object) => {
    const { url, seen } = await recorder();
    const { status, body } = await post(url, JSON.stringify({ messages: user("x"), ...fields }));
    return { status, error: body.error, generation: seen[0] };
  };
  const KEYS = { type: "object", properties: { k: { enum: ["v"] } }, required: ["k"] };

  test.each([
    ["a schema inside json_object", { response_format: { type: "json_object", schema: KEYS } }],
    ["a schema beside json_schema", { response_format: { type: "json_schema", schema: KEYS } }],
    [
      "a schema beside a json_schema that is null",
      { response_format: { type: "json_schema", json_schema: null, schema: KEYS } },
    ],
    [
      "strict as a text",
      { response_format: { type: "json_schema", json_schema: { name: "x", strict: "true", schema: KEYS } } },
    ],
    [
      "strict and name as null",
      { response_format: { type: "json_schema", json_schema: { name: null, strict: null, schema: KEYS } } },
    ],
    ["json_schema at the top", { json_schema: KEYS }],
    ["OpenAI's wrapper at the top", { json_schema: { name: "x", strict: true, schema: KEYS } }],
    ["guided_json", { guided_json: KEYS }],
    ["guided_json as text", { guided_json: JSON.stringify(KEYS) }],
    ["structured_outputs", { structured_outputs: { json: KEYS } }],
    ["Ollama's format", { format: KEYS }],
    ["the same wish under two names", { format: KEYS, guided_json: KEYS }],
  ])("with %s gets an answer that fits the schema", async (_, fields) => {
    expect((await ask(fields)).generation!.schema).toEqual(KEYS);
  });

  test.each([
    ["json_object", { response_format: { type: "json_object" } }],
    ["Ollama's json", { format: "json" }],
    ["vLLM's json_object", { structured_outputs: { json_object: true } }],
  ])("with %s gets an object", async (_, fields) => {
    expect((await ask(fields)).generation!.schema).toEqual({ type: "object" });
  });

  test.each([
    ["max_tokens", { max_tokens: -1 }, undefined],
    ["n_predict", { n_predict: 7 }, 7],
    ["num_predict", { num_predict: 7 }, 7],
    ["Ollama's option", { options: { num_predict: 7 } }, 7],
    ["no limit", { n_predict: -1 }, undefined],
    ["OpenAI's newer name before the older one", { max_completion_tokens: 5, max_tokens: 9 }, 5],
  ])("takes the length of the answer from %s", async (_, fields, tokens) => {
    expect((await ask(fields)).generation!.maxTokens).toBe(tokens);
  });

  test("takes Ollama's options and llama-server's names for sampling", async () => {
    const options = { temperature: 0.2, top_k: -1, top_p: 0.9, seed: 5, num_ctx: 4_096, stop: ["."] };
    const { generation } = await ask({ options, repeat_penalty: 1.2 });
    expect(generation).toMatchObject({
      stop: ["."],
      sampling: { temperature: 0.2, topK: 0, topP: 0.9, seed: 5, repetitionPenalty: 1.2 },
    });
  });

  test("with the seed -1 gets a random one, and with another negative one its own", async () => {
    const seeds = await Promise.all([-1, -1, -2, -2].map((seed) => ask({ seed })));
    const [one, other, minus, again] = seeds.map(({ generation }) => generation!.sampling.seed);
    expect(one).not.toBe(other);
    expect([minus, again]).toEqual([2 ** 32 - 2, 2 ** 32 - 2]);
  });

  test.each([
    ["guided_choice", { guided_choice: ["a", "b"] }, "guided_choice"],
    ["guided_regex", { guided_regex: "a+" }, "guided_regex"],
    ["grammar", { grammar: 'root ::= "a"' }, "grammar"],
    ["structured_outputs.choice", { structured_outputs: { choice: ["a"] } }, "structured_outputs.choice"],
    ["extra_body", { extra_body: { guided_json: {} } }, "extra_body"],
    ["a schema in text", { response_format: { type: "text", schema: {} } }, "response_format"],
    [
      "a schema both inside and beside json_schema",
      { response_format: { type: "json_schema", schema: KEYS, json_schema: { schema: KEYS } } },
      "response_format.json_schema",
    ],
    ["no schema at all", { response_format: { type: "json_schema" } }, "response_format.json_schema"],
    [
      "strict as another text",
      { response_format: { type: "json_schema", json_schema: { strict: "yes", schema: KEYS } } },
      "response_format.json_schema.strict",
    ],
    ["another type", { response_format: { type: "regex", pattern: "a" } }, "response_format.type"],
    ["two schemas", { guided_json: KEYS, format: { type: "array" } }, "format"],
    ["two lengths", { max_tokens: 5, n_predict: 6 }, "n_predict"],
    ["two temperatures", { temperature: 0, options: { temperature: 1 } }, "options.temperature"],
    ["an option that nobody knows", { options: { num_predictions: 5 } }, "options.num_predictions"],
    ["an option that is not supported", { options: { mirostat: 2 } }, "options.mirostat"],
    ["min_tokens", { min_tokens: 5 }, "min_tokens"],
    ["logprobs in llama-server's way", { n_probs: 5 }, "n_probs"],
    ["best_of", { best_of: 2 }, "best_of"],
    ["a switch of a template", { chat_template_kwargs: { documents: true } }, "chat_template_kwargs"],
    ["max_tokens 0", { max_tokens: 0 }, "max_tokens"],
    ["the other endpoint's prompt", { prompt: "x" }, "prompt"],
  ])("%s is refused with its name", async (_, fields, param) => {
    const { status, error } = await ask(fields);
    expect([status, error.code, error.param]).toEqual([400, "invalid_value", param]);
    expect(error.message).toContain(param);
  });

  test("takes what asks for nothing, as clients that write all their fields send it", async () => {
    const fields = {
      min_tokens: 0,
      ignore_eos: false,
      mirostat: 0,
      grammar: "",
      keep_alive: "5m",
      stop: null,
    };
    const more = {
      cache_prompt: true,
      documents: null,
      typical_p: 1,
      reasoning_format: "auto",
      extra_body: {},
    };
    expect((await ask({ ...fields, ...more })).status).toBe(200);
  });
});

test("a plain completion is constrained to a schema too, and says where thinking belongs", async () => {
  const { url } = await start();
  const complete = async (fields: object) => {
    const answer = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "x", ...fields }),
    });
    return (await answer.json()) as { choices: { text: string }[]; error: { message: string } };
  };
  expect(JSON.parse((await complete({ json_schema: { const: { a: 1 } } })).choices[0]!.text)).toEqual({
    a: 1,
  });
  expect((await complete({ think: true })).error.message).toBe("think: belongs to /v1/chat/completions.");
});
