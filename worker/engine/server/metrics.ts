// What is measured of the engine and what it is called. The names follow OpenTelemetry's conventions for generative AI, which
// still move: all of them stand in this file. Never any text of a prompt or an answer.
import type { BackendState } from "../generation/backend.ts";
import { type Health, STATES } from "../protocol.ts";
import type { Answered } from "../scheduler/generate.ts";
import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { Seat } from "../scheduler/slot-stats.ts";
import { Counter, type Family, Histogram, type Labels, type Sample, writeFamilies } from "./prometheus.ts";

// The bounds are those that the conventions advise.
const FIRST_TOKEN = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60,
];
const PER_TOKEN = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];
const DURATION = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
];
const TOKENS = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];

export type Operation = "chat" | "text_completion";

/** One answer's times, in milliseconds of one clock. */
export type Times = {
  arrivedAt: number;
  turnAt: number;
  firstTokenAt: number | undefined;
  lastTokenAt: number | undefined;
};
/** What is read at the moment of asking. */
export type Reading = {
  health: Health;
  seats: readonly Readonly<Seat>[];
  inside: BackendState | undefined;
  model: string | undefined;
};

export class Metrics {
  readonly #firstToken = new Histogram(FIRST_TOKEN);
  readonly #perToken = new Histogram(PER_TOKEN);
  readonly #duration = new Histogram(DURATION);
  readonly #usage = new Histogram(TOKENS);
  readonly #wait = new Histogram(FIRST_TOKEN);
  readonly #requests = new Counter();
  readonly #promptTokens = new Counter();
  readonly #spoken = new Counter();

  /** One answer came to its end; a request for several has several. */
  answered(
    operation: Operation,
    rank: number,
    { arrivedAt, turnAt, firstTokenAt, lastTokenAt }: Times,
    { promptTokens, cachedTokens, completionTokens, reasoningTokens }: Answered,
  ): void {
    const labels = labelsOf(operation);
    this.#wait.observe(seconds(arrivedAt, turnAt), { class: rank === INTERACTIVE ? "interactive" : "job" });
    if (firstTokenAt !== undefined) this.#firstToken.observe(seconds(arrivedAt, firstTokenAt), labels);
    if (completionTokens > 1 && firstTokenAt !== undefined && lastTokenAt !== undefined)
      this.#perToken.observe(seconds(firstTokenAt, lastTokenAt) / (completionTokens - 1), labels);
    this.#usage.observe(promptTokens, { ...labels, gen_ai_token_type: "input" });
    this.#usage.observe(completionTokens, { ...labels, gen_ai_token_type: "output" });
    this.#usage.observe(cachedTokens, { ...labels, gen_ai_token_type: "cached" });
    this.#promptTokens.add({ source: "evaluated" }, promptTokens - cachedTokens);
    this.#promptTokens.add({ source: "cached" }, cachedTokens);
    this.#spoken.add({ phase: "thinking" }, reasoningTokens);
    this.#spoken.add({ phase: "answer" }, completionTokens - reasoningTokens);
  }

  /** `outcome` is ok, client_gone or an error's code. */
  requestEnded(outcome: string): void {
    this.#requests.add({ outcome });
  }

  requestAnswered(operation: Operation, ms: number): void {
    this.requestEnded("ok");
    this.#duration.observe(ms / 1_000, labelsOf(operation));
  }

  write(reading: Reading): string {
    return writeFamilies([...this.#measured(), ...stateFamilies(reading), ...processFamilies()]);
  }

  #measured(): Family[] {
    return [
      histogram(
        "gen_ai_server_time_to_first_token_seconds",
        "From a request's arrival to the first token of an answer, the wait in the line included.",
        this.#firstToken,
      ),
      histogram(
        "gen_ai_server_time_per_output_token_seconds",
        "Between two tokens of an answer, after the first; the mean of each answer.",
        this.#perToken,
      ),
      histogram(
        "gen_ai_server_request_duration_seconds",
        "From a request's arrival to its end, of those that were answered.",
        this.#duration,
      ),
      histogram(
        "gen_ai_client_token_usage",
        "Tokens of one answer: its prompt (input), what was said and thought (output), and how many of the prompt's were not evaluated again (cached).",
        this.#usage,
      ),
      histogram("kamado_engine_wait_seconds", "How long an answer waited for its slot.", this.#wait),
      counter("kamado_engine_requests_total", "Requests by how they ended.", this.#requests.samples()),
      counter(
        "kamado_engine_prompt_tokens_total",
        "Prompt tokens that were evaluated, and that were there already.",
        this.#promptTokens.samples(),
      ),
      counter(
        "kamado_engine_generated_tokens_total",
        "Tokens that were thought and said.",
        this.#spoken.samples(),
      ),
    ];
  }
}

function stateFamilies({ health, seats, inside, model }: Reading): Family[] {
  const inState = (state: Seat["state"]) => seats.filter((seat) => seat.state === state).length;
  const held = seats.reduce((sum, { tokens }) => sum + tokens, 0);
  const one = (value: number | undefined): Sample[] => (value === undefined ? [] : [{ value }]);
  return [
    gauge("kamado_engine_info", "The model that is served and what runs it.", [
      { labels: { model: model ?? "", backend: health.backend ?? "" }, value: 1 },
    ]),
    gauge(
      "kamado_engine_state",
      "1 for the state the engine is in.",
      STATES.map((state) => ({ labels: { state }, value: Number(health.state === state) })),
    ),
    gauge(
      "kamado_engine_slots",
      "Slots by what they do.",
      (["idle", "prefill", "decode"] as const).map((state) => ({ labels: { state }, value: inState(state) })),
    ),
    gauge("kamado_engine_slot_tokens", "Tokens of prompts and answers in the slots.", one(held)),
    gauge(
      "kamado_engine_estimated_bytes",
      "What the model and its slots were found to need.",
      one(health.memory.estimatedBytes ?? undefined),
    ),
    gauge("kamado_engine_waiting", "Answers that wait for a slot.", one(health.waiting)),
    counter(
      "kamado_engine_decode_steps_total",
      "Steps of the model, each for all slots.",
      one(inside?.steps),
    ),
    gauge("kamado_engine_prefixes", "Prompt prefixes kept besides the slots.", one(inside?.prefixes.count)),
    gauge("kamado_engine_prefix_bytes", "What they take.", one(inside?.prefixes.bytes)),
    counter(
      "kamado_engine_pictures_total",
      "Pictures that were encoded, and whose encoding was there already.",
      Object.entries(inside?.pictures ?? {}).map(([how, value]) => ({ labels: { how }, value })),
    ),
  ];
}

function processFamilies(): Family[] {
  const { user, system } = process.cpuUsage();
  return [
    gauge("process_resident_memory_bytes", "Resident memory.", [{ value: process.memoryUsage.rss() }]),
    counter("process_cpu_seconds_total", "User and system CPU time.", [{ value: (user + system) / 1e6 }]),
    gauge("kamado_engine_uptime_seconds", "Since the process began.", [{ value: process.uptime() }]),
  ];
}

const labelsOf = (operation: Operation): Labels => {
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
