// The fields that OpenAI, llama-server, vLLM or Ollama know and that requests.ts does not read: what each would mean here. None is
// dropped without a word: it changes nothing in an answer of this engine, or it is refused by name. So is a field that nobody knows,
// because it is most likely a known one with a typing error. docs/engine.md has this table; a test compares them.
import { isDeepStrictEqual } from "node:util";
import { invalid } from "../generation/backend.ts";

/** `neutral`: values that ask for nothing. Null always does. */
type Refused = { fate: "refused"; why: string; fields: Record<string, readonly unknown[]> };
type Ignored = { fate: "ignored"; why: string; fields: readonly string[] };

export const OTHER_FIELDS: readonly (Ignored | Refused)[] = [
  {
    fate: "ignored",
    why: "says how fast an answer comes or where it is computed, never what it says",
    fields: [
      "cache_prompt",
      "n_cache_reuse",
      "id_slot",
      "backend_sampling",
      "prediction",
      "prompt_cache_key",
      "prompt_cache_options",
      "prompt_cache_retention",
      "service_tier",
      "session_id",
      "stream_interval",
      "sse_ping_interval",
      "speculative.n_max",
      "speculative.n_min",
      "speculative.p_min",
      "speculative.type",
      "speculative.ngram_size_n",
      "speculative.ngram_size_m",
      "speculative.ngram_min_hits",
    ],
  },
  {
    fate: "ignored",
    why: "is a note of the sender about its request",
    fields: ["metadata", "user", "safety_identifier", "request_id"],
  },
  {
    fate: "ignored",
    why: "says how a model is loaded, which is the owner's choice; the model stays loaded, and a prompt that does not fit into its context is refused, never cut",
    fields: [
      "keep_alive",
      "num_ctx",
      "num_batch",
      "num_gpu",
      "main_gpu",
      "num_thread",
      "num_keep",
      "n_keep",
      "n_discard",
      "numa",
      "low_vram",
      "f16_kv",
      "vocab_only",
      "use_mmap",
      "use_mlock",
      "ttl",
      "draft_model",
    ],
  },
  {
    fate: "ignored",
    why: "only shapes something that is refused when it is switched on",
    fields: [
      "xtc_threshold",
      "dynatemp_exponent",
      "dry_base",
      "dry_allowed_length",
      "dry_penalty_last_n",
      "dry_sequence_breakers",
      "mirostat_tau",
      "mirostat_eta",
      "adaptive_decay",
      "length_penalty",
      "truncation_side",
      "spaces_between_special_tokens",
      "return_mm_kwargs",
    ],
  },
  {
    fate: "refused",
    why: "the sampler does not have it; leave it out",
    fields: {
      typical_p: [1],
      typ_p: [1],
      top_n_sigma: [-1],
      xtc_probability: [0],
      dynatemp_range: [0],
      dry_multiplier: [0],
      mirostat: [0],
      adaptive_target: [-1],
      tfs_z: [1],
      min_keep: [0],
      repeat_last_n: [64],
      penalize_newline: [true],
      penalize_nl: [true],
      samplers: [],
      use_beam_search: [false],
      watermarking: [false],
      allowed_token_ids: [],
      bad_words: [[]],
    },
  },
  {
    fate: "refused",
    why: "only a JSON schema constrains an answer here; send it as response_format.json_schema, with an enum for a choice",
    fields: {
      grammar: [""],
      grammar_lazy: [false],
      grammar_triggers: [[]],
      grammar_type: [],
      guided_choice: [],
      guided_regex: [],
      guided_grammar: [],
      guided_whitespace_pattern: [],
      guided_decoding_backend: [],
      structural_tag: [],
      preserved_tokens: [[]],
    },
  },
  {
    fate: "refused",
    why: "the answer ends where the model, max_tokens or a stop string ends it; use stop",
    fields: {
      ignore_eos: [false],
      min_tokens: [0],
      stop_token_ids: [[]],
      include_stop_str_in_output: [false],
      skip_special_tokens: [true],
      t_max_predict_ms: [0, -1],
      t_max_prompt_ms: [0, -1],
      n_indent: [0],
    },
  },
  {
    fate: "refused",
    why: "an answer does not contain it",
    fields: {
      echo: [false],
      prompt_logprobs: [],
      logprob_token_ids: [],
      n_probs: [0],
      post_sampling_probs: [false],
      return_token_ids: [false],
      return_tokens: [false],
      return_tokens_as_token_ids: [false],
      return_token_offsets: [false],
      return_prompt_text: [false],
      return_progress: [false],
      routed_experts_prompt_start: [0],
      timings_per_token: [false],
      response_fields: [[]],
      verbose: [false],
      _debug_render_only: [false],
      logits_all: [false],
      include_reasoning: [true],
      reasoning_format: ["auto", "deepseek"],
      moderation: [],
    },
  },
  {
    fate: "refused",
    why: "the prompt is made of messages by the model's own template; put the text into messages",
    fields: {
      chat_template: [],
      template: [],
      raw: [false],
      system: [""],
      context: [[]],
      images: [[]],
      documents: [[]],
      input_prefix: [],
      input_suffix: [],
      input_extra: [[]],
      prompt_embeds: [],
      add_generation_prompt: [true],
      generation_prompt: [],
      continue_final_message: [false],
      add_special_tokens: [],
      chat_format: [],
      chat_parser: [],
      parse_tool_calls: [],
      media_io_kwargs: [{}],
      mm_processor_kwargs: [{}],
    },
  },
  {
    fate: "refused",
    why: "a prompt is answered whole or refused, never cut",
    fields: { truncate_prompt_tokens: [], truncate: [false], shift: [false] },
  },
  {
    fate: "refused",
    why: "the model's thinking is set by think, reasoning_effort or thinking_budget",
    fields: {
      reasoning_control: [false],
      reasoning_budget_message: [""],
      reasoning_budget_start_tag: [],
      reasoning_budget_end_tag: [],
      reasoning_budget_end_tags: [],
      thinking_forced_open: [false],
    },
  },
  {
    fate: "refused",
    why: "the engine has no such adapters or extensions",
    fields: { lora: [[]], vllm_xargs: [{}] },
  },
  {
    fate: "refused",
    why: "the prefix cache belongs to one process and is shared by its clients",
    fields: { cache_salt: [], kv_transfer_params: [], ec_transfer_params: [] },
  },
  { fate: "refused", why: "answers are not stored", fields: { store: [false] } },
  {
    fate: "refused",
    why: "say in a message how long the answer is to be",
    fields: { verbosity: ["medium"] },
  },
  { fate: "refused", why: "one answer is generated for each of n", fields: { best_of: [1] } },
  { fate: "refused", why: "text is only continued at its end", fields: { suffix: [""] } },
  {
    fate: "refused",
    why: "is for OpenAI's Python client, which puts the fields in it into the body; send these fields themselves",
    fields: { extra_body: [{}], extra_headers: [{}], extra_query: [{}] },
  },
];

type Fate = { ignored: true } | { why: string; neutral: readonly unknown[] };

const FATES = new Map<string, Fate>(
  OTHER_FIELDS.flatMap((group) =>
    group.fate === "ignored"
      ? group.fields.map((name): [string, Fate] => [name, { ignored: true }])
      : Object.entries(group.fields).map(([name, neutral]): [string, Fate] => [
          name,
          { why: group.why, neutral },
        ]),
  ),
);

/**
 * Throws `invalid_input`, which names the first field that asks for what nothing here does. `read`: the fields that somebody reads.
 * `elsewhere`: those of the other endpoint.
 */
export function checkOtherFields(
  body: object,
  read: ReadonlySet<string>,
  elsewhere?: { fields: ReadonlySet<string>; at: string },
  within = "",
): void {
  for (const [name, value] of Object.entries(body)) {
    if (read.has(name) || value === null) continue;
    const param = `${within}${name}`;
    const fate = FATES.get(name);
    if (fate === undefined) throw invalid(param, `${param}: ${unknown(name, elsewhere)}.`);
    if ("ignored" in fate || fate.neutral.some((one) => isDeepStrictEqual(one, value))) continue;
    throw invalid(param, `${param}: is not supported: ${fate.why}.`);
  }
}

const unknown = (name: string, elsewhere?: { fields: ReadonlySet<string>; at: string }) =>
  elsewhere?.fields.has(name)
    ? `belongs to ${elsewhere.at}`
    : "there is no such field; correct its name or leave it out (docs/engine.md lists all fields)";
