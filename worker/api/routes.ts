// The table of the jobs API: every address with what it reads, what it answers and what it may refuse. app.ts serves the table, and
// openapi.ts describes it, so that the two cannot differ.
import type { z } from "zod";
import type { ErrorCode } from "../errors.ts";
import * as schemas from "./schemas.ts";
import type { ApiServices } from "./services.ts";

export type Method = "get" | "put" | "post" | "delete";

/** What a request brings, checked. */
type Given = {
  params: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: each is what its own schemas in the table say
  query: any;
  // biome-ignore lint/suspicious/noExplicitAny: each is what its own schemas in the table say
  body: any;
  idempotencyKey: string | undefined;
  /** That of the headers, if it is valid. */
  trace: Record<string, string>;
};
export type Answer = { status: number; body: unknown; headers?: Record<string, string> };

export type Route = {
  method: Method;
  /** As OpenAPI writes it. */
  path: string;
  id: string;
  summary: string;
  description?: string;
  query?: z.ZodObject;
  body?: z.ZodType;
  example?: unknown;
  /** JSON, by status; other answers are described in openapi.ts. */
  answers: Record<number, { what: string; schema: z.ZodType }>;
  errors: readonly ErrorCode[];
  run(services: ApiServices, given: Given): Promise<Answer>;
};

const ok = (body: unknown): Answer => ({ status: 200, body });
const HOUR_MS = 3_600_000;

const EXAMPLE = {
  kind: "image.check",
  input: { image: "s3://kamado/in/door.jpg", question: "Is the door locked?" },
  deliver: [{ callback: "https://example.org/hook" }],
  policy: { priority: 7 },
};
const SENDING: readonly ErrorCode[] = [
  ...([
    "malformed_json",
    "invalid_input",
    "unknown_kind",
    "handler_broken",
    "duplicate_id",
    "body_too_large",
  ] as const),
  ...(["budget_exceeded", "message_rejected", "queue_unavailable", "storage_unavailable"] as const),
];
const SENT = {
  200: { what: "The same job had been sent before; it does not run again.", schema: schemas.Sent },
  202: { what: "The queue has the job.", schema: schemas.Sent },
};
const READING: readonly ErrorCode[] = ["invalid_input", "history_unavailable"];
const AWS: readonly ErrorCode[] = ["queue_unavailable", "storage_unavailable", "permission_missing"];

type SubmitBody = { id?: string; kind: string; input: unknown };

async function submit({ jobs }: ApiServices, body: SubmitBody): Promise<Answer> {
  const { id, kind, isNew } = await jobs.submit(body);
  return { status: isNew ? 202 : 200, body: { id, kind, isNew }, headers: { location: `/jobs/${id}` } };
}

export const ROUTES: readonly Route[] = [
  {
    method: "post",
    path: "/jobs",
    id: "sendJob",
    summary: "Send a job",
    description:
      "The body is a job as it stands in a message. Without an `id`, the header `Idempotency-Key` is its id, or else it gets a new one.",
    body: schemas.NewJob,
    example: EXAMPLE,
    answers: SENT,
    errors: SENDING,
    run: (services, { body, idempotencyKey, trace }) =>
      submit(services, { ...(idempotencyKey !== undefined && { id: idempotencyKey }), ...body, ...trace }),
  },
  {
    method: "put",
    path: "/jobs/{id}",
    id: "putJob",
    summary: "Send a job under an id",
    description:
      "Sent again it is answered with 200 and runs once; another job under the same id is refused.",
    body: schemas.PutJob,
    example: EXAMPLE,
    answers: SENT,
    errors: SENDING,
    run: (services, { params, body, trace }) => submit(services, { ...body, ...trace, id: params.id }),
  },
  {
    method: "get",
    path: "/jobs",
    id: "listJobs",
    summary: "List jobs, the latest first",
    query: schemas.ListQuery,
    answers: { 200: { what: "A page. `next` is the cursor of the one after it.", schema: schemas.JobPage } },
    errors: READING,
    run: async ({ jobs }, { query: { state: states, cursor, limit, ...filter } }) =>
      ok(await jobs.list({ ...filter, states }, { cursor, limit })),
  },
  {
    method: "get",
    path: "/jobs/{id}",
    id: "getJob",
    summary: "Everything about one job",
    answers: { 200: { what: "The job.", schema: schemas.Detail } },
    errors: ["invalid_input", "job_not_found", "storage_unavailable"],
    run: async ({ jobs }, { params }) => ok(await jobs.get(params.id!)),
  },
  {
    method: "delete",
    path: "/jobs/{id}",
    id: "cancelJob",
    summary: "Cancel a job",
    description:
      "It is stopped if it runs, and not started if it waits or comes later. One that has ended keeps its result.",
    answers: { 200: { what: "What it was.", schema: schemas.Canceled } },
    errors: ["invalid_input", "storage_unavailable"],
    run: async ({ jobs }, { params }) => ok(await jobs.cancel(params.id!)),
  },
  {
    method: "post",
    path: "/jobs/{id}/replay",
    id: "replayJob",
    summary: "Send a job again as a new one",
    description:
      "With another model if one is named. Each of the jobs names the others, so that results can be compared.",
    body: schemas.Replay,
    example: { model: "gemma-3-4b" },
    answers: { 202: SENT[202] },
    errors: [...SENDING, "job_not_found", "input_not_kept"],
    async run({ jobs }, { params, body }) {
      const { id, kind } = await jobs.replay(params.id!, body);
      return { status: 202, body: { id, kind, isNew: true }, headers: { location: `/jobs/${id}` } };
    },
  },
  {
    method: "post",
    path: "/jobs/bulk",
    id: "bulkJobs",
    summary: "Cancel or replay all jobs of a filter",
    description: "At most 10,000 at a time.",
    body: schemas.Bulk,
    example: { filter: { kind: "image.check", states: ["failed"] }, action: "replay" },
    answers: { 200: { what: "What became of them.", schema: schemas.Outcome } },
    errors: ["malformed_json", ...READING],
    run: async ({ jobs }, { body: { filter, action, ...how } }) => ok(await jobs.bulk(filter, action, how)),
  },
  {
    method: "get",
    path: "/kinds",
    id: "listKinds",
    summary: "The kinds of jobs, with the schemas of their inputs and outputs",
    answers: { 200: { what: "All of them.", schema: schemas.KindsAnswer } },
    errors: [],
    run: async ({ jobs }) => ok({ items: jobs.kinds() }),
  },
  {
    method: "get",
    path: "/stats",
    id: "getStats",
    summary: "Counts, tokens and busy slots over time",
    query: schemas.StatsQuery,
    answers: { 200: { what: "By default the last hour in steps of a minute.", schema: schemas.StatsAnswer } },
    errors: READING,
    async run({ jobs }, { query: { since = Date.now() - HOUR_MS, stepMs } }) {
      const [overview, counts] = await Promise.all([jobs.overview(), jobs.counts({ since, stepMs })]);
      return ok({ ...overview, counts });
    },
  },
  {
    method: "get",
    path: "/dead-letters",
    id: "listDeadLetters",
    summary: "List the dead letters of jobs and deliveries",
    query: schemas.DeadQuery,
    answers: { 200: { what: "The oldest first.", schema: schemas.DeadPage } },
    errors: ["invalid_input", ...AWS],
    run: async ({ deadLetters }, { query }) => ok(await deadLetters.list(query)),
  },
  {
    method: "get",
    path: "/dead-letters/{id}",
    id: "getDeadLetter",
    summary: "One dead letter with its body, by the id of its message or job",
    answers: { 200: { what: "The dead letter.", schema: schemas.DeadAnswer } },
    errors: ["dead_letter_not_found", ...AWS],
    run: async ({ deadLetters }, { params }) => ok(await deadLetters.show(params.id!)),
  },
  {
    method: "post",
    path: "/dead-letters/redrive",
    id: "redriveDeadLetters",
    summary: "Send dead letters back to where they came from",
    body: schemas.DeadSelection,
    example: { ids: ["01JABC"] },
    answers: { 200: { what: "What became of them.", schema: schemas.Outcome } },
    errors: ["malformed_json", "invalid_input", ...AWS],
    run: async ({ deadLetters }, { body: { all: _, ...selection } }) =>
      ok(await deadLetters.redrive(selection)),
  },
  {
    method: "post",
    path: "/dead-letters/purge",
    id: "purgeDeadLetters",
    summary: "Delete dead letters for good",
    body: schemas.DeadSelection,
    example: { all: true },
    answers: { 200: { what: "What became of them.", schema: schemas.Outcome } },
    errors: ["malformed_json", "invalid_input", ...AWS],
    run: async ({ deadLetters }, { body: { all: _, ...selection } }) =>
      ok(await deadLetters.purge(selection)),
  },
  {
    method: "get",
    path: "/destinations",
    id: "listDestinations",
    summary: "Where results went, and which destinations are paused or off",
    answers: { 200: { what: "All that are known.", schema: schemas.Destinations } },
    errors: ["history_unavailable", "storage_unavailable"],
    run: async ({ destinations }) => ok({ items: await destinations.list() }),
  },
  {
    method: "post",
    path: "/destinations/{key}/resend",
    id: "resendToDestination",
    summary: "Turn a destination on again and send it what it did not get",
    answers: { 200: { what: "What became of its dead letters.", schema: schemas.Outcome } },
    errors: ["invalid_input", ...AWS],
    run: async ({ destinations }, { params }) => ok(await destinations.resend(params.key!)),
  },
];
