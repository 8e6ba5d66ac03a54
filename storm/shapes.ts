// The shapes of a storm's jobs, and what must become of each: which ends are right, whether the model is asked, and who
// must hear of it. How such a job is written is in jobs.ts.

export type End = "succeeded" | "failed" | "expired" | "dead";
export type Target = "callback" | "rest" | "gone" | "queue";

type Shape = {
  /** How common it is, in parts of the whole; null: counted out by the plan. */
  weight: number | null;
  ends: readonly End[];
  /** Whether the model is asked, once; "maybe" when it depends on how fast the job is taken up. */
  asks: "always" | "maybe" | "never";
  to: readonly Target[];
};

export const SHAPES = {
  /** A prompt, told to a callback. */
  plain: { weight: 46, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** A todo, carried out as a REST call. */
  rest: { weight: 10, ends: ["succeeded"], asks: "always", to: ["rest"] },
  both: { weight: 5, ends: ["succeeded"], asks: "always", to: ["callback", "rest"] },
  /** Its input is a picture in the bucket. */
  picture: { weight: 5, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** Its whole body is in the bucket. */
  pointer: { weight: 4, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** Also told to a queue. */
  queue: { weight: 3, ends: ["succeeded"], asks: "always", to: ["callback", "queue"] },
  /** Sent twice under one id. */
  twice: { weight: 8, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** Its callback says that it is gone for good. */
  gone: { weight: 2, ends: ["succeeded"], asks: "always", to: ["gone"] },
  /** Its input is wrong. */
  refused: { weight: 5, ends: ["failed"], asks: "never", to: ["callback"] },
  /** Its picture does not exist. */
  missing: { weight: 3, ends: ["failed"], asks: "never", to: ["callback"] },
  /** It may be late by the time it is taken up, or is when it is sent. */
  expires: { weight: 4, ends: ["succeeded", "expired"], asks: "maybe", to: ["callback"] },
  /** Its body is no job. */
  malformed: { weight: 5, ends: ["dead"], asks: "never", to: [] },
  /** The engine is killed while it answers it for the first time. */
  unlucky: { weight: null, ends: ["succeeded"], asks: "always", to: ["callback"] },
  /** The engine crashes on it, every time. */
  poison: { weight: null, ends: ["failed", "dead"], asks: "always", to: ["callback"] },
} as const satisfies Record<string, Shape>;
export type ShapeName = keyof typeof SHAPES;

export const shapeOf = (name: ShapeName): Shape => SHAPES[name];

/** The weights of the shapes that come by chance. */
export const COMMON = Object.fromEntries(
  Object.entries<Shape>(SHAPES).flatMap(([name, { weight }]) => (weight === null ? [] : [[name, weight]])),
) as Record<ShapeName, number>;
