// Whether everybody who must hear of a job's end has heard of it, once, and of that one. Pure.
import type { Books, Finding, Planned } from "./observed.ts";
import type { PlannedJob } from "./plan.ts";
import { type End, shapeOf, type Target } from "./shapes.ts";

export function judgeEffects(
  job: PlannedJob,
  end: End | undefined,
  { addressOf }: Planned,
  books: Books,
): Finding[] {
  const { to } = shapeOf(job.shape);
  const elsewhere = strays(job, new Set(to.map((target) => addressOf(target, job))), books);
  if (end === undefined) return elsewhere;
  const due = to.flatMap((target) => {
    if (target === "queue")
      return books.told.has(job.id)
        ? []
        : [{ is: "lost" as const, job: job.id, what: "its queue was not told" }];
    return judgeEffect(job, target, end, addressOf(target, job), books);
  });
  return [...due, ...elsewhere];
}

/** What came to an address that the job never named. */
function strays({ id, shape }: PlannedJob, named: ReadonlySet<string>, { effects, told }: Books): Finding[] {
  const wrong = (what: string): Finding => ({ is: "wrong", job: id, what });
  return [
    ...(effects.get(id) ?? [])
      .filter(({ address }) => !named.has(address))
      .map(({ address }) => wrong(`an effect at ${address}, which it never named`)),
    ...(told.has(id) && !shapeOf(shape).to.includes("queue")
      ? [wrong("a queue was told that it never named")]
      : []),
  ];
}

function judgeEffect(
  { id }: PlannedJob,
  target: Exclude<Target, "queue">,
  end: End,
  address: string,
  { effects, deadDeliveries }: Books,
): Finding[] {
  const here = (effects.get(id) ?? []).filter((one) => one.address === address);
  if (here.length > 1)
    return [
      {
        is: "doubled",
        job: id,
        what: `${here.length} effects at ${address}: ${here.map(({ key }) => key).join(", ")}`,
      },
    ];
  const aside = (deadDeliveries.get(id) ?? []).some((one) => one.address === address);
  // Nobody but a callback hears of a failure, and of a dead letter nobody must.
  const mustHave = target === "gone" ? aside : here.length === 1;
  const nobodyMust = end === "dead" || (target === "rest" && end !== "succeeded");
  if (!mustHave && !nobodyMust)
    return [
      {
        is: "lost",
        job: id,
        what:
          target === "gone"
            ? `its refused delivery to ${address} is in no queue`
            : `no effect at ${address}${aside ? "; its delivery is a dead letter" : ""}`,
      },
    ];
  const [effect] = here;
  if (effect?.event && end !== "dead" && effect.event !== `job.${end}`)
    return [{ is: "wrong", job: id, what: `it ended ${end}, and ${address} was told ${effect.event}` }];
  return [];
}
