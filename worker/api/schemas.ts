// What the jobs API reads and answers, as schemas: requests are checked with them, and /openapi.json is made from all of them. Each has the
// name that it has there. What the fields mean to the worker is in services.ts.
import { z } from "zod";
import { Destination, JobId, Policy } from "../job/envelope.ts";
import { Receipt } from "../job/result.ts";
import {
  type BulkOutcome,
  type Counts,
  type DeadLetterRow,
  type DestinationRow,
  JOB_STATES,
  type JobDetail,
  type JobRow,
  type Overview,
} from "./services.ts";

/** What is sent, and what is answered. They differ where a field has a default. */
export const REQUESTS = z.registry<{ id: string }>();
export const ANSWERS = z.registry<{ id: string }>();
const request = <S extends z.ZodType>(id: string, schema: S): S => named(REQUESTS, id, schema);
const answer = <S extends z.ZodType>(id: string, schema: S): S => named(ANSWERS, id, schema);

function named<S extends z.ZodType>(registry: typeof REQUESTS, id: string, schema: S): S {
  registry.add(schema, { id });
  return schema;
}

/** Whether what a service gives is what the description says. */
type Fits<Given, S extends z.ZodType> = Given extends z.output<S> ? true : never;

const Count = z.number();
const Moment = z.number().describe("Epoch milliseconds.");
const Text = z.string();

// requests

const ID = JobId.describe("The same job sent again under its id runs once.");
const job = {
  kind: z.string().min(1).max(100).describe("One of GET /kinds."),
  input: z.unknown().describe("What the schema of its kind takes."),
  deliver: z
    .array(Destination)
    .max(100)
    .optional()
    .describe("Where the result goes, besides the bucket; by default the worker's topic."),
  policy: Policy.optional(),
};
export const NewJob = request("NewJob", z.strictObject({ id: ID.optional(), ...job }));
export const PutJob = request(
  "PutJob",
  z.strictObject({ id: ID.optional().describe("That of the path."), ...job }),
);

const replay = {
  model: Policy.shape.model,
  deliver: z
    .boolean()
    .optional()
    .describe("Send the result to the destinations of the first job; by default, unless that one succeeded."),
};
export const Replay = request("Replay", z.strictObject(replay));

/** As a person or a program writes it. */
const When = z
  .union(
    [z.coerce.number().int().min(0).max(8.64e15), z.iso.datetime({ offset: true }).transform(Date.parse)],
    { error: "expected epoch milliseconds, or a time such as 2026-11-29T12:00:00Z" },
  )
  .optional()
  .describe("Epoch milliseconds, or a time such as 2026-11-29T12:00:00Z.");
const State = z.enum(JOB_STATES);
const filter = {
  kind: z.string().max(100).optional(),
  tenant: z.string().max(256).optional(),
  text: z
    .string()
    .max(1_000)
    .optional()
    .describe("Words that must all be in id, kind, tenant, input, output or error."),
  since: When,
  until: When,
};
export const ListQuery = z.strictObject({
  ...filter,
  state: z
    .string()
    .transform((text) => text.split(",").filter(Boolean))
    .pipe(z.array(State))
    .optional()
    .describe("One state, or several with commas."),
  cursor: z.string().max(200).optional().describe("The `next` of the page before."),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export const Filter = z.strictObject({ ...filter, states: z.array(State).max(20).optional() });
export const Bulk = request(
  "Bulk",
  z.strictObject({
    filter: Filter.describe("Which jobs; {} means all of them."),
    action: z
      .enum(["cancel", "replay"])
      .describe("Cancel those that have not ended, or send those again that have."),
    ...replay,
  }),
);
export const StatsQuery = z.strictObject({
  since: When,
  stepMs: z.coerce.number().int().min(1_000).max(8.64e9).default(60_000),
});
export const EventsQuery = z.strictObject({ job: JobId.optional().describe("Only changes of this job.") });

const Queue = z.enum(["jobs", "deliveries"]).optional();
export const DeadQuery = z.strictObject({ queue: Queue, text: z.string().max(1_000).optional() });
export const DeadSelection = request(
  "DeadSelection",
  z
    .strictObject({
      ids: z.array(z.string().max(200)).max(10_000).optional().describe("Of messages or jobs."),
      queue: Queue,
      text: z.string().min(1).max(1_000).optional(),
      all: z.literal(true).optional().describe("Without any other choice: all of them."),
    })
    .refine(
      ({ ids, queue, text, all }) => [ids, queue, text, all].some((one) => one !== undefined),
      "name ids, a queue or a text, or say all: true",
    ),
);

// answers

const ErrorShape = z.object({
  code: Text,
  message: Text,
  hint: Text.optional().describe("What to do about it."),
});
export const Failure = answer("Error", z.object({ error: ErrorShape }));

const row = {
  id: Text,
  kind: Text,
  state: State,
  tenant: Text.nullable(),
  summary: Text.describe("The input in one line, cut."),
  sentAt: Moment.nullable(),
  receivedAt: Moment.nullable(),
  startedAt: Moment.nullable(),
  endedAt: Moment.nullable(),
  attempts: Count,
  error: ErrorShape.nullable().describe("Of a failed job, or of its last attempt."),
  isDeadLettered: z.boolean(),
  model: Text.nullable(),
  promptTokens: Count,
  completionTokens: Count,
  joules: Count.nullable(),
};
const Row = answer("JobRow", z.object(row));

const Try = z.object({
  at: Text,
  key: Text,
  to: Text,
  attempt: Count,
  outcome: z.enum(["delivered", "failed", "refused", "held back"]),
  status: Count.optional(),
  error: Text.optional(),
  tookMs: Count,
  nextAt: Text.optional(),
});

export const Detail = answer(
  "Job",
  z.object({
    ...row,
    input: z.unknown().optional(),
    inputNote: Text.nullable().describe("Why there is no input."),
    output: z.unknown().optional(),
    outputNote: Text.nullable(),
    receipt: z.looseObject(Receipt.shape).nullable(),
    deliver: z.array(z.record(Text, z.unknown())),
    policy: z.record(Text, z.unknown()),
    stations: z
      .array(z.object({ name: Text, at: Moment, tookMs: Count, attempt: Count.optional() }))
      .describe("Where its time went."),
    deliveries: z.array(z.looseObject(Try.shape)).describe("Every try of every delivery."),
    progress: z.object({ done: Count, what: Text.optional() }).nullable(),
    line: z
      .object({ position: Count.nullable(), startsAt: Moment.nullable() })
      .nullable()
      .describe("Of a job that waits: its place, and when it starts if runs take as long as they did."),
    replayOf: Text.nullable(),
    replays: z.array(Text).describe("Jobs that repeat this one."),
  }),
);

export const JobPage = answer("JobPage", z.object({ items: z.array(Row), next: Text.nullable() }));
export const Sent = answer(
  "Sent",
  z.object({
    id: Text,
    kind: Text,
    isNew: z.boolean().describe("False: the same job had been sent before."),
  }),
);
export const Canceled = answer(
  "Canceled",
  z.looseObject({ is: z.enum(["ended", "running", "waiting"]).describe("What the job was at that moment.") }),
);
export const Outcome = answer(
  "BulkOutcome",
  z.object({
    matched: Count,
    done: Count,
    failed: z.array(z.object({ id: Text, code: Text, message: Text })),
  }),
);

const Percentiles = z.object({ p50: Count, p95: Count, p99: Count }).nullable();
const Sums = z.object({
  since: Moment,
  succeeded: Count,
  failed: Count,
  promptTokens: Count,
  completionTokens: Count,
  runMs: Percentiles,
  totalMs: Percentiles,
});
const Steps = z.array(Count);
const CountsShape = z.object({
  since: Moment,
  stepMs: Count,
  succeeded: Steps,
  failed: Steps,
  promptTokens: Steps,
  completionTokens: Steps,
  busy: Steps.describe("Busy slots, on average."),
});
const overview = {
  states: z.record(Text, Count),
  today: Sums.describe("Since midnight of the worker's clock."),
  lastHour: Sums,
  queue: z.object({ waiting: Count, inFlight: Count, delayed: Count }).nullable(),
  dropped: Count.describe("Changes that the history could not keep."),
};
export const StatsAnswer = answer("Stats", z.object({ ...overview, counts: CountsShape }));

export const KindsAnswer = answer(
  "Kinds",
  z.object({
    items: z.array(
      z.object({
        kind: Text,
        summary: Text,
        input: z.record(Text, z.unknown()),
        output: z.record(Text, z.unknown()),
      }),
    ),
  }),
);
export const Upload = answer(
  "Upload",
  z.object({ address: Text.describe("s3://…, for the input of a job."), contentType: Text }),
);

const DeadRow = answer(
  "DeadLetter",
  z.object({
    messageId: Text,
    queue: z.enum(["jobs", "deliveries"]),
    job: Text,
    kind: Text.nullable(),
    at: Text.nullable(),
    reason: ErrorShape,
    to: Text.nullable(),
    tries: Count.nullable(),
    body: Text.optional(),
  }),
);
export const DeadAnswer = DeadRow;
export const DeadPage = answer(
  "DeadLetters",
  z.object({
    items: z.array(DeadRow),
    mayHaveMore: z.boolean().describe("A FIFO queue shows only the first of a group until they are gone."),
  }),
);
const DestinationShape = answer(
  "Destination",
  z.object({
    key: Text,
    to: Text,
    state: z.enum(["on", "paused", "off"]),
    reason: Text.nullable(),
    since: Text.nullable(),
    delivered: Count,
    failed: Count,
    lastAt: Moment.nullable(),
  }),
);
export const Destinations = answer("Destinations", z.object({ items: z.array(DestinationShape) }));

true satisfies Fits<JobRow, typeof Row>;
true satisfies Fits<
  Omit<JobDetail, "deliver" | "receipt">,
  z.ZodType<Omit<z.output<typeof Detail>, "deliver" | "receipt">>
>;
true satisfies Fits<Overview & { counts: Counts }, typeof StatsAnswer>;
true satisfies Fits<BulkOutcome, typeof Outcome>;
true satisfies Fits<DeadLetterRow, typeof DeadRow>;
true satisfies Fits<DestinationRow, typeof DestinationShape>;
