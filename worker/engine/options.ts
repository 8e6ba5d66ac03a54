// Everything that can be set for the engine process: one schema with the types, ranges, defaults and error texts of its options.
// The supervisor sends them as one message over the IPC channel; the engine process checks them here before it starts.
import { existsSync } from "node:fs";
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import { isLoopback } from "../http/loopback.ts";
import { BACKENDS, type BackendName } from "./generation/backend.ts";
import { namedTemplate } from "./generation/chat-template.ts";

const must = (be: string) => ({
  error: ({ input }: { input?: unknown }) => `must be ${be}, not ${String(input)}`,
});
const whole = (min: number, max: number) => {
  const error = must(`a whole number from ${min} to ${max}`);
  return z.int(error).min(min, error).max(max, error);
};
const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, must(`one of ${values.join(", ")}`));
const file = z.string().refine(existsSync, { error: ({ input }) => `there is no file ${input}` });

const EngineOptions = z
  .strictObject({
    // Whether they are files that can work is model-check.ts's business.
    model: z.string().optional(),
    /** Other names by which requests may ask for the model, beside its file's: as the owner calls it. */
    names: z.array(z.string()).readonly().default([]),
    /** The model's projector, for pictures. */
    mmproj: z.string().optional(),
    /** The name of a built-in chat template or the path of one, in place of the one in the model's file. */
    chatTemplate: z.string().optional(),
    /** "auto" chooses by what the model needs and what is installed. */
    backend: oneOf(["auto", ...BACKENDS]).default("auto"),
    /** For the scripted backend: a file, or the JSON itself. */
    script: z.string().optional(),
    /** The llama-server program, for the backend of that name. */
    llamaServer: file.optional(),
    host: z.string().default("127.0.0.1"),
    /** 0 takes a free port. */
    port: whole(0, 65_535).default(4_781),
    /** "auto": the number that this machine was measured to run best. It is kept in `dataDir`; without one the default holds. */
    slots: z
      .union([z.literal("auto"), whole(1, 256)], must('"auto" or a whole number from 1 to 256'))
      .default("auto"),
    /** "always" measures again, whatever was kept. */
    calibrate: oneOf(["auto", "always"]).default("auto"),
    dataDir: z.string().optional(),
    /** How many bytes the model may take, instead of what the system says is available. */
    memoryLimit: z.number(must("a number of bytes")).min(0).optional(),
    /** Of one slot, in tokens. */
    contextSize: whole(16, 10_000_000).optional(),
    /** CPU threads; without it the backend chooses. */
    threads: whole(1, 1_024).optional(),
    /** How many answers may wait for a slot. */
    maxQueue: whole(0, 100_000).default(64),
    /** An engine whose slots are busy and that makes no token for so long is unhealthy. */
    stallSeconds: whole(1, 86_400).default(300),
    /** Whether an answer that only repeats itself is ended. */
    repetitionStop: z.boolean(must("true or false")).default(true),
    /** Every request must bring it. */
    token: z.string().min(16, "must have at least 16 characters").optional(),
    /** For measuring: with false the llama-server backend saves no prefixes and leaves the choice of the slot to llama-server. */
    prefixFiles: z.boolean(must("true or false")).default(true),
    logLevel: oneOf(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
  })
  .superRefine((options, context) => {
    for (const [name, message] of conflictsIn(options))
      context.addIssue({ code: "custom", path: [name], message });
  })
  .transform((options) => ({
    ...options,
    backend: chooseBackend(options.backend, options),
    chatTemplate: options.chatTemplate === undefined ? undefined : namedTemplate(options.chatTemplate),
  }));

/** The options as whoever starts an engine gives them. */
export type GivenOptions = z.input<typeof EngineOptions>;
/** The options as the engine process uses them: checked, with their defaults. */
export type EngineOptions = z.output<typeof EngineOptions>;

/** Throws `config_invalid`, which names the option that is wrong, or of a chat template the variable. */
export function parseOptions(given: unknown): EngineOptions {
  const parsed = EngineOptions.safeParse(given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const name = issue.code === "unrecognized_keys" ? issue.keys.join(", ") : issue.path.join(".");
  const message = issue.code === "unrecognized_keys" ? "there is no such option" : issue.message;
  throw new KamadoError("config_invalid", `${name || "the options"}: ${message}.`);
}

type Files = { mmproj?: string | undefined; llamaServer?: string | undefined };

/** A model with a projector needs a backend that reads pictures: llama-server where it is installed. */
export function chooseBackend(wanted: "auto" | BackendName, { mmproj, llamaServer }: Files): BackendName {
  if (wanted !== "auto") return wanted;
  if (mmproj === undefined) return "node-llama-cpp";
  return llamaServer === undefined ? "llama-node" : "llama-server";
}

type Combination = Files & {
  backend: "auto" | BackendName;
  model?: string | undefined;
  host: string;
  token?: string | undefined;
};

/** The options that are wrong only together with others, with the reason. */
function* conflictsIn(options: Combination): Generator<[string, string]> {
  const { backend, model, mmproj, llamaServer, host, token } = options;
  if (backend === "node-llama-cpp" && mmproj !== undefined)
    yield ["backend", "node-llama-cpp reads no pictures: leave mmproj out, or use llama-node"];
  if (backend === "llama-server" && llamaServer === undefined)
    yield ["llamaServer", "the program is needed; `kamado engine install-llama-server` builds it"];
  if (backend !== "scripted" && model === undefined) yield ["model", "is needed"];
  if (!isLoopback(host) && token === undefined)
    yield ["host", `${host} can be reached from outside this machine: give a token too`];
}
