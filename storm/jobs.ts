// The jobs of a storm: which shapes there are, which end each may have, who must receive its result, and how it is written as
// messages and objects. Which job has which shape is in plan.ts. Pure.

export type End = "succeeded" | "failed" | "expired" | "dead";
export type Target = "callback" | "rest" | "gone" | "silent" | "queue";

type Shape = {
  /** How often the plan chooses it, relative to the others. null: the plan decides how many there are. */
  weight: number | null;
  /** The ends that are right for it. "dead": a dead letter and no result. */
  ends: readonly End[];
  /** Whether the model is asked. "maybe": it depends on how soon a worker takes the job. */
  asks: "always" | "maybe" | "never";
  to: readonly Target[];
};

export const SHAPES = {
  /** A prompt whose result goes to a callback. */
  plain: { weight: 46, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** A todo that is carried out as a REST call. */
  rest: { weight: 10, ends: ["succeeded"], asks: "always", to: ["rest"] },
  both: { weight: 5, ends: ["succeeded"], asks: "always", to: ["callback", "rest"] },
  /** Its input is a picture in the bucket. */
  picture: { weight: 5, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** Its whole body is in the bucket. */
  pointer: { weight: 4, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** Its result also goes to a queue. */
  queue: { weight: 3, ends: ["succeeded"], asks: "always", to: ["callback", "queue"] },
  /** Sent twice with the same id. */
  twice: { weight: 8, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** Its callback answers 410. */
  gone: { weight: 2, ends: ["succeeded"], asks: "always", to: ["gone"] },
  /** Its callback accepts the connection and does not answer the first try. */
  silent: { weight: 4, ends: ["succeeded"], asks: "always", to: ["silent"] },
  "invalid-input": { weight: 5, ends: ["failed"], asks: "never", to: ["callback"] },
  "missing-picture": { weight: 3, ends: ["failed"], asks: "never", to: ["callback"] },
  /** It expires soon after it is sent, or has expired already. */
  expires: { weight: 4, ends: ["succeeded", "expired"], asks: "maybe", to: ["callback"] },
  /** Its body is not a job. */
  malformed: { weight: 5, ends: ["dead"], asks: "never", to: [] },
  /** The storm kills the engine while it answers this job for the first time. */
  "engine-killed": { weight: null, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** The engine crashes on it every time. */
  poison: { weight: null, ends: ["failed", "dead"], asks: "always", to: ["callback"] },
} as const satisfies Record<string, Shape>;
export type ShapeName = keyof typeof SHAPES;

export const shapeOf = (name: ShapeName): Shape => SHAPES[name];

/** The weights of the shapes that the plan chooses at random. */
export const RANDOM_SHAPES = Object.fromEntries(
  Object.entries<Shape>(SHAPES).flatMap(([name, { weight }]) => (weight === null ? [] : [[name, weight]])),
) as Record<ShapeName, number>;

export type PlannedJob = {
  id: string;
  shape: ShapeName;
  /** When its messages are sent, in ms from the start. */
  at: readonly number[];
  /** Which receiver its result goes to. */
  receiver: number;
  /** Used by `expires`: ms between its sending and its expiry. Negative when it has expired already. */
  expiresAfterMs: number;
};

/** The addresses that jobs refer to. */
export type Places = {
  bucket: string;
  resultQueueUrl: string;
  receivers: readonly string[];
  /** The key of a picture in the bucket. */
  pictureKey: string;
};

/** Finds a job's id in prompts, bodies, dead letters and logs. */
export const JOB_ID = /storm-\d{5}/;
/** With more jobs, five digits could not tell their ids apart. */
export const MOST_JOBS = 99_999;

/** The address of a target as the job names it. */
export function addressOf(target: Target, { receiver }: PlannedJob, places: Places): string {
  if (target === "queue") return places.resultQueueUrl;
  return `${places.receivers[receiver]}/${target}`;
}

/** The body of each of its messages, and the objects that must be in the bucket before. */
export function writeJob(
  job: PlannedJob,
  places: Places,
  now: number,
): { body: string; objects: { key: string; body: string }[] } {
  const body = JSON.stringify(envelopeOf(job, places, now));
  // Half of it is not JSON, but still contains the id.
  if (job.shape === "malformed") return { body: body.slice(0, body.length / 2), objects: [] };
  if (job.shape !== "pointer") return { body, objects: [] };
  const key = `in/${job.id}.json`;
  const pointer = [
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    { s3BucketName: places.bucket, s3Key: key },
  ];
  return { body: JSON.stringify(pointer), objects: [{ key, body }] };
}

const FIELDS = {
  callback: "callback",
  gone: "callback",
  silent: "callback",
  rest: "rest",
  queue: "sqs",
} as const;

function envelopeOf(job: PlannedJob, places: Places, now: number): object {
  const { id, shape } = job;
  const deliver = shapeOf(shape).to.map((target) => ({
    [FIELDS[target]]: addressOf(target, job, places),
  }));
  const policy = shape === "expires" && { expiresAt: new Date(now + job.expiresAfterMs).toISOString() };
  return { id, ...kindAndInput(job, places), deliver, ...(policy && { policy }) };
}

const TODOS = new Set<ShapeName>(["rest", "both"]);

function kindAndInput(
  { id, shape }: PlannedJob,
  { bucket, pictureKey }: Places,
): { kind: string; input: object } {
  if (TODOS.has(shape))
    return { kind: "todo.match", input: { text: `${id} rent`, todos: [{ id: 1, title: "pay the rent" }] } };
  const prompt = { kind: "prompt", input: { prompt: `${id} ${shape}: what is left of the storm?` } };
  const picture = (key: string) => ({
    ...prompt,
    input: { ...prompt.input, image: `s3://${bucket}/${key}` },
  });
  if (shape === "picture") return picture(pictureKey);
  if (shape === "missing-picture") return picture(`in/${id}-does-not-exist.png`);
  if (shape === "invalid-input") return { ...prompt, input: { ...prompt.input, maxTokens: -1 } };
  return prompt;
}
