// The types of a job and its result as a sender sees them, by kind. kinds.ts has the kinds. What is checked when a job is sent is in
// worker/job/envelope.ts; a test holds both together.
import type { Kinds, Receipt } from "./kinds.ts";

/** Kinds by name. For kinds of your own: `createClient<Kinds & { "mood.read": { input: …; output: … } }>(…)`. */
export type AnyKinds = Record<string, { input: unknown; output: unknown }>;
export type KindName<K extends AnyKinds> = keyof K & string;

/** Of a handler that is declared with `defineHandler`: `Kinds & { "mood.read": KindOf<typeof moodRead> }`. */
export type KindOf<H extends { input: AnySchema; output: AnySchema }> = {
  input: TypesOf<H["input"]>["input"];
  output: TypesOf<H["output"]>["output"];
};
/** What every schema library says of its types: https://standardschema.dev */
type AnySchema = { "~standard": { types?: { input: unknown; output: unknown } | undefined } };
type TypesOf<S extends AnySchema> = NonNullable<S["~standard"]["types"]>;

/** Where a result goes, besides results/<id>.json in the bucket. */
export type Destination =
  /** A topic's ARN. */
  | { sns: string }
  /** Where the signed result is POSTed. */
  | { callback: string }
  /** A REST collection to which the result is applied. */
  | { rest: string }
  /** A queue's URL. */
  | { sqs: string };

export type Policy = {
  /** After this time the job is not started any more. */
  expiresAt?: Date | string | undefined;
  /** How long the job may run; 600 by default. */
  timeoutSeconds?: number | undefined;
  /** 0 to 9, higher first; 5 by default. */
  priority?: number | undefined;
  /** The model to use; by default the engine's first. */
  model?: string | undefined;
  /** Whose job it is. Tenants share the slots fairly, whatever each has sent. */
  tenant?: string | undefined;
};

export type JobOptions = {
  /** The same job sent again under its id runs once. By default a new UUID. */
  id?: string | undefined;
  /** By default the worker's topic. */
  deliver?: readonly Destination[] | undefined;
  policy?: Policy | undefined;
  /** In a FIFO queue, the group whose jobs run in order; by default each job has its own. */
  group?: string | undefined;
  /** The trace that the job belongs to, in the form of W3C trace context. It is never taken from this process by itself. */
  traceparent?: string | undefined;
  tracestate?: string | undefined;
};

/** One of several jobs; its input fits its kind. */
export type NewJob<K extends AnyKinds = Kinds> = {
  [N in KindName<K>]: { kind: N; input: K[N]["input"] } & JobOptions;
}[KindName<K>];

/** A job that the queue has. */
export type Enqueued<N extends string = string> = {
  id: string;
  kind: N;
  messageId: string;
  /** Tells the job from another one under the same id. */
  jobHash: string;
};

export type JobError = {
  code: string;
  message: string;
  /** What to do about it. */
  hint?: string | undefined;
  /** From then on the same job may succeed, sent again under its id. */
  retryAt?: string | undefined;
};

/** What became of a job. `outputRef`, in deliveries only: the s3:// address of a result that is too long for one. */
export type Result<K extends AnyKinds = AnyKinds, N extends KindName<K> = KindName<K>> = {
  [M in N]: { id: string; kind: M; receipt: Receipt } & (
    | { status: "succeeded"; output: K[M]["output"]; outputRef?: string; error?: never }
    | { status: "failed" | "expired" | "canceled"; error: JobError; output?: never; outputRef?: never }
  );
}[N];
