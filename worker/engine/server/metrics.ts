// Every metric of the engine: its name, its labels and when it is counted. The names follow OpenTelemetry's conventions for
// generative AI, which still change. No text of a prompt or an answer is in them.

import {
  Counter,
  type Family,
  Histogram,
  type Labels,
  type Sample,
  writeFamilies,
} from "../../metrics/prometheus.ts";
import type { Generation } from "../generation/backend.ts";
import { STATES } from "../protocol.ts";
import type { Answered } from "../scheduler/generate.ts";
import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { Scheduler, Times } from "../scheduler/scheduler.ts";
import type { SlotStat } from "../scheduler/slot-stats.ts";

// The bounds that the conventions recommend.
const FIRST_TOKEN = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60,
];
const PER_TOKEN = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const DURATION = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
];
const TOKENS = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];

export class Metrics {
  readonly #firstToken = new Histogram(FIRST_TOKEN);
  readonly #perToken = new Histogram(PER_TOKEN);
  readonly #duration = new Histogram(DURATION);
  readonly #usage = new Histogram(TOKENS);
  readonly #wait = new Histogram(FIRST_TOKEN);
  readonly #requests = new Counter();
  readonly #promptTokens = new Counter();
  readonly #generatedTokens = new Counter();

  /** One answer came to its end. A request for several answers calls it for each. */
  answered(
    generation: Generation,
    rank: number,
    { arrivedAt, startedAt, firstTokenAt, lastTokenAt }: Times,
    { promptTokens, cachedTokens, completionTokens, reasoningTokens }: Answered,
  ): void {
    const labels = labelsOf(generation);
    this.#wait.observe(seconds(arrivedAt, startedAt), {
      class: rank === INTERACTIVE ? "interactive" : "job",
    });
    if (firstTokenAt !== undefined) this.#firstToken.observe(seconds(arrivedAt, firstTokenAt), labels);
    if (completionTokens > 1 && firstTokenAt !== undefined && lastTokenAt !== undefined)
      this.#perToken.observe(seconds(firstTokenAt, lastTokenAt) / (completionTokens - 1), labels);
    this.#usage.observe(promptTokens, { ...labels, gen_ai_token_type: "input" });
    this.#usage.observe(completionTokens, { ...labels, gen_ai_token_type: "output" });
    this.#usage.observe(cachedTokens, { ...labels, gen_ai_token_type: "cached" });
    this.#promptTokens.add({ source: "evaluated" }, promptTokens - cachedTokens);
    this.#promptTokens.add({ source: "cached" }, cachedTokens);
    this.#generatedTokens.add({ phase: "thinking" }, reasoningTokens);
    this.#generatedTokens.add({ phase: "answer" }, completionTokens - reasoningTokens);
  }

  /** `outcome` is ok, client_gone or an error's code. */
  requestEnded(outcome: string): void {
    this.#requests.add({ outcome });
  }

  requestAnswered(generation: Generation, ms: number): void {
    this.requestEnded("ok");
    this.#duration.observe(ms / 1_000, labelsOf(generation));
  }

  /** All metrics in Prometheus's text format, with the scheduler's state as it is now. */
  write(scheduler: Scheduler): string {
    return writeFamilies([...this.#measured(), ...stateFamilies(scheduler), ...processFamilies()]);
  }

  #measured(): Family[] {
    return [
      histogram(
        "gen_ai_server_time_to_first_token_seconds",
        "From a request's arrival to the first token of an answer, the wait for a slot included.",
        this.#firstToken,
      ),
      histogram(
        "gen_ai_server_time_per_output_token_seconds",
        "Time between two tokens of an answer after the first, as the mean of each answer.",
        this.#perToken,
      ),
      histogram(
        "gen_ai_server_request_duration_seconds",
        "From a request's arrival to its end. Only requests that were answered.",
        this.#duration,
      ),
      histogram(
        "gen_ai_client_token_usage",
        "Tokens of one answer: its prompt (input), the answer and its thought (output), and the part of the prompt that was not evaluated again (cached).",
        this.#usage,
      ),
      histogram("kamado_engine_wait_seconds", "How long an answer waited for its slot.", this.#wait),
      counter("kamado_engine_requests_total", "Requests by how they ended.", this.#requests.samples()),
      counter(
        "kamado_engine_prompt_tokens_total",
        "Prompt tokens that were evaluated, and that were in the cache already.",
        this.#promptTokens.samples(),
      ),
      counter(
        "kamado_engine_generated_tokens_total",
        "Generated tokens of thoughts and of answers.",
        this.#generatedTokens.samples(),
      ),
    ];
  }
}

function stateFamilies(scheduler: Scheduler): Family[] {
  const { info, backendState } = scheduler;
  const health = scheduler.health();
  const slots = scheduler.slotStats.list();
  const inState = (state: SlotStat["state"]) => slots.filter((slot) => slot.state === state).length;
  const heldTokens = slots.reduce((sum, { tokens }) => sum + tokens, 0);
  const one = (value: number | undefined): Sample[] => (value === undefined ? [] : [{ value }]);
  return [
    gauge("kamado_engine_info", "The model that is served and its backend.", [
      { labels: { model: info?.model ?? "", backend: health.backend ?? "" }, value: 1 },
    ]),
    gauge(
      "kamado_engine_state",
      "1 for the state the engine is in.",
      STATES.map((state) => ({ labels: { state }, value: Number(health.state === state) })),
    ),
    gauge(
      "kamado_engine_slots",
      "Slots by state.",
      (["idle", "prefill", "decode"] as const).map((state) => ({ labels: { state }, value: inState(state) })),
    ),
    gauge("kamado_engine_slot_tokens", "Tokens of prompts and answers in the slots.", one(heldTokens)),
    gauge(
      "kamado_engine_estimated_bytes",
      "What the model and its slots are estimated to need.",
      one(health.memory.estimatedBytes ?? undefined),
    ),
    gauge("kamado_engine_waiting", "Answers that wait for a slot.", one(health.waiting)),
    counter(
      "kamado_engine_decode_steps_total",
      "Decode steps of the model, each for all slots.",
      one(backendState?.steps),
    ),
    gauge(
      "kamado_engine_prefixes",
      "Prompt prefixes kept besides the slots.",
      one(backendState?.prefixes.count),
    ),
    gauge("kamado_engine_prefix_bytes", "Size of these prefixes.", one(backendState?.prefixes.bytes)),
    counter(
      "kamado_engine_pictures_total",
      "Pictures that were encoded, and whose encoding was in the cache already.",
      Object.entries(backendState?.pictures ?? {}).map(([how, value]) => ({ labels: { how }, value })),
    ),
  ];
}

function processFamilies(): Family[] {
  const { user, system } = process.cpuUsage();
  return [
    gauge("process_resident_memory_bytes", "Resident memory.", [{ value: process.memoryUsage.rss() }]),
    counter("process_cpu_seconds_total", "User and system CPU time.", [{ value: (user + system) / 1e6 }]),
    gauge("kamado_engine_uptime_seconds", "Since the process started.", [{ value: process.uptime() }]),
  ];
}

const labelsOf = ({ prompt }: Generation): Labels => {
  const operation = "text" in prompt ? "text_completion" : "chat";
  return { gen_ai_operation_name: operation, gen_ai_provider_name: "kamado" };
};
const seconds = (from: number, to: number) => (to - from) / 1_000;
const gauge = (name: string, help: string, samples: readonly Sample[]): Family => {
  return { name, type: "gauge", help, samples };
};
const counter = (name: string, help: string, samples: readonly Sample[]): Family => {
  return { name, type: "counter", help, samples };
};
const histogram = (name: string, help: string, measured: Histogram): Family => {
  return { name, type: "histogram", help, samples: measured.samples() };
};
